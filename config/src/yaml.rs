//! YAML text as a tree whose every node knows its line.
//!
//! The tree is built here from the parser's events, not by a general loader, so that what a
//! configuration never needs is refused before it costs anything: depth, the "billion laughs"
//! growth of aliases within aliases, and keys given twice, which loaders silently drop.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::Error;

/// Maps and lists within each other. A manifest needs 5.
const MAX_DEPTH: usize = 32;
/// Nodes of a file, those that aliases repeat counted each time.
const MAX_NODES: usize = 100_000;
/// What to do about what every document has once at its top.
const SEPARATOR: &str = "; if another document begins here, put a line --- before it";

/// A value of a document. Aliases share it, hence `Rc`.
#[derive(Debug)]
pub(crate) struct Node {
    /// The line it starts on, counted from 1.
    pub line: usize,
    pub data: Data,
    /// Nodes in it, itself included.
    weight: usize,
    /// Levels below it; 0 for a scalar. Bounded, so that dropping the tree cannot overflow.
    height: usize,
}

/// What a node holds.
#[derive(Debug)]
pub(crate) enum Data {
    /// A plain (unquoted) word: text, number, bool or null, as the field wants it.
    Plain(String),
    /// Text in quotes or a block: never a number, bool or null.
    Quoted(String),
    List(Vec<Rc<Node>>),
    /// Entries in the order of the file; no key twice.
    Map(Vec<(Key, Rc<Node>)>),
}

/// A key of a map.
#[derive(Debug)]
pub(crate) struct Key {
    pub text: String,
    pub line: usize,
}

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    /// Which one of the file, counted from 1.
    pub number: usize,
    pub root: Rc<Node>,
}

/// The documents of `text`, empty ones left out.
///
/// After an error in the YAML itself nothing further can be trusted, so it ends the file; the
/// documents before it are lost with it, as half a configuration is none.
pub(crate) fn parse(file: &Arc<Path>, text: &str) -> Result<Vec<Document>, Error> {
    let mut builder = Builder::new(file);
    // A byte order mark is no content.
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.event(event, span)?,
            Err(error) => {
                let marker = error.marker();
                return Err(builder.error(marker.line(), marker.col(), error.info().to_owned()));
            }
        }
    }
    Ok(builder.documents)
}

// === impl Node ===

impl Node {
    /// Whether nothing stands there: `key:`, `~` or `null`, which Kubernetes takes as unset.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.data, Data::Plain(text) if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The value for `key` of a map.
    pub(crate) fn entry(&self, key: &str) -> Option<&Node> {
        let Data::Map(entries) = &self.data else {
            return None;
        };
        entries
            .iter()
            .find(|(at, _)| at.text == key)
            .map(|(_, node)| &**node)
    }

    /// The text of a scalar, quoted or not.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Plain(text) | Data::Quoted(text) => Some(text),
            Data::List(_) | Data::Map(_) => None,
        }
    }

    /// What is there, for an error message; long text is cut.
    pub(crate) fn found(&self) -> String {
        match &self.data {
            _ if self.is_null() => "nothing".into(),
            Data::Plain(text) | Data::Quoted(text) => quote(text),
            Data::List(_) => "a list".into(),
            Data::Map(_) => "a map".into(),
        }
    }
}

/// `text` in quotes, escaped, cut where it is long: it may be anything a file can hold.
pub(crate) fn quote(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

// === building ===

/// The tree as far as the events have come.
struct Builder {
    file: Arc<Path>,
    documents: Vec<Document>,
    /// Documents begun, empty ones included.
    number: usize,
    /// Maps and lists that have not ended yet, outermost first.
    open: Vec<Open>,
    /// Nodes that may be repeated, by the parser's number of their anchor.
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
}

/// A map or list that has not ended yet.
struct Open {
    line: usize,
    anchor: usize,
    weight: usize,
    height: usize,
    content: Content,
}

enum Content {
    List(Vec<Rc<Node>>),
    Map {
        entries: Vec<(Key, Rc<Node>)>,
        seen: HashSet<String>,
        key: Option<Key>,
    },
}

impl Builder {
    fn new(file: &Arc<Path>) -> Self {
        Self {
            file: Arc::clone(file),
            documents: Vec::new(),
            number: 0,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
        }
    }

    fn error(&self, line: usize, column: usize, message: impl Into<String>) -> Error {
        Error::Syntax {
            file: Arc::clone(&self.file),
            document: self.number.max(1),
            line,
            column: column + 1, // the parser counts columns from 0
            message: message.into(),
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Error> {
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) => {
                self.number += 1;
                self.anchors.clear(); // anchors do not reach into the next document
            }
            Event::Scalar(text, style, anchor, tag) => {
                let forced = self.check_tag(tag.as_deref(), span)?;
                let text = text.into_owned();
                let data = match style {
                    ScalarStyle::Plain if !forced => Data::Plain(text),
                    _ => Data::Quoted(text),
                };
                let node = Rc::new(Node {
                    line,
                    data,
                    weight: 1,
                    height: 0,
                });
                self.add(node, anchor, span)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), span)?;
                self.begin(Content::List(Vec::new()), anchor, span)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), span)?;
                let content = Content::Map {
                    entries: Vec::new(),
                    seen: HashSet::new(),
                    key: None,
                };
                self.begin(content, anchor, span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let data = match open.content {
                        Content::List(items) => Data::List(items),
                        Content::Map { entries, .. } => Data::Map(entries),
                    };
                    let node = Node {
                        line: open.line,
                        data,
                        weight: open.weight,
                        height: open.height,
                    };
                    self.add(Rc::new(node), open.anchor, span)?;
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.error(
                        line,
                        span.start.col(),
                        "an alias stands within its own anchor",
                    ));
                };
                self.add(node, 0, span)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// Whether the tag makes a text of a plain scalar. A tag of someone's own means something
    /// that is not known here, so it is refused rather than overlooked.
    fn check_tag(&self, tag: Option<&Tag>, span: Span) -> Result<bool, Error> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix == "str"),
            Some(tag) => Err(self.error(
                span.start.line(),
                span.start.col(),
                format!(
                    "found the tag {}, expected none",
                    quote(&format!("{}{}", tag.handle, tag.suffix))
                ),
            )),
        }
    }

    fn begin(&mut self, content: Content, anchor: usize, span: Span) -> Result<(), Error> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        self.open.push(Open {
            line: span.start.line(),
            anchor,
            weight: 1,
            height: 1,
            content,
        });
        Ok(())
    }

    fn too_deep(&self, span: Span) -> Error {
        let message =
            format!("maps and lists are nested deeper than {MAX_DEPTH}, which no manifest needs");
        self.error(span.start.line(), span.start.col(), message)
    }

    /// Puts a whole node where it belongs: into the open map or list, or as the document.
    fn add(&mut self, node: Rc<Node>, anchor: usize, span: Span) -> Result<(), Error> {
        let (line, column) = (span.start.line(), span.start.col());
        // An alias repeats nodes that were counted when they were read; only then is there more
        // to count than the node itself.
        self.nodes += if Rc::strong_count(&node) > 1 {
            node.weight
        } else {
            1
        };
        if self.nodes > MAX_NODES {
            let message =
                format!("more than {MAX_NODES} values, those that aliases repeat included");
            return Err(self.error(line, column, message));
        }
        if self.open.len() + node.height > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let at_top = self.open.len() == 1;
        let Some(parent) = self.open.last_mut() else {
            if !node.is_null() {
                self.documents.push(Document {
                    number: self.number,
                    root: node,
                });
            }
            return Ok(());
        };
        parent.weight += node.weight;
        parent.height = parent.height.max(node.height + 1);
        let problem = match &mut parent.content {
            Content::List(items) => {
                items.push(node);
                None
            }
            Content::Map { entries, seen, key } => match key.take() {
                Some(key) => {
                    entries.push((key, node));
                    None
                }
                None => match node.text() {
                    None => Some(format!("found {} as a key, expected a word", node.found())),
                    Some(text) if !seen.insert(text.to_owned()) => Some(format!(
                        "found the key {} twice in one map, expected it once{}",
                        quote(text),
                        match text {
                            "apiVersion" | "kind" if at_top => SEPARATOR,
                            _ => "",
                        }
                    )),
                    Some(text) => {
                        *key = Some(Key {
                            text: text.to_owned(),
                            line: node.line,
                        });
                        None
                    }
                },
            },
        };
        match problem {
            None => Ok(()),
            Some(message) => Err(self.error(line, column, message)),
        }
    }
}

#[cfg(test)]
#[path = "yaml/tests.rs"]
mod tests;

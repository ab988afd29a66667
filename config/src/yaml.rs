//! Parses YAML into a tree in which every node has its line.
//!
//! The tree is built from the parser's events and not by a general loader. So deep nesting,
//! exponential growth by nested aliases ("billion laughs"), and duplicate keys, which loaders
//! silently drop, are refused early.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::Error;

/// Deepest nesting of maps and lists. A manifest needs 5.
const MAX_DEPTH: usize = 32;
/// Largest number of nodes in a file, with each use of an alias counted.
const MAX_NODES: usize = 100_000;
/// A hint for keys that every document has once at its top.
const SEPARATOR: &str = "; if another document begins here, put a line --- before it";

/// A value of a document. Aliases share it, hence `Rc`.
#[derive(Debug)]
pub(crate) struct Node {
    /// The line it starts on, counted from 1.
    pub line: usize,
    pub data: Data,
    /// Number of nodes in it, itself included.
    weight: usize,
    /// Levels below it; 0 for a scalar. Limited, so that dropping the tree cannot overflow the
    /// stack.
    height: usize,
}

/// The content of a node.
#[derive(Debug)]
pub(crate) enum Data {
    /// A plain (unquoted) word: a text, number, bool or null, depending on the field.
    Plain(String),
    /// A text in quotes or a block: never a number, bool or null.
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
    /// Its number in the file, counted from 1.
    pub number: usize,
    pub root: Rc<Node>,
}

/// Parses the documents in `text`, without empty ones.
///
/// An error in the YAML itself ends the file, because nothing after it can be trusted. Earlier
/// documents are dropped too, because half a configuration must not be used.
pub(crate) fn parse(file: &Arc<Path>, text: &str) -> Result<Vec<Document>, Error> {
    let mut builder = Builder::new(file);
    // Ignores a byte order mark.
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
    /// Whether it is empty, `~` or `null`, which Kubernetes takes as not set.
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

    /// The content for an error message; long text is cut.
    pub(crate) fn found(&self) -> String {
        match &self.data {
            _ if self.is_null() => "nothing".into(),
            Data::Plain(text) | Data::Quoted(text) => quote(text),
            Data::List(_) => "a list".into(),
            Data::Map(_) => "a map".into(),
        }
    }
}

/// `text` in quotes, escaped and cut, for messages: it may be anything of any length.
pub(crate) fn quote(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

// === building ===

/// Builds the trees from the parser's events.
struct Builder {
    file: Arc<Path>,
    documents: Vec<Document>,
    /// Number of documents so far, empty ones included.
    number: usize,
    /// The open maps and lists, outermost first.
    open: Vec<Open>,
    /// Nodes with an anchor, by the parser's number of it.
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
}

/// An open map or list.
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

    /// Whether the tag makes a plain scalar a text. Unknown tags are refused, because their
    /// meaning is not known.
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

    /// Adds a complete node to the open map or list, or as the document.
    fn add(&mut self, node: Rc<Node>, anchor: usize, span: Span) -> Result<(), Error> {
        let (line, column) = (span.start.line(), span.start.col());
        // An alias repeats nodes that were already counted once, and counts with all nodes in it.
        // Any other node counts by itself.
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

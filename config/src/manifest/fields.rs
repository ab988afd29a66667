//! Typed access to a document's fields. Errors are noted with their location and reading goes on,
//! so that one run finds all errors of a document.

mod numbers;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::suggest::nearest;
use crate::yaml::{Data, Key, Node, quote};
use crate::{Error, FieldLocation, ObjectLocation};

/// The document that is being read, and its errors so far.
pub(crate) struct Context {
    /// The document as a whole.
    spot: FieldLocation,
    /// Each error with its line. They are sorted at the end, because fields are not read in the
    /// order of the document.
    errors: RefCell<Vec<(usize, Error)>>,
}

/// A value in the document, and its path.
pub(crate) struct Value<'a> {
    context: &'a Context,
    node: &'a Node,
    path: String,
}

/// A map in the document. It remembers which fields were read; all others are unknown fields.
pub(crate) struct Fields<'a> {
    context: &'a Context,
    entries: &'a [(Key, std::rc::Rc<Node>)],
    path: String,
    line: usize,
    asked: RefCell<BTreeSet<&'static str>>,
    /// Known fields that are accepted without an effect.
    ignored: RefCell<BTreeSet<&'static str>>,
}

/// A value with its location, for checks against other documents.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub value: T,
    pub spot: FieldLocation,
}

// === impl Context ===

impl Context {
    pub(crate) fn new(spot: FieldLocation) -> Self {
        Self {
            spot,
            errors: RefCell::default(),
        }
    }

    /// The errors, in the order of the document.
    pub(crate) fn into_errors(self) -> Vec<Error> {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(|(line, _)| *line);
        errors.into_iter().map(|(_, error)| error).collect()
    }

    /// The document's location, without the object's name.
    pub(crate) fn place(&self) -> ObjectLocation {
        ObjectLocation {
            file: Arc::clone(&self.spot.file),
            document: self.spot.document,
            line: self.spot.line,
            name: String::new(),
        }
    }

    /// The document as a whole.
    pub(crate) fn spot(&self) -> FieldLocation {
        self.spot.clone()
    }

    fn spot_of(&self, line: usize, path: &str) -> FieldLocation {
        FieldLocation {
            line,
            field: path.to_owned(),
            ..self.spot.clone()
        }
    }

    fn wrong(&self, spot: FieldLocation, found: String, expected: &str) {
        let line = spot.line;
        let error = Error::Value {
            spot: Box::new(spot),
            found,
            expected: expected.to_owned(),
        };
        self.errors.borrow_mut().push((line, error));
    }

    fn rule(&self, spot: FieldLocation, message: &str) {
        let line = spot.line;
        let error = Error::Rule {
            spot: Box::new(spot),
            message: message.to_owned(),
        };
        self.errors.borrow_mut().push((line, error));
    }

    fn failed(&self) -> usize {
        self.errors.borrow().len()
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    pub(crate) fn root(context: &'a Context, node: &'a Node) -> Self {
        Self {
            context,
            node,
            path: String::new(),
        }
    }

    pub(crate) fn line(&self) -> usize {
        self.node.line
    }

    pub(crate) fn spot(&self) -> FieldLocation {
        self.context.spot_of(self.node.line, &self.path)
    }

    pub(crate) fn at<T>(&self, value: T) -> Located<T> {
        Located {
            value,
            spot: self.spot(),
        }
    }

    /// Notes that the value is wrong, and what is expected.
    pub(crate) fn wrong(&self, expected: &str) {
        self.context.wrong(self.spot(), self.node.found(), expected);
    }

    /// Notes that the value breaks a rule.
    pub(crate) fn rule(&self, message: &str) {
        self.context.rule(self.spot(), message);
    }

    /// Returns `found`; if it is `None`, notes what is expected.
    fn expect<T>(&self, found: Option<T>, expected: &str) -> Option<T> {
        if found.is_none() {
            self.wrong(expected);
        }
        found
    }

    /// The parsed value.
    pub(crate) fn data(&self) -> &'a Data {
        &self.node.data
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.node.data, Data::Map(_))
    }

    pub(crate) fn fields(&self) -> Option<Fields<'a>> {
        match &self.node.data {
            Data::Map(entries) => Some(Fields {
                context: self.context,
                entries,
                path: self.path.clone(),
                line: self.node.line,
                asked: RefCell::default(),
                ignored: RefCell::default(),
            }),
            _ => self.expect(None, "a map"),
        }
    }

    pub(crate) fn items(&self) -> Option<Vec<Value<'a>>> {
        let Data::List(items) = &self.node.data else {
            return self.expect(None, "a list");
        };
        let item = |(index, node): (usize, &'a std::rc::Rc<Node>)| Value {
            context: self.context,
            node,
            path: format!("{}[{index}]", self.path),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The entries of a map whose keys the user chooses.
    pub(crate) fn entries(&self) -> Option<Vec<(&'a str, Value<'a>)>> {
        let Data::Map(entries) = &self.node.data else {
            return self.expect(None, "a map");
        };
        let entry = |(key, node): &'a (Key, std::rc::Rc<Node>)| {
            let value = Value {
                context: self.context,
                node,
                path: join(&self.path, &key.text),
            };
            (key.text.as_str(), value)
        };
        Some(entries.iter().map(entry).collect())
    }

    /// A text. A number or bool is taken as it is written. NUL is refused, because the operating
    /// system takes no text with it.
    pub(crate) fn text(&self) -> Option<String> {
        let text = self.node.text().filter(|_| !self.node.is_null());
        let text = text.filter(|text| !text.contains('\0'));
        self.expect(text.map(str::to_owned), &self.quoted("text"))
    }

    /// `expected`, with a hint to use quotes if YAML has read braces as a map.
    fn quoted(&self, expected: &str) -> String {
        match &self.node.data {
            Data::Map(entries) => match entries.as_slice() {
                [(key, value)] if value.is_null() => {
                    format!("{expected}; put it in quotes, \"{{{}}}\"", key.text)
                }
                _ => expected.to_owned(),
            },
            _ => expected.to_owned(),
        }
    }

    /// Whether the value is `word`, with or without quotes.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.node.text() == Some(word)
    }

    /// How many errors the document has so far.
    pub(crate) fn failed(&self) -> usize {
        self.context.failed()
    }

    /// A list of texts.
    pub(crate) fn texts(&self) -> Option<Vec<String>> {
        let items = self.items()?;
        let texts: Vec<String> = items.iter().filter_map(Value::text).collect();
        (texts.len() == items.len()).then_some(texts)
    }

    /// A list of words: texts that are not empty.
    pub(crate) fn words(&self) -> Option<Vec<String>> {
        let items = self.items()?;
        let word = |item: &Value<'_>| {
            let text = item.text()?;
            item.expect(Some(text).filter(|text| !text.trim().is_empty()), "a word")
        };
        let words: Vec<String> = items.iter().filter_map(word).collect();
        (words.len() == items.len()).then_some(words)
    }

    fn plain(&self) -> Option<&'a str> {
        match &self.node.data {
            Data::Plain(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        let flag = match self.plain() {
            Some("true" | "True" | "TRUE") => Some(true),
            Some("false" | "False" | "FALSE") => Some(false),
            _ => None,
        };
        self.expect(flag, "true or false, without quotes")
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// An absent map, at the location of the map around it.
    pub(crate) fn empty(context: &'a Context, parent: &Fields<'a>, name: &str) -> Self {
        Self {
            context,
            entries: &[],
            path: join(&parent.path, name),
            line: parent.line,
            asked: RefCell::default(),
            ignored: RefCell::default(),
        }
    }

    /// The value of a field. As in Kubernetes, null counts as absent.
    pub(crate) fn get(&self, name: &'static str) -> Option<Value<'a>> {
        self.asked.borrow_mut().insert(name);
        let (_, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        if node.is_null() {
            return None;
        }
        Some(Value {
            context: self.context,
            node,
            path: join(&self.path, name),
        })
    }

    /// The value of a required field. Notes an error if it is absent.
    pub(crate) fn required(&self, name: &'static str, expected: &str) -> Option<Value<'a>> {
        let value = self.get(name);
        if value.is_none() {
            let spot = self.context.spot_of(self.line, &join(&self.path, name));
            self.context.wrong(spot, "nothing".into(), expected);
        }
        value
    }

    /// Reads a choice from the field `name`; the first of `choices` if it is absent.
    pub(crate) fn word<T: Copy>(
        &self,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let Some(value) = self.get(name) else {
            return choices.first().map(|(_, choice)| *choice);
        };
        let text = value.text()?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            value.wrong(&words.join(" or "));
        }
        found.map(|(_, choice)| *choice)
    }

    /// Accepts fields that are known but have no effect.
    pub(crate) fn ignore(&self, names: &[&'static str]) {
        self.ignored.borrow_mut().extend(names);
    }

    /// Notes that the map breaks a rule.
    pub(crate) fn rule(&self, message: &str) {
        self.context.rule(self.spot(), message);
    }

    pub(crate) fn spot(&self) -> FieldLocation {
        self.context.spot_of(self.line, &self.path)
    }

    /// How many errors the document has so far, to see whether reading a part has added any.
    pub(crate) fn failed(&self) -> usize {
        self.context.failed()
    }

    /// Notes all unknown fields.
    pub(crate) fn finish(self) {
        let (asked, ignored) = (self.asked.borrow(), self.ignored.borrow());
        for (key, _) in self.entries {
            let name = key.text.as_str();
            if asked.contains(name) || ignored.contains(name) {
                continue;
            }
            let mut useful = asked.iter().copied().filter(|name| !ignored.contains(name));
            let message = if name == "<<" {
                "merge keys are not read; write the fields out".to_owned()
            } else if let Some(near) = nearest(name, useful.clone()) {
                format!("there is no such field; did you mean {near}?")
            } else {
                let first = useful.next().unwrap_or("none");
                let known = useful.fold(first.to_owned(), |list, name| list + ", " + name);
                format!("there is no such field; known here: {known}")
            };
            let spot = self.context.spot_of(key.line, &join(&self.path, name));
            self.context.rule(spot, &message);
        }
    }
}

/// The path of a field in the map at `path`. A name that is not a plain word is quoted.
fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty()
        && name.len() <= 80
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_<".contains(c));
    let name = if plain { name.to_owned() } else { quote(name) };
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

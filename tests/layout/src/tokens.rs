//! Tokens of a module to what it defines, imports and names.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// A path as it is written, segment by segment.
pub type Segments = Vec<String>;

/// A type, module or function, and where it is defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// `type`, `module`, `function` or `constant`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// Who sees it.
    pub visibility: Visibility,
}

/// Who sees what a module defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// The module alone, and those inside it.
    Private,
    /// Others too: `pub`, `pub(super)` and so on.
    Shared,
}

/// What is written in one module, the modules inline in it left out.
#[derive(Debug, Default)]
pub struct Contents {
    /// Items that it defines.
    pub items: BTreeSet<String>,
    /// Names that it imports, and what for.
    pub imports: BTreeMap<String, Segments>,
    /// Modules whose names it all imports.
    pub globs: Vec<Segments>,
    /// Paths that its code names.
    pub paths: BTreeSet<Segments>,
    /// Modules that have files of their own.
    pub files: Vec<String>,
    /// Modules inside it.
    pub inline: Vec<(String, Contents)>,
    /// Modules of tests that have files of their own.
    pub test_files: Vec<String>,
    /// Modules of tests inside it.
    pub test_inline: Vec<(String, Contents)>,
    /// All that it defines, at any depth.
    pub definitions: Vec<Definition>,
}

impl Contents {
    /// What `tokens` say.
    pub fn read(tokens: TokenStream) -> Self {
        let mut contents = Self::default();
        contents.tokens(tokens, true);
        contents
    }

    /// `top`: whether these are the module's own items, rather than something inside one.
    fn tokens(&mut self, tokens: TokenStream, top: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = self.next(&tokens, at, top);
        }
    }

    /// Reads what begins at `at`, and returns where the next thing begins.
    fn next(&mut self, tokens: &[TokenTree], at: usize, top: bool) -> usize {
        match &tokens[at] {
            TokenTree::Punct(punct) if punct.as_char() == '#' => match tokens.get(at + 1) {
                Some(TokenTree::Group(attribute)) if of_tests(attribute) => {
                    self.item_of_tests(tokens, at + 2)
                }
                _ => at + 1,
            },
            // A path that begins with `::` is another crate's, or goes on from `<T as Trait>`.
            TokenTree::Punct(_) if double_colon(tokens, at) => path(tokens, at + 2).1.max(at + 2),
            TokenTree::Group(group) => {
                self.tokens(group.stream(), false);
                at + 1
            }
            TokenTree::Ident(ident) => self.word(tokens, at, ident, top),
            _ => at + 1,
        }
    }

    /// The item of tests that begins at `at`: a module is read, anything else is left out.
    fn item_of_tests(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let end = item_end(tokens, at);
        let item = tokens.get(at..end).unwrap_or_default();
        // Behind further attributes and `pub(…)`.
        let name = item.windows(2).find_map(|pair| match pair {
            [TokenTree::Ident(word), TokenTree::Ident(name)] if word == "mod" => Some(name),
            _ => None,
        });
        let before = item.iter().take_while(|token| !is_word(token, "mod"));
        let is_module = before
            .filter(|token| matches!(token, TokenTree::Ident(_)))
            .all(|token| is_word(token, "pub"));
        if let Some(name) = name.filter(|_| is_module) {
            match item.last() {
                Some(TokenTree::Group(group)) => {
                    let inside = Self::read(group.stream());
                    self.test_inline.push((name.to_string(), inside));
                }
                _ => self.test_files.push(name.to_string()),
            }
        }
        end
    }

    fn word(&mut self, tokens: &[TokenTree], at: usize, ident: &Ident, top: bool) -> usize {
        let word = ident.to_string();
        match word.as_str() {
            "use" => {
                let end = until_semicolon(tokens, at + 1);
                self.import(&tokens[at + 1..end], &[]);
                return end + 1;
            }
            "mod" => {
                if let Some(TokenTree::Ident(name)) = tokens.get(at + 1) {
                    self.define(("module", name), top, visibility(&tokens[..at]));
                    return self.module(tokens, at + 2, name.to_string(), top);
                }
            }
            "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static" => {
                if let Some(TokenTree::Ident(name)) = tokens.get(at + 1) {
                    let kind = match word.as_str() {
                        "fn" => "function",
                        "const" | "static" => "constant",
                        _ => "type",
                    };
                    // `const fn`, `const unsafe fn`
                    if !matches!(
                        name.to_string().as_str(),
                        "fn" | "unsafe" | "extern" | "mut"
                    ) {
                        self.define((kind, name), top, visibility(&tokens[..at]));
                        return at + 2;
                    }
                }
            }
            "macro_rules" => {
                if let Some(TokenTree::Ident(name)) = tokens.get(at + 2) {
                    self.items.insert(name.to_string());
                    return at + 3;
                }
            }
            _ => {}
        }
        let (segments, end) = path(tokens, at);
        if segments.len() > 1 {
            self.paths.insert(segments);
        } else if let Some(name) = segments.first() {
            // It may come from a glob.
            self.paths.insert(vec![name.clone()]);
        }
        end.max(at + 1)
    }

    fn module(&mut self, tokens: &[TokenTree], at: usize, name: String, top: bool) -> usize {
        match tokens.get(at) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inside = Self::read(group.stream());
                self.definitions.extend(inside.definitions.clone());
                self.inline.push((name, inside));
                at + 1
            }
            _ => {
                if top {
                    self.files.push(name);
                }
                at
            }
        }
    }

    fn define(&mut self, (kind, name): (&'static str, &Ident), top: bool, visibility: Visibility) {
        let line = name.span().start().line;
        let name = name.to_string();
        if top && kind != "module" {
            self.items.insert(name.clone());
        }
        self.definitions.push(Definition {
            kind,
            name,
            line,
            visibility,
        });
    }

    /// A `use` tree, after `before`.
    fn import(&mut self, tree: &[TokenTree], before: &[String]) {
        let (segments, mut end) = path(tree, 0);
        let mut full = before.to_vec();
        full.extend(segments);
        if double_colon(tree, end) {
            end += 2;
        }
        match tree.get(end) {
            Some(TokenTree::Group(group)) => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                for one in inside.split(|token| is(token, ',')) {
                    if !one.is_empty() {
                        self.import(one, &full);
                    }
                }
            }
            Some(token) if is(token, '*') => self.globs.push(full),
            renamed => {
                // `a::b::self` is `a::b`.
                if full.len() > 1 && full.last().is_some_and(|last| last == "self") {
                    full.pop();
                }
                let alias = match renamed {
                    Some(TokenTree::Ident(word)) if word == "as" => tree.get(end + 1),
                    _ => None,
                };
                let name = match alias {
                    Some(TokenTree::Ident(alias)) => Some(alias.to_string()),
                    // `as _`: a trait without a name.
                    Some(_) => None,
                    None => full.last().cloned(),
                };
                let name = name.unwrap_or_else(|| format!("_ {}", self.imports.len()));
                self.imports.insert(name, full);
            }
        }
    }
}

/// Who sees the item that `before` is before.
fn visibility(before: &[TokenTree]) -> Visibility {
    let before = match before {
        [rest @ .., TokenTree::Group(group)] if group.delimiter() == Delimiter::Parenthesis => rest,
        all => all,
    };
    match before.last() {
        Some(word) if is_word(word, "pub") => Visibility::Shared,
        _ => Visibility::Private,
    }
}

/// The path at `at`, and where it ends.
fn path(tokens: &[TokenTree], at: usize) -> (Segments, usize) {
    let mut segments = Vec::new();
    let mut end = at;
    while let Some(TokenTree::Ident(ident)) = tokens.get(end) {
        segments.push(ident.to_string());
        end += 1;
        match double_colon(tokens, end) && matches!(tokens.get(end + 2), Some(TokenTree::Ident(_)))
        {
            true => end += 2,
            false => break,
        }
    }
    (segments, end)
}

fn is(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

fn is_word(token: &TokenTree, text: &str) -> bool {
    matches!(token, TokenTree::Ident(word) if word == text)
}

fn double_colon(tokens: &[TokenTree], at: usize) -> bool {
    [at, at + 1]
        .into_iter()
        .all(|at| tokens.get(at).is_some_and(|token| is(token, ':')))
}

fn until_semicolon(tokens: &[TokenTree], at: usize) -> usize {
    let rest = tokens.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|token| !is(token, ';')).count()
}

/// Whether an attribute leaves what follows to tests: `[cfg(test)]`, `[cfg(all(test, unix))]`.
fn of_tests(attribute: &Group) -> bool {
    let mut tokens = attribute.stream().into_iter();
    let cfg = matches!(tokens.next(), Some(TokenTree::Ident(word)) if word == "cfg");
    let Some(TokenTree::Group(condition)) = tokens.next() else {
        return false;
    };
    let text = condition.stream().to_string();
    let words: Vec<_> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .collect();
    cfg && words.contains(&"test") && !words.contains(&"not") && !words.contains(&"any")
}

/// Where the item that begins at `at` is over: after its `;` or its braces.
fn item_end(tokens: &[TokenTree], at: usize) -> usize {
    let rest = tokens.get(at..).unwrap_or_default();
    let last = rest.iter().position(|token| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        other => is(other, ';'),
    });
    at + last.map_or(rest.len(), |last| last + 1)
}

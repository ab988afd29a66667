//! The modules of a crate, and which file each name comes from.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    graph::Edges,
    source::Source,
    tokens::{Contents, Definition, Segments},
};

/// A crate: its modules by their paths, the root's being empty.
#[derive(Debug, Default)]
pub struct Crate {
    modules: BTreeMap<Segments, Module>,
}

#[derive(Debug)]
struct Module {
    /// For tests in a file of other code: that file's name and ` (tests)`.
    file: PathBuf,
    code: Code,
    contents: Contents,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Shipped,
    /// Below `#[cfg(test)]`.
    Tests,
}

/// More re-exports than this, one of the next, are a loop of them.
const HOPS: usize = 16;

impl Crate {
    /// The crate whose root is the file `root`.
    ///
    /// # Errors
    /// If a file is missing, or is not Rust.
    pub fn read(root: &Path) -> Result<Self, String> {
        let mut found = Self::default();
        let folder = root.parent().unwrap_or(root);
        found.add(root, folder, Vec::new(), Code::Shipped)?;
        Ok(found)
    }

    /// Adds the module of `file`, whose own modules are in `folder`.
    fn add(
        &mut self,
        file: &Path,
        folder: &Path,
        path: Segments,
        code: Code,
    ) -> Result<(), String> {
        let Source { file, contents } = Source::read(file)?;
        self.contents(&file, folder, path, (code, contents))
    }

    fn contents(
        &mut self,
        file: &Path,
        folder: &Path,
        path: Segments,
        (code, mut contents): (Code, Contents),
    ) -> Result<(), String> {
        let (inline, tests) = (
            std::mem::take(&mut contents.inline),
            std::mem::take(&mut contents.test_inline),
        );
        for (name, inside) in inline {
            let folder = folder.join(&name);
            self.contents(file, &folder, joined(&path, &name), (code, inside))?;
        }
        for (name, inside) in tests {
            let (folder, path) = (folder.join(&name), joined(&path, &name));
            let file = match code {
                Code::Shipped => PathBuf::from(format!("{} (tests)", file.display())),
                Code::Tests => file.to_owned(),
            };
            self.contents(&file, &folder, path, (Code::Tests, inside))?;
        }
        let files = contents.files.iter().map(|name| (name, code));
        let test_files = contents.test_files.iter().map(|name| (name, Code::Tests));
        for (name, code) in files.chain(test_files) {
            let (flat, nested) = (
                folder.join(format!("{name}.rs")),
                folder.join(name).join("mod.rs"),
            );
            let file = if flat.exists() { flat } else { nested };
            self.add(&file, &folder.join(name), joined(&path, name), code)?;
        }
        let file = file.to_owned();
        let module = Module {
            file,
            code,
            contents,
        };
        self.modules.insert(path, module);
        Ok(())
    }

    /// The files, tests left out, and which each imports from.
    #[must_use]
    pub fn imports(&self) -> Edges {
        self.imports_of(|code| code == Code::Shipped)
    }

    /// The files and the tests in them, and which each imports from.
    #[must_use]
    pub fn imports_with_tests(&self) -> Edges {
        self.imports_of(|_| true)
    }

    /// What it defines, tests left out, and in which files.
    pub fn definitions(&self) -> impl Iterator<Item = (&Path, &Definition)> {
        let shipped = self.modules.values();
        let shipped = shipped.filter(|module| module.code == Code::Shipped);
        shipped.flat_map(|module| {
            let all = module.contents.definitions.iter();
            all.map(|definition| (module.file.as_path(), definition))
        })
    }

    fn imports_of(&self, is_wanted: impl Fn(Code) -> bool) -> Edges {
        let mut edges = Edges::default();
        for (path, module) in self
            .modules
            .iter()
            .filter(|(_, module)| is_wanted(module.code))
        {
            edges.entry(module.file.clone()).or_default();
            let Contents {
                imports,
                globs,
                paths,
                ..
            } = &module.contents;
            let named = imports
                .values()
                .chain(paths)
                .filter_map(|name| self.origin(path, name, 0));
            let all = globs
                .iter()
                .filter_map(|glob| self.module(path, glob, 0))
                .map(|(_, module)| &module.file);
            let around: Vec<&PathBuf> = self.around(path).collect();
            for origin in named.chain(all).filter(|origin| !around.contains(origin)) {
                edges
                    .entry(module.file.clone())
                    .or_default()
                    .insert(origin.clone());
            }
        }
        edges
    }

    /// The files of the module at `path` and of those that it is inside of.
    fn around(&self, path: &[String]) -> impl Iterator<Item = &PathBuf> {
        let paths = (0..=path.len()).filter_map(|length| path.get(..length));
        paths
            .filter_map(|path| self.modules.get(path))
            .map(|module| &module.file)
    }

    /// The file that defines what `name` stands for in the module `from`: `None` for a module and
    /// for what another crate defines.
    fn origin(&self, from: &[String], name: &[String], hops: usize) -> Option<&PathBuf> {
        if hops > HOPS {
            return None;
        }
        let (mut at, mut rest) = anchored(from, name);
        let relative = at.len() == from.len() && rest.len() == name.len();
        while let Some((first, after)) = rest.split_first() {
            let deeper = joined(&at, first);
            if self.modules.contains_key(&deeper) {
                (at, rest) = (deeper, after);
                continue;
            }
            let module = self.modules.get(&at)?;
            let contents = &module.contents;
            if contents.items.contains(first) {
                return Some(&module.file);
            }
            // A name that is imported under itself (`use http; http::Method`) is a crate's.
            if let Some(import) = contents
                .imports
                .get(first)
                .filter(|import| import.as_slice() != std::slice::from_ref(first))
            {
                let whole: Segments = import.iter().chain(after).cloned().collect();
                return self.origin(&at, &whole, hops + 1);
            }
            for glob in &contents.globs {
                if let Some((path, _)) = self.module(&at, glob, hops + 1) {
                    let (path, within) = (path.clone(), self.modules.get(path)?);
                    let known = within.contents.items.contains(first)
                        || within.contents.imports.contains_key(first);
                    if known && path != at {
                        return self.origin(&path, rest, hops + 1);
                    }
                }
            }
            // A macro's, or another crate's.
            return (!relative || rest.len() < name.len()).then_some(&module.file);
        }
        None
    }

    /// The module that `name` stands for in the module `from`.
    fn module(
        &self,
        from: &[String],
        name: &[String],
        hops: usize,
    ) -> Option<(&Segments, &Module)> {
        if hops > HOPS {
            return None;
        }
        let (mut at, mut rest) = anchored(from, name);
        while let Some((first, after)) = rest.split_first() {
            let deeper = joined(&at, first);
            if self.modules.contains_key(&deeper) {
                (at, rest) = (deeper, after);
                continue;
            }
            let import = self.modules.get(&at)?.contents.imports.get(first)?;
            let whole: Segments = import.iter().chain(after).cloned().collect();
            return (whole != rest)
                .then(|| self.module(&at, &whole, hops + 1))
                .flatten();
        }
        self.modules.get_key_value(&at)
    }
}

/// Where a path begins, and what comes after.
fn anchored<'a>(from: &[String], name: &'a [String]) -> (Segments, &'a [String]) {
    let (mut at, mut rest) = (from.to_vec(), name);
    while let Some((first, after)) = rest.split_first() {
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop();
            }
            _ => break,
        }
        rest = after;
    }
    (at, rest)
}

fn joined(path: &[String], name: &str) -> Segments {
    let mut path = path.to_vec();
    path.push(name.to_owned());
    path
}

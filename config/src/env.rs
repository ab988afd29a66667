//! The environment as a value, so that only `main` reads the real one and tests need not change
//! it.

use std::collections::BTreeMap;

use crate::Origin;

/// The environment variables, and the command-line options that override them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Env {
    variables: BTreeMap<String, String>,
    /// Values of options, by the name of the variable that they override.
    options: BTreeMap<&'static str, String>,
}

impl Env {
    /// The variables of this process. Bytes that are not UTF-8 become replacement characters, so
    /// that such a setting is refused and not overlooked.
    #[must_use]
    pub fn from_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| {
                (
                    name.to_string_lossy().into_owned(),
                    value.to_string_lossy().into_owned(),
                )
            })
            .collect()
    }

    /// Adds command-line options, which override variables: pairs of the variable's name and the
    /// value.
    #[must_use]
    pub fn with_options(
        mut self,
        options: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        self.options.extend(options);
        self
    }

    /// The value of `name`, if it is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let option = self.options.get(name);
        option
            .or_else(|| self.variables.get(name))
            .map(String::as_str)
    }

    /// The origin of the value that [`get`](Self::get) returns for `name`.
    #[must_use]
    pub fn origin(&self, name: &'static str) -> Origin {
        match self.options.contains_key(name) {
            true => Origin::Flag(name),
            false => Origin::Environment(name),
        }
    }

    /// The names of all variables, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter();
        Self {
            variables: pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            options: BTreeMap::new(),
        }
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Env {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

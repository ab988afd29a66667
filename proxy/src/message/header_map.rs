//! The fields of a message.

use http::{HeaderName, HeaderValue};

/// Fields in the order in which they came. A name may occur several times.
#[derive(Clone, Default, PartialEq)]
pub struct HeaderMap {
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// A name that fields are looked for by.
pub trait FieldName {
    /// Whether it is `name`.
    fn is(&self, name: &HeaderName) -> bool;
}

/// A name that fields are added by.
pub trait IntoFieldName: FieldName {
    /// The name.
    fn into_name(self) -> HeaderName;
}

impl HeaderMap {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// No fields, with memory for so many.
    #[must_use]
    pub fn with_capacity(fields: usize) -> Self {
        let fields = Vec::with_capacity(fields);
        Self { fields }
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, fields: usize) {
        self.fields.reserve(fields);
    }

    /// The number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The first field of this name.
    #[inline]
    pub fn get(&self, name: impl FieldName) -> Option<&HeaderValue> {
        let found = self.fields.iter().find(|(own, _)| name.is(own));
        found.map(|(_, value)| value)
    }

    /// All fields of this name.
    pub fn get_all<N: FieldName>(
        &self,
        name: N,
    ) -> impl Iterator<Item = &HeaderValue> + use<'_, N> {
        let fields = self.fields.iter().filter(move |(own, _)| name.is(own));
        fields.map(|(_, value)| value)
    }

    /// Whether there is a field of this name.
    #[inline]
    pub fn contains_key(&self, name: impl FieldName) -> bool {
        self.get(name).is_some()
    }

    /// Replaces all fields of this name by one.
    pub fn insert(&mut self, name: impl IntoFieldName, value: HeaderValue) {
        let Some(at) = self.fields.iter().position(|(own, _)| name.is(own)) else {
            return self.append(name, value);
        };
        self.fields[at].1 = value;
        let mut behind = 0;
        self.fields.retain(|(own, _)| {
            behind += 1;
            behind <= at + 1 || !name.is(own)
        });
    }

    /// Adds a field. Others of this name stay.
    #[inline]
    pub fn append(&mut self, name: impl IntoFieldName, value: HeaderValue) {
        self.fields.push((name.into_name(), value));
    }

    /// Removes all fields of this name, and returns the first one.
    pub fn remove(&mut self, name: impl FieldName) -> Option<HeaderValue> {
        let at = self.fields.iter().position(|(own, _)| name.is(own))?;
        let (_, removed) = self.fields.remove(at);
        self.fields.retain(|(own, _)| !name.is(own));
        Some(removed)
    }

    /// Keeps the fields whose names are to stay, and removes all others.
    pub fn retain(&mut self, stays: impl Fn(&HeaderName) -> bool) {
        self.fields.retain(|(name, _)| stays(name));
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> + Clone {
        self.fields.iter().map(|(name, value)| (name, value))
    }
}

/// # Panics
/// If there is no such field.
#[cfg(test)]
impl<N: FieldName> std::ops::Index<N> for HeaderMap {
    type Output = HeaderValue;

    fn index(&self, name: N) -> &HeaderValue {
        self.get(name).unwrap()
    }
}

impl FieldName for HeaderName {
    #[inline]
    fn is(&self, name: &HeaderName) -> bool {
        self == name
    }
}

impl FieldName for &HeaderName {
    #[inline]
    fn is(&self, name: &HeaderName) -> bool {
        *self == name
    }
}

impl FieldName for &str {
    fn is(&self, name: &HeaderName) -> bool {
        self.eq_ignore_ascii_case(name.as_str())
    }
}

impl IntoFieldName for HeaderName {
    #[inline]
    fn into_name(self) -> HeaderName {
        self
    }
}

impl IntoFieldName for &HeaderName {
    fn into_name(self) -> HeaderName {
        self.clone()
    }
}

/// Must be a valid name in lower case.
impl IntoFieldName for &'static str {
    fn into_name(self) -> HeaderName {
        HeaderName::from_static(self)
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: I) -> Self {
        let fields = fields.into_iter().collect();
        Self { fields }
    }
}

impl Extend<(HeaderName, HeaderValue)> for HeaderMap {
    fn extend<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(&mut self, fields: I) {
        self.fields.extend(fields);
    }
}

impl<'a> IntoIterator for &'a HeaderMap {
    type Item = (&'a HeaderName, &'a HeaderValue);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, (HeaderName, HeaderValue)>,
        fn(&'a (HeaderName, HeaderValue)) -> Self::Item,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.iter().map(|(name, value)| (name, value))
    }
}

impl IntoIterator for HeaderMap {
    type Item = (HeaderName, HeaderValue);
    type IntoIter = std::vec::IntoIter<(HeaderName, HeaderValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}

/// For what other crates made.
impl From<http::HeaderMap> for HeaderMap {
    fn from(fields: http::HeaderMap) -> Self {
        let all = fields.iter();
        all.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

/// For other crates. Their map has room for as many fields as `TAILBACK_HEADER_MAX_FIELDS` may allow.
impl From<HeaderMap> for http::HeaderMap {
    fn from(fields: HeaderMap) -> Self {
        let mut map = Self::new();
        for (name, value) in fields {
            // Cannot fail: there are no more than that.
            let _ = map.try_append(name, value);
        }
        map
    }
}

/// Without the values: they may be secrets.
impl std::fmt::Debug for HeaderMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.fields.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 4] = ["host", "x-a", "x-b", "via"];

    #[derive(Clone, Debug)]
    enum Change {
        Append,
        Insert,
        Remove,
    }

    fn change() -> impl Strategy<Value = (Change, usize, u8)> {
        let change = prop_oneof![
            3 => Just(Change::Append),
            2 => Just(Change::Insert),
            1 => Just(Change::Remove),
        ];
        (change, 0..NAMES.len(), any::<u8>())
    }

    proptest! {
        #[test]
        fn it_has_what_the_map_of_the_crate_http_has(
            changes in proptest::collection::vec(change(), 0..20),
        ) {
            let (mut own, mut others) = (HeaderMap::new(), http::HeaderMap::new());
            for (change, name, value) in changes {
                let (name, value) = (NAMES[name], HeaderValue::from(u16::from(value)));
                match change {
                    Change::Append => {
                        own.append(name, value.clone());
                        others.append(name, value);
                    }
                    Change::Insert => {
                        own.insert(name, value.clone());
                        others.insert(name, value);
                    }
                    Change::Remove => prop_assert_eq!(own.remove(name), others.remove(name)),
                }
                for name in NAMES {
                    prop_assert_eq!(own.get(name), others.get(name));
                    prop_assert_eq!(own.contains_key(name), others.contains_key(name));
                    let all: Vec<_> = own.get_all(name).collect();
                    prop_assert_eq!(all, others.get_all(name).iter().collect::<Vec<_>>());
                }
                prop_assert_eq!((own.len(), own.is_empty()), (others.len(), others.is_empty()));
            }
            prop_assert_eq!(http::HeaderMap::from(own), others);
        }
    }

    #[test]
    fn fields_keep_their_order() {
        let mut fields = HeaderMap::new();
        for (name, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
            fields.append(name, HeaderValue::from_static(value));
        }
        let text = |fields: &HeaderMap| {
            let field = |(name, value): (&HeaderName, &HeaderValue)| {
                format!("{name}{}", value.to_str().unwrap())
            };
            fields.iter().map(field).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text(&fields), "a1 b2 a3 c4");
        fields.insert("a", HeaderValue::from_static("5"));
        assert_eq!(text(&fields), "a5 b2 c4");
        fields.remove("b");
        fields.insert("d", HeaderValue::from_static("6"));
        assert_eq!(text(&fields), "a5 c4 d6");
    }

    #[test]
    fn names_are_found_in_any_case() {
        let host = (http::header::HOST, HeaderValue::from_static("h"));
        let fields = HeaderMap::from_iter([host]);
        assert!(fields.contains_key("Host") && fields.contains_key(http::header::HOST));
        assert!(format!("{fields:?}").contains("host"), "{fields:?}");
    }
}

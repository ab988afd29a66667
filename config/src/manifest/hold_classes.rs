//! Reads `hold.classes` and `hold.fairBy`.

use http::HeaderName;

use crate::manifest::fields::{Fields, Value};
use crate::name::is_label;
use crate::{FairBy, HoldClasses};

/// Reads a list of class names, a map with the field `names`, or `none` to override the server's
/// setting.
pub(super) fn read_classes(value: &Value<'_>) -> Option<Option<HoldClasses>> {
    if value.is("none") {
        return Some(None);
    }
    if !value.is_map() {
        return read_names(value).map(|names| {
            Some(HoldClasses {
                names,
                header: HeaderName::from_static(HoldClasses::HEADER),
                default: 0,
            })
        });
    }
    let before = value.failed();
    let fields = value.fields()?;
    let names = fields
        .required("names", "a list of classes, the first to go first")
        .and_then(|value| read_names(&value));
    let header =
        read_header(&fields).unwrap_or_else(|| Some(HeaderName::from_static(HoldClasses::HEADER)));
    let default = fields.get("default").map_or(Some(0), |value| {
        let text = value.text()?;
        let place = names.as_ref()?.iter().position(|name| *name == text);
        if place.is_none() {
            value.wrong("one of the names");
        }
        place
    });
    fields.finish();
    if value.failed() != before {
        return None;
    }
    Some(Some(HoldClasses {
        names: names?,
        header: header?,
        default: default?,
    }))
}

/// Reads `key`, `none`, or `{ header: NAME }`.
pub(super) fn read_fair_by(value: &Value<'_>) -> Option<FairBy> {
    const EXPECTED: &str = "key, none, or { header: NAME }";
    if !value.is_map() {
        return match value.text()?.as_str() {
            "key" => Some(FairBy::Key),
            "none" => Some(FairBy::None),
            _ => {
                value.wrong(EXPECTED);
                None
            }
        };
    }
    let fields = value.fields()?;
    let header = read_header(&fields);
    if header.is_none() {
        fields.rule(&format!("expected {EXPECTED}"));
    }
    fields.finish();
    header?.map(FairBy::Header)
}

/// Reads the field `header`. The outer `None`: the field is absent.
fn read_header(fields: &Fields<'_>) -> Option<Option<HeaderName>> {
    let value = fields.get("header")?;
    let name = value.text().and_then(|text| text.parse().ok());
    if name.is_none() {
        value.wrong("the name of a header, such as x-tenant");
    }
    Some(name)
}

fn read_names(value: &Value<'_>) -> Option<Vec<String>> {
    let names = value.texts()?;
    let are_distinct = (1..names.len()).all(|n| !names[..n].contains(&names[n]));
    let is_fit = (1..=HoldClasses::MOST).contains(&names.len())
        && are_distinct
        && names.iter().all(|name| is_label(name));
    if !is_fit {
        value.rule(
            "expected 1 to 8 different names of lower-case letters, digits and '-', such as \
             [interactive, batch]",
        );
        return None;
    }
    Some(names)
}

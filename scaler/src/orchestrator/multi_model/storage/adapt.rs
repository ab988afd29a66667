//! Sets the name in a model's own settings. Servers load a model by that name, while several
//! models may have the same files.

use std::{fs, io, path::Path};

use regex::Regex;
use serde_json::Value;

/// Writes `name` into the settings of MLServer and Triton in `folder`, if they have another name.
///
/// # Errors
/// If a file cannot be read or written.
pub(super) fn set_name(folder: &Path, name: &str) -> io::Result<()> {
    change(&folder.join("model-settings.json"), |text| {
        let mut settings: Value = serde_json::from_str(text).ok()?;
        let own = settings.as_object_mut()?;
        if own.get("name").is_some_and(|own| own == name) {
            return None;
        }
        own.insert("name".into(), name.into());
        serde_json::to_string_pretty(&settings).ok()
    })?;
    change(&folder.join("config.pbtxt"), |text| {
        // An indented `name` is not the model's.
        let line = Regex::new(r#"(?m)^name\s*:\s*"[^"\n]*""#).ok()?;
        let own = format!("name: {}", Value::from(name));
        let changed = line.replace(text, regex::NoExpand(&own));
        (changed != text).then(|| changed.into_owned())
    })
}

/// Changes a file if it exists. A file that is not text is left alone: the server will report it.
fn change(path: &Path, change: impl FnOnce(&str) -> Option<String>) -> io::Result<()> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match change(&text) {
        Some(changed) => fs::write(path, changed),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapted(file: &str, text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        fs::write(&path, text).unwrap();
        set_name(folder.path(), "iris-2").unwrap();
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn mlservers_settings_get_the_name() {
        let text = r#"{"name": "iris", "implementation": "x", "parameters": {"uri": "./a"}}"#;
        let settings: Value = serde_json::from_str(&adapted("model-settings.json", text)).unwrap();
        assert_eq!(settings["name"], "iris-2");
        assert_eq!(settings["parameters"]["uri"], "./a");
        let own = r#"{"name": "iris-2"}"#;
        assert_eq!(adapted("model-settings.json", own), own);
        assert_eq!(adapted("model-settings.json", "{broken"), "{broken");
    }

    #[test]
    fn tritons_settings_get_the_name_and_those_of_tensors_stay() {
        let text = "backend: \"onnx\"\nname: \"iris\"\ninput [\n  {\n    name: \"x\"\n  }\n]\n";
        let expected = text.replace("\"iris\"", "\"iris-2\"");
        assert_eq!(adapted("config.pbtxt", text), expected);
        let without = "backend: \"onnx\"\ninput [ { name: \"x\" } ]\n";
        assert_eq!(adapted("config.pbtxt", without), without);
    }
}

//! `tailback keys`: adds, lists and revokes API keys in their file.

mod replace;

use std::{fmt::Write, fs, num::NonZeroU32, path::PathBuf, time::SystemTime};

use clap::{Args, Subcommand};
use ring::rand::{SecureRandom, SystemRandom};
use tailback_config::{ApiKey, ApiKeysFile, NamePattern};

use super::settings::{ApiKeysSetting, OneSetting};
use crate::api_keys::sha256;

/// The variable that names the file.
const VARIABLE: &str = "TAILBACK_API_KEYS_FILE";
/// The prefix of every key, by which scanners for leaked secrets recognise it.
const PREFIX: &str = "tb-";
/// Random bytes of a key.
const RANDOM_BYTES: usize = 32;

/// What to do with the keys.
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a new key, and print it
    ///
    /// Prints the key, 256 random bits, this one time. The file gets its hash
    /// alone; it is made if it is not there. A running tailback takes the new
    /// file at once.
    #[command(
        after_help = "Example:\n  tailback keys add chat-team --model 'llama-*' --requests-per-minute 600 \
            --api-keys-file keys.yaml"
    )]
    Add(Add),
    /// Show the keys: names, limits and when they expire
    List {
        #[command(flatten)]
        file: OneSetting<ApiKeysSetting>,
    },
    /// Take a key out of the file
    ///
    /// A running tailback refuses the key from then on. Requests that have it
    /// already go on to their end.
    Revoke {
        /// The key's name
        name: String,
        #[command(flatten)]
        file: OneSetting<ApiKeysSetting>,
    },
}

/// A new key.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name, for metrics and the access log: lower-case letters, digits, '-' and '.'
    name: String,
    /// A model that it may be used for, by name or alias, or the beginning and *; may be repeated
    /// [default: all models]
    #[arg(long = "model", value_name = "NAME", value_parser = pattern)]
    models: Vec<NamePattern>,
    /// The highest class of its requests in hold queues [default: any]
    #[arg(long)]
    class: Option<String>,
    /// Most requests a minute [default: no limit]
    #[arg(long, value_name = "COUNT")]
    requests_per_minute: Option<NonZeroU32>,
    /// Most requests at once [default: no limit]
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<NonZeroU32>,
    /// When it expires, in UTC: 2027-01-31, or 2027-01-31T12:00:00Z [default: never]
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires: Option<SystemTime>,
    #[command(flatten)]
    file: OneSetting<ApiKeysSetting>,
}

fn pattern(text: &str) -> Result<NamePattern, &'static str> {
    NamePattern::parse(text).ok_or("expected a name, or its beginning and * at the end")
}

fn time(text: &str) -> Result<SystemTime, String> {
    ApiKey::parse_time(text).ok_or_else(|| format!("expected {}", ApiKey::TIME_EXPECTED))
}

/// Does it. Returns what to print.
///
/// # Errors
/// Why it cannot be done.
pub(super) fn run(keys: Keys) -> Result<String, String> {
    match keys {
        Keys::Add(add) => add.run(),
        Keys::List { file } => {
            let path = path(file)?;
            let file = ApiKeysFile::read(&path).map_err(|errors| errors.to_string())?;
            Ok(list(file.keys(), SystemTime::now()))
        }
        Keys::Revoke { name, file } => {
            let path = path(file)?;
            replace::with(&path, |text| {
                let file = ApiKeysFile::parse(&path, text.unwrap_or_default());
                let file = file.map_err(|errors| errors.to_string())?;
                Ok(file.without(&path, &name)?.text().to_owned())
            })?;
            Ok(format!("revoked {name}\n"))
        }
    }
}

impl Add {
    fn run(self) -> Result<String, String> {
        let path = path(self.file)?;
        let secret = secret()?;
        let hash = sha256(secret.as_bytes());
        let Some(key) = ApiKey::new(&self.name, hash) else {
            return Err(format!(
                "{:?} cannot be the name of a key; expected 1 to 253 lower-case letters, digits, '-' and '.'",
                self.name
            ));
        };
        let key = ApiKey {
            models: (!self.models.is_empty()).then_some(self.models),
            class: self.class,
            requests_per_minute: self.requests_per_minute,
            concurrency: self.concurrency,
            expires: self.expires,
            ..key
        };
        replace::with(&path, |text| {
            let file = match text {
                Some(text) => ApiKeysFile::parse(&path, text),
                None => Ok(ApiKeysFile::empty()),
            };
            let with = file.and_then(|file| file.with(&path, &key));
            let with = with.map_err(|errors| errors.to_string())?;
            Ok(with.text().to_owned())
        })?;
        Ok(format!("{secret}\n"))
    }
}

/// The path of the file with links resolved, so that the file is replaced and not the link.
fn path(file: OneSetting<ApiKeysSetting>) -> Result<PathBuf, String> {
    let env = file.env();
    let path = env.get(VARIABLE).map(str::trim).unwrap_or_default();
    if path.is_empty() {
        return Err(format!(
            "no file of API keys is named: expected --api-keys-file, or the environment variable {VARIABLE}"
        ));
    }
    let path = PathBuf::from(path);
    Ok(fs::canonicalize(&path).unwrap_or(path))
}

/// A new random key.
fn secret() -> Result<String, String> {
    let mut random = [0; RANDOM_BYTES];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| "the system has no random bytes for a key".to_owned())?;
    let mut secret = PREFIX.to_owned();
    for byte in random {
        // Writing to a string cannot fail.
        let _ = write!(secret, "{byte:02x}");
    }
    Ok(secret)
}

/// A line for each key.
fn list(keys: &[ApiKey], now: SystemTime) -> String {
    let shown = |limit: Option<NonZeroU32>| limit.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let row = |key: &ApiKey| {
        let models = key.models.as_ref().map(|models| {
            let models: Vec<_> = models.iter().map(ToString::to_string).collect();
            models.join(",")
        });
        let expires = key.expires.map(|time| {
            let expired = if key.is_expired(now) {
                " (expired)"
            } else {
                ""
            };
            format!("{}{expired}", humantime::format_rfc3339_seconds(time))
        });
        [
            key.name.clone(),
            models.unwrap_or_else(|| "*".to_owned()),
            key.class.clone().unwrap_or_else(|| "-".to_owned()),
            shown(key.requests_per_minute),
            shown(key.concurrency),
            expires.unwrap_or_else(|| "never".to_owned()),
        ]
    };
    let head = [
        "name",
        "models",
        "class",
        "per minute",
        "at once",
        "expires",
    ]
    .map(str::to_owned);
    let rows: Vec<_> = [head].into_iter().chain(keys.iter().map(row)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let widths = rows.iter().map(|row| row[column].chars().count());
            let width = widths.max().unwrap_or(0);
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_another_one_and_has_256_random_bits() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert_ne!(one, other);
        let digits = one.strip_prefix(PREFIX).unwrap();
        assert!(digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn keys_are_listed_with_their_limits() {
        let mut key = ApiKey::new("alice", sha256(b"k")).unwrap();
        key.models = Some(vec![pattern("llama-*").unwrap(), pattern("iris").unwrap()]);
        key.concurrency = NonZeroU32::new(8);
        key.expires = ApiKey::parse_time("2020-01-31");
        let bob = ApiKey::new("bob", sha256(b"l")).unwrap();
        let expected = "\
name   models        class  per minute  at once  expires
alice  llama-*,iris  -      -           8        2020-01-31T00:00:00Z (expired)
bob    *             -      -           -        never
";
        assert_eq!(list(&[key, bob], SystemTime::now()), expected);
    }
}

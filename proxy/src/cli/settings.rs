//! A command line option for each environment variable.

use std::marker::PhantomData;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use tailback_config::{Env, VARIABLES, Variable};

/// The values of the options given, each with the variable that it overrides.
#[derive(Debug, Clone, Default)]
pub struct Settings(Vec<(&'static str, String)>);

/// The option for a single variable, for commands that need no other.
#[derive(Debug, Clone, Default)]
pub struct OneSetting<V>(Settings, PhantomData<V>);

/// The variable of [`OneSetting`].
pub trait OfVariable {
    /// Its name.
    const NAME: &'static str;
}

/// The admin address, for commands that talk to a running proxy.
#[derive(Debug, Clone, Default)]
pub struct AdminSetting;

impl OfVariable for AdminSetting {
    const NAME: &'static str = ADMIN;
}

/// The option for the admin address alone.
pub type AdminAddress = OneSetting<AdminSetting>;

/// The file of API keys.
#[derive(Debug, Clone, Default)]
pub struct ApiKeysSetting;

impl OfVariable for ApiKeysSetting {
    const NAME: &'static str = "TAILBACK_API_KEYS_FILE";
}

const ADMIN: &str = "TAILBACK_ADMIN";
const HEADING: &str = "Settings, also by environment variables";

impl Settings {
    /// The environment of this process, overridden by these options.
    pub fn env(self) -> Env {
        Env::from_process().with_options(self.0)
    }

    fn augment(command: Command, wanted: impl Fn(&Variable) -> bool) -> Command {
        VARIABLES
            .iter()
            .filter(|variable| wanted(variable))
            .filter_map(arg)
            .fold(command, Command::arg)
    }

    fn found(matches: &ArgMatches) -> Self {
        let value = |variable: &&'static Variable| {
            let value = matches.try_get_one::<String>(variable.name).ok().flatten();
            value.map(|value| (variable.name, value.clone()))
        };
        Self(
            VARIABLES
                .iter()
                .filter_map(|variable| value(&variable))
                .collect(),
        )
    }
}

impl<V> OneSetting<V> {
    /// The environment of this process, overridden by this option.
    pub fn env(self) -> Env {
        self.0.env()
    }
}

/// The option that overrides `variable`; `None` if it can be set by the environment alone.
fn arg(variable: &'static Variable) -> Option<Arg> {
    let help = format!(
        "{} [env: {}] [default: {}]",
        capitalized(variable.meaning),
        variable.name,
        variable.default
    );
    let arg = Arg::new(variable.name)
        .long(variable.flag()?)
        .value_name(value_name(variable.name))
        // A value such as `-1` is reported by validation, together with all other errors.
        .allow_hyphen_values(true)
        .help_heading(HEADING)
        .help(help);
    Some(match variable.name {
        "TAILBACK_LISTEN" => arg.visible_alias("port"),
        _ => arg,
    })
}

fn value_name(variable: &str) -> &'static str {
    match variable {
        "TAILBACK_LISTEN" | ADMIN => "ADDRESS",
        name if name.ends_with("_SECONDS") || name.contains("_SECONDS_") => "SECONDS",
        name if name.ends_with("_BYTES") || name == "TAILBACK_MEMORY_MAX" => "BYTES",
        "TAILBACK_ACCESS_LOG" | ApiKeysSetting::NAME => "FILE",
        name if name.starts_with("TAILBACK_TLS_") && !name.ends_with("VERSION") => "FILE",
        _ => "VALUE",
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        Self::augment(command, |_| true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::found(matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::found(matches);
        Ok(())
    }
}

impl<V: OfVariable> Args for OneSetting<V> {
    fn augment_args(command: Command) -> Command {
        Settings::augment(command, |variable| variable.name == V::NAME)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<V> FromArgMatches for OneSetting<V> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(Settings::found(matches), PhantomData))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = Settings::found(matches);
        Ok(())
    }
}

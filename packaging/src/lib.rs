//! What is made from the command line of `tailback`: completions for shells, manual pages, and the
//! page of the documentation.

use std::{fmt::Write, fs, io, path::Path};

use clap::{Arg, Command};
use clap_complete::{Shell, generate_to};

/// Writes the completions for bash, zsh and fish to `folder`.
///
/// # Errors
/// If a file cannot be written.
pub fn completions(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut tailback::cli::command(), "tailback", folder)?;
    }
    Ok(())
}

/// Writes a manual page for `tailback` and one for each of its commands to `folder`.
///
/// # Errors
/// If a file cannot be written.
pub fn manual(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(
        tailback::cli::command().disable_help_subcommand(true),
        folder,
    )
}

/// The page of the documentation: what `--help` says of each command, as Markdown.
#[must_use]
pub fn page() -> String {
    let mut command = tailback::cli::command();
    command.build();
    let mut page = String::from(
        "# Command line\n\n\
         <!-- Made by `make command-line` from the program's own help. -->\n",
    );
    about(&mut page, &command);
    page.push_str("| command | |\n|---|---|\n");
    for (name, one) in commands(&command) {
        let short = one.get_about().map(ToString::to_string).unwrap_or_default();
        let anchor = name.replace(' ', "-");
        let _ = writeln!(
            page,
            "| [`tailback {name}`](#tailback-{anchor}) | {short} |"
        );
    }
    page.push_str(
        "\n`tailback --help` and `tailback COMMAND --help` say the same. An option of the settings wins over \
         its environment variable; [Environment variables](environment.md) has the rest about them.\n",
    );
    for (name, one) in commands(&command) {
        let _ = write!(page, "\n## tailback {name}\n");
        about(&mut page, one);
        let usage = one.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        let _ = write!(page, "```text\n{usage}\n```\n\n");
        let (settings, own): (Vec<_>, Vec<_>) =
            arguments(one).partition(|arg| arg.get_help_heading().is_some());
        // Those that all take are listed once.
        let all = settings.len() > 1;
        table(
            &mut page,
            own.into_iter().chain(settings.into_iter().filter(|_| !all)),
        );
        if all {
            page.push_str("\nand the [settings](#settings).\n");
        }
    }
    page.push_str("\n## Settings\n\nOptions of `tailback serve`, `check` and `config`.\n\n");
    let serve = command.find_subcommand("serve");
    let settings = serve.into_iter().flat_map(arguments);
    table(
        &mut page,
        settings.filter(|arg| arg.get_help_heading().is_some()),
    );
    page
}

/// The commands, each followed by its own, by what is typed.
fn commands(command: &Command) -> Vec<(String, &Command)> {
    let shown = |one: &&Command| !one.is_hide_set() && one.get_name() != "help";
    let mut all = Vec::new();
    for one in command.get_subcommands().filter(shown) {
        let name = one.get_name();
        all.push((name.to_owned(), one));
        let below = commands(one).into_iter();
        all.extend(below.map(|(below, one)| (format!("{name} {below}"), one)));
    }
    all
}

fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let all = command.get_arguments();
    all.filter(|arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version"))
}

fn table<'a>(page: &mut String, rows: impl Iterator<Item = &'a Arg>) {
    let mut rows = rows.peekable();
    if rows.peek().is_some() {
        page.push_str("| argument or option | meaning | variable | default |\n|---|---|---|---|\n");
    }
    for arg in rows {
        row(page, arg);
    }
}

fn about(page: &mut String, command: &Command) {
    let text = command.get_long_about().or_else(|| command.get_about());
    let text = text.map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "\n{}\n\n", plain(&text));
}

fn row(page: &mut String, arg: &Arg) {
    let values: Vec<_> = arg.get_value_names().into_iter().flatten().collect();
    let takes = arg.get_action().takes_values();
    let value = match values.first() {
        Some(value) if takes && arg.is_positional() => format!("`{value}…`"),
        Some(value) if takes => format!(" {value}"),
        _ => String::new(),
    };
    let mut names = Vec::new();
    if let Some(long) = arg.get_long() {
        names.push(format!("`--{long}{value}`"));
    }
    for alias in arg.get_visible_aliases().unwrap_or_default() {
        names.push(format!("`--{alias}{value}`"));
    }
    if let Some(short) = arg.get_short() {
        names.push(format!("`-{short}`"));
    }
    if names.is_empty() {
        names.push(value);
    }
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let (help, default) = taken(&help, "default");
    let (help, variable) = taken(&help, "env");
    let default = default.or_else(|| {
        let defaults = arg.get_default_values();
        let texts: Vec<_> = defaults.iter().map(|text| text.to_string_lossy()).collect();
        (takes && !texts.is_empty()).then(|| texts.join(" "))
    });
    let code = |text: Option<String>| text.map_or_else(String::new, |text| format!("`{text}`"));
    let possible: Vec<_> = arg.get_possible_values();
    let possible: Vec<_> = possible
        .iter()
        .map(|one| format!("`{}`", one.get_name()))
        .collect();
    let mut meaning = plain(&help).replace("\n\n", "<br>").replace('\n', " ");
    if takes && !possible.is_empty() {
        let _ = write!(meaning, " ({})", possible.join(", "));
    }
    let _ = writeln!(
        page,
        "| {} | {} | {} | {} |",
        names.join(", "),
        meaning.replace('|', "\\|"),
        code(variable),
        code(default)
    );
}

/// `text` without its `[name: …]`, and what that says.
fn taken(text: &str, name: &str) -> (String, Option<String>) {
    let start = format!(" [{name}: ");
    let Some((before, rest)) = text.split_once(&start) else {
        return (text.to_owned(), None);
    };
    let Some((value, after)) = rest
        .rsplit_once(']')
        .filter(|_| name == "default")
        .or_else(|| rest.split_once(']'))
    else {
        return (text.to_owned(), None);
    };
    (format!("{before}{after}"), Some(value.to_owned()))
}

/// What Markdown would take for its own is escaped outside of code.
fn plain(text: &str) -> String {
    text.split('`')
        .enumerate()
        .map(|(at, part)| match at % 2 {
            0 => part
                .replace('*', "\\*")
                .replace('<', "\\<")
                .replace('_', "\\_"),
            _ => format!("`{part}`"),
        })
        .collect()
}

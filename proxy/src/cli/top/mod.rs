//! `tailback top`: what the live page shows, in a terminal or for a program, from the events of the
//! admin address.

mod draw;
mod events;
mod picture;
mod view;

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::Receiver,
    },
    time::{Duration, Instant},
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag::register_usize,
    low_level::emulate_default_handler,
};

use self::{events::Update, picture::Picture, view::View};
use super::settings::AdminAddress;
use crate::admin_client::{AdminClient, NoAnswer};

/// How long to wait for a key before updates are read.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub(super) struct Top {
    /// Print each change as JSON, an object on each line: what the proxy, decisions or models have that is new
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminAddress,
}

/// Signals that end the program. It restores the terminal first.
const ENDING: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// Draws until the user quits, or a signal ends it.
///
/// # Errors
/// Why the proxy cannot be read, or the terminal cannot be used.
pub(super) fn show(asked: Top) -> Result<(), String> {
    let client = AdminClient::new(&asked.admin.env())?;
    if asked.json {
        let first = client.get(events::PATH).map_err(NoAnswer::into_sentence)?;
        return events::print(&client, first, io::stdout().lock());
    }
    if !io::stdout().is_terminal() {
        return Err(
            "top draws on a terminal, and standard output is none: use `tailback status`, \
             or --json for a program"
                .to_owned(),
        );
    }
    // Connected before the screen is taken over, so that an error stays visible.
    let first = client.get(events::PATH).map_err(NoAnswer::into_sentence)?;
    let mut picture = Picture::new(client.address().to_string());
    let updates = events::read(client, first);
    // The signal that has arrived; 0: none.
    let signal = Arc::new(AtomicUsize::new(0));
    for ending in ENDING {
        register_usize(ending, signal.clone(), ending.unsigned_abs() as usize)
            .map_err(|error| format!("signals cannot be watched for: {error}"))?;
    }
    let mut terminal = ratatui::try_init().map_err(|error| {
        // The terminal may have been set up only in part.
        ratatui::restore();
        format!("no terminal: {error}")
    })?;
    let ended = run(&mut terminal, &mut picture, &updates, &signal);
    ratatui::restore();
    let came = signal.load(Ordering::Relaxed);
    if let Some(ending) = ENDING
        .iter()
        .find(|own| own.unsigned_abs() as usize == came)
    {
        // Ends by the same signal, so that the parent process sees which one it was.
        let _ = emulate_default_handler(*ending);
    }
    ended.map_err(|error| format!("the terminal is gone: {error}"))
}

fn run(
    terminal: &mut DefaultTerminal,
    picture: &mut Picture,
    updates: &Receiver<Update>,
    signal: &AtomicUsize,
) -> io::Result<()> {
    let mut view = View::default();
    let mut changed = true;
    while signal.load(Ordering::Relaxed) == 0 {
        for update in updates.try_iter() {
            picture.apply(update, Instant::now());
            changed = true;
        }
        if changed {
            terminal.draw(|frame| draw::draw(frame, picture, &mut view))?;
        }
        changed = event::poll(LOOK)?;
        if changed
            && let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && view.press(key, picture).is_break()
        {
            return Ok(());
        }
    }
    Ok(())
}

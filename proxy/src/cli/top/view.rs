//! The user's selection: a model, and the order of the table.

use std::{cmp::Ordering, ops::ControlFlow};

use ratatui::{
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    widgets::TableState,
};

use super::picture::{ModelHistory, Picture};

/// Rows that PgUp and PgDn scroll.
const PAGE: usize = 10;

/// The sort order of models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SortOrder {
    #[default]
    Name,
    Lag,
    Held,
    Rate,
    P99,
}

/// The user's selection.
#[derive(Default)]
pub(super) struct View {
    /// The selected model; `None`: the first one.
    pub(super) chosen: Option<String>,
    pub(super) order: SortOrder,
    /// The rows that are visible.
    pub(super) table: TableState,
}

impl SortOrder {
    fn next(self) -> Self {
        match self {
            Self::Name => Self::Lag,
            Self::Lag => Self::Held,
            Self::Held => Self::Rate,
            Self::Rate => Self::P99,
            Self::P99 => Self::Name,
        }
    }

    /// Compares by name, or with the largest value first.
    fn compare(self, a: &ModelHistory, b: &ModelHistory) -> Ordering {
        match self {
            Self::Name => Ordering::Equal,
            Self::Lag => b.now.in_flight.cmp(&a.now.in_flight),
            Self::Held => b.now.held.cmp(&a.now.held),
            Self::Rate => b.rate.total_cmp(&a.rate),
            Self::P99 => {
                let p99 = |model: &ModelHistory| model.now.p99_seconds.unwrap_or(-1.0);
                p99(b).total_cmp(&p99(a))
            }
        }
    }
}

impl View {
    /// The models in the selected order.
    pub(super) fn sorted<'a>(&self, picture: &'a Picture) -> Vec<(&'a str, &'a ModelHistory)> {
        let models = picture.models.iter();
        let mut models: Vec<_> = models.map(|(name, model)| (name.as_str(), model)).collect();
        // A stable sort: equal models stay sorted by name.
        models.sort_by(|(_, a), (_, b)| self.order.compare(a, b));
        models
    }

    /// The position of the selected model among `models`.
    pub(super) fn position(&self, models: &[(&str, &ModelHistory)]) -> usize {
        let chosen = |name: &String| models.iter().position(|(other, _)| other == name);
        self.chosen.as_ref().and_then(chosen).unwrap_or(0)
    }

    /// Reacts to `key`; breaks if it ends the program.
    pub(super) fn press(&mut self, key: KeyEvent, picture: &Picture) -> ControlFlow<()> {
        let models = self.sorted(picture);
        let (at, last) = (self.position(&models), models.len().saturating_sub(1));
        let to = match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return ControlFlow::Break(());
            }
            KeyCode::Char('q') | KeyCode::Esc => return ControlFlow::Break(()),
            KeyCode::Char('s') => {
                self.order = self.order.next();
                return ControlFlow::Continue(());
            }
            KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => at + 1,
            KeyCode::PageUp => at.saturating_sub(PAGE),
            KeyCode::PageDown => at + PAGE,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => return ControlFlow::Continue(()),
        };
        self.chosen = models.get(to.min(last)).map(|(name, _)| (*name).to_owned());
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::{super::events::Update, *};

    #[test]
    fn keys_move_sort_and_quit() {
        let mut picture = Picture::new("a".into());
        let models = json!({
            "a": { "inFlight": 1 }, "b": { "inFlight": 3 }, "c": { "inFlight": 2, "p99Seconds": 1.0 },
        });
        let models = models.as_object().unwrap().clone();
        picture.apply(Update::Models(models), Instant::now());
        let mut view = View::default();
        let mut press = |code| {
            let end = view.press(KeyEvent::from(code), &picture);
            let models = view.sorted(&picture);
            let names: String = models.iter().map(|(name, _)| *name).collect();
            (names, models[view.position(&models)].0.to_owned(), end)
        };
        let go_on = ControlFlow::Continue(());
        for (code, names, chosen) in [
            (KeyCode::Down, "abc", "b"),
            // The selected model stays the same in another order.
            (KeyCode::Char('s'), "bca", "b"),
            (KeyCode::Down, "bca", "c"),
            (KeyCode::PageDown, "bca", "a"),
            (KeyCode::Down, "bca", "a"),
            (KeyCode::Home, "bca", "b"),
            (KeyCode::Up, "bca", "b"),
            (KeyCode::Char('x'), "bca", "b"),
            (KeyCode::End, "bca", "a"),
        ] {
            assert_eq!(
                press(code),
                (names.into(), chosen.into(), go_on),
                "{code:?}"
            );
        }
        let orders: Vec<_> = (0..4).map(|_| press(KeyCode::Char('s')).0).collect();
        assert_eq!(orders, ["abc", "abc", "cab", "abc"]);
        assert!(press(KeyCode::Char('q')).2.is_break());
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(view.press(interrupt, &picture).is_break());
    }
}

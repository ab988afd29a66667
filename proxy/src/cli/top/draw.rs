//! Draws the screen, for 80 columns or more, in the terminal's own colours.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Paragraph, Row, Sparkline, Table, Wrap},
};

use super::{
    super::{
        figures::{count, plain, rate, some_seconds},
        model_view::{ModelState, ModelView},
    },
    picture::{ModelHistory, Picture},
    view::{SortOrder, View},
};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of a model's row that show the recent course of its lag.
const HISTORY: usize = 8;
/// From this width on, each row has the reason for the model's count.
const WIDE: u16 = 120;
/// From this height on, the selected model is shown with curves.
const HIGH: u16 = 22;
/// Most replicas that are drawn one by one.
const BOXES: u32 = 40;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame, picture: &Picture, view: &mut View) {
    let detail = if frame.area().height >= HIGH { 11 } else { 5 };
    let [head, table, chosen, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(3),
        Constraint::Length(detail),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(top_lines(picture)), head);
    let models = view.sorted(picture);
    let position = view.position(&models);
    view.table.select((!models.is_empty()).then_some(position));
    let wide = frame.area().width >= WIDE;
    frame.render_stateful_widget(rows(&models, view.order, wide), table, &mut view.table);
    if let Some((name, model)) = models.get(position) {
        draw_chosen(frame, chosen, name, model, picture);
    }
    let keys = Line::from("q quit   ↑ ↓ choose   s sort").dim();
    frame.render_widget(keys, foot);
}

fn top_lines(picture: &Picture) -> Vec<Line<'static>> {
    let totals = picture.totals();
    let proxy = &picture.proxy;
    let version = plain(proxy["version"].as_str().unwrap_or_default());
    let mut first = vec![format!("tailback {version} at {}", picture.address).bold()];
    if let Some(why) = &picture.away {
        first = vec![format!("{}, trying again", plain(why)).red().bold()];
    } else if proxy["draining"] == true {
        first.push("  draining".yellow());
    }
    if proxy["proxies"].is_object() {
        let leads = proxy["proxies"]["leads"] == true;
        first.push(if leads { "  leads" } else { "  follows" }.dim());
    }
    let word = if picture.models.len() == 1 {
        "model"
    } else {
        "models"
    };
    let mut second = figure(count(picture.models.len() as u64), word);
    if totals.failing > 0 {
        second.push(format!("{} failing  ", totals.failing).red().bold());
    }
    for (value, what) in [
        (count(totals.lag), "in flight"),
        (count(totals.held), "held"),
        (rate(totals.rate), "req/s"),
        (rate(totals.failures), "err/s"),
        (count(totals.ready), "ready"),
    ] {
        second.extend(figure(value, what));
    }
    vec![Line::from(first), Line::from(second)]
}

fn figure(value: String, what: &'static str) -> Vec<Span<'static>> {
    vec![value.bold(), format!(" {what}  ").into()]
}

fn rows<'a>(models: &[(&'a str, &'a ModelHistory)], order: SortOrder, wide: bool) -> Table<'a> {
    let title = |text: &str, of: Option<SortOrder>| match of == Some(order) {
        true => format!("{text}▾"),
        false => text.to_owned(),
    };
    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let mut titles = vec![
        Cell::from(title("MODEL", None)),
        Cell::from("STATE"),
        right(title("LAG", Some(SortOrder::Lag))),
        Cell::from(""),
        right(title("HELD", Some(SortOrder::Held))),
        right(title("REQ/S", Some(SortOrder::Rate))),
        right("P50".to_owned()),
        right(title("P99", Some(SortOrder::P99))),
        Cell::from("REPLICAS"),
    ];
    let mut widths = [
        Constraint::Min(12),
        Constraint::Length(8),
        Constraint::Length(5),
        Constraint::Length(HISTORY as u16),
        Constraint::Length(5),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(11),
    ]
    .to_vec();
    if wide {
        titles.extend([right("ERR/S".to_owned()), Cell::from("WHY")]);
        widths.extend([Constraint::Length(6), Constraint::Fill(2)]);
    }
    let row = |(name, model): &(&'a str, &'a ModelHistory)| {
        let now = &model.now;
        let state = now.state();
        let mut cells = vec![
            Cell::from(*name),
            Cell::from(state.as_str()).style(colour(state)),
            right(count(now.in_flight)),
            Cell::from(bars(model).cyan()),
            right(count(now.held)).style(when(now.held > 0, Color::Yellow)),
            right(rate(model.rate)),
            right(some_seconds(now.p50_seconds)),
            right(some_seconds(now.p99_seconds)),
            Cell::from(now.replicas()),
        ];
        if wide {
            let failures = right(rate(model.failures));
            cells.push(failures.style(when(model.failures > 0.0, Color::Red)));
            cells.push(Cell::from(plain(now.why())).style(when(now.failure.is_some(), Color::Red)));
        }
        Row::new(cells)
    };
    Table::new(models.iter().map(row), widths)
        .header(Row::new(titles).style(Modifier::DIM))
        .row_highlight_style(Modifier::REVERSED)
}

/// The selected model: the reason for its count, its replicas, the last two minutes, and its last
/// decisions.
fn draw_chosen(frame: &mut Frame, area: Rect, name: &str, model: &ModelHistory, picture: &Picture) {
    let now = &model.now;
    let title = format!(" {name} on {} ", plain(&now.server));
    let block = Block::new().borders(Borders::TOP).title(title.bold());
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let [why, replicas, curves, decisions] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(2),
    ])
    .areas(inside);
    let reason = Paragraph::new(plain(now.why())).wrap(Wrap { trim: true });
    frame.render_widget(reason.style(when(now.failure.is_some(), Color::Red)), why);
    frame.render_widget(boxes(now), replicas);
    // A low screen has no row left for the curves.
    let [lag, held] = Layout::horizontal([Constraint::Fill(1); 2])
        .spacing(2)
        .areas(curves);
    draw_curve(frame, lag, "in flight", &model.lag, Color::Cyan);
    draw_curve(frame, held, "held", &model.held, Color::Yellow);
    let of_it = picture.decisions.iter().filter(|one| one.model == name);
    let lines = of_it.take(2).map(|one| {
        let why = one.why();
        Line::from(vec![
            format!("{} ", one.clock()).dim(),
            format!("{}  ", one.change()).bold(),
            why.into(),
        ])
    });
    let lines: Vec<_> = lines.collect();
    frame.render_widget(Paragraph::new(lines), decisions);
}

fn draw_curve<'a>(
    frame: &mut Frame,
    area: Rect,
    title: &'static str,
    values: impl IntoIterator<Item = &'a u64>,
    colour: Color,
) {
    let values: Vec<_> = values.into_iter().copied().collect();
    // The latest values, one for each column.
    let shown = &values[values.len().saturating_sub(area.width.into())..];
    let most = shown.iter().copied().max().unwrap_or(0);
    let title = Line::from(format!("{title}, at most {}", count(most))).dim();
    let curve = Sparkline::default()
        .block(Block::new().title(title))
        .data(shown)
        .max(most.max(1))
        .style(colour);
    frame.render_widget(curve, area);
}

/// The recent course of the lag, in the table's columns for it.
fn bars(model: &ModelHistory) -> String {
    let last = model.lag.len().saturating_sub(HISTORY);
    let shown = model.lag.range(last..);
    let most = shown.clone().copied().max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let bar = |value: &u64| match value {
        0 => ' ',
        _ => BARS[value.saturating_mul(7).div_ceil(most).min(7) as usize],
    };
    shown.map(bar).collect()
}

/// One box for each replica, by its state.
fn boxes(now: &ModelView) -> Line<'static> {
    let (ready, starting, draining) = (now.ready, now.starting, now.draining);
    let missing = now.desired.saturating_sub(ready.saturating_add(starting));
    let mut left = BOXES;
    let mut line = vec![Span::from("replicas ")];
    for (symbol, number, style) in [
        ("■", ready, Style::from(Color::Green)),
        ("▨", starting, Style::from(Color::Yellow)),
        ("▢", draining, Style::from(Modifier::DIM)),
        ("·", missing, Style::from(Modifier::DIM)),
    ] {
        let number = number.min(left);
        left -= number;
        line.push(Span::styled(symbol.repeat(number as usize), style));
    }
    let desired = now.desired;
    line.push(format!(" {ready} ready of {desired} asked for").into());
    for (number, what) in [(starting, "starting"), (draining, "draining")] {
        if number > 0 {
            line.push(format!(", {number} {what}").into());
        }
    }
    if now.paused {
        line.push(", paused".yellow());
    }
    Line::from(line)
}

fn colour(state: ModelState) -> Style {
    match state {
        ModelState::Failing => Style::from(Color::Red),
        ModelState::Paused => Style::from(Color::Magenta),
        ModelState::Holding | ModelState::Starting => Style::from(Color::Yellow),
        ModelState::Ready => Style::from(Color::Green),
        ModelState::Draining | ModelState::Idle => Style::from(Modifier::DIM),
    }
}

fn when(so: bool, colour: Color) -> Style {
    if so { colour.into() } else { Style::new() }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ratatui::{Terminal, backend::TestBackend};
    use serde_json::{Value, json};

    use super::{super::events::Update, *};

    /// The text on a screen of this size.
    fn screen(picture: &Picture, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let mut view = View::default();
        let draw = |frame: &mut Frame| draw(frame, picture, &mut view);
        let buffer = terminal.draw(draw).unwrap().buffer.clone();
        let line = |y| {
            let cells = (0..width).map(|x| buffer[(x, y)].symbol());
            format!("{}\n", cells.collect::<String>().trim_end())
        };
        (0..height).map(line).collect()
    }

    fn busy() -> Picture {
        let mut picture = Picture::new("127.0.0.1:9006".into());
        let begun = Instant::now();
        let change = |picture: &mut Picture, second, models: Value| {
            let models = models.as_object().unwrap().clone();
            picture.apply(Update::Models(models), begun + Duration::from_secs(second));
        };
        picture.apply(Update::Proxy(json!({ "version": "0.1.0" })), begun);
        for second in 0..10 {
            let llama = json!({
                "server": "gpu", "inFlight": second, "held": second / 2, "completed": second * 20,
                "p50Seconds": 0.25, "p99Seconds": 1.5, "desired": 4, "ready": 2, "starting": 1,
                "draining": 1, "reason": "lag 9 needs 4 replicas",
            });
            change(
                &mut picture,
                second,
                json!({ "Qwen/Qwen2.5-7B-Instruct": llama }),
            );
        }
        let broken =
            json!({ "broken": { "server": "s", "failure": "there is no such\u{1b} file" } });
        change(&mut picture, 9, broken);
        let decision = json!([{
            "time": 1_700_000_000, "model": "Qwen/Qwen2.5-7B-Instruct", "from": 1, "to": 4,
            "lag": 9, "held": 4, "reasons": ["lag 9 needs 4 replicas"], "outcome": "accepted",
        }]);
        let decision = serde_json::from_value(decision).unwrap();
        picture.apply(Update::Decisions(decision), begun);
        picture
    }

    #[test]
    fn eighty_columns_show_the_models_and_the_chosen_one_with_its_reason() {
        let screen = screen(&busy(), 80, 24);
        for expected in [
            "tailback 0.1.0 at 127.0.0.1:9006",
            "2 models  1 failing  9 in flight  4 held  20 req/s  0 err/s  2 ready",
            "holding",
            "250 ms  1.5 s 2/4 +1 -1",
            "Qwen/Qwen2.5-7B-Instruct on gpu",
            "lag 9 needs 4 replicas",
            "replicas ■■▨▢· 2 ready of 4 asked for, 1 starting, 1 draining",
            "in flight, at most 9",
            "held, at most 4",
            "22:13:20Z 1 → 4  lag 9 needs 4 replicas",
            "failing",
            "q quit",
        ] {
            assert!(screen.contains(expected), "no {expected:?} in\n{screen}");
        }
    }

    #[test]
    fn a_wide_screen_has_the_reason_in_each_line() {
        let screen = screen(&busy(), 140, 24);
        let line = screen.lines().find(|line| line.starts_with("broken"));
        let line = line.unwrap_or_else(|| panic!("{screen}"));
        assert!(line.contains("there is no such  file"), "{screen}");
    }

    #[test]
    fn any_size_of_screen_and_any_number_of_models_can_be_drawn() {
        let mut many = Picture::new("a".into());
        let models: serde_json::Map<_, _> = (0..1_000)
            .map(|n| {
                let model = json!({ "desired": u32::MAX, "ready": u32::MAX, "starting": u32::MAX });
                (format!("m{n}"), model)
            })
            .collect();
        many.apply(Update::Models(models), Instant::now());
        let mut away = Picture::new("a".into());
        away.apply(Update::Away("nobody is there".into()), Instant::now());
        for (width, height) in [(1, 1), (10, 3), (40, 10), (80, 24), (300, 100)] {
            for picture in [&busy(), &many, &away] {
                let _ = screen(picture, width, height);
            }
        }
        assert!(screen(&away, 80, 24).contains("nobody is there, trying again"));
    }
}

//! Lays out what is in motion for a terminal of some width.
//!
//! Must not draw, and must not measure the terminal: an overview and a width in, rows out.

use std::time::Instant;

use super::overview::{Overview, Phase, SessionView, Standing};
use super::safe::{keep_middle, keep_start, width};
use super::words;

/// The fewest columns that bars can be shown in.
pub(crate) const LEAST_COLUMNS: usize = 20;
/// The most files that get a bar of their own.
const MAX_FILES: usize = 4;
/// The most sessions that get a bar of their own.
const MAX_SESSIONS: usize = 8;
/// With more sessions than this, each has one row, and files have none.
const ROOMY_SESSIONS: usize = 2;
/// How long a bar is at least, on a terminal of [`WIDE`] columns or more and on any other.
const LEAST_BAR: [usize; 2] = [10, 8];
const WIDE: usize = 60;
/// How long a bar is at most.
const MOST_BAR: usize = 60;
/// How many columns a name has at least, if it is so long: figures make way for it.
const LEAST_LABEL: usize = 14;
/// What stands in front of a file's name, where it is one of several.
const INDENT: &str = "  ";
/// The columns of a rate, and of most times that are left.
const RATE: usize = 9;
const LEFT: usize = 9;

/// One row on the terminal. It leaves the last column free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Row {
    /// A name, a bar, figures.
    Bar {
        label: String,
        /// The columns of all names.
        label_columns: usize,
        /// How many columns of the bar are full, and how many there are.
        full: usize,
        bar_columns: usize,
        figures: String,
        /// Whether it stands for a whole session.
        whole: bool,
    },
    /// Words.
    Text(String),
}

/// A row of which the columns are not settled.
enum Draft {
    Bar(BarDraft),
    Text(String),
}

struct BarDraft {
    /// What could stand in front, the longest first. The last one is cut where it does not fit.
    labels: Vec<String>,
    done: u64,
    total: u64,
    cells: Vec<Cell>,
    whole: bool,
}

/// Something behind a bar.
struct Cell {
    text: String,
    weight: Weight,
}

/// How much a cell matters: the lightest goes first where there is no room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Bytes,
    Rate,
    Left,
    State,
    Percent,
}

/// What there is to show, top to bottom.
pub(crate) fn rows(overview: &Overview, columns: usize, now: Instant) -> Vec<Row> {
    let mut drafts = Vec::new();
    let roomy = overview.sessions.len() <= ROOMY_SESSIONS;
    let mut files_left = if roomy { MAX_FILES } else { 0 };
    for session in overview.sessions.values().take(MAX_SESSIONS) {
        let standing = session.standing(now);
        let is_one = session_drafts(session, &standing, roomy, &mut drafts);
        if !is_one {
            for file in session.files.values().take(files_left) {
                drafts.push(file_draft(&file.name, file.done(), file.size));
            }
            files_left = files_left.saturating_sub(session.files.len());
        }
    }
    let mut texts = Vec::new();
    if let Some(more) = overview.sessions.len().checked_sub(MAX_SESSIONS + 1) {
        texts.push(rest(overview, more + 1, now));
    }
    if let Some(lost) = &overview.lost {
        let standing = lost.view.standing(now);
        let is_one = lost.view.only_file(&standing);
        let mut draft = whole(&lost.view, &standing, is_one);
        draft
            .cells
            .retain(|cell| matches!(cell.weight, Weight::Percent | Weight::Bytes));
        drafts.push(Draft::Bar(draft));
        texts.push(match &overview.reaching {
            None => lost.words(now),
            Some(reaching) => format!("{}: {}", lost.view.name, reaching.words(now)),
        });
    } else if let Some(reaching) = &overview.reaching {
        texts.push(reaching.words(now));
    }
    drafts.extend(texts.into_iter().map(Draft::Text));
    settle(drafts, columns)
}

fn rest(overview: &Overview, more: usize, now: Instant) -> String {
    let standings = overview.sessions.values().skip(MAX_SESSIONS);
    let rate = standings.map(|s| s.standing(now).rate).sum();
    let sessions = words::plural(more as u64, "more session", "more sessions");
    format!("and {sessions}, {}", words::rate(rate))
}

/// The bar of a session. Says whether it is one file's as well.
fn session_drafts(
    session: &SessionView,
    standing: &Standing,
    roomy: bool,
    drafts: &mut Vec<Draft>,
) -> bool {
    if let Phase::Deleting(done, total) = standing.phase {
        drafts.push(Draft::Bar(BarDraft {
            labels: session.deleting(done, total).to_vec(),
            done,
            total,
            cells: vec![percent(done, total)],
            whole: true,
        }));
        return false;
    }
    let one = session.only_file(standing);
    let is_one = one.is_some() && roomy;
    drafts.push(Draft::Bar(whole(session, standing, one.filter(|_| roomy))));
    is_one
}

fn whole(session: &SessionView, standing: &Standing, one: Option<String>) -> BarDraft {
    let way = session.label();
    let labels = match one {
        Some(name) => vec![format!("{name} {way}"), name],
        None => {
            let items = standing.items();
            let named = session.only().map(|name| format!("{name} {way}, {items}"));
            let others = [format!("{way}, {items}"), way];
            named.into_iter().chain(others).collect()
        }
    };
    // What has no bytes has entries: folders, links and empty files.
    let (done, total) = match (standing.scanned, standing.total) {
        // A share of what is known so far would run backwards.
        (false, _) => (0, 1),
        (true, 0) => (standing.items_done, standing.items_total),
        (true, total) => (standing.done, total),
    };
    let mut cells = Vec::new();
    if standing.scanned {
        cells.push(percent(done, total));
    }
    cells.push(bytes(&standing.bytes(), standing.total));
    match standing.state() {
        Some(state) => cells.push(Cell::new(Weight::State, state.to_owned())),
        None => {
            let rate = format!("{:>RATE$}", words::rate(standing.rate));
            cells.push(Cell::new(Weight::Rate, rate));
            if let Some(left) = standing.left() {
                cells.push(Cell::new(Weight::Left, format!("{left:<LEFT$}")));
            }
        }
    }
    BarDraft {
        labels,
        done,
        total,
        cells,
        whole: true,
    }
}

fn file_draft(name: &str, done: u64, size: u64) -> Draft {
    let in_folder = name.rsplit_once('/').map(|(_, name)| name);
    let labels = std::iter::once(name).chain(in_folder);
    Draft::Bar(BarDraft {
        labels: labels.map(str::to_owned).collect(),
        done,
        total: size,
        cells: vec![percent(done, size), bytes(&words::part(done, size), size)],
        whole: false,
    })
}

impl Cell {
    fn new(weight: Weight, text: String) -> Self {
        Self { text, weight }
    }
}

fn percent(done: u64, total: u64) -> Cell {
    let text = format!("{:3}%", words::percent(done, total));
    Cell::new(Weight::Percent, text)
}

// As wide as it gets, so that nothing jumps.
fn bytes(text: &str, total: u64) -> Cell {
    let columns = width(&words::part(total, total));
    Cell::new(Weight::Bytes, format!("{text:>columns$}"))
}

fn join(cells: &[Cell]) -> String {
    let texts: Vec<_> = cells.iter().map(|cell| cell.text.as_str()).collect();
    texts.join("  ")
}

/// Gives each its columns: figures first, then names; what is left is the bars'.
fn settle(drafts: Vec<Draft>, columns: usize) -> Vec<Row> {
    let room = columns.saturating_sub(1);
    let least_bar = LEAST_BAR[usize::from(columns < WIDE)];
    let (mut figure_columns, mut label_columns) = (0, 0);
    let mut drafts = drafts;
    let shortest = drafts.iter().map(|draft| match draft {
        Draft::Bar(bar) => bar.labels.last().map_or(0, |label| width(label)),
        Draft::Text(_) => 0,
    });
    let others = shortest.max().unwrap_or(0).min(LEAST_LABEL) + least_bar + 2;
    for draft in &mut drafts {
        if let Draft::Bar(bar) = draft {
            while bar.cells.len() > 1 && width(&join(&bar.cells)) + others > room {
                let lightest = bar.cells.iter().map(|cell| cell.weight).min();
                bar.cells.retain(|cell| Some(cell.weight) != lightest);
            }
            figure_columns = figure_columns.max(width(&join(&bar.cells)));
        }
    }
    let most = room.saturating_sub(figure_columns + least_bar + 2);
    let label = |bar: &BarDraft| {
        let indent = if bar.whole { "" } else { INDENT };
        let most = most.saturating_sub(width(indent));
        let fits = bar.labels.iter().find(|label| width(label) <= most);
        let label = match (fits, bar.labels.last()) {
            (Some(label), _) => label.clone(),
            (None, Some(last)) => keep_middle(last, most),
            (None, None) => String::new(),
        };
        format!("{indent}{label}")
    };
    for draft in &drafts {
        if let Draft::Bar(bar) = draft {
            label_columns = label_columns.max(width(&label(bar)));
        }
    }
    let bar_columns = room.saturating_sub(label_columns + figure_columns + 2);
    let bar_columns = bar_columns.min(MOST_BAR);
    let settled = drafts.into_iter().map(|draft| match draft {
        Draft::Text(text) => Row::Text(keep_start(&text, room)),
        Draft::Bar(bar) => Row::Bar {
            label: label(&bar),
            label_columns,
            full: share(bar.done, bar.total, bar_columns),
            bar_columns,
            figures: join(&bar.cells).trim_end().to_owned(),
            whole: bar.whole,
        },
    });
    settled.collect()
}

fn share(done: u64, total: u64, columns: usize) -> usize {
    if total == 0 {
        return columns;
    }
    let full = u128::from(done.min(total)) * columns as u128 / u128::from(total);
    usize::try_from(full).unwrap_or(columns)
}

#[cfg(test)]
mod tests {
    use super::super::bars::plain;
    use super::super::overview::tests::{file, start};
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;
    use xfer::model::progress::{Counters, Event};
    use xfer::model::relpath::RelPath;

    /// What the terminal shows, row by row.
    fn screen(overview: &Overview, columns: usize, now: Instant) -> Vec<String> {
        let rows = rows(overview, columns, now);
        let shown: Vec<_> = rows.iter().map(plain).collect();
        for row in &shown {
            assert!(width(row) < columns, "{columns}: {row:?}");
        }
        shown
    }

    /// A session that moves one file of 315 MB, 5 s after its beginning.
    fn one_file(name: &str) -> (Overview, Arc<Counters>, Instant) {
        let begin = Instant::now();
        let mut overview = Overview::default();
        let counters = start(&mut overview, 1, "lap", begin);
        counters.tops.note(&RelPath::new(name).unwrap());
        Counters::add(&counters.bytes_total, 315_000_000);
        Counters::add(&counters.entries_total, 1);
        counters.scanned.store(true, Ordering::Relaxed);
        file(&mut overview, 1, 0, name);
        let now = begin + Duration::from_secs(5);
        Counters::add(&counters.bytes_done, 142_000_000);
        overview.poll(now);
        (overview, counters, now)
    }

    #[test]
    fn one_file_has_one_bar_with_its_name() {
        let (overview, counters, now) = one_file("film.mkv");
        assert_eq!(
            screen(&overview, 80, now),
            ["film.mkv to lap ━━━━━━━━━━╸─────────────  45%  142/315 MB  28.4 MB/s  6 s left"]
        );
        assert_eq!(
            screen(&overview, 40, now),
            ["film.mkv ━━━━━━╸───────  45%  6 s left"]
        );
        assert_eq!(
            screen(&overview, 200, now),
            [
                "film.mkv to lap ━━━━━━━━━━━━━━━━━━━━━━━━━━━╸────────────────────────────────  \
                 45%  142/315 MB  28.4 MB/s  6 s left"
            ]
        );
        let stalled = now + Duration::from_secs(60);
        assert_eq!(
            screen(&overview, 80, stalled),
            ["film.mkv to lap ━━━━━━━━━━━━━━━━╸────────────────────  45%  142/315 MB  stalled"]
        );
        Counters::add(&counters.bytes_done, 173_000_000);
        Counters::add(&counters.entries_done, 1);
        assert_eq!(
            screen(&overview, 40, now),
            ["film.mkv ━━━━━━━━━━━━━━ 100%  finishing"]
        );
        assert_eq!(screen(&overview, 28, now), ["film.mkv ━━━━━━━━━━━━━ 100%"]);
    }

    #[test]
    fn long_names_keep_their_beginning_and_their_extension() {
        let name = "A film with a name that is a good deal longer than most.mkv";
        let (overview, _, now) = one_file(name);
        assert_eq!(
            screen(&overview, 80, now),
            ["A film with a nam…an most.mkv ━━━━╸─────  45%  142/315 MB  28.4 MB/s  6 s left"]
        );
        assert_eq!(
            screen(&overview, 40, now),
            ["A film w…t.mkv ━━━╸────  45%  6 s left"]
        );
        let wide = screen(&overview, 200, now);
        assert!(
            wide[0].starts_with(&format!("{name} to lap ━━")),
            "{wide:?}"
        );
    }

    #[test]
    fn several_files_have_a_bar_together_and_one_each_below() {
        let begin = Instant::now();
        let mut overview = Overview::default();
        let counters = start(&mut overview, 1, "lap", begin);
        counters.tops.note(&RelPath::new("photos").unwrap());
        Counters::add(&counters.bytes_total, 2_300_000_000);
        Counters::add(&counters.entries_total, 1235);
        counters.scanned.store(true, Ordering::Relaxed);
        for n in 0..6 {
            let name = format!("photos/a/long/way/down/to/img_{n:04}.jpg");
            file(&mut overview, 1, n, &name).store(1_200_000, Ordering::Relaxed);
        }
        let now = begin + Duration::from_secs(5);
        Counters::add(&counters.bytes_done, 1_030_000_000);
        Counters::add(&counters.entries_done, 1034);
        overview.poll(now);
        let narrow = screen(&overview, 40, now);
        assert_eq!(narrow.len(), MAX_FILES + 1);
        assert_eq!(narrow[0], "to lap         ━━━╸────  44%  6 s left");
        assert_eq!(narrow[1], "  img_0000.jpg ╸───────  12%");
        let wide = screen(&overview, 200, now);
        assert!(
            wide[0].starts_with("photos to lap, 1,034/1,235 items   "),
            "{wide:?}"
        );
        assert!(
            wide[1].starts_with("  photos/a/long/way/down/to/img_0000.jpg ━"),
            "{wide:?}"
        );
        let usual = screen(&overview, 80, now);
        assert_eq!(
            usual[..2],
            [
                "to lap, 1,034/1,235 items ━━━━━╸──────  44%  1.03/2.30 GB   206 MB/s  6 s left",
                "  img_0000.jpg            ━╸──────────  12%   1.2/10.0 MB",
            ]
        );
    }

    #[test]
    fn a_mirror_that_deletes_says_how_much() {
        let (mut overview, now) = (Overview::default(), Instant::now());
        let counters = start(&mut overview, 1, "lap", now);
        counters.scanned.store(true, Ordering::Relaxed);
        counters.to_delete.store(5000, Ordering::Relaxed);
        counters.deleted.store(1234, Ordering::Relaxed);
        assert_eq!(
            screen(&overview, 80, now),
            ["Deleting 1,234 of 5,000 on lap ━━━━━━━━━━╸────────────────────────────────  24%"]
        );
        assert_eq!(
            screen(&overview, 40, now),
            ["Deleting 1,234 of 5,000 ━━╸───────  24%"]
        );
    }

    #[test]
    fn a_lost_connection_keeps_the_bar() {
        let (mut overview, _, now) = one_file("film.mkv");
        let error = &xfer::Error::Cancelled;
        overview.hear(&Event::Failed { session: 1, error }, now);
        let wait = Duration::from_secs(3);
        let retrying = Event::Retrying {
            session: 1,
            error,
            wait,
        };
        overview.hear(&retrying, now);
        let lost = screen(&overview, 80, now);
        assert!(lost[0].starts_with("film.mkv to lap ━"), "{lost:?}");
        assert!(lost[0].ends_with(" 45%  142/315 MB"), "{lost:?}");
        assert_eq!(lost[1..], ["lap: reconnecting in 3 s …"]);
        let addr = ([10, 0, 0, 7], 9090).into();
        overview.hear(&Event::Connecting { addr }, now);
        let lost = screen(&overview, 80, now);
        assert_eq!(lost[1..], ["lap: Connecting to 10.0.0.7:9090 …"]);
    }

    #[test]
    fn many_sessions_take_one_row_each_and_the_rest_one_together() {
        let now = Instant::now();
        let mut overview = Overview::default();
        for n in 0..11 {
            let counters = start(&mut overview, n, "laptop", now);
            counters.scanned.store(true, Ordering::Relaxed);
            file(&mut overview, n, 1, "a");
        }
        let shown = screen(&overview, 80, now);
        assert_eq!(shown.len(), MAX_SESSIONS + 1);
        assert!(shown[0].ends_with("100%  0/0 B  finishing"), "{shown:?}");
        assert_eq!(shown[8], "and 3 more sessions, 0 B/s");
        for columns in LEAST_COLUMNS..100 {
            screen(&overview, columns, now);
        }
    }
}

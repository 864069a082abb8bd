//! Lays out what is in motion for a terminal of some width.
//!
//! Must not draw, and must not measure the terminal: a overview and a width in, rows out.

use std::time::Instant;

use super::overview::{Overview, Phase, SessionView, Standing};
use super::safe::{keep_end, keep_start, width};
use super::words;

/// The most files that get a bar of their own.
const MAX_FILES: usize = 4;
/// The most sessions that get a bar of their own.
const MAX_SESSIONS: usize = 8;
/// With more sessions than this, each has one row, and files have none.
const ROOMY_SESSIONS: usize = 2;
/// The columns of what stands behind a bar: ` 45%  12.3/45.6+ GB`.
const FIGURES: usize = 19;
/// On a terminal with fewer columns, only the share stands there.
const ROOM_FOR_FIGURES: usize = 32;

/// One row on the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Row {
    /// A name, a bar, figures.
    Bar {
        /// Fits into [`label_columns`].
        label: String,
        /// How much of the bar is full.
        done: u64,
        /// How long the bar is; not 0.
        total: u64,
        /// What stands behind it, always equally wide.
        figures: String,
        /// Whether it stands for a whole session.
        whole: bool,
    },
    /// Words.
    Text(String),
}

/// How many columns the names before the bars have.
pub(crate) fn label_columns(columns: usize) -> usize {
    (columns * 3 / 10).clamp(6, 36)
}

/// What there is to show, top to bottom.
pub(crate) fn rows(overview: &Overview, columns: usize, now: Instant) -> Vec<Row> {
    let mut rows = Vec::new();
    let roomy = overview.sessions.len() <= ROOMY_SESSIONS;
    let mut files_left = if roomy { MAX_FILES } else { 0 };
    for session in overview.sessions.values().take(MAX_SESSIONS) {
        for file in session.files.values().take(files_left) {
            rows.push(bar(
                keep_end(&file.name, label_columns(columns)),
                (file.done(), file.size),
                &words::part(file.done(), file.size, false),
                columns,
                false,
            ));
        }
        files_left = files_left.saturating_sub(session.files.len());
        let standing = session.standing(now);
        if roomy {
            rows.push(session_bar(session, &standing, columns, &standing.bytes()));
            rows.push(Row::Text(fitting(&standing.details(), columns)));
        } else {
            let word = match standing.phase {
                Phase::Moving(_) => words::rate(standing.rate),
                Phase::Stalled => "nothing moves".to_owned(),
                Phase::Finishing => "finishing".to_owned(),
            };
            rows.push(session_bar(session, &standing, columns, &word));
        }
    }
    if let Some(more) = overview.sessions.len().checked_sub(MAX_SESSIONS + 1) {
        rows.push(Row::Text(rest(overview, more + 1, now)));
    }
    if let Some(what) = &overview.connecting {
        rows.push(Row::Text(format!("{what} …")));
    }
    rows
}

fn rest(overview: &Overview, more: usize, now: Instant) -> String {
    let standings = overview.sessions.values().skip(MAX_SESSIONS);
    let rate = standings.map(|s| s.standing(now).rate).sum();
    let sessions = words::plural(more as u64, "more session", "more sessions");
    format!("and {sessions}, {}", words::rate(rate))
}

fn session_bar(session: &SessionView, standing: &Standing, columns: usize, word: &str) -> Row {
    let label = keep_start(&session.label(), label_columns(columns));
    if standing.scanned {
        // What has no bytes has entries: folders, links and empty files.
        let share = match standing.total {
            0 => (standing.items_done, standing.items_total),
            total => (standing.done, total),
        };
        bar(label, share, word, columns, true)
    } else {
        // A share of what is known so far would run backwards.
        Row::Bar {
            label,
            done: 0,
            total: 1,
            figures: figures("", word, columns),
            whole: true,
        }
    }
}

fn figures(share: &str, word: &str, columns: usize) -> String {
    match columns < ROOM_FOR_FIGURES {
        true => format!("{share:4}"),
        false => format!("{share:4}  {word:<width$}", width = FIGURES - 6),
    }
}

fn bar(label: String, (done, total): (u64, u64), word: &str, columns: usize, whole: bool) -> Row {
    let percent = format!("{:3}%", words::percent(done, total));
    Row::Bar {
        label,
        done: if total == 0 { 1 } else { done },
        total: total.max(1),
        figures: figures(&percent, word, columns),
        whole,
    }
}

// The least important come first, and go first.
fn fitting(details: &[String], columns: usize) -> String {
    let mut rest = details;
    loop {
        let text = format!("  {}", rest.join(", "));
        match rest {
            [_, more @ ..] if width(&text) > columns && !more.is_empty() => rest = more,
            _ => return text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::overview::tests::{file, start};
    use super::*;
    use std::sync::atomic::Ordering;
    use xfer::model::progress::Counters;

    fn figures(row: &Row) -> &str {
        match row {
            Row::Bar { figures, .. } => figures,
            Row::Text(text) => text,
        }
    }

    #[test]
    fn files_stand_above_their_session_in_equal_columns() {
        let now = Instant::now();
        let mut overview = Overview::default();
        let counters = start(&mut overview, 1, "desktop", now);
        Counters::add(&counters.bytes_total, 123_000_000);
        Counters::add(&counters.entries_total, 1234);
        for n in 0..6 {
            file(
                &mut overview,
                1,
                n,
                &format!("a/long/way/down/to/file{n}.iso"),
            )
            .store(5_000_000, Ordering::Relaxed);
        }
        for columns in [40, 80, 200] {
            let rows = rows(&overview, columns, now);
            assert_eq!(rows.len(), MAX_FILES + 2);
            for row in &rows[..=MAX_FILES] {
                let Row::Bar { label, figures, .. } = row else {
                    panic!("{row:?}");
                };
                assert!(width(label) <= label_columns(columns));
                assert_eq!(width(figures), FIGURES);
            }
            assert_eq!(figures(&rows[0]).trim(), "50%  5.0/10.0 MB");
            assert_eq!(figures(&rows[4]).trim(), "0/123+ MB");
            assert!(width(figures(&rows[5])) <= columns);
        }
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
        let rows = rows(&overview, 80, now);
        assert_eq!(rows.len(), MAX_SESSIONS + 1);
        assert_eq!(figures(&rows[0]).trim(), "100%  finishing");
        assert_eq!(figures(&rows[8]), "and 3 more sessions, 0 B/s");
        for columns in 0..100 {
            for row in super::rows(&overview, columns, now) {
                // With a blank on either side of the bar.
                if let Row::Bar { label, figures, .. } = &row
                    && columns > 14
                {
                    assert!(
                        width(label) + width(figures) + 3 <= columns,
                        "{columns}: {row:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_least_important_goes_first() {
        let details = ["1/2 items", "3 MB/s", "4 s left"].map(str::to_owned);
        assert_eq!(fitting(&details, 80), "  1/2 items, 3 MB/s, 4 s left");
        assert_eq!(fitting(&details, 20), "  3 MB/s, 4 s left");
        assert_eq!(fitting(&details, 3), "  4 s left");
    }
}

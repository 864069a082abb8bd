//! `Bars`: rows at the bottom of a terminal, above which lines are printed.
//!
//! Must not know what is in motion: rows in, and they are there until the next ones.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::bar::bar;
use super::layout::Row;
use super::safe::{safe, width};
use super::terminal;

const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
/// What bars are made of: what is full, its end, and what is empty.
const LINES: [&str; 3] = ["━", "╸", "─"];
const ASCII: [&str; 3] = ["#", ">", "-"];

/// Rows at the bottom of the terminal that is standard error.
///
/// The cursor rests at the beginning of the first of them: whatever a terminal does with them when
/// its size changes, all that is below the cursor is theirs. What is typed does not show while they
/// are there, so that the cursor stays where it is.
#[derive(Debug)]
pub(crate) struct Bars {
    shown: Vec<Row>,
    /// How large the terminal was then.
    size: (u16, u16),
    look: Look,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    glyphs: [&'static str; 3],
    in_colour: bool,
}

impl Bars {
    /// No rows yet.
    pub(crate) fn new(in_colour: bool) -> Self {
        Self {
            shown: Vec::new(),
            size: (0, 0),
            look: Look {
                glyphs: if speaks_utf8() { LINES } else { ASCII },
                in_colour,
            },
        }
    }

    /// How many columns there are.
    pub(crate) fn columns(&self) -> usize {
        usize::from(terminal::size().0)
    }

    /// Shows these rows instead of those before, in one piece.
    pub(crate) fn show(&mut self, rows: Vec<Row>) {
        let size = terminal::size();
        if rows.is_empty() || !terminal::may_draw() {
            return self.hide();
        }
        if rows == self.shown && size == self.size {
            return;
        }
        if self.shown.is_empty() {
            xfer::sys::terminal::stop_echo();
        }
        let frame = frame(&rows, size.1, self.look);
        (self.shown, self.size) = (rows, size);
        let _ = io::stderr().lock().write_all(frame.as_bytes());
    }

    /// Takes the rows away, and gives them, so that they can be shown again below what is printed.
    pub(crate) fn take(&mut self) -> Vec<Row> {
        if !self.shown.is_empty() {
            let _ = io::stderr().lock().write_all(b"\r\x1b[J");
        }
        std::mem::take(&mut self.shown)
    }

    /// Takes the rows away, and lets what is typed show again.
    pub(crate) fn hide(&mut self) {
        self.take();
        xfer::sys::terminal::resume_echo();
    }
}

/// What shows the rows, from the beginning of the first of them, where it leaves the cursor.
fn frame(rows: &[Row], height: u16, look: Look) -> String {
    // More would scroll away, and not be found again.
    let rows = &rows[..rows.len().min(usize::from(height).max(2) - 1)];
    // One that has become narrower and has not said so yet cuts what is too long.
    let mut text = NO_WRAP.to_owned();
    for (n, row) in rows.iter().enumerate() {
        text.push_str(if n == 0 { "\r" } else { "\r\n" });
        draw(row, look, &mut text);
        text.push_str("\x1b[K");
    }
    text.push_str("\x1b[J\r");
    // Moving by nothing is moving by one, for a terminal.
    if rows.len() > 1 {
        let _ = write!(text, "\x1b[{}A", rows.len() - 1);
    }
    text.push_str(WRAP);
    text
}

fn draw(row: &Row, look: Look, text: &mut String) {
    match row {
        Row::Text(words) => {
            let _ = write!(text, "{}", safe(words));
        }
        Row::Bar {
            label,
            label_columns,
            full,
            bar_columns,
            figures,
            whole,
        } => {
            let drawn = bar(*full, *bar_columns, look.glyphs);
            // What is left is what is empty, after the one column that is the end of the rest.
            let rest = bar_columns.saturating_sub(*full + 1);
            let done = drawn
                .char_indices()
                .nth(bar_columns - rest.min(*bar_columns));
            let (done, left) = drawn.split_at(done.map_or(drawn.len(), |(at, _)| at));
            let blanks = " ".repeat(label_columns.saturating_sub(width(label)));
            let colour = if *whole { GREEN } else { CYAN };
            let _ = match look.in_colour {
                true => write!(
                    text,
                    "{}{blanks} {colour}{done}{RESET}{DIM}{left}{RESET} {}",
                    safe(label),
                    safe(figures)
                ),
                false => write!(
                    text,
                    "{}{blanks} {done}{left} {}",
                    safe(label),
                    safe(figures)
                ),
            };
        }
    }
}

/// A row without colours, as it is shown.
#[cfg(test)]
pub(super) fn plain(row: &Row) -> String {
    let mut text = String::new();
    let look = Look {
        glyphs: LINES,
        in_colour: false,
    };
    draw(row, look, &mut text);
    text
}

// The first of these that is set decides, as for every program.
fn speaks_utf8() -> bool {
    if let Some(known) = xfer::sys::terminal::knows_codes() {
        return known;
    }
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty());
    set.is_some_and(|value| {
        let value = value.to_string_lossy().to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &str) -> Row {
        Row::Text(words.to_owned())
    }

    fn bar(full: usize) -> Row {
        Row::Bar {
            label: "a\x1b".to_owned(),
            label_columns: 9,
            full,
            bar_columns: 5,
            figures: " 40%".to_owned(),
            whole: true,
        }
    }

    fn rows_of(screen: &vt100::Screen) -> Vec<String> {
        let rows: Vec<_> = screen.rows(0, 40).collect();
        let last = rows.iter().rposition(|row| !row.is_empty());
        rows[..last.map_or(0, |last| last + 1)].to_vec()
    }

    #[test]
    fn rows_come_and_go_below_what_was_printed() {
        for in_colour in [false, true] {
            let look = Look {
                glyphs: LINES,
                in_colour,
            };
            let mut terminal = vt100::Parser::new(5, 40, 100);
            terminal.process(b"one\r\ntwo\r\n");
            for _ in 0..3 {
                let frame = frame(&[bar(2), text("x"), text("y")], 5, look);
                terminal.process(frame.as_bytes());
            }
            assert_eq!(
                rows_of(terminal.screen()),
                ["one", "two", "a\\x1b         ━━╸──  40%", "x", "y"]
            );
            terminal.process(frame(&[bar(5)], 5, look).as_bytes());
            assert_eq!(
                rows_of(terminal.screen()),
                ["one", "two", "a\\x1b         ━━━━━  40%"]
            );
            terminal.process(b"\r\x1b[Jthree\r\n");
            let more: Vec<_> = (0..9).map(|n| text(&n.to_string())).collect();
            terminal.process(frame(&more, 5, look).as_bytes());
            terminal.process(frame(&more, 5, look).as_bytes());
            assert_eq!(rows_of(terminal.screen()), ["three", "0", "1", "2", "3"]);
            terminal.process(b"\r\x1b[J");
            assert_eq!(rows_of(terminal.screen()), ["three"]);
        }
    }
}

//! `Bars`: rows at the bottom of a terminal, above which lines are printed.
//!
//! Must not know what is in motion: rows in, and they are there until the next ones.

use std::fmt;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::layout::{Row, label_columns};
use super::safe::safe;
use super::terminal::{self, Terminal};

/// How often the terminal is drawn at most, in a second.
const MAX_DRAWS: u8 = 20;

/// Rows at the bottom of the terminal that is standard error.
pub(crate) struct Bars {
    multi: MultiProgress,
    slots: Vec<BarSlot>,
    utf8: bool,
}

struct BarSlot {
    bar: ProgressBar,
    style: Option<Style>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Text,
    Bar { columns: usize, whole: bool },
}

impl Bars {
    /// No rows yet.
    pub(crate) fn new() -> Self {
        let terminal = Box::new(Terminal::default());
        let target = ProgressDrawTarget::term_like_with_hz(terminal, MAX_DRAWS);
        Self {
            multi: MultiProgress::with_draw_target(target),
            slots: Vec::new(),
            utf8: speaks_utf8(),
        }
    }

    /// How many columns there are.
    pub(crate) fn columns(&self) -> usize {
        usize::from(terminal::size().0)
    }

    /// Shows these rows instead of those before.
    pub(crate) fn show(&mut self, rows: &[Row]) {
        while self.slots.len() > rows.len() {
            if let Some(slot) = self.slots.pop() {
                self.multi.remove(&slot.bar);
            }
        }
        while self.slots.len() < rows.len() {
            // Hidden until it is one of many: alone it would draw itself where it likes.
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::hidden());
            self.slots.push(BarSlot {
                bar: self.multi.add(bar),
                style: None,
            });
        }
        let columns = label_columns(self.columns());
        for (slot, row) in self.slots.iter_mut().zip(rows) {
            slot.show(row, columns, self.utf8);
        }
    }

    /// Takes the rows away until they are shown again, so that lines can be printed.
    pub(crate) fn hide(&mut self) {
        // The library's own way to do this panics where the terminal is gone.
        let _ = self.multi.clear();
    }
}

impl BarSlot {
    fn show(&mut self, row: &Row, columns: usize, utf8: bool) {
        let style = match row {
            Row::Text(_) => Style::Text,
            Row::Bar { whole, .. } => Style::Bar {
                columns,
                whole: *whole,
            },
        };
        if self.style != Some(style) {
            self.style = Some(style);
            self.bar.set_style(style.made(utf8));
        }
        match row {
            Row::Text(text) => self.bar.set_message(safe(text).to_string()),
            Row::Bar {
                label,
                done,
                total,
                figures,
                ..
            } => {
                self.bar.set_length(*total);
                self.bar.set_position(*done);
                self.bar.set_prefix(safe(label).to_string());
                self.bar.set_message(safe(figures).to_string());
            }
        }
    }
}

impl Style {
    fn made(self, utf8: bool) -> ProgressStyle {
        let template = match self {
            Self::Text => "{wide_msg}".to_owned(),
            Self::Bar { columns, whole } => {
                let colour = if whole { "green" } else { "cyan" };
                format!("{{prefix:{columns}!}} {{wide_bar:.{colour}/dim}} {{msg}}")
            }
        };
        // The template is ours, and a test makes all of them.
        ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars(if utf8 { "━╸─" } else { "#>-" })
    }
}

impl fmt::Debug for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bars").finish_non_exhaustive()
    }
}

// The first of these that is set decides, as for every program.
fn speaks_utf8() -> bool {
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

    #[test]
    fn every_style_can_be_made() {
        for columns in 0..40 {
            for colour in ["green", "cyan"] {
                let template = format!("{{prefix:{columns}!}} {{wide_bar:.{colour}/dim}} {{msg}}");
                assert!(ProgressStyle::with_template(&template).is_ok());
            }
        }
        assert!(ProgressStyle::with_template("{wide_msg}").is_ok());
    }

    #[test]
    fn rows_come_and_go() {
        let mut bars = Bars {
            multi: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            slots: Vec::new(),
            utf8: true,
        };
        let bar = Row::Bar {
            label: "a".to_owned(),
            done: 1,
            total: 3,
            figures: " 33%".to_owned(),
            whole: true,
        };
        bars.show(&[bar.clone(), bar, Row::Text("x".to_owned())]);
        assert_eq!(bars.slots.len(), 3);
        bars.show(&[Row::Text("y\x1b".to_owned())]);
        assert_eq!(bars.slots[0].bar.message(), "y\\x1b");
        bars.hide();
        bars.show(&[]);
        assert!(bars.slots.is_empty());
    }
}

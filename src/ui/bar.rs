//! A bar of some columns, as indicatif draws it.
//!
//! Must not write to the terminal: it draws into a string, which `bars` puts where it belongs.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// A terminal of one row that is nothing but the text written to it.
#[derive(Debug, Clone)]
struct OneRow {
    text: Arc<Mutex<String>>,
    columns: u16,
}

impl OneRow {
    fn push(&self, text: &str) -> io::Result<()> {
        let mut all = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_str(text);
        Ok(())
    }
}

impl TermLike for OneRow {
    fn width(&self) -> u16 {
        self.columns
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.push(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.push(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A bar of `columns`, of which `full` are full. `glyphs` are what is full, its end, and what is
/// empty, one column each.
pub(super) fn bar(full: usize, columns: usize, glyphs: [&str; 3]) -> String {
    let row = OneRow {
        text: Arc::default(),
        columns: u16::try_from(columns).unwrap_or(u16::MAX),
    };
    let text = Arc::clone(&row.text);
    let target = ProgressDrawTarget::term_like(Box::new(row));
    // Two steps a column: half a column is its end.
    let steps = |columns: usize| columns as u64 * 2;
    let half = u64::from(full < columns);
    let bar = ProgressBar::with_draw_target(Some(steps(columns).max(1)), target);
    bar.set_style(style(columns, glyphs));
    bar.set_position(steps(full) + half);
    // It may have drawn itself on the way here.
    text.lock().unwrap_or_else(PoisonError::into_inner).clear();
    bar.force_draw();
    let drawn = text.lock().unwrap_or_else(PoisonError::into_inner);
    drawn
        .trim_end_matches(['\r', ' '])
        .trim_start_matches('\r')
        .to_owned()
}

fn style(columns: usize, glyphs: [&str; 3]) -> ProgressStyle {
    // The template is ours, and a test makes bars of all widths.
    ProgressStyle::with_template(&format!("{{bar:{columns}}}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars(&glyphs.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_its_columns_whatever_is_full() {
        let glyphs = ["━", "╸", "─"];
        assert_eq!(bar(0, 5, glyphs), "╸────");
        assert_eq!(bar(2, 5, glyphs), "━━╸──");
        assert_eq!(bar(4, 5, glyphs), "━━━━╸");
        assert_eq!(bar(5, 5, glyphs), "━━━━━");
        for columns in 1..80 {
            for full in 0..=columns {
                assert_eq!(bar(full, columns, ["#", ">", "-"]).len(), columns);
            }
        }
    }
}

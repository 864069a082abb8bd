//! `TypingRow`: the row at the bottom of a terminal where a person types.
//!
//! Must not use escape sequences: it returns to the start of the row and overwrites it, which works
//! on every terminal.

use super::line_editor::TypedRow;
use super::safe::width;

/// The prompt at the start of the row.
pub(super) const MARK: &str = "> ";

/// The row, empty while nobody types.
#[derive(Debug, Default)]
pub(super) struct TypingRow {
    row: Option<TypedRow>,
    /// How many columns are filled.
    shown: usize,
    has_ended: bool,
}

impl TypingRow {
    /// Clears the row, so that other lines can be printed.
    pub(super) fn hide(&mut self) -> String {
        match std::mem::take(&mut self.shown) {
            0 => String::new(),
            columns => format!("\r{}\r", " ".repeat(columns)),
        }
    }

    /// Shows the row again.
    pub(super) fn show(&mut self) -> String {
        let Some(TypedRow { text, before }) = &self.row else {
            return self.hide();
        };
        let columns = width(MARK) + width(text);
        let rest = " ".repeat(self.shown.saturating_sub(columns));
        self.shown = columns;
        // Writing the text before the cursor once more puts the cursor in its place.
        format!("\r{MARK}{text}{rest}\r{MARK}{before}")
    }

    /// Shows another line, or none.
    pub(super) fn change(&mut self, row: Option<TypedRow>) -> String {
        self.row = row.filter(|_| !self.has_ended);
        self.show()
    }

    /// Removes the row for good.
    pub(super) fn end(&mut self) -> String {
        self.has_ended = true;
        self.change(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str, before: &str) -> Option<TypedRow> {
        Some(TypedRow {
            text: text.to_owned(),
            before: before.to_owned(),
        })
    }

    #[test]
    fn what_was_there_is_overwritten() {
        let mut typing = TypingRow::default();
        assert_eq!(typing.hide(), "");
        assert_eq!(typing.change(None), "");
        assert_eq!(typing.change(row("語a", "語")), "\r> 語a\r> 語");
        assert_eq!(typing.change(row("b", "b")), "\r> b  \r> b");
        assert_eq!(typing.hide(), "\r   \r");
        assert_eq!(typing.hide(), "");
        assert_eq!(typing.show(), "\r> b\r> b");
        assert_eq!(typing.change(None), "\r   \r");
        assert_eq!(typing.end(), "");
        assert_eq!(typing.change(row("b", "b")), "");
    }
}

//! `TypingRow`: the row at the bottom of a terminal in which a line is being typed.
//!
//! Must not use anything that a terminal could not know: it goes back to the row's beginning and
//! overwrites, so that it works on every one.

use super::line_editor::TypedRow;
use super::safe::width;

/// What the row begins with.
pub(super) const MARK: &str = "> ";

/// A row that shows a line which is being typed, where one is.
#[derive(Debug, Default)]
pub(super) struct TypingRow {
    row: Option<TypedRow>,
    /// How many columns are not empty at the moment.
    shown: usize,
    has_ended: bool,
}

impl TypingRow {
    /// What empties the row, for other lines to be printed.
    pub(super) fn hide(&mut self) -> String {
        match std::mem::take(&mut self.shown) {
            0 => String::new(),
            columns => format!("\r{}\r", " ".repeat(columns)),
        }
    }

    /// What shows it, from the beginning of a row.
    pub(super) fn show(&mut self) -> String {
        let Some(TypedRow { text, before }) = &self.row else {
            return self.hide();
        };
        let columns = width(MARK) + width(text);
        let rest = " ".repeat(self.shown.saturating_sub(columns));
        self.shown = columns;
        // The cursor gets where it belongs by writing up to there once more.
        format!("\r{MARK}{text}{rest}\r{MARK}{before}")
    }

    /// What shows another one, or none.
    pub(super) fn change(&mut self, row: Option<TypedRow>) -> String {
        self.row = row.filter(|_| !self.has_ended);
        self.show()
    }

    /// What takes it away. None shows from then on.
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

//! `safe`: makes any text fit for a terminal, whoever wrote it.
//!
//! Must not know what a text is for: every line that is printed, and every name that a bar
//! shows, comes through here, and nothing comes past.

use std::ffi::OsStr;
use std::fmt;

use unicode_width::UnicodeWidthChar as _;
use xfer::model::text::is_ignorable;
use xfer::sys::name::from_path;
use xfer::sys::shell;

/// Prints a text with everything escaped that could move the cursor, change the terminal, turn
/// the direction of writing, or hide: controls, bidirectional marks, invisible characters and
/// bytes that are no UTF-8.
#[derive(Clone, Copy)]
pub(crate) struct Safe<'a>(&'a OsStr);

/// The text, fit for a terminal.
pub(crate) fn safe<T: AsRef<OsStr> + ?Sized>(text: &T) -> Safe<'_> {
    Safe(text.as_ref())
}

/// A text as a shell takes it. What is unsafe in it is still to be escaped, and nobody would copy
/// that.
pub(crate) fn quoted(text: &str) -> String {
    shell::quoted(text)
}

/// The same, for a word that a command is not to take for an option.
pub(crate) fn operand(text: &str) -> String {
    match text.starts_with('-') {
        true => format!("-- {}", quoted(text)),
        false => quoted(text),
    }
}

/// The beginning and the end of a text that is safe already, in at most so many columns. The end of
/// a file's name says what it is.
pub(crate) fn keep_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let left = columns.saturating_sub(1);
    let mut end = Vec::new();
    let mut taken = 0;
    for c in text.chars().rev() {
        if taken + char_width(c) > left * 2 / 5 {
            break;
        }
        taken += char_width(c);
        end.push(c);
    }
    let start = keep_start(text, columns - taken.min(columns));
    let end: String = end.into_iter().rev().collect();
    format!("{start}{end}")
}

/// The beginning of a text that is safe already, in at most so many columns.
pub(crate) fn keep_start(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut left = columns.saturating_sub(1);
    for c in text.chars() {
        let Some(rest) = left.checked_sub(char_width(c)) else {
            break;
        };
        left = rest;
        kept.push(c);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// How many columns a text takes that is safe already.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

// One by one: what joins characters to one is unsafe, and escaped.
fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

pub(super) fn is_unsafe(c: char) -> bool {
    // Separators of lines and paragraphs, and annotations.
    c.is_control()
        || is_ignorable(c)
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}')
}

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for chunk in from_path(self.0).utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    c if !is_unsafe(c) => f.write_char(c)?,
                    c if c.is_ascii() => write!(f, "\\x{:02x}", u32::from(c))?,
                    c => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xfer::sys::name::to_system;

    #[test]
    fn tricks_show_and_names_stay() {
        for (text, shown) in [
            ("photo 1.jpg", "photo 1.jpg"),
            ("Übung/日本語/😀.txt", "Übung/日本語/😀.txt"),
            ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
            ("a\r\nb\tc\x7f", "a\\r\\nb\\tc\\x7f"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
            (
                "a\u{200b}b\u{2028}\u{feff}",
                "a\\u{200b}b\\u{2028}\\u{feff}",
            ),
            ("a\u{3164}.txt\u{fe0f}", "a\\u{3164}.txt\\u{fe0f}"),
        ] {
            assert_eq!(safe(text).to_string(), shown);
        }
        // Half of a pair is in no text, and in names on every system.
        let bytes = to_system(b"caf\xed\xa0\x80");
        assert_eq!(safe(&*bytes).to_string(), "caf\\xed\\xa0\\x80");
    }

    #[test]
    fn long_names_keep_their_beginning_and_their_end() {
        assert_eq!(keep_middle("music/song.mp3", 14), "music/song.mp3");
        assert_eq!(keep_middle("music/song.mp3", 12), "music/s….mp3");
        assert_eq!(keep_middle("日本語日本語.txt", 12), "日本語….txt");
        assert_eq!(keep_middle("abc", 1), "…");
        assert_eq!(keep_middle("abc", 0), "");
        assert_eq!(keep_start("workstation", 5), "work…");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_comes_out(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            text in any::<String>(),
            marks in "[\u{61c}\u{200b}-\u{202f}\u{2060}-\u{2070}\u{7f}-\u{a0}\u{e0001}\u{feff}]{0,9}",
        ) {
            let shown = [
                safe(&*to_system(&bytes)).to_string(),
                safe(&text).to_string(),
                safe(&marks).to_string(),
            ];
            for shown in shown {
                prop_assert!(!shown.chars().any(is_unsafe), "{shown:?}");
                prop_assert!(!shown.chars().any(char::is_control));
                prop_assert_eq!(safe(&shown).to_string(), shown.clone());
            }
        }

        #[test]
        fn cutting_keeps_to_its_columns(text in "[a-z日😀é…]{0,20}", columns in 0usize..24) {
            prop_assert!(width(&keep_middle(&text, columns)) <= columns);
            prop_assert!(width(&keep_start(&text, columns)) <= columns);
        }
    }
}

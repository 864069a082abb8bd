//! `LineEditor`: a line being typed, and what each key does to it.
//!
//! Must not read or draw: bytes go in, a line comes out, and what to show of it in one row.

use super::safe::{is_unsafe, width};

/// The longest line accepted, in characters: longer than any that can be sent, so that the user is
/// told. Longer input is pasted by mistake.
const MAX_CHARS: usize = 64 * 1024;

/// The effect of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Only the row changes.
    Nothing,
    /// A whole line.
    Line(String),
    /// The end of input: Ctrl-D in an empty row.
    End,
    /// Ctrl-Z.
    Suspend,
}

/// The position within an escape sequence or a character of several bytes.
#[derive(Debug, Default)]
enum Partly {
    #[default]
    Nothing,
    Escape,
    /// `ESC [` or `ESC O`, and the digits behind it.
    Sequence(String),
    /// The first bytes of a character.
    Character(Vec<u8>),
}

/// A line being typed.
#[derive(Debug, Default)]
pub(crate) struct LineEditor {
    chars: Vec<char>,
    /// The cursor is before this one.
    cursor: usize,
    partly: Partly,
    /// The previous line; the up key brings it back.
    last: Vec<char>,
}

/// The part of a line that shows in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypedRow {
    pub(crate) text: String,
    /// The part of the text before the cursor.
    pub(crate) before: String,
}

impl LineEditor {
    /// Takes a byte that was typed.
    pub(crate) fn take(&mut self, byte: u8) -> Typed {
        match std::mem::take(&mut self.partly) {
            Partly::Nothing => return self.key(byte),
            Partly::Escape => match byte {
                b'[' | b'O' => self.partly = Partly::Sequence(String::new()),
                b'b' => self.cursor = self.word_before(),
                b'f' => self.cursor = self.word_behind(),
                _ => {}
            },
            Partly::Sequence(mut digits) => match byte {
                b'0'..=b'9' | b';' if digits.len() < 8 => {
                    digits.push(char::from(byte));
                    self.partly = Partly::Sequence(digits);
                }
                b'0'..=b'?' => self.partly = Partly::Sequence(digits),
                last => self.sequence(&digits, last),
            },
            Partly::Character(mut bytes) => {
                bytes.push(byte);
                match std::str::from_utf8(&bytes) {
                    Ok(text) => text.chars().for_each(|c| self.insert(c)),
                    // It may become a whole character.
                    Err(error) if error.error_len().is_none() && bytes.len() < 4 => {
                        self.partly = Partly::Character(bytes);
                    }
                    Err(_) if byte.is_ascii() => return self.key(byte),
                    Err(_) => {}
                }
            }
        }
        Typed::Nothing
    }

    fn key(&mut self, byte: u8) -> Typed {
        match byte {
            b'\n' | b'\r' => {
                self.cursor = 0;
                let line = std::mem::take(&mut self.chars);
                self.last.clone_from(&line);
                return Typed::Line(line.into_iter().collect());
            }
            0x01 => self.cursor = 0,
            0x02 => self.cursor = self.cursor.saturating_sub(1),
            0x04 if self.chars.is_empty() => return Typed::End,
            0x04 => self.remove(self.cursor, self.cursor + 1),
            0x05 => self.cursor = self.chars.len(),
            0x06 => self.cursor = self.chars.len().min(self.cursor + 1),
            0x08 | 0x7f => self.remove(self.cursor.saturating_sub(1), self.cursor),
            b'\t' => self.insert(' '),
            0x0b => self.chars.truncate(self.cursor),
            0x10 => self.get_back(),
            0x15 => self.remove(0, self.cursor),
            0x17 => self.remove(self.word_before(), self.cursor),
            0x1a => return Typed::Suspend,
            0x1b => self.partly = Partly::Escape,
            byte if byte.is_ascii() => self.insert(char::from(byte)),
            byte => self.partly = Partly::Character(vec![byte]),
        }
        Typed::Nothing
    }

    fn sequence(&mut self, digits: &str, last: u8) {
        let is_word = digits.ends_with(";5") || digits.ends_with(";3");
        match (digits, last) {
            (_, b'D') if is_word => self.cursor = self.word_before(),
            (_, b'C') if is_word => self.cursor = self.word_behind(),
            (_, b'D') => self.cursor = self.cursor.saturating_sub(1),
            (_, b'C') => self.cursor = self.chars.len().min(self.cursor + 1),
            (_, b'A') => self.get_back(),
            (_, b'H') | ("1" | "7", b'~') => self.cursor = 0,
            (_, b'F') | ("4" | "8", b'~') => self.cursor = self.chars.len(),
            ("3", b'~') => self.remove(self.cursor, self.cursor + 1),
            _ => {}
        }
    }

    fn insert(&mut self, c: char) {
        let is_full = self.chars.len() >= MAX_CHARS;
        // Characters that do not show here would not show at the other end either.
        if !is_unsafe(c) && !is_full {
            self.chars.insert(self.cursor, c);
            self.cursor += 1;
        }
    }

    fn remove(&mut self, from: usize, to: usize) {
        let to = to.min(self.chars.len());
        if from < to {
            self.chars.drain(from..to);
            self.cursor = from;
        }
    }

    /// Where the word before the cursor begins.
    fn word_before(&self) -> usize {
        let before = &self.chars[..self.cursor];
        let end = before.iter().rposition(|c| !c.is_whitespace());
        let begin = end.and_then(|end| before[..end].iter().rposition(|c| c.is_whitespace()));
        match (end, begin) {
            (None, _) | (_, None) => 0,
            (_, Some(space)) => space + 1,
        }
    }

    /// Where the word after the cursor ends.
    fn word_behind(&self) -> usize {
        let behind = &self.chars[self.cursor..];
        let begin = behind.iter().position(|c| !c.is_whitespace());
        let begin = begin.unwrap_or(behind.len());
        let end = behind[begin..].iter().position(|c| c.is_whitespace());
        self.cursor + end.map_or(behind.len(), |end| begin + end)
    }

    /// Brings the previous line back, if nothing is typed.
    fn get_back(&mut self) {
        if self.chars.is_empty() {
            self.chars.clone_from(&self.last);
            self.cursor = self.chars.len();
        }
    }

    /// The part to show in `columns`: the one that the cursor is in.
    pub(crate) fn row(&self, columns: usize) -> TypedRow {
        let columns_of = |c: char| width(c.encode_utf8(&mut [0; 4]));
        let mut before = Vec::new();
        let mut left = columns;
        let (first, second) = self.chars.split_at(self.cursor);
        for &c in first.iter().rev() {
            let Some(rest) = left.checked_sub(columns_of(c)) else {
                break;
            };
            left = rest;
            before.push(c);
        }
        let before: String = before.into_iter().rev().collect();
        let mut text = before.clone();
        for &c in second {
            let Some(rest) = left.checked_sub(columns_of(c)) else {
                break;
            };
            left = rest;
            text.push(c);
        }
        TypedRow { text, before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn typed(editor: &mut LineEditor, bytes: &[u8]) -> Vec<Typed> {
        let typed = bytes.iter().map(|&byte| editor.take(byte));
        typed.filter(|typed| *typed != Typed::Nothing).collect()
    }

    fn lines(bytes: &[u8]) -> Vec<String> {
        let all = typed(&mut LineEditor::default(), bytes);
        let lines = all.into_iter().map(|typed| match typed {
            Typed::Line(line) => line,
            other => panic!("{other:?}"),
        });
        lines.collect()
    }

    #[test]
    fn keys_do_what_they_do_elsewhere() {
        for (keys, line) in [
            ("ab\x7fc\n", "ac"),
            ("bc\x01a\x05d\n", "abcd"),
            ("ac\x1b[Db\n", "abc"),
            ("ac\x1bODb\x1b[C\x1b[Cd\n", "abcd"),
            ("bc\x1b[Ha\x1b[Fd\n", "abcd"),
            ("xab\x1b[1~\x1b[3~\n", "ab"),
            ("one two\x17three\n", "one three"),
            ("one two\x15\n", ""),
            ("one two\x1bb\x0b2\n", "one 2"),
            ("one\x1b[1;5Dx\n", "xone"),
            ("日本\x7f語é\n", "日語é"),
            ("a\tb\n", "a b"),
            // What does nothing here, and what nobody can see.
            ("a\x1b[5~\x1b[200~b\x07\u{202e}\u{200b}c\n", "abc"),
            ("ab\x01\x04\n", "b"),
            ("b\x02a\x06\x06c\n", "abc"),
            ("\x7f\x08\x15\x17\x0b\x1b[D\x1b[C\x1b[3~a\n", "a"),
        ] {
            assert_eq!(lines(keys.as_bytes()), [line], "{keys:?}");
        }
        assert_eq!(lines(b"a\n\x1b[Ab\n\x10\n"), ["a", "ab", "ab"]);
    }

    #[test]
    fn half_a_character_harms_no_key() {
        assert_eq!(lines(b"a\xe6\x97\nb\n"), ["a", "b"]);
        assert_eq!(lines(b"a\xffb\xc3\x28c\n"), ["ab(c"]);
    }

    #[test]
    fn an_empty_row_ends_it() {
        let mut editor = LineEditor::default();
        assert_eq!(typed(&mut editor, b"\x04"), [Typed::End]);
        assert_eq!(typed(&mut editor, b"ab\x04"), []);
        assert_eq!(typed(&mut editor, b"\x1a"), [Typed::Suspend]);
    }

    #[test]
    fn a_row_shows_where_the_cursor_is() {
        let row = |keys: &str, columns| {
            let mut editor = LineEditor::default();
            typed(&mut editor, keys.as_bytes());
            let TypedRow { text, before } = editor.row(columns);
            (text, before.len())
        };
        assert_eq!(row("hello", 10), ("hello".into(), 5));
        assert_eq!(row("hello\x1b[D", 10), ("hello".into(), 4));
        assert_eq!(row("hello world", 5), ("world".into(), 5));
        assert_eq!(row("hello world\x01", 5), ("hello".into(), 0));
        assert_eq!(row("日本語", 5), ("本語".into(), 6));
        assert_eq!(row("日本語", 0), (String::new(), 0));
    }

    proptest! {
        #[test]
        fn whatever_is_typed_the_row_is_safe_and_fits(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            columns in 0usize..50,
        ) {
            let mut editor = LineEditor::default();
            for byte in bytes {
                editor.take(byte);
                let row = editor.row(columns);
                prop_assert!(width(&row.text) <= columns);
                prop_assert!(row.text.starts_with(&row.before));
                prop_assert!(!row.text.chars().any(is_unsafe));
            }
        }
    }
}

//! What somebody has said, as a person reads it: a name in a colour that stays that machine's, and
//! text that does nothing but show.
//!
//! Must not print: the screen does, which knows where it goes.

use xfer::model::prompt::SaidMessage;

use super::safe::safe;
use super::words;
use super::wrap::{self, INDENT};

/// How many lines of a message a terminal shows, and how many bytes: more would push away what else
/// is there.
pub(crate) const MAX_SHOWN_LINES: usize = 200;
pub(crate) const MAX_SHOWN_BYTES: usize = 16 << 10;
/// The columns between two stops of a tab.
const TAB: usize = 8;
/// Colours that can be read on a light and on a dark background, as a terminal numbers them.
const COLOURS: [u8; 6] = [32, 33, 35, 36, 91, 94];

/// How a message is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct SaidStyle {
    /// Whether the name has a colour.
    pub(super) colour: bool,
    /// Whether what is very long is cut.
    pub(super) cut: bool,
    /// How many columns there are, if there is an end to them, and how many stand in front of it.
    pub(super) columns: Option<(usize, usize)>,
}

/// The lines of a message, fit for a terminal, but for the colour, which is whole.
pub(super) fn lines(said: &SaidMessage, style: SaidStyle) -> Vec<String> {
    let name = safe(&said.caller.name).to_string();
    let taken = wrap::width(&name) + 2;
    let name = match style.colour {
        true => format!("\x1b[{}m{name}\x1b[0m", colour(&said.caller.fingerprint)),
        false => name,
    };
    let text = text_lines(&said.text, style.cut);
    // Each line that is no first one begins within the edge: nobody can write this program's own.
    let pieces = |line: String, first: usize| match style.columns {
        Some((columns, before)) => wrap::wrapped(&line, before + first, columns),
        None => vec![line],
    };
    let mut shown = Vec::with_capacity(text.len());
    for (n, line) in text.into_iter().enumerate() {
        let (start, first) = match n {
            0 => (format!("{name}: "), taken),
            _ => (INDENT.to_owned(), INDENT.len()),
        };
        let mut pieces = pieces(line, first).into_iter();
        shown.push(start + &pieces.next().unwrap_or_default());
        shown.extend(pieces);
    }
    shown
}

/// The same without a colour, to be made safe once more by whoever prints them.
pub(super) fn plain_lines(said: &SaidMessage) -> Vec<String> {
    let style = SaidStyle {
        colour: false,
        cut: true,
        columns: None,
    };
    lines(said, style)
}

/// The lines of a text, each made safe. Where it is cut, the last one says so.
fn text_lines(text: &str, cut: bool) -> Vec<String> {
    let (shown, is_cut) = match cut {
        true => beginning(text),
        false => (text, false),
    };
    let shown = shown.trim_end_matches(['\n', '\r']);
    let one = |line: &str| plain(line.strip_suffix('\r').unwrap_or(line));
    let mut lines: Vec<_> = shown.split('\n').map(one).collect();
    if is_cut {
        lines.push(format!(
            "… and more: {} in {} all told. With --json, xfer recv shows all of it.",
            words::bytes(text.len() as u64),
            words::plural(text.lines().count() as u64, "line", "lines"),
        ));
    }
    lines
}

/// As much of a text as a terminal shows, and whether that is not all of it.
fn beginning(text: &str) -> (&str, bool) {
    let mut end = text.len().min(MAX_SHOWN_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut breaks = text[..end].match_indices('\n');
    if let Some((at, _)) = breaks.nth(MAX_SHOWN_LINES - 1) {
        end = at + 1;
    }
    (&text[..end], !text[end..].trim_end().is_empty())
}

/// Whether a terminal shows only the beginning of a text.
pub(crate) fn is_cut(text: &str) -> bool {
    beginning(text).1
}

/// A line, made safe. Tabs are spaces, and what only joins or chooses the shape of letters and
/// pictures is left out: people type these without knowing it.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut columns = 0;
    for c in line.chars() {
        match c {
            '\t' => {
                let spaces = TAB - columns % TAB;
                plain.extend(std::iter::repeat_n(' ', spaces));
                columns += spaces;
            }
            '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' => {}
            c => {
                plain.push(c);
                columns += 1;
            }
        }
    }
    safe(&plain).to_string()
}

/// The colour of a machine, by its key: always the same.
fn colour(fingerprint: &str) -> u8 {
    let sum = fingerprint.bytes().fold(0usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    COLOURS[sum % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use xfer::model::prompt::Caller;

    fn said(text: &str) -> SaidMessage {
        SaidMessage {
            caller: Caller {
                name: "laptop".to_owned(),
                addr: ([192, 168, 0, 9], 4444).into(),
                fingerprint: "ab12".to_owned(),
            },
            text: text.to_owned(),
            asks: false,
        }
    }

    fn shown(text: &str) -> Vec<String> {
        plain_lines(&said(text))
    }

    #[test]
    fn lines_stay_and_nothing_else_moves_the_cursor() {
        assert_eq!(shown("hello\n"), ["laptop: hello"]);
        assert_eq!(
            shown("a\r\n\n\tb\n\n"),
            ["laptop: a", "    ", "            b"]
        );
        assert_eq!(shown("\x1b[2Jx\ry"), ["laptop: \\x1b[2Jx\\ry"]);
        assert_eq!(shown("a\u{202e}b\u{85}"), ["laptop: a\\u{202e}b\\u{85}"]);
        assert_eq!(shown("❤\u{fe0f} 👩\u{200d}👧"), ["laptop: ❤ 👩👧"]);
    }

    #[test]
    fn what_is_very_long_is_cut_and_says_so() {
        let lines = shown(&"line\n".repeat(1000));
        assert_eq!(lines.len(), MAX_SHOWN_LINES + 1);
        let last = "    … and more: 5.00 kB in 1,000 lines all told. With --json, xfer recv shows \
                    all of it.";
        assert_eq!(lines[MAX_SHOWN_LINES], last);
        let lines = shown(&"ä".repeat(20_000));
        assert_eq!(lines[0].len(), "laptop: ".len() + MAX_SHOWN_BYTES);
        assert_eq!(lines.len(), 2);
        for text in [
            "line\n".repeat(MAX_SHOWN_LINES),
            "x".repeat(MAX_SHOWN_BYTES),
            "x".repeat(MAX_SHOWN_BYTES) + "\n",
        ] {
            assert!(!is_cut(&text));
        }
        let whole = text_lines(&"line\n".repeat(1000), false);
        assert_eq!(whole.len(), 1000);
    }

    #[test]
    fn a_machine_keeps_its_colour() {
        let style = SaidStyle {
            colour: true,
            cut: true,
            columns: None,
        };
        let one = lines(&said("a"), style);
        assert_eq!(one, lines(&said("a"), style));
        assert!(one[0].starts_with("\x1b[") && one[0].contains("mlaptop\x1b[0m: a"));
        let all = (0..200).map(|n| colour(&format!("{n:04x}")));
        let all: std::collections::BTreeSet<_> = all.collect();
        assert_eq!(all.len(), COLOURS.len());
    }
}

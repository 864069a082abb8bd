//! Messages as a person reads them: the name in the machine's own colour, and text that cannot
//! control the terminal.
//!
//! Must not print: the screen does.

use xfer::model::prompt::SaidMessage;

use super::safe::safe;
use super::words;
use super::wrap::{self, INDENT};

/// How many lines and bytes of a message a terminal shows. More would push everything else away.
pub(crate) const MAX_SHOWN_LINES: usize = 200;
pub(crate) const MAX_SHOWN_BYTES: usize = 16 << 10;
/// The columns between two stops of a tab.
const TAB: usize = 8;
/// Colour codes that are readable on light and dark backgrounds.
const COLOURS: [u8; 6] = [32, 33, 35, 36, 91, 94];

/// How to write a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct SaidStyle {
    /// Whether the name has a colour.
    pub(super) colour: bool,
    /// Whether to cut a very long message.
    pub(super) cut: bool,
    /// The width to wrap at, and how many columns are taken in front; none to leave lines whole.
    pub(super) columns: Option<(usize, usize)>,
}

/// The lines of a message, safe for a terminal, with the colour if it has one.
pub(super) fn lines(said: &SaidMessage, style: SaidStyle) -> Vec<String> {
    let name = safe(&said.caller.name).to_string();
    let taken = wrap::width(&name) + 2;
    let name = match style.colour {
        true => format!("\x1b[{}m{name}\x1b[0m", colour(&said.caller.fingerprint)),
        false => name,
    };
    let text = text_lines(&said.text, style.cut);
    // All lines but the first are indented, so that a peer cannot forge xfer's own lines.
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

/// The same without colour; the screen makes it safe once more.
pub(super) fn plain_lines(said: &SaidMessage) -> Vec<String> {
    let style = SaidStyle {
        colour: false,
        cut: true,
        columns: None,
    };
    lines(said, style)
}

/// The lines of a text, each made safe. If it is cut, the last line says so.
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
            "… cut: the whole message is {} in {}. `xfer recv --json` prints all of it.",
            words::bytes(text.len() as u64),
            words::plural(text.lines().count() as u64, "line", "lines"),
        ));
    }
    lines
}

/// The part of a text that a terminal shows, and whether the rest was cut.
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

/// Whether a terminal would cut a text.
pub(crate) fn is_cut(text: &str) -> bool {
    beginning(text).1
}

/// A line, made safe. Tabs become spaces. Joiners and variation selectors are left out: people
/// type them without knowing, and escaped they would only disturb.
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

/// The colour of a machine; it depends only on its key.
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
        let last = "    … cut: the whole message is 5.00 kB in 1,000 lines. `xfer recv --json` \
                    prints all of it.";
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

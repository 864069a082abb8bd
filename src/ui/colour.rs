//! Colours: of names, each of which has one that stays the same from run to run and everywhere; and
//! of lines that say how something went.
//!
//! Must not tell anything that is not said: nothing is lost without colours.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU8, Ordering};

use super::safe::safe;
use super::terminal;

/// Those that can be read on light and on dark terminals.
const COLOURS: [u8; 10] = [31, 32, 33, 35, 36, 91, 92, 94, 95, 96];

/// What the user has said of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ColourChoice {
    Auto,
    Always,
    Never,
}

/// For the whole program, as it is said once.
static CHOICE: AtomicU8 = AtomicU8::new(ColourChoice::Auto as u8);

/// From now on this holds.
pub(crate) fn choose(choice: ColourChoice) {
    CHOICE.store(choice as u8, Ordering::Relaxed);
}

/// Whether a stream shows colours, and its user wants them (<https://no-color.org>,
/// <https://bixense.com/clicolors>).
pub(super) fn are_wanted(stream: &impl IsTerminal) -> bool {
    let choice = CHOICE.load(Ordering::Relaxed);
    if choice != ColourChoice::Auto as u8 {
        return choice == ColourChoice::Always as u8;
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    match (set("NO_COLOR"), set("CLICOLOR_FORCE"), set("CLICOLOR")) {
        (Some(_), ..) => false,
        (None, Some(force), _) if force != "0" => true,
        (None, _, Some(colour)) if colour == "0" => false,
        _ => stream.is_terminal() && terminal::is_smart(),
    }
}

/// A line that is safe already, with what matters in it in colour: how it went, and a code.
pub(super) fn line(text: &str) -> String {
    if text.len() == text.trim_start().len() {
        for (heads, colour) in [
            (&["xfer:", "Failed:"][..], "31;1"),
            (&["Warning:", "Refused"], "33;1"),
            (&["Sent", "Received", "Mirrored", "Paired"], "32;1"),
        ] {
            for head in heads {
                if let Some(rest) = text.strip_prefix(head)
                    && rest.starts_with(' ')
                {
                    return format!("\x1b[{colour}m{head}\x1b[0m{rest}");
                }
            }
        }
    }
    match code_in(text) {
        Some(at) => format!("{}\x1b[1m{}\x1b[0m", &text[..at], &text[at..]),
        None => text.to_owned(),
    }
}

/// Where a code for pairing begins, if a line ends with one: `123 456`.
fn code_in(text: &str) -> Option<usize> {
    let at = text.len().checked_sub("123 456".len())?;
    let code = text.get(at..)?.as_bytes();
    let is_code = code.iter().enumerate().all(|(n, byte)| match n {
        3 => *byte == b' ',
        _ => byte.is_ascii_digit(),
    });
    (is_code && text[..at].ends_with(' ')).then_some(at)
}

/// A name, fit for a terminal, in its colour.
pub(super) fn name(name: &str, in_colour: bool) -> String {
    match in_colour {
        true => format!("\x1b[{}m{}\x1b[0m", of(name), safe(name)),
        false => safe(name).to_string(),
    }
}

fn of(name: &str) -> u8 {
    // FNV-1a: the same in every version, on every machine.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    COLOURS[(hash >> 16) as usize % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_went_and_codes_are_seen_at_once() {
        for (text, shown) in [
            ("Sent a to lap", "\x1b[32;1mSent\x1b[0m a to lap"),
            ("Failed: a: it", "\x1b[31;1mFailed:\x1b[0m a: it"),
            ("  Sent a", "  Sent a"),
            ("Sentinel", "Sentinel"),
            ("on desk:  123 456", "on desk:  \x1b[1m123 456\x1b[0m"),
            ("123 456", "123 456"),
            ("日本 12 456", "日本 12 456"),
        ] {
            assert_eq!(line(text), shown);
        }
    }

    #[test]
    fn a_name_keeps_its_colour_and_can_do_nothing_else() {
        assert_eq!(name("anna", false), "anna");
        assert_eq!(of("anna"), of("anna"));
        let evil = name("\x1b[2Ja\u{202e}", true);
        assert_eq!(evil.matches('\x1b').count(), 2);
        let many: std::collections::BTreeSet<_> = (0..100).map(|n| of(&format!("{n}"))).collect();
        assert_eq!(many.len(), COLOURS.len());
    }
}

//! Colours of names: each name has one, which stays the same from run to run and everywhere.
//!
//! Must not tell two apart: the names do. Nothing is lost without colours.

use std::io::IsTerminal;

use super::safe::safe;

/// Those that can be read on light and on dark terminals.
const COLOURS: [u8; 10] = [31, 32, 33, 35, 36, 91, 92, 94, 95, 96];

/// Whether a stream shows colours, and its user wants them (<https://no-color.org>).
pub(super) fn are_wanted(stream: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let smart = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    stream.is_terminal() && smart && !is_set("NO_COLOR")
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
    fn a_name_keeps_its_colour_and_can_do_nothing_else() {
        assert_eq!(name("anna", false), "anna");
        assert_eq!(of("anna"), of("anna"));
        let evil = name("\x1b[2Ja\u{202e}", true);
        assert_eq!(evil.matches('\x1b').count(), 2);
        let many: std::collections::BTreeSet<_> = (0..100).map(|n| of(&format!("{n}"))).collect();
        assert_eq!(many.len(), COLOURS.len());
    }
}

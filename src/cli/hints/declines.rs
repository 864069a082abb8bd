//! What to do when one side turned the other away.
//!
//! Must not repeat what happened: the error says that.

use xfer::model::outcome::{Ability, Decline};

use super::local::argument;

const LATER: &str = "Try again when its other transfers are done.";

/// What to do when the other machine declined.
pub(super) fn declined(reason: &Decline) -> Option<String> {
    let hint = match reason {
        Decline::Unknown => {
            "Start `xfer recv` in a terminal on that machine, or `xfer recv --pair` if it runs as \
             a service, then send again. It shows a code, only this once."
        }
        Decline::Full => "Try again in a moment.",
        Decline::NotOpen => "Add --open to this command if you trust the network.",
        Decline::TooManySessions => LATER,
        Decline::Crowded => "Try again in a minute.",
        Decline::Unsupported(_) | Decline::UnsupportedText(_) => {
            "Update xfer on the other machine."
        }
        Decline::Store(_) | Decline::StoreText(_) => {
            "Check the receive folder on that machine: its permissions and free space."
        }
        Decline::Locked => {
            "Someone may have tried to guess its code. Press Enter in its terminal, or restart \
             `xfer recv` there."
        }
        Decline::NameTaken => {
            "If this machine has a new key, run `xfer unpair NAME` there. If these are two \
             machines, give this one another name: --name NAME"
        }
        Decline::NoMirror => {
            "Start `xfer recv --allow-mirror` there. --open, --on-conflict or may-mirror = false \
             still prevent it."
        }
        Decline::NoUpdate => {
            "Start `xfer recv --allow-update` there, or leave out --update to store the new \
             version beside the old one. With --open, nothing is ever replaced."
        }
        Decline::Unattended => "Start `xfer recv` in a terminal there, or without --ask.",
        Decline::NotGranted(ability) => {
            return Some(format!(
                "To allow it, run there: xfer peers --allow {} NAME (the name it has for this \
                 machine)",
                granted(*ability)
            ));
        }
        Decline::NoCommand => {
            "`xfer run TARGET` lists its commands. To offer another, start there: xfer recv --run \
             NAME=COMMAND"
        }
        Decline::NoArguments => {
            "To allow them, set `arguments = true` in the command's [run.NAME] table there, and \
             `options = true` for arguments that begin with -."
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What to do when this machine turned the machine `name` away.
pub(super) fn turned_away(name: &str, reason: &Decline) -> Option<String> {
    let hint = match reason {
        Decline::Unknown => {
            "To let it in, run `xfer recv --pair` in a terminal, then send again from there."
        }
        Decline::NotOpen => {
            "Send from there with --open, or start this in a terminal to show a code."
        }
        Decline::NoUpdate => {
            return Some(format!(
                "To allow it, start `xfer recv --allow-update`, or set may-update = true in \
                 [peer.{}] (see `xfer config --help`). With --open, nothing is ever replaced.",
                table(name)
            ));
        }
        Decline::NoMirror => {
            "To allow it, start `xfer recv --allow-mirror`. --open, --on-conflict or may-mirror = \
             false still prevent it."
        }
        Decline::NameTaken => {
            return Some(format!(
                "Either it has a new key, or another machine uses its name. If you are sure that \
                 it is the same machine, run `xfer unpair {}`, then send again from there.",
                argument(name)
            ));
        }
        Decline::NotGranted(ability) => {
            return Some(format!(
                "To allow it: xfer peers --allow {} {}",
                granted(*ability),
                argument(name)
            ));
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// A name as a TOML key.
fn table(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    match name.chars().all(is_bare) && !name.is_empty() {
        true => name.to_owned(),
        false => format!("\"{}\"", name.chars().map(escaped).collect::<String>()),
    }
}

/// A character as it stands between quotes in TOML.
fn escaped(c: char) -> String {
    match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    }
}

/// The word that `xfer peers` has for it.
fn granted(ability: Ability) -> &'static str {
    match ability {
        Ability::Files => "files",
        Ability::Messages => "messages",
        Ability::Fetch => "fetch",
        _ => "run",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_key_that_toml_reads() {
        for name in [
            "desk",
            "Anna's laptop",
            "a \"b\"",
            "back\\slash",
            "a\u{301}b",
            "no\u{200b}width",
            "\u{7}\u{7f}\u{85}\n",
            "",
        ] {
            let text = format!("[peer.{}]", table(name));
            let read: toml::Table = toml::from_str(&text).unwrap();
            let names: Vec<_> = read["peer"].as_table().unwrap().keys().collect();
            assert_eq!(names, [name], "{text}");
        }
        assert_eq!(table("a\u{301}'b"), "\"a\u{301}'b\"");
    }
}

//! Commands that other machines may run here: the tables `[run.NAME]` of the settings, and `recv
//! --run`.
//!
//! Must not start anything, nor involve a shell: only quotes group words.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use toml::de::DeValue;
use xfer::model::command::MAX_COMMANDS;
use xfer::sys::commands::ListedCommand;

use super::super::size;
use super::entry::{SettingEntry, path};

/// The table that holds a table for each command.
pub(super) const RUN: &str = "run";
/// The keys of such a table.
pub(super) const RUN_KEYS: [&str; 7] = [
    "command",
    "arguments",
    "options",
    "dir",
    "time-limit",
    "output-limit",
    "at-once",
];
/// The longest name of a command, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// A command that other machines may run.
#[derive(Debug)]
pub(crate) struct RunTable {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) command: ListedCommand,
    /// The entries that it was read from.
    pub(crate) entries: Vec<SettingEntry>,
}

/// Checks the name of a command.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let fits = (1..=MAX_NAME_BYTES).contains(&name.len());
    match fits && name.bytes().all(is_plain) && !name.starts_with('-') {
        true => Ok(()),
        false => Err(format!(
            "invalid command name '{name}': use up to {MAX_NAME_BYTES} letters, digits, - and _, not \
             beginning with -"
        )),
    }
}

/// Splits a command line into words. Quotes group words; nothing else has a meaning.
pub(crate) fn words(line: &str) -> Result<Vec<String>, String> {
    let words = shlex::split(line).ok_or("unclosed quote")?;
    names_program(&words)?;
    Ok(words)
}

fn names_program(words: &[String]) -> Result<(), String> {
    if words.first().is_none_or(String::is_empty) {
        return Err("must name a program".to_owned());
    }
    match words.iter().any(|word| word.contains('\0')) {
        true => Err("cannot have a NUL character".to_owned()),
        false => Ok(()),
    }
}

/// Reads the value of `recv --run NAME='command line'`.
pub(crate) fn parse_run(text: &str) -> anyhow::Result<(String, ListedCommand)> {
    let (name, line) = text
        .split_once('=')
        .ok_or_else(|| anyhow::anyhow!("must be NAME='COMMAND LINE'"))?;
    check_name(name).map_err(anyhow::Error::msg)?;
    let command = ListedCommand {
        words: words(line).map_err(anyhow::Error::msg)?,
        ..ListedCommand::default()
    };
    Ok((name.to_owned(), command))
}

/// Adds an entry to a command.
pub(super) fn command(
    command: &mut ListedCommand,
    entry: &mut SettingEntry,
    value: &DeValue<'_>,
) -> Result<(), String> {
    let flag = || value.as_bool().ok_or("must be true or false".to_owned());
    let number = |what: &str| {
        let number = entry
            .words
            .first()
            .and_then(|word| word.to_str()?.parse().ok());
        number.ok_or(format!("must be a number{what}"))
    };
    match entry.key {
        "command" => {
            command.words = match value.as_str() {
                Some(line) => words(line)?,
                None => {
                    let words = entry
                        .words
                        .iter()
                        .map(|word| word.to_str().map(str::to_owned));
                    let words: Option<Vec<_>> = words.collect();
                    let words = words.ok_or("must be text or a list of words")?;
                    names_program(&words)?;
                    words
                }
            };
        }
        "arguments" => command.arguments = flag()?,
        "options" => command.options = flag()?,
        "time-limit" => command.seconds = number(" of seconds (0: no limit)")?,
        "at-once" => {
            let most = number(" (at least 1)")?;
            command.at_once = usize::try_from(most).unwrap_or(usize::MAX).max(1);
        }
        "output-limit" => {
            let bytes = value.as_str().and_then(|text| size::bytes(text).ok());
            command.output = bytes.ok_or("must be a size such as \"100M\"")?;
        }
        _ => {
            let dir = value.as_str().and_then(|dir| path(OsStr::new(dir)).ok());
            let dir = dir.ok_or("must be a path that begins with / or ~/")?;
            entry.words = vec![dir.clone()];
            command.dir = Some(dir.into());
        }
    }
    Ok(())
}

/// All commands offered: those of the settings, unless the command line replaces them.
pub(crate) fn all(
    tables: &[RunTable],
    given: Vec<(String, ListedCommand)>,
) -> Result<BTreeMap<String, ListedCommand>, String> {
    let set = tables.iter();
    let set = set.map(|table| (table.name.clone(), table.command.clone()));
    let all: BTreeMap<_, _> = set.chain(given).collect();
    match all.len() > MAX_COMMANDS {
        true => Err(format!("too many commands: at most {MAX_COMMANDS}")),
        false => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_into_words_and_a_shell_sees_none_of_it() {
        for (line, split) in [
            (
                "make -C 'my code' all",
                &["make", "-C", "my code", "all"][..],
            ),
            ("echo $HOME; ls | wc", &["echo", "$HOME;", "ls", "|", "wc"]),
            ("sh -c \"df -h; du\"", &["sh", "-c", "df -h; du"]),
            ("a ''", &["a", ""]),
        ] {
            assert_eq!(words(line).unwrap(), split, "{line}");
        }
        for line in ["", "  ", "''", "a 'b", "a\0b"] {
            assert!(words(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_name_is_plain() {
        for name in ["a", "disk-free", "A_1"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "-a", "a b", "a/b", "\u{e4}", "a\x1b", &"a".repeat(65)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(parse_run("a").is_err());
        let (name, command) = parse_run("a=b=c 'd e'").unwrap();
        assert_eq!(
            (&*name, command.words),
            ("a", vec!["b=c".into(), "d e".into()])
        );
    }
}

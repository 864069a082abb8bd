//! Settings: defaults of options. The environment wins over the file, and the file over the
//! options' own defaults.
//!
//! Must not know what a setting means: each is an option of some command, whose rules apply.

mod commands;
mod entry;
mod file;
mod variables;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command, ValueHint};
use xfer::sys::shell;
use xfer::transfer::Grant;

use super::{machine, usage_error};
pub(super) use commands::{RunTable, all as all_commands, parse_run, words as split_words};
use entry::SettingEntry;
pub(super) use file::{KEYS, PeerTable};
use variables::variable;

/// The settings.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The path of the file, for people; it may not exist.
    pub(super) path: Option<String>,
    /// Whether the file exists.
    pub(super) is_there: bool,
    /// The machines in the file.
    pub(super) peers: Vec<PeerTable>,
    /// The commands in the file.
    pub(super) runs: Vec<RunTable>,
    /// Variables of the environment that are likely misspelled settings, and what was likely meant.
    pub(super) misspelled: Vec<(String, String)>,
    values: BTreeMap<&'static str, Value>,
}

/// The value of a key.
#[derive(Debug)]
pub(super) struct Value {
    /// One word, unless the value is a list.
    pub(super) words: Vec<OsString>,
    /// Where it is set, in words.
    pub(super) from: String,
}

impl Settings {
    /// Reads the settings for the options of `program`. Errors are in words.
    pub(super) fn load(program: &Command) -> Result<Self, String> {
        let mut settings = match machine::config_file() {
            Ok(path) => Self::in_file(&path, program)?,
            // Without a home there is no file.
            Err(_) => Self::default(),
        };
        settings.misspelled = variables::misspelled(std::env::vars_os().map(|(name, _)| name));
        for key in KEYS {
            let variable = variable(key);
            let words = match std::env::var_os(&variable) {
                Some(word) if !word.is_empty() => vec![word],
                _ => continue,
            };
            check(program, key, &words).map_err(|why| format!("{variable}: {why}"))?;
            let words = match is_path(program, key) {
                // As `xfer config` shows it, it means the same in a file.
                true => words.into_iter().map(absolute).collect(),
                false => words,
            };
            let from = variable;
            settings.values.insert(key, Value { words, from });
        }
        Ok(settings)
    }

    fn in_file(path: &Path, program: &Command) -> Result<Self, String> {
        let shown = shown(path);
        let mut settings = Self::default();
        let text = file::read(path).map_err(|why| format!("cannot read {shown}: {why}"))?;
        if let Some(text) = text {
            settings.is_there = true;
            let file = file::parse(&text, &shown)?;
            for entry in file.entries {
                let SettingEntry {
                    key,
                    mut words,
                    line,
                } = entry;
                let failed = |why| format!("{shown}:{line}: {why}");
                if is_path(program, key) {
                    let paths = words.iter().map(|word| entry::path(word));
                    words = paths.collect::<Result<_, _>>().map_err(failed)?;
                }
                check(program, key, &words).map_err(failed)?;
                let from = format!("line {line}");
                settings.values.insert(key, Value { words, from });
            }
            settings.peers = file.peers;
            settings.runs = file.runs;
        }
        settings.path = Some(shown);
        Ok(settings)
    }

    /// The value of a key, if it is set.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Where the value of an option comes from: the option itself, or a setting.
    pub(super) fn source(&self, key: &str, word: &OsStr) -> String {
        match self.get(key) {
            Some(value) if value.words.iter().any(|set| set == word) => {
                match (&self.path, value.from.starts_with("line")) {
                    (Some(path), true) => {
                        format!("{path}:{}", value.from.trim_start_matches("line "))
                    }
                    _ => value.from.clone(),
                }
            }
            _ => format!("--{key}"),
        }
    }

    /// The name of this machine, if no option gives one.
    pub(super) fn name(&self) -> String {
        let word = self.get("name").and_then(|value| value.words.first());
        match word {
            Some(name) => name.to_string_lossy().into_owned(),
            None => machine::name(),
        }
    }

    /// What machines may do here, by name.
    pub(super) fn grants(&self) -> BTreeMap<String, Grant> {
        let peers = self.peers.iter();
        peers
            .map(|peer| (peer.name.clone(), peer.grant.clone()))
            .collect()
    }

    /// Makes the settings the defaults of the program's options.
    pub(super) fn apply(&self, program: Command) -> Command {
        program.mut_subcommands(|mut command| {
            for (key, value) in &self.values {
                if let Some(option) = option(&command, key) {
                    let id = option.get_id().clone();
                    command = command.mut_arg(id, |option| {
                        // The help describes the program, not this user's settings.
                        let option = option.hide_default_value(true);
                        option.default_values(value.words.clone())
                    });
                }
            }
            command
        })
    }
}

/// Lets the command line switch off a flag that can be set: `--ask=no`.
pub(super) fn make_settable(program: Command) -> Command {
    program.mut_subcommands(|command| {
        command.mut_args(|option| {
            let can_be_set = option.get_long().is_some_and(|long| KEYS.contains(&long));
            if !can_be_set || !matches!(option.get_action(), ArgAction::SetTrue) {
                return option;
            }
            option
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .value_name("BOOL")
                .value_parser(BoolishValueParser::new())
                .hide_possible_values(true)
                .default_missing_value("true")
                .default_value("false")
                .hide_default_value(true)
        })
    })
}

fn absolute(path: OsString) -> OsString {
    std::path::absolute(&path).map_or(path, Into::into)
}

/// The default of a key, as the option's help gives it.
pub(super) fn default(program: &Command, key: &str) -> String {
    let commands = program.get_subcommands();
    let Some(option) = commands.filter_map(|c| option(c, key)).next() else {
        return String::new();
    };
    let help = option.get_help().map(ToString::to_string);
    let said = help.as_deref().and_then(|help| {
        let (_, said) = help.split_once("[default: ")?;
        said.split_once(']').map(|(said, _)| said.to_owned())
    });
    said.unwrap_or_else(|| {
        let values = option.get_default_values().iter();
        let values: Vec<_> = values.map(|v| v.to_string_lossy()).collect();
        values.join(", ")
    })
}

/// A path for people, with `~` for the home.
fn shown(path: &Path) -> String {
    let home = machine::home().filter(|_| shell::KNOWS_TILDE);
    match home.and_then(|home| Some(path.strip_prefix(home).ok()?.to_path_buf())) {
        Some(below) => Path::new("~").join(below).display().to_string(),
        None => path.display().to_string(),
    }
}

/// The option that a key sets.
fn option<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    let mut options = command.get_arguments();
    options.find(|option| option.get_long() == Some(key))
}

fn is_path(program: &Command, key: &str) -> bool {
    use ValueHint::{AnyPath, DirPath, ExecutablePath, FilePath};
    let mut options = program.get_subcommands().filter_map(|c| option(c, key));
    options.any(|option| {
        let hint = option.get_value_hint();
        matches!(hint, AnyPath | DirPath | FilePath | ExecutablePath)
    })
}

/// Checks a value by the rules of its option. The error is in words.
fn check(program: &Command, key: &str, words: &[OsString]) -> Result<(), String> {
    let mut commands = program.get_subcommands();
    let Some(command) = commands.find(|command| option(command, key).is_some()) else {
        return Ok(());
    };
    let mut command = command.clone().no_binary_name(true);
    let arguments = words.iter().map(|word| {
        let mut argument = OsString::from(format!("--{key}="));
        argument.push(word);
        argument
    });
    match command.try_get_matches_from_mut(arguments) {
        Ok(_) => Ok(()),
        // Values are checked first: only other arguments are missing.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => Ok(()),
        Err(error) => {
            let (mut text, hints) = usage_error::message(&error, program);
            text = text.replace(&format!("--{key}"), key);
            for hint in hints {
                text = format!("{text}; {}", lower(&hint));
            }
            Err(text)
        }
    }
}

/// With a small first letter, for the middle of a line.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_an_option_and_has_a_default() {
        let program = super::super::program();
        for key in KEYS {
            let mut commands = program.get_subcommands();
            assert!(commands.any(|c| option(c, key).is_some()), "{key}");
            assert!(!default(&program, key).is_empty(), "{key}");
        }
        // XFER_CODE has another meaning.
        assert!(!KEYS.contains(&"code"));
    }

    #[test]
    fn a_value_has_to_suit_its_option() {
        let program = super::super::program();
        let check = |key, word: &str| check(&program, key, &[word.into()]);
        for (key, word) in [
            ("lanes", "2"),
            ("ask", "yes"),
            ("hash", "blake3"),
            ("name", "-"),
        ] {
            assert_eq!(check(key, word), Ok(()), "{key}");
        }
        for (key, word) in [
            ("lanes", "0"),
            ("ask", "hm"),
            ("hash", "md5"),
            ("listen", "x"),
        ] {
            let why = check(key, word).unwrap_err();
            assert!(
                why.starts_with(&format!("invalid value '{word}' for {key}")),
                "{why}"
            );
        }
    }

    #[test]
    fn a_variable_is_the_key_in_capitals() {
        assert_eq!(variable("max-sessions"), "XFER_MAX_SESSIONS");
    }
}

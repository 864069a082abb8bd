//! The list of commands that may be started, and with which arguments.
//!
//! Must not start anything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What an argument begins with that may be an option.
#[cfg(unix)]
const OPTIONS_BEGIN: &[u8] = b"-";
#[cfg(windows)]
const OPTIONS_BEGIN: &[u8] = b"-/";

/// How many commands run at once at most, whichever they are.
pub const MAX_TOGETHER: usize = 16;
/// How many arguments a command gets at most.
const MAX_ARGUMENTS: usize = 256;
/// How many bytes all of them have at most.
const MAX_ARGUMENT_BYTES: usize = 64 * 1024;
/// The longest value that a command is told in its environment, in bytes.
const MAX_VALUE_BYTES: usize = 16 * 1024;
/// How long what runs behind a session may take, in seconds.
const ON_DONE_SECONDS: u64 = 3600;

/// All that may be started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandList {
    /// By their names.
    pub commands: BTreeMap<String, ListedCommand>,
    /// What runs behind a session that stored something, as a shell takes it.
    pub on_done: Option<String>,
}

/// A command that may be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedCommand {
    /// The program, and the arguments that it gets in any case.
    pub words: Vec<String>,
    /// Whether whoever starts it may add arguments.
    pub arguments: bool,
    /// Whether such an argument may begin with '-'.
    pub options: bool,
    /// Where it runs; where it is not said, in the user's home.
    pub dir: Option<PathBuf>,
    /// How long it may take, in seconds; for ever where that is 0.
    pub seconds: u64,
    /// How many bytes it may put out.
    pub output: u64,
    /// How many of it may run at once.
    pub at_once: usize,
}

/// What a command is told in its environment.
pub type ToldValues = BTreeMap<String, Vec<u8>>;

/// What the parent asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::sys) struct Start {
    /// The name of the command; none for what runs behind a session.
    pub(in crate::sys) name: Option<String>,
    pub(in crate::sys) arguments: Vec<Vec<u8>>,
    pub(in crate::sys) told: ToldValues,
}

/// What a supervisor gets.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sys) struct Checked {
    pub(in crate::sys) words: Vec<Vec<u8>>,
    pub(in crate::sys) dir: Option<PathBuf>,
    pub(in crate::sys) seconds: u64,
    pub(in crate::sys) at_once: usize,
    /// Whether what it has started may go on when it has ended by itself.
    pub(in crate::sys) leaves: bool,
}

impl Default for ListedCommand {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            arguments: false,
            options: false,
            dir: None,
            seconds: 600,
            output: 64 << 20,
            at_once: 1,
        }
    }
}

impl ListedCommand {
    /// Whether it may be started with these.
    #[must_use]
    pub fn takes(&self, arguments: &[Vec<u8>]) -> bool {
        let bytes: usize = arguments.iter().map(Vec::len).sum();
        let is_option = |argument: &Vec<u8>| {
            let first = argument.first();
            first.is_some_and(|first| OPTIONS_BEGIN.contains(first))
        };
        (self.arguments || arguments.is_empty())
            && arguments.len() <= MAX_ARGUMENTS
            && bytes <= MAX_ARGUMENT_BYTES
            && !arguments.iter().any(|argument| argument.contains(&0))
            && (self.options || !arguments.iter().any(is_option))
    }
}

impl CommandList {
    /// Whether nothing at all may be started.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.on_done.is_none()
    }

    /// What is to be started, if it may be.
    pub(in crate::sys) fn check(&self, start: &Start) -> Option<Checked> {
        let is_told = |(name, value): (&String, &Vec<u8>)| {
            name.starts_with("XFER_")
                && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
                && value.len() <= MAX_VALUE_BYTES
                && !value.contains(&0)
        };
        if !start.told.iter().all(is_told) {
            return None;
        }
        let Some(name) = &start.name else {
            let line = self.on_done.as_ref()?;
            let words = ["/bin/sh", "-c", line].map(|word| word.as_bytes().to_vec());
            return start.arguments.is_empty().then(|| Checked {
                words: words.to_vec(),
                dir: None,
                seconds: ON_DONE_SECONDS,
                // Of those that have ended, some is left; its parent starts one after the other.
                at_once: usize::MAX,
                leaves: true,
            });
        };
        let command = self.commands.get(name)?;
        if command.words.is_empty() || !command.takes(&start.arguments) {
            return None;
        }
        let words = command.words.iter().map(|word| word.as_bytes().to_vec());
        Some(Checked {
            words: words.chain(start.arguments.iter().cloned()).collect(),
            dir: command.dir.clone(),
            seconds: command.seconds,
            at_once: command.at_once,
            leaves: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> CommandList {
        let command = |arguments, options| ListedCommand {
            words: vec!["/bin/echo".into(), "-n".into()],
            arguments,
            options,
            ..ListedCommand::default()
        };
        CommandList {
            commands: BTreeMap::from([
                ("plain".into(), command(false, false)),
                ("words".into(), command(true, false)),
                ("all".into(), command(true, true)),
            ]),
            on_done: None,
        }
    }

    fn start(name: &str, arguments: &[&[u8]]) -> Start {
        Start {
            name: Some(name.into()),
            arguments: arguments.iter().map(|a| a.to_vec()).collect(),
            told: ToldValues::new(),
        }
    }

    #[test]
    fn only_what_is_listed_is_started_with_what_it_takes() {
        let list = list();
        for (name, arguments, passes) in [
            ("plain", &[][..], true),
            ("plain", &[&b"a"[..]], false),
            ("plain", &[b""], false),
            ("none", &[], false),
            ("", &[], false),
            ("words", &[b"a b", b"$(x)", b"", b"\xff", b"a-b"], true),
            ("words", &[b"-x"], false),
            ("words", &[b"a", b"--"], false),
            ("words", &[b"-"], false),
            ("words", &[b"a\0b"], false),
            ("words", &[&b"a"[..]; MAX_ARGUMENTS], true),
            ("words", &[&b"a"[..]; MAX_ARGUMENTS + 1], false),
            ("words", &[&[b'a'; MAX_ARGUMENT_BYTES]], true),
            ("words", &[&[b'a'; MAX_ARGUMENT_BYTES], b"a"], false),
            ("all", &[b"-x", b"--", b"-"], true),
        ] {
            let checked = list.check(&start(name, arguments));
            assert_eq!(checked.is_some(), passes, "{name} {:?}", arguments.first());
            if let Some(checked) = checked {
                assert_eq!(checked.words[2..], *arguments);
            }
        }
    }

    #[test]
    fn only_values_of_our_own_get_into_an_environment() {
        let list = list();
        for (name, value, passes) in [
            ("XFER_PEER", &b"it's"[..], true),
            ("PATH", b"/tmp", false),
            ("XFER_A=B", b"", false),
            ("XFER_PEER", b"a\0b", false),
        ] {
            let mut start = start("plain", &[]);
            start.told.insert(name.into(), value.to_vec());
            assert_eq!(list.check(&start).is_some(), passes, "{name}");
        }
    }

    #[test]
    fn nothing_runs_behind_a_session_that_was_not_set() {
        let mut list = list();
        let mut start = start("", &[]);
        start.name = None;
        assert_eq!(list.check(&start), None);
        list.on_done = Some("true".into());
        assert!(list.check(&start).is_some());
        start.arguments.push(b"a".to_vec());
        assert_eq!(list.check(&start), None);
    }
}

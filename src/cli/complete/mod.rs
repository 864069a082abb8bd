//! Completion in shells: the scripts that a shell loads, and what they ask at each press of TAB.
//!
//! Must not say what is wrong, make anything, wait for the network, or depend on settings: it runs
//! while somebody types.

mod words;

use std::ffi::OsString;
use std::io::{self, Write as _};

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::engine::{self, ArgValueCompleter, CompletionCandidate};

use super::names::{self, DIRS, FILES, MACHINES};
use words::Words;

/// The first argument by which the scripts ask. The shell and what it has follow.
const ASKED: &str = "__complete";

const BASH: &str = include_str!("xfer.bash");
const ZSH: &str = include_str!("xfer.zsh");
const FISH: &str = include_str!("xfer.fish");

/// A shell whose script is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub(super) fn script(self) -> &'static str {
        match self {
            Self::Bash => BASH,
            Self::Zsh => ZSH,
            Self::Fish => FISH,
        }
    }
}

/// Answers a script, where one has asked; says whether it was so.
pub(super) fn serve(mut args: impl Iterator<Item = OsString>, program: fn() -> Command) -> bool {
    if args.next().is_none_or(|first| first != ASKED) {
        return false;
    }
    let shell = args.next();
    let args: Vec<_> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let answer = match shell.as_ref().and_then(|shell| shell.to_str()) {
        Some("bash") => in_bash(&args, program(), true),
        Some("bash3") => in_bash(&args, program(), false),
        Some("zsh") => in_zsh(&args, program()),
        Some("fish") => in_fish(&args, program()),
        _ => None,
    };
    // A shell that has gone on does not read it.
    let _ = io::stdout().write_all(answer.unwrap_or_default().as_bytes());
    true
}

// The line up to the cursor, and what ends words there. What a shell keeps is left out of each.
// Names are chosen by other machines: none may come to stand there as a command.
fn in_bash(args: &[String], program: Command, quotes_files: bool) -> Option<String> {
    let [line, breaks] = args else { return None };
    let words = words::split(line, breaks);
    let found = complete(&words, program)?;
    let mut answer = format!("{}\n", found.kind);
    for (value, _) in &found.values {
        // Where files are among them, the shell itself quotes all.
        let whole = format!("{}{value}", found.prefix);
        let Some(rest) = whole.get(words.kept..) else {
            continue;
        };
        if quotes_files && found.kind == FOUND_FILES {
            answer.push_str(rest);
        } else if let Some(quoted) = words::quoted(rest, words.quote) {
            answer.push_str(&quoted);
        } else {
            continue;
        }
        answer.push('\n');
    }
    Some(answer)
}

// Words as they stand there, with their quotes.
fn in_zsh(args: &[String], program: Command) -> Option<String> {
    let found = complete(&words::split(&args.join(" "), ""), program)?;
    let mut answer = format!("{}\n{}\n", found.kind, found.prefix);
    for (value, help) in &found.values {
        answer.push_str(&value.replace('\\', "\\\\").replace(':', "\\:"));
        if let Some(help) = help {
            answer.push(':');
            answer.push_str(&help.replace('\\', "\\\\"));
        }
        answer.push('\n');
    }
    Some(answer)
}

// Words, and the last one as it stands there.
fn in_fish(args: &[String], program: Command) -> Option<String> {
    let (last, before) = args.split_last()?;
    let last = words::split(last, "").all.pop()?;
    let words = Words {
        all: before.iter().cloned().chain([last]).collect(),
        quote: None,
        kept: 0,
        is_redirection: false,
    };
    let found = complete(&words, program)?;
    let mut answer = format!("{}\n", found.kind);
    for (value, help) in &found.values {
        answer.push_str(&format!("{}{value}", found.prefix));
        if let Some(help) = help {
            answer.push('\t');
            answer.push_str(help);
        }
        answer.push('\n');
    }
    Some(answer)
}

/// What can stand there.
struct Found {
    /// What the shell itself adds.
    kind: &'static str,
    /// What of the word comes before all values, such as `--to=`.
    prefix: String,
    values: Vec<(String, Option<String>)>,
}

const FOUND_FILES: &str = "files";
const FOUND_DIRS: &str = "dirs";
const FOUND_NONE: &str = "none";

fn complete(words: &Words, program: Command) -> Option<Found> {
    let (typed, before) = words.all.split_last()?;
    if words.is_redirection {
        return Some(Found {
            kind: FOUND_FILES,
            prefix: String::new(),
            values: Vec::new(),
        });
    }
    let mut program = prepared(program);
    let args = words.all.iter().map(OsString::from).collect();
    let at = words.all.len() - 1;
    // It fails where nothing can stand.
    let mut all = engine::complete(&mut program, args, at, None).unwrap_or_default();
    let value = |found: &CompletionCandidate| found.get_value().to_string_lossy().into_owned();
    let is = |found: &CompletionCandidate, marker| value(found).ends_with(marker);
    let kind = match () {
        () if all.iter().any(|found| is(found, FILES)) => FOUND_FILES,
        () if all.iter().any(|found| is(found, DIRS)) => FOUND_DIRS,
        () => FOUND_NONE,
    };
    all.retain(|found| !is(found, FILES) && !is(found, DIRS));
    let is_machine = |found: &CompletionCandidate| {
        let tag = found.get_tag().map(StyledStr::to_string);
        tag.as_deref() == Some(MACHINES)
    };
    if kind == FOUND_FILES && !has_path(before) {
        all.retain(|found| !is_machine(found));
    }
    // Options are offered where they are asked for, or where nothing else can stand.
    let is_option = |found: &CompletionCandidate| value(found).starts_with('-');
    if typed.is_empty() {
        let is_all = kind == FOUND_NONE && all.iter().all(is_option);
        all.retain(|found| !is_option(found) || is_all && value(found).starts_with("--"));
    }
    let prefix = match typed.split_once('=') {
        Some((option, _)) if option.starts_with("--") => format!("{option}="),
        _ => String::new(),
    };
    let values = all.iter().filter_map(|found| {
        let value = value(found).strip_prefix(&prefix)?.to_owned();
        let help = found.get_help().map(StyledStr::to_string);
        let help = help.and_then(|help| help.lines().next().map(str::to_owned));
        (!value.contains(char::is_control)).then_some((value, help))
    });
    Some(Found {
        kind,
        values: values.collect(),
        prefix,
    })
}

/// Whether something that can be sent stands before, so that what follows can be where to.
fn has_path(before: &[String]) -> bool {
    let is_to = |word: &&String| *word == "--to" || word.starts_with("--to=");
    let mut words = before.iter().skip(2);
    words.any(|word| word == "-" || !word.starts_with('-')) && !before.iter().any(|w| is_to(&w))
}

/// The program with what is completed of each argument. The shell completes paths.
fn prepared(program: Command) -> Command {
    program.mut_subcommands(|command| {
        command.mut_args(|arg| {
            if arg.is_require_equals_set() {
                return as_flag(&arg);
            }
            let hint = arg.get_value_hint();
            let marker = match hint {
                _ if arg.get::<ArgValueCompleter>().is_some() => None,
                ValueHint::DirPath => Some(DIRS),
                ValueHint::AnyPath | ValueHint::FilePath => Some(FILES),
                _ => None,
            };
            match marker {
                Some(marker) => arg.add(names::paths(marker)),
                None => arg,
            }
        })
    })
}

// A value stands behind `=` alone: the word behind such an option is another argument.
fn as_flag(arg: &Arg) -> Arg {
    let flag = Arg::new(arg.get_id().clone())
        .action(ArgAction::SetTrue)
        .long(arg.get_long().unwrap_or_default().to_owned())
        .hide(arg.is_hide_set());
    match arg.get_help() {
        Some(help) => flag.help(help.clone()),
        None => flag,
    }
}

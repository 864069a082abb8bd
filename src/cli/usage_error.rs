//! Wrong usage in words: one style for what clap finds and for what the commands find themselves.
//!
//! Must not print, nor decide what is wrong.

use std::error::Error as _;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::habits;

/// How far lines below the first are indented, to stand below its words.
const INDENT: &str = "      ";

/// The lines to print for an error in the command line of `program`.
pub(super) fn lines(error: &clap::Error, program: &Command) -> Vec<String> {
    let rendered = error.to_string();
    let sections: Vec<_> = rendered.split("\n\n").collect();
    if let Some(habit) = of_another_tool(error, program) {
        return vec![format!("xfer: {habit}")];
    }
    let (head, hints) = message(error, program);
    let mut lines = vec![format!("xfer: {head}")];
    lines.extend(hints.iter().map(|hint| format!("{INDENT}{hint}")));
    // A usage line helps where the arguments do not add up, not where one of them is wrong.
    let shows_usage = !matches!(
        error.kind(),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::InvalidSubcommand
    );
    let usage = sections.iter().find(|text| text.starts_with("Usage: "));
    if let Some(usage) = usage.filter(|_| shows_usage) {
        lines.extend(usage.lines().map(|line| line.trim_end().to_owned()));
    }
    let command = match named_command(program) {
        Some(command) => format!("xfer {command}"),
        None => "xfer".to_owned(),
    };
    lines.push(format!("Try '{command} --help'."));
    lines
}

/// What to say about an option that another tool has.
fn of_another_tool(error: &clap::Error, program: &Command) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument || named_command(program)? != "send" {
        return None;
    }
    let option = text(error, ContextKind::InvalidArg)?;
    habits::about(&option, std::env::args_os().skip(1))
}

/// What is wrong, and hints below it.
pub(super) fn message(error: &clap::Error, program: &Command) -> (String, Vec<String>) {
    let of = |kind| text(error, kind);
    let argument = of(ContextKind::InvalidArg);
    let value = of(ContextKind::InvalidValue);
    let named = argument.as_deref().map(bare).unwrap_or_default();
    let mut hints = Vec::new();
    let head = match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::TooManyValues
            if named == "--pin" =>
        {
            "--pin takes no value: xfer makes the PIN itself".to_owned()
        }
        ErrorKind::UnknownArgument if argument.is_some() => {
            hints.extend(of(ContextKind::SuggestedArg).map(|arg| did_you_mean(&arg)));
            format!("unexpected argument '{}'", argument.unwrap_or_default())
        }
        ErrorKind::InvalidSubcommand => {
            let name = of(ContextKind::InvalidSubcommand).unwrap_or_default();
            let meant =
                of(ContextKind::SuggestedSubcommand).or_else(|| same_letters(&name, program));
            hints.extend(meant.map(|name| did_you_mean(&name)));
            format!("unknown command '{name}'")
        }
        ErrorKind::InvalidValue if value.as_deref() == Some("") => format!("{named} needs a value"),
        ErrorKind::InvalidValue if value.is_some() => {
            let values = of(ContextKind::ValidValue);
            hints.extend(values.map(|values| format!("Possible values: {values}")));
            format!("invalid value '{}' for {named}", value.unwrap_or_default())
        }
        ErrorKind::ValueValidation if value.is_some() => {
            let why = error.source().map(|why| plain_reason(&why.to_string()));
            match why.unwrap_or_default() {
                // It names the value itself.
                why if why.starts_with("invalid ") => format!("{named}: {why}"),
                why => {
                    let value = value.unwrap_or_default();
                    format!("invalid value '{value}' for {named}: {why}")
                }
            }
        }
        ErrorKind::MissingRequiredArgument if argument.is_some() => {
            format!("missing {}", argument.unwrap_or_default())
        }
        ErrorKind::ArgumentConflict if argument.is_some() => {
            let other = of(ContextKind::PriorArg).unwrap_or_default();
            match bare(&other) {
                other if other == named || other.is_empty() => {
                    format!("{named} can be given only once")
                }
                other => format!("{named} cannot be used with {other}"),
            }
        }
        _ => {
            let rendered = error.to_string();
            let mut sections = rendered.split("\n\n");
            let head = sections.next().unwrap_or_default();
            let tips = sections.filter_map(|text| text.trim().strip_prefix("tip: "));
            hints.extend(tips.map(|tip| format!("tip: {}", one_line(tip))));
            one_line(head.trim_start_matches("error: "))
        }
    };
    (head, hints)
}

/// The command whose letters were typed in another order: clap finds it only for long names.
fn same_letters(typed: &str, program: &Command) -> Option<String> {
    let letters = |name: &str| {
        let mut letters: Vec<_> = name.chars().collect();
        letters.sort_unstable();
        letters
    };
    let typed = letters(typed);
    let names = program.get_subcommands().map(Command::get_name);
    let mut same = names.filter(|name| letters(name) == typed);
    same.next().map(str::to_owned)
}

fn did_you_mean(name: &str) -> String {
    format!("Did you mean '{}'?", bare(name))
}

/// The command that the user named.
fn named_command(program: &Command) -> Option<String> {
    let mut given = std::env::args_os().skip(1);
    given.find_map(|arg| Some(program.find_subcommand(arg)?.get_name().to_owned()))
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) if !texts.is_empty() => Some(texts.join(", ")),
        _ => None,
    }
}

/// An option without its value: `--listen <PORT>` is `--listen`.
fn bare(argument: &str) -> &str {
    match argument.strip_prefix("--") {
        Some(_) => argument.split([' ', '[', '=']).next().unwrap_or(argument),
        None => argument,
    }
}

/// A reason that clap or the standard library gives, in words for people.
fn plain_reason(why: &str) -> String {
    if let Some((_, range)) = why.split_once(" is not in ") {
        return match range.split_once("..") {
            Some((from, "")) => format!("must be at least {from}"),
            Some((from, to)) => format!("must be {from}–{}", to.trim_start_matches('=')),
            None => why.to_owned(),
        };
    }
    match why.contains("invalid digit found") || why.contains("from empty string") {
        true => "not a number".to_owned(),
        false => one_line(why),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(arguments: &[&str]) -> Vec<String> {
        let program = super::super::program();
        let arguments = ["xfer"].iter().chain(arguments);
        let error = program.clone().try_get_matches_from(arguments).unwrap_err();
        let (head, hints) = message(&error, &program);
        [head].into_iter().chain(hints).collect()
    }

    #[test]
    fn wrong_usage_is_said_in_one_style() {
        for (arguments, lines) in [
            (
                &["send", "--foo", "a", "b"][..],
                &["unexpected argument '--foo'"][..],
            ),
            (
                &["recv", "--lisen", "1"],
                &["unexpected argument '--lisen'", "Did you mean '--listen'?"],
            ),
            (
                &["resv"],
                &["unknown command 'resv'", "Did you mean 'recv'?"],
            ),
            (&["gte"], &["unknown command 'gte'", "Did you mean 'get'?"]),
            (&["frob"], &["unknown command 'frob'"]),
            (&["run"], &["missing <TARGET>"]),
            (&["recv", "--dir"], &["--dir needs a value"]),
            (
                &["recv", "--hidden", "--announce"],
                &["--hidden cannot be used with --announce"],
            ),
            (
                &["recv", "--once", "--once"],
                &["--once can be given only once"],
            ),
            (
                &["recv", "--on-conflict", "x"],
                &[
                    "invalid value 'x' for --on-conflict",
                    "Possible values: replace, beside, skip, fail",
                ],
            ),
            (
                &["send", "--lanes", "0", "a", "b"],
                &["invalid value '0' for --lanes: must be 1–64"],
            ),
            (
                &["send", "--retry", "x", "a", "b"],
                &["invalid value 'x' for --retry: not a number"],
            ),
            (
                &["recv", "--listen", "99999"],
                &["--listen: invalid port 99999 (0–65535)"],
            ),
            (
                &["recv", "--max-sessions", "0"],
                &["invalid value '0' for --max-sessions: must be 1–65535"],
            ),
        ] {
            assert_eq!(said(arguments), lines, "{arguments:?}");
        }
    }
}

//! `xfer run`: runs a command on another machine, which that machine's user offers.
//!
//! Must not run anything: it makes plain options of the arguments, and the library does.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use xfer::Error;
use xfer::model::command::{CommandEnd, MAX_ARGUMENT_BYTES, MAX_ARGUMENTS};
use xfer::model::error::Action;
use xfer::sys::name::from_system;
use xfer::transfer::{RunFrom, RunOptions};
use xfer::wire::OfferedCommand;

use super::arguments::{CodeFrom, Loudness, Wrong, parse_name};
use super::dialer::Dialer;
use super::exit::{Code, conclude};
use super::hints::Task;
use super::target::target;
use super::{machine, names};
use crate::ui::{CommandOutputs, Line, command_end, safe};

const EXAMPLES: &str = "\
Examples:
  server$   xfer recv --run disk='df -h'
  server$   xfer peers --allow run laptop
  laptop$   xfer run server                   lists what may be run
  laptop$   xfer run server disk              its output, and its exit code

Arguments go to the command as they are, and no shell sees them; where the other side does not allow
them, or one begins with -, it may decline. Standard input does not go there. Ctrl-C ends the command
there, and so does a lost connection, or the end of whoever reads the output.

Exit codes: those of the command, and
  124 it took longer than it may there; 125 it put out more than it may there
  128+N signal N ended it; 130 interrupted, 141 nobody reads the output
  255 xfer could not have it run, or lost it; 2 wrong usage";

/// What xfer itself fails with: no command is likely to.
const OWN: u8 = 255;
const TIME_LIMIT: u8 = 124;
const OUTPUT_LIMIT: u8 = 125;
/// What a shell makes of a signal.
const SIGNALS: u8 = 128;
const BROKEN_PIPE: u8 = SIGNALS + 13;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Run {
    /// The machine: its name, HOST, HOST:PORT or [IPV6]:PORT
    #[arg(value_name = "TARGET", add = names::receivers())]
    target: String,

    /// The command, by the name that it has there, and what it is given; without one, those are
    /// listed
    // One list, so that what begins with '-' behind the command is the command's.
    #[arg(
        value_names = ["COMMAND", "ARG"],
        num_args = 0..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<OsString>,

    /// Let the output do to this terminal what it likes: colours, and anything else
    #[arg(long)]
    raw: bool,

    #[command(flatten)]
    code: CodeFrom,

    /// What this machine calls itself [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,
}

/// Runs a command, or lists those that may be run.
pub(crate) fn run(args: Run, loudness: &Loudness) -> Result<ExitCode, Wrong> {
    let mut words = args.words.into_iter();
    let command = words.next();
    let command = command.map(|command| command.to_string_lossy().into_owned());
    let arguments: Vec<_> = words.collect();
    let bytes: usize = arguments.iter().map(|argument| argument.len()).sum();
    if arguments.len() > MAX_ARGUMENTS || bytes > MAX_ARGUMENT_BYTES {
        return Err(Wrong(format!(
            "a command gets at most {MAX_ARGUMENTS} arguments, of {MAX_ARGUMENT_BYTES} bytes in all"
        )));
    }
    let dialer = Dialer::new(Task::Run, loudness, None, &args.code);
    let to =
        target(&args.target).map_err(|why| Wrong(format!("'{}': {why}", safe(&args.target))))?;
    let name = args.name.unwrap_or_else(machine::name);
    let ui = Arc::clone(&dialer.ui);
    let Some(command) = command else {
        let list = |from: RunFrom<'_>| {
            let mut all = xfer::transfer::list_commands(from, &to, &name)?;
            all.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
            if all.is_empty() {
                let text = format!("{} offers no commands.", args.target);
                ui.say([Line::Talk(text)]);
            }
            ui.say(all.iter().map(listed).map(Line::Answer));
            Ok(())
        };
        let (cancel, result) = dialer.ask(list);
        return Ok(conclude(&ui, Task::Run, result.map(|()| None), &cancel).into());
    };
    let options = RunOptions {
        to,
        name,
        command,
        arguments: arguments.iter().map(|a| from_system(a).to_vec()).collect(),
    };
    let raw = args.raw;
    let (cancel, result) = dialer.ask(|from| {
        let failed = |e| Error::file(Action::WriteOutput, "standard output", e);
        let outputs = CommandOutputs::new(raw).map_err(failed)?;
        xfer::transfer::run(from, &options, &outputs)
    });
    let end = match result {
        Ok(end) => end,
        Err(error) => {
            return Ok(match conclude(&ui, Task::Run, Err(error), &cancel) {
                Code::Interrupted => Code::Interrupted.into(),
                _ => OWN.into(),
            });
        }
    };
    let (code, is_told) = end.as_ref().map_or((BROKEN_PIPE, false), code);
    if let Some(end) = end.filter(|_| is_told) {
        let (target, command) = (&args.target, &options.command);
        let text = format!("xfer: {command} on {target}: {}", command_end(&end));
        ui.say([Line::Trouble(text)]);
    }
    ui.finish();
    Ok(code.into())
}

/// The exit code for how a command ended, and whether that says too little.
fn code(end: &CommandEnd) -> (u8, bool) {
    match end {
        // The system keeps no more of it than that.
        CommandEnd::Exited(code) => (u8::try_from(code & 0xff).unwrap_or(OWN), false),
        CommandEnd::Signalled(signal) => {
            let signal = u8::try_from(*signal).unwrap_or(0);
            (SIGNALS.saturating_add(signal), true)
        }
        CommandEnd::TimeLimit(_) => (TIME_LIMIT, true),
        CommandEnd::OutputLimit(_) => (OUTPUT_LIMIT, true),
        _ => (OWN, true),
    }
}

fn listed(command: &OfferedCommand) -> String {
    let arguments = if command.arguments { " [ARG]..." } else { "" };
    format!("{}{arguments}", command.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_exit_code() {
        for (end, number) in [
            (CommandEnd::Exited(0), 0),
            (CommandEnd::Exited(7), 7),
            (CommandEnd::Exited(256 + 7), 7),
            (CommandEnd::Exited(-1), 255),
            (CommandEnd::Signalled(9), 137),
            (CommandEnd::Signalled(500), 128),
            (CommandEnd::TimeLimit(1), 124),
            (CommandEnd::OutputLimit(1), 125),
            (CommandEnd::Stopped, 255),
        ] {
            assert_eq!(code(&end).0, number, "{end:?}");
        }
    }
}

//! `xfer run`: runs a command that another machine offers.
//!
//! Must not run anything: it turns arguments into options, and the library does the rest.

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
use super::{machine, names, signals};
use crate::ui::{CommandOutputs, Line, command_end, safe};

const EXAMPLES: &str = "\
Examples:
  server$   xfer recv --run disk='df -h'
  server$   xfer peers --allow run laptop
  laptop$   xfer run server          list the commands that server offers
  laptop$   xfer run server disk     run one: its output, its exit code

Arguments go to the command as they are, without a shell; the other machine
declines those that it does not allow. The command gets no standard input.
It stops when you press Ctrl-C, when the connection is lost, or when nobody
reads its output.

Exit codes: that of the command, or
  124  stopped at its time limit     125  stopped at its output limit
  128+N  killed by signal N          130  interrupted
  141  nobody reads the output       255  xfer failed
  2  wrong usage";

/// Exit code when xfer itself fails; commands rarely use it.
const OWN: u8 = 255;
const TIME_LIMIT: u8 = 124;
const OUTPUT_LIMIT: u8 = 125;
/// Added to the number of a signal, as shells do.
const SIGNALS: u8 = 128;
const BROKEN_PIPE: u8 = SIGNALS + 13;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Run {
    /// The machine: its name, HOST, HOST:PORT or '[IPV6]:PORT'
    #[arg(value_name = "TARGET", add = names::receivers())]
    target: String,

    /// The command and its arguments; without one, xfer lists the commands
    // One list, so that options after the command belong to the command.
    #[arg(
        value_names = ["COMMAND", "ARG"],
        num_args = 0..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<OsString>,

    /// Pass the output to this terminal unchanged, with colours and control codes
    ///
    /// Use it only with machines that you trust: control codes can change what you see.
    #[arg(long)]
    raw: bool,

    #[command(flatten)]
    code: CodeFrom,

    /// Name of this machine, as others see it [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,
}

/// Runs a command, or lists the commands offered.
pub(crate) fn run(args: Run, loudness: &Loudness) -> Result<ExitCode, Wrong> {
    let mut words = args.words.into_iter();
    let command = words.next();
    let command = command.map(|command| command.to_string_lossy().into_owned());
    let arguments: Vec<_> = words.collect();
    let bytes: usize = arguments.iter().map(|argument| argument.len()).sum();
    if arguments.len() > MAX_ARGUMENTS || bytes > MAX_ARGUMENT_BYTES {
        return Err(Wrong(format!(
            "too many arguments: at most {MAX_ARGUMENTS}, and {MAX_ARGUMENT_BYTES} bytes in all"
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
                Code::Interrupted => {
                    signals::end_if_interrupted(Code::Interrupted);
                    Code::Interrupted.into()
                }
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

/// The exit code for how a command ended, and whether to print the reason too.
fn code(end: &CommandEnd) -> (u8, bool) {
    match end {
        // Systems keep only eight bits.
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

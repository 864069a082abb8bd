//! How the program ends: its exit codes and its last lines.
//!
//! Must not exit: `main` does, once everything is cleaned up.

use std::process::ExitCode;

use xfer::Error;
use xfer::model::error::Action;
use xfer::model::outcome::{Decline, Summary};
use xfer::model::reason::AbortReason;
use xfer::transfer::Cancel;

use super::hints::{self, Task};
use crate::ui::{Line, Ui, sentence, sentence_lines};

/// Exit codes. Scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// All done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// Done in part: some of it failed.
    Partly = 3,
    /// Not let in, or declined.
    Declined = 4,
    /// The user stopped it.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Prints the last lines, and returns the exit code.
pub(crate) fn conclude(
    ui: &Ui,
    task: Task,
    result: xfer::Result<Option<Summary>>,
    cancel: &Cancel,
) -> Code {
    ui.finish();
    let summary = result.as_ref().ok().copied().flatten();
    let code = match ending(result, ui.was_interrupted(), cancel.is_cancelled()) {
        // Everything else is done, though that may have been all there was to do.
        Ok(Code::Failed) if ui.keeps_surplus() => Code::Partly,
        Ok(code) => code,
        Err(error) => {
            say(ui, task, &error);
            match error {
                // By Ctrl-C, which says more about it.
                Error::CodeNotEntered { .. } if cancel.is_cancelled() => Code::Interrupted,
                error => code(&error),
            }
        }
    };
    ui.last_event(code as u8, summary.as_ref());
    written(ui, code)
}

/// The exit code once all output is written: not success if standard output failed.
pub(crate) fn written(ui: &Ui, code: Code) -> Code {
    let Some(error) = ui.take_broken() else {
        return code;
    };
    let error = Error::file(Action::WriteOutput, "standard output", error);
    ui.say([Line::Trouble(format!("xfer: {}", sentence(&error)))]);
    match code {
        Code::Done => Code::Failed,
        code => code,
    }
}

fn say(ui: &Ui, task: Task, error: &Error) {
    if matches!(error, Error::Cancelled) {
        let words = match ui.has_begun() {
            true => task.interrupted(ui.arrived().as_deref()),
            false => "Interrupted.".to_owned(),
        };
        ui.error_event(error);
        ui.say([Line::Talk(words)]);
    } else if !ui.has_said(error) {
        ui.error_event(error);
        let peer = ui.peer_name();
        let (head, details) = match stopped(error, task, peer.as_deref()) {
            Some(head) => (head, Vec::new()),
            None => sentence_lines(error, peer.as_deref()),
        };
        ui.say([Line::Trouble(format!("xfer: {head}"))]);
        let detail = |line| Line::Trouble(format!("      {line}"));
        ui.say(details.into_iter().map(detail));
        let arrived = ui.arrived().filter(|_| task == Task::Send);
        let after = task.again_after(arrived.as_deref());
        let hint = hints::for_error(error, task);
        let hint = hint.map(|hint| match hint == task.again() {
            true => after.clone(),
            false => hint,
        });
        // A session had begun, and the machine is gone.
        let is_gone = matches!(
            error,
            Error::Connect { .. }
                | Error::Unreachable { .. }
                | Error::Resolve { .. }
                | Error::NotFound(_)
                | Error::NotXfer { .. }
                | Error::Mute { .. }
        );
        let again = match arrived {
            _ if hint.as_ref() == Some(&after) => None,
            _ if ui.has_begun() && is_gone => Some(after),
            // Whether it can resume, the hint says.
            arrived => arrived.map(|much| format!("{much} arrived.")),
        };
        let hints = hint
            .into_iter()
            .chain(again)
            .map(|hint| Line::Trouble(format!("      {hint}")));
        ui.say(hints);
        ui.ring();
    }
}

/// What was stopped on the other machine, if it was not a transfer.
fn stopped(error: &Error, task: Task, name: Option<&str>) -> Option<String> {
    let Error::Aborted {
        peer,
        reason: AbortReason::Stopped,
    } = error
    else {
        return None;
    };
    let place = name.map_or_else(|| peer.to_string(), str::to_owned);
    match task {
        Task::Say | Task::Run => Some(format!("`xfer recv` was stopped on {place}")),
        Task::Chat => Some(format!("the chat was stopped on {place}")),
        Task::Get => Some(format!("{place} stopped sharing")),
        _ => None,
    }
}

fn ending(
    result: xfer::Result<Option<Summary>>,
    interrupted: bool,
    cancelled: bool,
) -> xfer::Result<Code> {
    match result {
        Ok(Some(summary)) if summary.is_complete() => Ok(Code::Done),
        // Done in part needs a part that is done.
        Ok(Some(summary)) if summary.stored + summary.have == 0 => Ok(Code::Failed),
        Ok(Some(_)) => Ok(Code::Partly),
        // Ctrl-C is the usual end of a receiver; only its sessions are interrupted.
        Ok(None) if !interrupted => Ok(Code::Done),
        Ok(None) => Err(Error::Cancelled),
        // A connection closed on purpose may look lost to its reader.
        Err(error) if cancelled && error.is_lost_connection() => Err(Error::Cancelled),
        Err(error) => Err(error),
    }
}

fn code(error: &Error) -> Code {
    match error {
        Error::Cancelled => Code::Interrupted,
        // It was let in, and the path is wrong.
        Error::Declined {
            reason: Decline::NotShared(_),
            ..
        } => Code::Failed,
        Error::Declined { .. }
        | Error::TurnedAway { .. }
        | Error::Impostor { .. }
        | Error::OtherPeer { .. }
        | Error::CodeNeeded { .. }
        | Error::CodeNotEntered { .. }
        | Error::NoCode { .. }
        | Error::NoReply { .. }
        | Error::Unpaired { .. }
        | Error::Aborted {
            reason: AbortReason::Unpaired,
            ..
        }
        | Error::WrongCode { .. } => Code::Declined,
        Error::NotFound(search) if !search.passed.is_empty() => Code::Declined,
        // Errors in the arguments, found before dialing.
        Error::Pattern { .. }
        | Error::SameName { .. }
        | Error::NoName { .. }
        | Error::Own { .. }
        | Error::Pipe { .. } => Code::Usage,
        Error::Unsummed { .. } => Code::Partly,
        _ => Code::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(result: xfer::Result<Option<Summary>>, cancelled: bool) -> u8 {
        ending(result, false, cancelled).unwrap_or_else(|error| code(&error)) as u8
    }

    #[test]
    fn each_ending_has_its_code() {
        let peer = ([127, 0, 0, 1], 9090).into();
        let lost = || Error::Lost {
            peer,
            source: std::io::ErrorKind::UnexpectedEof.into(),
        };
        let reason = Decline::Unknown;
        let nothing = Summary {
            failed: 1,
            ..Summary::default()
        };
        assert_eq!(code_of(Ok(Some(nothing)), false), 1);
        let partly = Summary {
            stored: 1,
            ..nothing
        };
        assert_eq!(code_of(Ok(Some(Summary::default())), false), 0);
        assert_eq!(code_of(Ok(Some(partly)), false), 3);
        assert_eq!(code_of(Ok(None), true), 0);
        assert!(ending(Ok(None), true, true).is_err());
        assert_eq!(code_of(Err(lost()), false), 1);
        assert_eq!(code_of(Err(lost()), true), 130);
        assert_eq!(code_of(Err(Error::Cancelled), false), 130);
        assert_eq!(code_of(Err(Error::Declined { peer, reason }), false), 4);
        let reason = AbortReason::Unpaired;
        assert_eq!(code_of(Err(Error::Aborted { peer, reason }), false), 4);
    }
}

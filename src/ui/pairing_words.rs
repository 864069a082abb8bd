//! Pairing in words for people: codes, and how it ends.
//!
//! Must not ask or print anything.

use xfer::Error;
use xfer::model::outcome::Role;
use xfer::model::prompt::{Caller, PairingCode};

use super::safe::operand;
use super::words;

/// What the other machine wants for which a code is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeFor {
    /// To send files.
    Sending,
    /// To join a chat.
    Chat,
    /// To fetch shared files.
    Fetching,
}

/// What the machine that has shown a code says once the two are paired.
pub(crate) fn paired_lines(name: &str, code_for: CodeFor) -> [String; 2] {
    let what = match code_for {
        CodeFor::Sending | CodeFor::Chat => "send to this machine",
        CodeFor::Fetching => "fetch what this machine shares",
    };
    [
        format!("Paired with {name}. {name} can now {what} without a code."),
        format!("To undo this: xfer unpair {}", operand(name)),
    ]
}

/// What a code is shown with, on the machine that shows it.
pub(crate) fn code_lines(
    caller: &Caller,
    code: &PairingCode,
    after_wrong: bool,
    code_for: CodeFor,
) -> [String; 2] {
    let Caller { name, addr, .. } = caller;
    let ip = addr.ip();
    let code = code.shown();
    if after_wrong {
        return [
            format!("Wrong code entered on {name} ({ip})."),
            format!("If you expect this, enter this new code on {name}:  {code}"),
        ];
    }
    let wish = match code_for {
        CodeFor::Sending => "send you files",
        CodeFor::Chat => "join this chat",
        CodeFor::Fetching => "fetch what you share",
    };
    [
        format!("{name} ({ip}) wants to {wish}."),
        format!("If you expect this, enter this code on {name}:  {code}"),
    ]
}

/// That there is a receiver of this user on this machine, or not any more; nothing of other errors.
pub(super) fn on_this_machine(error: &Error) -> String {
    match error {
        Error::AlreadyReceiving {
            process,
            age,
            into,
            is_chat,
            is_share,
            ..
        } => {
            let what = match (is_chat, is_share) {
                (true, _) => "xfer already has a chat open on this machine",
                (_, true) => "xfer is already sharing files on this machine",
                _ => "xfer is already receiving on this machine",
            };
            let into = into.as_ref().map(|dir| format!(", into {}", dir.display()));
            let into = into.unwrap_or_default();
            format!(
                "{what} (process {process}{into}, started {})",
                words::ago(*age)
            )
        }
        _ => "the receiver on this machine has stopped".to_owned(),
    }
}

/// What went wrong with a code; nothing of other errors.
pub(super) fn error(error: &Error) -> String {
    match error {
        Error::CodeNeeded { name, .. } => {
            format!("{name} shows a code, and there is no terminal here to enter it")
        }
        Error::CodeNotEntered { name, .. } => format!("you did not enter the code from {name}"),
        Error::NoCode {
            name, timed_out, ..
        } => match timed_out {
            true => format!("{name} did not enter the code within 3 minutes"),
            false => format!("{name} left without entering the code"),
        },
        Error::WrongCode { name, role, .. } => match role {
            Role::Sender => format!("wrong code: {name} did not accept it"),
            Role::Receiver => format!("{name} entered a wrong code 3 times"),
        },
        _ => "you did not enter the code within 3 minutes".to_owned(),
    }
}

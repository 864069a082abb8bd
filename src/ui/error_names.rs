//! Stable names of errors, for programs.
//!
//! Must not make sentences, nor change a name that exists.

use xfer::Error;
use xfer::model::outcome::Decline;
use xfer::model::reason::{AbortReason, StoreFault, SystemError};

use super::system::system_code;

/// The code of the system's error, if the system refused.
pub(super) fn error_cause(error: &Error) -> Option<&'static str> {
    match error {
        Error::File { source, .. }
        | Error::Resolve { source, .. }
        | Error::Connect { source, .. }
        | Error::Listen { source, .. }
        | Error::Lost { source, .. }
        | Error::Discovery { source }
        | Error::Thread { source }
        | Error::Sync { source, .. } => Some(system_code(&SystemError::from(source))),
        Error::Aborted {
            reason: AbortReason::File(error) | AbortReason::Sync(error) | AbortReason::Thread(error),
            ..
        }
        | Error::Declined {
            reason: Decline::Store(StoreFault::System(error)),
            ..
        } => Some(system_code(error)),
        Error::Spent { source } => error_cause(source),
        Error::Unreachable { tried, .. } => tried.iter().find_map(|t| error_cause(&t.error)),
        _ => None,
    }
}

fn is_impostor(error: &Error) -> bool {
    matches!(error, Error::Impostor { .. })
}

/// The kind of an error.
pub(super) fn error_name(error: &Error) -> &'static str {
    match error {
        Error::File { .. } | Error::Unsummed { .. } | Error::SharedQuota { .. } => "file",
        Error::SameName { .. } | Error::NoName { .. } | Error::Own { .. } | Error::Pipe { .. } => {
            "name"
        }
        Error::State { .. } | Error::NoHome => "state",
        Error::NotFound(search) if search.passed.iter().any(is_impostor) => "impostor",
        Error::Resolve { .. } | Error::NotFound(_) | Error::Ambiguous { .. } => "resolve",
        Error::Connect { .. } | Error::Unreachable { .. } => "connect",
        Error::Listen { .. } | Error::AlreadyReceiving { .. } => "listen",
        Error::Discovery { .. } => "discovery",
        Error::NotXfer { .. } => "not_xfer",
        Error::Version { .. } => "version",
        Error::Handshake { .. } | Error::Crypto { .. } => "handshake",
        Error::SameRole { .. } => "same_role",
        Error::Declined { .. } => "declined",
        Error::TurnedAway { .. } => "turned_away",
        Error::Impostor { .. } | Error::OtherPeer { .. } => "impostor",
        Error::CodeNeeded { .. } | Error::CodeNotEntered { .. } | Error::NoCode { .. } => {
            "code_needed"
        }
        Error::WrongCode { .. } => "wrong_code",
        Error::Displaced { .. } => "displaced",
        Error::TooOld { .. } | Error::NoWays { .. } => "too_old",
        Error::NoReply { .. } => "no_reply",
        Error::Unpaired { .. } => "unpaired",
        Error::Idle { .. } => "idle",
        Error::Lost { .. }
        | Error::ReceiverGone { .. }
        | Error::Silent { .. }
        | Error::Mute { .. }
        | Error::Undelivered { .. } => "lost",
        Error::Protocol { .. } => "protocol",
        Error::Aborted { .. } => "aborted",
        Error::Sync { .. } => "sync",
        Error::Spent { source } => error_name(source),
        Error::Cancelled => "interrupted",
        Error::NobodyCame => "nobody_came",
        Error::Pattern { .. }
        | Error::NotOneFile
        | Error::Thread { .. }
        | Error::Starter { .. }
        | Error::Panicked { .. } => "other",
    }
}

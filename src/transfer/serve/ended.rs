//! How a command ended, from what its supervisor says of it.
//!
//! Must not know what the command was for.

use crate::model::command::CommandEnd;
use crate::model::reason::SystemError;
use crate::sys::commands::HowEnded;

/// How a command ended, as it is told.
pub(super) fn command_end(ended: &HowEnded) -> CommandEnd {
    match ended {
        HowEnded::Exited(code) => CommandEnd::Exited(*code),
        HowEnded::Signalled(signal) => CommandEnd::Signalled(*signal),
        HowEnded::TimeLimit(seconds) => CommandEnd::TimeLimit(*seconds),
        HowEnded::Stopped => CommandEnd::Stopped,
        HowEnded::NotStarted(error) => {
            let error = match error {
                0 => std::io::ErrorKind::BrokenPipe.into(),
                error => std::io::Error::from_raw_os_error(*error),
            };
            CommandEnd::NotStarted(SystemError::from(&error))
        }
    }
}

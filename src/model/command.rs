//! Commands that a machine offers to others, each under a name that its user chose.
//!
//! Must not start any.

use serde::{Deserialize, Serialize};

use crate::model::reason::SystemError;

/// How many commands a machine offers at most.
pub const MAX_COMMANDS: usize = 256;
/// How many arguments a command gets at most.
pub const MAX_ARGUMENTS: usize = 256;
/// How many bytes all arguments of a command have at most.
pub const MAX_ARGUMENT_BYTES: usize = 64 * 1024;
/// How many bytes of output travel in one message at most.
pub const MAX_OUTPUT_PART: usize = 64 * 1024;

/// How a command ended. Variants are appended, never reordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CommandEnd {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, which nobody sent because of a limit.
    Signalled(i32),
    /// It took longer than it may: so many seconds.
    TimeLimit(u64),
    /// It put out more than it may: so many bytes.
    OutputLimit(u64),
    /// It could not be started.
    NotStarted(SystemError),
    /// The machine that ran it was stopped.
    Stopped,
}

/// Where a command writes. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum OutputStream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

//! What becomes of a command that runs.
//!
//! Must not say how it is started.

use serde::{Deserialize, Serialize};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HowEnded {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It took longer than it may: so many seconds.
    TimeLimit(u64),
    /// It was ended because it was to be.
    Stopped,
    /// It could not be started: what the system said, as a number.
    NotStarted(i32),
}

/// Which of its two outputs a command has written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichOutput {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// What has become of a command that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunningNews {
    /// It has written so many bytes.
    Wrote(WhichOutput, usize),
    /// Nothing, for as long as was waited.
    Nothing,
    /// It has ended, and all that it wrote was told before.
    Ended(HowEnded),
}

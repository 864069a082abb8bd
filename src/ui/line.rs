//! `Line`: something to print, and where it belongs.
//!
//! Must not be fit for a terminal: the screen sees to that.

#[cfg(feature = "web")]
use super::picture::Picture;

/// A line to print, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// What a command is there to say; to standard output, and in quiet too.
    Answer(String),
    /// What somebody replied, in quiet too; to standard output, and to a pipe as it is.
    Reply(String),
    /// What was asked for; to standard output.
    Result(String),
    /// What goes on; to standard error.
    Talk(String),
    /// What went wrong; to standard error, and in quiet too.
    Trouble(String),
    /// What somebody else said; to standard output, and in quiet too.
    InRoom { name: String, text: String },
    /// What this machine's user said, who has typed it and would like to see it still; to standard
    /// error, and in quiet too.
    Own { name: String, text: String },
    /// A code that a camera reads; to standard output, where that is a terminal wide enough.
    #[cfg(feature = "web")]
    Picture(Picture),
    /// Nothing to read: the terminal's bell.
    Ring,
    /// An event for programs, harmless to print as it is; to standard output.
    Event(String),
}

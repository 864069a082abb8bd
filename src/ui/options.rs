//! How much to print, and how.
//!
//! Must not know the command line.

use std::io::{self, IsTerminal as _};

use xfer::Error;

/// How much to print, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputOptions {
    /// Only errors.
    pub(crate) quiet: bool,
    /// Every entry.
    pub(crate) verbose: bool,
    /// Lines instead of bars.
    pub(crate) plain: bool,
    /// Events for programs on standard output, and only errors for people.
    pub(crate) json: bool,
    /// Nothing on standard output: it carries data.
    pub(crate) only_stderr: bool,
    /// Gives the hint for an error.
    pub(crate) hint: fn(&Error) -> Option<String>,
    /// The same for a session that receives a stream.
    pub(crate) stream_hint: fn(&Error) -> Option<String>,
}

impl Default for OutputOptions {
    fn default() -> Self {
        Self {
            quiet: false,
            verbose: false,
            plain: !can_do_bars(),
            json: false,
            only_stderr: false,
            hint: |_| None,
            stream_hint: |_| None,
        }
    }
}

/// Whether standard error is a terminal that can show bars.
fn can_do_bars() -> bool {
    let smart = super::terminal::is_smart();
    smart && io::stderr().is_terminal()
}

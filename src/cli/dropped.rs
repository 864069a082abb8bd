//! Files that were dropped onto the program in the file manager, and the window that it gets then.
//!
//! Must not send anything: it makes the arguments that a person would have typed.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use xfer::sys::terminal;

/// How the program was started.
pub(super) struct Invocation {
    pub(super) arguments: Vec<OsString>,
    /// Whether its window goes away with it.
    closes: bool,
}

impl Invocation {
    /// Of these arguments, with the program's own name.
    pub(super) fn of(arguments: Vec<OsString>) -> Self {
        if !terminal::is_window_own() {
            return Self {
                arguments,
                closes: false,
            };
        }
        let is_there = |path: &OsString| {
            let path = Path::new(path);
            path.is_absolute() && path.symlink_metadata().is_ok()
        };
        Self::in_own_window(arguments, is_there)
    }

    fn in_own_window(mut arguments: Vec<OsString>, is_file: impl Fn(&OsString) -> bool) -> Self {
        let given = arguments.get(1..).unwrap_or_default();
        let are_files = given.iter().all(is_file);
        let closes = are_files;
        if are_files && !given.is_empty() {
            arguments.insert(1, "send".into());
        }
        Self { arguments, closes }
    }

    /// Lets the person read what is in the window before it goes away.
    pub(super) fn hold(&self) {
        if self.closes {
            eprintln!("\nPress Enter to close this window.");
            let _ = std::io::stdin().read(&mut [0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_were_dropped_are_sent() {
        let start = |arguments: &[&str]| {
            let arguments = arguments.iter().map(OsString::from).collect();
            let start =
                Invocation::in_own_window(arguments, |path| path == "/film" || path == "/song");
            (start.arguments, start.closes)
        };
        let (arguments, closes) = start(&["xfer", "/film", "/song"]);
        assert_eq!(arguments, ["xfer", "send", "/film", "/song"]);
        assert!(closes);
        assert_eq!(start(&["xfer"]), (vec!["xfer".into()], true));
        let (arguments, closes) = start(&["xfer", "recv", "/film"]);
        assert_eq!(arguments, ["xfer", "recv", "/film"]);
        assert!(!closes);
    }
}

//! What several commands take, and what is wrong with what they are given.
//!
//! Must not know which commands those are.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{ArgAction, Args};
use xfer::Error;
use xfer::net::MAX_NAME_BYTES;

use crate::ui::{self, Given};

/// How much is said.
#[derive(Debug, Args)]
pub(crate) struct Loudness {
    /// Say only what went wrong
    #[arg(
        short,
        long,
        global = true,
        display_order = 100,
        conflicts_with = "verbose"
    )]
    quiet: bool,
    /// Say what happens to every file; given twice, also what xfer does inside: for reports of faults
    #[arg(short, long, global = true, display_order = 100, action = ArgAction::Count)]
    verbose: u8,
}

impl Loudness {
    /// Whether every file is told of.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose > 0
    }

    /// Whether the library's own events are told.
    pub(crate) fn is_very_verbose(&self) -> bool {
        self.verbose > 1
    }

    pub(crate) fn settings(&self, hint: fn(&Error) -> Option<String>) -> ui::OutputOptions {
        ui::OutputOptions {
            quiet: self.quiet,
            verbose: self.is_verbose(),
            hint,
            ..ui::OutputOptions::default()
        }
    }
}

/// How programs are told what happens.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Print what happens to standard output for programs: a line of JSON for each event, the last
    /// one, "summary", with the exit code. People are told only what went wrong
    #[arg(long)]
    json: bool,
}

impl Events {
    /// Whether programs are told.
    pub(crate) fn are_told(&self) -> bool {
        self.json
    }

    pub(crate) fn with(&self, settings: ui::OutputOptions) -> ui::OutputOptions {
        ui::OutputOptions {
            json: self.json,
            ..settings
        }
    }
}

/// Where the code for pairing comes from. It is never an argument: everybody on a machine can read
/// those.
#[derive(Debug, Args)]
pub(crate) struct CodeFrom {
    /// Read the code for pairing from the first line of a file, instead of asking for it; or set
    /// XFER_CODE
    #[arg(long, value_name = "FILE")]
    code_file: Option<PathBuf>,
}

impl CodeFrom {
    pub(crate) fn given(&self) -> Option<Given> {
        let set = || std::env::var("XFER_CODE").ok();
        let text = || set().filter(|text| !text.is_empty()).map(Given::Text);
        self.code_file.clone().map(Given::File).or_else(text)
    }
}

/// Why the arguments make no sense together.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

/// Takes what a machine is to be called.
pub(crate) fn parse_name(name: &str) -> Result<String> {
    ensure!(!name.trim().is_empty(), "a name has at least a letter");
    ensure!(
        name.len() <= MAX_NAME_BYTES,
        "a name has at most {MAX_NAME_BYTES} bytes"
    );
    ensure!(
        !name.chars().any(char::is_control),
        "a name has no control characters"
    );
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_printable() {
        assert!(parse_name("Anna's laptop").is_ok());
        for name in ["", " ", "a\x1bb", &"a".repeat(65)] {
            assert!(parse_name(name).is_err(), "{name:?}");
        }
    }
}

//! Arguments that several commands share.
//!
//! Must not know which commands take them.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{ArgAction, Args};
use xfer::Error;
use xfer::net::MAX_NAME_BYTES;

use crate::ui::{self, Given};

/// How much to print.
#[derive(Debug, Args)]
pub(crate) struct Loudness {
    /// Print only errors
    #[arg(
        short,
        long,
        global = true,
        display_order = 100,
        conflicts_with = "verbose"
    )]
    quiet: bool,
    /// Print more: every file, every address; -vv adds debug output for bug reports
    #[arg(short, long, global = true, display_order = 100, action = ArgAction::Count)]
    verbose: u8,
}

impl Loudness {
    /// Whether to print every file.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose > 0
    }

    /// Whether to print the library's debug events.
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

/// Output for programs.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Print events as JSON lines, for programs
    ///
    /// Each line on standard output is one event. The last one, "summary", has the exit code.
    /// Errors still go to standard error.
    #[arg(long)]
    json: bool,
}

impl Events {
    /// Whether programs read the output.
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

/// Where the pairing code comes from. Never from an argument: all users of a machine can read those.
#[derive(Debug, Args)]
pub(crate) struct CodeFrom {
    /// Read the pairing code from the first line of a file
    ///
    /// XFER_CODE can hold the code instead.
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

/// Why the arguments make no sense.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

/// Reads a name for this machine.
pub(crate) fn parse_name(name: &str) -> Result<String> {
    ensure!(!name.trim().is_empty(), "a name cannot be empty");
    ensure!(
        name.len() <= MAX_NAME_BYTES,
        "a name can have at most {MAX_NAME_BYTES} bytes"
    );
    ensure!(
        !name.chars().any(char::is_control),
        "a name cannot have control characters"
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

//! Arguments that several commands share.
//!
//! Must not know which commands take them.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{ArgAction, Args, ValueEnum};
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
    /// When to use colors
    #[arg(
        long,
        global = true,
        display_order = 101,
        value_name = "WHEN",
        value_enum,
        default_value = "auto"
    )]
    color: ColorWhen,
}

impl Loudness {
    /// From now on all that is printed keeps to the colours that were asked for.
    pub(crate) fn choose_colours(&self) {
        ui::choose_colours(match self.color {
            ColorWhen::Auto => ui::ColourChoice::Auto,
            ColorWhen::Always => ui::ColourChoice::Always,
            ColorWhen::Never => ui::ColourChoice::Never,
        });
    }

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

/// When there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On terminals, unless NO_COLOR or CLICOLOR=0 is set; CLICOLOR_FORCE=1 makes it always
    Auto,
    /// Also where the output goes to a file or a program
    Always,
    /// No colors at all
    Never,
}

/// What happens at the end of a transfer.
#[derive(Debug, Args)]
pub(crate) struct AtEnd {
    /// Ring the terminal's bell when a transfer has ended
    #[arg(long = "bell")]
    rings: bool,
}

impl AtEnd {
    /// Has the terminal ring then, if that is wanted.
    pub(crate) fn prepare(&self, ui: &ui::Ui) {
        if self.rings {
            ui.ring_at_ends();
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

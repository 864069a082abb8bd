//! Arguments that choose what to send from a folder.
//!
//! Must not match anything: the library does.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use xfer::source::{Filter, Links};

use super::size;

/// How these arguments work together.
pub(super) const ABOUT: &str = "\
Filters:
  Patterns work as in a .gitignore in each folder that you send, and next to
  each PATH: they apply to the names on the command line too, as in rsync.
  A file .xferignore always applies below its folder, a .gitignore with
  --gitignore. xfer sends these files too.
  --include wins over --exclude, which wins over --exclude-from, which wins over
  these files; among files, the nearest wins. Nothing inside an excluded folder
  is sent. To send only pictures:
    --exclude '*' --include '*/' --include '*.jpg'
  A file for --exclude-from can have 16 MiB and 1,048,576 patterns.
  Leaving something out is not a failure: the summary counts it, and -v lists
  it. A mirror does not delete it on the receiver.";

/// The same, where files are shared.
pub(super) fn about_sharing() -> String {
    let words = [
        ("that you send", "that you share"),
        ("xfer sends", "xfer shares"),
        ("is sent. To send", "is shared. To share"),
        ("on the receiver", "on the other machine"),
    ];
    let mut about = ABOUT.to_owned();
    for (sent, shared) in words {
        about = about.replace(sent, shared);
    }
    about
}

/// The heading of these arguments in the help.
const HEADING: &str = "Filters";

#[derive(Debug, Args)]
pub(super) struct Choice {
    #[command(flatten)]
    everywhere: FetchChoice,

    /// Keep symbolic links, follow them to what they point to, or leave them out
    #[arg(help_heading = HEADING, long, value_name = "HOW", value_enum, default_value_t)]
    links: LinksArg,

    /// Leave out what is mounted below a folder
    #[arg(help_heading = HEADING, long)]
    one_file_system: bool,
}

/// What can be left out of what another machine shares, too.
#[derive(Debug, Default, Args)]
pub(super) struct FetchChoice {
    /// Leave out what matches
    #[arg(help_heading = HEADING, long, value_name = "PATTERN", allow_hyphen_values = true)]
    exclude: Vec<String>,

    /// Leave out what matches a pattern in FILE
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    exclude_from: Vec<PathBuf>,

    /// Keep what matches, even if another filter leaves it out
    #[arg(help_heading = HEADING, long, value_name = "PATTERN", allow_hyphen_values = true)]
    include: Vec<String>,

    /// Leave out what .gitignore files list
    #[arg(help_heading = HEADING, long)]
    gitignore: bool,

    /// Leave out larger files, such as 500M or 2GiB
    #[arg(help_heading = HEADING, long, value_name = "SIZE", value_parser = size::bytes)]
    max_size: Option<u64>,
}

impl From<FetchChoice> for Filter {
    fn from(choice: FetchChoice) -> Self {
        Self {
            exclude: choice.exclude,
            exclude_from: choice.exclude_from,
            include: choice.include,
            gitignore: choice.gitignore,
            max_size: choice.max_size,
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum LinksArg {
    #[default]
    Keep,
    Follow,
    Skip,
}

impl From<Choice> for Filter {
    fn from(choice: Choice) -> Self {
        Self {
            links: match choice.links {
                LinksArg::Keep => Links::Keep,
                LinksArg::Follow => Links::Follow,
                LinksArg::Skip => Links::Skip,
            },
            one_file_system: choice.one_file_system,
            ..choice.everywhere.into()
        }
    }
}

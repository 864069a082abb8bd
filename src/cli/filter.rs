//! The arguments that say what of a tree is sent.
//!
//! Must not match anything: the library does.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use xfer::source::{Filter, Links};

use super::size;

/// How these arguments go together.
pub(super) const ABOUT: &str = "\
What is left out:
  Patterns are those of a .gitignore, as if it stood in each folder that is sent, and beside each
  PATH: so they hold for the names on the command line too, as with rsync and tar. A file
  .xferignore in a folder is always heeded (and sent), a .gitignore with --gitignore; both only
  for what is below their folder. --include wins over --exclude, that over --exclude-from, that
  over these files, of which the nearest wins. What is in a folder that is left out is left out:
  for nothing but pictures, say --exclude '*' --include '*/' --include '*.jpg'.
  A file of --exclude-from has at most 16 MiB and 1,048,576 patterns.
  What is left out is no failure: it is counted in the end, and named with -v. What would be left
  out is not removed by a mirror either, though it is at the receiver alone.";

/// Where the help lists these arguments.
const HEADING: &str = "What is sent";

#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Leave out what matches
    #[arg(help_heading = HEADING, long, value_name = "PATTERN", allow_hyphen_values = true)]
    exclude: Vec<String>,

    /// Leave out what matches a line of a file
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    exclude_from: Vec<PathBuf>,

    /// Send what matches, even if something else leaves it out
    #[arg(help_heading = HEADING, long, value_name = "PATTERN", allow_hyphen_values = true)]
    include: Vec<String>,

    /// Leave out what the .gitignore files in the folders name
    #[arg(help_heading = HEADING, long)]
    gitignore: bool,

    /// Leave out files that are larger, such as 500M, 1.5G (powers of 1000) or 2GiB (of 1024)
    #[arg(help_heading = HEADING, long, value_name = "SIZE", value_parser = size::bytes)]
    max_size: Option<u64>,

    /// Send symbolic links as they are, what they lead to, or nothing
    #[arg(help_heading = HEADING, long, value_name = "HOW", value_enum, default_value_t)]
    links: LinksArg,

    /// Leave out what is mounted below a folder
    #[arg(help_heading = HEADING, long)]
    one_file_system: bool,
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
            exclude: choice.exclude,
            exclude_from: choice.exclude_from,
            include: choice.include,
            gitignore: choice.gitignore,
            max_size: choice.max_size,
            links: match choice.links {
                LinksArg::Keep => Links::Keep,
                LinksArg::Follow => Links::Follow,
                LinksArg::Skip => Links::Skip,
            },
            one_file_system: choice.one_file_system,
        }
    }
}

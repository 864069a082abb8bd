//! The arguments that say what of a tree is sent.
//!
//! Must not match anything: the library does.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use xfer::manifest::{Filter, Links};

/// How these arguments go together.
pub(super) const ABOUT: &str = "\
What is left out:
  Patterns are those of a .gitignore, as if it stood in each folder that is sent, and beside each
  PATH: so they hold for the names on the command line too, as with rsync and tar. A file
  .xferignore in a folder is always heeded (and sent), a .gitignore with --gitignore; both only
  for what is below their folder. --include wins over --exclude, that over --exclude-from, that
  over these files, of which the nearest wins. What is in a folder that is left out is left out:
  for nothing but pictures, say --exclude '*' --include '*/' --include '*.jpg'.
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
    #[arg(help_heading = HEADING, long, value_name = "SIZE", value_parser = parse_size)]
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

/// A size in bytes: `500`, `20k`, `1.5 GB`, `2GiB`; whole bytes, down.
fn parse_size(text: &str) -> Result<u64, String> {
    size(text).ok_or_else(|| "a size is a number such as 500, 20k, 1.5GB or 2GiB".to_owned())
}

fn size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim().to_ascii_uppercase();
    let unit = unit.strip_suffix('B').unwrap_or(&unit);
    let (prefix, base) = match unit.strip_suffix('I') {
        Some("") => return None,
        Some(prefix) => (prefix, 1024),
        None => (unit, 1000),
    };
    let power = ["", "K", "M", "G", "T", "P"];
    let power = power.iter().position(|&unit| unit == prefix)?;
    let scale = u128::pow(base, u32::try_from(power).ok()?);
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    // Beyond that there are no bytes any more.
    let digits = part.len().min(18);
    let part = part.get(..digits)?.parse::<u128>().ok()? * scale;
    let part = part / u128::pow(10, u32::try_from(digits).ok()?);
    let whole = u128::from(whole.parse::<u64>().ok()?) * scale;
    u64::try_from(whole + part).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_both_kinds() {
        for (text, bytes) in [
            ("0", 0),
            ("500", 500),
            ("500B", 500),
            ("20k", 20_000),
            ("1.5 MB", 1_500_000),
            ("0.0015k", 1),
            ("2GiB", 2 << 30),
            ("2gi", 2 << 30),
            ("1P", 1_000_000_000_000_000),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "k",
            "-1",
            "1.",
            ".5",
            "1.2.3",
            "5iB",
            "5X",
            "1e3",
            "99999999P",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}

//! The command line: arguments to plain options, a command for each, and how it ends.
//!
//! Must not do what the library does; clap's types stay here.

mod exit;
mod here;
mod hints;
mod pair;
mod peers;
mod recv;
mod send;
mod signals;
mod size;
mod target;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use xfer::Error;

pub(crate) use exit::Code;

use crate::ui::{Given, Settings};

/// The longest name a machine can be given, in bytes.
const MAX_NAME_BYTES: usize = 64;

const EXAMPLES: &str = "\
Examples:
  laptop$   xfer recv --dir ~/Downloads
  desktop$  xfer send file.iso 192.168.0.90:9090

The first time, the receiver shows a code, and the sender is asked for it.

Exit codes:
  0 all done; 1 failed; 2 wrong usage; 3 done in part;
  4 not let in, or declined; 130 interrupted";

/// Copies files and folders between machines on one network: verified, resumable, encrypted
#[derive(Debug, Parser)]
#[command(name = "xfer", version, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    loudness: Loudness,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive files into a folder
    Recv(recv::Recv),
    /// Send files and folders to a receiver
    Send(send::Send),
    /// Get to know a receiver, without sending anything
    Pair(pair::Pair),
    /// List the machines that this one is paired with
    Peers,
    /// Forget a machine
    Unpair(peers::Unpair),
    /// Show this machine's name and the fingerprint of its key
    Id,
}

/// How much is said.
#[derive(Debug, Args)]
struct Loudness {
    /// Say only what went wrong
    #[arg(
        short,
        long,
        global = true,
        display_order = 100,
        conflicts_with = "verbose"
    )]
    quiet: bool,
    /// Say what happens to every file
    #[arg(short, long, global = true, display_order = 100)]
    verbose: bool,
}

impl Loudness {
    fn settings(&self, hint: fn(&Error) -> Option<String>) -> Settings {
        Settings {
            quiet: self.quiet,
            verbose: self.verbose,
            hint,
            ..Settings::default()
        }
    }
}

/// How programs are told what happens.
#[derive(Debug, Args)]
struct Events {
    /// Print what happens to standard output for programs: a line of JSON for each event, the last
    /// one, "summary", with the exit code. People are told only what went wrong
    #[arg(long)]
    json: bool,
}

impl Events {
    fn with(&self, settings: Settings) -> Settings {
        Settings {
            json: self.json,
            ..settings
        }
    }
}

/// Where the code for pairing comes from. It is never an argument: everybody on a machine can read
/// those.
#[derive(Debug, Args)]
struct CodeFrom {
    /// Read the code for pairing from the first line of a file, instead of asking for it; or set
    /// XFER_CODE
    #[arg(long, value_name = "FILE")]
    code_file: Option<PathBuf>,
}

impl CodeFrom {
    fn given(&self) -> Option<Given> {
        let text = || std::env::var("XFER_CODE").ok().map(Given::Text);
        self.code_file.clone().map(Given::File).or_else(text)
    }
}

/// Why the arguments make no sense together.
#[derive(Debug)]
struct Wrong(String);

/// Runs the program.
pub(crate) fn run() -> Code {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return stop(&error),
    };
    let loudness = &arguments.loudness;
    match arguments.command {
        Command::Recv(args) => recv::run(args, loudness),
        Command::Send(args) => send::run(args, loudness).unwrap_or_else(|why| wrong("send", why)),
        Command::Pair(args) => pair::run(args, loudness).unwrap_or_else(|why| wrong("pair", why)),
        Command::Peers => peers::list(loudness),
        Command::Unpair(args) => peers::unpair(&args, loudness),
        Command::Id => peers::id(loudness),
    }
}

// Built once more, so that the message shows the usage of this command.
fn wrong(command: &str, why: Wrong) -> Code {
    let mut program = Arguments::command();
    program.build();
    match program.find_subcommand_mut(command) {
        Some(command) => stop(&command.error(ErrorKind::ValueValidation, why.0)),
        None => Code::Usage,
    }
}

// Also how --help and --version end.
fn stop(error: &clap::Error) -> Code {
    let _ = error.print();
    if error.use_stderr() {
        // What was given is not known as arguments, because it is wrong.
        let mut given = std::env::args_os().take_while(|arg| arg != "--");
        if given.any(|arg| arg == "--json") {
            crate::ui::only_summary(Code::Usage as u8);
        }
        Code::Usage
    } else {
        Code::Done
    }
}

fn parse_name(name: &str) -> Result<String> {
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
    fn the_arguments_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn names_are_short_and_printable() {
        assert!(parse_name("Anna's laptop").is_ok());
        for name in ["", " ", "a\x1bb", &"a".repeat(65)] {
            assert!(parse_name(name).is_err(), "{name:?}");
        }
    }
}

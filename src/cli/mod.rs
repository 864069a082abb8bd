//! The command line: arguments to plain options, a command for each, and how it ends.
//!
//! Must not do what the library does; clap's types stay here.

mod config;
mod debug;
mod dialer;
mod exit;
mod filter;
mod generate;
mod here;
mod hints;
mod pair;
mod peers;
mod recv;
mod send;
mod settings;
mod signals;
mod size;
mod target;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use xfer::Error;
use xfer::net::MAX_NAME_BYTES;

pub(crate) use exit::Code;

use settings::Settings;

use crate::ui::{self, Given, Line, Ui};

const EXAMPLES: &str = "\
Examples:
  laptop$   xfer recv --dir ~/Downloads
  desktop$  xfer send file.iso 192.168.0.90:9090

The first time, the receiver shows a code, and the sender is asked for it.

Exit codes:
  0 all done; 1 failed; 2 wrong usage; 3 done in part;
  4 not let in, or declined; 130 interrupted

What is to hold each time can be set in a file: see `xfer config --help`.";

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
    /// Show what is set, and where
    Config(config::Config),
    /// Print what a shell needs to complete arguments
    Completions(generate::Completions),
    /// Write the manual's pages
    #[command(hide = true)]
    Man(generate::Manual),
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
    /// Say what happens to every file; given twice, also what xfer does inside: for reports of faults
    #[arg(short, long, global = true, display_order = 100, action = ArgAction::Count)]
    verbose: u8,
}

impl Loudness {
    /// Whether every file is told of.
    fn is_verbose(&self) -> bool {
        self.verbose > 0
    }

    /// Whether the library's own events are told.
    fn is_very_verbose(&self) -> bool {
        self.verbose > 1
    }

    fn settings(&self, hint: fn(&Error) -> Option<String>) -> ui::Settings {
        ui::Settings {
            quiet: self.quiet,
            verbose: self.is_verbose(),
            hint,
            ..ui::Settings::default()
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
    fn with(&self, settings: ui::Settings) -> ui::Settings {
        ui::Settings {
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
        let set = || std::env::var("XFER_CODE").ok();
        let text = || set().filter(|text| !text.is_empty()).map(Given::Text);
        self.code_file.clone().map(Given::File).or_else(text)
    }
}

/// Why the arguments make no sense together.
#[derive(Debug)]
struct Wrong(String);

/// Runs the program.
pub(crate) fn run() -> Code {
    let program = program();
    let settings = Settings::load(&program);
    let matches = match &settings {
        Ok(settings) => settings.apply(program).try_get_matches(),
        Err(_) => program.try_get_matches(),
    };
    let parsed = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => return stop(&error),
    };
    let loudness = &arguments.loudness;
    match (arguments.command, settings) {
        (Command::Peers, _) => peers::list(loudness),
        (Command::Unpair(args), _) => peers::unpair(&args, loudness),
        (Command::Completions(args), _) => generate::completions(&args, loudness),
        (Command::Man(args), _) => generate::manual(&args, loudness),
        (_, Err(why)) => {
            let text = format!("xfer: {why}");
            Ui::new(loudness.settings(|_| None)).say([Line::Trouble(text)]);
            tell_programs();
            Code::Usage
        }
        (Command::Recv(args), Ok(settings)) => recv::run(args, loudness, &settings),
        (Command::Send(args), Ok(_)) => {
            send::run(args, loudness).unwrap_or_else(|why| wrong("send", why))
        }
        (Command::Pair(args), Ok(_)) => {
            pair::run(args, loudness).unwrap_or_else(|why| wrong("pair", why))
        }
        (Command::Id, Ok(settings)) => peers::id(loudness, &settings),
        (Command::Config(_), Ok(settings)) => config::show(loudness, &settings),
    }
}

/// What the command line can be.
fn program() -> clap::Command {
    settings::make_settable(Arguments::command())
}

// Built once more, so that the message shows the usage of this command.
fn wrong(command: &str, why: Wrong) -> Code {
    let mut program = program();
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
        tell_programs();
        Code::Usage
    } else {
        Code::Done
    }
}

/// The one event of a wrong usage, for programs.
fn tell_programs() {
    // What was given is not known as arguments, because it is wrong.
    let mut given = std::env::args_os().take_while(|arg| arg != "--");
    if given.any(|arg| arg == "--json") {
        ui::only_summary(Code::Usage as u8);
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
        program().debug_assert();
    }

    #[test]
    fn names_are_short_and_printable() {
        assert!(parse_name("Anna's laptop").is_ok());
        for name in ["", " ", "a\x1bb", &"a".repeat(65)] {
            assert!(parse_name(name).is_err(), "{name:?}");
        }
    }
}

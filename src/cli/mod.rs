//! The command line: arguments to plain options, a command for each, and how it ends.
//!
//! Must not do what the library does; clap's types stay here.

mod arguments;
mod chat;
mod choose;
mod complete;
mod config;
mod debug;
mod dialer;
mod exit;
mod filter;
mod folders;
mod generate;
mod hints;
mod list;
mod machine;
mod names;
mod pair;
mod peers;
mod recv;
mod run;
mod say;
mod send;
mod settings;
mod signals;
mod size;
mod target;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub(crate) use exit::Code;

use arguments::{Loudness, Wrong};
use settings::Settings;

use crate::ui::{self, Line, Ui};

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
    /// Send a message, which a receiver shows
    Say(say::SayArguments),
    /// Run a command on another machine, which its user offers there
    Run(run::Run),
    /// List the machines on this network that receive
    List(list::ListMachines),
    /// Get to know a receiver, without sending anything
    Pair(pair::Pair),
    /// List the machines that this one is paired with, and say what each may do here
    Peers(peers::KnownMachines),
    /// Open a chat, or join one
    Chat(chat::Chat),
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

/// Runs the program.
pub(crate) fn run() -> ExitCode {
    if complete::serve(std::env::args_os().skip(1), Arguments::command) {
        return Code::Done.into();
    }
    debug::tell_panics();
    let program = program();
    let settings = Settings::load(&program);
    let matches = match &settings {
        Ok(settings) => settings.apply(program.clone()).try_get_matches(),
        Err(_) => program.clone().try_get_matches(),
    };
    let parsed = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => return stop(&error).into(),
    };
    let loudness = &arguments.loudness;
    let code = match (arguments.command, settings) {
        (Command::Peers(args), _) => {
            peers::list(&args, loudness).unwrap_or_else(|why| wrong("peers", why))
        }
        (Command::Unpair(args), _) => peers::unpair(&args, loudness),
        (Command::Completions(args), _) => generate::completions(&args, program, loudness),
        (Command::Man(args), _) => generate::manual(&args, program, loudness),
        (_, Err(why)) => {
            let text = format!("xfer: {why}");
            Ui::new(loudness.settings(|_| None)).say([Line::Trouble(text)]);
            tell_programs();
            Code::Usage
        }
        (Command::Recv(args), Ok(settings)) => {
            recv::run(args, loudness, &settings).unwrap_or_else(|why| wrong("recv", why))
        }
        (Command::Send(args), Ok(_)) => {
            send::run(args, loudness).unwrap_or_else(|why| wrong("send", why))
        }
        (Command::Say(args), Ok(_)) => {
            say::run(args, loudness).unwrap_or_else(|why| wrong("say", why))
        }
        (Command::Run(args), Ok(_)) => match run::run(args, loudness) {
            // It ends as the command there has.
            Ok(code) => return code,
            Err(why) => wrong("run", why),
        },
        (Command::List(args), Ok(_)) => list::run(&args, loudness),
        (Command::Pair(args), Ok(_)) => {
            pair::run(args, loudness).unwrap_or_else(|why| wrong("pair", why))
        }
        (Command::Chat(args), Ok(settings)) => {
            chat::run(args, loudness, &settings).unwrap_or_else(|why| wrong("chat", why))
        }
        (Command::Id, Ok(settings)) => peers::id(loudness, &settings),
        (Command::Config(_), Ok(settings)) => config::show(loudness, &settings, &program),
    };
    code.into()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        program().debug_assert();
    }
}

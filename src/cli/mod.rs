//! The command line: turns arguments into options, runs a command, and ends with an exit code.
//!
//! Must not do what the library does; clap's types stay here.

mod announcing;
mod arguments;
mod by_hand;
mod chat;
mod choose;
mod complete;
mod config;
mod confined;
mod conflict;
mod debug;
mod dialer;
mod dropped;
mod exit;
mod filter;
mod folders;
mod generate;
mod get;
mod globs;
mod habits;
mod hints;
mod list;
mod local;
mod machine;
mod names;
mod pair;
mod peers;
mod recv;
mod run;
mod say;
mod send;
mod settings;
mod share;
mod signals;
mod size;
mod speed;
mod target;
mod usage_error;
#[cfg(feature = "web")]
mod web;
mod welcome;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub(crate) use exit::Code;

use arguments::{Loudness, Wrong};
use dropped::Invocation;
use settings::Settings;

use crate::ui::{self, Line, Ui};

const EXAMPLES: &str = "\
Examples:
  laptop$   xfer recv                       receive into your Downloads folder
  desktop$  xfer send film.mkv laptop       send a file to laptop
  desktop$  xfer send photos 192.168.0.90   send a folder to an address

The first time, the receiver shows a code; enter it on the sender.

Exit codes:
  0 all done; 1 failed; 2 wrong usage; 3 done in part;
  4 not let in, or declined; 130 interrupted

Put defaults in a file: see `xfer config --help`.";

/// Copy files and folders between machines on one network: encrypted, verified, resumable
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
    /// Send files and folders
    Send(send::Send),
    /// Share files and folders for others to fetch
    Share(share::ShareArguments),
    /// Fetch what another machine shares
    Get(get::Get),
    /// List the receivers, shares and chats on this network
    List(list::ListMachines),
    /// Pair with a receiver without sending anything
    Pair(pair::Pair),
    /// List paired machines, and set what each may do
    Peers(peers::KnownMachines),
    /// Forget a paired machine
    Unpair(peers::Unpair),
    /// Send a message
    Say(say::SayArguments),
    /// Open a chat, or join one
    Chat(chat::Chat),
    /// Run a command that another machine offers
    Run(run::Run),
    /// Show this machine's name and the fingerprint of its key
    Id(peers::Id),
    /// Show the settings and where they are set
    Config(config::Config),
    /// Print shell completions
    Completions(generate::Completions),
    /// Write the man pages
    #[command(hide = true)]
    Man(generate::Manual),
}

/// Runs the program.
pub(crate) fn run() -> ExitCode {
    if complete::serve(std::env::args_os().skip(1), Arguments::command) {
        return Code::Done.into();
    }
    debug::tell_panics();
    let start = Invocation::of(std::env::args_os().collect());
    let code = run_with(&start.arguments);
    start.hold();
    code
}

fn run_with(arguments: &[OsString]) -> ExitCode {
    let program = program();
    let settings = Settings::load(&program);
    let matches = match &settings {
        Ok(settings) => settings
            .apply(program.clone())
            .try_get_matches_from(arguments),
        Err(_) => program.clone().try_get_matches_from(arguments),
    };
    let parsed = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => return stop(&error, &program).into(),
    };
    let loudness = &arguments.loudness;
    loudness.choose_colours();
    if let Ok(settings) = &settings {
        warn_of_misspelled(settings);
    }
    let code = match (arguments.command, settings) {
        (Command::Peers(args), settings) => peers::list(&args, loudness, settings.as_ref().ok())
            .unwrap_or_else(|why| wrong("peers", why)),
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
        (Command::Share(args), Ok(settings)) => {
            share::run(args, loudness, &settings).unwrap_or_else(|why| wrong("share", why))
        }
        (Command::Get(args), Ok(settings)) => {
            get::run(args, loudness, &settings).unwrap_or_else(|why| wrong("get", why))
        }
        (Command::Say(args), Ok(_)) => {
            say::run(args, loudness).unwrap_or_else(|why| wrong("say", why))
        }
        (Command::Run(args), Ok(_)) => match run::run(args, loudness) {
            // Its exit code is that of the command on the other machine.
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
        (Command::Id(args), Ok(settings)) => peers::id(&args, loudness, &settings),
        (Command::Config(_), Ok(settings)) => config::show(loudness, &settings, &program),
    };
    // All is put away by now.
    signals::end_if_interrupted(code);
    code.into()
}

/// Says which variables of the environment are likely misspelled settings, which do nothing.
fn warn_of_misspelled(settings: &Settings) {
    let lines = settings.misspelled.iter().map(|(name, meant)| {
        let name = ui::safe(name);
        Line::Trouble(format!("xfer: unknown {name}; did you mean {meant}?"))
    });
    Ui::new(ui::OutputOptions::default()).say(lines);
}

/// The definition of the command line.
fn program() -> clap::Command {
    settings::make_settable(Arguments::command()).color(colours())
}

/// What was given as --color, which also holds for what is wrong with the rest.
fn colours() -> ColorChoice {
    let given = std::env::args_os().take_while(|arg| arg != "--");
    let mut given = given.filter_map(|arg| arg.into_string().ok());
    let mut when = None;
    while let Some(arg) = given.next() {
        match arg.strip_prefix("--color") {
            Some("") => when = given.next(),
            Some(rest) => when = rest.strip_prefix('=').map(str::to_owned),
            None => {}
        }
    }
    match when.as_deref() {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

// Built once more: a command's errors need its whole definition.
fn wrong(command: &str, why: Wrong) -> Code {
    let mut program = program();
    program.build();
    let error = match program.find_subcommand_mut(command) {
        Some(command) => command.error(ErrorKind::ValueValidation, why.0),
        None => program.error(ErrorKind::ValueValidation, why.0),
    };
    stop(&error, &program)
}

// Also how --help and --version end, and `xfer` alone, which prints its help.
fn stop(error: &clap::Error, program: &clap::Command) -> Code {
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !error.use_stderr() || is_help {
        let _ = error.print();
    } else {
        let lines = usage_error::lines(error, program);
        let ui = Ui::new(ui::OutputOptions::default());
        ui.say(lines.into_iter().map(Line::Trouble));
    }
    if error.use_stderr() {
        tell_programs();
        Code::Usage
    } else {
        Code::Done
    }
}

/// Prints the one event for wrong usage, for programs.
fn tell_programs() {
    // The arguments could not be parsed, so look for --json by hand.
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

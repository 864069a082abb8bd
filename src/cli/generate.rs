//! `xfer completions`, `xfer man`: what shells and `man` want to know of the command line.
//!
//! Must not say anything that the arguments' own definitions do not.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use xfer::Error;
use xfer::model::error::Action;

use super::arguments::Loudness;
use super::complete;
use super::exit::Code;
use crate::ui::{Line, Ui, sentence};

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Manual {
    /// Folder for the pages; without it, print the page of xfer itself
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// Prints what a shell needs to complete arguments.
pub(crate) fn completions(args: &Completions, mut program: Command, loudness: &Loudness) -> Code {
    let mut script = Vec::new();
    let asking = match args.shell {
        Shell::Bash => Some(complete::Shell::Bash),
        Shell::Zsh => Some(complete::Shell::Zsh),
        Shell::Fish => Some(complete::Shell::Fish),
        _ => None,
    };
    match asking {
        Some(shell) => script.extend_from_slice(shell.script().as_bytes()),
        None => clap_complete::generate(args.shell, &mut program, "xfer", &mut script),
    }
    ended(print(&script), loudness)
}

/// Writes the manual's pages.
pub(crate) fn manual(args: &Manual, program: Command, loudness: &Loudness) -> Code {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let done = match &args.dir {
        Some(dir) => write_all(&program, dir),
        None => page(&program)
            .map_err(print_error)
            .and_then(|page| print(&page)),
    };
    ended(done, loudness)
}

fn write_all(program: &Command, dir: &Path) -> xfer::Result<()> {
    let commands = program.get_subcommands().filter(|c| !c.is_hide_set());
    for command in std::iter::once(program).chain(commands) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let path = dir.join(format!("{name}.1"));
        page(command)
            .and_then(|page| fs::write(&path, page))
            .map_err(|e| Error::file(Action::Write, &path, e))?;
    }
    Ok(())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|c| !c.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(more) = command.get_after_help() {
        // It is laid out by hand, and is to stay so.
        let mut roff = Roff::default();
        roff.control("SH", ["MORE"]);
        roff.control("nf", []);
        for line in more.to_string().lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.to_writer(&mut page)?;
    }
    // The pages of commands have none.
    if command.get_version().is_some() {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

fn print(text: &[u8]) -> xfer::Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text).and_then(|()| out.flush());
    written.map_err(print_error)
}

fn print_error(error: io::Error) -> Error {
    Error::file(Action::WriteOutput, "standard output", error)
}

fn ended(done: xfer::Result<()>, loudness: &Loudness) -> Code {
    match done {
        Ok(()) => Code::Done,
        Err(error) => {
            let text = format!("xfer: {}", sentence(&error));
            Ui::new(loudness.settings(|_| None)).say([Line::Trouble(text)]);
            Code::Failed
        }
    }
}

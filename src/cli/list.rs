//! `xfer list`: the machines on the network.
//!
//! Must not search: the library does.

use clap::Args;
use xfer::model::error::Result;
use xfer::transfer::{Cancel, Change, look_around};

use super::arguments::Loudness;
use super::exit::{Code, conclude, written};
use super::hints::Task;
use super::{debug, machine, signals};
use crate::ui::{self, Line, Ui, machine_event, machine_lines};

const EXAMPLES: &str = "\
Examples:
  xfer list            the machines found within two seconds
  xfer list --watch    machines that come and go, until Ctrl-C
  xfer list --json | jq -r 'select(.event == \"here\").address'

A machine announces itself while `xfer recv` runs there, except with --hidden or
--open. xfer also asks paired machines at their last address, and checks their
keys. What other machines say about themselves is not verified.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListMachines {
    /// Keep listing machines that come and go, until Ctrl-C
    #[arg(short, long)]
    watch: bool,

    /// Print a JSON line for each machine, for programs
    #[arg(long)]
    json: bool,
}

/// Lists the machines found.
pub(crate) fn run(args: &ListMachines, loudness: &Loudness) -> Code {
    let ui = Ui::new(ui::OutputOptions {
        json: args.json,
        // There are no bars to draw.
        plain: true,
        ..loudness.settings(Task::Send.hints())
    });
    if loudness.is_very_verbose() {
        debug::show(&ui);
    }
    ui.start();
    let cancel = Cancel::new();
    match signals::watch(&ui, &cancel).and_then(|()| list(args, loudness, &ui, &cancel)) {
        Ok(()) => {
            ui.finish();
            written(&ui, Code::Done)
        }
        Err(error) => conclude(&ui, Task::Send, Err(error), &cancel),
    }
}

fn list(args: &ListMachines, loudness: &Loudness, ui: &Ui, cancel: &Cancel) -> Result<()> {
    let device = machine::device()?;
    if args.watch {
        ui.say([Line::Talk("Watching; press Ctrl-C to stop.".to_owned())]);
    }
    let mut is_empty = true;
    look_around(&device, args.watch, cancel, |change| {
        is_empty = false;
        if args.json {
            ui.say(machine_event(change).map(Line::Event));
            return;
        }
        // With -q, only the machines that are there.
        let lines = machine_lines(change, loudness.is_verbose()).into_iter();
        match change {
            Change::Here(_) | Change::Gone(_) => ui.say(lines.map(Line::Answer)),
            Change::Missing(_) => ui.say(lines.map(Line::Result)),
        }
    })?;
    if is_empty && !cancel.is_cancelled() {
        let lines = [
            "No machines found. On the other machine, run: xfer recv",
            "If the network blocks multicast, send to the address that it shows.",
        ];
        ui.say(lines.map(|line| Line::Talk(line.to_owned())));
    }
    Ok(())
}

//! `xfer list`: who is on the network.
//!
//! Must not look for anybody: the library does.

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
  xfer list                   who is here now, within two seconds
  xfer list --watch           until Ctrl-C; also says who goes
  xfer list --json | jq -r 'select(.event == \"here\").address'

Machines announce themselves while `xfer recv` runs there, unless it runs with --hidden or --open.
Those that you are paired with are also asked at their last address, and have to show their key.
What the others say of themselves, anybody on the network could say.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListMachines {
    /// Go on until Ctrl-C, and say also who goes
    #[arg(short, long)]
    watch: bool,

    /// Print a line of JSON for each machine, for programs
    #[arg(long)]
    json: bool,
}

/// Lists who is there.
pub(crate) fn run(args: &ListMachines, loudness: &Loudness) -> Code {
    let ui = Ui::new(ui::OutputOptions {
        json: args.json,
        // Nothing moves here.
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
        // Who is there is what it is for; with -q, only that.
        let lines = machine_lines(change, loudness.is_verbose()).into_iter();
        match change {
            Change::Here(_) | Change::Gone(_) => ui.say(lines.map(Line::Answer)),
            Change::Missing(_) => ui.say(lines.map(Line::Result)),
        }
    })?;
    if is_empty && !cancel.is_cancelled() {
        let lines = [
            "Nobody is here. On the other machine, run: xfer recv",
            "Where the network blocks multicast, send to the address that it shows.",
        ];
        ui.say(lines.map(|line| Line::Talk(line.to_owned())));
    }
    Ok(())
}

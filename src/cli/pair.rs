//! `xfer pair`: gets to know a receiver, without sending anything.
//!
//! Must not pair: the library does.

use std::sync::Arc;

use clap::Args;

use super::arguments::{CodeFrom, Loudness, Wrong, parse_name};
use super::choose;
use super::dialer::Dialer;
use super::exit::Code;
use super::hints::Task;
use super::target::target;
use super::{machine, names};
use crate::ui::{Line, safe};

const EXAMPLES: &str = "\
Examples:
  laptop$   xfer recv --dir ~/Downloads
  desktop$  xfer pair laptop

The receiver shows a code; type it here. From then on `xfer send` from here to there just sends.
The way back is its own pairing.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Pair {
    /// The receiver: its name, or HOST:PORT. Without it, in a terminal, those that are here are listed
    #[arg(value_name = "TARGET", add = names::receivers())]
    target: Option<String>,

    /// Wait for a receiver that is not there yet, until you press Ctrl-C
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    code: CodeFrom,

    /// What this machine calls itself [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,
}

/// Pairs, unless they are already.
pub(crate) fn run(args: Pair, loudness: &Loudness) -> Result<Code, Wrong> {
    let dialer = Dialer::new(Task::Send, loudness, None, &args.code);
    let to = match &args.target {
        Some(text) => Some(target(text).map_err(|why| Wrong(format!("'{}': {why}", safe(text))))?),
        None if choose::can_choose() => None,
        None => {
            return Err(Wrong(
                "the receiver is missing: name it, such as laptop or 192.168.0.90\n\n  \
                 tip: in a terminal, `xfer pair` lists those that are here"
                    .to_owned(),
            ));
        }
    };
    let name = args.name.unwrap_or_else(machine::name);
    let ui = Arc::clone(&dialer.ui);
    Ok(dialer.run(|device, person, progress, cancel| {
        let to = match to {
            Some(to) => to,
            None => choose::receiver(&ui, cancel, &device.peers)?,
        };
        let peer = xfer::transfer::pair(device, &to, &name, args.wait, person, progress, cancel)?;
        if !peer.is_new {
            let text = format!("{} takes what this machine sends already.", peer.name);
            ui.say([Line::Result(text)]);
        }
        Ok(None)
    }))
}

//! `xfer pair`: pairs with a receiver without sending anything.
//!
//! Must not pair: the library does.

use std::sync::Arc;

use clap::Args;
use xfer::net::Fingerprint;
use xfer::net::Service;

use super::arguments::{CodeFrom, Loudness, Wrong, parse_name};
use super::by_hand::{self, whole};
use super::choose;
use super::dialer::Dialer;
use super::exit::Code;
use super::hints::Task;
use super::target::target;
use super::{machine, names};
use crate::ui::{Line, safe};

const EXAMPLES: &str = "\
Examples:
  laptop$   xfer recv
  desktop$  xfer pair laptop

The receiver shows a code; enter it here. You can then send to it without a
code. To send the other way, pair in the other direction too.

If the receiver runs as a service, run `xfer recv --pair` on that machine: it
shows the codes.

To pair without a code, enter each machine's fingerprint on the other one.
`xfer id --full` prints it:
  laptop$   xfer pair --fingerprint FINGERPRINT-OF-DESKTOP --from desktop
  desktop$  xfer pair --fingerprint FINGERPRINT-OF-LAPTOP laptop";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Pair {
    /// The receiver: a machine's name, HOST, HOST:PORT or '[IPV6]:PORT'
    ///
    /// Without it, in a terminal, xfer lists the receivers it finds.
    #[arg(value_name = "TARGET", add = names::receivers())]
    target: Option<String>,

    /// Pair without a code, with the receiver that has this fingerprint
    ///
    /// `xfer id --full` prints it on that machine. TARGET is the receiver's name. For machines
    /// without a terminal: run this on both machines, with --from on the receiver.
    #[arg(long, value_name = "FINGERPRINT", value_parser = whole, conflicts_with_all = ["wait", "code_file"])]
    fingerprint: Option<Fingerprint>,

    /// With --fingerprint: let machine NAME send to this machine
    #[arg(long, value_name = "NAME", value_parser = parse_name, requires = "fingerprint", conflicts_with = "target")]
    from: Option<String>,

    /// Wait for the receiver to appear
    ///
    /// Press Ctrl-C to stop waiting.
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    code: CodeFrom,

    /// Name of this machine, as others see it [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,
}

/// Pairs, unless they are already.
pub(crate) fn run(args: Pair, loudness: &Loudness) -> Result<Code, Wrong> {
    if let Some(fingerprint) = args.fingerprint {
        let other = by_hand::other(args.target, args.from)?;
        let name = args.name.unwrap_or_else(machine::name);
        return Ok(by_hand::pair(&other, fingerprint, &name, loudness));
    }
    let dialer = Dialer::new(Task::Send, loudness, None, &args.code);
    let to = match &args.target {
        Some(text) => Some(target(text).map_err(|why| Wrong(format!("'{}': {why}", safe(text))))?),
        None if choose::can_choose() => None,
        None => {
            return Err(Wrong(
                "the receiver is missing: name it, for example laptop or 192.168.0.90\n\n  \
                 tip: in a terminal, `xfer pair` lists the receivers it finds"
                    .to_owned(),
            ));
        }
    };
    let name = args.name.unwrap_or_else(machine::name);
    let ui = Arc::clone(&dialer.ui);
    Ok(dialer.run(|device, person, progress, cancel| {
        let to = match to {
            Some(to) => to,
            None => choose::machine(&ui, cancel, &device.peers, Service::Receiver)?,
        };
        let peer = xfer::transfer::pair(device, &to, &name, args.wait, person, progress, cancel)?;
        if !peer.is_new {
            let text = format!(
                "Already paired: you can send to {} without a code.",
                peer.name
            );
            ui.say([Line::Result(text)]);
        }
        Ok(None)
    }))
}

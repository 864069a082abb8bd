//! `xfer pair`: gets to know a receiver, without sending anything.
//!
//! Must not pair: the library does.

use std::sync::Arc;

use clap::Args;
use xfer::engine::Cancel;
use xfer::outcome::Role;
use xfer::progress::Progress;

use super::exit::{Code, conclude};
use super::target::address;
use super::{CodeFrom, Loudness, Wrong, here, hints, parse_name, signals};
use crate::ui::{Line, Person, Ui, safe};

const EXAMPLES: &str = "\
Examples:
  laptop$   xfer recv --dir ~/Downloads
  desktop$  xfer pair 192.168.0.90

The receiver shows a code; type it here. From then on `xfer send` from here to there just sends.
The way back is its own pairing.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Pair {
    /// The receiver: HOST, HOST:PORT or [IPV6]:PORT
    #[arg(value_name = "TARGET")]
    target: String,

    #[command(flatten)]
    code: CodeFrom,

    /// What this machine calls itself [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,
}

/// Pairs, unless they are already.
pub(crate) fn run(args: Pair, loudness: &Loudness) -> Result<Code, Wrong> {
    let ui = Ui::new(loudness.settings(|error| hints::for_error(error, Role::Sender)));
    ui.start();
    let cancel = Cancel::new();
    let person = Person::at(&ui, &cancel, args.code.given());
    let device = here::device();
    let peers = device.as_ref().map(|device| device.peers.list());
    let peers = peers.ok().and_then(Result::ok).unwrap_or_default();
    let to = address(&args.target, &peers)
        .map_err(|why| Wrong(format!("'{}': {why}", safe(&args.target))))?;
    signals::watch(&ui, &cancel);
    let name = args.name.unwrap_or_else(here::name);
    let progress: Arc<dyn Progress> = Arc::clone(&ui) as _;
    let result = device
        .and_then(|device| xfer::engine::pair(&device, &to, &name, &person, &progress, &cancel));
    Ok(match result {
        Ok(peer) => {
            if !peer.is_new {
                let text = format!("{} takes what this machine sends already.", peer.name);
                ui.say([Line::Result(text)]);
            }
            ui.finish();
            Code::Done
        }
        Err(error) => conclude(&ui, Role::Sender, Err(error), &cancel),
    })
}

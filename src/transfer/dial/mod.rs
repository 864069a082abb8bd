//! Finding a receiver, and getting to know it: addresses, the channel, who it is, pairing.
//!
//! Must not tell it anything of what is to be sent.

mod addresses;
mod attempt;
mod candidates;
mod connector;
mod futile;
mod heard;
mod lookups;
mod means;
mod news;
mod passed;
mod race;
mod reached;
mod same_key;
mod search;
mod whom;

use std::sync::Arc;

use crate::model::error::Result;
use crate::model::progress::{Peer, Progress};
use crate::model::prompt::Prompt;

use super::cancel::Cancel;
use super::options::{Device, DialTarget};

pub(super) use attempt::{Packets, dial};
pub(super) use connector::{Connector, Dialed};

/// Makes this machine and a receiver know each other, so that this one may send to it from then
/// on. Says who it is. One that is not there yet is waited for where it is to `wait`.
pub fn pair(
    device: &Device,
    to: &DialTarget,
    name: &str,
    wait: bool,
    prompt: &Arc<dyn Prompt>,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<Peer> {
    let mut connector = Connector::new(device, prompt, progress, cancel)?;
    connector.waits = wait;
    let dialed = connector.pair(to, name);
    dialed.map_err(|error| cancel.reason(error))
}

//! `PeerName`: what to call the other machine in errors.
//!
//! Must not make sentences.

use xfer::model::progress::Event;

/// The name of the machine that this one dials or talks to.
#[derive(Debug, Default)]
pub(super) struct PeerName(Option<String>);

impl PeerName {
    /// Learns the name from events: first what the user typed, then what the machine is called.
    pub(super) fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Named { name } => self.0 = Some((*name).to_owned()),
            Event::Started { peer, .. } => self.0 = Some(peer.name.clone()),
            _ => {}
        }
    }

    /// The name; none if the user typed an address and the machine has not answered.
    pub(super) fn get(&self) -> Option<String> {
        self.0.clone()
    }
}

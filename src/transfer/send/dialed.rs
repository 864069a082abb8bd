//! Sends to a receiver that this side dials, in session after session.
//!
//! Must not know what goes on in a session.

use std::sync::Arc;
use std::time::Duration;

use crate::model::digest::CHUNK_SIZE;
use crate::model::error::{Error, Result};
use crate::model::outcome::{Summary, Wish};
use crate::model::progress::{Counters, Event, Progress, Trust};
use crate::model::prompt::Prompt;
use crate::net::{FIRST_WORDS, Pace, offer};
use crate::source::{self, Roots};
use crate::wire::{Contents, Features, Offer};

use super::super::cancel::Cancel;
use super::super::dial::{Connector, Dialed};
use super::super::lane_source::{LaneDialer, LaneSource};
use super::super::link::Link;
use super::super::next_session;
use super::super::options::{Device, SendOptions};
use super::super::retry::{Ending, RetryTerms, until_done};
use super::session::{AgreedSession, SendTerms};

/// How long the receiver's user has to decide about an offer.
const DECIDING: Duration = Duration::from_secs(900);

/// Sends files and folders, and returns when all of them are there, or it is known which are
/// not. A lost connection is made anew for as long as [`SendOptions::retry`] says; what is there
/// already does not travel again.
///
/// A receiver that does not know this machine is paired with first: `prompt` is asked for its
/// code. One that is not who it was is never told anything.
pub fn send(
    device: &Device,
    options: &SendOptions,
    prompt: &Arc<dyn Prompt>,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<Summary> {
    let roots = Roots::except(
        &options.paths,
        &options.naming,
        &options.filter,
        device.own.clone(),
    )?;
    let mut connector = Connector::new(device, prompt, progress, cancel)?;
    connector.waits = options.wait;
    let terms = RetryTerms {
        lanes: options.lanes,
        packets: connector.packets.clone(),
        retry: options.retry,
        dry_run: options.wish.dry_run,
        progress: &**progress,
        cancel,
    };
    let sessions = SendSessions {
        connector,
        options,
        terms: SendTerms {
            roots: &roots,
            stream: options.stream.as_ref(),
            compress: options.compress,
            max_delete: options.max_delete,
            prompt: &**prompt,
            pace: options.limit.map(|limit| Arc::new(Pace::new(limit))),
            progress: &**progress,
            cancel,
        },
    };
    until_done(&terms, |before, lanes| sessions.run(before, lanes))
}

/// What all sessions of one `send` have in common.
struct SendSessions<'a> {
    connector: Connector<'a>,
    options: &'a SendOptions,
    terms: SendTerms<'a>,
}

impl SendSessions<'_> {
    /// One session of so many lanes, to its end. Its summary is given with what was done `before`
    /// it.
    fn run(&self, before: &Summary, lanes: u16) -> Ending {
        let mut ending = Ending::of(next_session());
        ending.result = self.offer_and_transfer(before, lanes, &mut ending);
        ending
    }

    fn offer_and_transfer(
        &self,
        before: &Summary,
        lanes: u16,
        ending: &mut Ending,
    ) -> Result<Summary> {
        let SendOptions { to, name, open, .. } = self.options;
        let Dialed {
            mut channel,
            addr,
            greeted,
            cancel: until_it_runs,
        } = self.connector.dial(to, name, *open)?;
        let peer = &greeted.peer;
        let features = channel.preambles.features();
        if self.options.naming.place.is_some()
            && changes_ways(features, peer.trust, self.options.wish)
        {
            return Err(Error::NoWays {
                peer: channel.peer,
                name: peer.name.clone(),
            });
        }
        let counters = Arc::new(Counters::default());
        channel.carry(counters.clone());
        let mut time = FIRST_WORDS;
        let mut contents = None;
        if greeted.asks {
            contents = Some(self.contents());
            time = DECIDING;
            self.terms.progress.event(&Event::Waiting { peer });
        }
        let (offer, accept) = offer(&mut channel, greeted.prefers, time, |suiting| Offer {
            algorithm: self.options.algorithm.unwrap_or(suiting),
            chunk_size: CHUNK_SIZE,
            // The chunks of a stream travel in order.
            lanes: self.terms.stream.map_or(lanes, |_| 1),
            wish: self.options.wish,
            contents,
        })?;
        let there = (addr, channel.fingerprint);
        // How many it would like is this side's decision; the receiver may only allow fewer.
        let lanes = (accept.lanes.min(offer.lanes), accept.secret);
        let Connector { tls, packets, .. } = &self.connector;
        let session = AgreedSession {
            peer,
            link: Arc::new(Link::new(&channel)),
            channel,
            lanes: LaneSource::Dialed(LaneDialer::new(tls, packets, there, lanes)),
            offer,
            accept,
            counters,
            until_it_runs: Some(until_it_runs),
        };
        self.terms.run(session, before, ending)
    }

    /// What a receiver's user is told before they decide.
    fn contents(&self) -> Contents {
        if let Some(stream) = self.terms.stream {
            return Contents {
                files: 1,
                bytes: Contents::UNKNOWN,
                named: 1,
                first: source::outermost(&stream.path),
            };
        }
        let (files, bytes) = source::count(self.terms.roots);
        let (named, first) = self.terms.roots.names();
        Contents {
            files,
            bytes,
            named,
            first,
        }
    }
}

/// Whether a receiver would set the mode and time of folders that only lead to what is sent. An
/// older one does so wherever the sender may change what exists, as the same user always may.
fn changes_ways(features: Features, trust: Trust, wish: Wish) -> bool {
    !features.has(Features::WAYS) && (wish.update || trust == Trust::SameUser)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_receiver_changes_ways_for_the_same_user_and_in_updates() {
        let older = Features(Features::OURS.0 & !Features::WAYS.0);
        let plain = Wish::default();
        let update = Wish {
            update: true,
            ..plain
        };
        for (trust, wish, changes) in [
            (Trust::SameUser, plain, true),
            (Trust::SameUser, update, true),
            (Trust::Paired, plain, false),
            (Trust::Paired, update, true),
            (Trust::Open, plain, false),
            (Trust::Open, update, true),
        ] {
            assert_eq!(
                changes_ways(older, trust, wish),
                changes,
                "{trust:?} {wish:?}"
            );
            assert!(!changes_ways(Features::OURS, trust, wish));
        }
    }
}

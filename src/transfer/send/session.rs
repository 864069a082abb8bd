//! A sending session: its control connection, and what its threads share.
//!
//! Must not read files in the thread that reads the control connection: that one only decodes,
//! keeps count and hands on.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tracing::debug;

use super::super::link::{Link, SILENCE, Stop};
use super::super::outbox::PING_INTERVAL;
use crate::model::digest::Algorithm;
use crate::model::entry::EntryId;
use crate::model::error::{Error, Result};
use crate::model::outcome::{Summary, Wish};
use crate::model::progress::{Event, Progress};
use crate::net::{Channel, Pace, Reader, Tls, aborted};
use crate::source::{Roots, SurplusDecider};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{self, Accept, End, Frame, Message, read_frame};

use super::super::options::{Compress, Stream};
use super::announce::{Credits, SharedCounters};
use super::answers::Item;
use super::queue::Queue;
use super::stream::Input;
use super::{announce, lane, stream};

/// What others wait on in a sending session.
pub(super) struct Stopper {
    pub(super) queue: Queue,
    pub(super) credits: Credits,
    pub(super) input: Option<Input>,
}

impl Stop for Stopper {
    fn stop(&self) {
        self.queue.close();
        self.credits.stop();
        if let Some(input) = &self.input {
            input.stop();
        }
    }
}

/// A sending session.
pub(super) struct Sending<'a> {
    pub(super) session: u64,
    pub(super) link: Arc<Link>,
    pub(super) compress: Compress,
    pub(super) algorithm: Algorithm,
    pub(super) wish: Wish,
    pub(super) roots: &'a Roots,
    /// What is sent instead of what is below the roots.
    pub(super) stream: Option<&'a Stream>,
    pub(super) pace: Option<Arc<Pace>>,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) counters: &'a SharedCounters,
    pub(super) stopper: Arc<Stopper>,
    /// The entries that have been announced and have no outcome.
    pub(super) items: Mutex<HashMap<EntryId, Item>>,
    /// Whether the walk is at its end, which the receiver is told next.
    pub(super) walked: AtomicBool,
    pub(super) all_announced: AtomicBool,
    pub(super) announced: AtomicU64,
    pub(super) unannounced: AtomicU64,
    /// Bytes of files that were sent.
    pub(super) moved: AtomicU64,
    /// Whether the last message has been said.
    pub(super) end_said: AtomicBool,
    /// How many lanes were asked for.
    pub(super) wanted_lanes: u16,
    /// How many lanes are at work.
    pub(super) lanes: AtomicU16,
    /// What has been stored, and what has failed, by the outcomes that arrived.
    pub(super) stored: Mutex<Summary>,
}

impl fmt::Debug for Sending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sending").field(&self.session).finish()
    }
}

impl std::ops::Deref for Sending<'_> {
    type Target = Stopper;
    fn deref(&self) -> &Stopper {
        &self.stopper
    }
}

impl Sending<'_> {
    pub(super) fn items(&self) -> MutexGuard<'_, HashMap<EntryId, Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stored(&self) -> MutexGuard<'_, Summary> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn run(
        &self,
        channel: Channel,
        addr: SocketAddr,
        accept: &Accept,
        tls: &Tls,
    ) -> Result<Summary> {
        let Channel {
            mut reader,
            mut writer,
            fingerprint,
            ..
        } = channel;
        // How many it would like is this side's decision; the receiver may only allow fewer.
        let lanes = accept.lanes.min(self.wanted_lanes);
        self.lanes.store(lanes, Ordering::Release);
        // A peer that stops reading must not hold its session up for ever.
        let _ = writer.set_timeout(Some(SILENCE));
        let summary = thread::scope(|scope| {
            let (to_announce, steps) = announce::steps();
            let write = || self.link.write(&mut writer, PING_INTERVAL, || None);
            let walk = move || match self.stream {
                Some(stream) => stream::announce(&stream.name, self.counters, &to_announce),
                None => announce::walk(self.roots, self.counters, &to_announce),
            };
            let lane = move || match lane::connect(tls, addr, fingerprint, accept.secret) {
                Ok(mut channel) => {
                    channel.carry(self.counters.clone());
                    channel.keep_to(self.pace.clone());
                    self.link.add_lane(channel.closer.clone());
                    debug!(session = self.session, "lane joined");
                    self.lane(channel);
                }
                // The session that it would join is gone, or about to be: a lost connection like
                // any other.
                Err(Error::Aborted { peer, .. }) => self.link.fail(Error::Lost {
                    peer,
                    source: std::io::ErrorKind::ConnectionReset.into(),
                }),
                Err(error) => self.link.fail(error),
            };
            let announce = move || self.announce(&steps);
            let spawn_lane = |_| self.link.spawn(scope, Worker::Lane, lane);
            let spawned = (self.link.spawn(scope, Worker::Writer, write))
                .and_then(|()| self.link.spawn(scope, Worker::Walk, walk))
                .and_then(|()| self.link.spawn(scope, Worker::Announcer, announce))
                .and_then(|()| (0..lanes).try_for_each(spawn_lane));
            if let Err(error) = spawned {
                self.link.fail(error);
            }
            let summary = self.link.listen(&mut reader, |reader| self.listen(reader));
            self.link.close_all();
            summary.flatten()
        });
        self.link.result()?;
        summary.ok_or_else(|| Error::protocol(self.link.peer, "an end without a summary"))
    }

    /// Handles what the receiver says, to its end.
    fn listen(&self, reader: &mut Reader) -> Option<Summary> {
        let mut buffer = Vec::new();
        let mut decider = SurplusDecider::new(self.roots);
        let mut summary = None;
        let ended = loop {
            // Only a whole message is a sign of life.
            reader.set_deadline(Some(Instant::now() + SILENCE));
            match read_frame(reader, &mut buffer) {
                Ok(Frame::Message(message)) => match self.hear(message, &mut decider) {
                    Ok(None) => {}
                    Ok(Some(end)) => {
                        summary = Some(end);
                        break Ok(());
                    }
                    Err(error) => break Err(error),
                },
                Ok(Frame::Chunk(_)) => {
                    break Err(self.broken("a chunk from the receiver"));
                }
                Err(error) => break Err(self.link.wire_error(error)),
            }
        };
        match ended {
            Ok(()) => {
                self.link.outbox.close();
                self.link.complete();
            }
            Err(error) => self.link.fail(error),
        }
        // What still comes says nothing any more; the peer's end says that it has heard ours.
        reader.set_deadline(Some(Instant::now() + SILENCE));
        let _ = reader.drain();
        self.link.heard_end();
        summary
    }

    /// Handles a message; gives the summary when it was that.
    fn hear(&self, message: Message, decider: &mut SurplusDecider) -> Result<Option<Summary>> {
        checkpoint(Worker::Control);
        match message {
            Message::Wants(wants) => self.wants(wants.0)?,
            Message::Held(held) => self.held(held)?,
            Message::Outcomes(outcomes) => self.outcomes(outcomes.0)?,
            Message::Verified(verified) => self.verified(&verified),
            Message::Removed(removed) if self.wish.mirror => {
                for path in &removed.0 {
                    let session = self.session;
                    self.progress.event(&Event::Removed { session, path });
                }
            }
            Message::FolderFailed(failed) => self.folder_failed(failed),
            Message::MayRemove(surplus) if self.may_be_asked() => {
                // Nothing else is to be heard while the receiver waits for it.
                let answers = decider.decide(&surplus.0);
                self.link
                    .outbox
                    .push(Message::Decisions(wire::Decisions(answers)));
            }
            Message::Ping(()) => {}
            Message::Summary(summary) => return self.summary(summary).map(Some),
            other => {
                return Err(aborted(self.link.peer, other).unwrap_or_else(|other| {
                    self.broken(format!("a message {} out of turn", other.name()))
                }));
            }
        }
        Ok(None)
    }

    /// Whether the receiver may be about to remove what is not here.
    fn may_be_asked(&self) -> bool {
        self.wish.mirror && self.walked.load(Ordering::Acquire)
    }

    /// Takes the summary, which must come at the end, and count every entry. What has failed may
    /// only become more: a folder that was there, and whose time or mode could not be set.
    fn summary(&self, summary: Summary) -> Result<Summary> {
        let entries = self.announced.load(Ordering::Acquire);
        let unannounced = self.unannounced.load(Ordering::Acquire);
        let all = entries + unannounced;
        let failed = unannounced + self.stored().failed;
        let counted = [summary.stored, summary.have, summary.failed, summary.kept];
        let counted = counted.iter().try_fold(0u64, |sum, &n| sum.checked_add(n));
        let parts = [
            summary.files,
            summary.have_files,
            summary.renamed,
            summary.replaced,
        ];
        let adds_up = counted == Some(all)
            && summary.failed >= failed
            && parts.iter().all(|&part| part <= all);
        if self.end_said.load(Ordering::Acquire) && adds_up {
            Ok(summary)
        } else {
            Err(self.broken("a summary that does not add up"))
        }
    }

    pub(super) fn broken(&self, what: impl fmt::Display) -> Error {
        Error::protocol(self.link.peer, what)
    }

    /// Everything has been announced: `count` entries.
    pub(super) fn announced(&self, count: u64) {
        self.announced.store(count, Ordering::Release);
        self.all_announced.store(true, Ordering::Release);
        self.end_if_done();
    }

    /// Lets the lanes end once every entry has its outcome.
    pub(super) fn end_if_done(&self) {
        if self.all_announced.load(Ordering::Acquire) && self.items().is_empty() {
            self.queue.close();
        }
    }

    /// A lane has ended in order. After the last one there is nothing more to say.
    pub(super) fn lane_ended(&self) {
        if self.lanes.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.end_said.store(true, Ordering::Release);
            self.link.outbox.push(Message::End(End {
                entries: self.announced.load(Ordering::Acquire),
                unannounced: self.unannounced.load(Ordering::Acquire),
            }));
        }
    }
}

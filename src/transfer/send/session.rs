//! A sending session, from connecting to its summary: its offer, its workers, its end.
//!
//! Must not know of sessions before it but what they have done: trying again is `retry`'s.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tracing::debug;

use crate::model::digest::CHUNK_SIZE;
use crate::model::error::{Error, Result};
use crate::model::outcome::{Role, Summary, Wish};
use crate::model::progress::{Counters, Event, Progress, Trust};
use crate::net::{Channel, FIRST_WORDS, Pace, join, offer};
use crate::source::{self, Roots, WalkedFolders};
use crate::sys::worker::Worker;
use crate::wire::{Accept, Contents, Features, Offer};

use super::super::cancel::Cancel;
use super::super::dial::{Connector, Dialed};
use super::super::link::{Ailment, Link, SILENCE, Stop};
use super::super::message_order::SendingEvent;
use super::super::next_session;
use super::super::options::SendOptions;
use super::super::outbox::PING_INTERVAL;
use super::announce::{self, EntryAnnouncer};
use super::attempt::Attempts;
use super::control::Control;
use super::entries::{Credits, UnsettledEntries};
use super::lane::{self, Lanes};
use super::order::SharedOrder;
use super::queue::Queue;
use super::removal::RemovalConsent;
use super::report::SessionReport;
use super::stream::StreamInput;

/// How long the receiver's user has to decide about an offer.
const DECIDING: Duration = Duration::from_secs(900);

/// What all sessions of one `send` have in common.
pub(super) struct Sessions<'a> {
    pub(super) connector: Connector<'a>,
    pub(super) roots: Roots,
    pub(super) options: &'a SendOptions,
    pub(super) pace: Option<Arc<Pace>>,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) cancel: &'a Cancel,
}

/// How a session ended.
pub(super) struct Ending {
    pub(super) session: u64,
    /// Whether the receiver took its offer.
    pub(super) began: bool,
    /// How many bytes of files were sent.
    pub(super) moved: u64,
    /// What was stored, and what failed, by the outcomes that arrived.
    pub(super) stored: Summary,
    /// What the next one is better off with.
    pub(super) ailment: Ailment,
    /// The summary of this and all sessions before it.
    pub(super) result: Result<Summary>,
}

/// What workers of a session wait on. They are woken when it is over.
struct WaitPoints {
    queue: Queue,
    credits: Credits,
    input: Option<StreamInput>,
}

impl Stop for WaitPoints {
    fn stop(&self) {
        self.queue.close();
        self.credits.stop();
        if let Some(input) = &self.input {
            input.stop();
        }
    }
}

/// What was agreed on.
struct Agreed<'a> {
    session: u64,
    /// What the receiver is called.
    peer: &'a str,
    channel: Channel,
    /// Where lanes are to go.
    addr: SocketAddr,
    offer: Offer,
    accept: Accept,
}

impl Sessions<'_> {
    /// One session of so many lanes, to its end. Its summary is given with what was done `before`
    /// it.
    pub(super) fn run(&self, before: &Summary, lanes: u16) -> Ending {
        let mut ending = Ending {
            session: next_session(),
            began: false,
            moved: 0,
            stored: Summary::default(),
            ailment: Ailment::default(),
            result: Ok(Summary::default()),
        };
        ending.result = self.offer_and_transfer(before, lanes, &mut ending);
        ending
    }

    fn offer_and_transfer(
        &self,
        before: &Summary,
        lanes: u16,
        ending: &mut Ending,
    ) -> Result<Summary> {
        let session = ending.session;
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
            self.progress.event(&Event::Waiting { peer });
        }
        let stream = self.options.stream.as_ref();
        let (offer, accept) = offer(&mut channel, &greeted, time, |suiting| Offer {
            algorithm: self.options.algorithm.unwrap_or(suiting),
            chunk_size: CHUNK_SIZE,
            // The chunks of a stream travel in order.
            lanes: stream.map_or(lanes, |_| 1),
            wish: self.options.wish,
            contents,
        })?;
        ending.began = true;
        debug!(
            session,
            peer = %channel.peer,
            lanes = accept.lanes,
            window = accept.window,
            algorithm = ?offer.algorithm,
            wish = ?offer.wish,
            conflict = ?accept.conflict,
            "session begins, as sender"
        );
        let wait_points = Arc::new(WaitPoints {
            queue: Queue::default(),
            credits: Credits::new(accept.window),
            input: stream.map(StreamInput::new).transpose()?,
        });
        let link = Arc::new(Link::new(&channel));
        let stop: Arc<dyn Stop> = wait_points.clone();
        link.stop_with(Arc::downgrade(&stop));
        let cancelled = link.clone();
        let _cancel = (self.cancel).on_cancel(move || cancelled.fail(Error::Cancelled));
        drop(until_it_runs);
        self.progress.event(&Event::Started {
            session,
            role: Role::Sender,
            peer,
            wish: offer.wish,
            conflict: accept.conflict,
            dir: None,
            counters: &counters,
        });
        let agreed = Agreed {
            session,
            peer: &peer.name,
            channel,
            addr,
            offer,
            accept,
        };
        let result = self.transfer(agreed, &link, &wait_points, &counters, ending);
        let result = result.map_err(|error| match &wait_points.input {
            Some(input) if input.was_used() && !matches!(error, Error::Cancelled) => Error::Spent {
                source: Box::new(error),
            },
            _ => error,
        });
        match &result {
            Ok(summary) => self.progress.event(&Event::Finished {
                session,
                summary,
                all: &all_sessions(before, summary),
            }),
            Err(error) => self.progress.event(&Event::Failed { session, error }),
        }
        result.map(|summary| all_sessions(before, &summary))
    }

    /// Starts the workers, and waits for their end.
    fn transfer(
        &self,
        agreed: Agreed<'_>,
        link: &Arc<Link>,
        wait_points: &WaitPoints,
        counters: &Arc<Counters>,
        ending: &mut Ending,
    ) -> Result<Summary> {
        let Agreed {
            session,
            peer,
            channel,
            addr,
            offer,
            accept,
        } = agreed;
        let Channel {
            mut reader,
            mut writer,
            fingerprint,
            ..
        } = channel;
        let WaitPoints {
            queue,
            credits,
            input,
        } = wait_points;
        let (roots, input) = (&self.roots, input.as_ref());
        // How many it would like is this side's decision; the receiver may only allow fewer.
        let lane_count = accept.lanes.min(offer.lanes);
        let entries = &UnsettledEntries::default();
        let moved = &AtomicU64::new(0);
        let walked = &WalkedFolders::default();
        // How many of them are connected, or may yet be.
        let hoped_for = &AtomicU16::new(lane_count);
        let order = &SharedOrder::new(offer.wish, lane_count, queue, link);
        let report = SessionReport::new(session, offer.wish, &**self.progress, counters);
        // A peer that stops reading must not hold its session up for ever.
        let _ = writer.set_timeout(Some(SILENCE));
        for path in roots.left_out() {
            let path = path.to_path_buf();
            let error = &Error::Own { path };
            self.progress.event(&Event::Warning { session, error });
        }
        let (to_announce, steps) = announce::steps();
        let announcer = EntryAnnouncer {
            link,
            entries,
            credits,
            order,
            report,
        };
        let lanes = Lanes {
            roots,
            queue,
            attempts: Attempts {
                entries,
                outbox: &link.outbox,
            },
            input,
            moved,
            counters,
            algorithm: offer.algorithm,
            compress: self.options.compress,
        };
        let control = Control {
            link,
            order,
            entries,
            credits,
            queue,
            input,
            moved,
            roots,
            walked,
            removal: RemovalConsent {
                max_delete: self.options.max_delete,
                prompt: &**self.connector.prompt,
                peer,
                dry_run: offer.wish.dry_run,
            },
            algorithm: offer.algorithm,
            report,
        };
        let look = || {
            link.look();
            None
        };
        let write = || link.write(&mut writer, PING_INTERVAL, look);
        let walk = move || match &self.options.stream {
            Some(stream) => announce::walk_stream(&stream.path, counters, &to_announce),
            None => announce::walk(roots, walked, counters, &to_announce),
        };
        let announce = move || announcer.run(&steps);
        let run_lane = move |number| {
            let Connector { tls, packets, .. } = &self.connector;
            let tries = |connection| link.dials(number, connection);
            let connected = lane::connect(tls, addr, fingerprint, packets, tries);
            link.dialed(number);
            let connected = match connected {
                Err(error) => {
                    if leads_nowhere(&error) {
                        link.no_lane();
                    }
                    let others = hoped_for.fetch_sub(1, Ordering::AcqRel) - 1;
                    let can_do_without = others > 0 || !link.has_work_for_lanes();
                    if is_of_the_connection(&error) && can_do_without && !link.is_over() {
                        debug!(session, others, "one lane fewer: {error}");
                        return order.on(SendingEvent::LaneEnded);
                    }
                    Err(error)
                }
                connected => connected,
            };
            let joined = connected.and_then(|mut channel| {
                link.add_lane(channel.closer.clone());
                // From here on the receiver counts on it.
                let joined = join(&mut channel, accept.secret);
                if joined.as_ref().is_err_and(leads_nowhere) {
                    link.no_lane();
                }
                joined.map(|()| channel)
            });
            let ended = joined.map_err(gone).and_then(|mut channel| {
                channel.carry(counters.clone());
                channel.keep_to(self.pace.clone());
                debug!(session, "lane joined");
                lanes.run(channel)
            });
            match ended {
                Ok(()) => {
                    debug!(session, "lane ended");
                    order.on(SendingEvent::LaneEnded);
                }
                Err(error) => link.fail(error),
            }
        };
        let summary = thread::scope(|scope| {
            let spawned = (link.spawn(scope, Worker::Writer, write))
                .and_then(|()| link.spawn(scope, Worker::Walk, walk))
                .and_then(|()| link.spawn(scope, Worker::Announcer, announce))
                .and_then(|()| {
                    let run = |number| move || run_lane(number);
                    (0..lane_count).try_for_each(|n| link.spawn(scope, Worker::Lane, run(n)))
                });
            if let Err(error) = spawned {
                link.fail(error);
            }
            let summary = link.listen(&mut reader, |reader| control.listen(reader));
            link.close_all();
            summary.flatten()
        });
        ending.moved = moved.load(Ordering::Relaxed);
        ending.stored = entries.stored();
        ending.ailment = link.ailment();
        link.result()?;
        summary.ok_or_else(|| Error::protocol(link.peer, "an end without a summary"))
    }

    /// What a receiver's user is told before they decide.
    fn contents(&self) -> Contents {
        if let Some(stream) = &self.options.stream {
            return Contents {
                files: 1,
                bytes: Contents::UNKNOWN,
                named: 1,
                first: source::outermost(&stream.path),
            };
        }
        let (files, bytes) = source::count(&self.roots);
        let (named, first) = self.roots.names();
        Contents {
            files,
            bytes,
            named,
            first,
        }
    }
}

/// Whether a lane could not join because nothing came of it, where a control connection is.
fn leads_nowhere(error: &Error) -> bool {
    match error {
        Error::Connect { source, .. } => source.kind() == std::io::ErrorKind::TimedOut,
        Error::Silent { .. } | Error::Mute { .. } => true,
        _ => false,
    }
}

/// Whether a lane could not be connected for what may be true of that connection alone.
fn is_of_the_connection(error: &Error) -> bool {
    matches!(
        error,
        Error::Connect { .. } | Error::Lost { .. } | Error::Silent { .. } | Error::Mute { .. }
    )
}

/// Why a lane could not join: the session that it would join is gone, or about to be, which is a
/// lost connection like any other.
fn gone(error: Error) -> Error {
    match error {
        Error::Aborted { peer, .. } => Error::Lost {
            peer,
            source: std::io::ErrorKind::ConnectionReset.into(),
        },
        error => error,
    }
}

/// The last session's summary, with what earlier ones stored counted as stored: the last one
/// found it there.
fn all_sessions(before: &Summary, last: &Summary) -> Summary {
    Summary {
        // What failed before was tried again.
        failed: last.failed,
        have: last.have.saturating_sub(before.stored),
        have_files: last.have_files.saturating_sub(before.files),
        have_bytes: last.have_bytes.saturating_sub(before.bytes),
        ..last.plus(before)
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

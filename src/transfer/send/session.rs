//! A sending session, from what both sides agreed on to its summary: its workers, its end.
//!
//! Must not know who dialed, nor of sessions before it but what they have done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::model::outcome::{Role, Summary};
use crate::model::progress::{Counters, Event, Peer, Progress};
use crate::model::prompt::Prompt;
use crate::model::surplus::MaxDelete;
use crate::net::{Channel, Pace};
use crate::source::{Roots, WalkedFolders};
use crate::sys::worker::Worker;
use crate::wire::{Accept, Offer};

use super::super::cancel::{Cancel, OnCancel};
use super::super::lane_source::{ArrivingLanes, LaneSource};
use super::super::link::{Link, SILENCE, Stop};
use super::super::message_order::SendingEvent;
use super::super::options::{Compress, Stream};
use super::super::outbox::PING_INTERVAL;
use super::super::retry::{Ending, all_sessions};
use super::announce::{self, EntryAnnouncer};
use super::attempt::Attempts;
use super::control::Control;
use super::entries::{Credits, UnsettledEntries};
use super::lane::Lanes;
use super::order::SharedOrder;
use super::queue::Queue;
use super::removal::RemovalConsent;
use super::report::SessionReport;
use super::stream::StreamInput;

/// What is sent, and how; the same for all sessions that send it.
pub(in super::super) struct SendTerms<'a> {
    pub(in super::super) roots: &'a Roots,
    /// A stream to send instead.
    pub(in super::super) stream: Option<&'a Stream>,
    pub(in super::super) compress: Compress,
    pub(in super::super) max_delete: Option<MaxDelete>,
    /// Asked how much a mirror may delete.
    pub(in super::super) prompt: &'a dyn Prompt,
    /// How fast all lanes together may send.
    pub(in super::super) pace: Option<Arc<Pace>>,
    pub(in super::super) progress: &'a dyn Progress,
    pub(in super::super) cancel: &'a Cancel,
}

/// A session that both sides agreed on.
pub(in super::super) struct AgreedSession<'a> {
    pub(in super::super) peer: &'a Peer,
    pub(in super::super) link: Arc<Link>,
    pub(in super::super) channel: Channel,
    pub(in super::super) lanes: LaneSource<'a>,
    pub(in super::super) offer: Offer,
    pub(in super::super) accept: Accept,
    pub(in super::super) counters: Arc<Counters>,
    /// What ends the channel as long as the session does not run.
    pub(in super::super) until_it_runs: Option<OnCancel>,
}

/// What workers of a session wait on. They are woken when it is over.
struct WaitPoints {
    queue: Queue,
    credits: Credits,
    input: Option<StreamInput>,
    arriving: Option<Arc<ArrivingLanes>>,
}

impl Stop for WaitPoints {
    fn stop(&self) {
        self.queue.close();
        self.credits.stop();
        if let Some(input) = &self.input {
            input.stop();
        }
        if let Some(lanes) = &self.arriving {
            lanes.stop();
        }
    }
}

impl SendTerms<'_> {
    /// Runs a session, to its end. Its summary is given with what was done `before` it.
    pub(in super::super) fn run(
        &self,
        mut agreed: AgreedSession<'_>,
        before: &Summary,
        ending: &mut Ending,
    ) -> Result<Summary> {
        ending.began = true;
        let session = ending.session;
        let (peer, offer, accept) = (agreed.peer, &agreed.offer, &agreed.accept);
        debug!(
            session,
            peer = %agreed.channel.peer,
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
            input: self.stream.map(StreamInput::new).transpose()?,
            arriving: match &agreed.lanes {
                LaneSource::Arriving(lanes) => Some(lanes.clone()),
                LaneSource::Dialed(_) => None,
            },
        });
        let stop: Arc<dyn Stop> = wait_points.clone();
        agreed.link.stop_with(Arc::downgrade(&stop));
        let cancelled = agreed.link.clone();
        let _cancel = (self.cancel).on_cancel(move || cancelled.fail(Error::Cancelled));
        drop(agreed.until_it_runs.take());
        self.progress.event(&Event::Started {
            session,
            role: Role::Sender,
            dialed: matches!(agreed.lanes, LaneSource::Dialed(_)),
            peer,
            wish: offer.wish,
            conflict: accept.conflict,
            dir: None,
            counters: &agreed.counters,
        });
        let result = self.transfer(agreed, &wait_points, ending);
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
        agreed: AgreedSession<'_>,
        wait_points: &WaitPoints,
        ending: &mut Ending,
    ) -> Result<Summary> {
        let AgreedSession {
            peer,
            link,
            channel,
            lanes: source,
            offer,
            accept,
            counters,
            ..
        } = agreed;
        let (session, link, counters, source) = (ending.session, &link, &counters, &source);
        let Channel {
            mut reader,
            mut writer,
            ..
        } = channel;
        let WaitPoints {
            queue,
            credits,
            input,
            ..
        } = wait_points;
        let (roots, input) = (self.roots, input.as_ref());
        let lane_count = accept.lanes.min(offer.lanes);
        let entries = &UnsettledEntries::default();
        let moved = &AtomicU64::new(0);
        let walked = &WalkedFolders::default();
        let order = &SharedOrder::new(offer.wish, lane_count, (queue, source), link);
        let report = SessionReport::new(session, offer.wish, self.progress, counters);
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
            compress: self.compress,
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
                max_delete: self.max_delete,
                prompt: self.prompt,
                peer: &peer.name,
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
        let walk = move || match self.stream {
            Some(stream) => announce::walk_stream(&stream.path, counters, &to_announce),
            None => announce::walk(roots, walked, counters, &to_announce),
        };
        let announce = move || announcer.run(&steps);
        let run_lane = move |number| {
            let lane = source.lane(number, link);
            let ended = lane.and_then(|lane| {
                let Some(mut lane) = lane else {
                    return Ok(());
                };
                lane.channel.carry(counters.clone());
                lane.channel.keep_to(self.pace.clone());
                debug!(session, "lane joined");
                lanes.run(&mut lane)
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
}

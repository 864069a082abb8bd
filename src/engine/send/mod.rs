//! The sending engine: connects, offers, announces, answers what is wanted, and tries again when
//! the connection is lost.
//!
//! Must not decide what is stored: the receiver does.

mod announce;
mod dial;
mod file;
mod lane;
mod pack;
mod queue;
mod stream;

pub use dial::pair;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::digest::{Algorithm, CHUNK_SIZE, chunk_count};
use crate::entry::{Entry, EntryId, Kind};
use crate::error::{Error, Result};
use crate::manifest::Roots;
use crate::outcome::{Decline, Outcome, Summary, Wish};
use crate::progress::{Counters, Event, Progress};
use crate::prompt::Prompt;
use crate::relpath::RelPath;
use crate::secure::{Channel, Pace, Reader, Tls};
use crate::session::{FIRST_WORDS, Link, PING_INTERVAL, SILENCE, Stop, offer};
use crate::text::Text;
use crate::wire::{
    Accept, Contents, End, EntryOutcome, Frame, Held, Message, Offer, Verified, Want, read_frame,
};

use super::cancel::Cancel;
use super::options::{Compress, Device, SendOptions, Stream};
use super::{next_session, spawn};

use announce::{Credits, SharedCounters};
use dial::{Dialed, Dialer};
use file::{Announced, SendFile};
use queue::{Job, Queue};
use stream::Input;

/// How many bytes of files a session must have sent to count as one that got on: more than can
/// be on the way.
const MOVED: u64 = 16 << 20;
/// How long the receiver's user has to decide about an offer.
const DECIDING: Duration = Duration::from_secs(900);
/// How long the sender waits before it tries again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

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
    let roots = Roots::new(&options.paths, &options.filter)?;
    let sender = Sender {
        dialer: Dialer {
            tls: Tls::new(&device.identity)?,
            peers: &device.peers,
            prompt,
            progress,
            cancel,
        },
        roots,
        options,
        pace: options.limit.map(|limit| Arc::new(Pace::new(limit))),
        progress,
        cancel,
    };
    let mut before = Summary::default();
    let mut lost: Option<Instant> = None;
    let mut wait = BACKOFF.0;
    let mut worked = false;
    loop {
        let session = next_session();
        let mut tally = Tally::default();
        let error = match sender.session(session, &mut tally) {
            Ok(summary) => return Ok(all_sessions(&before, summary)),
            Err(error) => error,
        };
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if tally.summary.stored > 0 || tally.moved > MOVED {
            lost = None;
            wait = BACKOFF.0;
        }
        if !options.wish.dry_run {
            before = before.plus(&tally.summary);
        }
        // Only what worked once is tried again: a wrong address is said at once.
        worked |= tally.began;
        let again = error.is_lost_connection() || is_unreachable(&error);
        let since = *lost.get_or_insert_with(Instant::now);
        if !worked || !again || since.elapsed() + wait > options.retry {
            return Err(error);
        }
        progress.event(&Event::Retrying {
            session,
            error: &error,
            wait,
        });
        if cancel.wait(wait) {
            return Err(Error::Cancelled);
        }
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// Whether the receiver may just be about to come back.
fn is_unreachable(error: &Error) -> bool {
    matches!(
        error,
        Error::Connect { .. }
            | Error::Resolve { .. }
            | Error::NotXfer { .. }
            | Error::Declined {
                reason: Decline::Busy,
                ..
            }
    )
}

/// The last session's summary, with what earlier ones stored counted as stored: the last one
/// found it there.
fn all_sessions(before: &Summary, last: Summary) -> Summary {
    let mut all = last;
    all.stored += before.stored;
    all.files += before.files;
    all.bytes += before.bytes;
    all.held_bytes = last.held_bytes;
    all.renamed += before.renamed;
    all.replaced += before.replaced;
    all.have = last.have.saturating_sub(before.stored);
    all.have_files = last.have_files.saturating_sub(before.files);
    all.have_bytes = last.have_bytes.saturating_sub(before.bytes);
    all
}

/// What is known of a session from outside it.
#[derive(Debug, Default)]
struct Tally {
    began: bool,
    moved: u64,
    summary: Summary,
}

struct Sender<'a> {
    dialer: Dialer<'a>,
    roots: Roots,
    options: &'a SendOptions,
    pace: Option<Arc<Pace>>,
    progress: &'a Arc<dyn Progress>,
    cancel: &'a Cancel,
}

impl Sender<'_> {
    /// One session, from connecting to its summary.
    fn session(&self, session: u64, tally: &mut Tally) -> Result<Summary> {
        let SendOptions {
            to,
            name,
            open,
            stream,
            ..
        } = self.options;
        let stream = stream.as_ref();
        let Dialed {
            mut channel,
            addr,
            greeted,
            cancel: until_it_runs,
        } = self.dialer.dial(to, name, *open)?;
        let peer = &greeted.peer;
        let counters = Arc::new(Counters::default());
        channel.carry(counters.clone());
        let mut time = FIRST_WORDS;
        let mut contents = None;
        if greeted.asks {
            contents = Some(self.contents());
            time = DECIDING;
            self.progress.event(&Event::Waiting { peer });
        }
        let (offer, accept) = offer(&mut channel, &greeted, time, |suiting| Offer {
            algorithm: self.options.algorithm.unwrap_or(suiting),
            chunk_size: CHUNK_SIZE,
            // The chunks of a stream travel in order.
            lanes: stream.map_or(self.options.lanes, |_| 1),
            wish: self.options.wish,
            contents,
        })?;
        tally.began = true;
        let sending = Sending {
            session,
            link: Arc::new(Link::new(channel.peer, channel.closer.clone())),
            compress: self.options.compress,
            algorithm: offer.algorithm,
            wish: offer.wish,
            roots: &self.roots,
            stream,
            pace: self.pace.clone(),
            progress: self.progress,
            counters: &counters,
            stopper: Arc::new(Stopper {
                queue: Queue::default(),
                credits: Credits::new(accept.window),
                input: stream.map(Input::new).transpose()?,
            }),
            items: Mutex::default(),
            all_announced: AtomicBool::new(false),
            announced: AtomicU64::new(0),
            unannounced: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            end_said: AtomicBool::new(false),
            wanted_lanes: offer.lanes,
            lanes: AtomicU16::new(0),
            stored: Mutex::default(),
        };
        let stop: Arc<dyn Stop> = sending.stopper.clone();
        sending.link.stop_with(Arc::downgrade(&stop));
        let link = sending.link.clone();
        let _cancel = self.cancel.on_cancel(move || link.fail(Error::Cancelled));
        drop(until_it_runs);
        self.progress.event(&Event::Started {
            session,
            role: crate::outcome::Role::Sender,
            peer,
            wish: offer.wish,
            conflict: accept.conflict,
            counters: &counters,
        });
        let result = sending.run(channel, addr, &accept, &self.dialer.tls);
        tally.moved = sending.moved.load(Ordering::Relaxed);
        tally.summary = *sending.stored();
        let result = result.map_err(|error| match &sending.input {
            Some(input) if input.was_used() && !matches!(error, Error::Cancelled) => Error::Spent {
                source: Box::new(error),
            },
            _ => error,
        });
        match &result {
            Ok(summary) => self.progress.event(&Event::Finished { session, summary }),
            Err(error) => self.progress.event(&Event::Failed { session, error }),
        }
        result
    }
}

impl Sender<'_> {
    /// What a receiver's user is told before they decide.
    fn contents(&self) -> Contents {
        if let Some(stream) = &self.options.stream {
            return Contents {
                files: 1,
                bytes: Contents::UNKNOWN,
                named: 1,
                first: Text::new(stream.name.as_path().to_string_lossy()),
            };
        }
        let (files, bytes) = self.roots.count();
        let (named, first) = self.roots.names();
        Contents {
            files,
            bytes,
            named,
            first,
        }
    }
}

/// What others wait on in a sending session.
struct Stopper {
    queue: Queue,
    credits: Credits,
    input: Option<Input>,
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
struct Sending<'a> {
    session: u64,
    link: Arc<Link>,
    compress: Compress,
    algorithm: Algorithm,
    wish: Wish,
    roots: &'a Roots,
    /// What is sent instead of what is below the roots.
    stream: Option<&'a Stream>,
    pace: Option<Arc<Pace>>,
    progress: &'a Arc<dyn Progress>,
    counters: &'a SharedCounters,
    stopper: Arc<Stopper>,
    /// The entries that have been announced and have no outcome.
    items: Mutex<HashMap<EntryId, Item>>,
    all_announced: AtomicBool,
    announced: AtomicU64,
    unannounced: AtomicU64,
    /// Bytes of files that were sent.
    moved: AtomicU64,
    /// Whether the last message has been said.
    end_said: AtomicBool,
    /// How many lanes were asked for.
    wanted_lanes: u16,
    /// How many lanes are at work.
    lanes: AtomicU16,
    /// What has been stored, and what has failed, by the outcomes that arrived.
    stored: Mutex<Summary>,
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

/// An entry that has no outcome.
#[derive(Debug)]
struct Item {
    path: RelPath,
    is_file: bool,
    is_stream: bool,
    announced: Announced,
    attempt: u32,
    file: Option<Arc<SendFile>>,
    /// Whether it was said to begin, so that it must be said to end.
    shown: bool,
    /// How many of its bytes count as done.
    counted: u64,
    /// How many of its chunks the receiver has said whether it holds.
    held_until: u64,
}

impl Item {
    fn of(entry: &Entry) -> Self {
        Self {
            path: entry.path.clone(),
            is_file: matches!(entry.kind, Kind::File { .. } | Kind::Stream),
            is_stream: matches!(entry.kind, Kind::Stream),
            announced: Announced {
                size: entry.size(),
                mtime: entry.mtime,
            },
            attempt: 0,
            file: None,
            shown: false,
            counted: 0,
            held_until: 0,
        }
    }

    fn start_anew(&mut self, attempt: u32, announced: Announced) {
        self.attempt = attempt;
        self.announced = announced;
        self.held_until = 0;
    }

    /// Counts `bytes` of it as done, and says how many of them had not been.
    fn count(&mut self, bytes: u64) -> u64 {
        let more = bytes.saturating_sub(self.counted);
        self.counted += more;
        more
    }
}

impl Sending<'_> {
    fn items(&self) -> MutexGuard<'_, HashMap<EntryId, Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self) -> MutexGuard<'_, Summary> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(
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
            let spawned = spawn(scope, "writer", write)
                .and_then(|()| spawn(scope, "walk", walk))
                .and_then(|()| spawn(scope, "announcer", move || self.announce(&steps)))
                .and_then(|()| (0..lanes).try_for_each(|_| spawn(scope, "lane", lane)));
            if let Err(error) = spawned {
                self.link.fail(error);
            }
            let summary = self.listen(&mut reader);
            self.link.close_all();
            summary
        });
        self.link.result()?;
        summary.ok_or_else(|| Error::protocol(self.link.peer, "an end without a summary"))
    }

    /// Handles what the receiver says, to its end.
    fn listen(&self, reader: &mut Reader) -> Option<Summary> {
        let mut buffer = Vec::new();
        let mut summary = None;
        let ended = loop {
            // Only a whole message is a sign of life.
            reader.set_deadline(Some(Instant::now() + SILENCE));
            match read_frame(reader, &mut buffer) {
                Ok(Frame::Message(message)) => match self.hear(message) {
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
    fn hear(&self, message: Message) -> Result<Option<Summary>> {
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
            Message::Ping(()) => {}
            Message::Summary(summary) => return self.summary(summary).map(Some),
            Message::Abort(why) => {
                return Err(Error::Aborted {
                    peer: self.link.peer,
                    why: why.to_string(),
                });
            }
            other => return Err(self.broken(format!("a message {} out of turn", other.name()))),
        }
        Ok(None)
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
        let adds_up = counted == Some(all) && summary.failed >= failed;
        if self.end_said.load(Ordering::Acquire) && adds_up {
            Ok(summary)
        } else {
            Err(self.broken("a summary that does not add up"))
        }
    }

    fn broken(&self, what: impl fmt::Display) -> Error {
        Error::protocol(self.link.peer, what)
    }

    /// Has files sent that the receiver wants.
    fn wants(&self, wants: Vec<Want>) -> Result<()> {
        if self.wish.dry_run {
            return Err(self.broken("a want in a dry run"));
        }
        let mut jobs = Vec::with_capacity(wants.len());
        let mut large = Vec::new();
        let mut items = self.items();
        for want in wants {
            let Some(file) = self.want(&mut items, want)? else {
                continue;
            };
            if !file.is_small() {
                large.push(file.clone());
            }
            if !want.held {
                let chunks = chunk_count(file.announced.size);
                jobs.extend(Job::new(file, 0, chunks, Vec::new()));
            }
        }
        drop(items);
        for file in large {
            self.progress.event(&Event::FileStarted {
                session: self.session,
                entry: file.entry,
                path: &file.path,
                size: file.announced.size,
                verified: &file.verified,
            });
        }
        self.queue.push(jobs);
        Ok(())
    }

    /// A file that the receiver wants; none where it has started anew since.
    fn want(
        &self,
        items: &mut HashMap<EntryId, Item>,
        want: Want,
    ) -> Result<Option<Arc<SendFile>>> {
        let item = items
            .get_mut(&want.entry)
            .filter(|item| item.is_file)
            .ok_or_else(|| self.broken("a want for what was not offered"))?;
        if want.attempt > item.attempt {
            return Err(self.broken("a want for an attempt that has not begun"));
        }
        if want.attempt < item.attempt {
            return Ok(None);
        }
        if item
            .file
            .as_ref()
            .is_some_and(|file| file.attempt == want.attempt)
        {
            return Err(self.broken("a second want for a file"));
        }
        let source = match item.is_stream {
            true if want.held => return Err(self.broken("a want for what is held of a stream")),
            true => None,
            false => {
                let source = self.roots.source(&item.path);
                Some(source.ok_or_else(|| self.broken("a want for nothing"))?)
            }
        };
        let file = Arc::new(SendFile::new(
            want.entry,
            want.attempt,
            item.path.clone(),
            item.announced,
            source,
            self.algorithm,
        ));
        item.file = Some(file.clone());
        item.shown |= !file.is_small();
        if !want.held {
            // Nothing more is to be said of what is held.
            item.held_until = chunk_count(file.announced.size);
        }
        Ok(Some(file))
    }

    fn held(&self, held: Held) -> Result<()> {
        let mut items = self.items();
        let Some(item) = items.get_mut(&held.entry) else {
            return Err(self.broken("a list of held chunks of what was not offered"));
        };
        let Some(file) = item.file.clone() else {
            return Err(self.broken("a list of held chunks of what is not wanted"));
        };
        if file.attempt != held.attempt {
            // The file has started anew since.
            return Ok(());
        }
        let chunks = chunk_count(file.announced.size);
        let end = held.first.saturating_add(held.digests.len() as u64);
        if held.first != item.held_until || end > chunks || item.held_until == chunks {
            return Err(self.broken("a list of held chunks out of order"));
        }
        let end = if held.last { chunks } else { end };
        item.held_until = end;
        drop(items);
        self.queue
            .push(Job::new(file, held.first, end, held.digests));
        Ok(())
    }

    fn outcomes(&self, outcomes: Vec<EntryOutcome>) -> Result<()> {
        let n = outcomes.len() as u64;
        let mut items = self.items();
        for EntryOutcome { entry, outcome } in outcomes {
            let Some(mut item) = items.remove(&entry) else {
                return Err(self.broken("an outcome of what was not offered"));
            };
            self.ended(entry, &mut item, &outcome);
        }
        drop(items);
        Counters::add(&self.counters.entries_done, n);
        self.credits.give(n);
        self.end_if_done();
        Ok(())
    }

    fn ended(&self, entry: EntryId, item: &mut Item, outcome: &Outcome) {
        let size = item.announced.size;
        let more = item.count(size);
        Counters::add(&self.counters.bytes_done, more);
        let mut stored = self.stored();
        match outcome {
            Outcome::Stored(other) => {
                stored.stored += 1;
                stored.files += u64::from(item.is_file);
                stored.bytes += size;
                stored.renamed += u64::from(other.is_some());
            }
            Outcome::Replaced => {
                stored.stored += 1;
                stored.files += u64::from(item.is_file);
                stored.bytes += size;
                stored.replaced += 1;
            }
            Outcome::Have(_) | Outcome::Kept => Counters::add(&self.counters.bytes_kept, more),
            Outcome::Failed(_) => stored.failed += 1,
        }
        drop(stored);
        if let Some(file) = &item.file {
            file.end();
        }
        if let Some(input) = self.input.as_ref().filter(|_| item.is_stream) {
            // It may wait for more of what nobody wants any more.
            input.stop();
        }
        if item.shown {
            self.progress.event(&Event::FileEnded {
                session: self.session,
                entry,
            });
        }
        let every = self.wish.dry_run || self.progress.wants_every_entry();
        if !outcome.is_plain() || every {
            self.progress.event(&Event::Entry {
                session: self.session,
                path: item.path.as_path(),
                outcome,
            });
        }
    }

    fn verified(&self, verified: &Verified) {
        let mut items = self.items();
        for file in &verified.0 {
            // It may have ended, or started anew, in the meantime.
            let Some(item) = items.get_mut(&file.entry) else {
                continue;
            };
            let most = match item.is_stream {
                true => self.moved.load(Ordering::Relaxed),
                false => item.announced.size,
            };
            let bytes = file.bytes.min(most);
            Counters::add(&self.counters.bytes_done, item.count(bytes));
            if let Some(file) = &item.file {
                file.verified.store(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Everything has been announced: `count` entries.
    fn announced(&self, count: u64) {
        self.announced.store(count, Ordering::Release);
        self.all_announced.store(true, Ordering::Release);
        self.end_if_done();
    }

    /// Lets the lanes end once every entry has its outcome.
    fn end_if_done(&self) {
        if self.all_announced.load(Ordering::Acquire) && self.items().is_empty() {
            self.queue.close();
        }
    }

    /// A lane has ended in order. After the last one there is nothing more to say.
    fn lane_ended(&self) {
        if self.lanes.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.end_said.store(true, Ordering::Release);
            self.link.outbox.push(Message::End(End {
                entries: self.announced.load(Ordering::Acquire),
                unannounced: self.unannounced.load(Ordering::Acquire),
            }));
        }
    }
}

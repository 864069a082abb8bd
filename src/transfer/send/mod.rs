//! The sending engine: connects, offers, and tries again when the connection is lost.
//!
//! Must not decide what is stored: the receiver does.

mod announce;
mod answers;
mod compress;
mod dial;
mod file;
mod lane;
mod queue;
mod session;
mod stream;

pub use dial::pair;

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::debug;

use super::link::{Link, Stop};
use crate::model::digest::CHUNK_SIZE;
use crate::model::error::{Error, Result};
use crate::model::outcome::{Decline, Role, Summary};
use crate::model::progress::{Counters, Event, Progress};
use crate::model::prompt::Prompt;
use crate::model::text::Text;
use crate::net::{FIRST_WORDS, offer};
use crate::net::{Pace, Tls};
use crate::source::{self, Roots};
use crate::wire::{Contents, Offer};

use super::cancel::Cancel;
use super::next_session;
use super::options::{Device, SendOptions};

use announce::Credits;
use dial::{Dialed, Dialer};
use queue::Queue;
use session::{Sending, Stopper};
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
        let error = match sender.session(session, &before, &mut tally) {
            Ok(all) => return Ok(all),
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
        debug!(
            session,
            worked,
            again,
            moved = tally.moved,
            "session failed: {error}"
        );
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
                reason: Decline::TooManySessions,
                ..
            }
    )
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
    /// One session, from connecting to its summary, which is given with what was done `before` it.
    fn session(&self, session: u64, before: &Summary, tally: &mut Tally) -> Result<Summary> {
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
        let sending = Sending {
            session,
            link: Arc::new(Link::new(&channel)),
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
            walked: AtomicBool::new(false),
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
            role: Role::Sender,
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
            Ok(summary) => self.progress.event(&Event::Finished {
                session,
                summary,
                all: &all_sessions(before, summary),
            }),
            Err(error) => self.progress.event(&Event::Failed { session, error }),
        }
        result.map(|summary| all_sessions(before, &summary))
    }

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

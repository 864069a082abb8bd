//! Somebody fetches what is shared: what they ask for is found, offered, and sent.
//!
//! Must not send anything that is not shared: what a peer names only narrows that.

use std::sync::Arc;
use std::sync::atomic::AtomicU16;

use tracing::debug;

use crate::model::digest::{Algorithm, CHUNK_SIZE};
use crate::model::error::{Error, Result};
use crate::model::outcome::{Ability, Decline, Summary};
use crate::model::progress::{Counters, Peer};
use crate::model::prompt::Prompt;
use crate::model::reason::Unsupported;
use crate::model::relpath::RelPath;
use crate::model::text::Text;
use crate::net::{Channel, FIRST_WORDS, LeastEntries, Pace, SessionSize, broken, offer, turn_away};
use crate::source::{self, FetchFilter, Roots};
use crate::sys::worker::{Worker, caught, checkpoint};
use crate::wire::{Accept, Fetch, Offer, limits};

use super::super::lane_source::LaneSource;
use super::super::link::Link;
use super::super::next_session;
use super::super::options::Compress;
use super::super::retry::Ending;
use super::super::send::{AgreedSession, SendTerms};
use super::super::share::SharedFiles;
use super::registry::{AwaitedSession, RegisteredSession, RunningSession};
use super::served::{FetchSession, ServedSession};
use super::serving::Serving;
use super::shared::LetInSession;

/// The slowest that a peer can ask to be sent to, in bytes per second: slower, its session would
/// only take up a place.
const LEAST_PACE: u64 = 1000;

/// What somebody asks for.
pub(super) struct FetchCall<'a> {
    pub(super) peer: &'a Peer,
    /// The hash that it prefers.
    pub(super) prefers: Algorithm,
    pub(super) fetch: Fetch,
}

/// Asked nothing: what somebody fetches, and what they delete where they are, is theirs to decide.
#[derive(Debug)]
struct Unasked;

impl Prompt for Unasked {}

/// Serves somebody who was let in to fetch, to the end.
pub(super) fn serve(
    serving: &Serving<'_>,
    mut channel: Channel,
    call: FetchCall<'_>,
    files: &SharedFiles,
) -> Result<()> {
    let shared = serving.shared;
    let FetchCall {
        peer,
        prefers,
        fetch,
    } = call;
    let trust = peer.trust;
    if !shared.is_still_let_in(channel.fingerprint, trust, &peer.name, Ability::Fetch) {
        return turn_away(&mut channel, &peer.caller(), Decline::Unknown);
    }
    if fetch.lanes == 0 {
        let what = Unsupported::NoLanes;
        return turn_away(&mut channel, &peer.caller(), Decline::Unsupported(what));
    }
    if !fetch.is_short() {
        return Err(broken(&mut channel, "a Fetch beyond its limits"));
    }
    let holder = shared.holder(&channel, trust);
    let size = SessionSize {
        lanes: fetch.lanes.min(shared.options.lanes).min(limits::MAX_LANES),
        window: (shared.options.window).clamp(*limits::WINDOW.start(), *limits::WINDOW.end()),
    };
    let least = match fetch.wish.mirror {
        true => LeastEntries::Mirror,
        false => LeastEntries::Few,
    };
    let Some(running) = RunningSession::wait(shared, holder, size, least) else {
        // It may be this peer's last session that is in its own way.
        (shared.end_silent(channel.fingerprint))();
        return turn_away(&mut channel, &peer.caller(), Decline::TooManySessions);
    };
    serving.candidate.let_in();
    let until_it_runs = {
        let closer = channel.closer.clone();
        serving.cancel.on_cancel(move || closer.close())
    };
    let is_missing =
        |path: &&RelPath| !serving.cancel.is_cancelled() && !source::has(files.roots(), path);
    let missing = fetch.paths.iter().find(is_missing);
    if let Some(missing) = missing {
        let path = Text::new(missing.as_path().to_string_lossy());
        drop(running);
        return turn_away(&mut channel, &peer.caller(), Decline::NotShared(path));
    }
    let roots = match part(files, &fetch) {
        Ok(roots) => roots,
        Err(error) => return Err(broken(&mut channel, error)),
    };
    let counters = Arc::new(Counters::default());
    channel.carry(counters.clone());
    // Lanes may be here before what they join is.
    let awaited = AwaitedSession::new(shared, channel.fingerprint);
    let (offer, accept) = offer(&mut channel, prefers, FIRST_WORDS, |suiting| Offer {
        algorithm: fetch.algorithm.unwrap_or(suiting),
        chunk_size: CHUNK_SIZE,
        lanes: running.size.lanes,
        wish: fetch.wish,
        contents: None,
    })?;
    let lanes = accept.lanes.min(offer.lanes);
    let window = accept.window.min(running.size.window);
    let session = Arc::new(FetchSession {
        number: next_session(),
        owner: channel.fingerprint,
        link: Arc::new(Link::new(&channel)),
        counters: counters.clone(),
        lanes: Arc::default(),
        left: AtomicU16::new(lanes),
    });
    let one = ServedSession::Sending(session.clone());
    let one = LetInSession::new(one, running.holder, trust, &peer.name);
    let Some(_registered) = RegisteredSession::new(shared, accept.secret, one) else {
        return Err(broken(&mut channel, "a secret that is in use"));
    };
    drop(awaited);
    let terms = SendTerms {
        roots: &roots,
        stream: None,
        compress: Compress::Auto,
        max_delete: None,
        prompt: &Unasked,
        pace: fetch
            .limit
            .map(|limit| Arc::new(Pace::new(limit.max(LEAST_PACE)))),
        progress: &**serving.progress,
        cancel: serving.cancel,
    };
    let mut ending = Ending::of(session.number);
    let is_dry_run = offer.wish.dry_run;
    let run = || {
        checkpoint(Worker::Connection);
        let agreed = AgreedSession {
            peer,
            link: session.link.clone(),
            channel,
            lanes: LaneSource::Arriving(session.lanes.clone()),
            offer,
            accept: Accept {
                lanes,
                window,
                ..accept
            },
            counters,
            until_it_runs: Some(until_it_runs),
        };
        terms.run(agreed, &Summary::default(), &mut ending)
    };
    let ended = caught(Worker::Connection, run).unwrap_or_else(|panicked| Err(panicked.into()));
    // Nobody takes any that is left.
    session.lanes.stop();
    if let Err(error) = &ended {
        debug!(session = session.number, "fetching ended: {error}");
    }
    // What would happen is not what was waited for.
    if !is_dry_run {
        shared.note_first(ended, true);
    }
    Ok(())
}

/// The part of what is shared that somebody asks for.
fn part(files: &SharedFiles, fetch: &Fetch) -> Result<Roots, Error> {
    let lines = fetch.filter.lines.iter();
    let filter = FetchFilter {
        lines: lines.map(|line| line.as_str().to_owned()).collect(),
        gitignore: fetch.filter.gitignore,
        max_size: fetch.filter.max_size,
    };
    files.roots().part(&fetch.paths, &filter)
}

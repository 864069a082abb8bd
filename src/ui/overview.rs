//! `Overview`: what is in motion at the moment, by the engines' counters.
//!
//! Must not draw: it says what there is to show, and the bars or lines show it.

use std::collections::BTreeMap;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use xfer::model::outcome::Role;
use xfer::model::progress::{Counters, Event};
use xfer::net::PeerAddress;

use super::rate::Rate;
use super::safe::safe;
use super::words;

/// How long a session runs before anything is said about the time that is left.
const SETTLE: Duration = Duration::from_secs(2);

/// What is in motion.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    /// Where a connection is being made to.
    pub(crate) connecting: Option<String>,
    /// The sessions, by their number.
    pub(crate) sessions: BTreeMap<u64, SessionView>,
}

/// A session that runs.
#[derive(Debug)]
pub(crate) struct SessionView {
    /// The peer's name, fit for a terminal.
    pub(crate) name: String,
    /// Its larger files that are moving, by their place in the manifest.
    pub(crate) files: BTreeMap<u64, File>,
    role: Role,
    counters: Arc<Counters>,
    rate: Rate,
    started: Instant,
}

/// A file that is moving.
#[derive(Debug)]
pub(crate) struct File {
    /// Its path, fit for a terminal.
    pub(crate) name: String,
    /// Its size, in bytes.
    pub(crate) size: u64,
    verified: Arc<AtomicU64>,
}

impl File {
    /// How many of its bytes are verified.
    pub(crate) fn done(&self) -> u64 {
        self.verified.load(Ordering::Relaxed).min(self.size)
    }
}

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Bytes that are done.
    pub(crate) done: u64,
    /// Bytes that there are, as far as is known.
    pub(crate) total: u64,
    /// Entries that are done.
    pub(crate) items_done: u64,
    /// Entries that there are, as far as is known.
    pub(crate) items_total: u64,
    /// Whether the totals are known.
    pub(crate) scanned: bool,
    /// Bytes that travel in a second.
    pub(crate) rate: u64,
    /// What it is up to.
    pub(crate) phase: Phase,
}

/// What a session is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It moves; so long still, where that can be told.
    Moving(Option<Duration>),
    /// Nothing has moved for a while.
    Stalled,
    /// Every byte is there, and is being brought to disk.
    Finishing,
}

impl Overview {
    /// Takes note of what an event sets in motion or ends.
    pub(crate) fn hear(&mut self, event: &Event<'_>, now: Instant) {
        match event {
            Event::Connecting { addr } => {
                self.connecting = Some(format!("Connecting to {}", PeerAddress::from(*addr)));
            }
            Event::Searching { name } => {
                self.connecting = Some(format!("Looking for {}", safe(name)));
            }
            Event::Waiting { .. }
            | Event::Awaiting { .. }
            | Event::Paired { .. }
            | Event::Shown { .. } => self.connecting = None,
            Event::Started {
                session,
                role,
                peer,
                counters,
                ..
            } => {
                self.connecting = None;
                let session_started = SessionView {
                    name: safe(&peer.name).to_string(),
                    files: BTreeMap::new(),
                    role: *role,
                    counters: Arc::clone(counters),
                    rate: Rate::new(now),
                    started: now,
                };
                self.sessions.insert(*session, session_started);
            }
            Event::FileStarted {
                session,
                entry,
                path,
                size,
                verified,
            } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    let file = File {
                        name: safe(path.as_path()).to_string(),
                        size: *size,
                        verified: Arc::clone(verified),
                    };
                    session.files.insert(*entry, file);
                }
            }
            Event::FileEnded { session, entry } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.files.remove(entry);
                }
            }
            Event::Retrying { session, .. }
            | Event::Finished { session, .. }
            | Event::Failed { session, .. } => {
                self.connecting = None;
                self.sessions.remove(session);
            }
            _ => {}
        }
    }

    /// Reads the counters at this time.
    pub(crate) fn poll(&mut self, now: Instant) {
        for session in self.sessions.values_mut() {
            let c = &session.counters;
            let kept = Counters::get(&c.bytes_kept);
            let travelled = Counters::get(&c.bytes_done).saturating_sub(kept);
            session.rate.update(now, travelled);
        }
    }
}

impl SessionView {
    /// Where it is, as of the last poll.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let c = &self.counters;
        // The totals are read last: what is done may not seem more than what there is.
        let done = Counters::get(&c.bytes_done);
        let items_done = Counters::get(&c.entries_done);
        let scanned = c.scanned.load(Ordering::Acquire);
        let total = Counters::get(&c.bytes_total).max(done);
        let items_total = Counters::get(&c.entries_total).max(items_done);
        let rate = self.rate.per_second();
        let phase = if scanned && done >= total && items_done >= items_total {
            Phase::Finishing
        } else if self.rate.stalled(now) {
            Phase::Stalled
        } else {
            let settled = scanned && now.saturating_duration_since(self.started) >= SETTLE;
            let left = (total - done).checked_div(rate).filter(|_| settled);
            Phase::Moving(left.map(Duration::from_secs))
        };
        Standing {
            done,
            total,
            items_done,
            items_total,
            scanned,
            rate,
            phase,
        }
    }

    /// The peer's name, with the word that says which way the bytes go.
    pub(crate) fn label(&self) -> String {
        match self.role {
            Role::Sender => format!("to {}", self.name),
            Role::Receiver => format!("from {}", self.name),
        }
    }
}

impl Standing {
    /// The bytes: `2.31/12.4 GB`.
    pub(crate) fn bytes(&self) -> String {
        words::part(self.done, self.total, !self.scanned)
    }

    /// The entries, the rate and the rest: `12/345 items`, `187 MB/s`, `52 s left`; the least
    /// important first.
    pub(crate) fn details(&self) -> Vec<String> {
        let plus = if self.scanned { "" } else { "+" };
        let mut details = vec![format!(
            "{}/{}{plus} items",
            words::count(self.items_done),
            words::count(self.items_total)
        )];
        match self.phase {
            Phase::Finishing => details.push("finishing".to_owned()),
            Phase::Stalled => details.push("nothing moves".to_owned()),
            Phase::Moving(left) => {
                details.push(words::rate(self.rate));
                if let Some(left) = left {
                    let left = left.max(Duration::from_secs(1));
                    details.push(format!("{} left", words::wait(left)));
                }
            }
        }
        details
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use xfer::model::outcome::{OnConflict, Wish};
    use xfer::model::progress::{Peer, Trust};
    use xfer::model::relpath::RelPath;

    pub(crate) fn start(
        overview: &mut Overview,
        id: u64,
        name: &str,
        now: Instant,
    ) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        let peer = Peer {
            name: name.to_owned(),
            addr: ([192, 168, 0, 9], 9090).into(),
            fingerprint: String::new(),
            trust: Trust::Open,
            is_new: false,
        };
        let event = Event::Started {
            session: id,
            role: Role::Sender,
            peer: &peer,
            wish: Wish::default(),
            conflict: OnConflict::Beside,
            counters: &counters,
        };
        overview.hear(&event, now);
        counters
    }

    pub(crate) fn file(overview: &mut Overview, id: u64, entry: u64, path: &str) -> Arc<AtomicU64> {
        let verified = Arc::new(AtomicU64::new(0));
        let path = RelPath::new(path).unwrap();
        let event = Event::FileStarted {
            session: id,
            entry,
            path: &path,
            size: 10_000_000,
            verified: &verified,
        };
        overview.hear(&event, Instant::now());
        verified
    }

    #[test]
    fn a_session_is_scanned_then_moves_then_finishes() {
        let start_time = Instant::now();
        let mut overview = Overview::default();
        let counters = start(&mut overview, 1, "desk\x1btop", start_time);
        Counters::add(&counters.bytes_total, 1_000_000_000);
        Counters::add(&counters.entries_total, 10);
        let later = start_time + Duration::from_secs(4);
        Counters::add(&counters.bytes_done, 600_000_000);
        Counters::add(&counters.bytes_kept, 200_000_000);
        overview.poll(later);

        let session = &overview.sessions[&1];
        assert_eq!(session.label(), "to desk\\x1btop");
        let standing = session.standing(later);
        assert_eq!(standing.phase, Phase::Moving(None));
        assert_eq!(standing.bytes(), "0.60/1.00+ GB");
        assert_eq!(standing.details(), ["0/10+ items", "100 MB/s"]);

        counters.scanned.store(true, Ordering::Release);
        let standing = session.standing(later);
        assert_eq!(standing.details()[2], "4 s left");
        let standing = session.standing(later + Duration::from_secs(60));
        assert_eq!(standing.phase, Phase::Stalled);

        Counters::add(&counters.bytes_done, 400_000_000);
        Counters::add(&counters.entries_done, 10);
        let standing = session.standing(later);
        assert_eq!(standing.details(), ["10/10 items", "finishing"]);
    }

    #[test]
    fn what_ends_is_gone() {
        let mut overview = Overview::default();
        start(&mut overview, 7, "a", Instant::now());
        file(&mut overview, 7, 3, "x/y");
        file(&mut overview, 8, 4, "of no session");
        assert_eq!(overview.sessions[&7].files[&3].name, "x/y");
        let ended = Event::FileEnded {
            session: 7,
            entry: 3,
        };
        overview.hear(&ended, Instant::now());
        assert!(overview.sessions[&7].files.is_empty());
        let failed = Event::Failed {
            session: 7,
            error: &xfer::Error::Cancelled,
        };
        overview.hear(&failed, Instant::now());
        assert!(overview.sessions.is_empty());
    }
}

//! `Overview`: what is in motion at the moment, by the engines' counters.
//!
//! Must not draw: it says what there is to show, and the bars or lines show it.

use std::collections::BTreeMap;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use xfer::model::outcome::Role;
use xfer::model::progress::{Counters, Event};

use super::rate::Rate;
use super::reaching::Reaching;
use super::safe::safe;
use super::words;

/// How long a session runs before anything is said about the time that is left.
const SETTLE: Duration = Duration::from_secs(2);

/// What is in motion.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    /// Whom this machine tries to reach.
    pub(crate) reaching: Option<Reaching>,
    /// The sessions, by their number.
    pub(crate) sessions: BTreeMap<u64, SessionView>,
    /// A sender's session that lost its connection, until another one goes on with its work.
    pub(crate) lost: Option<LostSession>,
}

/// A session that runs.
#[derive(Debug)]
pub(crate) struct SessionView {
    /// The peer's name, fit for a terminal.
    pub(crate) name: String,
    /// Its larger files that are moving, by their place in the manifest.
    pub(crate) files: BTreeMap<u64, File>,
    role: Role,
    /// Whether this side dialed.
    dialed: bool,
    is_dry: bool,
    counters: Arc<Counters>,
    rate: Rate,
    started: Instant,
}

/// A session that has lost its connection.
#[derive(Debug)]
pub(crate) struct LostSession {
    /// As it was then.
    pub(crate) view: SessionView,
    /// When the next attempt begins.
    until: Instant,
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
    /// It finds that the receiver has the data already.
    Comparing,
    /// Nothing has moved for a while.
    Stalled,
    /// Every byte is there, and is being brought to disk.
    Finishing,
    /// The user of that side is asked how much may be deleted.
    Asking(Role),
    /// A mirror has deleted so many of so many entries.
    Deleting(u64, u64),
}

impl Overview {
    /// Takes note of what an event sets in motion or ends.
    pub(crate) fn hear(&mut self, event: &Event<'_>, now: Instant) {
        if Reaching::hear(&mut self.reaching, event, now) {
            return;
        }
        match event {
            Event::Started {
                session,
                role,
                dialed,
                peer,
                wish,
                counters,
                ..
            } => {
                let session_started = SessionView {
                    name: safe(&peer.name).to_string(),
                    files: BTreeMap::new(),
                    role: *role,
                    dialed: *dialed,
                    is_dry: wish.dry_run,
                    counters: Arc::clone(counters),
                    rate: Rate::new(now),
                    started: now,
                };
                self.sessions.insert(*session, session_started);
                if *dialed {
                    self.lost = None;
                }
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
                        name: safe(&*path.as_path()).to_string(),
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
            Event::Finished { session, .. } => drop(self.sessions.remove(session)),
            Event::Failed { session, .. } => {
                // It stays in sight: the side that dialed may try again.
                if let Some(view) = self.sessions.remove(session)
                    && view.dialed
                {
                    self.lost = Some(LostSession { view, until: now });
                }
            }
            Event::Retrying { wait, .. } => {
                if let Some(lost) = &mut self.lost {
                    lost.until = now + *wait;
                }
            }
            _ => {}
        }
    }

    /// Whether anything is going on.
    pub(crate) fn is_at_work(&self) -> bool {
        !self.sessions.is_empty() || self.lost.is_some() || self.reaching.is_some()
    }

    /// Reads the counters at this time.
    pub(crate) fn poll(&mut self, now: Instant) {
        for session in self.sessions.values_mut() {
            let c = &session.counters;
            let (done, kept) = (Counters::get(&c.bytes_done), Counters::get(&c.bytes_kept));
            let deleted = Counters::get(&c.deleted);
            session.rate.update(now, done.saturating_sub(kept));
            session.rate.note(now, done.saturating_add(deleted));
        }
    }
}

impl LostSession {
    /// What it waits for.
    pub(crate) fn words(&self, now: Instant) -> String {
        let name = &self.view.name;
        match self.until.saturating_duration_since(now) {
            Duration::ZERO => format!("{name}: reconnecting …"),
            left => format!("{name}: reconnecting in {} …", words::wait(left)),
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
        let deleted = Counters::get(&c.deleted);
        let scanned = c.scanned.load(Ordering::Acquire);
        let total = Counters::get(&c.bytes_total).max(done);
        let items_total = Counters::get(&c.entries_total).max(items_done);
        let to_delete = Counters::get(&c.to_delete);
        let rate = self.rate.per_second();
        let phase = if c.asking.load(Ordering::Relaxed) && deleted == 0 && !self.is_dry {
            Phase::Asking(match self.role {
                Role::Sender => Role::Receiver,
                Role::Receiver => Role::Sender,
            })
        } else if deleted < to_delete && !self.is_dry {
            Phase::Deleting(deleted, to_delete)
        } else if scanned && done >= total && items_done >= items_total {
            Phase::Finishing
        } else if self.rate.stalled(now) {
            Phase::Stalled
        } else if rate == 0 && Counters::get(&c.bytes_kept) > 0 {
            Phase::Comparing
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

    /// What it deletes, as a label: so many of so many.
    pub(crate) fn deleting(&self, done: u64, total: u64) -> [String; 2] {
        let much = format!("Deleting {} of {}", words::count(done), words::count(total));
        let whose = match self.role {
            Role::Sender => format!("{much} on {}", self.name),
            Role::Receiver => format!("{much} for {}", self.name),
        };
        [whose, much]
    }

    /// What is sent, where it has one name: a file or a folder.
    pub(crate) fn only(&self) -> Option<String> {
        let only = self.counters.tops.only()?;
        Some(safe(&*only.as_path()).to_string())
    }

    /// The one file that it is about, if it is about one: its name, fit for a terminal.
    pub(crate) fn only_file(&self, standing: &Standing) -> Option<String> {
        if standing.items_total == 1 {
            return self.only();
        }
        let mut files = self.files.values();
        match (files.next(), files.next()) {
            (Some(file), None) if standing.scanned && file.size == standing.total => {
                Some(file.name.clone())
            }
            _ => None,
        }
    }
}

impl Standing {
    /// The bytes: `2.31/12.4 GB`.
    pub(crate) fn bytes(&self) -> String {
        if self.scanned {
            words::part(self.done, self.total)
        } else if self.done == self.total {
            words::bytes(self.done)
        } else {
            format!("{} so far", words::part(self.done, self.total))
        }
    }

    /// The entries: `12/345 items`.
    pub(crate) fn items(&self) -> String {
        let done = words::count(self.items_done);
        let total = words::plural(self.items_total, "item", "items");
        format!("{done}/{total}")
    }

    /// What it is up to, where that is not moving.
    pub(crate) fn state(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Finishing => Some("finishing"),
            Phase::Asking(Role::Sender) => Some("waiting for the sender"),
            Phase::Asking(Role::Receiver) => Some("waiting for the receiver"),
            Phase::Stalled => Some("stalled"),
            Phase::Comparing => Some("comparing"),
            Phase::Deleting(..) => Some("deleting"),
            Phase::Moving(_) => None,
        }
    }

    /// How long it still takes, where that can be told.
    pub(crate) fn left(&self) -> Option<String> {
        let Phase::Moving(Some(left)) = self.phase else {
            return None;
        };
        let left = left.max(Duration::from_secs(1));
        Some(format!("{} left", words::wait(left)))
    }

    /// All of that, for a line.
    pub(crate) fn details(&self) -> Vec<String> {
        let mut details = Vec::new();
        if self.items_total != 1 {
            details.push(self.items());
        }
        match (self.phase, self.state()) {
            (Phase::Deleting(done, total), _) => {
                let (done, total) = (words::count(done), words::count(total));
                details.push(format!("deleting {done} of {total}"));
            }
            (_, Some(state)) => details.push(state.to_owned()),
            (_, None) => {
                details.push(words::rate(self.rate));
                details.extend(self.left());
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
            dialed: true,
            peer: &peer,
            wish: Wish::default(),
            conflict: OnConflict::Beside,
            dir: None,
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
        assert_eq!(standing.bytes(), "0.60/1.00 GB so far");
        assert_eq!(standing.details(), ["0/10 items", "100 MB/s"]);

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

    #[test]
    fn a_lost_session_stays_in_sight_until_another_goes_on() {
        let (mut overview, now) = (Overview::default(), Instant::now());
        start(&mut overview, 7, "desktop", now);
        let error = &xfer::Error::Cancelled;
        overview.hear(&Event::Failed { session: 7, error }, now);
        let (session, wait) = (7, Duration::from_secs(3));
        overview.hear(
            &Event::Retrying {
                session,
                error,
                wait,
            },
            now,
        );
        let words = |overview: &Overview, after| overview.lost.as_ref().unwrap().words(now + after);
        assert_eq!(
            words(&overview, Duration::from_millis(500)),
            "desktop: reconnecting in 3 s …"
        );
        assert_eq!(words(&overview, wait), "desktop: reconnecting …");
        start(&mut overview, 8, "desktop", now);
        assert!(overview.lost.is_none());
    }
}

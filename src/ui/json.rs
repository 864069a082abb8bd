//! `Json`: follows the engine's events and decides which lines programs get.
//!
//! Must not print, nor know what a line looks like.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use xfer::Error;
use xfer::model::outcome::{Outcome, Role, Summary};
use xfer::model::progress::{Counters, Event, Mistaken};
use xfer::model::prompt::SaidMessage;

use super::events::{
    Counts, Failure, JsonEvent, entry, left_out_name, line, not_kept as not_kept_line, odd_bytes,
    role_name, seconds, text, trust_name,
};
use super::overview::{Overview, Phase};
use super::{room_events, web_events};

/// The shortest time between two progress lines.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Turns the engine's events into lines.
#[derive(Debug)]
pub(crate) struct Json {
    hint: fn(&Error) -> Option<String>,
    began: Instant,
    /// When progress was last reported.
    told: Instant,
    sessions: BTreeMap<u64, SessionEvents>,
    ended: u64,
    /// The totals of the sessions that have ended.
    all: Summary,
    /// How much the sender's last session left out.
    left_out: Option<u64>,
    wire_bytes: u64,
}

#[derive(Debug)]
struct SessionEvents {
    role: Role,
    /// Whether this side dialed.
    dialed: bool,
    counters: Arc<Counters>,
    began: Instant,
    told_totals: bool,
    /// Its entries so far.
    tally: Summary,
}

impl Json {
    /// Before any event.
    pub(crate) fn new(hint: fn(&Error) -> Option<String>) -> Self {
        let now = Instant::now();
        Self {
            hint,
            began: now,
            told: now,
            sessions: BTreeMap::new(),
            ended: 0,
            all: Summary::default(),
            left_out: None,
            wire_bytes: 0,
        }
    }

    /// The lines for an event.
    pub(crate) fn hear(&mut self, event: &Event<'_>, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        let mut say = |said: &JsonEvent<'_>| lines.extend(line(said));
        match event {
            Event::Listening { addr, dir } => say(&JsonEvent::Listening {
                address: *addr,
                dir: text(dir),
                dir_bytes: odd_bytes(dir),
            }),
            Event::Sharing { addr, named, first } => say(&JsonEvent::Sharing {
                address: *addr,
                named: *named,
                first,
            }),
            Event::Connecting { addr } => say(&JsonEvent::Connecting { address: *addr }),
            Event::Searching { name } => say(&JsonEvent::Searching { name }),
            Event::PassedOver {
                name,
                addr,
                why,
                is,
            } => say(&JsonEvent::PassedOver {
                name,
                address: *addr,
                why: match why {
                    Mistaken::Place => "place",
                    Mistaken::Name => "name",
                },
                is: *is,
            }),
            Event::Awaiting { name } => say(&JsonEvent::Awaiting { name }),
            Event::Waiting { peer } => say(&JsonEvent::Waiting {
                peer: (*peer).into(),
            }),
            Event::Paired { caller, role, .. } => say(&JsonEvent::Paired {
                role: role_name(*role),
                peer: (*caller).into(),
            }),
            Event::Shown { peer } => say(&JsonEvent::Shown {
                peer: (*peer).into(),
            }),
            Event::Replied { peer, line } => say(&JsonEvent::Reply {
                peer: (*peer).into(),
                text: line.as_str(),
            }),
            Event::NotAccepting { error } | Event::NotAnnounced { error } => {
                say(&JsonEvent::Warning {
                    session: None,
                    address: None,
                    error: self.failure(error),
                });
            }
            Event::Room(event) => lines.extend(room_events::line(event, self.hint)),
            Event::Web(event) => lines.extend(web_events::line(event)),
            Event::Refused { peer, error } => say(&JsonEvent::Warning {
                session: None,
                address: Some(*peer),
                error: self.failure(error),
            }),
            Event::Started {
                session,
                role,
                dialed,
                peer,
                wish,
                counters,
                ..
            } => {
                let began = SessionEvents {
                    role: *role,
                    dialed: *dialed,
                    counters: Arc::clone(counters),
                    began: now,
                    told_totals: false,
                    tally: Summary::default(),
                };
                self.sessions.insert(*session, began);
                say(&JsonEvent::Start {
                    session: *session,
                    role: role_name(*role),
                    peer: (*peer).into(),
                    trust: trust_name(peer.trust),
                    dry_run: wish.dry_run.then_some(true),
                });
            }
            Event::Entry {
                session,
                path,
                outcome,
                ..
            } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.count(outcome);
                }
                say(&entry(*session, path, outcome));
            }
            Event::Removed { session, path } => {
                let path = path.as_path();
                say(&JsonEvent::Removed {
                    session: *session,
                    path: text(&path),
                    path_bytes: odd_bytes(&path),
                });
            }
            Event::LeftOut { session, path, why } => say(&JsonEvent::LeftOut {
                session: *session,
                path: text(path),
                path_bytes: odd_bytes(path),
                reason: left_out_name(*why),
            }),
            Event::Warning { session, error } => say(&JsonEvent::Warning {
                session: Some(*session),
                address: None,
                // Hints are for errors, and nothing failed here.
                error: Failure::new(error, |_| None),
            }),
            Event::NotKept { session, not_kept } => say(&not_kept_line(*session, not_kept)),
            Event::CommandStarted { run, peer, name } => say(&JsonEvent::CommandStart {
                run: *run,
                command: name,
                peer: (*peer).into(),
            }),
            Event::CommandEnded {
                run,
                peer,
                name,
                end,
                bytes,
                time,
            } => say(&JsonEvent::CommandEnd {
                run: *run,
                command: name,
                peer: (*peer).into(),
                end: (*end).into(),
                bytes: *bytes,
                seconds: seconds(*time),
            }),
            Event::OnDoneEnded { peer, end, said } => say(&JsonEvent::OnDone {
                name: peer,
                end: (*end).into(),
                stderr: said,
            }),
            Event::Retrying {
                session,
                error,
                wait,
            } => say(&JsonEvent::Retrying {
                session: *session,
                seconds: seconds(*wait),
                error: self.failure(error),
            }),
            Event::Finished {
                session, summary, ..
            } => {
                if let Some(mut state) = self.sessions.remove(session) {
                    lines.extend(state.totals(*session));
                    let wire_bytes = state.wire_bytes();
                    self.add(&state, summary);
                    let time = now.saturating_duration_since(state.began);
                    lines.extend(line(&JsonEvent::Finished {
                        session: *session,
                        counts: Counts::new(summary, state.left_out(), wire_bytes, time),
                    }));
                }
            }
            Event::Failed { session, error } => {
                if let Some(mut state) = self.sessions.remove(session) {
                    lines.extend(state.totals(*session));
                    self.add(&state, &state.tally);
                    // The side that dialed retries, or ends with this error and reports it itself.
                    if !state.dialed && !matches!(error, Error::Cancelled) {
                        lines.extend(line(&JsonEvent::Error {
                            session: Some(*session),
                            error: self.failure(error),
                        }));
                    }
                }
            }
            _ => {}
        }
        lines
    }

    /// The lines that are due as time passes.
    pub(crate) fn tick(&mut self, overview: &Overview, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, session) in &mut self.sessions {
            lines.extend(session.totals(*id));
        }
        if self.sessions.is_empty() {
            // A session's first progress line waits one period, too.
            self.told = now;
        }
        if now.saturating_duration_since(self.told) >= PROGRESS_EVERY {
            self.told = now;
            let running = overview.sessions.iter();
            let running = running.filter_map(|(id, running)| {
                let wire_bytes = self.sessions.get(id)?.wire_bytes();
                let standing = running.standing(now);
                let (state, left) = match standing.phase {
                    Phase::Moving(left) => ("moving", left),
                    Phase::Stalled => ("stalled", None),
                    Phase::Comparing => ("moving", None),
                    Phase::Finishing | Phase::Asking(_) | Phase::Deleting(..) => {
                        ("finishing", None)
                    }
                };
                line(&JsonEvent::Progress {
                    session: *id,
                    entries_done: standing.items_done,
                    entries_total: standing.items_total,
                    bytes_done: standing.done,
                    bytes_total: standing.total,
                    scanned: standing.scanned,
                    wire_bytes,
                    bytes_per_second: standing.rate,
                    state,
                    seconds_left: left.map(|left| left.as_secs()),
                })
            });
            lines.extend(running);
        }
        lines
    }

    /// The line for the error that ends the program.
    pub(crate) fn error(&self, error: &Error) -> Option<String> {
        line(&JsonEvent::Error {
            session: None,
            error: self.failure(error),
        })
    }

    /// The last line. Without a `summary`, it holds the totals of the sessions.
    pub(crate) fn summary(&self, exit_code: u8, summary: Option<&Summary>) -> Option<String> {
        let counts = summary.unwrap_or(&self.all);
        line(&JsonEvent::Summary {
            exit_code,
            sessions: self.ended,
            counts: Counts::new(counts, self.left_out, self.wire_bytes, self.began.elapsed()),
        })
    }

    fn failure(&self, error: &Error) -> Failure {
        Failure::new(error, self.hint)
    }

    fn add(&mut self, session: &SessionEvents, summary: &Summary) {
        self.ended += 1;
        self.wire_bytes += session.wire_bytes();
        self.left_out = session.left_out();
        let before = self.all;
        self.all = before.plus(summary);
        // A session after a lost connection counts what the earlier ones did, too.
        if session.dialed {
            self.all.have = summary.have.saturating_sub(before.stored);
            self.all.failed = summary.failed;
        }
    }
}

impl SessionEvents {
    fn wire_bytes(&self) -> u64 {
        Counters::get(&self.counters.bytes_wire)
    }

    fn left_out(&self) -> Option<u64> {
        let left_out = Counters::get(&self.counters.left_out);
        (self.role == Role::Sender).then_some(left_out)
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Stored(other) => {
                self.tally.stored += 1;
                self.tally.renamed += u64::from(other.is_some());
            }
            Outcome::Replaced => {
                self.tally.stored += 1;
                self.tally.replaced += 1;
            }
            Outcome::Kept => self.tally.kept += 1,
            Outcome::Have(_) => self.tally.have += 1,
            Outcome::Failed(_) => self.tally.failed += 1,
        }
    }

    /// The line for the totals, once they are known.
    fn totals(&mut self, id: u64) -> Option<String> {
        if self.told_totals || !self.counters.scanned.load(Ordering::Acquire) {
            return None;
        }
        self.told_totals = true;
        line(&JsonEvent::Totals {
            session: id,
            entries: Counters::get(&self.counters.entries_total),
            bytes: Counters::get(&self.counters.bytes_total),
        })
    }
}

/// The line for a message.
pub(crate) fn message(said: &SaidMessage) -> Option<String> {
    line(&JsonEvent::Message {
        peer: (&said.caller).into(),
        text: &said.text,
        asks: said.asks,
    })
}

/// The line for a warning: something went wrong, but nothing failed.
pub(crate) fn warning(message: &str) -> Option<String> {
    line(&JsonEvent::Warning {
        session: None,
        address: None,
        error: Failure::other(message),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use xfer::model::outcome::Why;

    #[test]
    fn a_sender_that_tries_again_counts_once() {
        let mut json = Json::new(|_| None);
        let mut session = SessionEvents {
            role: Role::Sender,
            dialed: true,
            counters: Arc::default(),
            began: Instant::now(),
            told_totals: false,
            tally: Summary::default(),
        };
        for _ in 0..10 {
            session.count(&Outcome::Stored(None));
        }
        session.count(&Outcome::Failed(Why::Special));
        json.add(&session, &session.tally);
        session.tally = Summary::default();
        for _ in 0..10 {
            session.count(&Outcome::Have(None));
        }
        session.count(&Outcome::Failed(Why::Special));
        session.count(&Outcome::Stored(None));
        json.add(&session, &session.tally);
        let value: Value = serde_json::from_str(&json.summary(1, None).unwrap()).unwrap();
        let counts = ["stored", "have", "failed", "sessions"].map(|name| value[name].as_u64());
        assert_eq!(counts, [Some(11), Some(0), Some(1), Some(2)]);
    }
}

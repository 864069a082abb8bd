//! `Report`: makes sentences of what happens.
//!
//! Must not print, and must not make names fit for a terminal: the screen does, for all lines.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use xfer::Error;
use xfer::model::command::CommandEnd;
use xfer::model::outcome::{Ability, LeftOut, Role};
use xfer::model::progress::{Counters, Event, Mistaken};
use xfer::model::relpath::RelPath;
use xfer::net::PeerAddress;

use super::bottleneck;
use super::commands::{self, command_end};
use super::halfway::Halfway;
use super::line::Line::{self, Talk, Trouble};
use super::options::OutputOptions;
use super::pairing_words::{CodeFor, paired_lines};
use super::plan::{self, DryRunPlan};
use super::refusals::{Refusals, Tell};
use super::rooms::{self, RoomWords};
use super::safe::safe;
use super::sentences;
use super::summary::{self, EndedSession, Terms};
use super::tally::Tally;
use super::told_session::{ToldEntry, ToldSession};
use super::web_events;
use super::words;

/// How many lines of what a program said before it failed are shown.
const MAX_SAID_LINES: usize = 5;

/// Makes sentences.
#[derive(Debug)]
pub(crate) struct Report {
    settings: OutputOptions,
    sessions: BTreeMap<u64, ToldSession>,
    /// When the first session of all began: a sender's later ones go on with the same work.
    began: Option<Instant>,
    refusals: Refusals,
    /// The last error that was told when a session or a connection failed of it.
    said: Option<String>,
    /// The sender's failures that were told, as a session after a lost one meets them again.
    told: HashSet<String>,
    /// Why it was tried again, since anything arrived, and how much had by then.
    retried: HashSet<String>,
    retried_at: u64,
    /// How far a session got that ended before all was there.
    halfway: Halfway,
    /// What the receiver of this machine's sessions is called.
    dialed: Option<String>,
    interrupted: bool,
    rings: bool,
    /// Whether a mirror removed nothing because it would have been too much.
    keeps_surplus: bool,
}

impl Report {
    /// One that has heard nothing yet.
    /// Whether only what was asked for is printed, and what went wrong.
    #[cfg(feature = "web")]
    pub(crate) fn is_quiet(&self) -> bool {
        self.settings.quiet
    }

    pub(crate) fn new(settings: OutputOptions) -> Self {
        Self {
            settings,
            sessions: BTreeMap::new(),
            began: None,
            refusals: Refusals::default(),
            said: None,
            told: HashSet::new(),
            retried: HashSet::new(),
            retried_at: 0,
            halfway: Halfway::default(),
            dialed: None,
            interrupted: false,
            rings: false,
            keeps_surplus: false,
        }
    }

    /// Whether a mirror removed nothing because it would have been too much.
    pub(crate) fn keeps_surplus(&self) -> bool {
        self.keeps_surplus
    }

    /// From now on the end of a session rings the terminal's bell.
    pub(crate) fn ring(&mut self) {
        self.rings = true;
    }

    /// The bell, where it is to ring.
    pub(crate) fn ring_now(&self) -> Option<Line> {
        self.rings.then_some(Line::Ring)
    }

    /// Whether any session has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.began.is_some()
    }

    /// How much arrived of what could not be sent, where that is known: `134 MB of 315 MB`.
    pub(crate) fn arrived(&self) -> Option<String> {
        self.halfway.words()
    }

    /// Whether a session was interrupted by the user.
    pub(crate) fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Whether this was told when a session failed of it.
    pub(crate) fn has_said(&self, error: &Error) -> bool {
        self.said.as_ref() == Some(&error.to_string())
    }

    /// The sentences for an event.
    pub(crate) fn hear(&mut self, event: &Event<'_>, now: Instant) -> Vec<Line> {
        let mut lines = Vec::new();
        match event {
            Event::Connecting { addr } if self.settings.verbose => {
                lines.push(Talk(format!("Connecting to {}", PeerAddress::from(*addr))));
            }
            Event::PassedOver {
                name,
                addr,
                why,
                is,
            } => {
                let words = sentences::passed_over(name, addr, *why, *is);
                // Each search meets it again.
                if self.told.insert(words.clone()) {
                    lines.push(match why {
                        Mistaken::Place => Talk(words),
                        Mistaken::Name => Trouble(words),
                    });
                }
            }
            Event::Awaiting { name } => lines.push(Talk(format!(
                "{name} is not there yet. Waiting for it; press Ctrl-C to stop."
            ))),
            Event::Paired {
                caller,
                role,
                ability,
            } => {
                let (name, fetches) = (&caller.name, *ability == Ability::Fetch);
                // What follows is shown by the side that dials.
                lines.extend(match (role, fetches) {
                    (Role::Sender, false) => vec![Talk(format!(
                        "Paired with {name}. You can now send to {name} without a code."
                    ))],
                    (Role::Receiver, true) => vec![Talk(format!(
                        "Paired with {name}. You can now fetch from {name} without a code."
                    ))],
                    (Role::Receiver, false) => {
                        paired_lines(name, CodeFor::Sending).map(Talk).into()
                    }
                    (Role::Sender, true) => paired_lines(name, CodeFor::Fetching).map(Talk).into(),
                });
            }
            Event::Waiting { peer } => {
                lines.push(Talk(format!("Waiting for {} to accept …", peer.name)));
            }
            Event::Shown { peer } => {
                lines.push(Talk(format!("{} shows your message.", peer.name)));
            }
            Event::Replied { line, .. } if !self.settings.json => {
                lines.push(Line::Reply(line.as_str().to_owned()));
            }
            Event::NotAccepting { error } => {
                let words = sentences::error(error);
                lines.push(Trouble(format!("Warning: {words}")));
            }
            Event::Announced { name } if self.settings.verbose => {
                lines.push(Talk(format!("Announced on the network as {}", safe(name))));
            }
            Event::NotAnnounced { error } => {
                let words = sentences::error(error);
                lines.push(Trouble(format!(
                    "Other machines cannot find this machine by its name: {words}"
                )));
            }
            Event::Room(event) => lines.extend(match rooms::words(event) {
                // Programs are told in an event.
                Some(RoomWords::Said { .. }) if self.settings.json => None,
                Some(RoomWords::Said { name, text }) => Some(Line::InRoom { name, text }),
                Some(RoomWords::Talk(text)) => Some(Talk(text)),
                Some(RoomWords::Trouble(text)) => Some(Trouble(text)),
                None => None,
            }),
            Event::Web(event) => lines.extend(web_events::sentence(event, &self.settings)),
            Event::Refused { peer, error } => lines.extend(self.refused(peer.ip(), error, now)),
            Event::Started {
                session,
                role,
                dialed,
                peer,
                wish,
                conflict,
                dir,
                counters,
            } => {
                if *dialed {
                    self.dialed = Some(peer.name.clone());
                }
                let goes_on = *dialed && self.began.is_some();
                let began = *self.began.get_or_insert(now);
                let state = ToldSession {
                    role: *role,
                    dialed: *dialed,
                    peer: peer.name.clone(),
                    terms: Terms {
                        wish: *wish,
                        conflict: *conflict,
                        trust: peer.trust,
                        goes_on,
                    },
                    began: if *dialed { began } else { now },
                    counters: Arc::clone(counters),
                    tally: Tally::default(),
                    dir: dir.map(summary::at_home),
                    plan: DryRunPlan::default(),
                    told_hint: false,
                    keeps_surplus: false,
                };
                self.sessions.insert(*session, state);
                // Who listens is told at the end of a dry run that there was one.
                let is_told = *dialed || !wish.dry_run || *role == Role::Receiver;
                if is_told && (self.settings.plain || self.settings.verbose) {
                    let way = match role {
                        Role::Sender => "Sending to",
                        Role::Receiver => "Receiving from",
                    };
                    lines.push(Talk(format!(
                        "{way} {} ({})",
                        peer.name,
                        PeerAddress::from(peer.addr)
                    )));
                }
                if self.settings.verbose {
                    let why = summary::trusted(peer.trust);
                    lines.push(Talk(format!(
                        "  {} is {why}; its key is {}",
                        peer.name, peer.fingerprint
                    )));
                }
            }
            Event::Entry {
                session,
                path,
                size,
                is_file,
                outcome,
            } => {
                let settings = self.settings;
                if let Some(state) = self.sessions.get_mut(session) {
                    let ended = ToldEntry {
                        path,
                        size: *size,
                        is_file: *is_file,
                        outcome,
                    };
                    lines.extend(state.entry(&ended, settings, &mut self.told));
                    self.keeps_surplus |= state.keeps_surplus;
                }
            }
            Event::Removed { session, path } => {
                let verbose = self.settings.verbose;
                if let Some(state) = self.sessions.get_mut(session) {
                    let path = path.as_path();
                    match (state.terms.wish.dry_run, state.dialed) {
                        (true, false) => {}
                        (true, true) if verbose => {
                            lines.push(Line::Result(plan::deleted(&path)));
                        }
                        (true, true) => state.plan.deleted(&path),
                        (false, _) if verbose => {
                            lines.push(Talk(format!("Deleted: {}", safe(&*path))));
                        }
                        (false, _) => {}
                    }
                }
            }
            Event::LeftOut { path, why, .. }
                if self.settings.verbose || *why == LeftOut::Special =>
            {
                lines.push(Talk(format!(
                    "Left out: {}: {}",
                    safe(path),
                    sentences::left_out(*why)
                )));
            }
            Event::LeftOut {
                session,
                path,
                why: LeftOut::Own,
            } => {
                if let Some(state) = self.sessions.get_mut(session) {
                    state.tally.own(path);
                }
            }
            Event::Warning { session, error } => {
                let state = self.sessions.get_mut(session);
                if state.is_some_and(|state| state.tally.warning() || self.settings.verbose) {
                    lines.push(Trouble(format!("Warning: {}", sentences::error(error))));
                }
            }
            Event::NotKept { not_kept, .. } => {
                lines.push(Trouble(format!(
                    "Warning: {}",
                    sentences::not_kept(not_kept)
                )));
            }
            Event::CommandStarted { peer, name, .. } => {
                lines.push(Talk(format!("{} runs {name}", peer.name)));
            }
            Event::CommandEnded {
                peer,
                name,
                end,
                bytes,
                time,
                ..
            } => {
                let text = commands::ended(&peer.name, name, end, *bytes, *time);
                lines.push(Talk(text));
            }
            Event::OnDoneEnded { peer, end, said } => {
                let text = format!("--on-done, for {peer}: {}", command_end(end));
                match end {
                    CommandEnd::Exited(0) if self.settings.verbose => lines.push(Talk(text)),
                    CommandEnd::Exited(0) => {}
                    _ => {
                        lines.push(Trouble(format!("Warning: {text}")));
                        let said = said.lines().rev().take(MAX_SAID_LINES);
                        let said: Vec<_> = said.map(|line| Trouble(format!("  {line}"))).collect();
                        lines.extend(said.into_iter().rev());
                    }
                }
            }
            Event::Retrying {
                session,
                error,
                wait,
            } => {
                self.sessions.remove(session);
                // One word for many attempts that all end in the same ways, until one gets on.
                let moved = self.halfway.moved;
                if moved != self.retried_at {
                    self.retried_at = moved;
                    self.retried.clear();
                }
                let error = sentences::retrying(error, self.dialed.as_deref());
                let wait = words::wait(*wait);
                if self.retried.insert(error.clone()) {
                    lines.push(Talk(format!("Retrying in {wait}: {error}")));
                }
            }
            // A person has sent something once, however often the connection was lost.
            Event::Finished {
                session,
                all: summary,
                ..
            } => {
                if let Some(mut state) = self.sessions.remove(session) {
                    state.tally.left_out = Counters::get(&state.counters.left_out);
                    lines.extend(self.untold(&state));
                    let planned = std::mem::take(&mut state.plan).lines();
                    lines.extend(planned.into_iter().map(Line::Result));
                    let time = now.saturating_duration_since(state.began);
                    let (role, terms) = (state.role, &state.terms);
                    let tops = &state.counters.tops;
                    let only = tops.only().map(RelPath::as_path);
                    let told = summary::lines(&EndedSession {
                        role,
                        dialed: state.dialed,
                        peer: &state.peer,
                        terms,
                        summary,
                        tally: &state.tally,
                        only: only.as_deref(),
                        named: tops.count(),
                        dir: state.dir.as_deref(),
                        time,
                        travelled: Some(Counters::get(&state.counters.bytes_wire)),
                    });
                    lines.extend(told.into_iter().map(Line::Result));
                    lines.extend(self.ring_now());
                    if self.settings.verbose && !terms.wish.dry_run {
                        let here = state.counters.times.shares();
                        let told = bottleneck::lines(role, here, summary.shares);
                        lines.extend(told.into_iter().map(Talk));
                    }
                }
            }
            Event::Failed { session, error } => {
                if matches!(error, Error::Cancelled) {
                    self.interrupted = true;
                }
                if let Some(state) = self.sessions.remove(session) {
                    // A dry run counts what would arrive.
                    if !state.terms.wish.dry_run {
                        self.halfway.note(&state.counters);
                    }
                    lines.extend(self.untold(&state));
                    // The side that dialed has one session, and its error ends the program, which
                    // says so.
                    if !state.dialed && !matches!(error, Error::Cancelled) {
                        self.said = Some(error.to_string());
                        lines.push(Trouble(sentences::failed_session(
                            error,
                            &state.peer,
                            state.role,
                        )));
                        let is_stream = state.counters.is_stream.load(Ordering::Relaxed);
                        let arrived = Halfway::of(&state.counters).words();
                        let arrived = arrived.filter(|_| !is_stream && !state.terms.wish.dry_run);
                        lines.extend(arrived.map(|much| Trouble(format!("    {much} arrived."))));
                        let hint = match is_stream {
                            true => (self.settings.stream_hint)(error),
                            false => (self.settings.hint)(error),
                        };
                        lines.extend(hint.map(|hint| Trouble(format!("    {hint}"))));
                        lines.extend(self.ring_now());
                    }
                }
            }
            _ => {}
        }
        lines
    }

    /// What was not told of a session so far; all was where everything is. And what can be done.
    fn untold(&self, session: &ToldSession) -> Vec<Line> {
        let untold = session.tally.untold().into_iter().map(Trouble);
        let untold = untold.filter(|_| !self.settings.verbose);
        let hints = session
            .tally
            .hints(session.role, session.dialed, &session.peer);
        let hints = hints.map(|hint| Trouble(format!("        {hint}")));
        untold.chain(hints).collect()
    }

    fn hint(&self, error: &Error) -> Option<Line> {
        (self.settings.hint)(error).map(|hint| Trouble(format!("    {hint}")))
    }

    fn refused(&mut self, peer: std::net::IpAddr, error: &Error, now: Instant) -> Vec<Line> {
        let what = match error {
            Error::NotXfer { .. } | Error::Mute { .. } => "it does not speak to xfer".to_owned(),
            Error::SameRole { role, .. } => match role {
                Role::Sender => "it wants to send, and this is `xfer share`".to_owned(),
                Role::Receiver => "it wants to fetch, and this is `xfer recv`".to_owned(),
            },
            error => sentences::error(error),
        };
        let tell = self.refusals.tell(peer, error, now);
        if tell == Tell::No {
            return Vec::new();
        }
        self.said = Some(error.to_string());
        let mut lines = vec![Trouble(match error {
            // Nothing of it was refused.
            Error::NoCode { .. } | Error::WrongCode { .. } => format!("{what}."),
            _ => format!("Refused {peer}: {what}"),
        })];
        // Nothing had begun that could be gone on with.
        if !error.is_lost_connection() {
            lines.extend(self.hint(error));
        }
        if tell == Tell::Last {
            let text = "Refused many; no more of these are shown for a while".to_owned();
            lines.push(Trouble(text));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::path::Path;
    use std::time::Duration;
    use xfer::model::outcome::{OnConflict, Outcome, Summary, Why, Wish};
    use xfer::model::progress::{Peer, Trust};

    fn addr() -> SocketAddr {
        ([192, 168, 0, 9], 4444).into()
    }

    fn lost() -> Error {
        Error::Lost {
            peer: addr(),
            source: std::io::ErrorKind::UnexpectedEof.into(),
        }
    }

    struct Told(Report);

    impl Told {
        fn new(plain: bool, verbose: bool) -> Self {
            Self(Report::new(OutputOptions {
                plain,
                verbose,
                hint: |_| Some("Do something.".to_owned()),
                ..OutputOptions::default()
            }))
        }

        fn hear(&mut self, event: &Event<'_>) -> Vec<String> {
            let lines = self.0.hear(event, Instant::now()).into_iter();
            let texts = lines.map(|line| match line {
                Line::Result(text) => format!("= {text}"),
                Talk(text) => format!("- {text}"),
                Trouble(text) => format!("! {text}"),
                Line::Ring => "ring".to_owned(),
                #[cfg(feature = "web")]
                Line::Picture(_) => "picture".to_owned(),
                Line::Answer(text)
                | Line::Event(text)
                | Line::Reply(text)
                | Line::InRoom { text, .. }
                | Line::Own { text, .. } => panic!("{text}"),
            });
            texts.collect()
        }

        fn start_counted(&mut self, role: Role) -> Arc<Counters> {
            self.start(role);
            Arc::clone(&self.0.sessions[&1].counters)
        }

        fn start(&mut self, role: Role) -> Vec<String> {
            let peer = Peer {
                name: "desktop".to_owned(),
                addr: addr(),
                fingerprint: "ab12".to_owned(),
                trust: Trust::Open,
                is_new: false,
            };
            self.hear(&Event::Started {
                session: 1,
                role,
                dialed: role == Role::Sender,
                peer: &peer,
                wish: Wish::default(),
                conflict: OnConflict::Beside,
                dir: None,
                counters: &Arc::new(Counters::default()),
            })
        }

        fn entry(&mut self, path: &str, outcome: &Outcome) -> Vec<String> {
            let path = Path::new(path);
            self.hear(&Event::Entry {
                session: 1,
                path,
                size: 0,
                is_file: true,
                outcome,
            })
        }
    }

    #[test]
    fn failures_are_told_ten_times_and_then_counted() {
        let mut told = Told::new(false, false);
        assert!(told.start(Role::Receiver).is_empty());
        let failed = Outcome::Failed(Why::Damaged);
        for _ in 0..10 {
            let line = "! Failed: a\\nb from desktop: arrived damaged";
            assert_eq!(told.entry("a\nb", &failed), [line]);
        }
        for _ in 0..5 {
            assert!(told.entry("a", &failed).is_empty());
        }
        let summary = Summary {
            failed: 15,
            ..Summary::default()
        };
        let lines = told.hear(&Event::Finished {
            session: 1,
            summary: &summary,
            all: &summary,
        });
        assert_eq!(
            lines,
            [
                "! Failed: 5 more: 5 arrived damaged (a, a, a, …). Use -v or --json to see each.",
                "= Received nothing from desktop",
                "=   15 failed",
            ]
        );
    }

    #[test]
    fn a_sender_that_retries_says_nothing_twice() {
        let mut told = Told::new(false, false);
        let failed = Outcome::Failed(Why::Special);
        let error = lost();
        let retrying = Event::Retrying {
            session: 1,
            error: &error,
            wait: Duration::from_secs(2),
        };
        told.start(Role::Sender);
        assert_eq!(told.entry("fifo", &failed).len(), 1);
        let line = "- Retrying in 2 s: lost the connection to desktop: \
                    the other side closed it";
        assert_eq!(told.hear(&retrying), [line]);
        assert!(told.hear(&retrying).is_empty());
        // Another one that gets nowhere.
        told.start(Role::Sender);
        assert!(told.entry("fifo", &failed).is_empty());
        assert!(told.hear(&retrying).is_empty());
        // One that gets on is a new beginning.
        let counters = told.start_counted(Role::Sender);
        Counters::add(&counters.bytes_done, 7);
        let ended = Event::Failed {
            session: 1,
            error: &error,
        };
        assert!(told.hear(&ended).is_empty());
        assert_eq!(told.hear(&retrying), [line]);
    }

    #[test]
    fn plain_and_verbose_say_more() {
        let stored = Outcome::Stored(Some(RelPath::new("a (2)").unwrap()));
        let mut told = Told::new(true, false);
        assert_eq!(
            told.start(Role::Sender),
            ["- Sending to desktop (192.168.0.9:4444)"]
        );
        assert_eq!(told.entry("a", &stored), ["- Stored: a as a (2)"]);
        assert!(told.entry("b", &Outcome::Have(None)).is_empty());

        let mut told = Told::new(false, true);
        assert!(told.start(Role::Sender)[1].ends_with("--open; its key is ab12"));
        assert_eq!(
            told.entry("b", &Outcome::Have(None)),
            ["- Already there: b"]
        );
        assert_eq!(told.entry("c", &Outcome::Stored(None)), ["- Stored: c"]);
    }

    #[test]
    fn a_failed_session_is_told_once() {
        let mut told = Told::new(false, false);
        told.start(Role::Receiver);
        let failed = Event::Failed {
            session: 1,
            error: &lost(),
        };
        assert_eq!(told.hear(&failed).len(), 2);
        assert!(told.hear(&failed).is_empty());
        assert!(told.0.has_said(&lost()));
    }
}

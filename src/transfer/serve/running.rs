//! The commands that run for peers: who has which, and what ends them.
//!
//! Must not know what they put out.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::progress::{Peer, Trust};
use crate::net::{Channel, Closer, Fingerprint, LAST_WORDS};
use crate::sys::commands::{CommandKill, ENDS_WITHIN, ListedCommand, MAX_TOGETHER, RunningCommand};

/// How often it is looked whether those who have something running may still have that.
const LOOK: Duration = Duration::from_secs(1);
/// How many there are at most whose commands have ended, and whose peers have not read all of that.
const MAX_UNREAD: usize = 16;

/// All that run.
#[derive(Debug, Default)]
pub(super) struct PeerCommands {
    running: Mutex<BTreeMap<u64, Arc<PeerCommand>>>,
    changed: Condvar,
    next: AtomicU64,
}

/// One that runs.
#[derive(Debug)]
pub(super) struct PeerCommand {
    pub(super) number: u64,
    pub(super) command: String,
    owner: Fingerprint,
    trust: Trust,
    /// What its peer is called here.
    peer: String,
    kill: CommandKill,
    closer: Closer,
    /// When it is to have ended by itself; never where it may take as long as it likes.
    latest: Option<Instant>,
    /// Whether it has ended, and only its peer has not been told.
    ended: AtomicBool,
    /// Why it is to end, and since when, if somebody here wants that.
    to_end: Mutex<Option<(EndReason, Instant)>>,
}

/// Why a command is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EndReason {
    /// It has put out as many bytes as it may.
    Output(u64),
    /// Whoever it runs for may not have it any more.
    NotLetIn,
    /// Its peer has broken the rules: how.
    Broken(String),
    /// The receiver ends, or the peer is gone.
    Stopped,
}

impl PeerCommand {
    /// Ends it. Only the first reason counts.
    pub(super) fn end(&self, why: EndReason) {
        let mut to_end = self.to_end.lock().unwrap_or_else(PoisonError::into_inner);
        to_end.get_or_insert_with(|| (why, Instant::now()));
        drop(to_end);
        self.kill.end();
    }

    /// Another one may run in its place.
    pub(super) fn has_its_end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Its thread may not know yet: that waits where the peer does not read.
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) || self.kill.has_ended()
    }

    pub(super) fn why(&self) -> Option<EndReason> {
        let to_end = self.to_end.lock().unwrap_or_else(PoisonError::into_inner);
        to_end.as_ref().map(|(why, _)| why.clone())
    }

    /// Whether its peer has had the time to read the last of it, since it was to end.
    fn is_overdue(&self) -> bool {
        let to_end = self.to_end.lock().unwrap_or_else(PoisonError::into_inner);
        let told = to_end.as_ref().map(|(_, since)| *since);
        let since = told.into_iter().chain(self.latest).min();
        since.is_some_and(|since| Instant::now() > since + ENDS_WITHIN + LAST_WORDS)
    }
}

impl PeerCommands {
    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<PeerCommand>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends those whose peers may not run anything here any more, and the connections of peers that
    /// do not read what has long been to end. Says when to come again; never where nothing runs.
    pub(super) fn look_after(
        &self,
        may: impl Fn(Fingerprint, Trust, &str) -> bool,
    ) -> Option<Duration> {
        let all: Vec<_> = self.running().values().cloned().collect();
        for one in &all {
            if !may(one.owner, one.trust, &one.peer) {
                one.end(EndReason::NotLetIn);
            }
            if one.is_overdue() {
                one.closer.close();
            }
        }
        (!all.is_empty()).then_some(LOOK)
    }

    /// Ends all, and waits for that.
    pub(super) fn stop(&self) {
        let mut running = self.running();
        for one in running.values() {
            one.end(EndReason::Stopped);
        }
        // A peer that does not listen hears nothing of it.
        let end = Instant::now() + LAST_WORDS;
        while !running.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                running.values().for_each(|one| one.closer.close());
            }
            let wait = left.max(LAST_WORDS / 20);
            let waited = self.changed.wait_timeout(running, wait);
            running = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Begins one for a peer, where there is room for it beside all of the same name.
    pub(super) fn begin(
        &self,
        (command, listed): (&str, &ListedCommand),
        peer: &Peer,
        channel: &Channel,
        start: impl FnOnce() -> io::Result<RunningCommand>,
    ) -> Option<io::Result<(PlacedCommand<'_>, RunningCommand)>> {
        let mut running = self.running();
        let (ended, all): (Vec<_>, Vec<_>) = running.values().partition(|one| one.has_ended());
        let same = all.iter().filter(|one| one.command == command);
        if same.count() >= listed.at_once || all.len() >= MAX_TOGETHER {
            return None;
        }
        // Whoever takes longest to read makes room.
        let over = (ended.len() + 1).saturating_sub(MAX_UNREAD);
        ended.iter().take(over).for_each(|one| one.closer.close());
        let started = start().and_then(|started| Ok((started.kill()?, started)));
        Some(started.map(|(kill, started)| {
            let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
            let one = Arc::new(PeerCommand {
                number,
                command: command.to_owned(),
                owner: channel.fingerprint,
                trust: peer.trust,
                peer: peer.name.clone(),
                kill,
                closer: channel.closer.clone(),
                latest: match listed.seconds {
                    0 => None,
                    seconds => Instant::now().checked_add(Duration::from_secs(seconds)),
                },
                ended: AtomicBool::new(false),
                to_end: Mutex::default(),
            });
            running.insert(number, one.clone());
            (PlacedCommand { all: self, one }, started)
        }))
    }
}

/// One that runs, and counts until this is dropped.
#[derive(Debug)]
pub(super) struct PlacedCommand<'a> {
    all: &'a PeerCommands,
    pub(super) one: Arc<PeerCommand>,
}

impl Drop for PlacedCommand<'_> {
    fn drop(&mut self) {
        self.all.running().remove(&self.one.number);
        self.all.changed.notify_all();
    }
}

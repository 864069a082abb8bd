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
use crate::sys::commands::{CommandKill, MAX_TOGETHER, RunningCommand};

/// How often it is looked whether those who have something running may still have that.
const LOOK: Duration = Duration::from_secs(1);

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
    /// Whether it has ended, and only its peer has not been told.
    ended: AtomicBool,
    /// Why it is to end, if somebody here wants that.
    to_end: Mutex<Option<EndReason>>,
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
        to_end.get_or_insert(why);
        drop(to_end);
        self.kill.end();
    }

    /// Another one may run in its place.
    pub(super) fn has_its_end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn why(&self) -> Option<EndReason> {
        let to_end = self.to_end.lock().unwrap_or_else(PoisonError::into_inner);
        to_end.clone()
    }
}

impl PeerCommands {
    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<PeerCommand>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends those whose peers may not run anything here any more. Says when to come again; never
    /// where nothing runs.
    pub(super) fn look_after(
        &self,
        may: impl Fn(Fingerprint, Trust, &str) -> bool,
    ) -> Option<Duration> {
        let all: Vec<_> = self.running().values().cloned().collect();
        for one in &all {
            if !may(one.owner, one.trust, &one.peer) {
                one.end(EndReason::NotLetIn);
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
        command: &str,
        at_once: usize,
        peer: &Peer,
        channel: &Channel,
        start: impl FnOnce() -> io::Result<RunningCommand>,
    ) -> Option<io::Result<(Arc<PeerCommand>, RunningCommand)>> {
        let mut running = self.running();
        let all = || running.values().filter(|one| !one.has_ended());
        let same = all().filter(|one| one.command == command);
        if same.count() >= at_once || all().count() >= MAX_TOGETHER {
            return None;
        }
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
                ended: AtomicBool::new(false),
                to_end: Mutex::default(),
            });
            running.insert(number, one.clone());
            (one, started)
        }))
    }

    /// One has ended.
    pub(super) fn remove(&self, number: u64) {
        self.running().remove(&number);
        self.changed.notify_all();
    }
}

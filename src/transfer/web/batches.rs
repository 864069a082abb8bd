//! `Batches`: the batches of uploads that there are, by what their pages know of them.
//!
//! Must not know HTTP, nor what is in a batch.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::error::{CryptoFault, Error, Result};
use crate::model::outcome::{Decline, Why};
use crate::model::relpath::RelPath;
use crate::net::Fingerprint;
use crate::sys::worker::{Worker, spawn_detached};

use super::batch::{EndedBatch, UploadBatch};
use super::batch_end::LeftBatch;
use super::codes;
use super::means::{AskedBatch, UploadMeans};
use super::upload::Upload;

/// Of how many batches that have ended it is remembered how: a page may not have heard it.
const MAX_ENDED: usize = 64;
/// Of how many requests for batches that were declined it is remembered.
const MAX_DECLINED: usize = 64;
/// How long a page that is gone has to ask again whether its batch was accepted: browsers give up
/// waiting after a minute.
const ASKS_AGAIN: Duration = Duration::from_secs(20);
/// How often it is looked whether a page still waits.
const LOOK: Duration = Duration::from_millis(250);
/// How long an upload that somebody else asks for again can have stood still at least.
const LET_GO: Duration = Duration::from_secs(3);

/// What tells one attempt to begin a batch from all others: its client, and a number of its own.
type BatchKey = (Fingerprint, [u8; 16]);

/// The batches that there are.
#[derive(Debug, Default)]
pub(super) struct Batches {
    table: Mutex<BatchTable>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct BatchTable {
    running: HashMap<String, Arc<UploadBatch>>,
    /// No more of these is kept than what a page asks for again.
    ended: VecDeque<(String, EndedBatch)>,
    keys: HashMap<BatchKey, KeyedBatch>,
    /// Those that were declined, the oldest first.
    declined: VecDeque<BatchKey>,
    closed: bool,
}

/// What has become of an attempt to begin a batch.
#[derive(Debug, Clone)]
enum KeyedBatch {
    /// It is being decided; so many wait for that, the last of them since then.
    Asked(usize, Instant),
    Began(String),
    Declined(&'static str),
}

impl Batches {
    fn table(&self) -> MutexGuard<'_, BatchTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a batch, unless it has begun under this key. Fails with a code.
    pub(super) fn begin(
        &self,
        means: &dyn UploadMeans,
        asked: AskedBatch,
        key: Option<[u8; 16]>,
        gone: &dyn Fn() -> bool,
    ) -> std::result::Result<Arc<UploadBatch>, &'static str> {
        let Some(key) = key.map(|key| (asked.owner, key)) else {
            return self.begin_now(means, asked, None, gone);
        };
        if let Some(known) = self.wait_for_other(key, gone) {
            return known;
        }
        let nobody_waits = || {
            let table = self.table();
            let Some(KeyedBatch::Asked(waiting, since)) = table.keys.get(&key) else {
                return true;
            };
            // The first one is this one, which may be gone.
            let others = waiting.saturating_sub(1);
            let since = *since;
            drop(table);
            others == 0 && gone() && since.elapsed() > ASKS_AGAIN
        };
        let refresh = || {
            if !gone()
                && let Some(KeyedBatch::Asked(_, since)) = self.table().keys.get_mut(&key)
            {
                *since = Instant::now();
            }
            nobody_waits()
        };
        let begun = self.begin_now(means, asked, Some(key), &refresh);
        if let Err(code) = &begun {
            let mut table = self.table();
            table.keys.insert(key, KeyedBatch::Declined(code));
            // What passes is tried again.
            if *code == "declined" {
                table.declined.push_back(key);
            } else {
                table.keys.remove(&key);
            }
            if table.declined.len() > MAX_DECLINED
                && let Some(oldest) = table.declined.pop_front()
            {
                table.keys.remove(&oldest);
            }
        }
        self.changed.notify_all();
        begun
    }

    /// What became of another attempt with this key, if there is one. If not, this one is it.
    fn wait_for_other(
        &self,
        key: BatchKey,
        gone: &dyn Fn() -> bool,
    ) -> Option<std::result::Result<Arc<UploadBatch>, &'static str>> {
        let mut table = self.table();
        let mut waits = false;
        loop {
            let found = table.keys.get(&key).cloned();
            match found {
                None if waits => return Some(Err("busy")),
                None => {
                    let asked = KeyedBatch::Asked(1, Instant::now());
                    table.keys.insert(key, asked);
                    return None;
                }
                Some(KeyedBatch::Declined(code)) => return Some(Err(code)),
                Some(KeyedBatch::Began(id)) => {
                    return match table.running.get(&id) {
                        Some(batch) => Some(Ok(batch.clone())),
                        None => Some(Err("no_batch")),
                    };
                }
                Some(KeyedBatch::Asked(waiting, _)) => {
                    let waiting = waiting + usize::from(!waits);
                    waits = true;
                    let asked = KeyedBatch::Asked(waiting, Instant::now());
                    table.keys.insert(key, asked);
                    let waited = self.changed.wait_timeout(table, LOOK);
                    table = waited.unwrap_or_else(PoisonError::into_inner).0;
                    if let Some(KeyedBatch::Asked(waiting, _)) = table.keys.get_mut(&key)
                        && gone()
                    {
                        *waiting = waiting.saturating_sub(1);
                        return Some(Err("busy"));
                    }
                }
            }
        }
    }

    fn begin_now(
        &self,
        means: &dyn UploadMeans,
        asked: AskedBatch,
        key: Option<BatchKey>,
        gone: &dyn Fn() -> bool,
    ) -> std::result::Result<Arc<UploadBatch>, &'static str> {
        if self.table().closed {
            return Err("closing");
        }
        let id = random_id().map_err(|_| "internal")?;
        let begun = means.begin(&asked, gone);
        let setup = begun.map_err(|decline: Decline| codes::of_decline(&decline))?;
        let batch = UploadBatch::begin(id.clone(), asked, setup).ok_or("io")?;
        let mut table = self.table();
        if table.closed {
            drop(table);
            batch.fail(Error::Cancelled);
            return Err("closing");
        }
        table.running.insert(id.clone(), batch.clone());
        if let Some(key) = key {
            table.keys.insert(key, KeyedBatch::Began(id));
        }
        Ok(batch)
    }

    /// A batch that has not ended, by its ID.
    pub(super) fn find(&self, id: &str) -> Option<Arc<UploadBatch>> {
        self.table().running.get(id).cloned()
    }

    /// How a batch ended that has ended lately.
    pub(super) fn find_ended(&self, id: &str) -> Option<EndedBatch> {
        let table = self.table();
        let ended = table.ended.iter().find(|(ended, _)| ended == id);
        ended.map(|(_, summary)| *summary)
    }

    /// Notes how a batch has ended.
    pub(super) fn ended(&self, batch: &Arc<UploadBatch>, summary: EndedBatch) {
        let mut table = self.table();
        if table.running.remove(&batch.id).is_none() {
            return;
        }
        let other = |id: &KeyedBatch| !matches!(id, KeyedBatch::Began(id) if *id == batch.id);
        table.keys.retain(|_, keyed| other(keyed));
        table.ended.push_back((batch.id.clone(), summary));
        if table.ended.len() > MAX_ENDED {
            table.ended.pop_front();
        }
    }

    /// Ends a batch whose connection is lost, and that nobody can go on with.
    pub(super) fn lost(&self, batch: &Arc<UploadBatch>) {
        batch.fail(Error::Lost {
            peer: batch.addr(),
            source: std::io::ErrorKind::UnexpectedEof.into(),
        });
        self.ended(batch, None);
    }

    /// Ends one that nobody came back to. Bringing it to disk may take long, and connections wait
    /// for the thread that calls this.
    fn leave(&self, batch: &Arc<UploadBatch>, left: LeftBatch) {
        self.ended(batch, None);
        let (batch, lost) = (batch.clone(), batch.clone());
        let end = move || match left {
            LeftBatch::Complete => drop(batch.end()),
            LeftBatch::Incomplete => batch.give_up(),
        };
        let spawned = spawn_detached(Worker::Finisher, end, drop);
        if let Err(source) = spawned {
            lost.fail(Error::Thread { source });
        }
    }

    /// Ends an upload of the same file in another batch of the same client, if that stands still:
    /// its page was loaded again. Says whether there is one no more.
    pub(super) fn let_go(&self, of: &Arc<UploadBatch>, path: &RelPath) -> bool {
        let others: Vec<_> = {
            let table = self.table();
            let same = |batch: &&Arc<UploadBatch>| batch.owner == of.owner && batch.id != of.id;
            table.running.values().filter(same).cloned().collect()
        };
        let uploads = others.iter().filter(|batch| batch.alone() >= LET_GO);
        let found: Option<Arc<Upload>> = uploads.filter_map(|batch| batch.find_path(path)).next();
        if let Some(upload) = &found {
            upload.fail(Why::InUse, false);
        }
        found.is_some()
    }

    /// Ends batches that nobody comes back to. Says when to look again; never where there is none.
    pub(super) fn look_after(&self, idle: Duration) -> Option<Duration> {
        let running: Vec<_> = self.table().running.values().cloned().collect();
        let mut next = None;
        for batch in running {
            match batch.is_left(idle) {
                Err(left) => next = Some(next.map_or(left, |next: Duration| next.min(left))),
                Ok(left) => self.leave(&batch, left),
            }
        }
        next
    }

    /// Ends the batch that has been alone for longest, if that is at least `patience`. Says whether
    /// there is one.
    pub(super) fn end_idle(&self, patience: Duration) -> bool {
        let running: Vec<_> = self.table().running.values().cloned().collect();
        let longest = running.into_iter().max_by_key(|batch| batch.alone());
        let Some(batch) = longest.filter(|batch| batch.alone() >= patience) else {
            return false;
        };
        self.leave(&batch, LeftBatch::Incomplete);
        true
    }

    /// Ends all batches, and lets none begin any more. Says whether there was one.
    pub(super) fn stop(&self) -> bool {
        let running: Vec<_> = {
            let mut table = self.table();
            table.closed = true;
            table.running.drain().map(|(_, batch)| batch).collect()
        };
        for batch in &running {
            batch.fail(Error::Cancelled);
        }
        !running.is_empty()
    }
}

/// An ID that nobody can guess.
fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Crypto {
        fault: CryptoFault::Random,
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

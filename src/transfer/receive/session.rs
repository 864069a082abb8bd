//! A receiving session: its control connection, and what its threads share.
//!
//! Must not touch the disk in the thread that reads the control connection: that one only
//! decodes and hands on.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::super::link::{Link, SILENCE, Stop};
use super::super::message_order::ReceivingOrder;
use crate::model::digest::{Algorithm, CHUNK_SIZE};
use crate::model::entry::{Entry, EntryId, Kind};
use crate::model::error::{Error, Result};
use crate::model::outcome::{Summary, Why};
use crate::model::progress::{Counters, Event, Progress};
use crate::model::reason::Limit;
use crate::net::{Channel, Fingerprint, Reader};
use crate::net::{LAST_WORDS, aborted};
use crate::store::StoreSession;
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{ChunkHeader, DirEnd, Frame, Message, read_frame};

use super::accounts::Whole;
use super::file::Slot;
use super::finish::Finisher;
use super::open_files::OpenFiles;
use super::pipe::Output;
use super::planner::Task;
use super::sums::Sums;
use super::tasks::Waiting;

/// How often the sender is told how far its files are.
const REPORT: Duration = Duration::from_millis(200);

/// How many bytes the entries and messages that wait for the planner can have, about. Whoever
/// reads the control connection waits then: the planner goes on without it.
const MAX_TASK_BYTES: usize = 16 << 20;
/// How many bytes what waits to be written to the sender can have, about, before no more is read
/// from it.
pub(super) const MAX_OUTBOX_BYTES: usize = 16 << 20;
/// How many bytes the paths of wanted files can have. These cannot be waited for, as what ends
/// them comes on the control connection: further files fail.
const MAX_PATH_BYTES: usize = 32 << 20;
/// What a task takes beside its variable parts, in bytes.
const TASK_BYTES: usize = size_of::<Task>();

/// Where what is received goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// Below a folder.
    Folder(Arc<StoreSession>),
    /// To a stream.
    Output(Arc<Output>),
}

/// What is settled when a session begins.
pub(crate) struct Setup {
    pub(crate) session: u64,
    pub(crate) link: Arc<Link>,
    pub(crate) owner: Fingerprint,
    pub(crate) algorithm: Algorithm,
    pub(crate) target: Target,
    /// Whether what goes to an output is brought to disk.
    pub(crate) sync: bool,
    pub(crate) sums: Option<Arc<Sums>>,
    pub(crate) dir: PathBuf,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) window: u32,
    /// Ends sessions of the same sender that seem to be dead.
    pub(crate) end_dead_twins: Box<dyn Fn() + Send + Sync>,
    /// How many lanes the sender may open.
    pub(crate) lanes: u16,
}

/// A receiving session.
pub(crate) struct Receiving {
    setup: Setup,
    pub(crate) lanes_left: AtomicU16,
    /// How many lanes are at work.
    at_work: Mutex<usize>,
    lane_ended: Condvar,
    pub(super) tasks: Waiting<Task>,
    pub(super) to_hash: Waiting<(Arc<Slot>, u32)>,
    pub(super) open_files: Arc<OpenFiles>,
    pub(super) finisher: Finisher,
    /// Locked while what is held of a file is being hashed.
    pub(super) hashing: Mutex<()>,
    pub(super) slots: Mutex<HashMap<EntryId, Arc<Slot>>>,
    /// How many bytes their paths have.
    pub(super) path_bytes: AtomicUsize,
    /// Those of more than one chunk, for reports.
    pub(super) large: Mutex<HashMap<EntryId, (Arc<Slot>, u64)>>,
    announced: AtomicU64,
    /// Whether there is a stream, so that nobody knows how much there is to come.
    has_stream: AtomicBool,
    pub(super) outcomes: AtomicU64,
    /// Whether every entry has been announced.
    pub(super) all_known: AtomicBool,
    /// How many entries wait for removals.
    pub(super) behind: AtomicU64,
    /// Whether the sender has been asked what may be removed, and has not answered.
    pub(super) asked: AtomicBool,
    pub(super) tally: Mutex<Summary>,
}

impl std::ops::Deref for Receiving {
    type Target = Setup;
    fn deref(&self) -> &Setup {
        &self.setup
    }
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiving").field(&self.session).finish()
    }
}

impl Stop for Receiving {
    fn stop(&self) {
        self.tasks.close();
        self.to_hash.close();
        self.finisher.close();
        self.open_files.wake();
        if let Target::Output(output) = &self.target {
            output.stop();
        }
        let slots: Vec<_> = self.slots().values().cloned().collect();
        for slot in slots {
            slot.wake();
        }
    }
}

/// A lane at work.
pub(super) struct AtWork<'a>(&'a Receiving);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        *self.0.working() -= 1;
        self.0.lane_ended.notify_all();
    }
}

impl Receiving {
    pub(crate) fn new(setup: Setup) -> Arc<Self> {
        let receiving = Arc::new(Self {
            lanes_left: AtomicU16::new(setup.lanes),
            open_files: OpenFiles::new(setup.lanes),
            finisher: Finisher::new(setup.lanes),
            setup,
            at_work: Mutex::default(),
            lane_ended: Condvar::new(),
            tasks: Waiting::new(),
            to_hash: Waiting::new(),
            hashing: Mutex::default(),
            slots: Mutex::default(),
            path_bytes: AtomicUsize::new(0),
            large: Mutex::default(),
            announced: AtomicU64::new(0),
            has_stream: AtomicBool::new(false),
            outcomes: AtomicU64::new(0),
            all_known: AtomicBool::new(false),
            behind: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            tally: Mutex::default(),
        });
        let stop: Arc<dyn Stop> = receiving.clone();
        receiving.link.stop_with(Arc::downgrade(&stop));
        receiving
    }

    pub(super) fn slots(&self) -> MutexGuard<'_, HashMap<EntryId, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn large(&self) -> MutexGuard<'_, HashMap<EntryId, (Arc<Slot>, u64)>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A wanted file that has no outcome.
    pub(super) fn slot(&self, entry: EntryId) -> Option<Arc<Slot>> {
        self.slots().get(&entry).cloned()
    }

    /// Has the planner see to what waits for removals, once all else has its outcome. Both who gives
    /// the last outcome and who learns that it was the last entry ask: in one order for all, so
    /// that one of them sees what the other has done.
    pub(super) fn rest_if_due(&self) {
        let behind = self.behind.load(Ordering::SeqCst);
        if behind > 0
            && self.all_known.load(Ordering::SeqCst)
            && self.outcomes.load(Ordering::SeqCst) + behind
                == self.announced.load(Ordering::Acquire)
        {
            self.tasks.push(Task::Rest, TASK_BYTES);
        }
    }

    /// Whether there is, or was, such an entry.
    pub(super) fn was_announced(&self, entry: EntryId) -> bool {
        entry < self.announced.load(Ordering::Acquire)
    }

    pub(super) fn broken(&self, what: impl fmt::Display) -> Error {
        Error::protocol(self.link.peer, what)
    }

    /// Whether one more file can be wanted.
    pub(super) fn check_room(&self) -> Result<(), Why> {
        if self.path_bytes.load(Ordering::Acquire) < MAX_PATH_BYTES {
            Ok(())
        } else {
            Err(Why::Limit(Limit::Names))
        }
    }

    /// Takes up wanted files.
    pub(super) fn add_slots(&self, slots: &[Arc<Slot>]) {
        let bytes = slots.iter().map(|slot| slot.path.as_bytes().len()).sum();
        self.path_bytes.fetch_add(bytes, Ordering::AcqRel);
        let all = slots.iter().map(|slot| (slot.entry, slot.clone()));
        self.slots().extend(all);
        slots.iter().for_each(|slot| self.watch(slot));
    }

    /// Has it told how far a file is, where it is large.
    pub(super) fn watch(&self, slot: &Arc<Slot>) {
        let size = slot.size();
        if slot.is_stream {
            // It is what its session is about, and has no size to measure it by.
            self.large().insert(slot.entry, (slot.clone(), 0));
        } else if size > u64::from(CHUNK_SIZE) {
            self.large().insert(slot.entry, (slot.clone(), 0));
            self.progress.event(&Event::FileStarted {
                session: self.session,
                entry: slot.entry,
                path: &slot.path,
                size,
                verified: &slot.verified,
            });
        }
    }

    /// Takes out a wanted file that `chunk` is the whole of. None for one that is not needed (any
    /// more).
    pub(super) fn take_whole(&self, chunk: &ChunkHeader) -> Result<Option<Whole>> {
        let mut slots = self.slots();
        let Some(slot) = slots.get(&chunk.entry) else {
            drop(slots);
            return self.not_wanted(chunk.entry).map(|()| None);
        };
        let incoming = slot.take_whole(chunk).map_err(|what| self.broken(what))?;
        let Some(incoming) = incoming else {
            return Ok(None);
        };
        let slot = slots.remove(&chunk.entry);
        Ok(slot.map(|slot| Whole { slot, incoming }))
    }

    /// Whether data may come of an entry that is not wanted: it may have failed while that was on
    /// its way.
    pub(super) fn not_wanted(&self, entry: EntryId) -> Result<()> {
        if self.was_announced(entry) {
            Ok(())
        } else {
            Err(self.broken("a chunk of what was not announced"))
        }
    }

    /// Runs the session on its control connection, to its end.
    pub(crate) fn run(self: &Arc<Self>, channel: Channel) -> Result<Summary> {
        let Channel {
            mut reader,
            mut writer,
            ..
        } = channel;
        // A peer that stops reading must not hold its session up for ever.
        let _ = writer.set_timeout(Some(SILENCE));
        let unannounced = AtomicU64::new(0);
        thread::scope(|scope| {
            let plan = || {
                let planned = self.plan().and_then(|ended| match ended {
                    true => self.conclude(unannounced.load(Ordering::Acquire)),
                    false => Ok(()),
                });
                if let Err(error) = planned {
                    self.link.fail(error);
                }
            };
            let write = || self.link.write(&mut writer, REPORT, || self.report());
            let finish = || self.finish_files();
            let mut workers = 0..self.finisher.workers();
            let spawned = (self.link.spawn(scope, Worker::Writer, write))
                .and_then(|()| self.link.spawn(scope, Worker::Hasher, || self.hold_files()))
                .and_then(|()| self.link.spawn(scope, Worker::Planner, plan))
                .and_then(|()| {
                    workers.try_for_each(|_| self.link.spawn(scope, Worker::Finisher, finish))
                });
            if let Err(error) = spawned {
                self.link.fail(error);
            }
            let listen = |reader: &mut _| self.listen(reader, &unannounced);
            self.link.listen(&mut reader, listen);
            self.link.close_all();
        });
        // Whoever hears that the session has ended finds nothing of it at work, and nothing that
        // it holds on to.
        self.wait_for_lanes();
        self.slots().clear();
        self.large().clear();
        if let Target::Folder(store) = &self.target {
            store.leave();
        }
        self.link.result()?;
        Ok(*self.tally())
    }

    /// Whether its sender can go on with it in another session, should this one be lost. Not with a
    /// stream, which it cannot read again, nor where what came was written on.
    pub(crate) fn can_go_on(&self) -> bool {
        let was_used = match &self.target {
            Target::Folder(_) => false,
            Target::Output(output) => output.was_used(),
        };
        !was_used && !self.has_stream.load(Ordering::Acquire)
    }

    fn working(&self) -> MutexGuard<'_, usize> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a lane is at work, until what it gets is dropped.
    pub(super) fn at_work(&self) -> AtWork<'_> {
        *self.working() += 1;
        AtWork(self)
    }

    /// Waits until the lanes, which are closed, have noticed it.
    fn wait_for_lanes(&self) {
        let mut lanes = self.working();
        while *lanes > 0 {
            lanes = self
                .lane_ended
                .wait(lanes)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Handles what the sender says, to its end.
    fn listen(&self, reader: &mut Reader, unannounced: &AtomicU64) {
        let mut order = ReceivingOrder::new(self.window);
        let mut buffer = Vec::new();
        let ended = loop {
            // Only a whole message is a sign of life.
            reader.set_deadline(Some(Instant::now() + SILENCE));
            match read_frame(reader, &mut buffer) {
                Ok(Frame::Message(message)) => {
                    let message = match aborted(self.link.peer, message) {
                        Ok(error) => break Err(error),
                        Err(message) => message,
                    };
                    self.link.heard();
                    let outcomes = self.outcomes.load(Ordering::Acquire);
                    if let Err(error) = order.check(&message, outcomes) {
                        break Err(self.broken(error));
                    }
                    let ends = matches!(message, Message::End(_));
                    if let Err(error) = self.hear(message, unannounced) {
                        break Err(error);
                    }
                    if ends {
                        break Ok(());
                    }
                }
                Ok(Frame::Chunk(_)) => {
                    break Err(self.broken("a chunk on the control connection"));
                }
                Err(error) => break Err(self.link.wire_error(error)),
            }
        };
        let drained = match ended {
            // The sender reads the summary, and then ends its side.
            Ok(()) => self.wait_for_end(reader, &mut buffer),
            Err(error) => Err(error),
        };
        if let Err(error) = drained {
            self.link.fail(error);
            reader.set_deadline(Some(Instant::now() + LAST_WORDS));
            let _ = reader.drain();
        }
        self.link.heard_end();
    }

    /// Reads pings and answers until the sender ends its side, which it does after the summary: it has as long
    /// for that as for any message, however much it pings.
    fn wait_for_end(&self, reader: &mut Reader, buffer: &mut Vec<u8>) -> Result<()> {
        let mut last = None;
        loop {
            let deadline = Instant::now() + SILENCE;
            if self.link.is_over() {
                last.get_or_insert(deadline);
            }
            reader.set_deadline(Some(last.unwrap_or(deadline)));
            match read_frame(reader, buffer) {
                Ok(Frame::Message(Message::Ping(()))) => self.link.heard(),
                Ok(Frame::Message(Message::Decisions(decisions)))
                    if self.asked.swap(false, Ordering::AcqRel) =>
                {
                    self.link.heard();
                    self.tasks.push(Task::Decisions(decisions.0), TASK_BYTES);
                }
                Ok(Frame::Message(message)) => {
                    return Err(aborted(self.link.peer, message)
                        .unwrap_or_else(|_| self.broken("a message behind the end")));
                }
                Ok(_) => return Err(self.broken("a message behind the end")),
                // All is stored and on disk once the summary is out: how the sender goes does
                // not matter then.
                Err(_) if self.link.is_over() => return Ok(()),
                Err(error) => return Err(self.link.wire_error(error)),
            }
        }
    }

    fn hear(&self, message: Message, unannounced: &AtomicU64) -> Result<()> {
        checkpoint(Worker::Control);
        let task = match message {
            Message::Entries(entries) => {
                let mut entries = entries.0;
                let n = entries.len() as u64;
                self.announced.fetch_add(n, Ordering::AcqRel);
                let mut bytes = TASK_BYTES + entries.len() * size_of::<Entry>();
                for entry in &mut entries {
                    // What this version does not know of an entry, it does not keep.
                    entry.extras = Vec::new();
                    if matches!(entry.kind, Kind::Stream) {
                        self.has_stream.store(true, Ordering::Release);
                    }
                    bytes += entry.variable_bytes();
                }
                self.tasks.push(Task::Entries(entries), bytes);
                self.wait_for_room();
                return Ok(());
            }
            Message::Scanned(scanned) => {
                let counters = &self.counters;
                counters
                    .entries_total
                    .store(scanned.entries, Ordering::Relaxed);
                counters.bytes_total.store(scanned.bytes, Ordering::Relaxed);
                let known = scanned.complete && !self.has_stream.load(Ordering::Acquire);
                counters.scanned.store(known, Ordering::Release);
                if !scanned.complete {
                    return Ok(());
                }
                Task::Announced
            }
            Message::DirEnd(DirEnd { complete, .. }) => Task::DirEnd { complete },
            Message::Done(done) => Task::Done(done),
            Message::Skipped(skipped) => Task::Skipped(skipped),
            Message::Changed(changed) => Task::Changed(changed),
            Message::Decisions(decisions) if self.asked.swap(false, Ordering::AcqRel) => {
                Task::Decisions(decisions.0)
            }
            Message::Decisions(_) => return Err(self.broken("a message Decisions out of turn")),
            Message::End(end) => {
                unannounced.store(end.unannounced, Ordering::Release);
                Task::End
            }
            _ => return Ok(()),
        };
        let bytes = match &task {
            Task::Skipped(skipped) => TASK_BYTES + skipped.why.variable_bytes(),
            _ => TASK_BYTES,
        };
        self.tasks.push(task, bytes);
        self.wait_for_room();
        Ok(())
    }

    /// Reads no more for as long as too much waits: for the planner, or to be written. Neither
    /// waits for the one that reads.
    fn wait_for_room(&self) {
        self.tasks.wait_below(MAX_TASK_BYTES);
        self.link.outbox.wait_below(MAX_OUTBOX_BYTES);
    }
}

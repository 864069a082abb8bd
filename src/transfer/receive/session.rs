//! A receiving session: its parts, its threads, and its control connection.
//!
//! Must not touch the disk in the thread that reads the control connection: that one only
//! decodes and hands on.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tracing::debug;

use super::super::link::{Link, SILENCE, Stop};
use crate::model::digest::Algorithm;
use crate::model::entry::Entry;
use crate::model::error::Result;
use crate::model::outcome::Summary;
use crate::model::progress::Counters;
use crate::net::{Channel, Fingerprint, LAST_WORDS, Reader, aborted};
use crate::source::Selection;
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{DirEnd, Frame, Message, Verified, read_frame};

use super::accounts::Accounts;
use super::bound::OfferBound;
use super::budgets::SessionBudget;
use super::chunk::ChunkTaker;
use super::finish::Finisher;
use super::hasher::HeldHasher;
use super::lane::ReceivingLane;
use super::lanes::{Activity, ReceivingLanes};
use super::open_files::OpenFiles;
use super::output::OutputPlanner;
use super::planner::Planner;
use super::queue::{PlannerTask, WorkQueue};
use super::removal::RemovalTerms;
use super::setup::{Destination, SessionSetup};
use super::sums::SessionSums;
use super::wanted::WantedFiles;

/// How often the sender is told how far its files are.
const REPORT: Duration = Duration::from_millis(200);

/// A receiving session.
pub(crate) struct ReceiveSession {
    pub(crate) number: u64,
    pub(crate) owner: Fingerprint,
    pub(crate) link: Arc<Link>,
    pub(crate) counters: Arc<Counters>,
    algorithm: Algorithm,
    destination: Destination,
    sync: bool,
    window: u32,
    workers: u16,
    tasks: Arc<WorkQueue<PlannerTask>>,
    accounts: Arc<Accounts>,
    budget: Arc<SessionBudget>,
    wanted: Arc<WantedFiles>,
    activity: Arc<Activity>,
    hasher: HeldHasher,
    finisher: Finisher,
    lanes: ReceivingLanes,
    sums: Option<Arc<SessionSums>>,
    bound: Option<OfferBound>,
    selection: Option<Selection>,
    removal: RemovalTerms,
}

impl fmt::Debug for ReceiveSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReceiveSession").field(&self.number).finish()
    }
}

impl Stop for ReceiveSession {
    fn stop(&self) {
        self.tasks.close();
        self.hasher.files.close();
        self.finisher.close();
        if let Destination::Output(output) = &self.destination {
            output.stop();
        }
        self.wanted.wake_all();
    }
}

impl ReceiveSession {
    /// A session of the sender `owner`.
    pub(crate) fn new(owner: Fingerprint, setup: SessionSetup) -> Arc<Self> {
        let SessionSetup {
            number,
            link,
            algorithm,
            progress,
            counters,
            window,
            lanes,
            destination,
            budget,
            ..
        } = setup;
        let tasks = Arc::new(WorkQueue::new());
        let heard = (progress.clone(), counters.clone());
        let accounts = Accounts::new(number, window, heard, link.clone(), tasks.clone());
        let accounts = Arc::new(accounts);
        let wanted = Arc::new(WantedFiles::new(
            OpenFiles::new(lanes, budget.clone()),
            accounts.clone(),
        ));
        let activity = Arc::new(Activity::default());
        let sums = match (setup.sums, &destination) {
            (Some(sums), Destination::Folder(store)) => Some(Arc::new(SessionSums {
                sums,
                store: store.clone(),
                is_over: {
                    let link = link.clone();
                    Box::new(move || link.is_over())
                },
                algorithm,
                session: number,
                progress,
            })),
            _ => None,
        };
        let session = Arc::new(Self {
            number,
            owner,
            bound: setup.bound,
            selection: setup.selection,
            removal: setup.removal,
            algorithm,
            sync: setup.sync,
            window,
            workers: Finisher::workers(lanes),
            hasher: HeldHasher {
                algorithm,
                link: link.clone(),
                wanted: wanted.clone(),
                activity: activity.clone(),
                end_silent: setup.end_silent,
                budget: budget.clone(),
                files: WorkQueue::new(),
                hashing: Mutex::default(),
            },
            finisher: Finisher {
                algorithm,
                link: link.clone(),
                accounts: accounts.clone(),
                wanted: wanted.clone(),
                tasks: tasks.clone(),
                activity: activity.clone(),
                sums: sums.clone(),
                jobs: WorkQueue::new(),
                most_jobs: Finisher::most_jobs(),
            },
            lanes: ReceivingLanes::new(lanes, counters.clone(), activity.clone()),
            link,
            counters,
            destination,
            tasks,
            accounts,
            budget,
            wanted,
            activity,
            sums,
        });
        let stop: Arc<dyn Stop> = session.clone();
        session.link.stop_with(Arc::downgrade(&stop));
        session
    }

    /// Whether one more lane may join, which then counts.
    pub(crate) fn take_lane(&self) -> bool {
        self.lanes.take()
    }

    /// Receives chunks from a lane, to its end.
    pub(crate) fn lane(&self, channel: Channel) {
        let lane = ReceivingLane {
            link: &self.link,
            accounts: &self.accounts,
            wanted: &self.wanted,
            finisher: &self.finisher,
            lanes: &self.lanes,
            activity: &self.activity,
            output: match &self.destination {
                Destination::Output(output) => Some(output),
                Destination::Folder(_) => None,
            },
            chunks: ChunkTaker::new(&self.link, self.algorithm, &self.counters.times),
        };
        lane.run(channel);
    }

    /// The folder that it stores into, if it stores anything.
    pub(crate) fn stores_into(&self) -> Option<&Path> {
        match &self.destination {
            Destination::Output(_) => None,
            Destination::Folder(store) => Some(store.path()),
        }
    }

    /// Runs the session on its control connection, to its end.
    pub(crate) fn run(&self, channel: Channel) -> Result<Summary> {
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
                if let Err(error) = self.plan(&unannounced) {
                    self.link.fail(error);
                }
            };
            let write = || self.link.write(&mut writer, REPORT, || self.report());
            let finish = || self.finisher.run();
            let mut workers = 0..self.workers;
            let spawned = (self.link.spawn(scope, Worker::Writer, write))
                .and_then(|()| self.link.spawn(scope, Worker::Hasher, || self.hasher.run()))
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
        self.lanes.wait_for_end();
        self.wanted.clear();
        if let Destination::Folder(store) = &self.destination {
            store.leave();
        }
        self.link.result()?;
        Ok(self.accounts.summary())
    }

    /// How far it is, as a number that changes whenever it gets on; none while this side has work to
    /// do, for which its sender may have to wait.
    pub(crate) fn progress(&self) -> Option<u64> {
        if self.activity.is_at_work() || self.activity.waits_for_others() {
            return None;
        }
        let Counters {
            entries_done,
            bytes_done,
            ..
        } = &*self.counters;
        let announced = self.accounts.announced();
        let [entries, bytes] = [entries_done, bytes_done].map(Counters::get);
        let others = [entries, bytes, self.activity.asked()];
        Some(others.iter().fold(announced, |sum, &n| sum.wrapping_add(n)))
    }

    /// Whether this side has work to do that takes as long as it does.
    pub(crate) fn is_at_work(&self) -> bool {
        self.activity.is_at_work()
    }

    /// What grows with everything that moves in it.
    pub(crate) fn moved(&self) -> u64 {
        self.lanes.moved()
    }

    /// Whether its sender can go on with it in another session, should this one be lost. Not with a
    /// stream, which it cannot read again, nor where what came was written on.
    pub(crate) fn can_go_on(&self) -> bool {
        let was_used = match &self.destination {
            Destination::Folder(_) => false,
            Destination::Output(output) => output.was_used(),
        };
        !was_used && !self.accounts.has_stream()
    }

    /// Puts the list of sums in order, behind the last line of this session.
    pub(crate) fn settle_sums(&self) {
        if let Some(sums) = &self.sums {
            sums.settle();
        }
    }

    /// An error where the list of sums does not have all that it should have.
    pub(crate) fn check_sums(&self) -> Result<()> {
        self.sums.as_ref().map_or(Ok(()), |sums| sums.check())
    }

    /// What was stored and what failed so far.
    pub(crate) fn so_far(&self) -> Summary {
        self.accounts.summary()
    }

    /// How far the files are that have moved since it was last asked.
    fn report(&self) -> Option<Message> {
        let mut list = Vec::new();
        if let Destination::Output(output) = &self.destination {
            list.extend(output.report());
        }
        self.wanted.report(&mut list);
        (!list.is_empty()).then_some(Message::Verified(Verified(list)))
    }

    /// Decides what becomes of entries, and has the last words.
    fn plan(&self, unannounced: &AtomicU64) -> Result<()> {
        let mut free = None;
        match &self.destination {
            Destination::Folder(store) => {
                let planner = Planner {
                    store,
                    algorithm: self.algorithm,
                    most_deferred: self.window as usize / 2,
                    link: &self.link,
                    accounts: &self.accounts,
                    budget: &self.budget,
                    wanted: &self.wanted,
                    hasher: &self.hasher,
                    finisher: &self.finisher,
                    tasks: &self.tasks,
                    activity: &self.activity,
                    bound: self.bound.as_ref(),
                    selection: self.selection.as_ref(),
                    removal_terms: &self.removal,
                };
                if !planner.run()? {
                    return Ok(());
                }
                let _at_work = self.activity.work();
                let removal = planner.removal();
                removal.run()?;
                removal.fail_folders();
                let began = Instant::now();
                store.finish()?;
                let not_kept = store.not_kept().into_iter();
                not_kept.for_each(|not_kept| self.accounts.not_kept(not_kept));
                debug!(session = self.number, took = ?began.elapsed(), "all is on disk");
                free = store.free().filter(|_| store.is_dry());
            }
            Destination::Output(output) => {
                let planner = OutputPlanner {
                    output,
                    link: &self.link,
                    accounts: &self.accounts,
                    tasks: &self.tasks,
                    algorithm: self.algorithm,
                    bound: self.bound.as_ref(),
                };
                if !planner.run()? {
                    return Ok(());
                }
                let _at_work = self.activity.work();
                if self.sync {
                    output.sync()?;
                }
            }
        }
        let mut summary = self.accounts.summarize(unannounced.load(Ordering::Acquire));
        summary.free = free.or(summary.free);
        // All is stored and on disk: from here on it does not matter how the sender goes.
        self.link.complete();
        self.link.outbox.push(Message::Summary(summary));
        self.link.outbox.close();
        Ok(())
    }

    /// Handles what the sender says, until it ends its side, which it does after the summary.
    fn listen(&self, reader: &mut Reader, unannounced: &AtomicU64) {
        if let Err(error) = self.listen_to_end(reader, unannounced) {
            self.link.fail(error);
            reader.set_deadline(Some(Instant::now() + LAST_WORDS));
            let _ = reader.drain();
        }
        self.link.heard_end();
    }

    fn listen_to_end(&self, reader: &mut Reader, unannounced: &AtomicU64) -> Result<()> {
        let mut buffer = Vec::new();
        let (mut ended, mut last) = (false, None);
        loop {
            // Only a whole message is a sign of life. Behind the summary it has as long for its end
            // as for any message, however much it pings.
            let deadline = Instant::now() + SILENCE;
            if ended && self.link.is_over() {
                last.get_or_insert(deadline);
            }
            reader.set_deadline(Some(last.unwrap_or(deadline)));
            match read_frame(reader, &mut buffer) {
                Ok(Frame::Message(message)) => {
                    let message = match aborted(self.link.peer, message) {
                        Ok(error) => return Err(error),
                        Err(message) => message,
                    };
                    self.accounts
                        .hear(&message)
                        .map_err(|what| self.accounts.breach(what))?;
                    self.link.heard();
                    ended |= matches!(message, Message::End(_));
                    self.hear(message, unannounced);
                }
                Ok(Frame::Chunk(_)) if ended => {
                    return Err(self.accounts.breach("a message behind the end"));
                }
                Ok(Frame::Chunk(_)) => {
                    return Err(self.accounts.breach("a chunk on the control connection"));
                }
                // All is stored and on disk once the summary is out: how the sender goes does
                // not matter then.
                Err(_) if ended && self.link.is_over() => return Ok(()),
                Err(error) => return Err(self.link.wire_error(error)),
            }
        }
    }

    /// Hands on what the sender says, which it may say now.
    fn hear(&self, message: Message, unannounced: &AtomicU64) {
        checkpoint(Worker::Control);
        let mut bytes = PlannerTask::BYTES;
        let task = match message {
            Message::Entries(entries) => {
                let mut entries = entries.0;
                bytes += entries.len() * size_of::<Entry>();
                for entry in &mut entries {
                    entry.forget_unknown_extras();
                    bytes += entry.variable_bytes();
                }
                PlannerTask::Entries(entries)
            }
            Message::Scanned(scanned) => {
                let counters = &self.counters;
                let (found, size) = (&counters.entries_total, &counters.bytes_total);
                found.store(scanned.entries, Ordering::Relaxed);
                size.store(scanned.bytes, Ordering::Relaxed);
                let known = scanned.complete && !self.accounts.has_stream();
                counters.scanned.store(known, Ordering::Release);
                if !scanned.complete {
                    return;
                }
                PlannerTask::Announced
            }
            Message::DirEnd(DirEnd { complete, .. }) => PlannerTask::DirEnd { complete },
            Message::Done(done) => PlannerTask::Done(done),
            Message::Skipped(skipped) => {
                bytes += skipped.why.variable_bytes();
                PlannerTask::Skipped(skipped)
            }
            Message::Changed(changed) => PlannerTask::Changed(changed),
            Message::Decisions(decisions) => PlannerTask::Decisions(decisions.0),
            Message::RemovalAnswer(answer) => PlannerTask::RemovalAnswer(answer),
            Message::End(end) => {
                unannounced.store(end.unannounced, Ordering::Release);
                self.link.lanes_are_done();
                PlannerTask::End
            }
            _ => return,
        };
        self.tasks.push(task, bytes);
        // No more is read for as long as too much waits: for the planner, or to be written. Neither
        // waits for the one that reads.
        let most = self.budget.waiting_bytes();
        self.tasks.wait_below(most);
        self.link.outbox.wait_below(most);
    }
}

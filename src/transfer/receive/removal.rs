//! The end of a mirror: what its sender does not have is removed, once it has said so, and then
//! what that was in the way of is stored.
//!
//! Must not remove anything after a failure: what was moved may not be in its new place yet.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::model::error::{Action, Error, Result};
use crate::model::progress::Event;
use crate::model::relpath::RelPath;
use crate::model::surplus::{Decision, Surplus};
use crate::store::StoreSession;
use crate::wire::{MayRemove, Message, Removed, limits};

use super::file::Slot;
use super::planner::{Behind, Task};
use super::session::{MAX_OUTBOX_BYTES, Receiving};

/// How many bytes of paths travel in a message, about.
const MAX_PATHS_BYTES: usize = 64 << 10;

impl Receiving {
    /// Sees to what waits for removals, which are made for that before the end.
    pub(super) fn rest(
        &self,
        store: &Arc<StoreSession>,
        behind: &mut Vec<Behind>,
        wanted: &mut Vec<Arc<Slot>>,
    ) -> Result<()> {
        // From here on its entries are as any others.
        self.behind.store(0, Ordering::Release);
        self.remove_surplus(store)?;
        for Behind { folder, entry } in behind.drain(..) {
            let planned = self.plan_entry(store, &folder, &entry);
            self.settle(entry, planned, wanted);
        }
        Ok(())
    }

    /// Removes what the sender of a mirror does not have, unless something failed.
    pub(super) fn remove_surplus(&self, store: &StoreSession) -> Result<()> {
        // It may still hold on to the last file, and with that to its folder.
        drop(self.hashing.lock());
        self.fail_folders(store);
        if self.has_failed() {
            store.keep_surplus();
            return Ok(());
        }
        let (mut list, mut bytes, mut told) = (Vec::new(), 0, 0);
        let send = |list: &mut Vec<RelPath>| {
            self.link.outbox.wait_below(MAX_OUTBOX_BYTES);
            let list = std::mem::take(list);
            self.link.outbox.push(Message::Removed(Removed(list)));
        };
        let tell = |path: RelPath| {
            self.count_removed(1);
            told += 1;
            self.progress.event(&Event::Removed {
                session: self.session,
                path: &path,
            });
            bytes += path.as_bytes().len();
            list.push(path);
            if list.len() == limits::MAX_LIST || bytes > MAX_PATHS_BYTES {
                send(&mut list);
                bytes = 0;
            }
        };
        let removed = store
            .remove_surplus(
                |surplus| self.decisions(surplus),
                || self.link.is_over(),
                tell,
            )
            .map_err(|e| Error::file(Action::WriteInto, &self.dir, e))?;
        if !list.is_empty() {
            send(&mut list);
        }
        // What has no path that could be told.
        self.count_removed(removed.saturating_sub(told));
        Ok(())
    }

    /// Asks the sender what is to become of things. Once the session is over everything stays.
    fn decisions(&self, surplus: Vec<Surplus>) -> Vec<Decision> {
        let mut decisions = Vec::with_capacity(surplus.len());
        let (mut question, mut bytes) = (Vec::new(), 0);
        let mut left = surplus.into_iter().peekable();
        while let Some(one) = left.next() {
            bytes += one.path.as_bytes().len();
            question.push(one);
            let full = question.len() == limits::MAX_LIST || bytes > MAX_PATHS_BYTES;
            if full || left.peek().is_none() {
                decisions.extend(self.ask_sender(std::mem::take(&mut question)));
                bytes = 0;
            }
        }
        decisions
    }

    fn ask_sender(&self, question: Vec<Surplus>) -> Vec<Decision> {
        let count = question.len();
        let stay = vec![Decision::Keep; count];
        self.asked.store(true, Ordering::Release);
        self.link
            .outbox
            .push(Message::MayRemove(MayRemove(question)));
        while let Some(task) = self.tasks.pop() {
            match task {
                Task::Decisions(decisions) if decisions.len() == count => return decisions,
                Task::Decisions(_) => {
                    self.link.fail(self.broken("an answer to something else"));
                    return stay;
                }
                // Nothing is left to be done but this.
                _ => {}
            }
        }
        stay
    }
}

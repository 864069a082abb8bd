//! The end of a mirror: asks the sender about surplus, has the store remove what may go, and
//! reports it.
//!
//! Must not remove anything after a failure: what was moved may not be in its new place yet.

use super::super::link::Link;
use crate::model::error::{Action, Error, Result};
use crate::model::progress::Event;
use crate::model::relpath::RelPath;
use crate::model::surplus::{Decision, Surplus};
use crate::store::StoreSession;
use crate::wire::{MayRemove, Message, Removed, limits};

use super::accounts::Accounts;
use super::hasher::HeldHasher;
use super::queue::{PlannerTask, WorkQueue};

/// How many bytes of paths travel in a message, about.
const MAX_PATHS_BYTES: usize = 64 << 10;

/// What removes surplus, on the planner's thread.
pub(super) struct Removal<'a> {
    pub(super) store: &'a StoreSession,
    pub(super) link: &'a std::sync::Arc<Link>,
    pub(super) accounts: &'a Accounts,
    pub(super) hasher: &'a HeldHasher,
    pub(super) tasks: &'a WorkQueue<PlannerTask>,
}

impl Removal<'_> {
    /// Removes what the sender of a mirror does not have, unless something failed.
    pub(super) fn run(&self) -> Result<()> {
        // It may still hold on to the last file, and with that to its folder.
        self.hasher.wait();
        self.fail_folders();
        if self.accounts.has_failed() {
            self.store.keep_surplus();
            return Ok(());
        }
        if self.accounts.has_postponed() {
            // What comes with the next run may be here by another name until then.
            self.store.keep_surplus_but_obstacles();
        }
        let (mut list, mut bytes, mut told) = (Vec::new(), 0, 0);
        let send = |list: &mut Vec<RelPath>| {
            let most = self.hasher.budget.waiting_bytes();
            self.link.outbox.wait_below(most);
            let list = std::mem::take(list);
            self.link.outbox.push(Message::Removed(Removed(list)));
        };
        let tell = |path: RelPath| {
            self.accounts.removed(1);
            told += 1;
            self.accounts.progress.event(&Event::Removed {
                session: self.accounts.session,
                path: &path,
            });
            bytes += path.as_bytes().len();
            list.push(path);
            if list.len() == limits::MAX_LIST || bytes > MAX_PATHS_BYTES {
                send(&mut list);
                bytes = 0;
            }
        };
        let decide = |surplus| self.decisions(surplus);
        let removed = self
            .store
            .remove_surplus(decide, || self.link.is_over(), tell)
            .map_err(|e| Error::file(Action::WriteInto, self.store.path(), e))?;
        if !list.is_empty() {
            send(&mut list);
        }
        // What has no path that could be told.
        self.accounts.removed(removed.saturating_sub(told));
        Ok(())
    }

    /// Tells of folders of which something could not be done.
    pub(super) fn fail_folders(&self) {
        for failed in self.store.failed_folders() {
            self.accounts.folder_failed(failed);
        }
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
        self.accounts.ask(Message::MayRemove(MayRemove(question)));
        while let Some(task) = self.tasks.pop() {
            match task {
                PlannerTask::Decisions(decisions) if decisions.len() == count => return decisions,
                PlannerTask::Decisions(_) => {
                    let what = "an answer to something else";
                    self.link.fail(self.accounts.breach(what));
                    break;
                }
                // Nothing is left to be done but this.
                _ => {}
            }
        }
        vec![Decision::Keep; count]
    }
}

//! The end of a mirror: asks the sender about surplus, has the store remove what may go, and
//! reports it. Before that it settles with both users how much may go.
//!
//! Must not remove anything after a failure: what was moved may not be in its new place yet.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::link::Link;
use crate::model::error::{Action, Error, Result};
use crate::model::outcome::Role;
use crate::model::progress::Event;
use crate::model::prompt::{Prompt, ProposedRemoval, REMOVAL_TIME};
use crate::model::relpath::RelPath;
use crate::model::surplus::{
    Decision, MaxDelete, Objection, RemovalAnswer, RemovalCount, RemovalQuestion, Surplus,
};
use crate::store::StoreSession;
use crate::wire::{Features, MayRemove, Message, Removed, limits};

use super::accounts::Accounts;
use super::hasher::HeldHasher;
use super::lanes::Activity;
use super::queue::{PlannerTask, WorkQueue};

/// How many bytes of paths travel in a message, about.
const MAX_PATHS_BYTES: usize = 64 << 10;
/// How long the sender waits at most to hear how much is removed.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// What this side's user lets a mirror remove.
#[derive(Debug)]
pub(crate) struct RemovalTerms {
    pub(crate) max_delete: Option<MaxDelete>,
    pub(crate) prompt: Arc<dyn Prompt>,
    /// Whether it is this side's user who asked for it, and not the sender.
    pub(crate) is_wished_here: bool,
    /// What the sender is called.
    pub(crate) peer: String,
}

/// What removes surplus, on the planner's thread.
pub(super) struct Removal<'a> {
    pub(super) store: &'a StoreSession,
    pub(super) link: &'a Arc<Link>,
    pub(super) accounts: &'a Accounts,
    pub(super) hasher: &'a HeldHasher,
    pub(super) tasks: &'a WorkQueue<PlannerTask>,
    pub(super) terms: &'a RemovalTerms,
    /// Whoever removes is at work.
    pub(super) activity: &'a Activity,
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
        let mut sent = Instant::now();
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
            let is_full = list.len() == limits::MAX_LIST || bytes > MAX_PATHS_BYTES;
            // The sender's user may be watching.
            if is_full || sent.elapsed() > TELL_EVERY {
                send(&mut list);
                (bytes, sent) = (0, Instant::now());
            }
        };
        let decide = |surplus| self.decisions(surplus);
        let allow = |count: RemovalCount| {
            let allowed = self.allow(count);
            if allowed.is_ok() {
                self.accounts.begin_removal(count.would_go);
            }
            allowed
        };
        let removed = self
            .store
            .remove_surplus(decide, allow, || self.link.is_over(), tell)
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
        match self.ask(Message::MayRemove(MayRemove(question))) {
            Some(PlannerTask::Decisions(decisions)) if decisions.len() == count => decisions,
            Some(_) => {
                self.not_asked();
                vec![Decision::Keep; count]
            }
            None => vec![Decision::Keep; count],
        }
    }

    /// What the sender says to a question; none once the session is over.
    fn ask(&self, question: Message) -> Option<PlannerTask> {
        // What takes long from here on is the sender's answer.
        let _asking = self.activity.ask();
        self.accounts.ask(question);
        while let Some(task) = self.tasks.pop() {
            match task {
                PlannerTask::Decisions(_) | PlannerTask::RemovalAnswer(_) => return Some(task),
                // Nothing is left to be done but this.
                _ => {}
            }
        }
        None
    }

    fn not_asked(&self) {
        let what = "an answer to something else";
        self.link.fail(self.accounts.breach(what));
    }

    /// How much may go of what would, by both sides' limits; where there are none and it is much,
    /// by what a user says. In a dry run no user of this side is asked.
    fn allow(&self, count: RemovalCount) -> std::result::Result<u64, Objection> {
        let limit = self.terms.max_delete;
        if let Some(limit) = limit.filter(|limit| limit.is_passed_by(count)) {
            return Err(Objection::ReceiverLimit(limit));
        }
        let needs_yes = limit.is_none() && count.is_doubtful();
        let most = match limit {
            Some(limit) => limit.of(count.there),
            None if needs_yes => u64::MAX,
            None => count.most_unasked(),
        };
        let said = match self.terms.is_wished_here {
            // The sender is not asked what this side's user alone decides.
            true => RemovalAnswer::Nobody,
            false => self.sender_allows(RemovalQuestion { count, needs_yes }),
        };
        match said {
            RemovalAnswer::AtMost(number) if number >= count.would_go => Ok(most.min(number)),
            RemovalAnswer::AtMost(number) => Err(Objection::SenderLimit(MaxDelete::Count(number))),
            RemovalAnswer::Limit(limit) => Err(Objection::SenderLimit(limit)),
            RemovalAnswer::No => Err(Objection::SenderNo),
            RemovalAnswer::Nobody if !needs_yes => Ok(most),
            RemovalAnswer::Nobody => match self.user_allows(count) {
                Some(true) => Ok(count.would_go),
                Some(false) => Err(Objection::ReceiverNo),
                None => Err(Objection::Nobody),
            },
        }
    }

    /// What the sender says to how much would go; one that is too old to be asked says nothing.
    fn sender_allows(&self, question: RemovalQuestion) -> RemovalAnswer {
        if !self.link.outbox.understands(Features::MORE_REASONS) {
            return RemovalAnswer::Nobody;
        }
        let asking = &self.accounts.counters.asking;
        asking.store(question.needs_yes, Ordering::Relaxed);
        let answer = self.ask(Message::RemovalQuestion(question));
        asking.store(false, Ordering::Relaxed);
        match answer {
            Some(PlannerTask::RemovalAnswer(answer)) => answer,
            Some(_) => {
                self.not_asked();
                RemovalAnswer::No
            }
            None => RemovalAnswer::No,
        }
    }

    fn user_allows(&self, count: RemovalCount) -> Option<bool> {
        if self.store.is_dry() {
            return None;
        }
        let removal = ProposedRemoval {
            role: Role::Receiver,
            is_wished_here: self.terms.is_wished_here,
            peer: self.terms.peer.clone(),
            count,
        };
        let asked = Instant::now();
        let gone = || self.link.is_over() || asked.elapsed() > REMOVAL_TIME;
        self.terms.prompt.confirm_removal(&removal, &gone)
    }
}

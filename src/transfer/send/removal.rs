//! What the sender of a mirror says to what the receiver would remove: what of it may go, and
//! whether so much may.
//!
//! Must not say yes for a user who has not.

use std::time::Instant;

use crate::model::outcome::{Outcome, Role, Summary, Why};
use crate::model::progress::Counters;
use crate::model::prompt::{Prompt, ProposedRemoval, REMOVAL_TIME};
use crate::model::reason::SystemError;
use crate::model::relpath::RelPath;
use crate::model::surplus::{
    Decision, MaxDelete, RemovalAnswer, RemovalCount, RemovalQuestion, Surplus, SurplusKind,
};
use crate::model::text::Text;
use crate::source::{Roots, SurplusDecider, WalkedFolders};
use crate::wire::Features;

use super::super::link::Link;
use super::entries::UnsettledEntries;
use super::report::SessionReport;

/// What this side's user lets a mirror remove.
#[derive(Clone, Copy)]
pub(super) struct RemovalConsent<'a> {
    pub(super) max_delete: Option<MaxDelete>,
    pub(super) prompt: &'a dyn Prompt,
    /// What the receiver is called.
    pub(super) peer: &'a str,
    pub(super) dry_run: bool,
}

/// What answers the receiver's questions.
pub(super) struct RemovalAnswers<'a> {
    terms: RemovalConsent<'a>,
    decider: SurplusDecider,
    /// Whether the receiver is one that does not ask how much may go: it is counted here then.
    is_older: bool,
    /// How many things it has asked about.
    asked: u64,
    /// How many of them may go.
    going: u64,
    /// The first that stays because they were too many.
    too_much: Option<RelPath>,
}

impl<'a> RemovalAnswers<'a> {
    pub(super) fn new(
        roots: &Roots,
        walked: &WalkedFolders,
        terms: RemovalConsent<'a>,
        link: &Link,
    ) -> Self {
        Self {
            terms,
            decider: SurplusDecider::new(roots, walked),
            is_older: !link.outbox.understands(Features::MORE_REASONS),
            asked: 0,
            going: 0,
            too_much: None,
        }
    }

    /// What is to become of each.
    pub(super) fn decide(
        &mut self,
        surplus: &[Surplus],
        entries: &UnsettledEntries,
        counters: &Counters,
    ) -> Vec<Decision> {
        let mut decisions = self.decider.decide(surplus);
        let Some(limit) = self.terms.max_delete.filter(|_| self.is_older) else {
            return decisions;
        };
        self.asked = self.asked.saturating_add(surplus.len() as u64);
        let most = limit.of(self.there(entries, counters));
        for (one, decision) in surplus.iter().zip(&mut decisions) {
            if *decision == Decision::Keep {
                continue;
            }
            // What is in it counts, too.
            if matches!(one.kind, SurplusKind::Dir) {
                *decision = Decision::AskInside;
            }
            if self.going < most {
                self.going += 1;
            } else {
                *decision = Decision::Keep;
                self.too_much.get_or_insert_with(|| one.path.clone());
            }
        }
        decisions
    }

    /// How many things are there, as far as it is known here.
    fn there(&self, entries: &UnsettledEntries, counters: &Counters) -> u64 {
        let Summary {
            stored,
            replaced,
            failed,
            ..
        } = entries.stored();
        let new = stored.saturating_sub(replaced).saturating_add(failed);
        let found = Counters::get(&counters.entries_done).saturating_sub(new);
        found.saturating_add(self.asked)
    }

    /// Whether so much may go.
    pub(super) fn answer(
        &self,
        question: &RemovalQuestion,
        gone: &dyn Fn() -> bool,
    ) -> RemovalAnswer {
        let RemovalQuestion { count, needs_yes } = *question;
        match self.terms.max_delete {
            Some(limit) if limit.is_passed_by(count) => return RemovalAnswer::Limit(limit),
            Some(limit) => return RemovalAnswer::AtMost(limit.of(count.there)),
            None if !needs_yes => return RemovalAnswer::AtMost(u64::MAX),
            None => {}
        }
        match self.ask(count, gone) {
            Some(true) => RemovalAnswer::AtMost(count.would_go),
            Some(false) => RemovalAnswer::No,
            None => RemovalAnswer::Nobody,
        }
    }

    fn ask(&self, count: RemovalCount, gone: &dyn Fn() -> bool) -> Option<bool> {
        if self.terms.dry_run {
            return None;
        }
        let removal = ProposedRemoval {
            is_wished_here: true,
            role: Role::Sender,
            peer: self.terms.peer.to_owned(),
            count,
        };
        let asked = Instant::now();
        let gone = || gone() || asked.elapsed() > REMOVAL_TIME;
        self.terms.prompt.confirm_removal(&removal, &gone)
    }

    /// The summary, with what stays because of the limit as a failure: the receiver does not know
    /// of it.
    pub(super) fn summary(&self, summary: Summary, report: &SessionReport<'_>) -> Summary {
        let (Some(path), Some(limit)) = (&self.too_much, self.terms.max_delete) else {
            return summary;
        };
        let words = format!(
            "--max-delete {limit} is reached, and this receiver cannot say before how much would go"
        );
        let why = Why::NotRemoved(SystemError::Other(Text::new(words)));
        let path = path.as_path();
        let folder = path.parent().unwrap_or(&path);
        report.outcome(folder, None, &Outcome::Failed(why));
        // Each entry counts once, and that folder was there.
        Summary {
            have: summary.have.saturating_sub(1),
            failed: summary.failed.saturating_add(1),
            ..summary
        }
    }
}

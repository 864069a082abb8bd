//! `ToldSession`: a session of which a person is told, and the words for its entries.
//!
//! Must not print, and must not make names fit for a terminal: the screen does, for all lines.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use xfer::model::outcome::{Outcome, Role, Why};
use xfer::model::progress::Counters;
use xfer::model::surplus::Objection;

use super::line::Line::{self, Talk, Trouble};
use super::options::OutputOptions;
use super::plan::{self, DryRunPlan};
use super::removals;
use super::safe::safe;
use super::sentences;
use super::summary::Terms;
use super::tally::Tally;

/// A session of which a person is told.
#[derive(Debug)]
pub(super) struct ToldSession {
    pub(super) role: Role,
    /// Whether this side dialed.
    pub(super) dialed: bool,
    pub(super) peer: String,
    pub(super) terms: Terms,
    pub(super) began: Instant,
    pub(super) counters: Arc<Counters>,
    pub(super) tally: Tally,
    /// Where it is stored, as a person writes it.
    pub(super) dir: Option<String>,
    /// What a dry run would do.
    pub(super) plan: DryRunPlan,
    pub(super) told_hint: bool,
    /// Whether a mirror removed nothing because it would have been too much.
    pub(super) keeps_surplus: bool,
}

/// An entry that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToldEntry<'a> {
    pub(super) path: &'a Path,
    pub(super) size: u64,
    pub(super) is_file: bool,
    pub(super) outcome: &'a Outcome,
}

impl ToldSession {
    /// Whether it brings files to the side that dialed.
    fn fetches(&self) -> bool {
        self.dialed == (self.role == Role::Receiver)
    }

    /// What is said of an entry that ended. Of failures that were `told`, a sender says nothing.
    pub(super) fn entry(
        &mut self,
        ended: &ToldEntry<'_>,
        settings: OutputOptions,
        told: &mut HashSet<String>,
    ) -> Vec<Line> {
        let ToldEntry {
            path,
            size,
            is_file,
            outcome,
        } = *ended;
        let mut lines = Vec::new();
        let verbose = settings.verbose;
        let shown = safe(path);
        let is_failed = matches!(outcome, Outcome::Failed(_));
        self.tally.failed_files += u64::from(is_failed && is_file);
        if self.terms.wish.dry_run {
            // Behind all that would go, where not all of it is shown.
            if let (Outcome::Failed(Why::TooManyRemovals { count, objection }), true) =
                (outcome, self.dialed)
            {
                self.keeps_surplus = true;
                self.tally.asks_first += u64::from(matches!(objection, Objection::Nobody));
                let text = removals::planned(*count, *objection);
                lines.push(Trouble(format!("{shown}: {text}")));
                return lines;
            }
            match self.dialed {
                false => {}
                true if verbose => lines.push(Line::Result(plan::entry(path, outcome).1)),
                true => self.plan.entry(path, size, outcome),
            }
            return lines;
        }
        match outcome {
            Outcome::Failed(why) => {
                let is_much = matches!(why, Why::TooManyRemovals { .. });
                self.keeps_surplus |= is_much;
                if !self.tally.failure(path, why) && !verbose && !is_much {
                    return lines;
                }
                let why_words = sentences::why(path, why);
                let text = match (self.dialed, self.role) {
                    (true, _) => format!("Failed: {shown}: {why_words}"),
                    (_, Role::Sender) => format!("Failed: {shown} to {}: {why_words}", self.peer),
                    (_, Role::Receiver) => {
                        format!("Failed: {shown} from {}: {why_words}", self.peer)
                    }
                };
                if self.dialed && !verbose && !told.insert(text.clone()) {
                    return lines;
                }
                lines.push(Trouble(text));
                if let Why::TooManyRemovals { count, objection } = why
                    && let Some(hint) =
                        removals::hint(self.role, self.dialed, count.would_go, *objection)
                {
                    lines.push(Trouble(format!("        {hint}")));
                }
                if matches!(why, Why::Space { .. }) && !std::mem::replace(&mut self.told_hint, true)
                {
                    let is_stream = self.counters.is_stream.load(Ordering::Relaxed);
                    let what = match is_stream {
                        true => "send all of it again",
                        false if self.fetches() => "fetch again to resume",
                        false => "send again to resume",
                    };
                    let text = format!("        Free some space, then {what}.");
                    lines.push(Trouble(text));
                }
            }
            Outcome::Stored(Some(to)) => {
                let first = self.tally.renamed(path, &to.as_path());
                if verbose || settings.plain && first {
                    let to = to.as_path();
                    let to = safe(&*to);
                    lines.push(Talk(format!("Stored: {shown} as {to}")));
                }
            }
            Outcome::Stored(None) if verbose => lines.push(Talk(format!("Stored: {shown}"))),
            Outcome::Replaced if verbose => lines.push(Talk(format!("Replaced: {shown}"))),
            Outcome::Kept if verbose || settings.plain => {
                lines.push(Talk(format!("Skipped: {shown}: something has that name")));
            }
            Outcome::Have(Some(at)) if verbose => {
                let at = at.as_path();
                let at = safe(&*at);
                lines.push(Talk(format!("Already there: {shown} as {at}")));
            }
            Outcome::Have(None) if verbose => {
                lines.push(Talk(format!("Already there: {shown}")));
            }
            _ => {}
        }
        lines
    }
}

//! A sender's control connection: handles what the receiver says.
//!
//! Must not read what is sent: this thread only decodes, keeps count and hands on, and looks for
//! what a mirror's receiver asks about.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::model::digest::Algorithm;
use crate::model::error::{Error, Result};
use crate::model::outcome::Summary;
use crate::model::surplus::RemovalAnswer;
use crate::net::{Reader, aborted};
use crate::source::{Roots, WalkedFolders};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{Decisions, Frame, Message, read_frame};

use super::super::link::{Link, SILENCE};
use super::super::message_order::SendingEvent;
use super::entries::{Credits, UnsettledEntries};
use super::order::SharedOrder;
use super::queue::Queue;
use super::removal::{RemovalAnswers, RemovalConsent};
use super::report::SessionReport;
use super::stream::StreamInput;

/// How many bytes may wait for a receiver to read them: far more than the entries of the largest
/// window have.
const MOST_UNREAD: usize = 256 << 20;

/// What the thread that reads the control connection hands on to.
pub(super) struct Control<'a> {
    pub(super) link: &'a Arc<Link>,
    pub(super) order: &'a SharedOrder<'a>,
    pub(super) entries: &'a UnsettledEntries,
    pub(super) credits: &'a Credits,
    pub(super) queue: &'a Queue,
    /// Where a stream comes from.
    pub(super) input: Option<&'a StreamInput>,
    /// How many bytes of files were sent.
    pub(super) moved: &'a AtomicU64,
    pub(super) roots: &'a Roots,
    /// Where this session's walk has been.
    pub(super) walked: &'a WalkedFolders,
    pub(super) removal: RemovalConsent<'a>,
    pub(super) algorithm: Algorithm,
    pub(super) report: SessionReport<'a>,
}

impl Control<'_> {
    /// Handles what the receiver says, to its end. Gives the summary, if it came to that.
    pub(super) fn listen(&self, reader: &mut Reader) -> Option<Summary> {
        let ended = self.read(reader);
        let summary = match ended {
            Ok(summary) => {
                self.link.outbox.close();
                self.link.complete();
                Some(summary)
            }
            Err(error) => {
                self.link.fail(error);
                None
            }
        };
        // What still comes says nothing any more; the peer's end says that it has heard ours.
        reader.set_deadline(Some(Instant::now() + SILENCE));
        let _ = reader.drain();
        self.link.heard_end();
        summary
    }

    fn read(&self, reader: &mut Reader) -> Result<Summary> {
        let mut buffer = Vec::new();
        let mut answers = RemovalAnswers::new(self.roots, self.walked, self.removal, self.link);
        loop {
            // Only a whole message is a sign of life.
            reader.set_deadline(Some(Instant::now() + SILENCE));
            match read_frame(reader, &mut buffer) {
                Ok(Frame::Message(message)) => {
                    checkpoint(Worker::Control);
                    self.link.heard();
                    // The thread that writes may be waiting to do so.
                    self.link.look();
                    if let Some(summary) = self.hear(message, &mut answers)? {
                        return Ok(summary);
                    }
                    if self.link.outbox.waiting() > MOST_UNREAD {
                        return Err(self.broken("more questions and outcomes than it reads"));
                    }
                }
                Ok(Frame::Chunk(_)) => return Err(self.broken("a chunk from the receiver")),
                Err(error) => return Err(self.link.wire_error(error)),
            }
        }
    }

    /// Handles a message; gives the summary when it was that.
    fn hear(&self, message: Message, answers: &mut RemovalAnswers<'_>) -> Result<Option<Summary>> {
        let failed = match &message {
            Message::Summary(_) => self.entries.stored().failed,
            _ => 0,
        };
        self.order
            .check(&message, failed)
            .map_err(|violation| self.broken(violation))?;
        match message {
            Message::Wants(wants) => {
                let jobs = self.entries.want(&wants.0, self.algorithm, &self.report);
                self.queue.push(jobs.map_err(|what| self.broken(what))?);
            }
            Message::Held(held) => {
                let job = self.entries.held(held);
                self.queue.push(job.map_err(|what| self.broken(what))?);
            }
            Message::Outcomes(outcomes) => {
                let entries = outcomes.0.len() as u64;
                let settled = self.entries.settle(outcomes.0, &self.report);
                let has_stream = settled.map_err(|what| self.broken(what))?;
                if let Some(input) = self.input.filter(|_| has_stream) {
                    // It may wait for more of what nobody wants any more.
                    input.stop();
                }
                self.credits.give(entries);
                self.order.on(SendingEvent::Settled { entries });
            }
            Message::Verified(verified) => {
                let moved = self.moved.load(Ordering::Relaxed);
                self.entries
                    .verified(&verified, moved, self.report.counters);
            }
            Message::Removed(removed) => {
                removed.0.iter().for_each(|path| self.report.removed(path));
            }
            Message::FolderFailed(failed) => self.entries.folder_failed(failed, &self.report),
            Message::MayRemove(surplus) => {
                // Nothing else is to be heard while the receiver waits for it.
                let counters = self.report.counters;
                let decisions = answers.decide(&surplus.0, self.entries, counters);
                let decisions = Message::Decisions(Decisions(decisions));
                self.link.outbox.push(decisions);
            }
            Message::RemovalQuestion(question) => {
                // As long as its user takes to answer it, it waits.
                let answer = answers.answer(&question, &|| self.link.is_over());
                if matches!(answer, RemovalAnswer::AtMost(_) | RemovalAnswer::Nobody) {
                    let to_delete = &self.report.counters.to_delete;
                    to_delete.store(question.count.would_go, Ordering::Relaxed);
                }
                // Then the receiver asks its own user.
                let is_asked = question.needs_yes && answer == RemovalAnswer::Nobody;
                let asking = &self.report.counters.asking;
                asking.store(is_asked, Ordering::Relaxed);
                self.link.outbox.push(Message::RemovalAnswer(answer));
            }
            Message::NotKept(not_kept) => self.report.not_kept(&not_kept),
            Message::Summary(summary) => return Ok(Some(answers.summary(summary, &self.report))),
            // The order lets nothing else pass but these.
            other => {
                if let Ok(error) = aborted(self.link.peer, other) {
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    fn broken(&self, what: impl fmt::Display) -> Error {
        Error::protocol(self.link.peer, what)
    }
}

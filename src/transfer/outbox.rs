//! The outbox of a control connection: messages waiting to be written, and the loop that writes
//! them.
//!
//! Must not block the code that adds a message: it may be hashing or storing. Code that could fill
//! the outbox calls `wait_below` first.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::digest::Digest;
use crate::model::entry::Entry;
use crate::model::outcome::Outcome;
use crate::model::reason::AbortReason;
use crate::model::relpath::RelPath;
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{
    Entries, EntryOutcome, Features, Message, Outcomes, Want, Wants, limits, write_message,
};

/// How long an outbox stays silent at most.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long a few outcomes wait for more to travel with.
const LINGER: Duration = Duration::from_millis(2);
/// How many outcomes travel at once without waiting for more.
const ENOUGH: usize = 256;
/// How many bytes of lists go into one message, about: well below what a message may have.
const LIST_BYTES: usize = limits::MAX_MESSAGE_BYTES / 2;
/// What an element of a list takes beside its variable parts, in bytes, at most.
const ELEMENT_BYTES: usize = 128;

#[derive(Debug, Default)]
struct OutboxState {
    wants: Vec<Want>,
    messages: VecDeque<Message>,
    /// About how many bytes the last message has, if it is a list of entries.
    entry_bytes: usize,
    outcomes: Vec<EntryOutcome>,
    /// About how many bytes have been put in and not been written.
    bytes: usize,
    end: Option<OutboxEnd>,
}

#[derive(Debug, Clone)]
enum OutboxEnd {
    /// After everything that waits.
    Close,
    /// At once, with these words.
    Abort(AbortReason),
    /// At once, without a word.
    Drop,
}

impl OutboxState {
    fn push_entry(&mut self, entry: Entry) {
        let bytes = ELEMENT_BYTES + entry.variable_bytes();
        self.bytes += bytes;
        let room = self.entry_bytes + bytes <= LIST_BYTES;
        match self.messages.back_mut() {
            Some(Message::Entries(Entries(list))) if room && list.len() < limits::MAX_LIST => {
                list.push(entry);
                self.entry_bytes += bytes;
            }
            _ => {
                let list = Entries(vec![entry]);
                self.messages.push_back(Message::Entries(list));
                self.entry_bytes = bytes;
            }
        }
    }

    /// Whether what is put in would never be written.
    fn is_dead(&self) -> bool {
        matches!(self.end, Some(OutboxEnd::Abort(_) | OutboxEnd::Drop))
    }
}

/// Messages that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What the peer understands.
    features: Features,
    state: Mutex<OutboxState>,
    changed: Condvar,
    /// Signals that something was written.
    drained: Condvar,
}

/// What [`Outbox::run`] takes out at once.
struct Batch {
    wants: Vec<Want>,
    messages: VecDeque<Message>,
    outcomes: Vec<EntryOutcome>,
    bytes: usize,
    end: Option<OutboxEnd>,
}

impl Outbox {
    /// Whether the peer has these features, as this side has.
    pub(crate) fn understands(&self, features: Features) -> bool {
        self.features.has(features)
    }

    /// To a peer that has `features` in common with this side.
    pub(crate) fn new(features: Features) -> Self {
        Self {
            features,
            ..Self::default()
        }
    }

    fn state(&self) -> MutexGuard<'_, OutboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in a message.
    pub(crate) fn push(&self, message: Message) {
        let mut state = self.state();
        if state.is_dead() {
            return;
        }
        state.entry_bytes = LIST_BYTES;
        state.bytes += message_bytes(&message);
        state.messages.push_back(message);
        drop(state);
        self.changed.notify_one();
    }

    /// Puts in entries, which travel with their neighbours.
    pub(crate) fn push_entries(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut state = self.state();
        if state.is_dead() {
            return;
        }
        let before = state.messages.len();
        for entry in entries {
            state.push_entry(entry);
        }
        let wake = state.messages.len() > before;
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Puts in wants. They are written before any outcome that is put in later.
    pub(crate) fn push_wants(&self, wants: &[Want]) {
        let mut state = self.state();
        if state.is_dead() || wants.is_empty() {
            return;
        }
        state.bytes += size_of_val(wants);
        let wake = state.wants.is_empty();
        state.wants.extend_from_slice(wants);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Puts in an outcome.
    pub(crate) fn push_outcome(&self, outcome: EntryOutcome) {
        let mut state = self.state();
        if state.is_dead() {
            return;
        }
        state.bytes += ELEMENT_BYTES + outcome_bytes(&outcome.outcome);
        state.outcomes.push(outcome);
        if state.outcomes.len() == 1 || state.outcomes.len() == ENOUGH {
            self.changed.notify_one();
        }
    }

    /// Waits while more than `most` bytes wait to be written; not for one that has ended.
    pub(crate) fn wait_below(&self, most: usize) {
        let mut state = self.state();
        if state.bytes > most {
            debug!(
                bytes = state.bytes,
                "the peer does not read what is to be written: waiting"
            );
        }
        while state.bytes > most && state.end.is_none() {
            state = self
                .drained
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// About how many bytes have been put in and not been written.
    pub(crate) fn waiting(&self) -> usize {
        self.state().bytes
    }

    /// Ends it after what has been put in.
    pub(crate) fn close(&self) {
        self.end(OutboxEnd::Close);
    }

    /// Ends it at once. What waits is thrown away, and the peer is told why.
    pub(crate) fn abort(&self, why: AbortReason) {
        self.end(OutboxEnd::Abort(why));
    }

    /// Ends it at once.
    pub(crate) fn drop_all(&self) {
        self.end(OutboxEnd::Drop);
    }

    fn end(&self, end: OutboxEnd) {
        let mut state = self.state();
        if !state.is_dead() {
            state.end = Some(end);
        }
        drop(state);
        self.changed.notify_all();
        self.drained.notify_all();
    }

    fn frame(&self, message: &Message, bytes: &mut Vec<u8>) -> io::Result<()> {
        write_message(&message.for_peer(self.features), bytes).map_err(io::Error::other)
    }

    /// Notes that so many bytes that were taken out have been written.
    fn wrote(&self, bytes: usize) {
        self.state().bytes -= bytes;
        self.drained.notify_all();
    }

    /// Takes out what waits. Waits for something, at most until `deadline`.
    fn take(&self, deadline: Instant) -> Batch {
        let mut state = self.state();
        let mut linger = None;
        loop {
            let now = Instant::now();
            let urgent = !state.wants.is_empty() || !state.messages.is_empty();
            let until = if urgent || state.end.is_some() || state.outcomes.len() >= ENOUGH {
                now
            } else if state.outcomes.is_empty() {
                deadline
            } else {
                *linger.get_or_insert(now + LINGER)
            };
            let wait = until.saturating_duration_since(now);
            if wait.is_zero() {
                break;
            }
            state = self
                .changed
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.entry_bytes = LIST_BYTES;
        Batch {
            wants: std::mem::take(&mut state.wants),
            messages: std::mem::take(&mut state.messages),
            outcomes: std::mem::take(&mut state.outcomes),
            // What was taken before has been written.
            bytes: state.bytes,
            end: state.end.clone(),
        }
    }

    /// Writes what is put in, until it ends; pings when there is nothing else to say. Every
    /// `tick` it asks `report` for one more message. The writer is left flushed, not finished.
    pub(crate) fn run(
        &self,
        writer: &mut impl Write,
        tick: Duration,
        mut report: impl FnMut() -> Option<Message>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut written = Instant::now();
        let mut reported = Instant::now();
        loop {
            let batch = self.take((reported + tick).min(written + PING_INTERVAL));
            checkpoint(Worker::Writer);
            bytes.clear();
            match &batch.end {
                Some(OutboxEnd::Drop) => return Ok(()),
                Some(OutboxEnd::Abort(why)) => {
                    self.frame(&Message::Abort(why.clone()), &mut bytes)?;
                    writer.write_all(&bytes)?;
                    return writer.flush();
                }
                _ => {}
            }
            for wants in batch.wants.chunks(limits::MAX_LIST) {
                self.frame(&Message::Wants(Wants(wants.to_vec())), &mut bytes)?;
            }
            for message in &batch.messages {
                self.frame(message, &mut bytes)?;
                // No more memory than a few messages, however many wait.
                if bytes.len() > LIST_BYTES {
                    writer.write_all(&bytes)?;
                    bytes.clear();
                }
            }
            for list in split_outcomes(batch.outcomes) {
                self.frame(&Message::Outcomes(Outcomes(list)), &mut bytes)?;
            }
            // Nothing comes behind the last message.
            if reported.elapsed() >= tick && batch.end.is_none() {
                reported = Instant::now();
                if let Some(message) = report() {
                    self.frame(&message, &mut bytes)?;
                }
            }
            if bytes.is_empty() && written.elapsed() >= PING_INTERVAL {
                self.frame(&Message::Ping(()), &mut bytes)?;
            }
            if !bytes.is_empty() || !batch.messages.is_empty() {
                writer.write_all(&bytes)?;
                writer.flush()?;
                written = Instant::now();
            }
            if batch.end.is_some() {
                return Ok(());
            }
            if batch.bytes > 0 {
                self.wrote(batch.bytes);
            }
        }
    }
}

fn split_outcomes(outcomes: Vec<EntryOutcome>) -> Vec<Vec<EntryOutcome>> {
    let mut lists = Vec::new();
    let mut list = Vec::new();
    let mut bytes = 0;
    for outcome in outcomes {
        let more = ELEMENT_BYTES + outcome_bytes(&outcome.outcome);
        if !list.is_empty() && (bytes + more > LIST_BYTES || list.len() == limits::MAX_LIST) {
            lists.push(std::mem::take(&mut list));
            bytes = 0;
        }
        bytes += more;
        list.push(outcome);
    }
    if !list.is_empty() {
        lists.push(list);
    }
    lists
}

/// About how many bytes a message has, of those that can be large.
fn message_bytes(message: &Message) -> usize {
    match message {
        Message::Held(held) => ELEMENT_BYTES + held.digests.len() * size_of::<Option<Digest>>(),
        Message::Removed(list) => paths_bytes(list.0.iter()),
        Message::MayRemove(list) => paths_bytes(list.0.iter().map(|surplus| &surplus.path)),
        Message::RoomSay(line) => ELEMENT_BYTES + line.as_str().len(),
        Message::RoomSaid(said) => ELEMENT_BYTES + said.line.as_str().len(),
        _ => ELEMENT_BYTES,
    }
}

fn paths_bytes<'a>(paths: impl Iterator<Item = &'a RelPath>) -> usize {
    ELEMENT_BYTES
        + paths
            .map(|path| size_of_val(path) + path.as_bytes().len())
            .sum::<usize>()
}

fn outcome_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Stored(path) | Outcome::Have(path) => {
            path.as_ref().map_or(0, |path| path.as_bytes().len())
        }
        Outcome::Failed(why) => why.variable_bytes(),
        Outcome::Replaced | Outcome::Kept => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Frame, read_frame};

    fn written(outbox: &Outbox) -> Vec<Message> {
        let mut bytes = Vec::new();
        outbox
            .run(&mut bytes, Duration::from_secs(3600), || None)
            .unwrap();
        let (mut reader, mut buffer, mut messages) = (&bytes[..], Vec::new(), Vec::new());
        while let Ok(Frame::Message(message)) = read_frame(&mut reader, &mut buffer) {
            messages.push(message);
        }
        messages
    }

    fn want(entry: u64) -> Want {
        Want {
            entry,
            attempt: 0,
            held: false,
        }
    }

    fn have(entry: u64) -> EntryOutcome {
        EntryOutcome {
            entry,
            outcome: Outcome::Have(None),
        }
    }

    #[test]
    fn wants_go_before_outcomes_and_lists_travel_together() {
        let outbox = Outbox::default();
        for i in 0..10_000 {
            outbox.push_outcome(have(i));
            outbox.push_wants(&[want(i)]);
        }
        outbox.close();
        let messages = written(&outbox);
        let kinds: Vec<_> = messages.iter().map(Message::name).collect();
        assert_eq!(kinds[..3], ["Wants"; 3]);
        assert!(kinds[3..].iter().all(|&k| k == "Outcomes"));
        let outcomes: usize = messages
            .iter()
            .map(|m| {
                if let Message::Outcomes(o) = m {
                    o.0.len()
                } else {
                    0
                }
            })
            .sum();
        assert_eq!(outcomes, 10_000);
    }

    #[test]
    fn an_abort_overtakes_everything() {
        let outbox = Outbox::default();
        outbox.push(Message::Ping(()));
        outbox.abort(AbortReason::Stopped);
        outbox.close();
        assert_eq!(
            written(&outbox),
            [Message::AbortText("its user stopped it".into())]
        );
    }
}

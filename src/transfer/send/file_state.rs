//! The life of one entry on the sender's side, from its announcement to its outcome: what the
//! receiver may say of it when, and what follows.
//!
//! Must not touch a file, a socket or a lock: events in, actions out.
//!
//! ```text
//!   Announced --want--> Handed                      all of it may be sent
//!   Announced --want what differs--> Telling        what is held comes in lists, in order
//!   Telling --list--> Telling | Handed              what the list is about may be sent
//!   any --the file has changed--> Announced         another attempt
//!   any --outcome--> (gone)
//! ```

use std::fmt;

use crate::model::digest::chunk_count;
use crate::model::entry::{Entry, Kind};

/// What kind of entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryContent {
    /// Has chunks, a known size, and can be read again.
    File,
    /// Has chunks until it ends, once.
    Stream,
    /// Has nothing to send: a folder, a link.
    Nothing,
}

/// How far an attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FilePhase {
    /// The receiver has not said whether it wants it.
    Announced,
    /// The receiver tells what it holds: it has, of this many chunks.
    Telling(u64),
    /// All of it may be sent, and nothing more is to be said of it but how it ended.
    Handed,
}

/// An entry that has no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileState {
    content: EntryContent,
    attempt: u32,
    size: u64,
    phase: FilePhase,
    /// How many of its bytes count as done.
    counted: u64,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileEvent {
    /// The receiver wants it, and tells first what it holds of it if `held`.
    Want { attempt: u32, held: bool },
    /// The receiver tells what it holds of `count` chunks, from `first` on; of all others nothing,
    /// if these are the `last` that it tells of.
    Held {
        attempt: u32,
        first: u64,
        count: u64,
        last: bool,
    },
    /// The receiver has verified so many bytes; of a stream not more than were `sent`.
    Verified { bytes: u64, sent: u64 },
    /// It is not what was announced any more: another attempt begins.
    Changed { attempt: u32, size: u64 },
    /// A stream has turned out to be so large.
    StreamEnded { size: u64 },
    /// It has its outcome.
    Outcome,
}

/// What is to be done then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileAction {
    /// Nothing: it is about an attempt that is over.
    Nothing,
    /// Begin the attempt, and send nothing yet.
    Begin,
    /// Begin the attempt, and send all its chunks: so many.
    BeginAndSend { chunks: u64 },
    /// Send chunks `first` to `end`, without that one.
    Send { first: u64, end: u64 },
    /// Count so many more bytes as done.
    Count { bytes: u64 },
}

/// What the receiver must not say of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileViolation {
    WantOfNothing,
    WantTooEarly,
    WantAgain,
    WantOfHeldStream,
    HeldOfNothing,
    HeldUnwanted,
    HeldOutOfOrder,
    OutcomeOfNothing,
}

impl fmt::Display for FileViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WantOfNothing => "a want for what was not offered",
            Self::WantTooEarly => "a want for an attempt that has not begun",
            Self::WantAgain => "a second want for a file",
            Self::WantOfHeldStream => "a want for what is held of a stream",
            Self::HeldOfNothing => "a list of held chunks of what was not offered",
            Self::HeldUnwanted => "a list of held chunks of what is not wanted",
            Self::HeldOutOfOrder => "a list of held chunks out of order",
            Self::OutcomeOfNothing => "an outcome of what was not offered",
        })
    }
}

impl FileState {
    /// One that is about to be announced.
    pub(super) fn new(entry: &Entry) -> Self {
        Self {
            content: match entry.kind {
                Kind::File { .. } => EntryContent::File,
                Kind::Stream => EntryContent::Stream,
                _ => EntryContent::Nothing,
            },
            attempt: 0,
            size: entry.size(),
            phase: FilePhase::Announced,
            counted: 0,
        }
    }

    pub(super) fn content(&self) -> EntryContent {
        self.content
    }

    /// Its size, as it was announced last.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Takes an event, and says what follows. One that the receiver must not bring about changes
    /// nothing.
    pub(super) fn on(&mut self, event: FileEvent) -> Result<FileAction, FileViolation> {
        match event {
            FileEvent::Want { attempt, held } => self.want(attempt, held),
            FileEvent::Held {
                attempt,
                first,
                count,
                last,
            } => self.held(attempt, first, count, last),
            FileEvent::Verified { bytes, sent } => {
                let most = match self.content {
                    EntryContent::Stream => sent,
                    _ => self.size,
                };
                Ok(self.count(bytes.min(most)))
            }
            FileEvent::Changed { attempt, size } => {
                self.attempt = attempt;
                self.size = size;
                self.phase = FilePhase::Announced;
                Ok(FileAction::Nothing)
            }
            FileEvent::StreamEnded { size } => {
                self.size = size;
                Ok(FileAction::Nothing)
            }
            FileEvent::Outcome => Ok(self.count(self.size)),
        }
    }

    fn want(&mut self, attempt: u32, held: bool) -> Result<FileAction, FileViolation> {
        if self.content == EntryContent::Nothing {
            return Err(FileViolation::WantOfNothing);
        }
        if attempt > self.attempt {
            return Err(FileViolation::WantTooEarly);
        }
        if attempt < self.attempt {
            return Ok(FileAction::Nothing);
        }
        if self.phase != FilePhase::Announced {
            return Err(FileViolation::WantAgain);
        }
        if held && self.content == EntryContent::Stream {
            return Err(FileViolation::WantOfHeldStream);
        }
        if held {
            self.phase = FilePhase::Telling(0);
            return Ok(FileAction::Begin);
        }
        self.phase = FilePhase::Handed;
        Ok(FileAction::BeginAndSend {
            chunks: chunk_count(self.size),
        })
    }

    fn held(
        &mut self,
        attempt: u32,
        first: u64,
        count: u64,
        last: bool,
    ) -> Result<FileAction, FileViolation> {
        if attempt < self.attempt {
            return Ok(FileAction::Nothing);
        }
        if attempt > self.attempt || self.phase == FilePhase::Announced {
            return Err(FileViolation::HeldUnwanted);
        }
        let chunks = chunk_count(self.size);
        let end = first.saturating_add(count);
        if self.phase != FilePhase::Telling(first) || end > chunks || first == chunks {
            return Err(FileViolation::HeldOutOfOrder);
        }
        let end = if last { chunks } else { end };
        self.phase = match end == chunks {
            true => FilePhase::Handed,
            false => FilePhase::Telling(end),
        };
        Ok(FileAction::Send { first, end })
    }

    /// Counts `bytes` of it as done, of which some may be already.
    fn count(&mut self, bytes: u64) -> FileAction {
        let more = bytes.saturating_sub(self.counted);
        self.counted += more;
        FileAction::Count { bytes: more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::CHUNK_SIZE;

    const CHUNK: u64 = CHUNK_SIZE as u64;
    /// Three chunks.
    const SIZE: u64 = 2 * CHUNK + 1;

    fn state(content: EntryContent, attempt: u32, phase: FilePhase) -> FileState {
        FileState {
            content,
            attempt,
            size: SIZE,
            phase,
            counted: 0,
        }
    }

    fn want(attempt: u32, held: bool) -> FileEvent {
        FileEvent::Want { attempt, held }
    }

    fn held(attempt: u32, first: u64, count: u64, last: bool) -> FileEvent {
        FileEvent::Held {
            attempt,
            first,
            count,
            last,
        }
    }

    #[test]
    fn each_event_has_its_place_in_each_phase() {
        use FileAction::{Begin, BeginAndSend, Nothing, Send};
        use FilePhase::{Announced, Handed, Telling};
        use FileViolation::*;

        let all = BeginAndSend { chunks: 3 };
        let send = |first, end| Ok(Send { first, end });
        let file = |phase| state(EntryContent::File, 1, phase);
        let stream = |phase| state(EntryContent::Stream, 0, phase);
        let folder = state(EntryContent::Nothing, 0, Announced);
        let table = [
            // What it is, what happens, what follows, what it is then.
            (file(Announced), want(1, false), Ok(all), Handed),
            (file(Announced), want(1, true), Ok(Begin), Telling(0)),
            (file(Announced), want(0, false), Ok(Nothing), Announced),
            (file(Announced), want(0, true), Ok(Nothing), Announced),
            (
                file(Announced),
                want(2, false),
                Err(WantTooEarly),
                Announced,
            ),
            (file(Telling(0)), want(1, true), Err(WantAgain), Telling(0)),
            (file(Telling(2)), want(1, false), Err(WantAgain), Telling(2)),
            (file(Handed), want(1, false), Err(WantAgain), Handed),
            (file(Handed), want(0, false), Ok(Nothing), Handed),
            (file(Handed), want(2, false), Err(WantTooEarly), Handed),
            (stream(Announced), want(0, false), Ok(all), Handed),
            (
                stream(Announced),
                want(0, true),
                Err(WantOfHeldStream),
                Announced,
            ),
            (stream(Handed), want(0, false), Err(WantAgain), Handed),
            (
                folder.clone(),
                want(0, false),
                Err(WantOfNothing),
                Announced,
            ),
            (folder.clone(), want(0, true), Err(WantOfNothing), Announced),
            (folder, held(0, 0, 1, true), Err(HeldUnwanted), Announced),
            (
                file(Announced),
                held(1, 0, 1, false),
                Err(HeldUnwanted),
                Announced,
            ),
            (
                file(Announced),
                held(0, 0, 1, false),
                Ok(Nothing),
                Announced,
            ),
            (
                file(Telling(0)),
                held(2, 0, 1, false),
                Err(HeldUnwanted),
                Telling(0),
            ),
            (
                file(Telling(0)),
                held(0, 0, 1, false),
                Ok(Nothing),
                Telling(0),
            ),
            (
                file(Telling(0)),
                held(1, 0, 1, false),
                send(0, 1),
                Telling(1),
            ),
            (
                file(Telling(1)),
                held(1, 1, 1, false),
                send(1, 2),
                Telling(2),
            ),
            (file(Telling(2)), held(1, 2, 1, true), send(2, 3), Handed),
            (file(Telling(2)), held(1, 2, 1, false), send(2, 3), Handed),
            (file(Telling(1)), held(1, 1, 0, true), send(1, 3), Handed),
            (
                file(Telling(1)),
                held(1, 0, 1, false),
                Err(HeldOutOfOrder),
                Telling(1),
            ),
            (
                file(Telling(1)),
                held(1, 2, 1, false),
                Err(HeldOutOfOrder),
                Telling(1),
            ),
            (
                file(Telling(1)),
                held(1, 1, 3, false),
                Err(HeldOutOfOrder),
                Telling(1),
            ),
            (
                file(Telling(1)),
                held(1, 1, u64::MAX, true),
                Err(HeldOutOfOrder),
                Telling(1),
            ),
            (
                file(Handed),
                held(1, 3, 0, true),
                Err(HeldOutOfOrder),
                Handed,
            ),
            (
                file(Handed),
                held(1, 0, 1, true),
                Err(HeldOutOfOrder),
                Handed,
            ),
        ];
        for (before, event, expected, phase) in table {
            let mut state = before.clone();
            assert_eq!(state.on(event), expected, "{before:?} {event:?}");
            let after = FileState { phase, ..before };
            assert_eq!(state, after, "{event:?}");
        }
    }

    #[test]
    fn another_attempt_begins_anew_in_each_phase() {
        let now = FileEvent::Changed {
            attempt: 2,
            size: CHUNK,
        };
        for phase in [
            FilePhase::Announced,
            FilePhase::Telling(1),
            FilePhase::Handed,
        ] {
            let mut state = state(EntryContent::File, 1, phase);
            state.on(now).unwrap();
            assert_eq!(state.on(want(1, false)), Ok(FileAction::Nothing));
            assert_eq!(state.on(held(1, 1, 1, false)), Ok(FileAction::Nothing));
            let all = FileAction::BeginAndSend { chunks: 1 };
            assert_eq!(state.on(want(2, false)), Ok(all));
        }
    }

    #[test]
    fn no_byte_counts_twice_nor_beyond_the_size() {
        let verified = |bytes| FileEvent::Verified { bytes, sent: 7 };
        let count = |bytes| Ok(FileAction::Count { bytes });
        let mut file = state(EntryContent::File, 0, FilePhase::Handed);
        assert_eq!(file.on(verified(100)), count(100));
        assert_eq!(file.on(verified(50)), count(0));
        assert_eq!(file.on(verified(u64::MAX)), count(SIZE - 100));
        assert_eq!(file.on(FileEvent::Outcome), count(0));
        // A stream's size is not known before its end.
        let mut stream = state(EntryContent::Stream, 0, FilePhase::Handed);
        assert_eq!(stream.on(verified(u64::MAX)), count(7));
        stream.on(FileEvent::StreamEnded { size: 10 }).unwrap();
        assert_eq!(stream.on(FileEvent::Outcome), count(3));
    }
}

//! A receiver's lane: a thread from a socket to files.
//!
//! Must not believe a chunk: what is stored has come through `chunk`, which verifies it. Must not
//! hold a claim while it waits.

use std::sync::Arc;
use std::time::Instant;

use super::super::link::{HEARD, Link, SILENCE};
use crate::model::digest::chunk_offset;
use crate::model::error::{Error, Result};
use crate::model::outcome::{Outcome, Why};
use crate::model::reason::Limit;
use crate::net::{Channel, Reader, wire_error};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{ChunkHeader, Encoding, Frame, Message, WireError, read_frame_head};

use super::accounts::Accounts;
use super::chunk::{ChunkTaker, UNFINISHED};
use super::file::{ClaimedChunk, Expected, WantedFile};
use super::file_state::{Breach, Storing};
use super::finish::Finisher;
use super::lanes::{Activity, LOOK, Lateness, ReceivingLanes, STILL};
use super::output::Output;
use super::wanted::WantedFiles;

/// What a lane works for.
pub(super) struct ReceivingLane<'a> {
    pub(super) link: &'a Arc<Link>,
    pub(super) accounts: &'a Accounts,
    pub(super) wanted: &'a WantedFiles,
    pub(super) finisher: &'a Finisher,
    pub(super) lanes: &'a ReceivingLanes,
    pub(super) activity: &'a Activity,
    /// Where everything goes that does not go into a folder.
    pub(super) output: Option<&'a Output>,
    pub(super) chunks: ChunkTaker<'a>,
}

/// Why a chunk that waits is not waited for any longer.
enum NotWaited {
    Breach(Breach),
    Late(Error),
}

impl From<Breach> for NotWaited {
    fn from(breach: Breach) -> Self {
        Self::Breach(breach)
    }
}

impl ReceivingLane<'_> {
    /// Receives chunks, to the lane's end.
    pub(super) fn run(mut self, mut channel: Channel) {
        let _open = self.lanes.open();
        let mut buffer = Vec::new();
        // Without it a lane that ends nowhere is only waited for.
        let _ = channel.reader.set_timeout(Some(UNFINISHED));
        // Between frames it may be silent for as long as it likes: when its session ends, it is
        // closed.
        channel.reader.set_deadline(None);
        let ended = loop {
            let waited = channel.reader.wait().map_err(WireError::from);
            let read = waited.and_then(|()| read_frame_head(&mut channel.reader, &mut buffer));
            match read {
                Ok(Frame::Chunk(chunk)) => {
                    checkpoint(Worker::Lane);
                    self.chunks.clock.lap(|times| &times.network);
                    if let Err(error) = self.chunk(&chunk, &mut channel.reader) {
                        break Err(error);
                    }
                }
                Ok(Frame::Message(Message::LaneEnd(()))) => break Ok(()),
                Ok(Frame::Message(other)) => {
                    let what = format!("a message {} on a lane", other.name());
                    break Err(self.accounts.breach(what));
                }
                Err(error) => break Err(wire_error(self.link.peer, error, UNFINISHED)),
            }
        };
        match ended {
            // The sender reads to our end; whatever happens to it now, nothing is lost.
            Ok(()) => {
                let _ = channel.writer.finish();
                let deadline = Instant::now() + SILENCE;
                channel.reader.set_deadline(Some(deadline));
                let _ = channel.reader.drain();
            }
            Err(error) => self.link.fail(error),
        }
    }

    /// Takes a chunk, and what `reader` has of it.
    fn chunk(&mut self, chunk: &ChunkHeader, reader: &mut Reader) -> Result<()> {
        if let Some(output) = self.output {
            return output.chunk(
                chunk,
                reader,
                &mut self.chunks,
                self.accounts,
                self.activity,
            );
        }
        if chunk.whole && chunk.encoding != Encoding::Held {
            return self.whole(chunk, reader);
        }
        let Some(file) = self.wanted.get(chunk.entry) else {
            let what = "a chunk of what was not announced";
            self.accounts.check_announced(chunk.entry, what)?;
            return self.chunks.skip(chunk, reader);
        };
        let expected = file.expects(chunk);
        let expected = expected.map_err(|what| self.accounts.breach(what))?;
        let Some(Expected {
            chunk: as_,
            is_open,
            would_copy,
        }) = expected
        else {
            return self.chunks.skip(chunk, reader);
        };
        let data = self.chunks.verified(chunk, as_, reader)?;
        // What is held stays where it is, unless it is known that the file differs.
        if !is_open && (chunk.encoding != Encoding::Held || would_copy) {
            let may = wait_to_open(self.link, self.lanes, self.wanted, &file, chunk.attempt)?;
            if !may {
                return Ok(());
            }
        }
        let claimed = claim(self.link, self.lanes, &file, chunk);
        let claimed = claimed.map_err(|not| match not {
            NotWaited::Breach(what) => self.accounts.breach(what),
            NotWaited::Late(error) => error,
        })?;
        let Some(claimed) = claimed else {
            return Ok(());
        };
        let at_work = self.activity.work();
        let stored = match data {
            Err(why) => Err(why),
            Ok(mut data) => match claimed.storing() {
                Storing::Write if chunk.encoding == Encoding::Hole => {
                    claimed.content.incoming.write_hole(chunk.index)
                }
                Storing::Write => claimed
                    .content
                    .incoming
                    .write(chunk_offset(chunk.index), &mut data),
                Storing::InPlace | Storing::Keep => Ok(()),
                Storing::Copy => {
                    drop(at_work);
                    self.finisher.copy(&file, claimed, *chunk);
                    return Ok(());
                }
            },
        };
        drop(at_work);
        self.chunks.clock.lap(|times| &times.disk);
        self.settle(&file, claimed, chunk, stored)
    }

    /// Says of a claimed chunk whether it is stored.
    fn settle(
        &self,
        file: &Arc<WantedFile>,
        claimed: ClaimedChunk,
        chunk: &ChunkHeader,
        stored: Result<(), Why>,
    ) -> Result<()> {
        match stored {
            Ok(()) => self.finisher.stored(file, claimed, chunk.digest)?,
            Err(why) => self.finisher.not_stored(file, claimed, why),
        }
        self.finisher.wait_for_room();
        Ok(())
    }

    /// Stores a file that comes as one chunk.
    fn whole(&mut self, chunk: &ChunkHeader, reader: &mut Reader) -> Result<()> {
        let expected = super::file_state::ExpectedChunk {
            size: chunk.length.into(),
            index: 0,
        };
        let data = self.chunks.verified(chunk, expected, reader)?;
        let Some(whole) = self.wanted.take_whole(chunk)? else {
            return Ok(());
        };
        let at_work = self.activity.work();
        let outcome = data.and_then(|mut data| whole.incoming.store_whole(&mut data));
        drop(at_work);
        self.chunks.clock.lap(|times| &times.disk);
        let outcome = outcome.unwrap_or_else(|why| Some(Outcome::Failed(why)));
        self.finisher.whole(whole, chunk.digest, outcome);
        Ok(())
    }
}

fn lane_lost(link: &Link) -> Error {
    Error::Silent {
        peer: link.peer,
        seconds: STILL.as_secs(),
    }
}

/// Claims a chunk, when it is not too far ahead of the first missing one.
fn claim(
    link: &Link,
    lanes: &ReceivingLanes,
    file: &WantedFile,
    chunk: &ChunkHeader,
) -> Result<Option<ClaimedChunk>, NotWaited> {
    let mut waiting = None;
    file.claim(chunk, || {
        if link.is_over() {
            return Ok(None);
        }
        match waiting.get_or_insert_with(|| lanes.wait()).look() {
            Lateness::Fine => Ok(Some(LOOK)),
            Lateness::Breach => Err("a chunk too far ahead of the first missing one".into()),
            Lateness::Lost => Err(NotWaited::Late(lane_lost(link))),
        }
    })
}

/// Waits until a file may be open. False where it is over, or the session is.
fn wait_to_open(
    link: &Link,
    lanes: &ReceivingLanes,
    wanted: &WantedFiles,
    file: &WantedFile,
    attempt: u32,
) -> Result<bool> {
    let files = &wanted.open;
    let mut waiting = None;
    loop {
        let seen = files.version();
        match file.try_open(attempt, files) {
            Some(true) => return Ok(true),
            Some(false) if !link.is_over() => {}
            _ => return Ok(false),
        }
        let waiting = waiting.get_or_insert_with(|| lanes.wait());
        // Of a sender that is not heard, what it has to say of them may be on its way.
        let is_heard = || link.silent_for() < HEARD;
        match waiting.look_if(|| is_heard() && wanted.all_open_miss_chunks()) {
            Lateness::Fine => files.wait_for_change(seen, LOOK),
            // It begins more files than can be open before it ends any of them.
            Lateness::Breach => {
                let why = Why::Limit(Limit::Files);
                wanted.fail(file, why);
                return Ok(false);
            }
            Lateness::Lost => return Err(lane_lost(link)),
        }
    }
}

//! `Writer`: the sending half of a channel.
//!
//! Must not lock or allocate in the data path.

use std::fmt;
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::record::{Content, HEADER_BYTES, KeySchedule, Keys, MAX_PLAIN_BYTES, OVERHEAD_BYTES};
use super::timing::{Pace, timed_out};
use crate::model::progress::Counters;

/// The size of the pieces of [`Writer::room`], in bytes.
pub const PIECE_BYTES: usize = MAX_PLAIN_BYTES;
/// How many full records go to the system in one call.
const RECORDS: usize = 15;
/// A key update message that does not ask for one in return.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
/// The alert that ends a stream in order.
const CLOSE_NOTIFY: [u8; 2] = [1, 0];
/// The length of the record that carries a [`KEY_UPDATE`], in bytes.
const KEY_UPDATE_BYTES: usize = KEY_UPDATE.len() + OVERHEAD_BYTES;
/// The length of a full record, in bytes.
const FULL_BYTES: usize = MAX_PLAIN_BYTES + OVERHEAD_BYTES;
/// The size of the buffer at first, in bytes: enough for messages.
const FIRST_BYTES: usize = FULL_BYTES + KEY_UPDATE_BYTES;
/// The size of the buffer once a record was full, in bytes: enough for data.
const BUFFER_BYTES: usize = RECORDS * FULL_BYTES + KEY_UPDATE_BYTES;
/// After how many records the keys change. AES-GCM is safe for 2^24.5 full ones under one key (RFC
/// 8446, section 5.5).
const REKEY_RECORDS: u64 = 1 << 23;

/// The sending half of a channel. It buffers what is written until there is much of it, or until
/// [`Write::flush`]. A write takes everything or fails; after a failure, including a timeout, every
/// call fails. If it is dropped without [`Writer::finish`], the peer knows that something is
/// missing.
pub struct Writer {
    stream: Arc<TcpStream>,
    schedule: Arc<KeySchedule>,
    keys: Keys,
    /// Sealed records, followed by one that is being filled.
    buf: Box<[u8]>,
    sealed: usize,
    /// How many bytes of plaintext that one has.
    plain: usize,
    /// Room for much data at once: records that callers fill, sealed in place.
    room: Vec<u8>,
    state: WriterState,
    pub(super) rekey_records: u64,
    pub(super) counters: Option<Arc<Counters>>,
    pub(super) pace: Option<Arc<Pace>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterState {
    Open,
    Finished,
    Broken,
}

impl Writer {
    pub(super) fn new(stream: Arc<TcpStream>, schedule: Arc<KeySchedule>, keys: Keys) -> Self {
        Self {
            stream,
            schedule,
            keys,
            buf: vec![0; FIRST_BYTES].into(),
            sealed: 0,
            plain: 0,
            room: Vec::new(),
            state: WriterState::Open,
            rekey_records: REKEY_RECORDS,
            counters: None,
            pace: None,
        }
    }

    /// Sets how long the peer may accept nothing of what is sent; `None` waits forever. After that,
    /// the call fails as `TimedOut`, and the channel is broken.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    /// Room for `len` bytes, in the pieces in which they are sealed, each but the last of
    /// [`PIECE_BYTES`]. [`Self::send_room`] sends what is put there without copying it.
    pub fn room(&mut self, len: usize) -> impl Iterator<Item = &mut [u8]> {
        let bytes = room_bytes(len);
        if self.room.len() < bytes {
            self.room.resize(bytes, 0);
        }
        let last = len.div_ceil(PIECE_BYTES).saturating_sub(1);
        let records = self.room[..bytes].chunks_mut(FULL_BYTES).enumerate();
        records.map(move |(n, record)| {
            let end = match n == last {
                true => len - last * PIECE_BYTES,
                false => PIECE_BYTES,
            };
            &mut record[HEADER_BYTES..HEADER_BYTES + end]
        })
    }

    /// Whether the next `len` bytes written would go out together with what is buffered. If not,
    /// part of them would go out at once, and the rest would wait.
    #[must_use]
    pub fn keeps_together(&self, len: usize) -> bool {
        let full = (self.plain + len) / MAX_PLAIN_BYTES;
        self.sealed + full * FULL_BYTES <= (RECORDS - 1) * FULL_BYTES
    }

    /// Sends `len` bytes that were put into [`Self::room`], after everything written before.
    pub fn send_room(&mut self, len: usize) -> io::Result<()> {
        // The caller did not ask for as much room.
        if self.room.len() < room_bytes(len) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.attempt(|w| {
            w.flush_plain()?;
            let mut room = std::mem::take(&mut w.room);
            let sent = w.send_records(&mut room, len);
            w.room = room;
            sent
        })
    }

    /// Seals and sends the records in `room`, some at a time, while they are in the cache.
    fn send_records(&mut self, room: &mut [u8], len: usize) -> io::Result<()> {
        let mut left = len;
        for records in room.chunks_mut(RECORDS * FULL_BYTES) {
            if left == 0 {
                break;
            }
            if self.must_rekey() {
                self.change_keys()?;
                self.send()?;
            }
            let mut sealed = 0;
            while left > 0 && sealed < records.len() {
                let plain = left.min(PIECE_BYTES);
                sealed += self
                    .keys
                    .seal(&mut records[sealed..], plain, Content::Data)?;
                left -= plain;
            }
            self.give(&records[..sealed])?;
        }
        Ok(())
    }

    /// Sends what is left, and the end. To be sure that it arrives, read the other half to its end
    /// before dropping both.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.state == WriterState::Finished {
            return Ok(());
        }
        self.attempt(|w| {
            w.flush_plain()?;
            w.put(&CLOSE_NOTIFY);
            w.seal(Content::Alert)?;
            w.send()?;
            match w.stream.shutdown(Shutdown::Write) {
                // The peer has gone, having received all that it wanted.
                Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
                done => done,
            }
        })?;
        self.state = WriterState::Finished;
        Ok(())
    }

    /// Does something that leaves the stream in an unknown state if it fails.
    fn attempt(&mut self, what: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        match self.state {
            WriterState::Open => {}
            WriterState::Finished => return Err(io::ErrorKind::BrokenPipe.into()),
            WriterState::Broken => return Err(io::Error::other("the channel is broken")),
        }
        // Assumed until it has worked, so that not even a panic leaves half a record open.
        self.state = WriterState::Broken;
        what(self)?;
        self.state = WriterState::Open;
        Ok(())
    }

    /// Adds as much as fits to the record that is being filled; returns how much.
    fn put(&mut self, data: &[u8]) -> usize {
        let len = data.len().min(MAX_PLAIN_BYTES - self.plain);
        let at = self.sealed + HEADER_BYTES + self.plain;
        self.buf[at..at + len].copy_from_slice(&data[..len]);
        self.plain += len;
        len
    }

    fn must_rekey(&self) -> bool {
        self.schedule.take_asked() || self.keys.records() >= self.rekey_records
    }

    /// Seals the record that is being filled.
    fn seal(&mut self, content: Content) -> io::Result<()> {
        if self.must_rekey() {
            self.change_keys()?;
        }
        self.sealed += self
            .keys
            .seal(&mut self.buf[self.sealed..], self.plain, content)?;
        self.plain = 0;
        Ok(())
    }

    /// Inserts a key update record before the one that is being filled. [`Write::write`] keeps
    /// enough room.
    fn change_keys(&mut self) -> io::Result<()> {
        let start = self.sealed + HEADER_BYTES;
        self.buf
            .copy_within(start..start + self.plain, start + KEY_UPDATE_BYTES);
        self.buf[start..start + KEY_UPDATE.len()].copy_from_slice(&KEY_UPDATE);
        self.sealed += self.keys.seal(
            &mut self.buf[self.sealed..],
            KEY_UPDATE.len(),
            Content::Handshake,
        )?;
        self.keys = Keys::new(self.schedule.rekey(|r| r.next_tx())?)?;
        Ok(())
    }

    fn flush_plain(&mut self) -> io::Result<()> {
        if self.plain > 0 {
            self.seal(Content::Data)?;
        }
        self.send()
    }

    /// Makes room for another record.
    fn make_room(&mut self) -> io::Result<()> {
        if self.buf.len() == BUFFER_BYTES {
            return self.send();
        }
        let mut buf = vec![0; BUFFER_BYTES];
        buf[..self.buf.len()].copy_from_slice(&self.buf);
        self.buf = buf.into();
        Ok(())
    }

    /// Passes all sealed records to the system.
    fn send(&mut self) -> io::Result<()> {
        self.give(&self.buf[..self.sealed])?;
        self.sealed = 0;
        Ok(())
    }

    /// Passes all of these bytes to the system.
    fn give(&self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            let now = match &self.pace {
                Some(pace) => &rest[..pace.wait(rest.len())],
                None => rest,
            };
            let sent = match (&*self.stream).write(now) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => sent,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(timed_out(e)),
            };
            rest = &rest[sent..];
            if let Some(counters) = &self.counters {
                Counters::add(&counters.bytes_wire, sent as u64);
            }
        }
        Ok(())
    }
}

/// How many bytes the records for `len` bytes take up.
fn room_bytes(len: usize) -> usize {
    len.div_ceil(PIECE_BYTES) * FULL_BYTES
}

impl Write for Writer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.attempt(|w| {
            let mut rest = data;
            while !rest.is_empty() {
                rest = &rest[w.put(rest)..];
                if w.plain == MAX_PLAIN_BYTES {
                    w.seal(Content::Data)?;
                }
                if w.buf.len() - w.sealed < FULL_BYTES + KEY_UPDATE_BYTES {
                    w.make_room()?;
                }
            }
            Ok(())
        })?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.state == WriterState::Finished {
            return Ok(());
        }
        self.attempt(Self::flush_plain)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

//! `Reader`: the receiving half of a channel.
//!
//! Must not lock or allocate in the data path, nor mistake a broken connection for one that the
//! peer closed.

use std::fmt;
use std::io::{self, Read};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::record::{
    Content, HEADER_BYTES, KeySchedule, Keys, MAX_PLAIN_BYTES, MAX_RECORD_BYTES, OVERHEAD_BYTES,
    broken, sealed_record_len,
};
use super::timing::timed_out;
use crate::model::progress::Counters;

/// How many bytes one read may return: few enough to be in the cache still when they are decrypted.
const READ_BYTES: usize = 1 << 18;
/// How many bytes [`Reader::gather`] returns at most.
pub const MAX_GATHER_BYTES: usize = 1 << 20;
/// The size of the buffer for data, in bytes: everything gathered, and an incomplete record after
/// it.
const BUFFER_BYTES: usize = MAX_GATHER_BYTES + READ_BYTES + 2 * MAX_RECORD_BYTES;
/// Pieces below this size, in bytes, are merged, to limit their number.
const SMALL_PIECE_BYTES: usize = 4096;
/// How many records without data a peer may send in a row.
const MAX_IDLE_RECORDS: u32 = 32;
/// How a key update message begins: its type and its length.
const KEY_UPDATE: [u8; 4] = [24, 0, 0, 1];
/// The alert that ends a stream in order.
const CLOSE_NOTIFY: u8 = 0;

/// The receiving half of a channel. It ends, with `Ok(0)`, only if the peer said so. A connection
/// that ends without that is an `UnexpectedEof`, and a violation of TLS an `InvalidData`. After
/// either, every call fails.
pub struct Reader {
    stream: Arc<TcpStream>,
    schedule: Arc<KeySchedule>,
    keys: Keys,
    buf: Box<[u8]>,
    /// Decrypted, but not yet read.
    plain: Range<usize>,
    /// Not yet decrypted.
    sealed: Range<usize>,
    /// The pieces that [`Reader::gather`] returned, in order.
    pieces: Vec<Range<usize>>,
    idle: u32,
    state: ReaderState,
    deadline: Option<Instant>,
    /// How long a single read may wait if there is no deadline.
    timeout: Option<Duration>,
    /// Whether a deadline has set another timeout on the socket.
    timed: bool,
    pub(super) counters: Option<Arc<Counters>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReaderState {
    Open,
    Ended,
    Broken,
}

impl Reader {
    /// `buf` has room for at least two records; `sealed` is the part of it that arrived after the
    /// handshake.
    pub(super) fn new(
        stream: Arc<TcpStream>,
        schedule: Arc<KeySchedule>,
        keys: Keys,
        buf: Box<[u8]>,
        sealed: Range<usize>,
    ) -> Self {
        Self {
            stream,
            schedule,
            keys,
            buf,
            plain: 0..0,
            sealed,
            pieces: Vec::new(),
            idle: 0,
            state: ReaderState::Open,
            deadline: None,
            timeout: None,
            timed: false,
            counters: None,
        }
    }

    /// Enlarges its buffer for data. Until then, a peer that may never be let in costs no more
    /// memory than a handshake.
    pub(super) fn widen(&mut self) {
        if self.buf.len() < BUFFER_BYTES {
            let mut buf = vec![0; BUFFER_BYTES];
            buf[..self.buf.len()].copy_from_slice(&self.buf);
            self.buf = buf.into();
        }
    }

    /// Sets until when to wait for the peer, however many reads that takes; `None` waits forever. A
    /// peer that sends a byte now and then does not extend it. After the deadline, a read that
    /// would wait fails as `TimedOut`. Nothing is lost: with a new deadline, the next read
    /// continues.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Sets how long a single read may wait for the peer if there is no deadline; `None` waits
    /// forever. After that, the read fails as `TimedOut`. Nothing is lost: the next read continues.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        self.stream.set_read_timeout(timeout)
    }

    /// Waits until there is something to read, including the end, for as long as it takes: the
    /// timeout of a single read applies only once part of a record has arrived.
    pub fn wait(&mut self) -> io::Result<()> {
        loop {
            match self.next_plain() {
                Err(e) if e.kind() == io::ErrorKind::TimedOut && self.sealed.is_empty() => {}
                other => return other.map(drop),
            }
        }
    }

    /// Reads exactly the next `len` bytes without copying them, as pieces of the buffer: at most
    /// [`MAX_GATHER_BYTES`], and only on a channel that carries a session. Passes each piece to
    /// `see` at once, while it is in the processor's cache.
    pub fn gather(
        &mut self,
        len: usize,
        mut see: impl FnMut(&[u8]),
    ) -> io::Result<impl Iterator<Item = &[u8]>> {
        if len > MAX_GATHER_BYTES || self.buf.len() < BUFFER_BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.pieces.clear();
        let mut left = len;
        while left > 0 {
            match self.next_plain_for(left) {
                Ok(true) => {}
                Ok(false) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(e) => {
                    // The bytes gathered so far are lost.
                    self.state = ReaderState::Broken;
                    return Err(e);
                }
            }
            let start = self.plain.start;
            let piece = start..start + left.min(self.plain.len());
            self.plain.start = piece.end;
            left -= piece.len();
            see(&self.buf[piece.clone()]);
            self.keep(piece);
        }
        Ok(self.pieces.iter().map(|piece| &self.buf[piece.clone()]))
    }

    /// Adds a piece to those gathered.
    fn keep(&mut self, piece: Range<usize>) {
        match self.pieces.last_mut() {
            Some(last) if piece.len() < SMALL_PIECE_BYTES => {
                let len = piece.len();
                self.buf.copy_within(piece, last.end);
                last.end += len;
            }
            _ => self.pieces.push(piece),
        }
    }

    /// Whether there is unread input, even if only part of a record.
    pub(crate) fn has_some(&self) -> bool {
        !self.plain.is_empty() || !self.sealed.is_empty()
    }

    /// Reads to the end and discards everything. Closing a connection with unread input would reset
    /// it and destroy what this side sent last.
    pub fn drain(&mut self) -> io::Result<()> {
        while self.next_plain()? {
            self.plain = 0..0;
        }
        Ok(())
    }

    /// Makes sure that there is something to read; returns false at the end.
    fn next_plain(&mut self) -> io::Result<bool> {
        self.pieces.clear();
        self.next_plain_for(0)
    }

    /// The same, if `left` bytes are wanted besides what was gathered.
    fn next_plain_for(&mut self, left: usize) -> io::Result<bool> {
        while self.plain.is_empty() {
            match self.state {
                ReaderState::Open => {}
                ReaderState::Ended => return Ok(false),
                ReaderState::Broken => return Err(io::Error::other("the channel is broken")),
            }
            if let Err(e) = self.next_record(left) {
                if e.kind() != io::ErrorKind::TimedOut {
                    self.state = ReaderState::Broken;
                }
                return Err(e);
            }
        }
        Ok(true)
    }

    fn next_record(&mut self, left: usize) -> io::Result<()> {
        let len = loop {
            match sealed_record_len(&self.buf[self.sealed.clone()])? {
                Some(len) if len <= self.sealed.len() => break len,
                _ => self.fill(left)?,
            }
        };
        let start = self.sealed.start;
        self.sealed.start += len;
        let (content, len) = self.keys.open(&mut self.buf[start..start + len])?;
        let plain = start + HEADER_BYTES..start + HEADER_BYTES + len;
        self.idle += 1;
        match content {
            Content::Data if len > 0 => {
                self.idle = 0;
                self.plain = plain;
            }
            Content::Data => {}
            Content::Handshake => self.key_update(plain)?,
            Content::Alert => match self.buf[plain] {
                [_, CLOSE_NOTIFY] => self.state = ReaderState::Ended,
                _ => return Err(broken("the other side reports a broken channel")),
            },
        }
        if self.idle > MAX_IDLE_RECORDS {
            return Err(broken("a flood of empty records"));
        }
        Ok(())
    }

    /// Handles the only message allowed after the handshake. The records after it have new keys, so
    /// it must be the last in its record.
    fn key_update(&mut self, plain: Range<usize>) -> io::Result<()> {
        let asked = match self.buf[plain].split_last_chunk::<1>() {
            Some((head, [0])) if head == KEY_UPDATE => false,
            Some((head, [1])) if head == KEY_UPDATE => true,
            _ => return Err(broken("a handshake message after the handshake")),
        };
        self.keys = Keys::new(self.schedule.rekey(|r| r.next_rx())?)?;
        if asked {
            self.schedule.ask();
        }
        Ok(())
    }

    /// Sets the socket's timeout to the time left until the deadline. Without a deadline, no system
    /// call is made.
    fn keep_deadline(&mut self) -> io::Result<()> {
        let left = match self.deadline {
            None if !self.timed => return Ok(()),
            None => self.timeout,
            Some(end) => match end.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return Err(io::ErrorKind::TimedOut.into()),
                left => Some(left),
            },
        };
        self.stream.set_read_timeout(left)?;
        self.timed = self.deadline.is_some();
        Ok(())
    }

    /// Reads what is available, at least one byte. If `left` bytes are to be gathered, reads little
    /// more than that, so that what follows need not be moved.
    fn fill(&mut self, left: usize) -> io::Result<()> {
        let records = left.div_ceil(MAX_PLAIN_BYTES);
        let wanted = (left + records * OVERHEAD_BYTES).saturating_sub(self.sealed.len());
        let most = match left > MAX_PLAIN_BYTES {
            true => wanted.clamp(MAX_RECORD_BYTES, READ_BYTES),
            false => READ_BYTES,
        };
        if self.pieces.is_empty() || self.buf.len() - self.sealed.end < most {
            self.close_gaps();
        }
        let end = self.buf.len().min(self.sealed.end + most);
        let got = loop {
            self.keep_deadline()?;
            match (&*self.stream).read(&mut self.buf[self.sealed.end..end]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                got => break got.map_err(timed_out)?,
            }
        };
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.sealed.end += got;
        if let Some(counters) = &self.counters {
            Counters::add(&counters.bytes_wire, got as u64);
        }
        Ok(())
    }
}

impl Reader {
    /// Moves what was gathered to the start of the buffer, followed by what is not decrypted: less
    /// than a record, unless the peer sends very small ones.
    fn close_gaps(&mut self) {
        let mut end = 0;
        for piece in self.pieces.drain(..) {
            let len = piece.len();
            self.buf.copy_within(piece, end);
            end += len;
        }
        if end > 0 {
            self.pieces.push(0..end);
        }
        self.buf.copy_within(self.sealed.clone(), end);
        self.sealed = end..end + self.sealed.len();
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || !self.next_plain()? {
            return Ok(0);
        }
        let len = out.len().min(self.plain.len());
        let from = self.plain.start;
        out[..len].copy_from_slice(&self.buf[from..from + len]);
        self.plain.start += len;
        Ok(len)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::OVERHEAD_BYTES;
    use super::super::record::Rekey;
    use super::*;
    use rustls::ConnectionTrafficSecrets;
    use rustls::crypto::cipher::{AeadKey, Iv};
    use std::io::Write as _;
    use std::net::{Shutdown, TcpListener};

    /// The `n`-th secrets of a peer whose keys change.
    fn secrets(n: u8) -> (u64, ConnectionTrafficSecrets) {
        let (key, iv) = (AeadKey::from([n; 32]), Iv::from([n; 12]));
        (0, ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv })
    }

    struct Counting(u8);

    impl Rekey for Counting {
        fn next_tx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
            Err(rustls::Error::HandshakeNotComplete)
        }

        fn next_rx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
            self.0 += 1;
            Ok(secrets(self.0))
        }
    }

    /// A peer that can seal anything, and the reader that receives it.
    struct Peer {
        stream: TcpStream,
        keys: Keys,
        reader: Reader,
    }

    impl Peer {
        fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let ours = Arc::new(listener.accept().unwrap().0);
            let schedule = Arc::new(KeySchedule::new(Box::new(Counting(0))));
            let keys = || Keys::new(secrets(0)).unwrap();
            let buf = vec![0; BUFFER_BYTES].into();
            Self {
                stream,
                keys: keys(),
                reader: Reader::new(ours, schedule, keys(), buf, 0..0),
            }
        }

        fn send(&mut self, content: Content, plain: &[u8]) {
            let mut buf = vec![0; plain.len() + OVERHEAD_BYTES];
            buf[HEADER_BYTES..HEADER_BYTES + plain.len()].copy_from_slice(plain);
            self.keys.seal(&mut buf, plain.len(), content).unwrap();
            self.stream.write_all(&buf).unwrap();
        }

        fn end(&mut self) -> io::Result<Vec<u8>> {
            self.stream.shutdown(Shutdown::Write).unwrap();
            let mut all = Vec::new();
            let read = self.reader.read_to_end(&mut all);
            if read.is_err() {
                assert!(self.reader.read(&mut [0]).is_err(), "it stays broken");
            }
            read.map(|_| all)
        }

        fn fails(&mut self) -> io::ErrorKind {
            self.end().unwrap_err().kind()
        }
    }

    #[test]
    fn only_the_peer_itself_can_end_it() {
        let mut peer = Peer::new();
        peer.send(Content::Data, b"all of it");
        peer.send(Content::Alert, &[1, 0]);
        // What follows the end is ignored.
        peer.stream.write_all(b"\x17\x03").unwrap();
        assert_eq!(peer.end().unwrap(), b"all of it");
        assert_eq!(peer.reader.read(&mut [0]).unwrap(), 0, "it stays ended");

        let mut peer = Peer::new();
        peer.send(Content::Data, b"a part");
        assert_eq!(peer.fails(), io::ErrorKind::UnexpectedEof);

        for cut in [1, 4, 5, 20] {
            let mut peer = Peer::new();
            let mut buf = vec![0; 10 + OVERHEAD_BYTES];
            peer.keys.seal(&mut buf, 10, Content::Data).unwrap();
            peer.stream.write_all(&buf[..cut]).unwrap();
            assert_eq!(peer.fails(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn what_no_peer_sends_is_refused() {
        let bad: [(Content, &[u8]); 8] = [
            (Content::Alert, &[2, 20]),
            (Content::Alert, &[1, 0, 0]),
            (Content::Alert, &[]),
            (Content::Handshake, &[]),
            (Content::Handshake, &[24, 0, 0, 1, 2]),
            (Content::Handshake, &[24, 0, 0, 1]),
            (Content::Handshake, &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0]),
            (Content::Handshake, &[4, 0, 0, 1, 0]),
        ];
        for (content, plain) in bad {
            let mut peer = Peer::new();
            peer.send(content, plain);
            assert_eq!(peer.fails(), io::ErrorKind::InvalidData, "{plain:?}");
        }
        let raw: [&[u8]; 4] = [
            b"\x15\x03\x03\x00\x02\x01\x00",
            b"\x14\x03\x03\x00\x01\x01",
            b"\x17\x03\x03\xff\xff",
            b"\x17\x03\x03\x00\x00",
        ];
        for bytes in raw {
            let mut peer = Peer::new();
            peer.stream.write_all(bytes).unwrap();
            assert_eq!(peer.fails(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
    }

    #[test]
    fn empty_records_are_borne_but_no_flood_of_them() {
        let mut peer = Peer::new();
        for _ in 0..3 {
            (0..MAX_IDLE_RECORDS).for_each(|_| peer.send(Content::Data, b""));
            peer.send(Content::Data, b"x");
        }
        (0..=MAX_IDLE_RECORDS).for_each(|_| peer.send(Content::Data, b""));
        let mut three = [0; 3];
        peer.reader.read_exact(&mut three).unwrap();
        assert_eq!(peer.fails(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn keys_change_when_the_peer_says_so() {
        let mut peer = Peer::new();
        for n in 1..=5 {
            peer.send(Content::Data, b"old ");
            peer.send(Content::Handshake, &[24, 0, 0, 1, n % 2]);
            peer.keys = Keys::new(secrets(n)).unwrap();
        }
        peer.send(Content::Data, b"new");
        peer.send(Content::Alert, &[1, 0]);
        assert_eq!(peer.end().unwrap(), b"old old old old old new");
        assert!(peer.reader.schedule.take_asked());
        assert!(!peer.reader.schedule.take_asked());
    }

    #[test]
    fn a_timeout_loses_nothing() {
        let mut peer = Peer::new();
        let mut buf = vec![7; 10 + OVERHEAD_BYTES];
        peer.keys.seal(&mut buf, 10, Content::Data).unwrap();
        let brief = Some(Duration::from_millis(20));
        peer.reader.set_timeout(brief).unwrap();
        for part in buf.chunks(9) {
            let e = peer.reader.read(&mut [0; 10]).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::TimedOut);
            peer.stream.write_all(part).unwrap();
        }
        assert_eq!(peer.reader.read(&mut [0; 99]).unwrap(), 10);
    }

    #[test]
    fn a_peer_that_drips_does_not_extend_a_deadline() {
        let mut peer = Peer::new();
        let mut buf = vec![7; 10 + OVERHEAD_BYTES];
        peer.keys.seal(&mut buf, 10, Content::Data).unwrap();
        let end = Instant::now() + Duration::from_millis(200);
        peer.reader.set_deadline(Some(end));
        let (mut stream, dripped) = (peer.stream.try_clone().unwrap(), buf.clone());
        let dripping = std::thread::spawn(move || {
            // Too slow to complete the record before the deadline.
            for byte in &dripped {
                stream.write_all(&[*byte]).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let e = peer.reader.read(&mut [0; 10]).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::TimedOut);
        assert!(Instant::now() >= end);
        // Nothing is lost, and the deadline leaves no timeout on the socket.
        peer.reader.set_deadline(None);
        assert_eq!(peer.reader.read(&mut [0; 99]).unwrap(), 10);
        dripping.join().unwrap();
        assert_eq!(peer.reader.stream.read_timeout().unwrap(), None);
    }

    #[test]
    fn what_has_come_is_not_lost_where_it_gets_more_room() {
        let mut peer = Peer::new();
        peer.reader.buf = vec![0; 2 * MAX_RECORD_BYTES].into();
        for part in [b"one", b"two", b"six"] {
            peer.send(Content::Data, part);
        }
        let mut three = [0; 3];
        peer.reader.read_exact(&mut three[..1]).unwrap();
        peer.reader.widen();
        peer.reader.read_exact(&mut three[1..]).unwrap();
        assert_eq!(&three, b"one");
        peer.send(Content::Alert, &[1, 0]);
        let mut rest = Vec::new();
        peer.reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"twosix");
    }
}

//! Frames: the units that messages and chunks travel in.
//!
//! Must not know sockets: it reads from and writes to any reader or writer, however the bytes
//! arrive in pieces.
//!
//! A frame is an 8-byte header, type (u16), zero (u16) and length of the payload (u32), all
//! little-endian, then the payload.

use std::fmt;
use std::io::{self, Read};

use super::codec::{self, CodecError};
use super::limits::{
    CHUNK_HEADER_BYTES, MAX_CHUNK_FRAME_BYTES, MAX_FIRST_MESSAGE_BYTES, MAX_MESSAGE_BYTES,
};
use super::message::{CHUNK_FRAME, ChunkHeader, Encoding, FIRST_SKIPPABLE, Message};
use crate::model::digest::CHUNK_SIZE;

/// The size of a frame's header, in bytes.
pub const FRAME_HEADER_BYTES: usize = 8;

/// What is wrong with a frame.
#[derive(Debug)]
#[non_exhaustive]
pub enum WireError {
    /// The connection failed or ended.
    Io(io::Error),
    /// A frame is longer than its type allows.
    Long {
        /// Its type.
        code: u16,
        /// Its length, in bytes.
        length: u32,
    },
    /// A frame has a type that this version does not know and may not skip.
    UnknownType(u16),
    /// A frame's payload does not match its type.
    Payload {
        /// Its type.
        code: u16,
        /// What is wrong.
        error: CodecError,
    },
    /// A chunk's header contradicts itself or its frame.
    Chunk(&'static str),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => e.fmt(f),
            Self::Long { code, length } => {
                write!(f, "a frame of type {code:#x} with {length} bytes")
            }
            Self::UnknownType(code) => write!(f, "a frame of unknown type {code:#x}"),
            Self::Payload { code, error } => write!(f, "a bad frame of type {code:#x}: {error}"),
            Self::Chunk(what) => write!(f, "a chunk {what}"),
        }
    }
}

impl std::error::Error for WireError {}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a frame carried.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Message(Message),
    /// A chunk. Its bytes are in the buffer passed to [`read_frame`], or still unread.
    Chunk(ChunkHeader),
}

fn header(code: u16, length: u32) -> [u8; FRAME_HEADER_BYTES] {
    let mut bytes = [0; FRAME_HEADER_BYTES];
    bytes[..2].copy_from_slice(&code.to_le_bytes());
    bytes[4..].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Appends a message's frame to `out`.
pub fn write_message(message: &Message, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    let encoded = message.encode_payload(out);
    let length = u32::try_from(out.len() - start - FRAME_HEADER_BYTES);
    match (encoded, length) {
        (Ok(()), Ok(length)) => {
            let bytes = header(message.code(), length);
            out[start..start + FRAME_HEADER_BYTES].copy_from_slice(&bytes);
            Ok(())
        }
        (encoded, _) => {
            out.truncate(start);
            encoded
        }
    }
}

/// Appends to `out` what precedes a chunk's bytes: its frame's header and its own.
pub fn write_chunk_header(chunk: &ChunkHeader, out: &mut Vec<u8>) -> Result<(), CodecError> {
    // Both are far below u32's limit: the length is at most a chunk's.
    #[allow(clippy::cast_possible_truncation)]
    let length = CHUNK_HEADER_BYTES as u32 + chunk.data;
    out.extend_from_slice(&header(CHUNK_FRAME, length));
    codec::encode(chunk, out)
}

/// Reads the next frame that this version knows.
///
/// `buffer` is scratch space that the caller keeps; it never grows beyond
/// [`MAX_CHUNK_FRAME_BYTES`]. After a chunk it holds the [`ChunkHeader::data`] bytes that follow
/// its header. Fails with [`io::ErrorKind::UnexpectedEof`] if the stream ends before or in a frame.
pub fn read_frame(reader: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Frame, WireError> {
    let frame = read_frame_head(reader, buffer)?;
    if let Frame::Chunk(chunk) = &frame {
        fill(reader, chunk.data as usize, buffer)?;
    }
    Ok(frame)
}

/// Like [`read_frame`], but leaves a chunk's bytes, [`ChunkHeader::data`] of them, for the caller
/// to read from `reader`.
pub fn read_frame_head(reader: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Frame, WireError> {
    read_bounded(reader, buffer, MAX_MESSAGE_BYTES, MAX_CHUNK_FRAME_BYTES)
}

/// Reads the next message that this version knows, before any chunks are allowed: fails on a frame
/// longer than [`MAX_FIRST_MESSAGE_BYTES`] or with a chunk.
pub fn read_first_message(reader: &mut impl Read) -> Result<Message, WireError> {
    read_small_message(reader, MAX_FIRST_MESSAGE_BYTES)
}

/// Like [`read_first_message`], for frames of at most `most` bytes.
pub fn read_small_message(reader: &mut impl Read, most: usize) -> Result<Message, WireError> {
    match read_bounded(reader, &mut Vec::new(), most, 0)? {
        Frame::Message(message) => Ok(message),
        Frame::Chunk(_) => Err(WireError::UnknownType(CHUNK_FRAME)),
    }
}

fn read_bounded(
    reader: &mut impl Read,
    buffer: &mut Vec<u8>,
    max_message: usize,
    max_chunk: usize,
) -> Result<Frame, WireError> {
    loop {
        let mut head = [0; FRAME_HEADER_BYTES];
        reader.read_exact(&mut head)?;
        let [c0, c1, _, _, l0, l1, l2, l3] = head;
        let code = u16::from_le_bytes([c0, c1]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let limit = if code == CHUNK_FRAME {
            max_chunk
        } else {
            max_message
        };
        let payload = length as usize;
        if payload > limit {
            return Err(WireError::Long { code, length });
        }
        if code == CHUNK_FRAME {
            return read_chunk_header(reader, payload).map(Frame::Chunk);
        }
        fill(reader, payload, buffer)?;
        match Message::decode_payload(code, buffer) {
            Ok(Some(message)) => return Ok(Frame::Message(message)),
            Ok(None) if code >= FIRST_SKIPPABLE => {}
            Ok(None) => return Err(WireError::UnknownType(code)),
            Err(error) => return Err(WireError::Payload { code, error }),
        }
    }
}

fn read_chunk_header(reader: &mut impl Read, payload: usize) -> Result<ChunkHeader, WireError> {
    let Some(data) = payload.checked_sub(CHUNK_HEADER_BYTES) else {
        return Err(WireError::Chunk("without its header"));
    };
    let mut head = [0; CHUNK_HEADER_BYTES];
    reader.read_exact(&mut head)?;
    let chunk: ChunkHeader = codec::decode(&head).map_err(|error| WireError::Payload {
        code: CHUNK_FRAME,
        error,
    })?;
    if chunk.length > CHUNK_SIZE {
        return Err(WireError::Chunk("that is longer than a chunk can be"));
    }
    let fits = match chunk.encoding {
        Encoding::Raw => chunk.data == chunk.length,
        Encoding::Hole | Encoding::Held => chunk.data == 0,
        Encoding::Zstd => (1..chunk.length).contains(&chunk.data),
    };
    if !fits || data != chunk.data as usize {
        return Err(WireError::Chunk("whose length is not that of its frame"));
    }
    Ok(chunk)
}

/// Fills `buffer` with the next `length` bytes. Only the part by which it grows is zeroed first.
fn fill(reader: &mut impl Read, length: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.resize(length, 0);
    reader.read_exact(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Digest;
    use crate::model::entry::{Entry, FileSize, Kind, Mode, Time};
    use crate::model::relpath::RelPath;
    use crate::wire::Entries;
    use proptest::prelude::*;

    /// Gives one byte a call.
    struct Dribble<'a>(&'a [u8]);
    impl Read for Dribble<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = buf.len().min(1);
            self.0.read(&mut buf[..n])
        }
    }

    fn chunk(encoding: Encoding, length: u32) -> ChunkHeader {
        ChunkHeader {
            entry: 3,
            attempt: 1,
            index: 9,
            length,
            encoding,
            whole: false,
            data: if encoding == Encoding::Raw { length } else { 0 },
            digest: Digest([7; 32]),
        }
    }

    fn entries() -> Message {
        Message::Entries(Entries(vec![Entry {
            id: 0,
            path: RelPath::new("a/b").unwrap(),
            kind: Kind::File {
                size: FileSize::try_from(5).unwrap(),
            },
            mtime: Time::try_from((-1, 999_999_999)).unwrap(),
            mode: Mode::try_from(0o644).unwrap(),
            extras: vec![],
        }]))
    }

    fn stream() -> Vec<u8> {
        let mut out = Vec::new();
        write_message(&entries(), &mut out).unwrap();
        // A frame of a later version, to be skipped.
        out.extend_from_slice(&header(0x8123, 3));
        out.extend_from_slice(b"new");
        write_chunk_header(&chunk(Encoding::Raw, 4), &mut out).unwrap();
        out.extend_from_slice(b"data");
        write_chunk_header(&chunk(Encoding::Hole, 1 << 20), &mut out).unwrap();
        write_message(&Message::Ping(()), &mut out).unwrap();
        out
    }

    #[test]
    fn frames_do_not_depend_on_how_the_bytes_come() {
        let bytes = stream();
        let (mut reader, mut buffer) = (Dribble(&bytes), Vec::new());
        let mut next = || read_frame(&mut reader, &mut buffer).map(|f| (f, buffer.clone()));
        assert_eq!(next().unwrap().0, Frame::Message(entries()));
        assert_eq!(
            next().unwrap(),
            (Frame::Chunk(chunk(Encoding::Raw, 4)), b"data".to_vec())
        );
        assert_eq!(
            next().unwrap(),
            (Frame::Chunk(chunk(Encoding::Hole, 1 << 20)), vec![])
        );
        assert_eq!(next().unwrap().0, Frame::Message(Message::Ping(())));
        assert!(
            matches!(next(), Err(WireError::Io(e)) if e.kind() == io::ErrorKind::UnexpectedEof)
        );
    }

    #[test]
    fn a_stream_cut_anywhere_ends_in_an_error_and_nothing_else() {
        let bytes = stream();
        for cut in 0..bytes.len() {
            let (mut reader, mut buffer) = (&bytes[..cut], Vec::new());
            let error = loop {
                match read_frame(&mut reader, &mut buffer) {
                    Ok(_) => {}
                    Err(e) => break e,
                }
            };
            assert!(matches!(error, WireError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof));
        }
    }

    #[test]
    fn lengths_are_checked_before_memory_is_taken() {
        for (code, length) in [(0x01, u32::MAX), (CHUNK_FRAME, u32::MAX), (0x8000, 1 << 30)] {
            let mut buffer = Vec::new();
            let bytes = header(code, length);
            assert!(matches!(
                read_frame(&mut &bytes[..], &mut buffer),
                Err(WireError::Long { .. })
            ));
            assert_eq!(buffer.capacity(), 0);
        }
    }

    #[test]
    fn the_first_messages_are_short() {
        let mut out = Vec::new();
        write_message(&entries(), &mut out).unwrap();
        assert_eq!(read_first_message(&mut &out[..]).unwrap(), entries());
        for (code, length) in [
            (0x01, MAX_FIRST_MESSAGE_BYTES + 1),
            (0x8000, MAX_FIRST_MESSAGE_BYTES + 1),
            (CHUNK_FRAME, CHUNK_HEADER_BYTES),
        ] {
            let head = header(code, u32::try_from(length).unwrap());
            let bytes = [head.to_vec(), vec![0; length]].concat();
            let mut reader = &bytes[..];
            assert!(matches!(
                read_first_message(&mut reader),
                Err(WireError::Long { .. })
            ));
            assert_eq!(reader.len(), length, "nothing of it is read");
        }
    }

    #[test]
    fn chunks_that_contradict_themselves_are_refused() {
        let mut out = Vec::new();
        write_chunk_header(&chunk(Encoding::Raw, 4), &mut out).unwrap();
        out.extend_from_slice(b"data");
        let mut shorter = out.clone();
        shorter[4] -= 1;
        let mut longer = out.clone();
        longer[4] += 1;
        let mut headless = out.clone();
        headless[4] = 60;
        let mut huge = Vec::new();
        write_chunk_header(&chunk(Encoding::Hole, CHUNK_SIZE + 1), &mut huge).unwrap();
        for bytes in [shorter, longer, headless, huge] {
            assert!(matches!(
                read_frame(&mut &bytes[..], &mut Vec::new()),
                Err(WireError::Chunk(_))
            ));
        }
    }

    #[test]
    fn unknown_types_below_the_skippable_ones_are_refused() {
        let bytes = header(0x7777, 0);
        assert!(matches!(
            read_frame(&mut &bytes[..], &mut Vec::new()),
            Err(WireError::UnknownType(0x7777))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_hoard(bytes in proptest::collection::vec(any::<u8>(), 0..400), code in 0u16..0x50, framed: bool) {
            let mut input = Vec::new();
            if framed {
                input.extend_from_slice(&header(code, u32::try_from(bytes.len()).unwrap()));
            }
            input.extend_from_slice(&bytes);
            let (mut reader, mut buffer) = (&input[..], Vec::new());
            while read_frame(&mut reader, &mut buffer).is_ok() {}
            prop_assert!(buffer.capacity() <= 2 * MAX_CHUNK_FRAME_BYTES);
        }
    }
}

//! Limits of frames, lists, lanes and the window, each with its unit.
//!
//! Must not hold what is not about the wire: limits on paths, texts and entries stand with their
//! types, limits on resources with the engine.

/// The longest payload of a frame that carries a message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// The longest payload of a message before the session has begun, in bytes.
pub const MAX_FIRST_MESSAGE_BYTES: usize = 4 * 1024;
/// The longest payload, in bytes, of the first message after a peer was let in, which says what it
/// wants.
pub const MAX_REQUEST_BYTES: usize = 128 * 1024;
/// The most bytes in one [`super::SayPart`].
pub const MAX_SAY_PART: usize = 64 * 1024;
/// The size of an encoded [`super::ChunkHeader`], in bytes.
pub const CHUNK_HEADER_BYTES: usize = 8 + 4 + 8 + 4 + 4 + 1 + 4 + 32;
/// The longest payload of a chunk's frame, in bytes: its header and a whole chunk.
pub const MAX_CHUNK_FRAME_BYTES: usize =
    CHUNK_HEADER_BYTES + crate::model::digest::CHUNK_SIZE as usize;
/// The most elements in a list of entries, wants or outcomes.
pub const MAX_LIST: usize = 4096;
/// The most digests in one [`super::Held`].
pub const MAX_HELD: usize = 1024;
/// The most files in one [`super::Verified`].
pub const MAX_VERIFIED: usize = 64;
/// The most lanes that one session can have.
pub const MAX_LANES: u16 = 64;
/// The range of entries without an outcome that a receiver may allow.
pub const WINDOW: std::ops::RangeInclusive<u32> = 16..=65_536;
/// How many attempts a file may have, the first one included.
pub const MAX_ATTEMPTS: u32 = 4;

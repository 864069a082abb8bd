//! The wire format: preamble, frames, messages, and their limits.
//!
//! Must not touch sockets, files or clocks: bytes to messages and back, nothing else.
//! assets/protocol.md describes the same in prose.

mod codec;
mod command;
mod fetch;
mod frame;
pub mod limits;
mod message;
mod older;
mod preamble;
mod talk;

pub use codec::{CodecError, decode, encode};
pub use command::{Argument, CommandOutput, Commands, OfferedCommand, RunCommand};
pub use fetch::{Fetch, FetchPatterns, MAX_FETCH_BYTES, MAX_FETCH_PATHS, MAX_FETCH_PATTERNS};
pub use frame::{
    FRAME_HEADER_BYTES, Frame, WireError, read_first_message, read_frame, read_frame_head,
    read_small_message, write_chunk_header, write_message,
};
pub use limits::CHUNK_HEADER_BYTES;
pub use message::{
    Accept, CHUNK_FRAME, Changed, ChunkHeader, Contents, Decisions, DirEnd, Done, Encoding, End,
    Entries, EntryOutcome, FIRST_SKIPPABLE, FileVerified, FolderFailed, Held, Hello, Join,
    LaneSecret, MayRemove, Message, Offer, Outcomes, PROOF_BYTES, Preambles, Proof, Removed,
    SHARE_BYTES, Scanned, Share, Skipped, Verified, Want, Wants,
};
pub use preamble::{Features, MAGIC, PREAMBLE_BYTES, Preamble, VERSION};
pub use talk::{Reply, RoomJoined, RoomLeft, RoomMember, RoomSaid, Say, SayPart};

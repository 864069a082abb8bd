//! The messages: what two peers can say to each other.
//!
//! Must not say when: that is the session's business. assets/protocol.md describes the same for
//! readers who do not read Rust; tests/vectors holds the bytes of each.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::codec::{self, CodecError};
use super::command::{CommandOutput, Commands, RunCommand};
use super::fetch::Fetch;
use super::limits::{MAX_HELD, MAX_LIST, MAX_VERIFIED};
use super::preamble::{Features, PREAMBLE_BYTES, Preamble};
use super::talk::{Reply, RoomJoined, RoomLeft, RoomMember, RoomSaid, Say, SayPart};
use crate::model::command::CommandEnd;
use crate::model::digest::{Algorithm, Digest};
use crate::model::entry::{Entry, EntryId, FileSize, Mode, Time, bounded_list};
use crate::model::outcome::{Decline, NotKept, OnConflict, Outcome, Role, Summary, Why, Wish};
use crate::model::reason::AbortReason;
use crate::model::relpath::RelPath;
use crate::model::surplus::{Decision, RemovalAnswer, RemovalQuestion, Surplus};
use crate::model::talk::TalkLine;
use crate::model::text::Text;

/// The length of a [`Share`], in bytes.
pub const SHARE_BYTES: usize = 32;
/// The length of a [`Proof`], in bytes.
pub const PROOF_BYTES: usize = 32;

/// The first frame type that a peer may skip if it does not know it.
pub const FIRST_SKIPPABLE: u16 = 0x8000;

macro_rules! messages {
    ($($(#[doc = $doc:literal])* $code:literal $name:ident($payload:ty),)*) => {
        /// A message, by the type of its frame.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Message {
            $($(#[doc = $doc])* $name($payload),)*
        }

        impl Message {
            /// The type of its frame.
            #[must_use]
            pub fn code(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $code,)*
                }
            }

            /// Its name, for people.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }

            /// Appends the bytes of its payload.
            pub fn encode_payload(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
                match self {
                    $(Self::$name(payload) => codec::encode(payload, out),)*
                }
            }

            /// Decodes the payload of a frame of type `code`; `None` if this version does not know
            /// the type.
            pub fn decode_payload(code: u16, payload: &[u8]) -> Result<Option<Self>, CodecError> {
                Ok(Some(match code {
                    $($code => Self::$name(codec::decode(payload)?),)*
                    _ => return Ok(None),
                }))
            }
        }
    };
}

messages! {
    /// The first message of a control connection, from both sides.
    0x01 Hello(Hello),
    /// The first message of a lane, from the dialer.
    0x02 Join(Join),
    /// The answer to a join.
    0x03 Joined(Preambles),
    /// Ends the session at once, from either side; partials stay. The reason is in words, for peers
    /// without [`super::Features::REASONS`].
    0x04 AbortText(Text),
    /// Shows that the peer is alive.
    0x05 Ping(()),
    /// The sender has nothing to send after all, and ends the connection without an error.
    0x06 Leave(()),
    /// Ends the session at once, from either side; partials stay.
    0x07 Abort(AbortReason),
    /// What the sender proposes.
    0x10 Offer(Offer),
    /// The receiver accepts the offer.
    0x11 Accept(Accept),
    /// The receiver declines. This may also answer a Hello.
    0x12 Declined(Decline),
    /// The receiver shows a code, and waits for the sender's user to enter it.
    0x13 Pairing(()),
    /// The sender begins to prove that it knows the code.
    0x14 PairStart(Share),
    /// The receiver's answer to [`Message::PairStart`].
    0x15 PairAnswer(Share),
    /// Proof of the same code: first the sender's, then the receiver's.
    0x16 PairProof(Proof),
    /// The sender's proof was wrong. It may try again.
    0x17 PairWrong(()),
    /// The next entries of the manifest.
    0x20 Entries(Entries),
    /// A folder has no more entries.
    0x21 DirEnd(DirEnd),
    /// How much the walk has found so far.
    0x22 Scanned(Scanned),
    /// All bytes of a file have been sent on lanes.
    0x23 Done(Done),
    /// The sender cannot send an announced entry.
    0x24 Skipped(Skipped),
    /// A file no longer matches its entry, and starts over.
    0x25 Changed(Changed),
    /// The sender has nothing more to say, except for answers.
    0x26 End(End),
    /// What to do with the things that [`Message::MayRemove`] asked about.
    0x27 Decisions(Decisions),
    /// Whether the receiver may delete as much as it counted. Only answers [`RemovalQuestion`].
    0x28 RemovalAnswer(RemovalAnswer),
    /// The receiver asks for files.
    0x30 Wants(Wants),
    /// What the receiver already has of a file.
    0x31 Held(Held),
    /// What happened to entries.
    0x32 Outcomes(Outcomes),
    /// How much of the files being sent has been verified.
    0x33 Verified(Verified),
    /// How the session ended. The last message.
    0x34 Summary(Summary),
    /// Paths that the receiver deletes, because the sender does not have them.
    0x35 Removed(Removed),
    /// The receiver asks whether it may delete things that were not announced.
    0x36 MayRemove(MayRemove),
    /// Something about a folder failed after its outcome was sent.
    0x37 FolderFailed(FolderFailed),
    /// What could not be preserved of stored entries. Only if both sides have
    /// [`super::Features::MORE_REASONS`].
    0x38 NotKept(NotKept),
    /// The receiver asks whether it may delete as much as it counted. The sender answers with
    /// [`RemovalAnswer`]. Only if both sides have [`super::Features::MORE_REASONS`].
    0x39 RemovalQuestion(RemovalQuestion),
    /// A lane has no more chunks. The last message of a lane.
    0x41 LaneEnd(()),
    /// Instead of an offer: the dialer has something to say. This and the messages below need
    /// [`super::Features::MESSAGES`] on both sides.
    0x50 Say(Say),
    /// A piece of what [`Message::Say`] announced.
    0x51 SayPart(SayPart),
    /// The listener has shown the text to its user.
    0x52 Shown(()),
    /// The user's reply, after [`Message::Shown`]. Only if [`Say::asks`].
    0x53 Reply(Reply),
    /// Instead of an offer: the dialer asks to join the listener's open room.
    0x58 RoomJoin(()),
    /// The dialer has joined the room.
    0x59 RoomJoined(RoomJoined),
    /// Another member has joined.
    0x5a RoomCame(RoomMember),
    /// A member has left.
    0x5b RoomLeft(RoomLeft),
    /// A member's line, to the host.
    0x5c RoomSay(TalkLine),
    /// Another member's line, from the host.
    0x5d RoomSaid(RoomSaid),
    /// Instead of an offer: asks which commands may be run. This and the messages below need
    /// [`super::Features::COMMANDS`] on both sides.
    0x60 ListCommands(()),
    /// The answer to [`Message::ListCommands`].
    0x61 Commands(Commands),
    /// Instead of an offer: the dialer asks to run a command.
    0x62 RunCommand(RunCommand),
    /// A piece of the command's output.
    0x63 CommandOutput(CommandOutput),
    /// How the command ended. The last message.
    0x64 CommandEnded(CommandEnd),
    /// Instead of an offer: the dialer asks for shared files, and is offered them. This needs
    /// [`super::Features::FETCH`] on both sides.
    0x68 Fetch(Fetch),
}

/// The type of the frames that carry chunks ([`ChunkHeader`]).
pub const CHUNK_FRAME: u16 = 0x40;

/// Both sides' preambles, as the sender of this message has sent and received them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preambles {
    /// The preamble that it sent.
    pub sent: [u8; PREAMBLE_BYTES],
    /// The preamble that it received.
    pub seen: [u8; PREAMBLE_BYTES],
}

impl Preambles {
    /// The features that both sides have.
    #[must_use]
    pub fn features(&self) -> Features {
        let [sent, seen] = [&self.sent, &self.seen].map(Preamble::decode);
        match (sent, seen) {
            (Some(sent), Some(seen)) => Features(sent.features & seen.features),
            _ => Features::NONE,
        }
    }
}

/// Introduces one side to the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The preambles, to check that they arrived unchanged.
    pub preambles: Preambles,
    /// Whether it sends or receives.
    pub role: Role,
    /// The name that it gives itself.
    pub name: Text,
    /// Whether it accepts any peer.
    pub open: bool,
    /// The hash that it prefers for digests.
    pub prefers: Algorithm,
    /// Whether it is paired with the other side for its role.
    pub known: bool,
    /// Whether its user decides about each offer, and so needs to see what is in it.
    pub asks: bool,
}

/// One side's part of agreeing on a key by a code (SPAKE2): a point on edwards25519.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share(pub [u8; SHARE_BYTES]);

/// Proves that a side has the same code, key and channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof(pub [u8; PROOF_BYTES]);

/// The secret that a lane shows. Its `Debug` output hides it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LaneSecret(pub [u8; 32]);

impl fmt::Debug for LaneSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LaneSecret(..)")
    }
}

/// Asks to make a connection a lane of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The preambles, to check that they arrived unchanged.
    pub preambles: Preambles,
    /// The secret of the session.
    pub secret: LaneSecret,
}

/// What the sender proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The hash that digests are made with.
    pub algorithm: Algorithm,
    /// The size of a chunk, in bytes; [`crate::model::digest::CHUNK_SIZE`] in this version.
    pub chunk_size: u32,
    /// How many lanes the sender wants.
    pub lanes: u16,
    /// What to do with what the receiver already has.
    pub wish: Wish,
    /// What is in it, for a receiver whose user decides.
    pub contents: Option<Contents>,
}

/// What an offer contains, according to its sender. If the receiver's user approved it once,
/// nothing beyond it is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// How many files.
    pub files: u64,
    /// Their total size in bytes, or [`Contents::UNKNOWN`].
    pub bytes: u64,
    /// How many files and folders the sender's user named.
    pub named: u64,
    /// The name of the first of those.
    pub first: Text,
}

impl Contents {
    /// The size of a stream, which is not known.
    pub const UNKNOWN: u64 = u64::MAX;
}

/// What the receiver agrees to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// How many lanes there may be, at least 1.
    pub lanes: u16,
    /// The secret that each lane must show.
    pub secret: LaneSecret,
    /// How many announced entries may lack an outcome.
    pub window: u32,
    /// What happens to an entry if something else has its name.
    pub conflict: OnConflict,
}

/// Entries, in strictly ascending order of their paths over the whole session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entries(#[serde(deserialize_with = "bounded_list::<_, _, MAX_LIST>")] pub Vec<Entry>);

/// All entries in a folder have been announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirEnd {
    /// The folder.
    pub entry: EntryId,
    /// Whether everything in it could be read, at any depth.
    pub complete: bool,
}

/// Totals of the walk so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanned {
    /// Entries found.
    pub entries: u64,
    /// Total size of the files among them, in bytes.
    pub bytes: u64,
    /// Whether the walk has ended and every entry is announced.
    pub complete: bool,
}

/// All chunks of a file with more than one have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The file.
    pub entry: EntryId,
    /// Which attempt.
    pub attempt: u32,
    /// Its digest.
    pub digest: Digest,
}

/// An entry that will not be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The entry, a wanted file.
    pub entry: EntryId,
    /// Why.
    pub why: Why,
}

/// A file starts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The file.
    pub entry: EntryId,
    /// The new attempt: one more than the last.
    pub attempt: u32,
    /// Its current size.
    pub size: FileSize,
    /// Its current time.
    pub mtime: Time,
    /// Its current permissions.
    pub mode: Mode,
}

/// The sender's last message, except for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many entries the sender announced.
    pub entries: u64,
    /// How many things it found but could not announce.
    pub unannounced: u64,
}

/// Files that the receiver wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wants(#[serde(deserialize_with = "bounded_list::<_, _, MAX_LIST>")] pub Vec<Want>);

/// A file that the receiver wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// The file.
    pub entry: EntryId,
    /// Which attempt.
    pub attempt: u32,
    /// Whether the sender must wait for [`Held`], which follows.
    pub held: bool,
}

/// Which chunks of a file the receiver has, from `first` to the end of the list. A file's lists
/// follow one another in ascending order without gaps until `last`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The file.
    pub entry: EntryId,
    /// Which attempt.
    pub attempt: u32,
    /// The first chunk in the list.
    pub first: u64,
    /// The digest of each chunk that the receiver has; `None` for one that it does not have.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_HELD>")]
    pub digests: Vec<Option<Digest>>,
    /// Whether the receiver has no chunks after this list.
    pub last: bool,
}

/// What happened to entries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcomes(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_LIST>")] pub Vec<EntryOutcome>,
);

/// What happened to an entry; each entry gets exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryOutcome {
    /// The entry.
    pub entry: EntryId,
    /// What happened.
    pub outcome: Outcome,
}

/// Files, links and folders that are deleted, or would be in a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Removed(#[serde(deserialize_with = "bounded_list::<_, _, MAX_LIST>")] pub Vec<RelPath>);

/// Something about a folder failed after it was created or found. It counts as failed, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderFailed {
    /// Its path.
    pub path: RelPath,
    /// Why.
    pub why: Why,
}

/// What a mirror would delete. The sender answers each with [`Decisions`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MayRemove(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_LIST>")] pub Vec<Surplus>,
);

/// What to do with each, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Decisions(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_LIST>")] pub Vec<Decision>,
);

/// How much of each file the receiver has verified.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verified(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_VERIFIED>")] pub Vec<FileVerified>,
);

/// How many bytes of a file the receiver has verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVerified {
    /// The file.
    pub entry: EntryId,
    /// How many bytes.
    pub bytes: u64,
}

/// How a chunk's bytes are encoded. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Encoding {
    /// Unchanged: `length` bytes.
    Raw,
    /// All zeros; no bytes follow.
    Hole,
    /// The receiver has them; no bytes follow.
    Held,
    /// Compressed to one Zstandard frame (RFC 8878), shorter than `length`.
    Zstd,
}

/// What precedes a chunk's bytes in its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkHeader {
    /// The file.
    pub entry: EntryId,
    /// Which attempt.
    pub attempt: u32,
    /// Which chunk; it begins at `index` times the size of a chunk.
    pub index: u64,
    /// How many bytes of the file it covers.
    pub length: u32,
    /// How its bytes are encoded.
    pub encoding: Encoding,
    /// Whether this is the file's only chunk, so that its digest is the file's and no [`Done`]
    /// follows.
    pub whole: bool,
    /// How many bytes follow it in its frame.
    pub data: u32,
    /// Its digest.
    pub digest: Digest,
}

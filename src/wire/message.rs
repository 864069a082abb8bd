//! The messages: what two peers can say to each other.
//!
//! Must not say when: that is the session's business. assets/protocol.md describes the same for
//! readers who do not read Rust; tests/vectors holds the bytes of each.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::codec::{self, CodecError};
use super::command::{CommandOutput, Commands, RunCommand};
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

/// Frames of types from this on may be skipped by a peer that does not know them.
pub const FIRST_SKIPPABLE: u16 = 0x8000;

macro_rules! messages {
    ($($(#[doc = $doc:literal])* $code:literal $name:ident($payload:ty),)*) => {
        /// A message, by its frame's type.
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

            /// Decodes the payload of a frame of type `code`; none for a type that this version
            /// does not know.
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
    /// Ends the session at once, from either side; partials stay. In words, to and from peers
    /// without [`super::Features::REASONS`].
    0x04 AbortText(Text),
    /// The peer is alive.
    0x05 Ping(()),
    /// The sender has nothing to send after all, and ends the connection well.
    0x06 Leave(()),
    /// Ends the session at once, from either side; partials stay.
    0x07 Abort(AbortReason),
    /// What the sender proposes.
    0x10 Offer(Offer),
    /// The receiver takes part.
    0x11 Accept(Accept),
    /// The receiver does not take part. It may come in the place of a Hello's answer.
    0x12 Declined(Decline),
    /// The receiver shows a code, and waits for the sender to be told it.
    0x13 Pairing(()),
    /// The sender begins to prove that it has the code.
    0x14 PairStart(Share),
    /// The receiver's part of the same.
    0x15 PairAnswer(Share),
    /// The proof; first the sender's, then the receiver's.
    0x16 PairProof(Proof),
    /// The sender's proof was wrong. It may begin anew.
    0x17 PairWrong(()),
    /// The next entries of the manifest.
    0x20 Entries(Entries),
    /// A folder has no more entries.
    0x21 DirEnd(DirEnd),
    /// What the walk has found so far.
    0x22 Scanned(Scanned),
    /// All bytes of a file have been sent on lanes.
    0x23 Done(Done),
    /// The sender cannot send an entry that it has announced.
    0x24 Skipped(Skipped),
    /// A file is not what its entry says any more; it starts anew.
    0x25 Changed(Changed),
    /// The sender has nothing more to say, but for answers.
    0x26 End(End),
    /// What is to become of what the receiver has asked about.
    0x27 Decisions(Decisions),
    /// Whether so much may be removed as the receiver has counted. Only to a
    /// [`RemovalQuestion`].
    0x28 RemovalAnswer(RemovalAnswer),
    /// The receiver asks for files.
    0x30 Wants(Wants),
    /// What the receiver has of a file already.
    0x31 Held(Held),
    /// How entries ended.
    0x32 Outcomes(Outcomes),
    /// How far files that are under way have been verified.
    0x33 Verified(Verified),
    /// How the session ended. The last message.
    0x34 Summary(Summary),
    /// What the receiver removes, because the sender does not have it.
    0x35 Removed(Removed),
    /// The receiver asks whether things may be removed that were not announced.
    0x36 MayRemove(MayRemove),
    /// Something about a folder could not be done that has had its outcome.
    0x37 FolderFailed(FolderFailed),
    /// What could not be kept of entries that are stored. Only where both have
    /// [`super::Features::MORE_REASONS`].
    0x38 NotKept(NotKept),
    /// The receiver asks whether so much may be removed. The sender answers with
    /// [`RemovalAnswer`]. Only where both have [`super::Features::MORE_REASONS`].
    0x39 RemovalQuestion(RemovalQuestion),
    /// A lane has no more chunks. The last message of a lane.
    0x41 LaneEnd(()),
    /// In the place of an offer: the dialer has something to say. This and what follows only where
    /// both have [`super::Features::MESSAGES`].
    0x50 Say(Say),
    /// A piece of it.
    0x51 SayPart(SayPart),
    /// The listener has shown it to its user.
    0x52 Shown(()),
    /// What its user replies, behind [`Message::Shown`]. Only to what asks for it.
    0x53 Reply(Reply),
    /// In the place of an offer: the dialer would like to be in the room that is open there.
    0x58 RoomJoin(()),
    /// It is.
    0x59 RoomJoined(RoomJoined),
    /// Somebody else has come.
    0x5a RoomCame(RoomMember),
    /// Somebody has gone.
    0x5b RoomLeft(RoomLeft),
    /// A member has something to say, to its host.
    0x5c RoomSay(TalkLine),
    /// Somebody else has said something, from the host.
    0x5d RoomSaid(RoomSaid),
    /// In the place of an offer: what may be run? This and what follows only where both have
    /// [`super::Features::COMMANDS`].
    0x60 ListCommands(()),
    /// The answer to that.
    0x61 Commands(Commands),
    /// In the place of an offer: the dialer wants a command to be run.
    0x62 RunCommand(RunCommand),
    /// What the command has written.
    0x63 CommandOutput(CommandOutput),
    /// How it ended. The last message.
    0x64 CommandEnded(CommandEnd),
}

/// The type of the frames that carry chunks ([`ChunkHeader`]).
pub const CHUNK_FRAME: u16 = 0x40;

/// Both sides' preambles as the one who writes it has sent and seen them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preambles {
    /// What it has sent.
    pub sent: [u8; PREAMBLE_BYTES],
    /// What it has seen.
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

/// Who is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Whether the preambles arrived as they were sent.
    pub preambles: Preambles,
    /// What it does.
    pub role: Role,
    /// What it calls itself.
    pub name: Text,
    /// Whether it takes part with anyone.
    pub open: bool,
    /// What it would like digests to be made with.
    pub prefers: Algorithm,
    /// Whether it is paired with the other side for this.
    pub known: bool,
    /// Whether its user is asked about each offer, and so wants to know what is in it.
    pub asks: bool,
}

/// One side's part of agreeing on a key by a code (SPAKE2): a point on edwards25519.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share(pub [u8; SHARE_BYTES]);

/// What shows that a side has the same code, key and channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof(pub [u8; PROOF_BYTES]);

/// The secret that a lane shows. It prints as nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LaneSecret(pub [u8; 32]);

impl fmt::Debug for LaneSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LaneSecret(..)")
    }
}

/// A connection wants to be a lane of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Whether the preambles arrived as they were sent.
    pub preambles: Preambles,
    /// The secret of the session.
    pub secret: LaneSecret,
}

/// What the sender proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What digests are made with.
    pub algorithm: Algorithm,
    /// The size of a chunk, in bytes; [`crate::model::digest::CHUNK_SIZE`] in this version.
    pub chunk_size: u32,
    /// How many lanes it would like.
    pub lanes: u16,
    /// What is to be done with what is there already.
    pub wish: Wish,
    /// What is in it, for a receiver that asks its user.
    pub contents: Option<Contents>,
}

/// What an offer holds, as its sender says. Where the receiver's user said yes to it once, it is the
/// most that is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// How many files.
    pub files: u64,
    /// How many bytes they have, or [`Contents::UNKNOWN`].
    pub bytes: u64,
    /// How many files and folders were named to be sent.
    pub named: u64,
    /// The name of the first of these.
    pub first: Text,
}

impl Contents {
    /// The bytes of a stream, which nobody has counted.
    pub const UNKNOWN: u64 = u64::MAX;
}

/// What the receiver agrees to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// How many lanes there may be, 1 at least.
    pub lanes: u16,
    /// What each lane must show.
    pub secret: LaneSecret,
    /// How many entries may be announced that have no outcome yet.
    pub window: u32,
    /// What becomes of entries whose name something else has.
    pub conflict: OnConflict,
}

/// Entries, in strictly ascending order of paths over the whole session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entries(#[serde(deserialize_with = "bounded_list::<_, _, MAX_LIST>")] pub Vec<Entry>);

/// All entries in a folder have been announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirEnd {
    /// The folder.
    pub entry: EntryId,
    /// Whether all that is in it could be read, at any depth.
    pub complete: bool,
}

/// Totals of the walk so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanned {
    /// Entries found.
    pub entries: u64,
    /// Bytes of the files among them.
    pub bytes: u64,
    /// Whether the walk is at its end, and every entry announced.
    pub complete: bool,
}

/// A file of more than one chunk has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The file.
    pub entry: EntryId,
    /// Which attempt.
    pub attempt: u32,
    /// Its digest.
    pub digest: Digest,
}

/// An entry that does not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The entry, a wanted file.
    pub entry: EntryId,
    /// Why.
    pub why: Why,
}

/// A file starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The file.
    pub entry: EntryId,
    /// The attempt that begins: one more than the last.
    pub attempt: u32,
    /// Its size now.
    pub size: FileSize,
    /// Its time now.
    pub mtime: Time,
    /// Its permissions now.
    pub mode: Mode,
}

/// The sender's last message, but for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many entries it has announced.
    pub entries: u64,
    /// How many things it has seen that it could not even announce.
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
    /// Whether [`Held`] follows, which the sender then waits for.
    pub held: bool,
}

/// Which chunks of a file the receiver holds: those from `first` on, as far as the list goes.
/// A file's come in ascending order without gaps until `last`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The file.
    pub entry: EntryId,
    /// Which attempt.
    pub attempt: u32,
    /// The chunk that the list begins with.
    pub first: u64,
    /// A digest for each chunk that is held, none for one that is not.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_HELD>")]
    pub digests: Vec<Option<Digest>>,
    /// Whether nothing is held behind the list.
    pub last: bool,
}

/// How entries ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcomes(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_LIST>")] pub Vec<EntryOutcome>,
);

/// How an entry ended; one for each entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryOutcome {
    /// The entry.
    pub entry: EntryId,
    /// How.
    pub outcome: Outcome,
}

/// Files, links and folders that are removed, or would be in a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Removed(#[serde(deserialize_with = "bounded_list::<_, _, MAX_LIST>")] pub Vec<RelPath>);

/// A folder that was made or there before, and then something about it could not be done. It
/// counts as failed, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderFailed {
    /// Its path.
    pub path: RelPath,
    /// Why.
    pub why: Why,
}

/// What a mirror would remove. The sender answers each with [`Decisions`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MayRemove(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_LIST>")] pub Vec<Surplus>,
);

/// What is to become of these, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Decisions(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_LIST>")] pub Vec<Decision>,
);

/// How far the receiver is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verified(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_VERIFIED>")] pub Vec<FileVerified>,
);

/// How many bytes of a file the receiver has verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVerified {
    /// The file.
    pub entry: EntryId,
    /// Bytes.
    pub bytes: u64,
}

/// How a chunk's bytes are encoded. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Encoding {
    /// As they are: as many as `length` says.
    Raw,
    /// All zero; none follow.
    Hole,
    /// The receiver holds them; none follow.
    Held,
    /// Packed, as one frame of Zstandard (RFC 8878): fewer bytes than `length`.
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
    /// How many bytes of the file it is.
    pub length: u32,
    /// How its bytes are encoded.
    pub encoding: Encoding,
    /// Whether this is the file's only chunk, so that its digest is the file's and no
    /// [`Done`] comes.
    pub whole: bool,
    /// How many bytes follow it in its frame.
    pub data: u32,
    /// Its digest.
    pub digest: Digest,
}

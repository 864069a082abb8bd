//! What talking adds to the messages: one thing said and its reply, and a room.
//!
//! Must not be said to a peer without [`super::Features::MESSAGES`], nor by one that was not let in
//! for it.

use serde::{Deserialize, Serialize};

use super::limits::MAX_SAY_PART;
use crate::model::entry::bounded_list;
use crate::model::talk::{MAX_ROOM_MEMBERS, RoomGone, TalkLine};
use crate::model::text::Text;

/// The dialer has something to say, which follows in pieces ([`SayPart`]): UTF-8, whole only when
/// all of it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Say {
    /// How many bytes, at most [`crate::model::talk::MAX_SAID_BYTES`].
    pub bytes: u32,
    /// Whether it waits for a reply.
    pub asks: bool,
}

/// A piece of what is said, at least a byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SayPart(#[serde(deserialize_with = "bounded_list::<_, _, MAX_SAY_PART>")] pub Vec<u8>);

/// What the listener's user replies; none where there is nobody to, or they do not want to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply(pub Option<TalkLine>);

/// Somebody in a room. Its host is number 0; no number is used twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomMember {
    /// Its number in the room.
    pub number: u32,
    /// What the room's host calls it.
    pub name: Text,
}

/// The room has taken the dialer in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomJoined {
    /// The dialer's number.
    pub you: u32,
    /// All members, the dialer among them.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_ROOM_MEMBERS>")]
    pub members: Vec<RoomMember>,
}

/// Somebody has left the room. To whom it is about, it is the last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomLeft {
    /// Its number.
    pub number: u32,
    /// Why.
    pub why: RoomGone,
}

/// A line that somebody else in the room has said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSaid {
    /// Who.
    pub number: u32,
    /// What.
    pub line: TalkLine,
}

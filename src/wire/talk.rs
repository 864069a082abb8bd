//! The messages that talking adds: a message with its reply, and a room.
//!
//! Must not be sent to a peer without [`super::Features::MESSAGES`], nor accepted from one that was
//! not let in for messages.

use serde::{Deserialize, Serialize};

use super::limits::MAX_SAY_PART;
use crate::model::entry::bounded_list;
use crate::model::talk::{MAX_ROOM_MEMBERS, RoomGone, TalkLine};
use crate::model::text::Text;

/// Announces a message, which follows in pieces ([`SayPart`]). It is UTF-8, but only as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Say {
    /// Its length in bytes, at most [`crate::model::talk::MAX_SAID_BYTES`].
    pub bytes: u32,
    /// Whether the dialer waits for a reply.
    pub asks: bool,
}

/// A piece of a message, at least one byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SayPart(#[serde(deserialize_with = "bounded_list::<_, _, MAX_SAY_PART>")] pub Vec<u8>);

/// The reply of the listener's user; `None` if nobody is there or wants to reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply(pub Option<TalkLine>);

/// A member of a room. The host is number 0; no number is used twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomMember {
    /// Its number in the room.
    pub number: u32,
    /// What the room's host calls it.
    pub name: Text,
}

/// The room has admitted the dialer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomJoined {
    /// The dialer's number.
    pub you: u32,
    /// All members, the dialer among them.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_ROOM_MEMBERS>")]
    pub members: Vec<RoomMember>,
}

/// A member has left the room. For that member, it is the last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomLeft {
    /// Its number.
    pub number: u32,
    /// Why.
    pub why: RoomGone,
}

/// A line from another member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSaid {
    /// The member's number.
    pub number: u32,
    /// The line.
    pub line: TalkLine,
}

//! What happens in a room, for whatever displays it.
//!
//! Must not make sentences, nor know where the events come from.

use std::net::SocketAddr;
use std::time::Duration;

use crate::model::error::Error;
use crate::model::talk::{RoomGone, TalkLine};

/// A member of a room, under a name that is unique there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedMember {
    /// Its number: 0 is the room's host, and no number is used twice.
    pub number: u32,
    /// Its name, fit to be shown.
    pub name: String,
}

/// Something that happened in a room.
#[derive(Debug)]
#[non_exhaustive]
pub enum RoomEvent<'a> {
    /// The room is open here.
    Opened {
        /// Where it can be reached; the port is a real one.
        addr: SocketAddr,
        /// What its host is called there.
        name: &'a str,
    },
    /// This machine is in a room; again, where it was before.
    Joined {
        /// Its number there.
        you: u32,
        /// All who are there, the host first.
        members: &'a [NamedMember],
    },
    /// Somebody came.
    Came(&'a NamedMember),
    /// Somebody is gone.
    Left {
        /// Who.
        member: &'a NamedMember,
        /// Why.
        why: RoomGone,
    },
    /// Somebody else said something.
    Said {
        /// Who.
        member: &'a NamedMember,
        /// What.
        line: &'a TalkLine,
    },
    /// The connection to the room is lost; it is tried to come back.
    Lost {
        /// What happened.
        error: &'a Error,
        /// When.
        wait: Duration,
        /// What was said here within that time may not have arrived; none where all has, or it
        /// was told of before.
        unheard: Option<Duration>,
    },
    /// The room's host has closed it.
    Closed {
        /// What the host is called.
        host: &'a str,
    },
}

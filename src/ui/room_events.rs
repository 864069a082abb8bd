//! Events of a room as lines of JSON, as described in `assets/events.schema.json`.
//!
//! Must not print.

use std::net::SocketAddr;

use serde::Serialize;
use xfer::Error;
use xfer::model::room::{NamedMember, RoomEvent};
use xfer::model::talk::RoomGone;

use super::events::{self, Failure, seconds};

/// An event.
#[derive(Debug, Serialize)]
#[serde(tag = "event")]
enum RoomJson<'a> {
    #[serde(rename = "room_opened")]
    Opened { address: SocketAddr, name: &'a str },
    #[serde(rename = "room_joined")]
    Joined {
        number: u32,
        members: Vec<MemberJson<'a>>,
    },
    #[serde(rename = "room_came")]
    Came(MemberJson<'a>),
    #[serde(rename = "room_left")]
    Left {
        #[serde(flatten)]
        member: MemberJson<'a>,
        reason: &'static str,
    },
    #[serde(rename = "room_said")]
    Said {
        #[serde(flatten)]
        member: MemberJson<'a>,
        text: &'a str,
    },
    #[serde(rename = "room_lost")]
    Lost {
        seconds: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        unheard_seconds: Option<f64>,
        #[serde(flatten)]
        error: Failure,
    },
    #[serde(rename = "room_closed")]
    Closed { name: &'a str },
}

/// A member of a room.
#[derive(Debug, Serialize)]
struct MemberJson<'a> {
    number: u32,
    name: &'a str,
}

impl<'a> From<&'a NamedMember> for MemberJson<'a> {
    fn from(member: &'a NamedMember) -> Self {
        Self {
            number: member.number,
            name: &member.name,
        }
    }
}

/// The line for an event.
pub(super) fn line(event: &RoomEvent<'_>, hint: fn(&Error) -> Option<String>) -> Option<String> {
    events::line(&match event {
        RoomEvent::Opened { addr, name } => RoomJson::Opened {
            address: *addr,
            name,
        },
        RoomEvent::Joined { you, members } => RoomJson::Joined {
            number: *you,
            members: members.iter().map(MemberJson::from).collect(),
        },
        RoomEvent::Came(member) => RoomJson::Came((*member).into()),
        RoomEvent::Left { member, why } => RoomJson::Left {
            member: (*member).into(),
            reason: reason(*why),
        },
        RoomEvent::Said { member, line } => RoomJson::Said {
            member: (*member).into(),
            text: line.as_str(),
        },
        RoomEvent::Lost {
            error,
            wait,
            unheard,
        } => RoomJson::Lost {
            seconds: seconds(*wait),
            unheard_seconds: unheard.map(seconds),
            error: Failure::new(error, hint),
        },
        RoomEvent::Closed { host } => RoomJson::Closed { name: host },
        _ => return None,
    })
}

fn reason(why: RoomGone) -> &'static str {
    match why {
        RoomGone::Left => "left",
        RoomGone::Lost => "lost",
        RoomGone::NotReading => "not_reading",
        RoomGone::Flooding => "flooding",
        RoomGone::NotLetIn => "not_let_in",
        _ => "other",
    }
}

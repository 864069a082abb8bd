//! What people say to each other: one message, and its reply; a room that is open here, and one that
//! this machine joins.
//!
//! Must not know a terminal: whoever implements [`crate::model::prompt::Prompt`] shows and asks;
//! lines come in as values, and go out as events.
//!
//! `say` is the dialer's side and `hear` the listener's. Both keep the connection alive by
//! `exchange`, put a message together by `assembled`, and are bounded by `places`.
//!
//! `room` is the host's side of a room, which `serve` has members join; `member` the other one, which
//! dials. `roster` is who is there, on both; `rate` how much may be said in a second; `unheard` what a
//! host may not have heard.

mod assembled;
mod exchange;
mod hear;
mod input;
mod member;
mod places;
mod rate;
mod room;
mod roster;
mod say;
mod unheard;

use std::time::Duration;

pub(super) use hear::{TalkMeans, hear_said};
pub use input::RoomInput;
pub use member::{JoinOptions, join_room};
pub(super) use places::TalkPlaces;
pub use room::Room;
pub use say::{SayOptions, say};

/// How long a reply may take, from when the message was shown.
pub const MAX_REPLY_TIME: Duration = Duration::from_secs(300);

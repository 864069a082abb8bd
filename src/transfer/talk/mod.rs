//! What people say to each other: one message, and its reply.
//!
//! Must not know a terminal: whoever implements [`crate::model::prompt::Prompt`] shows and asks.
//!
//! `say` is the dialer's side and `hear` the listener's. Both keep the connection alive by
//! `exchange`, put a message together by `assembled`, and are bounded by `places`.

mod assembled;
mod exchange;
mod hear;
mod places;
mod say;

use std::time::Duration;

pub(super) use hear::{TalkMeans, hear_said};
pub(super) use places::TalkPlaces;
pub use say::{SayOptions, say};

/// How long a reply may take, from when the message was shown.
pub const MAX_REPLY_TIME: Duration = Duration::from_secs(300);

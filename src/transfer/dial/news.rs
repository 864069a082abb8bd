//! `News`: what a search waits for, from all the threads that work for it.
//!
//! Must not decide what follows from it.

use std::io;
use std::net::SocketAddr;

use crate::model::error::Result;
use crate::net::{Channel, Sighting};

/// Something that a search waited for.
pub(super) enum News {
    /// The system's resolver has an answer.
    Resolved {
        found: io::Result<Vec<SocketAddr>>,
        /// Whether the question was what the user said.
        as_typed: bool,
    },
    /// Somebody on the network is there, or is gone.
    Heard(Sighting),
    /// An attempt to connect has ended.
    Tried {
        addr: SocketAddr,
        result: Box<Result<Channel>>,
    },
    /// The user wants to stop.
    Cancelled,
}

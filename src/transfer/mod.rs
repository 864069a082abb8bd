//! The engines: `serve` listens and starts sessions, `dial` finds and greets a machine that listens,
//! `send` and `receive` are the two sides of a transfer, `fetch` receives where it dials, and `talk`
//! has the two sides of messages.
//!
//! Must not know a terminal: what happens is reported through [`crate::model::progress`].

mod cancel;
mod dial;
mod fetch;
mod lane_source;
mod link;
mod liveness;
mod message_order;
mod options;
mod outbox;
mod presence;
mod receive;
mod retry;
mod run;
mod send;
mod serve;
mod share;
mod talk;
mod tell;
#[cfg(feature = "web")]
mod web;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::error::{CryptoFault, Error, Result};
use crate::sys::worker::Panicked;
use crate::wire::LaneSecret;

pub use cancel::{Cancel, OnCancel};
pub use dial::pair;
pub use fetch::{FetchOptions, fetch, list_shared};
pub use options::{
    Compress, DEFAULT_MAX_SESSIONS, DEFAULT_PORT, DEFAULT_RETRY, DEFAULT_WINDOW, Device,
    DialTarget, Grant, ReceiveOptions, SendOptions, Stream, default_lanes,
};
pub use presence::{Change, Machine, Relation, look_around};
pub use run::{CommandSink, RunFrom, RunOptions, list_commands, run};
pub use send::send;
pub use serve::Receiver;
pub use share::SharedFiles;
pub use talk::{JoinOptions, MAX_REPLY_TIME, Room, RoomInput, SayOptions, join_room, say};
#[cfg(feature = "web")]
pub use web::{WebCertificate, WebOptions, WebPin, WebToken};

impl From<Panicked> for Error {
    fn from(panicked: Panicked) -> Self {
        Self::Panicked {
            worker: panicked.worker.name(),
        }
    }
}

/// A secret by which the lanes of one session are known.
fn new_secret() -> Result<LaneSecret> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| Error::Crypto {
        fault: CryptoFault::Random,
    })?;
    Ok(LaneSecret(secret))
}

/// A number for a session, unique in this process.
fn next_session() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

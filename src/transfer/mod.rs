//! The two engines that drive a session: send and receive.
//!
//! Must not know a terminal: what happens is reported through [`crate::progress`].

mod cancel;
mod link;
mod options;
mod outbox;
mod receive;
mod rules;
mod send;
mod serve;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Scope};

use crate::model::error::{Error, Result};

pub use cancel::{Cancel, OnCancel};
pub use options::{
    Address, Compress, DEFAULT_MAX_SESSIONS, DEFAULT_PORT, DEFAULT_RETRY, DEFAULT_WINDOW, Device,
    Grant, ReceiveOptions, SendOptions, Stream, default_lanes,
};
pub use send::{pair, send};
pub use serve::Receiver;

/// Starts a thread of a session.
fn spawn<'scope, F>(scope: &'scope Scope<'scope, '_>, name: &str, run: F) -> Result<()>
where
    F: FnOnce() + Send + 'scope,
{
    let thread = thread::Builder::new().name(name.into());
    match thread.spawn_scoped(scope, run) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Thread { source }),
    }
}

/// A number for a session, unique in this process.
fn next_session() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

//! The two engines that drive a session: send and receive.
//!
//! Must not know a terminal: what happens is reported through [`crate::progress`].

mod cancel;
mod options;
mod receive;
mod send;

use std::sync::atomic::{AtomicU64, Ordering};

pub use cancel::{Cancel, OnCancel};
pub use options::{
    Address, DEFAULT_PORT, DEFAULT_RETRY, DEFAULT_WINDOW, Device, ReceiveOptions, SendOptions,
    default_lanes,
};
pub use receive::Receiver;
pub use send::{pair, send};

/// A number for a session, unique in this process.
fn next_session() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

//! The two engines that drive a session: send and receive.
//!
//! Must not know a terminal: what happens is reported through [`crate::progress`].

mod cancel;
mod options;

pub use cancel::{Cancel, OnCancel};
pub use options::{
    DEFAULT_PORT, DEFAULT_RETRY, DEFAULT_WINDOW, ReceiveOptions, SendOptions, default_lanes,
};

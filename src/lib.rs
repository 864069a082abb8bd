//! xfer copies files and folders between machines on one network: encrypted, verified, resumable.
//!
//! This library is everything but the user interface: it prints nothing, asks through
//! [`model::prompt::Prompt`], and never exits. Imports only point down this picture:
//!
//! ```text
//!   main.rs: cli, ui                   arguments, bars, words for people
//!   --------------------------------------------------------------------------
//!   transfer: serve                    listens, lets in, starts sessions
//!             send, receive            the two sides of a session
//!   net                                who is there: TLS, keys, pairing, admission
//!   store, source                      the receive folder; what is sent
//!   wire                               preamble, frames, messages: bytes
//!   model                              the vocabulary: entries, outcomes, digests
//!   sys                                the operating system
//! ```
//!
//! With the feature `testing`, which no release has, `fuzz` stands beside it, for fuzzers and
//! tests.
#![warn(missing_docs)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "testing")]
pub mod fuzz;
pub mod model;
pub mod net;
pub mod source;
pub mod store;
pub mod sys;
pub mod transfer;
pub mod wire;

pub use model::error::{Error, Result};

//! xfer copies files and folders between machines on one network: verified, resumable,
//! encrypted.
//!
//! This library is the whole of it but for the terminal: it prints nothing, reads no keys and
//! never exits. Imports only point down this picture:
//!
//! ```text
//!   main.rs: cli, ui                        arguments, bars, words for people
//!   ------------------------------------------------------------------------
//!   engine                                  drives a session: send, receive
//!   session, secure                         what may be said when; the channel
//!   store, manifest, wire                   receive directory; walk; bytes
//!   entry, outcome, surplus, relpath, text, digest, vectored, advise, descriptors,
//!   prompt, progress, error, confine
//! ```
//!
//! Beside it stands `fuzz`, which nobody uses but fuzzers and tests.
#![warn(missing_docs)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod advise;
pub mod confine;
pub mod descriptors;
pub mod digest;
pub mod engine;
pub mod entry;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod manifest;
pub mod outcome;
pub mod progress;
pub mod prompt;
pub mod relpath;
pub mod secure;
mod session;
pub mod store;
pub mod surplus;
pub mod text;
pub mod vectored;
pub mod wire;

pub use error::{Error, Result};

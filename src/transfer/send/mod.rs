//! The sending engine: connects, offers, and tries again when the connection is lost.
//!
//! Must not decide what is stored: the receiver does.
//!
//! - `retry`: session after session;
//! - `session`: one session: its offer, its workers, its end;
//! - `announce`, `lane`, `control`: the workers: walk and announcements; data; answers;
//! - `stream`, `chunk_writer`, `compress`: what a lane sends with;
//! - `entries`, `queue`, `order`: what the workers share;
//! - `file`, `attempt`, `file_state`: one file: how it is read, how an attempt ends, and what may
//!   become of it;
//! - `report`: what is told outside.

mod announce;
mod attempt;
mod chunk_writer;
mod compress;
mod control;
mod entries;
mod file;
mod file_state;
mod lane;
mod order;
mod queue;
mod removal;
mod report;
mod retry;
mod session;
mod stream;

pub use retry::send;

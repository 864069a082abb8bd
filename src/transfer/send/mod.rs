//! The sending engine: offers, sends, and tries again when a connection is lost that it made.
//!
//! Must not decide what is stored: the receiver does.
//!
//! - `dialed`: session after session with a receiver that is dialed, and its offer;
//! - `session`: one session: its workers, its end;
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
mod dialed;
mod entries;
mod file;
mod file_state;
mod lane;
mod order;
mod queue;
mod removal;
mod report;
mod session;
mod stream;

pub use dialed::send;
pub(super) use session::{AgreedSession, SendTerms};

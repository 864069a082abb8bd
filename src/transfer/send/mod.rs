//! The sending engine: connects, offers, and tries again when the connection is lost.
//!
//! ```text
//!   retry                         session after session
//!   session                       one of them: its offer, its workers, its end
//!   announce  lane  control       the workers: walk and announcements; data; answers
//!   stream  attempt               a stream's data; how an attempt at a file ends
//!   order  entries  chunk_writer  what the workers share
//!   file_state                    what may become of an entry when
//!   file  queue  report  compress
//! ```
//!
//! Must not decide what is stored: the receiver does.

mod announce;
mod attempt;
mod chunk_writer;
mod compress;
mod control;
mod dial;
mod entries;
mod file;
mod file_state;
mod lane;
mod order;
mod queue;
mod report;
mod retry;
mod session;
mod stream;

pub use dial::pair;
pub use retry::send;

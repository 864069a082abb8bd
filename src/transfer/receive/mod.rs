//! The receiving side of a session.
//!
//! Must not know how its sender was let in.
//!
//! The control connection's thread hands what the sender says to the `planner`, which asks for
//! files; what is held of these the `hasher` tells. `lane`s take chunks, have them verified by
//! `chunk`, and store them. When all of a file is there the `finish`er gives it its name. What
//! becomes of a file is decided in `file_state`, what may be said when in `order`.

mod accounts;
mod chunk;
mod file;
mod file_state;
mod finish;
mod hasher;
mod kept;
mod lane;
mod lanes;
mod open_files;
mod order;
mod output;
mod planner;
mod queue;
mod removal;
mod session;
mod sums;
mod wanted;

pub(super) use output::{NAME, Output};
pub(super) use session::{Destination, ReceiveSession, SessionSetup};
pub(super) use sums::Sums;

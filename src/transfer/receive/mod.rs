//! The receiving side of a session.
//!
//! Must not know how its sender was let in.
//!
//! The control connection's thread hands what the sender says to the `planner`, which asks for
//! files; what is held of these the `hasher` tells. `lane`s take chunks, have them verified by
//! `chunk`, and store them. A file of one chunk gets its name from its lane; one of more chunks, or
//! one that replaces another and is synced, from the `finish`er, when all of it is there. What
//! becomes of a file is decided in `file_state`, what may be said when in `order`.
//!
//! Memory does not grow with the number of files: entries without an outcome are bounded by the
//! window, held digests by `hasher`; long paths, open files and what waits to be done or written by
//! `budgets`, for all sessions together; the store bounds the names that it remembers.

mod accounts;
mod bound;
mod budgets;
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
mod setup;
mod sums;
mod turns;
mod wanted;

pub(super) use bound::OfferBound;
pub(super) use budgets::Budgets;
pub(super) use hasher::EndSilent;
pub(super) use output::{NAME, Output};
pub(super) use removal::RemovalTerms;
pub(super) use session::ReceiveSession;
pub(super) use setup::{Destination, SessionSetup};
#[cfg(feature = "web")]
pub(super) use sums::SessionSums;
pub(super) use sums::Sums;

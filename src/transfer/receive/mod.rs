//! The receiving side of a session.
//!
//! Must not know how its sender was let in.

mod accounts;
mod decompress;
mod file;
mod finish;
mod hasher;
mod lane;
mod open_files;
mod pipe;
mod planner;
mod removal;
mod session;
mod sums;
mod tasks;

pub(super) use pipe::{NAME, Output};
pub(super) use session::{Receiving, Setup, Target};
pub(super) use sums::Sums;

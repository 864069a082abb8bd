//! What Windows has, by the same names as `unix`.
//!
//! Must not export what `unix` does not. What was never run on Windows itself, but only under Wine or
//! not at all, says so where it is.

mod acl;
pub(super) mod commands;
pub mod confine;
pub(super) mod dir;
pub(crate) mod error;
pub(super) mod file_errors;
pub(super) mod files;
pub mod host;
mod links;
mod list;
pub mod local;
pub mod lock_holders;
pub mod name;
mod nt;
pub mod places;
pub(crate) mod private;
mod renames;
pub mod shell;
pub mod signals;
pub(crate) mod socket;
mod stat;
pub mod stream;
pub mod terminal;
pub mod vectored;
pub(crate) mod wake;

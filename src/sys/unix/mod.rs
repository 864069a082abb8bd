//! What every Unix has, and what Linux adds.
//!
//! Must not leak a type of the system to the layers above.

pub(super) mod commands;
pub mod confine;
pub(super) mod dir;
pub(crate) mod error;
pub(super) mod file_errors;
pub(super) mod files;
pub mod host;
#[cfg(target_os = "linux")]
mod linux;
pub mod local;
pub mod lock_holders;
pub mod name;
#[cfg(not(target_os = "linux"))]
mod other_unix;
pub mod places;
pub(crate) mod private;
pub mod shell;
pub mod signals;
pub(crate) mod socket;
mod stat;
pub mod stream;
pub mod terminal;
pub mod vectored;
pub(crate) mod wake;

//! What a receiver gives up once it listens: nothing yet, on Windows.
//!
//! Must not be what keeps a peer's paths below the receive directory: the store does, on every
//! system.

use std::path::Path;

pub use crate::sys::told::Confined;

/// Would give up changing files anywhere but below `folders`. There is no way to it that a process
/// that runs can take: it has to be started with fewer rights.
#[must_use]
pub fn confine(_: &[&Path]) -> Confined {
    Confined::Not("Windows lets no process give it up that runs already".to_owned())
}

/// The same, but for connections.
#[must_use]
pub fn confine_writing(folders: &[&Path]) -> Confined {
    confine(folders)
}

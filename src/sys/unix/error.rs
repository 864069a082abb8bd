//! System errors that the standard library has no kind for.
//!
//! Must not decide how to handle them.

use std::io;

use rustix::io::Errno;

/// What an error of the system means, beyond [`io::Error::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The file system takes shorter names only.
    NameTooLong,
    /// The file system cannot hold the name.
    InvalidName,
    /// The disk, or what stands for it, failed.
    Io,
    /// Too many files are open.
    TooManyOpenFiles,
    /// Links lead in a circle, or there are too many of them.
    LinkLoop,
}

/// What an error means, where its kind does not say it.
pub(crate) fn meaning(error: &io::Error) -> Option<Meaning> {
    Some(match Errno::from_io_error(error)? {
        Errno::NAMETOOLONG => Meaning::NameTooLong,
        Errno::ILSEQ => Meaning::InvalidName,
        Errno::IO => Meaning::Io,
        Errno::MFILE | Errno::NFILE => Meaning::TooManyOpenFiles,
        Errno::LOOP => Meaning::LinkLoop,
        _ => return None,
    })
}

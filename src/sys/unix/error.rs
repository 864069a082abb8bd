//! System errors that the standard library has no kind for.
//!
//! Must not decide how to handle them.

use std::io;

use rustix::io::Errno;

pub(crate) use crate::sys::told::Meaning;

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

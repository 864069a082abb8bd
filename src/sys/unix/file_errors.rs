//! What a system error means, for code that must not look at its number.
//!
//! Must not decide how to handle it.

use std::io;

use rustix::io::Errno;

/// Whether the file system is out of space, or out of what this user may use of it.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(code(error), Some(Errno::NOSPC | Errno::DQUOT))
}

/// Whether the system cannot do at all what it was asked to.
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    let codes = [
        Errno::NOTSUP,
        Errno::OPNOTSUPP,
        Errno::NOSYS,
        Errno::INVAL,
        Errno::NOTTY,
    ];
    code(error).is_some_and(|code| codes.contains(&code))
        || error.kind() == io::ErrorKind::Unsupported
}

/// Whether a file system does not have what was asked for, or does not let this user do it.
#[must_use]
pub fn is_refused(error: &io::Error) -> bool {
    let codes = [Errno::PERM, Errno::ACCESS, Errno::OVERFLOW, Errno::RANGE];
    is_unsupported(error) || code(error).is_some_and(|code| codes.contains(&code))
}

/// Whether files cannot be made without a name, or not be named afterwards, where that was tried.
#[must_use]
pub fn cannot_be_unnamed(error: &io::Error) -> bool {
    let codes = [Errno::ISDIR, Errno::NOENT, Errno::XDEV];
    is_unsupported(error) || code(error).is_some_and(|code| codes.contains(&code))
}

/// Whether opening a folder failed because it is a link or a file.
#[must_use]
pub fn is_not_a_dir(error: &io::Error) -> bool {
    // Some of the BSDs say EMLINK, and others EFTYPE, of a link that is not followed.
    matches!(
        code(error),
        Some(Errno::NOTDIR | Errno::LOOP | Errno::MLINK)
    )
}

/// Whether opening a file failed because it is a link, or a fifo or socket that nobody is at.
#[must_use]
pub fn is_no_file(error: &io::Error) -> bool {
    matches!(
        code(error),
        Some(Errno::LOOP | Errno::MLINK | Errno::NXIO | Errno::OPNOTSUPP)
    )
}

/// Whether a folder could not be removed because something is in it, or mounted on it.
#[must_use]
pub fn is_not_empty(error: &io::Error) -> bool {
    matches!(
        code(error),
        Some(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY)
    )
}

/// Whether a name is too long for its file system.
#[must_use]
pub fn is_name_too_long(error: &io::Error) -> bool {
    code(error) == Some(Errno::NAMETOOLONG)
}

/// Whether a file system cannot hold a name, whatever its length.
#[must_use]
pub fn is_name_impossible(error: &io::Error) -> bool {
    code(error) == Some(Errno::ILSEQ)
}

/// What failed to make a name that nothing has. A name with what its file system does not allow in
/// names is an invalid argument to some, and to nothing else where a name is made.
#[must_use]
pub fn of_new_name(error: io::Error) -> io::Error {
    match code(&error) {
        Some(Errno::INVAL) => io::ErrorKind::InvalidFilename.into(),
        _ => error,
    }
}

/// Whether permissions are what something failed for, rather than whose it is.
#[must_use]
pub fn is_denied(error: &io::Error) -> bool {
    code(error) == Some(Errno::ACCESS)
}

fn code(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

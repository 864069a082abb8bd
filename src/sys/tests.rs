//! What the tests of every folder need of a system, in the way of the system they run on.
//!
//! Must not hide that something cannot be had: it says so, and a Unix has all of it.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes a symbolic link. Says whether it could: Wine only claims to, and Windows asks for a
/// privilege.
#[must_use]
pub(crate) fn symlink(target: &str, link: impl AsRef<Path>) -> bool {
    make_symlink(target, link.as_ref())
}

#[cfg(unix)]
fn make_symlink(target: &str, link: &Path) -> bool {
    std::os::unix::fs::symlink(target, link).unwrap();
    true
}

#[cfg(windows)]
fn make_symlink(target: &str, link: &Path) -> bool {
    use crate::sys::fs::Dir;
    let dir = Dir::open(link.parent().unwrap()).unwrap();
    let name = link.file_name().unwrap();
    dir.make_link(target.as_bytes(), name.as_encoded_bytes())
        .is_ok()
}

/// Who may do what with a file; none where that is not kept in these bits.
pub(crate) fn mode(path: impl AsRef<Path>) -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let permissions = std::fs::metadata(path).unwrap().permissions();
        Some(permissions.mode() & 0o7777)
    }
    #[cfg(windows)]
    {
        let _ = path;
        None
    }
}

/// Sets who may do what with a file. Says whether that is kept in these bits.
pub(crate) fn set_mode(path: impl AsRef<Path>, mode: u32) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        true
    }
    #[cfg(windows)]
    {
        let _ = (path, mode);
        false
    }
}

/// Makes something that is neither a file nor a folder nor a link. Says whether it could.
#[must_use]
pub(crate) fn make_socket(path: impl AsRef<Path>) -> bool {
    #[cfg(unix)]
    {
        std::os::unix::net::UnixListener::bind(path).unwrap();
        true
    }
    #[cfg(windows)]
    {
        let _ = path;
        false
    }
}

/// What the system can say of a failure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sample {
    Denied,
    QuotaExceeded,
    InvalidName,
    Io,
    Refused,
}

impl Sample {
    /// The error by which it says so.
    pub(crate) fn error(self) -> io::Error {
        #[cfg(unix)]
        {
            use rustix::io::Errno;
            let errno = match self {
                Self::Denied => Errno::ACCESS,
                Self::QuotaExceeded => Errno::DQUOT,
                Self::InvalidName => Errno::ILSEQ,
                Self::Io => Errno::IO,
                Self::Refused => Errno::CONNREFUSED,
            };
            errno.into()
        }
        #[cfg(windows)]
        {
            use windows_sys::Win32::Foundation as codes;
            let code = match self {
                Self::Denied => codes::ERROR_ACCESS_DENIED,
                Self::QuotaExceeded => codes::ERROR_DISK_QUOTA_EXCEEDED,
                Self::InvalidName => codes::ERROR_INVALID_NAME,
                Self::Io => codes::ERROR_IO_DEVICE,
                Self::Refused => codes::ERROR_CONNECTION_REFUSED,
            };
            io::Error::from_raw_os_error(code.cast_signed())
        }
    }
}

/// Another handle to a file, by which it cannot be brought to disk.
pub(crate) fn unsyncable(path: &Path) -> File {
    #[cfg(unix)]
    {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::PATH;
        rustix::fs::open(path, flags, Mode::empty()).unwrap().into()
    }
    #[cfg(windows)]
    {
        // That takes a handle by which it can be written.
        File::open(path).unwrap()
    }
}

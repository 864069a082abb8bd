//! What the system says, in words for people and for programs.
//!
//! Must not know what it was said about.

use std::io;

use xfer::model::reason::SystemError;

/// What the system said.
pub(crate) fn io_error(error: &io::Error) -> String {
    system(&SystemError::from(error))
}

/// The same, as a reason.
pub(super) fn system(error: &SystemError) -> String {
    match error {
        SystemError::PermissionDenied => "permission denied",
        SystemError::NoSpace => "no space left on the disk",
        SystemError::QuotaExceeded => "your disk quota is used up",
        SystemError::ReadOnly => "the file system is read-only",
        SystemError::NameTooLong => "its name is too long here",
        SystemError::InvalidName => "this file system cannot hold its name",
        SystemError::Io => "I/O error",
        SystemError::TooManyOpenFiles => "too many open files",
        SystemError::Unsupported => "the system cannot do that here",
        SystemError::NotFound => "no such file or directory",
        SystemError::AlreadyExists => "it exists already",
        SystemError::NotADirectory => "not a directory",
        SystemError::IsADirectory => "it is a directory",
        SystemError::DirectoryNotEmpty => "the directory is not empty",
        SystemError::FileTooLarge => "the file is too large for this file system",
        SystemError::InUse => "it is in use",
        SystemError::LinkLoop => "too many levels of symbolic links",
        SystemError::OutOfMemory => "out of memory",
        SystemError::TimedOut => "timed out",
        SystemError::NobodyReads => "nobody reads it any more",
        SystemError::NoFilesLeft => "the disk has room for bytes, but for no more files",
        SystemError::Other(words) => words.as_str(),
    }
    .to_owned()
}

/// What the system said, for programs.
pub(super) fn system_code(error: &SystemError) -> &'static str {
    match error {
        SystemError::PermissionDenied => "permission_denied",
        SystemError::NoSpace => "no_space",
        SystemError::QuotaExceeded => "quota_exceeded",
        SystemError::ReadOnly => "read_only",
        SystemError::NameTooLong => "name_too_long",
        SystemError::InvalidName => "invalid_name",
        SystemError::Io => "io",
        SystemError::TooManyOpenFiles => "too_many_open_files",
        SystemError::Unsupported => "unsupported",
        SystemError::NotFound => "not_found",
        SystemError::AlreadyExists => "already_exists",
        SystemError::NotADirectory => "not_a_directory",
        SystemError::IsADirectory => "is_a_directory",
        SystemError::DirectoryNotEmpty => "directory_not_empty",
        SystemError::FileTooLarge => "file_too_large",
        SystemError::InUse => "in_use",
        SystemError::LinkLoop => "link_loop",
        SystemError::OutOfMemory => "out_of_memory",
        SystemError::TimedOut => "timed_out",
        SystemError::NobodyReads => "nobody_reads",
        SystemError::NoFilesLeft => "no_files_left",
        SystemError::Other(_) => "other",
    }
}

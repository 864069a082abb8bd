//! System errors, in words for people and as codes for programs.
//!
//! Must not know which file or peer an error is about.

use std::io;

use xfer::model::reason::SystemError;

/// A system error, in words.
pub(crate) fn io_error(error: &io::Error) -> String {
    system(&SystemError::from(error))
}

/// An error of the resolver, in words. It has no code of its own, so its text decides.
pub(super) fn resolver_error(error: &io::Error) -> String {
    let text = error.to_string();
    let unknown = [
        "not known",
        "nodename nor servname",
        "No address associated",
    ];
    if unknown.iter().any(|words| text.contains(words)) {
        "no such host".to_owned()
    } else if text.contains("Temporary failure") {
        "the name server does not answer".to_owned()
    } else {
        io_error(error)
    }
}

/// The same, for an error that came as a reason.
pub(super) fn system(error: &SystemError) -> String {
    match error {
        SystemError::PermissionDenied => "permission denied",
        SystemError::NoSpace => "no space left on the disk",
        SystemError::QuotaExceeded => "disk quota exceeded",
        SystemError::ReadOnly => "read-only file system",
        SystemError::NameTooLong => "the name is too long for this file system",
        SystemError::InvalidName => "this file system does not allow the name",
        SystemError::Io => "I/O error",
        SystemError::TooManyOpenFiles => "too many open files",
        SystemError::Unsupported => "not supported here",
        SystemError::NotFound => "no such file or directory",
        SystemError::AlreadyExists => "already exists",
        SystemError::NotADirectory => "not a directory",
        SystemError::IsADirectory => "is a directory",
        SystemError::DirectoryNotEmpty => "directory not empty",
        SystemError::FileTooLarge => "file too large for this file system",
        SystemError::InUse => "in use",
        SystemError::LinkLoop => "too many levels of symbolic links",
        SystemError::OutOfMemory => "out of memory",
        SystemError::TimedOut => "timed out",
        SystemError::NobodyReads => "the program that reads it has ended",
        SystemError::NoFilesLeft => "no room for more files on the disk (out of inodes)",
        SystemError::Other(words) => words.as_str(),
    }
    .to_owned()
}

/// The code of a system error, for programs.
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

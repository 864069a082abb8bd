//! This program, started once more as a starter or supervisor, with the streams that it gets.
//!
//! Must not pass on anything else: what is open in this process is closed in that one.

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};

use super::super::host;

/// The first argument of a starter.
pub(super) const STARTER: &str = "start-commands";
/// The first argument of a supervisor.
pub(super) const SUPERVISOR: &str = "supervise-command";

/// A starter, whose parent is at the other end of this.
#[allow(unsafe_code)]
pub(super) fn starter(parent: OwnedFd) -> io::Result<Child> {
    let mut command = this_program()?;
    // SAFETY: one call to the system, that neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(host::lower_limit_of_open());
    }
    command
        .arg(STARTER)
        .current_dir("/")
        .stdin(parent)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn()
}

/// A supervisor with these further arguments and this environment, and with the standard streams of
/// its command.
pub(super) fn supervisor(
    arguments: Vec<OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    [input, output, error]: [OwnedFd; 3],
) -> io::Result<Child> {
    let mut command = this_program()?;
    command
        .arg(SUPERVISOR)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(input)
        .stdout(output)
        .stderr(error);
    command.spawn()
}

/// Has what this process was started with, beside its standard streams, not reach any other: a lock
/// of a shell, say.
#[allow(unsafe_code)]
pub(super) fn keep_inherited() {
    let open = std::fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    for number in numbers.collect::<Vec<_>>() {
        if number > 2 {
            // SAFETY: it is only marked. One that is not open any more is an error, and none.
            let open = unsafe { BorrowedFd::borrow_raw(number) };
            let _ = fcntl_setfd(open, FdFlags::CLOEXEC);
        }
    }
}

fn this_program() -> io::Result<Command> {
    // It is the same one even where the file has been replaced meanwhile.
    #[cfg(target_os = "linux")]
    let path = std::path::PathBuf::from("/proc/self/exe");
    #[cfg(not(target_os = "linux"))]
    let path = std::env::current_exe()?;
    let mut command = Command::new(path);
    command.arg0("xfer");
    Ok(command)
}

//! This program, started once more as a starter or supervisor, with the streams that it gets.
//!
//! Must not pass on anything else: what is open in this process is closed in that one.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

/// The first argument of a starter.
pub(super) const STARTER: &str = "start-commands";
/// The first argument of a supervisor.
pub(super) const SUPERVISOR: &str = "supervise-command";

/// A starter, whose parent is at the other end of this.
pub(super) fn starter(parent: OwnedFd) -> io::Result<Child> {
    let mut command = this_program()?;
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

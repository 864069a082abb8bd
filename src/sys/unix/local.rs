//! Sockets by which processes of one user on one machine talk to each other.
//!
//! Must not trust a path or a mode alone: the system says whose process is at the other end, and
//! nobody else is talked to.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, test_kill_process};

use super::private;
use crate::sys::fs::effective_user;

/// The longest path of a socket that every system takes, in bytes.
const MAX_PATH_BYTES: usize = 100;

/// A socket that only processes of this user can connect to. Its name goes when it is dropped.
#[derive(Debug)]
pub struct LocalListener {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalListener {
    /// Listens at `name` in `dir`, which is made where it is missing, and must be this user's alone.
    pub fn bind(dir: &Path, name: &str) -> io::Result<Self> {
        private::create_dir_all(dir)?;
        check_folder(dir)?;
        let path = dir.join(name);
        // Of a process that had the same number and is gone.
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.file_type().is_socket()) {
            fs::remove_file(&path)?;
        }
        let (short, _folder) = short(&path)?;
        let listener = UnixListener::bind(short)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// The next process of this user that connects. Others are hung up on.
    pub fn accept(&self) -> io::Result<LocalStream> {
        loop {
            let (stream, _) = self.listener.accept()?;
            if is_ours(&stream) {
                return Ok(LocalStream(stream));
            }
        }
    }

    /// Takes its name away, while a thread may still wait for somebody.
    pub fn remove_name(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        self.remove_name();
    }
}

/// A connection to another process of this user.
#[derive(Debug)]
pub struct LocalStream(UnixStream);

impl LocalStream {
    /// Connects to what listens at `path`, if that is a process of this user.
    pub fn connect(path: &Path) -> io::Result<Self> {
        check_folder(path.parent().unwrap_or(Path::new("/")))?;
        let (short, _folder) = short(path)?;
        let stream = UnixStream::connect(short)?;
        match is_ours(&stream) {
            true => Ok(Self(stream)),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    /// Another handle to the same connection.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// How long reading and writing may wait; without it, for ever.
    pub fn set_timeouts(&self, read: Option<Duration>, write: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(read)?;
        self.0.set_write_timeout(write)
    }

    /// From now on, nothing waits: what cannot be read or written at once fails.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        self.0.set_nonblocking(true)
    }

    /// Ends it, from any thread.
    pub fn close(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }

    /// Whether something can be read, be it the end.
    #[must_use]
    pub fn has_input(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let none = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(poll(&mut fds, Some(&none)), Ok(n) if n > 0)
    }
}

impl Read for LocalStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for LocalStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether a process of this number runs on this machine.
#[must_use]
pub fn is_running(process: u32) -> bool {
    let number = i32::try_from(process).ok().and_then(Pid::from_raw);
    number.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Others must be able neither to look for sockets here nor to put some.
fn check_folder(dir: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(dir)?;
    match meta.is_dir() && meta.uid() == effective_user() && !private::is_exposed(dir, &meta) {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// A path that a socket's address has room for, and what has to stay open for it.
fn short(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= MAX_PATH_BYTES {
        return Ok((path.to_path_buf(), None));
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let dir = File::open(dir)?;
        let short = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
        Ok((short.join(name), Some(dir)))
    }
    #[cfg(not(target_os = "linux"))]
    Err(io::ErrorKind::InvalidInput.into())
}

/// Whether the process at the other end works for this user, as the system says.
fn is_ours(stream: &UnixStream) -> bool {
    user_of(stream).is_ok_and(|user| user == effective_user())
}

#[cfg(target_os = "linux")]
fn user_of(stream: &UnixStream) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

#[cfg(not(target_os = "linux"))]
#[allow(unsafe_code)]
fn user_of(stream: &UnixStream) -> io::Result<u32> {
    use std::os::fd::AsRawFd as _;
    let (mut user, mut group) = (0, 0);
    // SAFETY: the descriptor is open for as long as `stream` is borrowed, and the system writes two
    // numbers, which outlive the call.
    let got = unsafe { libc::getpeereid(stream.as_raw_fd(), &raw mut user, &raw mut group) };
    match got {
        0 => Ok(user),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(dir: &Path) {
        let listener = LocalListener::bind(dir, "name").unwrap();
        let path = dir.join("name");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(dir), mode(&path)), (0o700, 0o600));
        let mut ours = LocalStream::connect(&path).unwrap();
        let mut theirs = listener.accept().unwrap();
        assert!(!ours.has_input());
        theirs.write_all(b"word").unwrap();
        drop(theirs);
        let mut heard = String::new();
        ours.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "word");
        assert!(ours.has_input());
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn two_processes_of_a_user_talk() {
        let temp = tempfile::tempdir().unwrap();
        talk(&temp.path().join("here"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn however_long_the_path_is() {
        let temp = tempfile::tempdir().unwrap();
        talk(&temp.path().join("a".repeat(120)).join("b".repeat(120)));
    }

    #[test]
    fn a_folder_that_others_can_look_into_is_not_used() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("here");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o711)).unwrap();
        let refused = LocalListener::bind(&dir, "name").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        let refused = LocalStream::connect(&dir.join("name")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        // Nor is a link to one.
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(temp.path(), &link).unwrap();
        assert!(LocalListener::bind(&link, "name").is_err());
    }

    #[test]
    fn this_process_runs_and_one_that_has_ended_does_not() {
        assert!(is_running(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(!is_running(child.id()));
    }
}

//! Connections by which processes of one user on one machine talk to each other.
//!
//! Must not talk to anybody who cannot read the user's own folder: a file there holds the port that
//! a process listens at, and a secret of each side, which it has to say first.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::windows::io::{AsRawSocket as _, FromRawHandle as _, OwnedHandle};
use std::path::{Path, PathBuf};
use std::time::Duration;

use windows_sys::Win32::Foundation::WAIT_TIMEOUT;
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_SYNCHRONIZE, WaitForSingleObject,
};

use super::{private, wake};

/// How long the other side may take to say its secret.
const SECRET: Duration = Duration::from_millis(500);
const SECRET_BYTES: usize = 16;
/// The port, and what each side says.
const FILE_BYTES: usize = 2 + 2 * SECRET_BYTES;

/// What the file says.
#[derive(Debug)]
struct Meeting {
    port: u16,
    /// What who connects says first.
    caller: [u8; SECRET_BYTES],
    /// What who listens answers.
    host: [u8; SECRET_BYTES],
}

impl Meeting {
    fn new(port: u16) -> io::Result<Self> {
        let (mut caller, mut host) = ([0; SECRET_BYTES], [0; SECRET_BYTES]);
        for secret in [&mut caller, &mut host] {
            aws_lc_rs::rand::fill(secret).map_err(|_| io::Error::other("no random numbers"))?;
        }
        Ok(Self { port, caller, host })
    }

    fn to_bytes(&self) -> Vec<u8> {
        [&self.port.to_le_bytes()[..], &self.caller, &self.host].concat()
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let file = fs::File::open(path)?;
        file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        let parts = bytes.split_first_chunk().and_then(|(port, rest)| {
            let (caller, rest) = rest.split_first_chunk()?;
            let host = rest.try_into().ok()?;
            Some((u16::from_le_bytes(*port), *caller, host))
        });
        let (port, caller, host) = parts.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { port, caller, host })
    }
}

/// What only processes of this user can connect to. Its name goes when it is dropped.
#[derive(Debug)]
pub struct LocalListener {
    listener: TcpListener,
    meeting: Meeting,
    path: PathBuf,
}

impl LocalListener {
    /// Listens under `name` in `dir`, which is made where it is missing.
    pub fn bind(dir: &Path, name: &str) -> io::Result<Self> {
        private::create_dir_all(dir)?;
        let path = dir.join(name);
        let listener = super::socket::listen((Ipv4Addr::LOCALHOST, 0).into())?;
        let meeting = Meeting::new(listener.local_addr()?.port())?;
        // Of a process that had the same number and is gone.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        private::write_new(&path, &meeting.to_bytes())?;
        Ok(Self {
            listener,
            meeting,
            path,
        })
    }

    /// The next process of this user that connects. Others are hung up on.
    pub fn accept(&self) -> io::Result<LocalStream> {
        loop {
            let (mut stream, _) = self.listener.accept()?;
            let mut said = [0; SECRET_BYTES];
            let known = stream.set_read_timeout(Some(SECRET)).is_ok()
                && stream.read_exact(&mut said).is_ok()
                && is_same(&said, &self.meeting.caller)
                && stream.write_all(&self.meeting.host).is_ok();
            if known && stream.set_read_timeout(None).is_ok() {
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
pub struct LocalStream(TcpStream);

impl LocalStream {
    /// Connects to what listens under `path`, if that is a process of this user.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let meeting = Meeting::read(path)?;
        let address = (Ipv4Addr::LOCALHOST, meeting.port).into();
        // An unused port refuses only after two seconds here.
        let mut stream =
            TcpStream::connect_timeout(&address, SECRET).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => io::ErrorKind::ConnectionRefused.into(),
                _ => error,
            })?;
        stream.set_read_timeout(Some(SECRET))?;
        stream.write_all(&meeting.caller)?;
        let mut said = [0; SECRET_BYTES];
        stream.read_exact(&mut said)?;
        stream.set_read_timeout(None)?;
        match is_same(&said, &meeting.host) {
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
        super::socket::close(&self.0);
    }

    /// Whether something can be read, be it the end.
    #[must_use]
    pub fn has_input(&self) -> bool {
        wake::poll([self.0.as_raw_socket()], Some(Duration::ZERO)).is_ok_and(|[ready]| ready)
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
    // SAFETY: it takes numbers, and what it gives is a handle of this process or none.
    #[allow(unsafe_code)]
    let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, process) };
    if handle.is_null() {
        // Of another user, it may not be opened.
        return io::Error::last_os_error().kind() == io::ErrorKind::PermissionDenied;
    }
    // SAFETY: the handle is open, belongs to nobody else, and is closed when `_process` ends.
    #[allow(unsafe_code)]
    unsafe {
        let _process = OwnedHandle::from_raw_handle(handle);
        WaitForSingleObject(handle, 0) == WAIT_TIMEOUT
    }
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
fn is_same(one: &[u8; SECRET_BYTES], other: &[u8; SECRET_BYTES]) -> bool {
    one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_of_a_user_talk() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("here");
        let listener = LocalListener::bind(&dir, "name").unwrap();
        let path = dir.join("name");
        let mut ours = std::thread::scope(|scope| {
            let ours = scope.spawn(|| LocalStream::connect(&path).unwrap());
            let mut theirs = listener.accept().unwrap();
            let ours = ours.join().unwrap();
            assert!(!ours.has_input());
            theirs.write_all(b"word").unwrap();
            ours
        });
        let mut heard = String::new();
        ours.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "word");
        assert!(ours.has_input());
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn who_does_not_know_the_secret_is_hung_up_on() {
        let temp = tempfile::tempdir().unwrap();
        let listener = LocalListener::bind(temp.path(), "name").unwrap();
        let port = listener.meeting.port;
        std::thread::scope(|scope| {
            let host = scope.spawn(|| listener.accept().unwrap());
            let mut stranger = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            stranger.write_all(&[0; SECRET_BYTES]).unwrap();
            assert!(matches!(stranger.read(&mut [0; 1]), Ok(0) | Err(_)));
            let _ours = LocalStream::connect(&temp.path().join("name")).unwrap();
            host.join().unwrap();
        });
    }

    #[test]
    fn this_process_runs_and_one_that_has_ended_does_not() {
        assert!(is_running(std::process::id()));
        let mut child = std::process::Command::new("cmd")
            .args(["/c", "exit"])
            .spawn()
            .unwrap();
        child.wait().unwrap();
        let number = child.id();
        drop(child);
        assert!(!is_running(number));
    }
}

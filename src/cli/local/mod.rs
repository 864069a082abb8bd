//! Receivers of one user on one machine, which know of each other: a second one says that there is a
//! first, and `xfer recv --pair` shows the codes of one that has no terminal.
//!
//! Must not be reached over a network, nor by another user: `sys::local` sees to that.

mod attend;
mod host;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use xfer::Error;
use xfer::sys::local::{LocalStream, is_running};

pub(super) use self::host::{AttendedPrompt, LocalHost};
pub(super) use attend::attend;

/// Where their sockets are, below what this program keeps of its own.
const FOLDER: &str = "receivers";
/// How long one may take to say what it is.
const ANSWER: Duration = Duration::from_secs(5);
/// The most bytes of a line that a receiver says.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// The most bytes of a line that says what is wanted of it.
const MAX_WISH_BYTES: u64 = 64;

/// What a receiver is, as it says to others of the same user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReceiverFacts {
    /// Its process.
    pub(super) process: u32,
    pub(super) listens: SocketAddr,
    /// Where what it receives goes; none for standard output.
    pub(super) into: Option<PathBuf>,
    pub(super) is_chat: bool,
    /// Whether it shares files, and receives nothing.
    #[serde(default)]
    pub(super) is_share: bool,
    /// When it started, in seconds since 1970.
    pub(super) since: u64,
}

/// What a listener of this program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalService {
    Receiver,
    Chat,
    Share,
}

/// What is wanted of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum LocalWish {
    /// To know what it is.
    Facts,
    /// To see its codes, for as long as the connection lasts.
    Codes,
}

/// What a receiver says.
#[derive(Debug, Serialize, Deserialize)]
enum LocalAnswer {
    Facts(ReceiverFacts),
    Lines(Vec<String>),
    /// As many see its codes as can.
    Full,
}

impl ReceiverFacts {
    /// This process, which listens there and stores into this folder.
    pub(super) fn of_this(listens: SocketAddr, into: Option<&Path>, what: LocalService) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            process: std::process::id(),
            listens,
            // Text that people read: a name that is not UTF-8 would not be JSON.
            into: into.map(|dir| dir.to_string_lossy().into_owned().into()),
            is_chat: what == LocalService::Chat,
            is_share: what == LocalService::Share,
            since: since.unwrap_or_default().as_secs(),
        }
    }

    /// How long ago it started.
    fn age(&self) -> Duration {
        let since = UNIX_EPOCH + Duration::from_secs(self.since);
        SystemTime::now().duration_since(since).unwrap_or_default()
    }
}

/// All receivers of this user on this machine that say what they are.
pub(super) fn all(data_dir: &Path) -> Vec<ReceiverFacts> {
    let mut found: Vec<_> = sockets(&data_dir.join(FOLDER))
        .iter()
        .filter_map(|(path, process)| about(path, *process))
        .collect();
    found.sort_by_key(|about| about.process);
    found
}

/// Why nothing can listen: because another receiver of this user does, where that is so.
pub(super) fn explained(error: Error) -> Error {
    let Error::Listen { addr, source } = &error else {
        return error;
    };
    if source.kind() != io::ErrorKind::AddrInUse {
        return error;
    }
    let all = super::machine::data_dir().map(|dir| all(&dir));
    let mut all = all.into_iter().flatten();
    match all.find(|facts| facts.listens.port() == addr.port()) {
        Some(facts) => Error::AlreadyReceiving {
            addr: *addr,
            process: facts.process,
            age: facts.age(),
            into: facts.into,
            is_chat: facts.is_chat,
            is_share: facts.is_share,
        },
        None => error,
    }
}

/// The sockets of this machine, and the processes that they are named after.
fn sockets(folder: &Path) -> Vec<(PathBuf, u32)> {
    let ours = prefix();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sockets = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        // The home may be on several machines at once.
        let process = name.strip_prefix(&ours)?.parse().ok()?;
        Some((entry.path(), process))
    });
    sockets.collect()
}

/// How the names of the sockets of this machine begin.
fn prefix() -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let name: String = xfer::sys::host::name()
        .chars()
        .filter(plain)
        .take(32)
        .collect();
    format!("{name}.")
}

/// The socket of a process of this machine.
fn name_of(process: u32) -> String {
    format!("{}{process}", prefix())
}

/// What the receiver at this socket is. If it was killed, its socket goes: nobody answers there.
fn about(path: &Path, process: u32) -> Option<ReceiverFacts> {
    match open(path, LocalWish::Facts) {
        Ok((_, about)) => Some(about),
        Err(error) => {
            // A process with this number in another container would accept.
            let nobody = error.kind() == io::ErrorKind::ConnectionRefused;
            if nobody && !is_running(process) {
                let _ = fs::remove_file(path);
            }
            None
        }
    }
}

/// Connects to a receiver, and hears what it is, and then what else it says.
fn open(path: &Path, want: LocalWish) -> io::Result<(BufReader<LocalStream>, ReceiverFacts)> {
    let mut stream = LocalStream::connect(path)?;
    stream.set_timeouts(Some(ANSWER), Some(ANSWER))?;
    say(&mut stream, &want)?;
    let mut reader = BufReader::new(stream);
    match hear(&mut reader, MAX_ANSWER_BYTES)? {
        LocalAnswer::Facts(about) => Ok((reader, about)),
        LocalAnswer::Lines(_) | LocalAnswer::Full => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn say(stream: &mut LocalStream, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn hear<T: for<'de> Deserialize<'de>>(
    reader: &mut BufReader<LocalStream>,
    most: u64,
) -> io::Result<T> {
    let mut line = Vec::new();
    let mut bounded = reader.by_ref().take(most);
    bounded.read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

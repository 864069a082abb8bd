//! The options of a sender and of a receiver.
//!
//! Must not know the command line: plain values, with defaults.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::digest::Algorithm;
use crate::model::outcome::{OnConflict, Wish};
use crate::model::relpath::RelPath;
use crate::model::surplus::MaxDelete;
use crate::net::{Beacon, Identity, Peers};
use crate::source::{Filter, SentNames};
use crate::sys::commands::CommandStarter;
use crate::sys::own::OwnFolders;

/// The port that receivers listen on, unless told otherwise.
pub const DEFAULT_PORT: u16 = 9090;
/// The most lanes that are opened without being asked for.
pub(super) const DEFAULT_MAX_LANES: u16 = 4;
/// How many entries a receiver lets a sender announce ahead of their outcomes.
pub const DEFAULT_WINDOW: u32 = 16_384;
/// How many sessions a receiver has at once.
pub const DEFAULT_MAX_SESSIONS: usize = 64;
/// How long a session may stand still when another one needs its place.
pub(super) const DEFAULT_IDLE: Duration = Duration::from_secs(600);
/// How long a sender keeps trying after a connection is lost.
pub const DEFAULT_RETRY: Duration = Duration::from_secs(60);

/// As many lanes as there are cores, within reason.
#[must_use]
pub fn default_lanes() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores)
        .unwrap_or(DEFAULT_MAX_LANES)
        .clamp(1, DEFAULT_MAX_LANES)
}

/// Who this machine is, and whom it knows.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its key.
    pub identity: Identity,
    /// Those it is paired with.
    pub peers: Peers,
    /// Where all that is kept: no transfer reads or writes there.
    pub own: OwnFolders,
}

/// Which receiver is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialTarget {
    /// Whoever listens there.
    Host {
        /// A host name or an address; an IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// The one that announces itself so, wherever it is now.
    Announced(Box<Beacon>),
    /// The one of this name: a machine that is known here, wherever it is now, or a host's name.
    Name(String),
}

impl DialTarget {
    /// What it is called, or where it is, as the user said it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Host { host: name, .. } | Self::Name(name) => name,
            Self::Announced(beacon) => &beacon.name,
        }
    }

    /// The name that the user chose; none where they gave an address.
    #[must_use]
    pub fn given_name(&self) -> Option<&str> {
        let name = self.name();
        let address = name.split('%').next().unwrap_or(name);
        address.parse::<IpAddr>().is_err().then_some(name)
    }
}

impl Default for DialTarget {
    fn default() -> Self {
        Self::Name(String::new())
    }
}

impl From<SocketAddr> for DialTarget {
    fn from(addr: SocketAddr) -> Self {
        Self::Host {
            host: addr.ip().to_string(),
            port: addr.port(),
        }
    }
}

/// Something of unknown length that is sent as one file.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The file's path in the receive directory.
    pub path: RelPath,
    /// Where it is read from, to its end. It is read once: a lost connection is the end of it.
    pub from: Arc<File>,
}

/// What to send, where to, and how.
#[derive(Debug, Clone)]
pub struct SendOptions {
    /// Files and folders. Their last names must differ.
    pub paths: Vec<PathBuf>,
    /// What they are called at the receiver, and where they go there. It holds for a stream as
    /// well, but for its name.
    pub naming: SentNames,
    /// A stream to send, instead of files and folders.
    pub stream: Option<Stream>,
    /// The receiver.
    pub to: DialTarget,
    /// Whether to wait for it until it is there.
    pub wait: bool,
    /// What this side calls itself.
    pub name: String,
    /// Whether to send to anyone.
    pub open: bool,
    /// What digests are made with; where none is given, what suits both machines.
    pub algorithm: Option<Algorithm>,
    /// When to compress what is sent.
    pub compress: Compress,
    /// How many lanes to ask for, 1 to [`crate::wire::limits::MAX_LANES`].
    pub lanes: u16,
    /// How long to keep trying after a connection is lost.
    pub retry: Duration,
    /// What is to be done with what is there already.
    pub wish: Wish,
    /// How much a mirror may remove. Where none is given, it asks before it removes much.
    pub max_delete: Option<MaxDelete>,
    /// What of the files and folders to send.
    pub filter: Filter,
    /// How many bytes all lanes may send in a second.
    pub limit: Option<u64>,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            naming: SentNames::default(),
            stream: None,
            to: DialTarget::default(),
            wait: false,
            name: String::new(),
            open: false,
            algorithm: None,
            compress: Compress::default(),
            lanes: default_lanes(),
            retry: DEFAULT_RETRY,
            wish: Wish::default(),
            max_delete: None,
            filter: Filter::default(),
            limit: None,
        }
    }
}

/// What a paired sender may do here, where that is not what all of them may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Where what it sends goes, instead of the receive directory. It must exist.
    pub dir: Option<PathBuf>,
    /// How many bytes all files in that folder may take up.
    pub quota: Option<u64>,
    /// Whether it may replace what is there, whatever all others may.
    pub may_update: Option<bool>,
    /// Whether it may have removed what it does not have, whatever all others may. Then it may
    /// replace what is there, too, unless the other says that it may not.
    pub may_mirror: Option<bool>,
}

/// When to compress what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compress {
    /// Where it makes the transfer faster, by what is measured while it runs.
    #[default]
    Auto,
    /// Whatever becomes smaller by it, with Zstandard.
    Zstd,
    /// Never.
    Never,
}

/// Where to receive, and from whom.
#[derive(Debug, Clone)]
pub struct ReceiveOptions {
    /// The receive directory. It must exist.
    pub dir: PathBuf,
    /// Where the one file of each session goes, instead of that. What is sent has to be one file.
    pub output: Option<Arc<File>>,
    /// What single paired senders may do, by the names that they are known by here.
    pub grants: BTreeMap<String, Grant>,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What this side calls itself.
    pub name: String,
    /// Whether the network is told that it is here.
    pub announce: bool,
    /// Whether to end with the first session.
    pub once: bool,
    /// When to end, counted from the start: sessions that run then may still end.
    pub lasts: Option<Duration>,
    /// Whether to receive from anyone.
    pub open: bool,
    /// Whether to ask about each offer.
    pub ask: bool,
    /// Whether to store links that lead out of the receive directory.
    pub links_outside: bool,
    /// Whether to store entries whose names this system does not let programs have, under others.
    pub rename_unsafe: bool,
    /// The most that any sender may do where something else has the name of what comes; where
    /// none is given, replace it, if it may.
    pub on_conflict: Option<OnConflict>,
    /// Whether all paired senders may replace what is there; the same user on the same machine may
    /// anyway.
    pub update: bool,
    /// Whether senders that may replace may also have removed what they do not have; all paired
    /// senders may replace then.
    pub mirror: bool,
    /// How much a mirror may remove. Where none is given, it asks before it removes much.
    pub max_delete: Option<MaxDelete>,
    /// Whether to bring everything to disk before a session counts as done.
    pub sync: bool,
    /// How many sessions there may be at once.
    pub max_sessions: usize,
    /// How long a session may stand still when another one needs its place; that of a stranger has
    /// a fifth of it.
    pub idle: Duration,
    /// How many lanes a session may have at most.
    pub lanes: u16,
    /// How many entries may be announced that have no outcome yet.
    pub window: u32,
    /// What starts the commands that peers may run, and what runs behind a session; none where there
    /// are none. It was launched before anything was heard of the network.
    pub starter: Option<Arc<CommandStarter>>,
    /// A list to which the SHA-256 of each file that is received is added.
    pub sums: Option<PathBuf>,
    /// The page that takes files from browsers; none where there is none.
    #[cfg(feature = "web")]
    pub web: Option<super::web::WebOptions>,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("."),
            output: None,
            grants: BTreeMap::new(),
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT)),
            name: String::new(),
            announce: false,
            once: false,
            lasts: None,
            open: false,
            ask: false,
            links_outside: false,
            rename_unsafe: false,
            on_conflict: None,
            update: false,
            mirror: false,
            max_delete: None,
            sync: true,
            max_sessions: DEFAULT_MAX_SESSIONS,
            idle: DEFAULT_IDLE,
            lanes: crate::wire::limits::MAX_LANES,
            window: DEFAULT_WINDOW,
            starter: None,
            sums: None,
            #[cfg(feature = "web")]
            web: None,
        }
    }
}

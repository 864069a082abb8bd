//! `Peers`: the machines that this one knows, and the file that lists them.
//!
//! Must not replace a file that it cannot read: known machines would be lost, and a stranger could
//! take a known name.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Fingerprint, PeerAddress};
use crate::model::error::{Action, Error, Result, StateFault, StateFile};
use crate::model::outcome::{Ability, Role};
use crate::model::text::Text;
use crate::sys::private;

/// The longest name of a device, in bytes; longer ones are cut.
pub const MAX_NAME_BYTES: usize = 64;
/// The longest list, in bytes: room for tens of thousands of machines.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// The version of the file's format.
const VERSION: u32 = 1;
/// The comment at the top of the file.
const HEAD: &str = "# The machines that this one is paired with. `xfer peers` shows them, and\n\
                    # `xfer unpair NAME` removes one.\n";
const FILE_NAME: &str = "peers";
/// From here on are the ports that systems choose (Linux; on others they begin later).
const FIRST_SYSTEM_PORT: u16 = 32768;
const LOCK_NAME: &str = "peers.lock";

/// A machine that this one is paired with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name here, which is unique.
    pub name: String,
    /// What its receiver calls itself; `None` if that is its name here.
    pub announced: Option<String>,
    /// Its fingerprint, which is unique.
    pub fingerprint: Fingerprint,
    /// Whether it may send files to this machine.
    pub may_send: bool,
    /// Whether it may send messages, and join a room of this machine.
    pub may_message: bool,
    /// Whether it may run the commands that this machine offers.
    pub may_run: bool,
    /// Whether it may fetch what this machine shares.
    pub may_fetch: bool,
    /// Whether this machine may send to it.
    pub may_receive: bool,
    /// Whether this machine may fetch what it shares.
    pub shares: bool,
    /// Whether to accept its offers without asking, where the user decides about each.
    pub unasked: bool,
    /// The address where it last received.
    pub address: Option<PeerAddress>,
    /// When it was last seen, in seconds since 1970.
    pub seen: u64,
}

impl Known {
    /// A machine without any rights yet.
    #[must_use]
    pub fn new(name: &str, fingerprint: Fingerprint) -> Self {
        Self {
            name: name.to_owned(),
            announced: None,
            fingerprint,
            may_send: false,
            may_message: false,
            may_run: false,
            may_fetch: false,
            may_receive: false,
            shares: false,
            unasked: false,
            address: None,
            seen: now(),
        }
    }

    /// Notes that it received at `addr`. A port that may be for one time only does not replace one
    /// that lasts: one that the user typed, or that its system chose.
    pub(crate) fn received_at(&mut self, addr: SocketAddr, is_typed: bool) {
        let is_lasting = |port| port < FIRST_SYSTEM_PORT;
        let port = addr.port();
        let keeps_old = self.address.as_ref().is_some_and(|old| {
            old.port() != port && is_lasting(old.port()) && (is_typed || !is_lasting(port))
        });
        if !keeps_old {
            self.address = Some(addr.into());
        }
    }

    /// Notes that it shares, and that it did at `addr`, where nothing better is known.
    pub(crate) fn shared_at(&mut self, addr: SocketAddr) {
        self.shares = true;
        self.address.get_or_insert_with(|| addr.into());
    }

    /// Whether its receiver is known to call itself by this name. Others that have its key may call
    /// themselves otherwise.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let is_it = |ours: &str| ours.to_lowercase() == name.to_lowercase();
        is_it(&self.name) || self.announced.as_deref().is_some_and(is_it)
    }

    /// Whether it is known to receive at another port.
    pub(crate) fn has_other_port(&self, addr: SocketAddr) -> bool {
        let known = self.address.as_ref();
        known.is_some_and(|known| known.port() != addr.port())
    }

    /// Notes what its receiver calls itself.
    pub fn calls_itself(&mut self, name: &str) {
        self.announced = (self.name != name).then(|| name.to_owned());
    }

    /// Whether it is let in for at least one ability, of any listener of this machine.
    #[must_use]
    pub fn is_let_in(&self) -> bool {
        self.is_let_in_by(Role::Receiver) || self.is_let_in_by(Role::Sender)
    }

    /// Whether it is let in by a listener that has this role: one that shares lets in those who may
    /// fetch.
    #[must_use]
    pub(crate) fn is_let_in_by(&self, role: Role) -> bool {
        match role {
            Role::Receiver => self.may_send || self.may_message || self.may_run,
            Role::Sender => self.may_fetch,
        }
    }

    /// Whether this machine may do with it what it does in this role.
    pub(crate) fn takes_part_with(&self, ours: Role) -> bool {
        match ours {
            Role::Sender => self.may_receive,
            // What it does to this machine, its user has asked for.
            Role::Receiver => true,
        }
    }

    /// Whether it is let in for this ability.
    #[must_use]
    pub fn may(&self, ability: Ability) -> bool {
        match ability {
            Ability::Files => self.may_send,
            Ability::Messages => self.may_message,
            Ability::Commands => self.may_run,
            Ability::Fetch => self.may_fetch,
        }
    }

    /// Grants or revokes an ability.
    pub fn grant(&mut self, ability: Ability, may: bool) {
        match ability {
            Ability::Files => self.may_send = may,
            Ability::Messages => self.may_message = may,
            Ability::Commands => self.may_run = may,
            Ability::Fetch => self.may_fetch = may,
        }
    }
}

/// The list of known machines. It is read again each time, so that changes apply at once.
#[derive(Debug, Clone)]
pub struct Peers {
    dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    version: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    peer: Vec<ListedPeer>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ListedPeer {
    name: String,
    /// Written only if it differs from `name`, so that earlier versions can read the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    announced: Option<String>,
    fingerprint: String,
    may_send: bool,
    /// If absent, the same as `may_send`, as it was before messages existed. It is written only if
    /// it differs, so that earlier versions can read the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    may_message: Option<bool>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    may_run: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    may_fetch: bool,
    may_receive: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shares: bool,
    #[serde(default)]
    unasked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<PeerAddress>,
    seen: u64,
}

impl Peers {
    /// The list in `dir`. Neither the folder nor the file needs to exist.
    #[must_use]
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
        }
    }

    /// The path of the file, whether it exists or not.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE_NAME)
    }

    /// All known machines. Fails if the file is damaged, or others could have changed it.
    pub fn list(&self) -> Result<Vec<Known>> {
        let path = self.path();
        let refused = |fault| Error::State {
            file: StateFile::Peers,
            path: path.clone(),
            fault,
        };
        // Examined before opening, because opening a FIFO would block.
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::file(Action::Read, &path, e)),
        };
        if !meta.is_file() {
            return Err(refused(StateFault::NotAFile));
        }
        if private::is_exposed(&path, &meta) {
            return Err(refused(StateFault::Exposed));
        }
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
            .map_err(|e| match e.kind() {
                io::ErrorKind::InvalidData => refused(StateFault::Damaged),
                _ => Error::file(Action::Read, &path, e),
            })?;
        parse(&text).map_err(refused)
    }

    /// The machine with this fingerprint, if it is known.
    pub fn find(&self, fingerprint: Fingerprint) -> Result<Option<Known>> {
        let mut all = self.list()?.into_iter();
        Ok(all.find(|known| known.fingerprint == fingerprint))
    }

    /// Changes the list and syncs it. If several processes do so at once, they take turns. If
    /// `change` fails, nothing changes.
    pub fn update<R>(&self, change: impl FnOnce(&mut Vec<Known>) -> Result<R>) -> Result<R> {
        let failed = |e| Error::file(Action::Write, self.path(), e);
        self.make_dir()?;
        let _lock = private::lock(&self.dir.join(LOCK_NAME)).map_err(failed)?;
        let before = self.list()?;
        let mut after = before.clone();
        let result = change(&mut after)?;
        if after != before {
            self.write(&after).map_err(failed)?;
        }
        Ok(result)
    }

    /// Creates an empty list if there is none, so that nobody else can put one there.
    pub fn create(&self) -> Result<()> {
        self.update(|all| {
            if all.is_empty() && !self.path().exists() {
                self.write(all)
                    .map_err(|e| Error::file(Action::Write, self.path(), e))?;
            }
            Ok(())
        })
    }

    /// Creates the folder of the file.
    pub fn make_dir(&self) -> Result<()> {
        private::create_dir_all(&self.dir).map_err(|e| Error::file(Action::Create, &self.dir, e))
    }

    /// Replaces the file as a whole. The caller holds the lock.
    fn write(&self, all: &[Known]) -> io::Result<()> {
        let text = format(all).map_err(io::Error::other)?;
        // A file that cannot be read again would lock everybody out.
        parse(&text).map_err(io::Error::other)?;
        let temp = self.dir.join(".peers.new");
        // A crash may have left it.
        match fs::remove_file(&temp) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        private::write_new(&temp, text.as_bytes())?;
        fs::rename(&temp, self.path())?;
        private::sync_dir(&self.dir)
    }
}

/// Makes a name that a peer gives itself safe to show, store and type: no control characters,
/// nothing that reverses text, at most [`MAX_NAME_BYTES`].
#[must_use]
pub fn device_name(name: &Text) -> String {
    let mut fit = String::new();
    for c in name.as_str().trim().chars().filter(|&c| is_plain(c)) {
        if fit.len() + c.len_utf8() > MAX_NAME_BYTES {
            break;
        }
        fit.push(c);
    }
    match fit.trim() {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}

/// Whether a character is visible and does not change those around it.
fn is_plain(c: char) -> bool {
    let hidden = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{feff}'
            | '\u{34f}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{ffa0}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    );
    !c.is_control() && !hidden && (c == ' ' || !c.is_whitespace())
}

/// Reads the list. Fails with a description of what is wrong.
pub(crate) fn parse(text: &str) -> Result<Vec<Known>, StateFault> {
    let listed: Listed = toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(0, |span| {
            text.as_bytes()[..span.start.min(text.len())]
                .iter()
                .filter(|&&b| b == b'\n')
                .count()
        });
        StateFault::Syntax {
            line: line + 1,
            message: e.message().to_owned(),
        }
    })?;
    if listed.version != VERSION {
        return Err(StateFault::Version {
            found: listed.version,
            known: VERSION,
        });
    }
    let mut all: Vec<Known> = Vec::with_capacity(listed.peer.len());
    let mut names = std::collections::HashSet::new();
    let mut fingerprints = std::collections::HashSet::new();
    for peer in listed.peer {
        let name = peer.name;
        if device_name(&Text::new(name.as_str())) != name {
            return Err(StateFault::Name(name));
        }
        let announced = peer.announced;
        if let Some(bad) = announced
            .as_ref()
            .filter(|name| device_name(&Text::new(name.as_str())) != **name)
        {
            return Err(StateFault::Name(bad.clone()));
        }
        let fingerprint = Fingerprint::from_hex(&peer.fingerprint)
            .ok_or_else(|| StateFault::Fingerprint(name.clone()))?;
        if !names.insert(name.clone()) || !fingerprints.insert(fingerprint) {
            return Err(StateFault::Twice(name));
        }
        all.push(Known {
            name,
            announced,
            fingerprint,
            may_send: peer.may_send,
            may_message: peer.may_message.unwrap_or(peer.may_send),
            may_run: peer.may_run,
            may_fetch: peer.may_fetch,
            may_receive: peer.may_receive,
            shares: peer.shares,
            unasked: peer.unasked,
            address: peer.address,
            seen: peer.seen,
        });
    }
    Ok(all)
}

/// Writes the list in the form that [`parse`] reads.
pub(crate) fn format(all: &[Known]) -> Result<String, String> {
    let peer = all.iter().map(|known| ListedPeer {
        name: known.name.clone(),
        announced: known.announced.clone(),
        fingerprint: known.fingerprint.to_hex(),
        may_send: known.may_send,
        may_message: (known.may_message != known.may_send).then_some(known.may_message),
        may_run: known.may_run,
        may_fetch: known.may_fetch,
        may_receive: known.may_receive,
        shares: known.shares,
        unasked: known.unasked,
        address: known.address.clone(),
        seen: known.seen,
    });
    let listed = Listed {
        version: VERSION,
        peer: peer.collect(),
    };
    let mut text = HEAD.to_owned();
    let list = toml::to_string(&listed).map_err(|e| e.to_string())?;
    write!(text, "{list}").map_err(|e| e.to_string())?;
    Ok(text)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Removes an address from all other machines, because this machine's key has proven that it is
/// there now.
pub(super) fn be_alone_at(all: &mut [Known], at: usize) {
    let address = all[at].address.clone();
    for (n, other) in all.iter_mut().enumerate() {
        if n != at && address.is_some() && other.address == address {
            other.address = None;
        }
    }
}

/// The known machine that has the name a peer gives itself, but another key. Names that differ only
/// in case count as equal, because they look the same to the user.
pub(super) fn namesake<'a>(
    all: &'a [Known],
    fingerprint: Fingerprint,
    name: &str,
) -> Option<&'a Known> {
    let name = name.to_lowercase();
    all.iter()
        .find(|known| known.name.to_lowercase() == name && known.fingerprint != fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use crate::sys::tests::{mode, set_mode};

    fn known(n: u8) -> Known {
        Known {
            may_send: n.is_multiple_of(2),
            may_message: n < 3,
            may_run: n == 4,
            announced: (n == 3).then(|| "laptop".to_owned()),
            address: (n > 1).then(|| SocketAddr::from(([10, 0, 0, n], 9090)).into()),
            seen: u64::from(n) * 1_000_000_000,
            ..Known::new(&format!("it's machine {n} ä"), Fingerprint([n; 32]))
        }
    }

    #[test]
    fn a_port_for_one_time_does_not_replace_one_that_lasts() {
        for (old, port, is_typed, kept) in [
            (None, 40_000, true, 40_000),
            (Some(9191), 9191, true, 9191),
            (Some(9191), 7000, true, 9191),
            (Some(9191), 40_000, false, 9191),
            (Some(9191), 9090, false, 9090),
            (Some(40_000), 7000, true, 7000),
            (Some(40_000), 40_001, false, 40_001),
        ] {
            let mut known = Known::new("lap", Fingerprint([1; 32]));
            known.address = old.map(|port| SocketAddr::from(([10, 0, 0, 7], port)).into());
            known.received_at(([10, 0, 0, 8], port).into(), is_typed);
            let address = known.address.unwrap();
            assert_eq!(address.port(), kept, "{old:?} {port}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let root = tempfile::tempdir().unwrap();
        let peers = Peers::in_dir(&root.path().join("a/b"));
        assert_eq!(peers.list().unwrap(), []);
        let all: Vec<_> = (0..5).map(known).collect();
        let add = |list: &mut Vec<Known>| {
            list.extend(all.iter().cloned());
            Ok(())
        };
        peers.update(add).unwrap();
        assert_eq!(peers.list().unwrap(), all);
        let found = peers.find(Fingerprint([3; 32])).unwrap();
        assert_eq!(found, Some(known(3)));
        assert!(mode(peers.path()).is_none_or(|mode| mode == 0o600));
        let refused: Result<()> = peers.update(|list| {
            list.clear();
            Err(Error::Cancelled)
        });
        assert!(refused.is_err());
        assert_eq!(peers.list().unwrap(), all);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let peers = Peers::in_dir(root.path());
        let good = format(&[known(1), known(2)]).unwrap();
        let bad = [
            String::new(),
            good[..good.len() - 20].to_owned(),
            good.replace("may-send", "may-sing"),
            good.replace("version = 1", "version = 2"),
            good.replace(
                "may-receive = false",
                "may-receive = false\nmay-more = true",
            ),
            good.replace("machine", "mach\\u001bine"),
            good.replace("machine 2", "machine 1"),
            good.replace(
                &Fingerprint([2; 32]).to_hex(),
                &Fingerprint([1; 32]).to_hex(),
            ),
            good.replace(&Fingerprint([2; 32]).to_hex(), "02"),
            "\u{0}".repeat(100),
        ];
        let clear = || {
            peers.update(|list| {
                list.clear();
                Ok(())
            })
        };
        for bad in bad {
            assert_ne!(bad, good);
            // As the program itself makes it.
            let _ = fs::remove_file(peers.path());
            private::write_new(&peers.path(), bad.as_bytes()).unwrap();
            let error = peers.list().unwrap_err();
            assert!(matches!(error, Error::State { .. }), "{error}");
            assert!(clear().is_err());
            assert_eq!(fs::read_to_string(peers.path()).unwrap(), bad);
        }
        fs::write(peers.path(), [0xff, 0xfe]).unwrap();
        let error = peers.list().unwrap_err();
        let is_damaged = |fault: &StateFault| *fault == StateFault::Damaged;
        assert!(matches!(&error, Error::State { fault, .. } if is_damaged(fault)));
        fs::write(peers.path(), good).unwrap();
        if !set_mode(peers.path(), 0o644) {
            return;
        }
        let error = peers.list().unwrap_err();
        let is_exposed = |fault: &StateFault| *fault == StateFault::Exposed;
        assert!(matches!(&error, Error::State { fault, .. } if is_exposed(fault)));
    }

    #[test]
    fn those_who_write_at_once_lose_nothing() {
        let root = tempfile::tempdir().unwrap();
        let peers = Peers::in_dir(root.path());
        std::thread::scope(|scope| {
            for n in 0..16 {
                let peers = &peers;
                let add = move |list: &mut Vec<Known>| {
                    list.push(known(n));
                    Ok(())
                };
                scope.spawn(move || peers.update(add).unwrap());
            }
        });
        assert_eq!(peers.list().unwrap().len(), 16);
    }

    #[test]
    fn names_are_made_plain() {
        for (name, fit) in [
            ("laptop", "laptop"),
            (" Anna's laptop ", "Anna's laptop"),
            ("a\x1b[31mb\r\n\u{202e}c\u{9b}", "a[31mbc"),
            ("\u{200b}", "unnamed"),
            ("", "unnamed"),
        ] {
            assert_eq!(device_name(&Text::new(name)), fit);
        }
        let long = device_name(&Text::new("ä".repeat(100)));
        assert_eq!(long.len(), MAX_NAME_BYTES);
    }
}

//! Trees of files: made from a seed, read into a form that can be compared, and compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use xfer::model::relpath::{STATE_DIR, is_reserved};

/// How much is read or made at once.
const PIECE: usize = 1 << 20;

/// Numbers that look random and are the same each time (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn fill(&mut self, buffer: &mut [u8]) {
        for piece in buffer.chunks_mut(8) {
            piece.copy_from_slice(&self.number().to_le_bytes()[..piece.len()]);
        }
    }
}

/// So many bytes that depend on `seed` alone.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Random::new(seed).fill(&mut bytes);
    bytes
}

/// Makes a file of so many bytes, and the folders that it is in.
pub fn make_file(path: impl AsRef<Path>, seed: u64, len: u64) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = File::create(path).unwrap();
    let mut random = Random::new(seed);
    let mut buffer = vec![0; PIECE];
    let mut left = len;
    while left > 0 {
        let n = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        random.fill(&mut buffer[..n]);
        file.write_all(&buffer[..n]).unwrap();
        left -= n as u64;
    }
}

pub fn make_fifo(path: impl AsRef<Path>) {
    let made = std::process::Command::new("mkfifo")
        .arg(path.as_ref())
        .status();
    assert!(made.unwrap().success());
}

pub fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives folders the permissions that removing them takes.
pub(super) fn unlock(folder: &Path) {
    // A test that failed halfway may leave anything; what cannot be unlocked stays.
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unlock(&entry.path());
        }
    }
}

/// Sets when something was last modified; of a link, not of what it points to.
pub fn set_mtime(path: impl AsRef<Path>, seconds: i64, nanos: u32) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanos.into(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path.as_ref(), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// The BLAKE3 of a file, which may be large, and its size.
pub fn digest_of(path: &Path) -> ([u8; 32], u64) {
    let mut file = File::open(path).unwrap();
    let (mut hasher, mut len) = (blake3::Hasher::new(), 0);
    let size = usize::try_from(file.metadata().unwrap().len());
    let mut buffer = vec![0; size.unwrap_or(PIECE).clamp(1, PIECE)];
    loop {
        let n = file.read(&mut buffer).unwrap();
        if n == 0 {
            return (hasher.finalize().into(), len);
        }
        hasher.update(&buffer[..n]);
        len += n as u64;
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    File { len: u64, digest: [u8; 32] },
    Dir,
    Link { target: Vec<u8> },
    Other,
}

/// What is known of one thing in a tree.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    pub kind: Kind,
    /// Permissions; none for links, which have none.
    pub mode: u32,
    pub mtime: (i64, i64),
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            Kind::File { len, digest } => {
                let hex: String = digest[..4].iter().map(|b| format!("{b:02x}")).collect();
                write!(f, "file of {len} bytes, {hex}..")?;
            }
            Kind::Dir => write!(f, "folder")?,
            Kind::Link { target } => {
                write!(f, "link to {:?}", String::from_utf8_lossy(target))?;
            }
            Kind::Other => write!(f, "something else")?,
        }
        let (seconds, nanos) = self.mtime;
        write!(f, ", mode {:04o}, time {seconds}.{nanos:09}", self.mode)
    }
}

/// What is below a folder, by its path there. Without the receiver's own records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree(pub BTreeMap<Vec<u8>, Node>);

impl Tree {
    pub fn read(root: impl AsRef<Path>) -> Self {
        let mut tree = Self::default();
        tree.add(root.as_ref(), root.as_ref());
        tree
    }

    fn add(&mut self, root: &Path, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
            if name == STATE_DIR.as_bytes() {
                continue;
            }
            let meta = fs::symlink_metadata(&path).unwrap();
            let kind = if meta.is_dir() {
                self.add(root, &path);
                Kind::Dir
            } else if meta.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                Kind::Link {
                    target: target.as_os_str().as_bytes().to_vec(),
                }
            } else if meta.is_file() {
                let (digest, len) = digest_of(&path);
                Kind::File { len, digest }
            } else {
                Kind::Other
            };
            let node = Node {
                mode: match kind {
                    Kind::Link { .. } => 0,
                    _ => meta.mode() & 0o7777,
                },
                mtime: (meta.mtime(), meta.mtime_nsec()),
                kind,
            };
            self.0.insert(name.to_vec(), node);
        }
    }

    /// The paths, for people.
    pub fn names(&self) -> Vec<String> {
        self.0
            .keys()
            .map(|path| String::from_utf8_lossy(path).into_owned())
            .collect()
    }
}

/// Fails, and shows what differs, unless both folders have the same in them.
#[track_caller]
pub fn assert_same_tree(sent: impl AsRef<Path>, received: impl AsRef<Path>) {
    let (sent, received) = (Tree::read(sent), Tree::read(received));
    let mut difference = String::new();
    for (path, node) in &sent.0 {
        let path_shown = String::from_utf8_lossy(path);
        match received.0.get(path) {
            None => writeln!(difference, "missing:   {path_shown:?} ({node:?})"),
            Some(other) if other != node => writeln!(
                difference,
                "different: {path_shown:?}\n  sent     {node:?}\n  received {other:?}"
            ),
            Some(_) => continue,
        }
        .unwrap();
    }
    for (path, node) in &received.0 {
        if !sent.0.contains_key(path) {
            let path = String::from_utf8_lossy(path);
            writeln!(difference, "surplus:   {path:?} ({node:?})").unwrap();
        }
    }
    assert!(difference.is_empty(), "the trees differ:\n{difference}");
}

/// Fails if there is anything in a receive directory that a finished session should have
/// removed: partials anywhere, or records of them.
#[track_caller]
pub fn no_leftovers(received: impl AsRef<Path>) {
    let mut found = Vec::new();
    let mut folders = vec![received.as_ref().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().as_bytes();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                folders.push(path);
            } else if is_reserved(name) || path.starts_with(received.as_ref().join(STATE_DIR)) {
                found.push(path);
            }
        }
    }
    assert!(found.is_empty(), "left over: {found:?}");
}

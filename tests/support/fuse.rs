//! A file system that cannot do what others can: FUSE over a real folder, in the test's own
//! process, which passes everything through but what a test tells it to refuse or to falsify.
//!
//!     let Some(fuse) = Fuse::mount(&sandbox.path("real"), &sandbox.dst()) else { return };
//!     fuse.set(|s| s.fail(Op::Chmod, Errno::PERM));        // from now on
//!     fuse.set(|s| s.inodes = Inodes::BySpelling);
//!     fuse.set(|s| s.names = Names::FoldCase);
//!     assert!(fuse.calls(Op::Link) > 0);
//!
//! [`Switches`] are all that there is to set; they hold from then on, and nothing is cached in
//! the kernel. It has no `O_TMPFILE` (EOPNOTSUPP), as FUSE in Rust has none. Whoever makes
//! something owns it, and permissions are checked by the kernel. The mount goes away when it is
//! dropped, busy or not, and when the process dies.
//!
//! Must not judge what is stored: the real folder below tells.

#![allow(clippy::too_many_arguments)]

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenAccMode,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, Request, SessionACL, TimeOrNow,
    WriteFlags,
};
use rustix::fs::{AtFlags, CWD, FallocateFlags, FlockOperation, SeekFrom, Timespec, Timestamps};
pub use rustix::io::Errno;

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// chmod of anything.
    Chmod,
    /// utimes of anything.
    Utimes,
    Chown,
    /// fsync of a file.
    Fsync,
    FsyncDir,
    Link,
    Symlink,
    Mkdir,
    /// Making a file.
    Create,
    Open,
    Write,
    Rename,
    /// A rename with a flag, such as RENAME_NOREPLACE.
    RenameFlags,
    Unlink,
    Flock,
    Statfs,
    Fallocate,
    Lseek,
    Readdir,
}

/// Which inode numbers it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inodes {
    /// One for each file, whatever name leads to it.
    #[default]
    Real,
    /// One for each spelling of a name that it was asked for.
    BySpelling,
    /// Another one at each lookup.
    EachLookup,
}

/// Which names lead to the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Names {
    #[default]
    Exact,
    /// Upper and lower case are the same; the spelling is kept.
    FoldCase,
    /// All forms of an accented letter are the same; they are stored decomposed (NFD).
    Decompose,
}

/// Which times of modification it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Times {
    #[default]
    Kept,
    /// Only when the time of access is set with it, as libfuse 2 does it.
    OnlyBoth,
    /// None, and says nothing: a file has the time at which it was written.
    Ignored,
    /// Rounded down to a multiple of so many nanoseconds.
    Rounded(u64),
}

/// What it refuses and falsifies. By default, nothing.
#[derive(Debug, Clone, Default)]
pub struct Switches {
    failing: HashMap<Op, (Errno, usize)>,
    pub inodes: Inodes,
    pub names: Names,
    pub times: Times,
    /// The link count of folders, where it is not the real one.
    pub folder_links: Option<u32>,
    /// The permission bits of everything, whatever chmod says: `0o644` gives folders `0o755`.
    pub fixed_mode: Option<u16>,
    /// Whether statfs says zero of everything.
    pub no_sizes: bool,
    /// The longest name that it takes, in bytes; zero for what the real folder takes.
    pub longest_name: usize,
    /// Names with one of these bytes cannot be made (EINVAL), nor found.
    pub refused_bytes: Vec<u8>,
}

impl Switches {
    /// Has an operation fail from now on.
    pub fn fail(&mut self, op: Op, errno: Errno) {
        self.fail_times(op, errno, usize::MAX);
    }

    /// Has an operation fail so many times.
    pub fn fail_times(&mut self, op: Op, errno: Errno, times: usize) {
        self.failing.insert(op, (errno, times));
    }

    /// Has an operation do again what it should.
    pub fn mend(&mut self, op: Op) {
        self.failing.remove(&op);
    }
}

/// One that is mounted.
#[derive(Debug)]
pub struct Fuse {
    at: PathBuf,
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
}

impl Fuse {
    /// Mounts the folder `real` on the folder `at`, both of which it makes where they are missing;
    /// none, said loudly, where this machine does not allow it.
    #[track_caller]
    pub fn mount(real: &Path, at: &Path) -> Option<Self> {
        fs::create_dir_all(real).unwrap();
        fs::create_dir_all(at).unwrap();
        let shared = Arc::new(Shared::default());
        let mut root = Passthrough {
            shared: Arc::clone(&shared),
            root: real.canonicalize().unwrap(),
            state: Mutex::default(),
        };
        root.state
            .get_mut()
            .unwrap()
            .paths
            .insert(1, vec![PathBuf::new()]);
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::AutoUnmount,
            MountOption::DefaultPermissions,
            MountOption::FSName("xfer-test".into()),
        ];
        config.acl = SessionACL::All;
        config.n_threads = Some(2);
        match fuser::spawn_mount(root, at, &config) {
            Ok(session) => Some(Self {
                at: at.canonicalize().unwrap(),
                shared,
                session: Some(session),
            }),
            Err(e) => {
                super::skip(&format!("no FUSE file system can be mounted here: {e}"));
                None
            }
        }
    }

    /// Changes what it refuses and falsifies, from now on.
    pub fn set(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.shared.switches.lock().unwrap());
    }

    /// How often an operation was asked for, whether it failed or not.
    pub fn calls(&self, op: Op) -> usize {
        *self.shared.calls.lock().unwrap().get(&op).unwrap_or(&0)
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        // At once and even when it is in use; what the session does by itself comes later.
        let mut unmount = Command::new("fusermount3");
        unmount.args(["-u", "-z", "-q"]).arg(&self.at);
        let _ = unmount.stderr(Stdio::null()).status();
        drop(self.session.take());
    }
}

#[derive(Debug, Default)]
struct Shared {
    switches: Mutex<Switches>,
    calls: Mutex<HashMap<Op, usize>>,
}

struct Passthrough {
    shared: Arc<Shared>,
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where each node was seen, below the root; the last one last.
    paths: HashMap<u64, Vec<PathBuf>>,
    files: HashMap<u64, Arc<File>>,
    lists: HashMap<u64, Vec<(u64, FileType, OsString)>>,
    /// The last number that was given to an open file, or to a lookup.
    last: u64,
}

/// Beyond the numbers that a real file system gives.
const MADE_UP: u64 = 1 << 62;

type Result<T> = std::result::Result<T, fuser::Errno>;

fn errno(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

/// Small letters with accents as they come composed, and their two parts.
const DECOMPOSED: [(char, &str); 8] = [
    ('ä', "a\u{308}"),
    ('ö', "o\u{308}"),
    ('ü', "u\u{308}"),
    ('é', "e\u{301}"),
    ('è', "e\u{300}"),
    ('ñ', "n\u{303}"),
    ('å', "a\u{30a}"),
    ('É', "E\u{301}"),
];

fn decomposed(name: &OsStr) -> OsString {
    let Some(name) = name.to_str() else {
        return name.to_owned();
    };
    let part = |c: char| match DECOMPOSED.iter().find(|(composed, _)| *composed == c) {
        Some((_, parts)) => (*parts).to_owned(),
        None => c.to_string(),
    };
    name.chars().map(part).collect::<String>().into()
}

fn folded(name: &OsStr) -> String {
    name.to_string_lossy().to_lowercase()
}

fn kind_of(file_type: fs::FileType) -> FileType {
    match file_type {
        t if t.is_dir() => FileType::Directory,
        t if t.is_symlink() => FileType::Symlink,
        t if t.is_fifo() => FileType::NamedPipe,
        t if t.is_socket() => FileType::Socket,
        t if t.is_char_device() => FileType::CharDevice,
        t if t.is_block_device() => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

fn time(seconds: i64, nanos: i64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole = match seconds < 0 {
        true => UNIX_EPOCH - whole,
        false => UNIX_EPOCH + whole,
    };
    whole + Duration::from_nanos(nanos.unsigned_abs())
}

fn timespec(time: TimeOrNow, granularity: u64) -> Timespec {
    let time = match time {
        TimeOrNow::Now => SystemTime::now(),
        TimeOrNow::SpecificTime(time) => time,
    };
    let nanos = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i128::try_from(since.as_nanos()).unwrap(),
        Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap(),
    };
    let granularity = i128::from(granularity.max(1));
    let nanos = nanos.div_euclid(granularity) * granularity;
    Timespec {
        tv_sec: i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap(),
        tv_nsec: i64::try_from(nanos.rem_euclid(1_000_000_000)).unwrap(),
    }
}

const OMIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: rustix::fs::UTIME_OMIT as _,
};

impl Passthrough {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn switches(&self) -> MutexGuard<'_, Switches> {
        self.shared.switches.lock().unwrap()
    }

    /// Counts the operation, and fails where it is to.
    fn begin(&self, op: Op) -> Result<()> {
        *self.shared.calls.lock().unwrap().entry(op).or_default() += 1;
        let mut switches = self.switches();
        match switches.failing.get_mut(&op) {
            Some((failure, times)) if *times > 0 => {
                *times -= usize::from(*times != usize::MAX);
                Err(errno(*failure))
            }
            _ => Ok(()),
        }
    }

    /// Where a node is by now.
    fn path(&self, node: INodeNo) -> Result<PathBuf> {
        let state = self.state();
        let paths = state.paths.get(&node.0).ok_or(fuser::Errno::ESTALE)?;
        let mut paths = paths.iter().rev().map(|path| self.root.join(path));
        let found = paths.find(|path| fs::symlink_metadata(path).is_ok());
        found.ok_or(fuser::Errno::ENOENT)
    }

    /// Where a name in a folder leads: to what is there already under another spelling, or to
    /// where it would be made.
    fn child(&self, parent: INodeNo, name: &OsStr, makes: bool) -> Result<PathBuf> {
        let dir = self.path(parent)?;
        let switches = self.switches();
        if switches.longest_name > 0 && name.len() > switches.longest_name {
            return Err(fuser::Errno::ENAMETOOLONG);
        }
        let refused = |byte: &u8| switches.refused_bytes.contains(byte);
        if name.as_bytes().iter().any(refused) {
            return Err(match makes {
                true => fuser::Errno::EINVAL,
                false => fuser::Errno::ENOENT,
            });
        }
        match switches.names {
            Names::Exact => Ok(dir.join(name)),
            Names::Decompose => Ok(dir.join(decomposed(name))),
            Names::FoldCase => {
                let wanted = folded(name);
                let there = fs::read_dir(&dir)?.filter_map(io::Result::ok);
                let mut there = there.map(|entry| entry.file_name());
                let found = there.find(|name| folded(name) == wanted);
                Ok(dir.join(found.as_deref().unwrap_or(name)))
            }
        }
    }

    /// The number of what `name` in the folder `parent` leads to.
    fn number(&self, parent: u64, name: &OsStr, path: &Path, meta: &Metadata) -> u64 {
        let inodes = self.switches().inodes;
        let mut state = self.state();
        let number = match inodes {
            // Number 1 is the root.
            Inodes::Real => meta.ino() + 1,
            Inodes::BySpelling => {
                let mut hasher = DefaultHasher::new();
                (parent, name).hash(&mut hasher);
                MADE_UP | hasher.finish() >> 2
            }
            Inodes::EachLookup => {
                state.last += 1;
                MADE_UP | state.last
            }
        };
        let below = path.strip_prefix(&self.root).unwrap().to_owned();
        let paths = state.paths.entry(number).or_default();
        paths.retain(|known| *known != below);
        paths.push(below);
        number
    }

    fn entry(&self, parent: INodeNo, name: &OsStr, path: &Path) -> Result<FileAttr> {
        let meta = fs::symlink_metadata(path)?;
        let number = self.number(parent.0, name, path, &meta);
        Ok(self.attr(number, &meta))
    }

    fn attr(&self, number: u64, meta: &Metadata) -> FileAttr {
        let switches = self.switches();
        let kind = kind_of(meta.file_type());
        let is_dir = kind == FileType::Directory;
        let mode = u16::try_from(meta.mode() & 0o7777).unwrap();
        let fixed = |mode: u16| mode | if is_dir { (mode & 0o444) >> 2 } else { 0 };
        let links = u32::try_from(meta.nlink()).unwrap();
        FileAttr {
            ino: INodeNo(number),
            size: meta.size(),
            blocks: meta.blocks(),
            atime: time(meta.atime(), meta.atime_nsec()),
            mtime: time(meta.mtime(), meta.mtime_nsec()),
            ctime: time(meta.ctime(), meta.ctime_nsec()),
            crtime: UNIX_EPOCH,
            kind,
            perm: switches.fixed_mode.map_or(mode, fixed),
            nlink: switches.folder_links.filter(|_| is_dir).unwrap_or(links),
            uid: meta.uid(),
            gid: meta.gid(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// What was just made belongs to whoever asked for it, with the very permissions.
    fn made(
        &self,
        req: &Request,
        (parent, name): (INodeNo, &OsStr),
        path: &Path,
        mode: Option<u32>,
    ) -> Result<FileAttr> {
        std::os::unix::fs::lchown(path, Some(req.uid()), Some(req.gid()))?;
        if let Some(mode) = mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))?;
        }
        self.entry(parent, name, path)
    }

    fn keep(&self, file: File) -> FileHandle {
        let mut state = self.state();
        state.last += 1;
        let handle = state.last;
        state.files.insert(handle, Arc::new(file));
        FileHandle(handle)
    }

    fn file(&self, handle: FileHandle) -> Result<Arc<File>> {
        let state = self.state();
        state
            .files
            .get(&handle.0)
            .cloned()
            .ok_or(fuser::Errno::EBADF)
    }

    /// What was below `from` is below `to`.
    fn moved(&self, from: &Path, to: &Path) {
        let below = |path: &Path| path.strip_prefix(&self.root).unwrap().to_owned();
        let (from, to) = (below(from), below(to));
        for path in self.state().paths.values_mut().flatten() {
            if let Ok(rest) = path.strip_prefix(&from) {
                *path = match rest.as_os_str().is_empty() {
                    true => to.clone(),
                    false => to.join(rest),
                };
            }
        }
    }

    fn set_times(
        &self,
        path: &Path,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
    ) -> Result<()> {
        let granularity = match self.switches().times {
            Times::Ignored => return Ok(()),
            Times::OnlyBoth if atime.is_none() || mtime.is_none() => return Ok(()),
            Times::Rounded(nanos) => nanos,
            Times::Kept | Times::OnlyBoth => 1,
        };
        let times = Timestamps {
            last_access: atime.map_or(OMIT, |time| timespec(time, granularity)),
            last_modification: mtime.map_or(OMIT, |time| timespec(time, granularity)),
        };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(errno)
    }
}

/// Answers with what a function gives, or with why it failed.
macro_rules! answer {
    ($reply:ident, $result:expr, $value:pat => $ok:expr) => {{
        #[allow(unused_mut)]
        let mut answer = || -> Result<_> { $result };
        match answer() {
            Ok($value) => $ok,
            Err(e) => $reply.error(e),
        }
    }};
}

const NOT_CACHED: Duration = Duration::ZERO;
const FIRST: Generation = Generation(0);

impl Filesystem for Passthrough {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Otherwise the kernel locks by itself.
        let _ = config.add_capabilities(InitFlags::FUSE_FLOCK_LOCKS);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(reply, {
            let path = self.child(parent, name, false)?;
            self.entry(parent, name, &path)
        }, attr => reply.entry(&NOT_CACHED, &attr, FIRST));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, {
            let meta = match fh.map(|fh| self.file(fh)) {
                Some(Ok(file)) => file.metadata()?,
                _ => fs::symlink_metadata(self.path(ino)?)?,
            };
            Ok(self.attr(ino.0, &meta))
        }, attr => reply.attr(&NOT_CACHED, &attr));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        fh: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        answer!(reply, {
            if let Some(size) = size {
                match fh.map(|fh| self.file(fh)) {
                    Some(Ok(file)) => file.set_len(size)?,
                    _ => OpenOptions::new().write(true).open(self.path(ino)?)?.set_len(size)?,
                }
            }
            if uid.is_some() || gid.is_some() {
                self.begin(Op::Chown)?;
                std::os::unix::fs::lchown(self.path(ino)?, uid, gid)?;
            }
            if let Some(mode) = mode {
                self.begin(Op::Chmod)?;
                let permissions = fs::Permissions::from_mode(mode & 0o7777);
                fs::set_permissions(self.path(ino)?, permissions)?;
            }
            if (atime.is_some() || mtime.is_some()) && size.is_none() {
                self.begin(Op::Utimes)?;
                self.set_times(&self.path(ino)?, atime, mtime)?;
            }
            let meta = match fh.map(|fh| self.file(fh)) {
                Some(Ok(file)) => file.metadata()?,
                _ => fs::symlink_metadata(self.path(ino)?)?,
            };
            Ok(self.attr(ino.0, &meta))
        }, attr => reply.attr(&NOT_CACHED, &attr));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        answer!(reply, Ok(fs::read_link(self.path(ino)?)?),
            target => reply.data(target.as_os_str().as_bytes()));
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        answer!(reply, {
            self.begin(Op::Create)?;
            let path = self.child(parent, name, true)?;
            let kind = rustix::fs::FileType::from_raw_mode(mode);
            rustix::fs::mknodat(CWD, &path, kind, 0o600.into(), 0).map_err(errno)?;
            self.made(req, (parent, name), &path, Some(mode))
        }, attr => reply.entry(&NOT_CACHED, &attr, FIRST));
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        answer!(reply, {
            self.begin(Op::Mkdir)?;
            let path = self.child(parent, name, true)?;
            fs::create_dir(&path)?;
            self.made(req, (parent, name), &path, Some(mode))
        }, attr => reply.entry(&NOT_CACHED, &attr, FIRST));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, {
            self.begin(Op::Unlink)?;
            Ok(fs::remove_file(self.child(parent, name, false)?)?)
        }, () => reply.ok());
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, Ok(fs::remove_dir(self.child(parent, name, false)?)?), () => reply.ok());
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        answer!(reply, {
            self.begin(Op::Symlink)?;
            let path = self.child(parent, name, true)?;
            std::os::unix::fs::symlink(target, &path)?;
            self.made(req, (parent, name), &path, None)
        }, attr => reply.entry(&NOT_CACHED, &attr, FIRST));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer!(reply, {
            self.begin(Op::Rename)?;
            if !flags.is_empty() {
                self.begin(Op::RenameFlags)?;
            }
            let from = self.child(parent, name, false)?;
            let mut to = self.child(newparent, newname, true)?;
            if to == from {
                // The same file under another spelling, which it gets.
                to.set_file_name(newname);
            }
            let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
            rustix::fs::renameat_with(CWD, &from, CWD, &to, flags).map_err(errno)?;
            self.moved(&from, &to);
            Ok(())
        }, () => reply.ok());
    }

    fn link(
        &self,
        _: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        answer!(reply, {
            self.begin(Op::Link)?;
            let to = self.child(newparent, newname, true)?;
            fs::hard_link(self.path(ino)?, &to)?;
            let below = to.strip_prefix(&self.root).unwrap().to_owned();
            self.state().paths.entry(ino.0).or_default().push(below);
            Ok(self.attr(ino.0, &fs::symlink_metadata(&to)?))
        }, attr => reply.entry(&NOT_CACHED, &attr, FIRST));
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        answer!(reply, {
            self.begin(Op::Open)?;
            let (read, write) = match flags.acc_mode() {
                OpenAccMode::O_RDONLY => (true, false),
                OpenAccMode::O_WRONLY => (false, true),
                OpenAccMode::O_RDWR => (true, true),
            };
            let file = OpenOptions::new().read(read).write(write).open(self.path(ino)?)?;
            Ok(self.keep(file))
        }, handle => reply.opened(handle, FopenFlags::empty()));
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        answer!(reply, {
            self.begin(Op::Create)?;
            let path = self.child(parent, name, true)?;
            let is_new = flags & rustix::fs::OFlags::EXCL.bits().cast_signed() != 0;
            let mut options = OpenOptions::new();
            options.read(true).write(true).mode(0o600);
            let file = match is_new {
                true => options.create_new(true).open(&path)?,
                false => options.create(true).truncate(false).open(&path)?,
            };
            let attr = self.made(req, (parent, name), &path, Some(mode))?;
            Ok((attr, self.keep(file)))
        }, (attr, handle) => {
            reply.created(&NOT_CACHED, &attr, FIRST, handle, FopenFlags::empty());
        });
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        answer!(reply, {
            let file = self.file(fh)?;
            let mut data = vec![0; size as usize];
            let mut filled = 0;
            while filled < data.len() {
                match file.read_at(&mut data[filled..], offset + filled as u64)? {
                    0 => break,
                    n => filled += n,
                }
            }
            data.truncate(filled);
            Ok(data)
        }, data => reply.data(&data));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        answer!(reply, {
            self.begin(Op::Write)?;
            self.file(fh)?.write_all_at(data, offset)?;
            Ok(u32::try_from(data.len()).unwrap())
        }, written => reply.written(written));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.state().files.remove(&fh.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // There is no power loss to be feared.
        answer!(reply, self.begin(Op::Fsync), () => reply.ok());
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.begin(Op::FsyncDir), () => reply.ok());
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let mut state = self.state();
        state.last += 1;
        reply.opened(FileHandle(state.last), FopenFlags::empty());
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        answer!(reply, {
            self.begin(Op::Readdir)?;
            if offset == 0 {
                let mut list = vec![
                    (ino.0, FileType::Directory, ".".into()),
                    (ino.0, FileType::Directory, "..".into()),
                ];
                for entry in fs::read_dir(self.path(ino)?)? {
                    let entry = entry?;
                    let (name, meta) = (entry.file_name(), entry.metadata()?);
                    let number = self.number(ino.0, &name, &entry.path(), &meta);
                    list.push((number, kind_of(meta.file_type()), name));
                }
                self.state().lists.insert(fh.0, list);
            }
            let state = self.state();
            let list = state.lists.get(&fh.0).into_iter().flatten();
            for (next, (number, kind, name)) in (1..).zip(list).skip(usize::try_from(offset).unwrap())
            {
                if reply.add(INodeNo(*number), next, *kind, name) {
                    break;
                }
            }
            Ok(())
        }, () => reply.ok());
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.state().lists.remove(&fh.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        answer!(reply, {
            self.begin(Op::Statfs)?;
            rustix::fs::statvfs(&self.root).map_err(errno)
        }, stat => {
            let or_nothing = |n: u64| if self.switches().no_sizes { 0 } else { n };
            reply.statfs(
                or_nothing(stat.f_blocks),
                or_nothing(stat.f_bfree),
                or_nothing(stat.f_bavail),
                or_nothing(stat.f_files),
                or_nothing(stat.f_ffree),
                u32::try_from(stat.f_bsize).unwrap(),
                255,
                u32::try_from(or_nothing(stat.f_frsize)).unwrap(),
            );
        });
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer!(reply, {
            self.begin(Op::Fallocate)?;
            let flags = FallocateFlags::from_bits_retain(mode.cast_unsigned());
            rustix::fs::fallocate(&*self.file(fh)?, flags, offset, length).map_err(errno)
        }, () => reply.ok());
    }

    fn lseek(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        const SEEK_DATA: i32 = 3;
        answer!(reply, {
            self.begin(Op::Lseek)?;
            let offset = offset.unsigned_abs();
            let from = match whence {
                SEEK_DATA => SeekFrom::Data(offset),
                _ => SeekFrom::Hole(offset),
            };
            let found = rustix::fs::seek(&*self.file(fh)?, from).map_err(errno)?;
            Ok(found.cast_signed())
        }, offset => reply.offset(offset));
    }

    fn setlk(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: LockOwner,
        _: u64,
        _: u64,
        kind: i32,
        _: u32,
        _: bool,
        reply: ReplyEmpty,
    ) {
        const READ: i32 = 0;
        const WRITE: i32 = 1;
        answer!(reply, {
            self.begin(Op::Flock)?;
            // One who waits would keep all others waiting: nobody here does.
            let lock = match kind {
                READ => FlockOperation::NonBlockingLockShared,
                WRITE => FlockOperation::NonBlockingLockExclusive,
                _ => FlockOperation::NonBlockingUnlock,
            };
            rustix::fs::flock(&*self.file(fh)?, lock).map_err(errno)
        }, () => reply.ok());
    }
}

//! What the integration tests share: a sandbox with users of its own, the real program in it,
//! trees to send and to compare, and a proxy that makes networks fail.
//!
//! Must not sleep: whoever waits waits for an event, at most for [`PATIENCE`].

#![allow(dead_code, unreachable_pub, unused_imports)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(target_os = "linux")]
pub mod browser;
#[cfg(target_os = "linux")]
pub mod fuse;
#[cfg(target_os = "linux")]
pub mod lan;
mod process;
mod proxy;
pub mod screen;
pub mod story;
mod terminal;
mod tree;
pub mod web;
#[cfg(target_os = "linux")]
pub mod windows;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use xfer::net::{Identity, Known, Peers};

#[cfg(target_os = "linux")]
pub use process::wait_until_gone;
pub use process::{Output, Process, Recv, run_by, wait_for_addr, without_privileges};
pub use proxy::{Proxy, Way};
pub use screen::{Reshape, Screen};
pub use story::Story;
pub use terminal::{Terminal, unfolded, without_colours};
pub use tree::{
    Kind, Node, Random, Tree, assert_same_tree, bytes, digest_of, make_fifo, make_file,
    no_leftovers, set_mode, set_mtime,
};
pub use web::{Page, curl, curl_status, encoded, has_curl, status};

/// How long anything may take before a test gives up. Never reached but by a failure.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The size of a chunk, in bytes.
pub const CHUNK: u64 = xfer::model::digest::CHUNK_SIZE as u64;

/// Says that a test cannot run here. Where all of them have to, it fails.
#[track_caller]
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("XFER_SKIP_NOTHING").is_none(),
        "skipped: {why}"
    );
    println!("skipped: {why}");
}

/// Whether a command runs as it does `in_place`, such as in a namespace; says so if not.
#[track_caller]
pub fn can_run(in_place: impl FnOnce(&Command) -> Command, what: &str) -> bool {
    let tried = in_place(&Command::new("true"))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stderr(Stdio::null())
        .status();
    let can = tried.is_ok_and(|status| status.success());
    if !can {
        skip(&format!("{what} here"));
    }
    can
}

/// A temporary folder with everything that a test needs. Gone when dropped.
pub struct Sandbox {
    temp: tempfile::TempDir,
}

/// Somebody with a home of their own, and so with a key of their own.
pub struct User {
    home: PathBuf,
    cwd: PathBuf,
}

impl Sandbox {
    pub fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap())
    }

    /// One in memory, where this machine has such a place: for very many files.
    pub fn in_memory() -> Self {
        let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::of(temp.unwrap())
    }

    fn of(temp: tempfile::TempDir) -> Self {
        for dir in ["src", "dst"] {
            std::fs::create_dir(temp.path().join(dir)).unwrap();
        }
        Self { temp }
    }

    /// Where the tests put what is sent.
    pub fn src(&self) -> PathBuf {
        self.path("src")
    }

    /// Where the receiver stores.
    pub fn dst(&self) -> PathBuf {
        self.path("dst")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// A new empty folder.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Somebody; the same for the same name.
    pub fn user(&self, name: &str) -> User {
        User {
            home: self.folder(&format!("home-{name}")),
            cwd: self.temp.path().to_path_buf(),
        }
    }

    /// The one whom most tests are about.
    pub fn me(&self) -> User {
        self.user("me")
    }

    /// My receiver, into [`Self::dst`].
    pub fn recv(&self) -> Recv {
        self.recv_with(&[])
    }

    /// My receiver, with further arguments.
    pub fn recv_with(&self, args: &[&str]) -> Recv {
        self.me().recv(&self.dst(), args)
    }

    /// Sends as me, waits for the end. All of [`Self::src`]'s entries go, where `paths` is empty.
    pub fn send(&self, paths: &[&Path], target: &str) -> Output {
        self.me().send(&self.args(paths, target))
    }

    /// Begins to send as me.
    pub fn spawn_send(&self, paths: &[&Path], target: &str) -> Process {
        self.me().spawn_send(&self.args(paths, target))
    }

    fn args(&self, paths: &[&Path], target: &str) -> Vec<PathBuf> {
        let mut args: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        if args.is_empty() {
            let all = std::fs::read_dir(self.src()).unwrap();
            args = all.map(|entry| entry.unwrap().path()).collect();
            args.sort();
        }
        args.push(target.into());
        args
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        tree::unlock(self.temp.path());
    }
}

impl User {
    /// The program with these arguments; nothing of the real user reaches it.
    pub fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        // Another build of it can be tried by the same tests.
        let program = std::env::var_os("XFER_UNDER_TEST");
        let mut command = Command::new(program.unwrap_or(env!("CARGO_BIN_EXE_xfer").into()));
        command
            .args(args)
            .current_dir(&self.cwd)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("TERM", "dumb")
            .env("RUST_BACKTRACE", "1")
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", self.home.join(".config"))
            .env("XDG_DATA_HOME", self.home.join(".local/share"))
            .env("XDG_STATE_HOME", self.home.join(".local/state"))
            .env("XDG_CACHE_HOME", self.home.join(".cache"))
            .stdin(Stdio::null());
        command
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Runs the program to its end.
    pub fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Output {
        Process::spawn(self.command(args)).wait()
    }

    /// Starts a receiver on a free port of 127.0.0.1, and waits until it listens.
    pub fn recv(&self, dir: &Path, args: &[&str]) -> Recv {
        Recv::start(self.recv_command(dir, args))
    }

    pub fn recv_command(&self, dir: &Path, args: &[&str]) -> Command {
        let mut command = self.command(&["recv", "--listen", "127.0.0.1:0", "--dir"]);
        command.arg(dir).args(args);
        command
    }

    /// `xfer send`, to its end.
    pub fn send<A: AsRef<OsStr>>(&self, args: &[A]) -> Output {
        self.spawn_send(args).wait()
    }

    pub fn spawn_send<A: AsRef<OsStr>>(&self, args: &[A]) -> Process {
        let mut command = self.command(&["send"]);
        command.args(args);
        Process::spawn(command)
    }
}

/// One machine of a user: the program runs there, whatever the system.
pub trait Machine: Person {
    /// The program with these arguments; nothing of the real user reaches it.
    fn program(&self, args: &[&str]) -> Command;
    /// What a path of this machine is called there.
    fn path(&self, path: &Path) -> String;
}

impl Machine for User {
    fn program(&self, args: &[&str]) -> Command {
        self.command(args)
    }

    fn path(&self, path: &Path) -> String {
        path.to_str().unwrap().to_owned()
    }
}

/// Whose key and list of machines the program has in folders of theirs.
pub trait Person {
    /// Where the program has its key and its settings.
    fn config_dir(&self) -> PathBuf;
    /// Where the program has the list of machines.
    fn data_dir(&self) -> PathBuf;
}

impl Person for User {
    fn config_dir(&self) -> PathBuf {
        self.home.join(".config/xfer")
    }

    fn data_dir(&self) -> PathBuf {
        self.home.join(".local/share/xfer")
    }
}

/// Makes two people known to each other as pairing does, for what `sender` sends to `receiver`,
/// who knows it by `name`.
pub fn pair(sender: &dyn Person, name: &str, receiver: &dyn Person) {
    let known = |user: &dyn Person, name: &str| {
        let identity = Identity::load_or_create(&user.config_dir());
        Known::new(name, identity.unwrap().fingerprint())
    };
    let meet = |user: &dyn Person, known: Known| {
        let peers = Peers::in_dir(&user.data_dir());
        let add = |all: &mut Vec<Known>| {
            all.push(known);
            Ok(())
        };
        peers.update(add).unwrap();
    };
    let mut theirs = known(sender, name);
    theirs.may_send = true;
    theirs.may_message = true;
    meet(receiver, theirs);
    let mut theirs = known(receiver, "receiver");
    theirs.may_receive = true;
    meet(sender, theirs);
}

/// A value that can be waited for.
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T: Default> Default for Watched<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Watched<T> {
    pub fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Condvar::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap()
    }

    pub fn update<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let result = f(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `ready` says something; nothing after [`PATIENCE`].
    pub fn wait<R>(&self, ready: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        self.wait_for_at_most(PATIENCE, ready)
    }

    /// The same; nothing after `time`.
    pub fn wait_for_at_most<R>(
        &self,
        time: Duration,
        mut ready: impl FnMut(&mut T) -> Option<R>,
    ) -> Option<R> {
        let end = Instant::now() + time;
        let mut value = self.lock();
        loop {
            if let Some(result) = ready(&mut value) {
                return Some(result);
            }
            let left = end.checked_duration_since(Instant::now())?;
            value = self.changed.wait_timeout(value, left).unwrap().0;
        }
    }

    /// Waits as long as it takes.
    pub fn wait_forever<R>(&self, mut ready: impl FnMut(&mut T) -> Option<R>) -> R {
        let mut value = self.lock();
        loop {
            if let Some(result) = ready(&mut value) {
                return result;
            }
            value = self.changed.wait(value).unwrap();
        }
    }
}

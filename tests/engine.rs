//! The engines by themselves, both in this process: that nothing waits for ever, whatever the
//! window, the tree or the peer, and that memory has its bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use support::*;
use xfer::model::outcome::Summary;
use xfer::model::progress::{Event, Progress, Silent};
use xfer::model::prompt::{Nobody, Prompt};
use xfer::net::{Identity, Peers};
use xfer::sys::own::OwnFolders;
use xfer::transfer::{Cancel, Device, ReceiveOptions, Receiver, SendOptions};
use xfer::{Error, Result};

/// How many entries count as very many.
const MANY: usize = 200_000;
/// When a peer that says nothing is given up at the latest: it may be silent for 30 s.
const SILENCE_ENDS: Duration = Duration::from_secs(60);

/// Does something that must come to its end.
#[track_caller]
fn within<R: Send + 'static>(limit: Duration, f: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || done.send(f()));
    match wait.recv_timeout(limit) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("it panicked"),
    }
}

/// Hears of the errors that sessions end with.
#[derive(Default)]
struct Failures(Watched<Vec<&'static str>>);

impl std::fmt::Debug for Failures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Failures")
    }
}

impl Progress for Failures {
    fn event(&self, event: &Event<'_>) {
        if let Event::Failed { error, .. } = event {
            self.0.update(|all| all.push(kind(error)));
        }
    }
}

/// What an error is, in a word.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::Silent { .. } => "silent",
        Error::Lost { .. } => "lost",
        Error::Cancelled => "cancelled",
        _ => "another",
    }
}

/// A receiver in this process.
struct Receiving {
    addr: SocketAddr,
    cancel: Cancel,
    failures: Arc<Failures>,
    thread: Option<JoinHandle<Result<Option<Summary>>>>,
}

impl Receiving {
    fn new(identity: &Identity, dir: &Path, window: u32) -> Self {
        let options = ReceiveOptions {
            dir: dir.to_path_buf(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            name: "receiver".to_owned(),
            window,
            ..ReceiveOptions::default()
        };
        let receiver = Receiver::bind(
            &device(identity, &dir.with_file_name("state")),
            options,
            Arc::new(Nobody),
        )
        .unwrap();
        let (addr, cancel) = (receiver.local_addr(), Cancel::new());
        let failures = Arc::new(Failures::default());
        let progress: Arc<dyn Progress> = failures.clone();
        let stop = cancel.clone();
        let thread = thread::spawn(move || receiver.run(&progress, &stop));
        Self {
            addr,
            cancel,
            failures,
            thread: Some(thread),
        }
    }

    /// Waits for the end of a session that fails.
    fn failure(&self) -> &'static str {
        let first = |all: &mut Vec<&'static str>| all.first().copied();
        self.failures.0.wait(first).expect("no session failed")
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.cancel.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(Ok(None)))), "{ended:?}");
        }
    }
}

/// Sends a folder, with a receiver's key, and without trying again.
fn send(identity: &Identity, path: &Path, addr: SocketAddr) -> Result<Summary> {
    let options = SendOptions {
        paths: vec![path.to_path_buf()],
        to: addr.into(),
        name: "sender".to_owned(),
        lanes: 2,
        retry: Duration::ZERO,
        ..SendOptions::default()
    };
    let silent: Arc<dyn Progress> = Arc::new(Silent);
    let nobody: Arc<dyn Prompt> = Arc::new(Nobody);
    let device = device(identity, Path::new("/nonexistent"));
    xfer::transfer::send(&device, &options, &nobody, &silent, &Cancel::new())
}

/// A machine that knows nobody.
fn device(identity: &Identity, dir: &Path) -> Device {
    Device {
        identity: identity.clone(),
        peers: Peers::in_dir(dir),
        own: OwnFolders::default(),
    }
}

/// Sends all of a sandbox's folder `src`, through a window, and says how that ended.
fn round_trip(sandbox: &Sandbox, window: u32) -> Summary {
    let identity = Identity::generate().unwrap();
    let receiver = Receiving::new(&identity, &sandbox.dst(), window);
    let (src, addr) = (sandbox.src(), receiver.addr);
    within(PATIENCE * 2, move || send(&identity, &src, addr)).unwrap()
}

/// Makes a folder with `MANY` entries in it, of which one in twenty is a folder.
fn make_many(top: &Path, content: &[u8]) {
    for a in 0..MANY / 200 {
        let outer = top.join(format!("{a}"));
        fs::create_dir_all(&outer).unwrap();
        for b in 0..9 {
            fs::create_dir(outer.join(format!("folder {b}"))).unwrap();
        }
        for c in 0..190 {
            let path = match c % 10 {
                // Some lie between the folders, in whichever order.
                9 => outer.join(format!("{c}")),
                b => outer.join(format!("folder {b}/{c}")),
            };
            fs::write(path, content).unwrap();
        }
    }
}

/// How many things there are below a folder, but for the receiver's own.
fn count(folder: &Path) -> usize {
    let mut entries = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == xfer::model::relpath::STATE_DIR {
            continue;
        }
        entries += 1;
        if entry.file_type().unwrap().is_dir() {
            entries += count(&entry.path());
        }
    }
    entries
}

#[test]
fn very_many_entries_through_a_small_window() {
    let sandbox = Sandbox::in_memory();
    make_many(&sandbox.src(), b"");
    let summary = round_trip(&sandbox, 100);
    assert_eq!(summary.stored, MANY as u64 + 1);
    assert_eq!(summary.files, MANY as u64 * 19 / 20);
    assert!(summary.is_complete());
    let received = sandbox.dst().join("src");
    assert_eq!(count(&received), MANY);
    for path in ["0", "517/folder 3", "999"] {
        assert_same_tree(sandbox.src().join(path), received.join(path));
    }
    no_leftovers(sandbox.dst());
}

#[test]
fn a_deep_tree_through_the_smallest_window() {
    let sandbox = Sandbox::new();
    let mut folder = sandbox.src();
    for level in 0..200 {
        make_file(folder.join("file"), level, 100);
        if level % 50 == 0 {
            make_file(folder.join("large"), level, CHUNK + 1);
        }
        folder = folder.join("d");
    }
    fs::create_dir(&folder).unwrap();
    let summary = round_trip(&sandbox, 1);
    assert_eq!(summary.stored, 1 + 200 + 200 + 4);
    assert_same_tree(sandbox.src(), sandbox.dst().join("src"));
    no_leftovers(sandbox.dst());
}

#[test]
fn many_large_files_through_the_smallest_window() {
    let sandbox = Sandbox::new();
    for n in 0..100 {
        make_file(sandbox.src().join(format!("{n}")), n, CHUNK + n);
    }
    assert_eq!(round_trip(&sandbox, 16).files, 100);
    assert_same_tree(sandbox.src(), sandbox.dst().join("src"));
    no_leftovers(sandbox.dst());
}

/// Both sides in the middle of a transfer, with a network between them.
struct Middle {
    sandbox: Sandbox,
    identity: Identity,
    receiver: Receiving,
    proxy: Proxy,
    sender: JoinHandle<(Result<Summary>, Duration)>,
    since: Instant,
}

impl Middle {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        make_file(sandbox.src().join("large"), 1, 24 * CHUNK);
        for n in 0..100 {
            make_file(sandbox.src().join(format!("small/{n}")), n, 1000);
        }
        let identity = Identity::generate().unwrap();
        let receiver = Receiving::new(&identity, &sandbox.dst(), 100);
        let proxy = Proxy::new(receiver.addr);
        proxy.hold_at(8 * CHUNK);
        let (id, src, addr) = (identity.clone(), sandbox.src(), proxy.target());
        let since = Instant::now();
        let sender = thread::spawn(move || {
            let sent = send(&id, &src, addr.parse().unwrap());
            (sent, since.elapsed())
        });
        proxy.wait_for_up(8 * CHUNK);
        Self {
            sandbox,
            identity,
            receiver,
            proxy,
            sender,
            since,
        }
    }

    /// Waits for both ends, and says how they came. Then the same goes through after all.
    fn end(self) -> (&'static str, &'static str) {
        let received = self.receiver.failure();
        let took = self.since.elapsed();
        assert!(took < SILENCE_ENDS, "the receiver waited for {took:?}");
        let (sent, took) = within(PATIENCE, || self.sender.join().unwrap());
        let sent = kind(&sent.unwrap_err());
        assert!(took < SILENCE_ENDS, "the sender waited for {took:?}");

        send(&self.identity, &self.sandbox.src(), self.receiver.addr).unwrap();
        assert_same_tree(self.sandbox.src(), self.sandbox.dst().join("src"));
        drop(self.receiver);
        no_leftovers(self.sandbox.dst());
        (sent, received)
    }
}

#[test]
fn a_peer_that_says_nothing_more_is_given_up() {
    // These wait for half a minute, so they do it side by side.
    let pulled = thread::spawn(|| {
        let middle = Middle::new();
        middle.proxy.stall();
        middle.end()
    });
    let quiet_sender = thread::spawn(|| Middle::new().end());
    let stopped_receiver = thread::spawn(|| {
        let sandbox = Sandbox::new();
        make_file(sandbox.src().join("large"), 1, 24 * CHUNK);
        let recv = sandbox.recv();
        let proxy = Proxy::new(recv.addr());
        proxy.hold_at(8 * CHUNK);
        let src = sandbox.src();
        let args = [Path::new("--retry"), Path::new("0"), &src];
        let sender = sandbox.spawn_send(&args, &proxy.target());
        proxy.wait_for_up(8 * CHUNK);
        recv.process().pause();
        proxy.release();
        let since = Instant::now();
        let sent = sender.wait();
        sent.assert_code(1).assert_says("has not responded");
        assert!(since.elapsed() < SILENCE_ENDS);
    });
    // Nothing comes through: each side finds out for itself.
    assert_eq!(pulled.join().unwrap(), ("silent", "silent"));
    // Only the sender's words do not: the receiver gives up, and the sender notices that.
    assert_eq!(quiet_sender.join().unwrap(), ("lost", "silent"));
    stopped_receiver.join().unwrap();
}

/// Neither side may need more memory than this, however many files there are.
const MAX_MEMORY: u64 = 100 << 20;

#[track_caller]
fn check_memory(sandbox: &Sandbox) {
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    // No file travels without its entry and its chunk's header, so when so much has gone by,
    // most of them have, and the sender is as large as it gets.
    let most = (MANY as u64) * (69 + 60) * 9 / 10;
    proxy.hold_at(most);
    let sender = sandbox.spawn_send(&[&sandbox.src()], &proxy.target());
    proxy.wait_for_up(most);
    let sender_peak = sender.peak_memory();
    proxy.release();
    sender.wait().assert_code(0);
    let receiver_peak = recv.process().peak_memory();
    println!("peak memory: sender {sender_peak:?}, receiver {receiver_peak:?}");
    for (who, peak) in [("sender", sender_peak), ("receiver", receiver_peak)] {
        if let Some(peak) = peak {
            assert!(peak < MAX_MEMORY, "the {who} took {peak} bytes");
        }
    }
    assert_eq!(count(&sandbox.dst().join("src")), count(&sandbox.src()));
}

#[test]
fn memory_for_very_many_files() {
    let sandbox = Sandbox::in_memory();
    make_many(&sandbox.src(), b"tiny");
    check_memory(&sandbox);
}

#[test]
fn memory_for_very_many_files_in_one_folder() {
    let sandbox = Sandbox::in_memory();
    let folder = sandbox.src();
    for n in 0..MANY {
        File::create(folder.join(format!("{n}"))).unwrap();
    }
    check_memory(&sandbox);
}

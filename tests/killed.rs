//! Files, trees, updates and mirrors whose sender or receiver is killed, at points all over the
//! transfer: whatever is there then is old or new and never half, nothing is gone that is to stay,
//! and the same command does the rest.
//!
//! `XFER_KILLS` says how many points there are in each of the eight; 64 make 512 kills.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use support::*;
use xfer::model::relpath::is_reserved;

/// What is sent, and what becomes of it.
const TREE: &str = "tree";
/// An ordinary time; what changes gets a later one.
const THEN: i64 = 1_600_000_000;
/// Small files of each kind.
const SMALL: u64 = 15;
/// Files in a folder that is removed.
const REMOVED: u64 = 500;
/// At how many points each side of each kind of transfer is killed.
const KILLS: usize = 20;
/// How often it is asked whether a run has ended, while nothing happens.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// When a side is killed.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// So many bytes have gone up.
    Bytes(u64),
    /// So many names have come to folders that were there before, were replaced, or went.
    Names(usize),
}

/// What a transfer is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Send one file to where there is none.
    File,
    /// Send a tree to where there is none.
    Tree,
    /// Bring an older tree up to date.
    Update,
    /// The same, and remove what is not in the new one.
    Mirror,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Sender,
    Receiver,
}

/// The names that come and go in the folders that there are in a folder.
struct Names {
    events: OwnedFd,
    seen: usize,
}

impl Names {
    fn watch(root: &Path) -> Self {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
        let what = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            inotify::add_watch(&events, &folder, what).unwrap();
            let all = fs::read_dir(folder).unwrap().map(Result::unwrap);
            folders.extend(
                all.filter(|entry| entry.file_type().unwrap().is_dir())
                    .map(|entry| entry.path()),
            );
        }
        Self { events, seen: 0 }
    }

    /// Waits until so many have been seen, or the sender has ended. Says how many there were.
    fn wait(&mut self, count: usize, sender: &Process) -> usize {
        while self.seen < count {
            let mut polled = [PollFd::new(&self.events, PollFlags::IN)];
            let ended = sender.has_ended();
            if poll(&mut polled, Some(&LOOK)).unwrap() > 0 {
                self.read();
            } else if ended {
                break;
            }
        }
        self.seen
    }

    fn read(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        let names = ReadFlags::CREATE | ReadFlags::MOVED_TO | ReadFlags::DELETE;
        loop {
            let event = reader.next().unwrap();
            self.seen += usize::from(event.events().intersects(names));
            if reader.is_buffer_empty() {
                return;
            }
        }
    }
}

/// Two versions of a tree, and what is beside the old one.
struct Scene {
    sandbox: Sandbox,
    old: Tree,
    new: Tree,
    work: Work,
}

impl Scene {
    fn new(work: Work) -> Self {
        let sandbox = Sandbox::in_memory();
        let (old, new) = (sandbox.folder("old"), sandbox.src());
        match work {
            Work::File => make(new.join(TREE), 4, 9 * CHUNK + 12_345),
            Work::Tree => {
                make_old(&new);
                for beside in ["beside", "besides"].map(|name| new.join(name)) {
                    fs::rename(&beside, new.join(TREE).join(beside.file_name().unwrap())).unwrap();
                }
            }
            Work::Update | Work::Mirror => {
                make_old(&old);
                copy(&old.join(TREE), &new);
                change(&new.join(TREE));
            }
        }
        Self {
            old: Tree::read(old),
            new: Tree::read(new),
            sandbox,
            work,
        }
    }

    /// The folder of a receive directory in which names come and go.
    fn watched(&self, dst: &Path) -> PathBuf {
        match self.work {
            Work::File | Work::Tree => dst.to_path_buf(),
            Work::Update | Work::Mirror => dst.join(TREE),
        }
    }

    /// A receive directory with the old version in it.
    fn dst(&self) -> PathBuf {
        let dst = self.sandbox.path("receives");
        // One that a folder in it keeps from being removed goes with the sandbox.
        if fs::remove_dir_all(&dst).is_err() && dst.exists() {
            let many = fs::read_dir(dst.parent().unwrap()).unwrap().count();
            fs::rename(&dst, self.sandbox.path(&format!("received {many}"))).unwrap();
        }
        copy(&self.sandbox.path("old"), &dst);
        dst
    }

    fn recv(&self, dst: &Path, args: &[&str]) -> Recv {
        let allows = match self.work {
            // Most of what is there goes.
            Work::Mirror => &["--allow-mirror", "--max-delete=100%"][..],
            _ => &[],
        };
        let args = [args, allows].concat();
        self.sandbox.me().recv(dst, &args)
    }

    fn send(&self, target: &str) -> Process {
        let tree = self.sandbox.src().join(TREE);
        let how = match self.work {
            Work::File | Work::Tree => None,
            Work::Update => Some("--update"),
            Work::Mirror => Some("--mirror"),
        };
        let args = [
            "--lanes",
            "2",
            "--retry",
            "0",
            tree.to_str().unwrap(),
            target,
        ];
        let args: Vec<_> = how.into_iter().chain(args).collect();
        self.sandbox.me().spawn_send(&args)
    }

    /// Whether what has this path in the old tree is to stay.
    fn stays(&self, path: &[u8]) -> bool {
        self.work != Work::Mirror
            || !path.starts_with(TREE.as_bytes())
            || self.new.0.contains_key(path)
    }

    /// What is to be there in the end.
    fn whole(&self) -> BTreeMap<Vec<u8>, Node> {
        let stays = self.old.0.iter().filter(|(path, _)| self.stays(path));
        let all = stays.chain(&self.new.0);
        all.map(|(path, node)| (path.clone(), node.clone()))
            .collect()
    }

    /// Points spread over a whole transfer: some by what travels, some by what comes of it.
    fn points(&self) -> Vec<Point> {
        let dst = self.dst();
        let recv = self.recv(&dst, &["--once"]);
        let proxy = Proxy::new(recv.addr());
        let mut names = Names::watch(&self.watched(&dst));
        let sender = self.send(&proxy.target());
        let count = names.wait(usize::MAX, &sender);
        sender.wait().assert_code(0);
        recv.wait().assert_code(0);
        self.is_whole(&dst, "nobody");
        let kills = std::env::var("XFER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
        // Of one file there are few names.
        let names = (kills / 2).min(count);
        let bytes = kills - names;
        let up = proxy.passed().0;
        let all = (1..=bytes).map(|n| Point::Bytes(up * n as u64 / (bytes as u64 + 1)));
        all.chain((1..=names).map(|n| Point::Names(count * n / names)))
            .collect()
    }

    /// Kills a side at each point.
    fn survives(&self, side: Side) {
        for point in self.points() {
            let dst = self.dst();
            let recv = self.recv(&dst, &[]);
            let proxy = Proxy::new(recv.addr());
            let mut names = Names::watch(&self.watched(&dst));
            if let Point::Bytes(bytes) = point {
                proxy.hold_at(bytes);
            }
            let sender = self.send(&proxy.target());
            match point {
                Point::Bytes(bytes) => proxy.wait_for_up(bytes),
                Point::Names(count) => drop(names.wait(count, &sender)),
            }
            let sent = match side {
                Side::Sender => {
                    let sent = sender.kill();
                    proxy.cut_all();
                    // Ends in order, so that nothing changes any more.
                    recv.interrupt();
                    sent
                }
                Side::Receiver => {
                    recv.kill();
                    proxy.cut_all();
                    sender.wait()
                }
            };
            let what = format!("{side:?} at {point:?}");
            self.is_old_or_new(&dst, &what);
            if sent.code == Some(0) {
                self.is_whole(&dst, &what);
            }

            let recv = self.recv(&dst, &["--once"]);
            self.send(&recv.target()).wait().assert_code(0);
            recv.wait().assert_code(0);
            self.is_whole(&dst, &what);
            if side == Side::Receiver {
                // What the system told a process of a sync that it did not live to the end of,
                // nobody knows: its mark stays, and keeps what it stored in doubt.
                let marks = dst.join(".xfer/unsynced");
                let count = fs::read_dir(&marks).map_or(0, Iterator::count);
                assert!(count <= 1, "{what} killed: {count} marks");
                let _ = fs::remove_dir_all(marks);
            }
            no_leftovers(&dst);
        }
    }

    /// What there is below a receive directory is of the old tree or of the new one, each file
    /// wholly, and nothing is gone too early.
    #[track_caller]
    fn is_old_or_new(&self, dst: &Path, killed: &str) {
        let now = Tree::read(dst).0;
        for (path, node) in &now {
            let name = path.rsplit(|&byte| byte == b'/').next().unwrap();
            if is_reserved(name) {
                continue;
            }
            let known = [self.old.0.get(path), self.new.0.get(path)];
            let known: Vec<_> = known.into_iter().flatten().collect();
            let shown = String::from_utf8_lossy(path);
            let is_known = known.iter().any(|known| match (&node.kind, &known.kind) {
                // It gets its mode and time when all is in it; nobody else may more meanwhile.
                (Kind::Dir, Kind::Dir) => node.mode & 0o077 & !known.mode == 0,
                (Kind::Link { target: now }, Kind::Link { target }) => now == target,
                _ => node == *known,
            });
            assert!(is_known, "{killed} killed: {shown} is {node:?}: {known:?}");
        }
        let old = self.old.0.keys();
        let gone: Vec<_> = old.filter(|path| !now.contains_key(*path)).collect();
        for path in &gone {
            let shown = String::from_utf8_lossy(path);
            assert!(!self.stays(path), "{killed} killed: {shown} is gone");
        }
        for (path, node) in self.new.0.iter().filter(|_| !gone.is_empty()) {
            // Nothing goes before everything is stored.
            let shown = String::from_utf8_lossy(path);
            let is_there = now.get(path).is_some_and(|now| now.kind == node.kind);
            assert!(is_there, "{killed} killed: no {shown}, and some is gone");
        }
    }

    /// There is what is to be there in the end, and nothing else.
    #[track_caller]
    fn is_whole(&self, dst: &Path, killed: &str) {
        let (whole, now) = (self.whole(), Tree::read(dst).0);
        for path in whole.keys().chain(now.keys()) {
            let shown = String::from_utf8_lossy(path);
            let (is, should) = (now.get(path), whole.get(path));
            if let (Work::Tree, Some(is), Some(should)) = (self.work, is, should)
                && matches!(is.kind, Kind::Link { .. })
            {
                // One that was made just before the kill has the time of that: what is there is
                // changed by an update alone.
                assert_eq!(is.kind, should.kind, "{killed} killed: {shown}");
                continue;
            }
            assert_eq!(is, should, "{killed} killed: {shown}");
        }
    }
}

/// Copies a folder, or what is in it where there is none yet.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

fn make(path: PathBuf, seed: u64, len: u64) {
    make_file(&path, seed, len);
    set_mtime(path, THEN, 7);
}

fn make_old(old: &Path) {
    make(old.join("beside"), 1, 100);
    make(old.join("besides/file"), 2, 5000);
    let tree = old.join(TREE);
    for (seed, (name, len)) in (10..).zip([
        ("image", 3 * CHUNK + 12_345),
        ("log", CHUNK + 100),
        ("same", CHUNK + 7),
        ("shrinks", CHUNK + 9),
        ("swells", 4000),
        ("touched", CHUNK + 11),
        ("touched small", 1000),
        ("mode", 1000),
        ("file to link", 1000),
        ("goes", CHUNK + 1),
    ]) {
        make(tree.join(name), seed, len);
    }
    for n in 0..SMALL {
        for kind in ["same", "other size", "other content", "goes"] {
            make(tree.join(format!("small/{kind} {n}")), n, 3000);
        }
        make(tree.join(format!("opened/{n}")), n, 10);
        make(tree.join(format!("closed/{n}")), n, 10);
    }
    for n in 0..REMOVED {
        make(tree.join(format!("surplus/{n}")), n, n % 2);
    }
    make(tree.join("surplus/in/deep/file"), 3, 10);
    symlink("same", tree.join("surplus/in/link")).unwrap();
    symlink("image", tree.join("link")).unwrap();
    symlink("same", tree.join("link same")).unwrap();
    symlink("same", tree.join("link touched")).unwrap();
    symlink("same", tree.join("link goes")).unwrap();
    symlink("same", tree.join("link to file")).unwrap();
    for name in ["link", "link same", "link touched"] {
        set_mtime(tree.join(name), THEN, 8);
    }
    set_mode(tree.join("opened"), 0o500);
    for folder in [
        "surplus/in/deep",
        "surplus",
        "small",
        "opened",
        "closed",
        "",
    ] {
        set_mtime(tree.join(folder), THEN, 9);
    }
}

fn change(tree: &Path) {
    let renew = |name: &str, seed, len| {
        let path = tree.join(name);
        make_file(&path, seed, len);
        set_mtime(path, THEN + 100, 7);
    };
    let touch = |name: &str| set_mtime(tree.join(name), THEN + 200, 7);
    let write = |name: &str, bytes: &[u8], offset| {
        let file = OpenOptions::new().write(true).open(tree.join(name));
        file.unwrap().write_all_at(bytes, offset).unwrap();
        touch(name);
    };
    write("image", b"changed", CHUNK + 5000);
    write("log", &bytes(90, 1_000_000), CHUNK + 100);
    renew("shrinks", 91, 5000);
    renew("swells", 92, CHUNK + 50_000);
    touch("touched");
    touch("touched small");
    set_mode(tree.join("mode"), 0o600);
    set_mode(tree.join("opened"), 0o755);
    for n in 0..SMALL {
        renew(&format!("small/other size {n}"), 93 + n, 4000);
        renew(&format!("small/other content {n}"), 94 + n, 3000);
        renew(&format!("small/new {n}"), 95 + n, 2000);
        renew(&format!("new/folder/{n}"), 96 + n, 2000);
        fs::remove_file(tree.join(format!("small/goes {n}"))).unwrap();
        renew(&format!("opened/{n}"), 97 + n, 20);
        renew(&format!("closed/{n}"), 98 + n, 20);
    }
    renew("new/large", 99, 2 * CHUNK);
    for name in ["goes", "file to link", "link", "link goes", "link to file"] {
        fs::remove_file(tree.join(name)).unwrap();
    }
    fs::remove_dir_all(tree.join("surplus")).unwrap();
    symlink("log", tree.join("link")).unwrap();
    symlink("log", tree.join("file to link")).unwrap();
    symlink("../log", tree.join("new/link")).unwrap();
    for name in ["link", "link touched", "file to link", "new/link"] {
        touch(name);
    }
    renew("link to file", 89, 1000);
    set_mode(tree.join("closed"), 0o500);
    for folder in ["small", "opened", "closed", "new/folder", "new", ""] {
        touch(folder);
    }
}

#[test]
fn the_sender_of_a_file() {
    Scene::new(Work::File).survives(Side::Sender);
}

#[test]
fn the_receiver_of_a_file() {
    Scene::new(Work::File).survives(Side::Receiver);
}

#[test]
fn the_sender_of_a_tree() {
    Scene::new(Work::Tree).survives(Side::Sender);
}

#[test]
fn the_receiver_of_a_tree() {
    Scene::new(Work::Tree).survives(Side::Receiver);
}

#[test]
fn the_sender_of_an_update() {
    Scene::new(Work::Update).survives(Side::Sender);
}

#[test]
fn the_receiver_of_an_update() {
    Scene::new(Work::Update).survives(Side::Receiver);
}

#[test]
fn the_sender_of_a_mirror() {
    Scene::new(Work::Mirror).survives(Side::Sender);
}

#[test]
fn the_receiver_of_a_mirror() {
    Scene::new(Work::Mirror).survives(Side::Receiver);
}

/// A receiver that was killed with a partial of a file, and what it left: the partial, and the
/// record of it.
fn left_partial(sandbox: &Sandbox) -> [PathBuf; 2] {
    make(sandbox.src().join("tree/large"), 1, 3 * CHUNK);
    fs::create_dir(sandbox.dst().join(TREE)).unwrap();
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(2 * CHUNK);
    let mut names = Names::watch(&sandbox.dst());
    let sender = sandbox.spawn_send(&[], &proxy.target());
    // The folder of records, and the partial.
    names.wait(2, &sender);
    recv.kill();
    let only = |folder: PathBuf, is_it: fn(&Path) -> bool| {
        let all = fs::read_dir(folder).unwrap();
        let mut all = all.map(|entry| entry.unwrap().path());
        all.find(|path| is_it(path)).unwrap()
    };
    let is_partial = |path: &Path| path.extension().is_some_and(|end| end == "partial");
    let partial = only(sandbox.dst().join(TREE), is_partial);
    [
        partial,
        only(sandbox.dst().join(".xfer/partials"), |_| true),
    ]
}

#[test]
fn a_partial_of_what_is_a_link_now() {
    let sandbox = Sandbox::in_memory();
    left_partial(&sandbox);
    let large = sandbox.src().join("tree/large");
    fs::remove_file(&large).unwrap();
    symlink("elsewhere", &large).unwrap();
    let recv = sandbox.recv_with(&["--once"]);
    sandbox.send(&[], &recv.target()).assert_code(0);
    recv.wait().assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
}

#[test]
fn what_nobody_comes_back_for_goes_in_time() {
    for is_link in [false, true] {
        let sandbox = Sandbox::in_memory();
        let [partial, record] = left_partial(&sandbox);
        if is_link {
            // As if it had been killed before it could rename a link.
            fs::remove_file(&partial).unwrap();
            symlink("elsewhere", &partial).unwrap();
        }
        let are_there = || [&partial, &record].map(|path| path.symlink_metadata().is_ok());
        sandbox.recv().kill();
        assert_eq!(are_there(), [true, true]);
        for path in [&partial, &record] {
            set_mtime(path, THEN, 0);
        }
        sandbox.recv().kill();
        assert_eq!(are_there(), [false, false], "a link: {is_link}");
    }
}

#[test]
fn a_partial_that_was_about_to_be_renamed() {
    let sandbox = Sandbox::in_memory();
    let [partial, record] = left_partial(&sandbox);
    // It has what its file is to have: root alone can still write to it.
    set_mode(&partial, 0o444);
    set_mtime(&partial, THEN, 7);
    let recv = sandbox.recv_with(&["--once"]);
    assert!(partial.exists() && record.exists());
    sandbox.send(&[], &recv.target()).assert_code(0);
    recv.wait().assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
}

#[test]
fn a_name_that_was_kept_free_for_a_partial() {
    for is_older in [false, true] {
        let sandbox = Sandbox::in_memory();
        let [partial, _] = left_partial(&sandbox);
        set_mode(&partial, 0o644);
        // It gets its size right after it was made, which may have been the last moment.
        let opened = fs::File::options().write(true).open(&partial).unwrap();
        opened.set_len(3 * CHUNK).unwrap();
        // As if it had been killed between these two, where nothing else keeps a name free.
        let name = sandbox.dst().join(TREE).join("large");
        fs::File::create(&name).unwrap();
        set_mode(&name, 0o600);
        if is_older {
            // It was there before, and is somebody's.
            set_mtime(&name, THEN, 7);
        }
        let recv = sandbox.recv_with(&["--once"]);
        sandbox.send(&[], &recv.target()).assert_code(0);
        recv.wait().assert_code(0);
        no_leftovers(sandbox.dst());
        if !is_older {
            assert_same_tree(sandbox.src(), sandbox.dst());
            continue;
        }
        assert_eq!(fs::metadata(&name).unwrap().len(), 0);
        let sent = sandbox.src().join(TREE).join("large");
        let beside = name.with_file_name("large (2)");
        assert_eq!(digest_of(&beside), digest_of(&sent));
    }
}

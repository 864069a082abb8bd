//! What travels on different connections arrives in any order: whichever of them is late, slow or
//! silent for a while, everything comes out as if none of them were.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::*;

/// How late a connection is: longer than anything else takes here.
const LATE: Duration = Duration::from_millis(300);
/// How slow one is, in bytes per second.
const SLOW: u64 = 2 << 20;
/// How many connections a session has: its control connection and two lanes.
const CONNECTIONS: usize = 3;
/// More files than a receiver has open at once.
const MANY: u64 = 500;
/// An ordinary time.
const THEN: i64 = 1_600_000_000;

/// What is the matter with the network.
type Network = fn(&Proxy, usize);

/// The control connection is late, and with it `Done`, `Changed`, `Skipped` and `Fates`.
fn control_late(proxy: &Proxy, first: usize) {
    proxy.delay(first, Way::Up, LATE);
}

/// What the receiver answers is late: `Wants`, `Held`, outcomes, `Verified`, `MayRemove`.
fn answers_late(proxy: &Proxy, first: usize) {
    proxy.delay(first, Way::Down, LATE);
}

/// One lane is late, and joins late.
fn lane_late(proxy: &Proxy, first: usize) {
    proxy.delay(first + 1, Way::Up, LATE);
}

/// Both lanes are late.
fn lanes_late(proxy: &Proxy, first: usize) {
    proxy.delay(first + 1, Way::Up, LATE);
    proxy.delay(first + 2, Way::Up, LATE);
}

/// The control connection is late, and one lane more so.
fn all_late(proxy: &Proxy, first: usize) {
    proxy.delay(first, Way::Up, LATE);
    proxy.delay(first, Way::Down, LATE / 2);
    proxy.delay(first + 2, Way::Up, 2 * LATE);
}

/// One lane brings little in a long time.
fn lane_slow(proxy: &Proxy, first: usize) {
    proxy.slow(first + 1, Way::Up, SLOW);
}

/// A sender and a receiver, with a network of its own between them for each session.
struct Scene {
    sandbox: Sandbox,
    recv: Recv,
    network: Network,
}

impl Scene {
    fn new(network: Network) -> Self {
        let sandbox = Sandbox::in_memory();
        let recv = sandbox.recv_with(&["--allow-mirror"]);
        Self {
            sandbox,
            recv,
            network,
        }
    }

    fn tree(&self) -> PathBuf {
        self.sandbox.src().join("tree")
    }

    fn proxy(&self) -> Proxy {
        let proxy = Proxy::new(self.recv.addr());
        (self.network)(&proxy, 0);
        proxy
    }

    fn spawn(&self, args: &[&str], proxy: &Proxy) -> Process {
        let (tree, target) = (self.tree().display().to_string(), proxy.target());
        let args = [args, &["--lanes", "2", &tree, &target]].concat();
        self.sandbox.me().spawn_send(&args)
    }

    #[track_caller]
    fn send(&self, args: &[&str]) {
        let proxy = self.proxy();
        self.spawn(args, &proxy).wait().assert_code(0);
        self.check();
    }

    #[track_caller]
    fn check(&self) {
        assert_same_tree(self.sandbox.src(), self.sandbox.dst());
        no_leftovers(self.sandbox.dst());
    }

    /// Files of every kind: empty, small, of one chunk, of a few, and in folders.
    fn make(&self, seed: u64) {
        for n in 0..120 {
            let small = self.tree().join(format!("small/{}/{n}", n % 7));
            make_file(small, seed + n, n * 300);
        }
        for n in 0..6 {
            let large = self.tree().join(format!("large/{n}"));
            make_file(large, seed + n, n * CHUNK + n * 1000);
        }
        make_file(self.tree().join("one"), seed, CHUNK);
    }

    /// Changes some chunks of some files, and touches others without changing them.
    fn change(&self) {
        for n in 1..6 {
            let path = self.tree().join(format!("large/{n}"));
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            if n % 2 == 1 {
                file.write_all_at(b"changed", (n - 1) * CHUNK + 50).unwrap();
            }
            drop(file);
            set_mtime(path, THEN + i64::try_from(n).unwrap(), 0);
        }
        for n in (0..120).step_by(3) {
            let small = self.tree().join(format!("small/{}/{n}", n % 7));
            make_file(small, 1000 + n, 200 + n);
        }
    }

    /// Moves, removes, and makes folders of files and files of folders.
    fn rearrange(&self) {
        let tree = self.tree();
        fs::rename(tree.join("large/4"), tree.join("moved")).unwrap();
        fs::remove_dir_all(tree.join("small/3")).unwrap();
        make_file(tree.join("small/3"), 77, 2 * CHUNK + 5);
        fs::remove_file(tree.join("one")).unwrap();
        make_file(tree.join("one/more"), 78, 3 * CHUNK);
        fs::remove_dir_all(tree.join("small/5")).unwrap();
    }
}

/// Sends a tree, sends it again, updates it, and mirrors it.
fn everything(network: Network) {
    let scene = Scene::new(network);
    scene.make(1);
    scene.send(&[]);
    scene.send(&[]);
    scene.change();
    scene.send(&["--update"]);
    scene.rearrange();
    scene.send(&["--mirror"]);
}

#[test]
fn everything_with_control_late() {
    everything(control_late);
}

#[test]
fn everything_with_answers_late() {
    everything(answers_late);
}

#[test]
fn everything_with_a_lane_late() {
    everything(lane_late);
}

#[test]
fn everything_with_lanes_late() {
    everything(lanes_late);
}

#[test]
fn everything_with_all_late() {
    everything(all_late);
}

#[test]
fn everything_with_a_lane_slow() {
    everything(lane_slow);
}

/// Many files of two chunks each, of which little travels.
fn make_many(tree: &Path, count: u64) {
    for n in 0..count {
        let path = tree.join(format!("{n:04}"));
        make_file(&path, n, 100);
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(CHUNK + 10 + n).unwrap();
    }
}

/// As many files as no receiver opens at once.
fn many(network: Network) {
    let scene = Scene::new(network);
    make_many(&scene.tree(), MANY);
    scene.send(&[]);
    // Now they are there, and differ in the last chunk.
    for n in 0..MANY {
        let path = scene.tree().join(format!("{n:04}"));
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(b"x", CHUNK + 5).unwrap();
    }
    scene.send(&["--update"]);
}

/// Each of them is whole long before the receiver hears of it, and is open until then.
#[test]
fn many_files_of_which_the_end_is_late() {
    many(|proxy, first| proxy.delay(first, Way::Up, Duration::from_secs(1)));
}

/// All that the one lane has brought waits for what the other one brings.
#[test]
fn many_files_of_which_a_chunk_is_late() {
    many(|proxy, first| proxy.delay(first + 1, Way::Up, Duration::from_secs(1)));
}

#[test]
fn many_files_of_which_all_is_late() {
    many(all_late);
}

/// A lane that says nothing before the other one has brought all that it can.
#[test]
fn a_lane_that_joins_when_the_other_is_done() {
    let scene = Scene::new(|proxy, first| proxy.hold_one(first + 2, Way::Up));
    make_many(&scene.tree(), 400);
    make_file(scene.tree().join("large"), 1, 8 * CHUNK);
    let proxy = scene.proxy();
    let sender = scene.spawn(&[], &proxy);
    proxy.wait_for_connections(CONNECTIONS);
    proxy.wait_for_up_on(1, 8 * CHUNK);
    proxy.let_go(2, Way::Up);
    sender.wait().assert_code(0);
    scene.check();
}

/// A connection of a session is cut while another is late: the next session goes on.
fn cut(network: Network, which: usize) {
    let scene = Scene::new(network);
    make_file(scene.tree().join("large"), 1, 30 * CHUNK + 10);
    make_many(&scene.tree().join("many"), 40);
    let proxy = scene.proxy();
    (scene.network)(&proxy, CONNECTIONS);
    proxy.hold_at(12 * CHUNK);
    let sender = scene.spawn(&[], &proxy);
    proxy.wait_for_up(12 * CHUNK);
    proxy.cut(which);
    proxy.release();
    sender.wait().assert_code(0);
    scene.check();
}

#[test]
fn a_control_connection_that_is_cut_before_what_it_said_arrived() {
    cut(control_late, 0);
}

#[test]
fn a_lane_that_is_cut_while_the_control_connection_is_late() {
    cut(control_late, 1);
}

#[test]
fn a_control_connection_that_is_cut_while_a_lane_is_late() {
    cut(lane_late, 0);
}

/// Files change, and go, when they have been announced and not been sent: `Changed` and `Skipped`
/// travel on another connection than the chunks before and behind them.
fn changing(network: Network) {
    let scene = Scene::new(network);
    let tree = scene.tree();
    // More than can be on its way.
    make_file(tree.join("a"), 1, 60 * CHUNK);
    for name in ["b", "c"] {
        make_file(tree.join(name), 1, 20 * CHUNK);
    }
    make_file(tree.join("gone"), 2, 5 * CHUNK);
    let proxy = scene.proxy();
    proxy.hold_at(8 * CHUNK);
    let sender = scene.spawn(&[], &proxy);
    proxy.wait_for_up(8 * CHUNK);
    fs::remove_file(tree.join("gone")).unwrap();
    for (name, len) in [("a", 60 * CHUNK + 7), ("b", 3 * CHUNK), ("c", 100)] {
        let file = OpenOptions::new()
            .write(true)
            .open(tree.join(name))
            .unwrap();
        file.set_len(len).unwrap();
        file.write_all_at(b"other", len - 5).unwrap();
    }
    proxy.release();
    let sent = sender.wait();
    sent.assert_code(3).assert_says("gone");
    let (sent, mut received) = (
        Tree::read(&tree),
        Tree::read(scene.sandbox.dst().join("tree")),
    );
    received.0.retain(|name, _| sent.0.contains_key(name));
    assert_eq!(sent, received);
    no_leftovers(scene.sandbox.dst());
}

#[test]
fn changes_that_are_late() {
    changing(control_late);
}

#[test]
fn changes_that_are_early() {
    changing(lanes_late);
}

#[test]
fn changes_of_which_the_answers_are_late() {
    changing(answers_late);
}

/// A line is written behind the name that a file gets, and must not be lost with the connection.
#[test]
fn sums_of_what_was_stored_when_the_connection_was_lost() {
    const FILES: u64 = 2000;
    for hash in ["blake3", "sha256"] {
        let sandbox = Sandbox::in_memory();
        let tree = sandbox.src().join("tree");
        for n in 0..FILES {
            make_file(tree.join(format!("{}/{n}", n % 3)), n, 60_000);
        }
        let list = sandbox.path("sums");
        let recv = sandbox.recv_with(&["--sums", list.to_str().unwrap()]);
        let proxy = Proxy::new(recv.addr());
        let (tree, target) = (tree.display().to_string(), proxy.target());
        let args = ["--hash", hash, "--lanes", "2", "--retry", "0"];
        let sender = sandbox
            .me()
            .spawn_send(&[&args[..], &[&tree, &target]].concat());
        proxy.wait_for_up(FILES * 60_000 / 3);
        proxy.cut_all();
        sender.wait().assert_code(1);
        let args = ["--hash", hash, &tree, &recv.target()];
        sandbox.me().send(&args).assert_code(0);
        assert_same_tree(sandbox.src(), sandbox.dst());
        recv.interrupt();
        let sums = fs::read_to_string(list).unwrap();
        let count = sums.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(count as u64, FILES, "{hash}");
    }
}

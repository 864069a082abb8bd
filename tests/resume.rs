//! Whatever ends a transfer, the next run goes on where it stopped, and the result is the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use support::*;

const LARGE: u64 = 40 * CHUNK + 12_345;
const SMALL_FILES: u64 = 300;
const SMALL: u64 = 4000;
/// All that there is to send.
const TOTAL: u64 = LARGE + SMALL_FILES * SMALL;
/// What may travel beside the content: names, digests, handshakes.
const TALK: u64 = 1 << 20;
/// What can be between the proxy and the receiver's disk when either is killed: the buffers of
/// two lanes' sockets, and a chunk for each.
const IN_FLIGHT: u64 = 16 << 20;

struct Scene {
    sandbox: Sandbox,
    recv: Recv,
    proxy: Proxy,
}

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        make_file(sandbox.src().join("a/large.bin"), 1, LARGE);
        for n in 0..SMALL_FILES {
            make_file(sandbox.src().join(format!("b/{}/{n}", n % 5)), n, SMALL);
        }
        let recv = sandbox.recv();
        let proxy = Proxy::new(recv.addr());
        Self {
            sandbox,
            recv,
            proxy,
        }
    }

    fn large(&self) -> PathBuf {
        self.sandbox.src().join("a/large.bin")
    }

    fn spawn_send(&self) -> Process {
        let (a, b) = (self.sandbox.src().join("a"), self.sandbox.src().join("b"));
        let args = [
            "--lanes".into(),
            "2".into(),
            a,
            b,
            self.proxy.target().into(),
        ];
        self.sandbox.me().spawn_send(&args)
    }

    /// Begins to send, and stops the network when so many bytes have passed.
    fn send_until(&self, bytes: u64) -> Process {
        self.proxy.hold_at(bytes);
        let sender = self.spawn_send();
        self.proxy.wait_for_up(bytes);
        sender
    }

    /// Sends so many bytes, and no more: what lies in sockets' buffers is lost with the sender. It
    /// can be several MiB, and the rest of a file.
    fn send_just(&self, bytes: u64) {
        let sender = self.send_until(bytes);
        sender.kill();
        self.proxy.cut_all();
        self.proxy.release();
    }

    /// How many bytes go up on the connections that are made while `f` runs: what comes on older
    /// ones was sent before.
    fn count_up<R>(&self, f: impl FnOnce() -> R) -> (u64, R) {
        let first = self.proxy.connections();
        let result = f();
        (self.proxy.passed_from(first), result)
    }

    #[track_caller]
    fn check(&self) {
        assert_same_tree(self.sandbox.src(), self.sandbox.dst());
        no_leftovers(self.sandbox.dst());
    }
}

/// Points spread over a transfer, in bytes.
fn points() -> [u64; 6] {
    [
        100,
        3000,
        TOTAL / 20,
        TOTAL / 3,
        TOTAL * 2 / 3,
        TOTAL * 19 / 20,
    ]
}

#[test]
fn a_sender_that_is_killed() {
    for point in points() {
        let scene = Scene::new();
        scene.send_until(point).kill();
        scene.proxy.release();
        let (up, sent) = scene.count_up(|| scene.spawn_send().wait());
        sent.assert_code(0);
        scene.check();
        let most = (TOTAL - point + IN_FLIGHT).min(TOTAL) + TALK;
        assert!(up <= most, "killed at {point}: {up} of {most} bytes");
        assert!(!scene.recv.process().has_ended());
    }
}

#[test]
fn a_receiver_that_is_killed() {
    for point in points() {
        let mut scene = Scene::new();
        let sender = scene.send_until(point);
        // The next one stands by already, so that the sender finds it at its first attempt.
        let next = scene.sandbox.recv();
        scene.proxy.lead_to(next.addr());
        std::mem::replace(&mut scene.recv, next).kill();
        let (up, sent) = scene.count_up(|| {
            scene.proxy.release();
            sender.wait()
        });
        if sent.code != Some(0) {
            // Before a session has begun, a lost connection may be the end.
            assert!(point <= 3000, "killed at {point}: {sent}");
            scene.spawn_send().wait().assert_code(0);
        }
        scene.check();
        let most = (TOTAL - point + IN_FLIGHT).min(TOTAL) + TALK + IN_FLIGHT;
        assert!(up <= most, "killed at {point}: {up} of {most} bytes");
    }
}

#[test]
fn both_are_killed() {
    let mut scene = Scene::new();
    let sender = scene.send_until(TOTAL / 2);
    let next = scene.sandbox.recv();
    scene.proxy.lead_to(next.addr());
    sender.kill();
    std::mem::replace(&mut scene.recv, next).kill();
    scene.proxy.release();
    scene.spawn_send().wait().assert_code(0);
    scene.check();
}

#[test]
fn a_sender_that_is_interrupted() {
    let scene = Scene::new();
    let sender = scene.send_until(TOTAL / 2);
    sender.interrupt();
    scene.proxy.release();
    // It says how to go on.
    sender.wait().assert_code(130).assert_says("again");
    scene.proxy.release();
    let (up, sent) = scene.count_up(|| scene.spawn_send().wait());
    sent.assert_code(0);
    assert!(up <= TOTAL / 2 + IN_FLIGHT + TALK, "{up} bytes");
    scene.check();
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_network() {
    let scene = Scene::new();
    let sender = scene.send_until(TOTAL / 2);
    sender.interrupt();
    sender.interrupt();
    // The network stands still all the time.
    sender.wait().assert_code(130);
}

#[test]
fn a_receiver_that_is_interrupted() {
    let mut scene = Scene::new();
    let sender = scene.send_until(TOTAL / 2);
    let next = scene.sandbox.recv();
    let recv = std::mem::replace(&mut scene.recv, next);
    recv.process().interrupt();
    scene.proxy.release();
    recv.wait().assert_code(130);
    let sent = sender.wait();
    assert_ne!(sent.code, Some(0), "{sent}");

    scene.proxy = Proxy::new(scene.recv.addr());
    scene.spawn_send().wait().assert_code(0);
    scene.check();
}

#[test]
fn a_network_that_is_cut() {
    let scene = Scene::new();
    let sender = scene.send_until(TOTAL / 2);
    scene.proxy.cut_all();
    scene.proxy.release();
    // It goes on by itself.
    sender.wait().assert_code(0);
    scene.check();
    let up = scene.proxy.passed().0;
    assert!(up <= TOTAL + 2 * IN_FLIGHT + TALK, "{up} bytes");
}

#[test]
fn a_network_that_is_cut_for_a_stranger() {
    let mut scene = Scene::new();
    for (path, mode) in [("a", 0o750), ("b/1", 0o555), ("b", 0o775)] {
        let path = scene.sandbox.src().join(path);
        set_mtime(&path, 1_600_000_000, 0);
        set_mode(&path, mode);
    }
    let recv = scene.sandbox.recv_with(&["--open"]);
    scene.proxy = Proxy::new(recv.addr());
    scene.recv = recv;
    scene.proxy.hold_at(TOTAL / 2);
    let (a, b) = (scene.sandbox.src().join("a"), scene.sandbox.src().join("b"));
    let args = ["--open".into(), a, b, scene.proxy.target().into()];
    let sender = scene.sandbox.user("stranger").spawn_send(&args);
    scene.proxy.wait_for_up(TOTAL / 2);
    scene.proxy.cut_all();
    scene.proxy.release();
    sender.wait().assert_code(0);
    // The folders that the first session made have their times and permissions, too.
    scene.check();
}

#[test]
fn what_was_sent_before_a_cut_is_told_as_sent() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("a"), 1, 1000);
    make_file(sandbox.src().join("b"), 2, LARGE);
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(LARGE / 2);
    let paths = ["a", "b"].map(|name| sandbox.src().join(name));
    let args = ["-v".into(), paths[0].clone(), paths[1].clone()];
    let args = [&args[..], &[proxy.target().into()]].concat();
    let sender = sandbox.me().spawn_send(&args);
    sender.wait_for_text("Stored: a");
    proxy.wait_for_up(LARGE / 2);
    proxy.cut_all();
    proxy.release();
    let sent = sender.wait();
    sent.assert_code(0).assert_says("Retrying");
    sent.assert_says("Sent 2 files (42.0 MB) to ");
}

#[test]
fn a_network_that_is_cut_again_and_again() {
    let scene = Scene::new();
    let sender = scene.send_until(TOTAL / 8);
    for part in 2..7 {
        scene.proxy.hold_at(TOTAL * part / 8);
        scene.proxy.cut_all();
        scene.proxy.wait_for_up(TOTAL * part / 8);
    }
    scene.proxy.cut_all();
    scene.proxy.release();
    sender.wait().assert_code(0);
    scene.check();
}

#[test]
fn a_receiver_that_stays_away_is_told_of_once() {
    let scene = Scene::new();
    let sender = scene.send_until(TOTAL / 2);
    // Whoever is there now hangs up.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    scene.proxy.lead_to(gone.local_addr().unwrap());
    scene.proxy.cut_all();
    scene.proxy.release();
    for _ in 0..4 {
        drop(gone.accept().unwrap());
    }
    sender.interrupt();
    let sent = sender.wait();
    sent.assert_code(130)
        .assert_says("un the same command again to resume.");
    let retries = sent.text().matches("Retrying in ").count();
    assert!((1..=2).contains(&retries), "{sent}");
}

#[test]
fn a_cut_that_the_receiver_does_not_notice() {
    let mut scene = Scene::new();
    let sender = scene.send_until(TOTAL / 2);
    // For the receiver, the first session goes on when the next one comes.
    scene.proxy.abandon_all();
    scene.proxy.release();
    sender.wait().assert_code(0);
    assert_same_tree(scene.sandbox.src(), scene.sandbox.dst());

    // It may have left its mark for the next one to settle.
    let next = scene.sandbox.recv();
    scene.proxy = Proxy::new(next.addr());
    std::mem::replace(&mut scene.recv, next).kill();
    scene.spawn_send().wait().assert_code(0);
    scene.check();
}

#[test]
fn a_lane_that_is_cut() {
    let scene = Scene::new();
    let sender = scene.send_until(TOTAL / 2);
    let lane = scene.proxy.wait_for_lane(1);
    scene.proxy.cut(lane);
    scene.proxy.release();
    sender.wait().assert_code(0);
    scene.check();
}

#[test]
fn a_control_connection_that_is_cut() {
    let scene = Scene::new();
    let sender = scene.send_until(TOTAL / 2);
    scene.proxy.cut(0);
    scene.proxy.release();
    sender.wait().assert_code(0);
    scene.check();
}

#[test]
fn a_partial_that_was_about_to_get_its_name() {
    let mut scene = Scene::new();
    let point = TOTAL * 9 / 10;
    scene.send_until(point).kill();
    scene.proxy.release();
    // It had its source's mode and time already, neither of which is in the way.
    let dir = fs::read_dir(scene.sandbox.dst().join("a")).unwrap();
    let partial = dir.map(|entry| entry.unwrap().path()).next().unwrap();
    set_mtime(&partial, 1_000_000_000, 0);
    set_mode(&partial, 0o444);
    let recv = scene.sandbox.me().recv_command(&scene.sandbox.dst(), &[]);
    let recv = Recv::start(without_privileges(&recv));
    scene.proxy.lead_to(recv.addr());
    std::mem::replace(&mut scene.recv, recv).kill();
    let (up, sent) = scene.count_up(|| scene.spawn_send().wait());
    sent.assert_code(0);
    assert_same_tree(scene.sandbox.src(), scene.sandbox.dst());
    no_leftovers(scene.sandbox.dst());
    let most = TOTAL - point + IN_FLIGHT + TALK;
    assert!(up <= most, "{up} of {most} bytes");
}

#[test]
fn a_partial_of_another_version() {
    let scene = Scene::new();
    // So much that the small files, wherever they come, cannot be all of it.
    let point = TOTAL * 9 / 10;
    scene.send_just(point);
    // One chunk in the beginning is another, and there is a new end.
    let file = OpenOptions::new().write(true).open(scene.large()).unwrap();
    file.write_all_at(&bytes(99, 1000), 3 * CHUNK + 500)
        .unwrap();
    file.write_all_at(&bytes(98, 100_000), LARGE).unwrap();
    drop(file);
    let (up, sent) = scene.count_up(|| scene.spawn_send().wait());
    sent.assert_code(0);
    scene.check();
    let most = TOTAL - point + 3 * CHUNK + IN_FLIGHT + TALK;
    assert!(up <= most, "{up} of {most} bytes");
}

#[test]
fn a_partial_of_a_larger_version() {
    let scene = Scene::new();
    scene.send_just(TOTAL * 9 / 10);
    let file = OpenOptions::new().write(true).open(scene.large()).unwrap();
    file.set_len(5 * CHUNK + 1).unwrap();
    drop(file);
    scene.spawn_send().wait().assert_code(0);
    scene.check();
}

#[test]
fn a_partial_of_a_file_that_is_small_now() {
    let scene = Scene::new();
    scene.send_just(TOTAL * 9 / 10);
    let file = OpenOptions::new().write(true).open(scene.large()).unwrap();
    file.set_len(10).unwrap();
    drop(file);
    scene.spawn_send().wait().assert_code(0);
    let path = "a/large.bin";
    let received = digest_of(&scene.sandbox.dst().join(path));
    assert_eq!(received, digest_of(&scene.large()));
    assert_eq!(received.1, 10);
}

/// Small files, enough for a while.
const MANY: u64 = 60;
/// The size of each, in bytes.
const MANY_SIZE: u64 = 200_000;

/// How many bytes lie in the buffers of connections to an address: who is there has not read them.
fn unread(addr: SocketAddr) -> u64 {
    let port = format!(":{:04X}", addr.port());
    let all = fs::read_to_string("/proc/net/tcp").unwrap();
    let queues = all.lines().skip(1).map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (sent, received) = fields[4].split_once(':').unwrap();
        let bytes = |hex| u64::from_str_radix(hex, 16).unwrap();
        match (fields[1].ends_with(&port), fields[2].ends_with(&port)) {
            (true, _) => bytes(received),
            (_, true) => bytes(sent),
            _ => 0,
        }
    });
    queues.sum()
}

/// What travels twice when a receiver is killed: of small files, in the place of others or new.
fn travels_twice(args: &[&str], part: u64) -> (u64, u64) {
    let sandbox = Sandbox::new();
    let all = MANY * MANY_SIZE;
    for n in 0..MANY {
        let name = format!("many/{}/{n}", n % 3);
        make_file(sandbox.src().join(&name), n, MANY_SIZE);
        if args.contains(&"--update") {
            let old = sandbox.dst().join(&name);
            make_file(&old, MANY + n, MANY_SIZE);
            set_mtime(&old, 1_500_000_000, 0);
        }
    }
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    let mut command: Vec<PathBuf> = args.iter().map(PathBuf::from).collect();
    let retries = ["--retry", "0", "--lanes", "2"];
    command.extend(retries.map(PathBuf::from));
    command.extend([sandbox.src().join("many"), proxy.target().into()]);
    proxy.hold_at(all / 100 * part);
    let sender = sandbox.me().spawn_send(&command);
    proxy.wait_for_up(all / 100 * part);
    // There is no event for what the receiver has read, nor is it all that it could.
    while proxy.passed().0.saturating_sub(unread(recv.addr())) < all / 100 * part / 4 * 3 {
        std::thread::yield_now();
    }
    recv.process().pause();
    let arrived = proxy.passed().0.saturating_sub(unread(recv.addr()));
    recv.kill();
    proxy.cut_all();
    sender.wait();
    proxy.release();
    let recv = sandbox.recv();
    proxy.lead_to(recv.addr());
    let first = proxy.connections();
    sandbox.me().send(&command).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
    let up = proxy.passed_from(first);
    ((arrived + up).saturating_sub(all), arrived)
}

#[test]
fn of_small_files_little_travels_twice_when_the_receiver_is_killed() {
    for args in [&[][..], &["--update"]] {
        for part in [20, 40, 60, 80, 97] {
            let (twice, arrived) = travels_twice(args, part);
            let most = (arrived * 6 / 100).max(2_000_000);
            if std::env::var_os("ALL").is_some() {
                continue;
            }
            assert!(
                twice < most,
                "{args:?}, killed at {part} %: {twice} of {arrived} bytes travelled twice"
            );
        }
    }
}

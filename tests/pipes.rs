//! What another program writes is sent as one file; and what does not come to its end is not
//! there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{PipeWriter, Write, pipe};
use std::path::Path;
use std::process::Command;

use support::*;

/// A sender of a stream, and what it reads from.
fn spawn_send(user: &User, name: &str, target: &str) -> (Process, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    let mut command = user.command(&["send", "-", "--as", name, target]);
    command.stdin(reader);
    (Process::spawn(command), writer)
}

/// Sends this as a stream, in pieces of odd sizes.
fn send(user: &User, data: &[u8], name: &str, target: &str) -> Output {
    let (sender, mut writer) = spawn_send(user, name, target);
    for piece in data.chunks(70_001) {
        writer.write_all(piece).unwrap();
    }
    drop(writer);
    sender.wait()
}

/// Waits until the receiver has said that a session was lost.
fn wait_for_loss(recv: &Recv) {
    recv.process().wait_for("a loss", |output| {
        let text = output.text().to_lowercase();
        (text.contains("lost") || text.contains("ended it")).then_some(())
    });
}

#[track_caller]
fn is_empty(dir: &Path) {
    let names = Tree::read(dir).names();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_stream_of_any_length_arrives() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let chunk = usize::try_from(CHUNK).unwrap();
    for (n, len) in [0, 5, chunk, 3 * chunk - 1, 2 * chunk, 5 * chunk + 777]
        .into_iter()
        .enumerate()
    {
        let (data, name) = (bytes(n as u64, len), format!("stream {n}"));
        send(&sandbox.me(), &data, &name, &recv.target())
            .assert_code(0)
            .assert_says("1 file");
        assert!(fs::read(sandbox.dst().join(&name)).unwrap() == data, "{n}");
        no_leftovers(sandbox.dst());
    }
    assert_eq!(Tree::read(sandbox.dst()).names().len(), 6);
}

#[test]
fn both_hashes_and_files_do() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--sums", "sums"]);
    make_file(sandbox.path("input"), 7, 2 * CHUNK + 1);
    for hash in ["sha256", "blake3"] {
        let (target, args) = (recv.target(), ["send", "-", "--hash", hash, "--as", hash]);
        let mut command = sandbox.me().command(&args);
        command
            .arg(&target)
            .stdin(File::open(sandbox.path("input")).unwrap());
        Process::spawn(command).wait().assert_code(0);
        let received = digest_of(&sandbox.dst().join(hash));
        assert_eq!(received, digest_of(&sandbox.path("input")));
    }
    let sums = fs::read_to_string(sandbox.path("sums")).unwrap();
    assert_eq!(sums.lines().count(), 2);
}

#[test]
fn what_has_the_name_stays() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    fs::write(sandbox.dst().join("a.tar"), "old").unwrap();
    let sent = send(&sandbox.me(), b"new", "a.tar", &recv.target());
    sent.assert_code(0).assert_says("a (2).tar");
    assert_eq!(fs::read(sandbox.dst().join("a.tar")).unwrap(), b"old");
    assert_eq!(fs::read(sandbox.dst().join("a (2).tar")).unwrap(), b"new");
}

#[test]
fn an_update_replaces_what_has_the_name() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    // Longer than what replaces it.
    make_file(sandbox.dst().join("a.tar"), 1, 3 * CHUNK);
    fs::write(sandbox.path("new"), "new").unwrap();
    let args = ["send", "-", "--as", "a.tar", "--update", &recv.target()];
    let mut command = sandbox.me().command(&args);
    command.stdin(File::open(sandbox.path("new")).unwrap());
    let sent = Process::spawn(command).wait();
    sent.assert_code(0).assert_says("the place of another");
    assert_eq!(fs::read(sandbox.dst().join("a.tar")).unwrap(), b"new");
    assert_eq!(Tree::read(sandbox.dst()).names(), ["a.tar"]);
}

#[test]
fn a_cut_connection_is_its_end() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    let (sender, mut writer) = spawn_send(&sandbox.me(), "a.tar", &proxy.target());
    writer.write_all(&bytes(1, 3 << 20)).unwrap();
    proxy.wait_for_up(2 << 20);
    proxy.cut_all();
    // The input is still open: nobody waits for more of it.
    sender
        .wait()
        .assert_code(1)
        .assert_says("cannot be read again");
    assert_eq!(proxy.connections(), 2, "it does not try again");
    assert!(writer.write_all(&bytes(1, 1 << 20)).is_err());
    wait_for_loss(&recv);
    recv.interrupt();
    is_empty(&sandbox.dst());
}

#[test]
fn a_sender_that_is_killed_leaves_nothing() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    let (sender, mut writer) = spawn_send(&sandbox.me(), "a.tar", &proxy.target());
    writer.write_all(&bytes(1, 3 << 20)).unwrap();
    proxy.wait_for_up(2 << 20);
    sender.kill();
    wait_for_loss(&recv);
    recv.interrupt();
    is_empty(&sandbox.dst());
}

#[test]
fn a_receiver_that_is_killed_ends_the_sender() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    let (sender, mut writer) = spawn_send(&sandbox.me(), "a.tar", &proxy.target());
    writer.write_all(&bytes(1, 3 << 20)).unwrap();
    proxy.wait_for_up(2 << 20);
    recv.kill();
    sender.wait().assert_code(1);
    assert!(!sandbox.dst().join("a.tar").exists());
    // What it left is in nobody's way.
    let recv = sandbox.recv();
    let sent = send(&sandbox.me(), b"whole", "a.tar", &recv.target());
    sent.assert_code(0);
    assert_eq!(fs::read(sandbox.dst().join("a.tar")).unwrap(), b"whole");
    no_leftovers(sandbox.dst());
}

#[test]
fn an_input_that_cannot_be_read_is_said() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let mut command = sandbox.me().command(&["send", "-", "--as", "a.tar"]);
    command
        .arg(recv.target())
        .stdin(File::open(sandbox.src()).unwrap());
    let sent = Process::spawn(command).wait();
    sent.assert_code(1).assert_says("cannot be read");
    recv.interrupt();
    is_empty(&sandbox.dst());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_its_end() {
    const MOUNT: &str = r#"mount -t tmpfs -o size=4m tmpfs "$1" && shift && exec "$@""#;
    let sandbox = Sandbox::new();
    let dst = sandbox.dst();
    let in_namespace = |command: &Command| {
        let args = ["-m", "sh", "-c", MOUNT, "sh"].map(OsStr::new);
        run_by(
            "unshare",
            &[&args[..], &[dst.as_os_str()]].concat(),
            command,
        )
    };
    let tried = in_namespace(&Command::new("true"))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        println!("skipped: no file system can be mounted here");
        return;
    }
    let command = sandbox.me().recv_command(&dst, &[]);
    let recv = Recv::start(in_namespace(&command));
    let (sender, mut writer) = spawn_send(&sandbox.me(), "a.tar", &recv.target());
    // More than fits; whoever does not read it any more says so.
    while writer.write_all(&[1; 65_536]).is_ok() {}
    sender.wait().assert_code(1).assert_says("no space");
    let sent = send(&sandbox.me(), b"fits", "b.tar", &recv.target());
    sent.assert_code(0);
    let pid = recv.process().pid().as_raw_nonzero();
    let seen = Path::new(&format!("/proc/{pid}/root")).join(dst.strip_prefix("/").unwrap());
    assert_eq!(Tree::read(seen).names(), ["b.tar"]);
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_a_stream() {
    const MOST: u64 = 64 << 20;
    let sandbox = Sandbox::in_memory();
    let recv = sandbox.recv();
    let (sender, mut writer) = spawn_send(&sandbox.me(), "large", &recv.target());
    let data = bytes(3, 1 << 20);
    for _ in 0..200 {
        writer.write_all(&data).unwrap();
    }
    for process in [&sender, recv.process()] {
        let peak = process.peak_memory().unwrap();
        assert!(peak < MOST, "{peak} bytes");
    }
    drop(writer);
    sender.wait().assert_code(0);
    let size = fs::metadata(sandbox.dst().join("large")).unwrap().len();
    assert_eq!(size, 200 << 20);
}

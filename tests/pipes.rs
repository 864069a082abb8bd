//! What another program writes is sent as one file, and one file is received for another program
//! to read; and what does not come to its end is not there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{PipeWriter, Read, Write, pipe};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

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
        (text.contains("lost") || text.contains("cancelled")).then_some(())
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
            .assert_says("Sent stream ");
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
    sent.assert_code(0).assert_says("1 file replaced");
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
        .assert_says("cannot be read a second time");
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
    recv.interrupt()
        .assert_says("A stream cannot resume: send all of it again.")
        .assert_does_not_say("again to resume");
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
fn an_input_that_is_closed_is_no_empty_file() {
    let me = Sandbox::new();
    let me = me.me();
    let command = me.command(&["send", "-", "--as", "x", "127.0.0.1:1"]);
    let args = ["-c", r#"exec "$0" "$@" <&-"#].map(OsStr::new);
    let sent = Process::spawn(run_by("sh", &args, &command)).wait();
    sent.assert_code(2).assert_says("standard input is closed");
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
    if !can_run(in_namespace, "no file system can be mounted") {
        return;
    }
    let command = sandbox.me().recv_command(&dst, &[]);
    let recv = Recv::start(in_namespace(&command));
    let (sender, mut writer) = spawn_send(&sandbox.me(), "a.tar", &recv.target());
    // More than fits; whoever does not read it any more says so.
    while writer.write_all(&[1; 65_536]).is_ok() {}
    sender
        .wait()
        .assert_code(1)
        .assert_says("are free")
        .assert_says("Free some space, then send all of it again.")
        .assert_does_not_say("again to resume");
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

/// A receiver that writes to its standard output, and where it listens.
fn spawn_recv(user: &User, cwd: &Path, stdout: Option<Stdio>) -> (Process, String) {
    let mut command = user.command(&["recv", "--stdout", "--listen", "127.0.0.1:0"]);
    command.current_dir(cwd);
    let recv = match stdout {
        None => Process::spawn(command),
        Some(stdout) => {
            let args = ["-c", r#"exec "$0" "$@" >&0 </dev/null"#].map(OsStr::new);
            let mut shell = run_by("sh", &args, &command);
            shell.stdin(stdout);
            Process::spawn(shell)
        }
    };
    let target = recv.wait_for("'Listening on'", |output| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let rest = text.strip_prefix("Listening on ")?;
        let (addr, _) = rest.split_once(", receiving to standard output\n")?;
        Some(addr.to_owned())
    });
    (recv, target)
}

#[test]
fn a_file_or_a_stream_goes_to_standard_output() {
    let sandbox = Sandbox::new();
    let chunk = usize::try_from(CHUNK).unwrap();
    for (n, len) in [0, 5, chunk, 2 * chunk, 5 * chunk + 777]
        .into_iter()
        .enumerate()
    {
        let path = sandbox.src().join("file");
        let mut data = bytes(n as u64, len);
        if n == 4 {
            // A hole.
            data[chunk..3 * chunk].fill(0);
            let file = File::create(&path).unwrap();
            file.set_len(len as u64).unwrap();
            file.write_all_at(&data[..chunk], 0).unwrap();
            file.write_all_at(&data[3 * chunk..], 3 * CHUNK).unwrap();
        } else {
            fs::write(&path, &data).unwrap();
        }
        for hash in ["sha256", "blake3"] {
            let (recv, target) = spawn_recv(&sandbox.me(), &sandbox.dst(), None);
            let args = [path.to_str().unwrap(), "--hash", hash, "--to", &target];
            sandbox.me().send(&args).assert_code(0);
            let received = recv.wait();
            assert_eq!(received.code, Some(0));
            assert!(received.stdout == data, "{n} {hash}");
        }
        let (recv, target) = spawn_recv(&sandbox.me(), &sandbox.dst(), None);
        send(&sandbox.me(), &data, "stream", &target).assert_code(0);
        assert!(recv.wait().stdout == data, "{n}");
    }
    is_empty(&sandbox.dst());
}

#[test]
fn a_folder_in_the_target_means_nothing_to_standard_output() {
    let sandbox = Sandbox::new();
    let path = sandbox.src().join("film.mkv");
    let data = bytes(1, 5000);
    fs::write(&path, &data).unwrap();
    for is_stream in [false, true] {
        let (recv, target) = spawn_recv(&sandbox.me(), &sandbox.dst(), None);
        let target = format!("{target}:films/new/");
        let sent = match is_stream {
            true => send(&sandbox.me(), &data, "film", &target),
            false => sandbox.send(&[&path], &target),
        };
        sent.assert_code(0);
        let received = recv.wait();
        received.assert_code(0);
        assert!(received.stdout == data, "{is_stream}");
    }
    // It leads to one file, not to several.
    let (recv, target) = spawn_recv(&sandbox.me(), &sandbox.dst(), None);
    let sent = sandbox.send(
        &[&path, &path.with_file_name(".")],
        &format!("{target}:films/"),
    );
    sent.assert_code(1).assert_says("takes one file");
    assert!(recv.wait().stdout.is_empty());
    is_empty(&sandbox.dst());
}

#[test]
fn a_terminal_gets_nothing() {
    let sandbox = Sandbox::new();
    let command = sandbox.me().command(&["recv", "--stdout"]);
    let args = ["-c", r#"exec "$0" "$@" >&2"#].map(OsStr::new);
    let (code, screen) = Terminal::spawn(run_by("sh", &args, &command)).wait();
    assert_eq!(code, Some(2), "{screen}");
    assert!(screen.contains("is a terminal"), "{screen}");
}

#[test]
fn more_than_one_file_is_refused() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("folder/a"), 1, 10);
    make_file(sandbox.src().join("b"), 2, 10);
    make_file(sandbox.src().join("c"), 3, 10);
    for names in [&["folder"][..], &["b", "c"]] {
        let (recv, target) = spawn_recv(&sandbox.me(), &sandbox.dst(), None);
        let paths: Vec<_> = names.iter().map(|name| sandbox.src().join(name)).collect();
        let paths: Vec<_> = paths.iter().map(|path| &**path).collect();
        let sent = sandbox.send(&paths, &target);
        sent.assert_code(1).assert_says("takes one file");
        let received = recv.wait();
        received.assert_code(1).assert_says("takes one file");
        assert!(received.stdout.is_empty());
    }
    is_empty(&sandbox.dst());
}

#[test]
fn a_reader_that_goes_away_ends_both() {
    let sandbox = Sandbox::new();
    let (mut reader, writer) = pipe().unwrap();
    let (recv, target) = spawn_recv(&sandbox.me(), &sandbox.dst(), Some(writer.into()));
    let (sender, mut input) = spawn_send(&sandbox.me(), "a.tar", &target);
    let data = bytes(1, 1 << 20);
    input.write_all(&data).unwrap();
    let mut some = vec![0; 100_000];
    reader.read_exact(&mut some).unwrap();
    assert!(some == data[..some.len()]);
    drop(reader);
    // The rest of the chunk was in the way already: no more of the input is needed.
    sender
        .wait()
        .assert_code(1)
        .assert_says("the program that reads it has ended");
    recv.wait()
        .assert_code(1)
        .assert_says("the program that reads it has ended");
}

#[test]
fn a_killed_sender_is_a_failure_here() {
    let sandbox = Sandbox::new();
    let (recv, target) = spawn_recv(&sandbox.me(), &sandbox.dst(), None);
    let (sender, mut input) = spawn_send(&sandbox.me(), "a.tar", &target);
    let data = bytes(1, 1 << 20);
    input.write_all(&data).unwrap();
    recv.wait_for("a chunk", |output| {
        (output.stdout.len() == data.len()).then_some(())
    });
    sender.kill();
    // It does not wait for it to come back: what it wrote cannot be taken back.
    recv.wait().assert_code(1);
}

#[test]
fn a_reader_that_does_not_read_holds_nobody_for_ever() {
    let sandbox = Sandbox::new();
    let (mut reader, writer) = pipe().unwrap();
    let (recv, target) = spawn_recv(&sandbox.me(), &sandbox.dst(), Some(writer.into()));
    let (sender, mut input) = spawn_send(&sandbox.me(), "a.tar", &target);
    input.write_all(&bytes(1, 1 << 20)).unwrap();
    // It is at the middle of a chunk.
    reader.read_exact(&mut [0; 10]).unwrap();
    sender.interrupt();
    sender.wait().assert_code(130);
    recv.wait().assert_code(1);
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_output() {
    const MOST: u64 = 64 << 20;
    const SIZE: u64 = 200 << 20;
    let sandbox = Sandbox::in_memory();
    let output = File::create(sandbox.path("output")).unwrap();
    let (recv, target) = spawn_recv(&sandbox.me(), &sandbox.dst(), Some(output.into()));
    let (sender, mut input) = spawn_send(&sandbox.me(), "large", &target);
    let data = bytes(3, 1 << 20);
    for _ in 0..SIZE >> 20 {
        input.write_all(&data).unwrap();
    }
    for process in [&sender, &recv] {
        let peak = process.peak_memory().unwrap();
        assert!(peak < MOST, "{peak} bytes");
    }
    drop(input);
    sender.wait().assert_code(0);
    recv.wait().assert_code(0);
    assert_eq!(fs::metadata(sandbox.path("output")).unwrap().len(), SIZE);
}

#[test]
fn a_pipe_of_the_shell_is_told_from_what_is_not_there() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    // As `xfer send <(command)` has it.
    let (reader, writer) = pipe().unwrap();
    drop(writer);
    let mut command = me.command(&["send", "/dev/stdin", "127.0.0.1:9"]);
    command.stdin(reader);
    Process::spawn(command)
        .wait()
        .assert_code(2)
        .assert_says("/dev/stdin: it is a pipe")
        .assert_says("xfer send - --as NAME");
}

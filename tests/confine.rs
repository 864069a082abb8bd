//! What a receiver has given up once it listens, where the system has a way to give it up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use support::*;
use xfer::sys::confine::{Confined, confine};

/// Confines a new thread to `folders`, and calls `f` in it. Where the system cannot do that, it
/// says so and does nothing.
fn confined(folders: &[&Path], f: impl FnOnce(&Confined) + Send) {
    let test = || match confine(folders) {
        Confined::Not(why) if why.contains("has no Landlock") || why.contains("switched off") => {
            skip(&why);
        }
        Confined::Not(why) => panic!("{why}"),
        confined => f(&confined),
    };
    thread::scope(|scope| scope.spawn(test).join().unwrap());
}

/// Whether a receiver is confined here at all; says so if not.
fn can_be_confined() -> bool {
    let sandbox = Sandbox::new();
    let mut possible = false;
    confined(&[&sandbox.dst()], |_| possible = true);
    possible
}

#[track_caller]
fn refused<T>(result: Result<T, impl Into<io::Error>>) {
    let Err(e) = result else {
        panic!("this should not be possible any more");
    };
    let e: io::Error = e.into();
    // The second is what a link or a rename over the border gets.
    let kinds = [ErrorKind::PermissionDenied, ErrorKind::CrossesDevices];
    assert!(kinds.contains(&e.kind()), "{e}");
}

fn unnamed(dir: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(rustix::fs::open(dir, flags, Mode::from(0o600))?.into())
}

fn by_number(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

#[test]
fn nothing_outside_can_be_changed() {
    let sandbox = Sandbox::new();
    let (inside, outside) = (sandbox.dst(), sandbox.src());
    let file = outside.join("file");
    fs::write(&file, "content").unwrap();
    fs::write(inside.join("mine"), "content").unwrap();
    fs::create_dir(outside.join("dir")).unwrap();
    symlink(&outside, inside.join("way out")).unwrap();
    let reading = File::open(&file).unwrap();
    let open_folder = File::open(&outside).unwrap();
    let attempts = |confined: &Confined| {
        let to = outside.join("new");
        refused(OpenOptions::new().write(true).open(&file));
        refused(OpenOptions::new().append(true).open(&file));
        refused(File::create(&to));
        refused(File::create(inside.join("way out/new")));
        refused(OpenOptions::new().write(true).open(by_number(&reading)));
        if *confined == Confined::Fully {
            refused(rustix::fs::open(&file, OFlags::TRUNC, Mode::empty()));
        }
        refused(fs::remove_file(&file));
        refused(fs::remove_dir(outside.join("dir")));
        refused(fs::create_dir(&to));
        refused(fs::rename(&file, &to));
        refused(fs::rename(&file, inside.join("theirs")));
        refused(fs::rename(inside.join("mine"), &to));
        refused(fs::rename(inside.join("mine"), &file));
        refused(fs::hard_link(&file, &to));
        refused(fs::hard_link(&file, inside.join("theirs")));
        refused(fs::hard_link(inside.join("mine"), &to));
        refused(symlink("x", &to));
        refused(unnamed(&outside));
        refused(rustix::fs::mkdirat(&open_folder, "new", Mode::from(0o700)));
        let unnamed = unnamed(&inside).unwrap();
        let follow = AtFlags::SYMLINK_FOLLOW;
        let linked = rustix::fs::linkat(CWD, by_number(&unnamed), CWD, &to, follow);
        refused(linked);
        // What no receiver makes, not even inside.
        let fifo = inside.join("fifo");
        let made = rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0);
        refused(made);
        assert_eq!(fs::read(&file).unwrap(), b"content");
    };
    confined(&[&inside], |confined| {
        attempts(confined);
        thread::scope(|scope| scope.spawn(|| attempts(confined)).join().unwrap());
    });
    assert_eq!(fs::read(&file).unwrap(), b"content");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
}

#[test]
fn everything_a_receiver_does_inside_goes_on() {
    let sandbox = Sandbox::new();
    let (inside, other) = (sandbox.dst(), sandbox.folder("other"));
    fs::create_dir(inside.join("a")).unwrap();
    confined(&[&inside, &other], |_| {
        let (a, b) = (inside.join("a"), inside.join("b"));
        fs::create_dir(&b).unwrap();
        let file = a.join("file");
        fs::write(&file, "content").unwrap();
        fs::write(other.join("file"), "content").unwrap();
        let open = OpenOptions::new().write(true).open(&file).unwrap();
        open.write_at(b"more content", 0).unwrap();
        open.set_len(4).unwrap();
        open.set_permissions(fs::Permissions::from_mode(0o640))
            .unwrap();
        open.set_modified(std::time::UNIX_EPOCH).unwrap();
        fs::set_permissions(by_number(&open), fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&file, b.join("renamed")).unwrap();
        let new = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(CWD, b.join("renamed"), CWD, &file, new).unwrap();
        fs::hard_link(&file, b.join("linked")).unwrap();
        fs::rename(b.join("linked"), a.join("over")).unwrap();
        fs::rename(&b, a.join("b")).unwrap();
        fs::rename(a.join("b"), &b).unwrap();
        let mut unnamed = unnamed(&b).unwrap();
        unnamed.write_all(b"content").unwrap();
        let follow = AtFlags::SYMLINK_FOLLOW;
        let to = b.join("named");
        rustix::fs::linkat(CWD, by_number(&unnamed), CWD, &to, follow).unwrap();
        symlink("named", b.join("link")).unwrap();
        for path in [b.join("link"), to, file, a.join("over")] {
            fs::remove_file(path).unwrap();
        }
        fs::remove_dir(&b).unwrap();
    });
}

#[test]
fn what_is_open_stays_open() {
    let sandbox = Sandbox::new();
    let log = File::create(sandbox.src().join("log")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(addr).unwrap();
    confined(&[&sandbox.dst()], |how| {
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        (&log).write_all(b"words").unwrap();
        assert_eq!(fs::read(sandbox.src().join("log")).unwrap(), b"words");
        // There need not be a terminal, but if there is one it can be opened.
        if let Err(e) = OpenOptions::new().write(true).open("/dev/tty") {
            assert_ne!(e.kind(), ErrorKind::PermissionDenied, "{e}");
        }
        if *how == Confined::Fully {
            refused(TcpStream::connect(addr));
            refused(TcpListener::bind("127.0.0.1:0"));
        }
    });
}

#[test]
fn every_thread_of_a_receiver_is_confined() {
    if !can_be_confined() {
        return;
    }
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["-v"]);
    recv.process().wait_for_text("Confined");
    // One that serves somebody.
    let _connection = TcpStream::connect(recv.addr()).unwrap();
    let tasks = format!("/proc/{}/task", recv.process().pid());
    // What goes with it can be seen from outside.
    let is_confined = |task: &Path| {
        let status = fs::read_to_string(task.join("status")).unwrap();
        status.lines().any(|line| line == "NoNewPrivs:\t1")
    };
    let tasks: Vec<_> = fs::read_dir(tasks)
        .unwrap()
        .map(|t| t.unwrap().path())
        .collect();
    assert!(tasks.len() >= 3, "{tasks:?}");
    assert!(tasks.iter().all(|task| is_confined(task)));
}

#[test]
fn a_folder_that_is_moved_away_gets_nothing() {
    if !can_be_confined() {
        return;
    }
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    make_file(sandbox.src().join("dir/large"), 1, 8 * CHUNK);
    proxy.hold_at(4 * CHUNK);
    let send = sandbox.spawn_send(&[&sandbox.src().join("dir")], &proxy.target());
    // What comes of it comes after the folder was made.
    proxy.wait_for_up(4 * CHUNK);
    let away = sandbox.path("away");
    fs::rename(sandbox.dst().join("dir"), &away).unwrap();
    proxy.release();
    send.wait().assert_code(3).assert_says("permission denied");
    assert!(!away.join("large").exists());
}

#[test]
fn a_receive_directory_can_be_on_another_file_system() {
    let (sandbox, memory) = (Sandbox::new(), Sandbox::in_memory());
    for (n, name) in (0..).zip(["a", "dir/b", "dir/deep/c"]) {
        make_file(sandbox.src().join(name), n, n * 3 * CHUNK / 2);
    }
    symlink("b", sandbox.src().join("dir/link")).unwrap();
    let recv = sandbox.me().recv(&memory.dst(), &[]);
    for _ in 0..2 {
        sandbox.send(&[], &recv.target()).assert_code(0);
        assert_same_tree(sandbox.src(), memory.dst());
    }
    no_leftovers(memory.dst());
}

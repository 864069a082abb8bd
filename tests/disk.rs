//! A disk that is too small, or fills up: what does not fit is named, the rest arrives, and when
//! there is room again the same command goes on.
//!
//! The receive directory is a small file system of its own, in a mount namespace of the
//! receiver's, which takes root. Where it cannot be had, the tests say so and pass.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::*;

const IN_PART: i32 = 3;
/// What may travel beside the content.
const TALK: u64 = 1 << 20;

/// Mounts a file system with the options `$1` on `$2`, and becomes the rest.
const MOUNT: &str = r#"mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@""#;

/// A receiver whose receive directory is a file system of its own.
struct Disk {
    sandbox: Sandbox,
    recv: Recv,
    proxy: Proxy,
}

fn in_namespace(options: &str, dir: &Path, command: &Command) -> Command {
    let args = ["-m", "sh", "-c", MOUNT, "sh", options].map(OsStr::new);
    run_by(
        "unshare",
        &[&args[..], &[dir.as_os_str()]].concat(),
        command,
    )
}

impl Disk {
    /// One with these options of tmpfs; none where this machine does not allow it.
    fn new(options: &str) -> Option<Self> {
        let sandbox = Sandbox::new();
        let dst = sandbox.dst();
        let in_place = |command: &Command| in_namespace(options, &dst, command);
        if !can_run(in_place, "no file system can be mounted") {
            return None;
        }
        let command = sandbox.me().recv_command(&dst, &[]);
        let recv = Recv::start(in_namespace(options, &dst, &command));
        let proxy = Proxy::new(recv.addr());
        Some(Self {
            sandbox,
            recv,
            proxy,
        })
    }

    fn src(&self, name: &str) -> PathBuf {
        self.sandbox.src().join(name)
    }

    /// The receive directory, as the receiver sees it.
    fn dst(&self) -> PathBuf {
        let pid = self.recv.process().pid().as_raw_nonzero();
        let dst = self.sandbox.dst();
        Path::new(&format!("/proc/{pid}/root")).join(dst.strip_prefix("/").unwrap())
    }

    fn spawn_send(&self) -> Process {
        self.sandbox.spawn_send(&[], &self.proxy.target())
    }

    fn send(&self) -> Output {
        self.spawn_send().wait()
    }

    /// Begins to send, and stops the network when so many bytes have passed.
    fn send_until(&self, bytes: u64) -> Process {
        self.proxy.hold_at(bytes);
        let sender = self.spawn_send();
        self.proxy.wait_for_up(bytes);
        sender
    }

    /// How many bytes are free.
    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.dst()).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Fills it to the last byte, as somebody else.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        while file.write(&[1; 4096]).is_ok_and(|n| n > 0) {}
        assert_eq!(self.free(), 0);
    }

    fn filler(&self) -> PathBuf {
        self.dst().join("somebody else's")
    }

    /// Everything is there, and nothing else; and the receiver is well.
    #[track_caller]
    fn check(&self) {
        assert_same_tree(self.sandbox.src(), self.dst());
        no_leftovers(self.dst());
        assert!(!self.recv.process().has_ended());
    }
}

#[test]
fn a_file_that_cannot_fit() {
    let Some(disk) = Disk::new("size=20m") else {
        return;
    };
    make_file(disk.src("a/small"), 1, 1000);
    make_file(disk.src("b/large"), 2, 30 * CHUNK);
    make_file(disk.src("b/other"), 3, 3 * CHUNK);
    make_file(disk.src("z/small"), 4, 1000);
    let sent = disk.send();
    sent.assert_code(IN_PART).assert_says("b/large");
    // How much it takes, and how much there is.
    sent.assert_says("31.5 MB");
    sent.assert_says("MB are free");
    assert!(disk.proxy.passed().0 < 3 * CHUNK + TALK, "its data went");

    // The rest is there, and stays.
    fs::remove_file(disk.src("b/large")).unwrap();
    disk.send().assert_code(0);
    assert_eq!(
        Tree::read(disk.dst()).names(),
        ["a", "a/small", "b", "b/other", "z", "z/small"]
    );
    no_leftovers(disk.dst());
    for name in ["a", "b/other", "z"] {
        let (src, dst) = (disk.src(name), disk.dst().join(name));
        match src.is_dir() {
            true => assert_same_tree(src, dst),
            false => assert_eq!(digest_of(&src), digest_of(&dst)),
        }
    }
}

#[test]
fn files_that_fit_only_one_by_one() {
    let Some(disk) = Disk::new("size=20m") else {
        return;
    };
    for n in 0..4 {
        make_file(disk.src(&format!("{n}")), n, 8 * CHUNK);
    }
    let sent = disk.send();
    sent.assert_code(IN_PART);
    assert_eq!(Tree::read(disk.dst()).names(), ["0", "1"]);
    no_leftovers(disk.dst());
    let most = 16 * CHUNK + TALK;
    assert!(disk.proxy.passed().0 < most, "more than fits has travelled");
    for n in 0..2 {
        let name = format!("{n}");
        let received = digest_of(&disk.dst().join(&name));
        assert_eq!(received, digest_of(&disk.src(&name)));
    }
}

#[test]
fn a_disk_that_somebody_else_fills() {
    let Some(disk) = Disk::new("size=40m") else {
        return;
    };
    make_file(disk.src("dir/large"), 1, 24 * CHUNK + 5);
    for n in 0..20 {
        make_file(disk.src(&format!("small/{n}")), n, 10_000);
    }
    let sender = disk.send_until(8 * CHUNK);
    disk.fill();
    disk.proxy.release();
    let sent = sender.wait();
    sent.assert_code(IN_PART).assert_says("dir/large");
    sent.assert_says("space");
    sent.assert_says("free");
    assert!(!disk.dst().join("dir/large").exists());

    // Still full: nothing is lost, nothing hangs.
    disk.send().assert_code(IN_PART).assert_says("dir/large");

    fs::remove_file(disk.filler()).unwrap();
    let before = disk.proxy.passed().0;
    disk.send().assert_code(0);
    let up = disk.proxy.passed().0 - before;
    assert!(up < 20 * CHUNK, "{up} bytes: the partial was not used");
    disk.check();
}

#[test]
fn a_disk_that_is_full_already() {
    let Some(disk) = Disk::new("size=8m") else {
        return;
    };
    make_file(disk.src("dir/large"), 1, 3 * CHUNK);
    make_file(disk.src("dir/small"), 2, 1000);
    disk.fill();
    let sent = disk.send();
    assert_ne!(sent.code, Some(0), "{sent}");
    sent.assert_says("the disk is full");
    fs::remove_file(disk.filler()).unwrap();
    disk.send().assert_code(0);
    disk.check();
}

#[test]
fn a_disk_that_holds_no_more_files() {
    let Some(disk) = Disk::new("size=20m,nr_inodes=60") else {
        return;
    };
    for n in 0..100 {
        make_file(disk.src(&format!("dir/{n}")), n, 1000);
    }
    make_file(disk.src("large"), 1, 2 * CHUNK);
    let sent = disk.send();
    // Bytes are not what is missing.
    sent.assert_code(IN_PART)
        .assert_says("no room for more files");
    let stored = Tree::read(disk.dst()).names().len();
    assert!((40..60).contains(&stored), "{stored}");

    let pid = disk.recv.process().pid().as_raw_nonzero().to_string();
    let grown = Command::new("nsenter")
        .args(["-m", "-t", &pid])
        .args(["mount", "-o", "remount,nr_inodes=1000"])
        .arg(disk.sandbox.dst())
        .status();
    assert!(grown.unwrap().success());
    disk.send().assert_code(0);
    disk.check();
}

#[test]
fn a_file_that_changes_where_there_is_room_for_it_once() {
    for folder in ["new", "there already"] {
        let Some(disk) = Disk::new("size=20m") else {
            return;
        };
        let path = disk.src(&format!("{folder}/large"));
        make_file(&path, 1, 14 * CHUNK);
        let other = disk.sandbox.path("other");
        make_file(&other, 2, 15 * CHUNK);
        if folder != "new" {
            fs::create_dir(disk.dst().join(folder)).unwrap();
        }
        // So slow that not all of it has been read, and waits in some buffer.
        let folder_path = disk.src(folder);
        let args = [Path::new("--limit"), Path::new("20MB/s"), &folder_path];
        disk.proxy.hold_at(2 * CHUNK);
        let sender = disk.sandbox.spawn_send(&args, &disk.proxy.target());
        disk.proxy.wait_for_up(2 * CHUNK);
        fs::rename(other, &path).unwrap();
        disk.proxy.release();
        sender.wait().assert_code(0);
        let received = digest_of(&disk.dst().join(folder).join("large"));
        assert_eq!(received, digest_of(&path));
        no_leftovers(disk.dst());
    }
}

#[test]
fn a_file_that_is_there_needs_no_room() {
    let Some(disk) = Disk::new("size=20m") else {
        return;
    };
    make_file(disk.src("large"), 1, 15 * CHUNK);
    make_file(disk.src("small"), 2, 1000);
    disk.send().assert_code(0);
    // Of the same content, and of another time.
    for name in ["large", "small"] {
        set_mtime(disk.src(name), 1_600_000_000, 0);
    }
    disk.fill();
    disk.send().assert_code(0);
    assert_eq!(
        Tree::read(disk.dst()).names(),
        ["large", "small", "somebody else's"]
    );
}

#[cfg(feature = "web")]
#[test]
fn an_upload_that_fills_the_disk_is_told_as_what_it_is() {
    let sandbox = Sandbox::new();
    let (dst, options) = (sandbox.dst(), "size=8m");
    let in_place = |command: &Command| in_namespace(options, &dst, command);
    if !can_run(in_place, "no file system can be mounted") {
        return;
    }
    let command = sandbox.me().recv_command(&dst, &["--web"]);
    let recv = Recv::start(in_namespace(options, &dst, &command));
    let page = Page::of(recv.process());
    let put = |name: &str, headers: &str, body: &[u8]| {
        let (token, addr) = (page.token(), page.addr);
        let head = format!("PUT /{token}/files/{name} HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n");
        page.raw(&[head.as_bytes(), body].concat());
    };
    let bytes = vec![1; 12_000_000];
    // Nobody knows how much comes.
    let chunks = [b"b71b00\r\n", &bytes[..], b"\r\n0\r\n\r\n"].concat();
    put(
        "stream",
        "Transfer-Encoding: chunked\r\nConnection: close\r\n",
        &chunks,
    );
    recv.process()
        .wait_for_text("Failed: stream from a browser: the disk is full");
    recv.process().printed().assert_does_not_say("to resume");
    // Nothing stays of what comes in one request.
    let length = format!("Content-Length: {}\r\nConnection: close\r\n", bytes.len());
    put("whole", &length, &bytes);
    recv.process()
        .wait_for_text("Free some space, then send all of it again.");
    recv.process()
        .printed()
        .assert_says("Failed: whole from a browser: needs 12.0 MB, but only")
        .assert_does_not_say("to resume");
}

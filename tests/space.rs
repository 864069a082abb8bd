//! Room: what a quota counts, files with holes, and limits of this process, such as that on the
//! size of a file. What does not fit is named, the rest arrives.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::fuse::{Fuse, Op};
use support::*;

const IN_PART: i32 = 3;
/// What may travel beside the content.
const TALK: u64 = 1 << 20;

/// A receiver whose peer anna has a folder with a quota.
struct Quota {
    sandbox: Sandbox,
    recv: Recv,
    own: PathBuf,
}

impl Quota {
    fn of(quota: &str) -> Self {
        let sandbox = Sandbox::new();
        let (me, anna) = (sandbox.me(), sandbox.user("anna"));
        pair(&anna, "anna", &me);
        let own = sandbox.folder("from-anna");
        let config =
            format!("[peer.anna]\ndir = {own:?}\nquota = \"{quota}\"\nmay-update = true\n");
        fs::create_dir_all(me.home().join(".config/xfer")).unwrap();
        fs::write(me.home().join(".config/xfer/config.toml"), config).unwrap();
        let recv = me.recv(&sandbox.dst(), &[]);
        Self { sandbox, recv, own }
    }

    fn src(&self, name: &str) -> PathBuf {
        self.sandbox.src().join(name)
    }

    fn spawn_send(&self, name: &str) -> Process {
        let paths = [self.src(name), self.recv.target().into()];
        self.sandbox.user("anna").spawn_send(&paths)
    }

    fn send(&self, name: &str) -> Output {
        self.spawn_send(name).wait()
    }

    /// How much of the disk all that was received takes up, each thing a little at least.
    fn used(&self) -> u64 {
        fn below(dir: &Path) -> u64 {
            let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
            let used = entries.map(|entry| {
                let meta = entry.metadata().unwrap();
                let inside = if meta.is_dir() {
                    below(&entry.path())
                } else {
                    0
                };
                (meta.blocks() * 512).max(512) + inside
            });
            used.sum()
        }
        below(&self.own)
    }
}

#[test]
fn a_quota_counts_what_small_files_take_up() {
    let quota = Quota::of("100kB");
    for n in 0..300 {
        make_file(quota.src(&format!("dir/{n}")), n, 1);
    }
    let sent = quota.send("dir");
    sent.assert_code(IN_PART)
        .assert_says("of the quota are left");
    let used = quota.used();
    assert!((50_000..=110_000).contains(&used), "{used}");
    // What is there needs nothing, and nothing more gets in.
    quota.send("dir").assert_code(IN_PART);
    assert!(quota.used() <= 110_000, "{}", quota.used());
    no_leftovers(&quota.own);
}

#[test]
fn a_quota_counts_what_has_no_content() {
    let quota = Quota::of("300kB");
    for n in 0..1500 {
        match n % 3 {
            0 => fs::create_dir_all(quota.src(&format!("dir/{n}"))).unwrap(),
            1 => symlink("nowhere", quota.src(&format!("dir/{n}"))).unwrap(),
            _ => make_file(quota.src(&format!("dir/{n}")), 0, 0),
        }
    }
    let sent = quota.send("dir");
    sent.assert_code(IN_PART)
        .assert_says("of the quota are left");
    let used = quota.used();
    assert!((60_000..=330_000).contains(&used), "{used}");
    // Many can come, but they come to an end.
    let mut before = 0;
    for _ in 0..10 {
        quota.send("dir").assert_code(IN_PART);
        let used = quota.used();
        if used == before {
            break;
        }
        before = used;
    }
    assert!(quota.used() <= 330_000, "{}", quota.used());
}

#[test]
fn what_is_replaced_makes_room_in_a_quota() {
    // Twice what is under way at once, and half of what is replaced.
    let quota = Quota::of("160MB");
    for round in 0..2 {
        for n in 0..50 {
            let size = 2 * CHUNK + 5 + round * 1000;
            make_file(quota.src(&format!("dir/{n}")), n + round, size);
        }
        let args = [
            "--update".into(),
            quota.src("dir"),
            quota.recv.target().into(),
        ];
        let sent = quota.sandbox.user("anna").spawn_send(&args).wait();
        sent.assert_code(0);
        assert_same_tree(quota.sandbox.src(), &quota.own);
    }
}

#[test]
fn what_is_there_needs_nothing_of_a_quota() {
    let quota = Quota::of("100kB");
    for n in 0..300 {
        let link = quota.src(&format!("dir/{n}"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink("nowhere", link).unwrap();
    }
    let mut before = 0;
    for _ in 0..20 {
        quota.send("dir").assert_code(IN_PART);
        let used = quota.used();
        if used == before {
            break;
        }
        before = used;
    }
    for n in 0..300 {
        if quota
            .own
            .join(format!("dir/{n}"))
            .symlink_metadata()
            .is_err()
        {
            fs::remove_file(quota.src(&format!("dir/{n}"))).unwrap();
        }
    }
    quota.send("dir").assert_code(0);
}

#[test]
fn a_quota_is_shared_by_all_sessions() {
    let quota = Quota::of("10MB");
    for n in 0..4 {
        make_file(quota.src(&format!("{n}")), n, 4 * CHUNK);
    }
    let senders: Vec<_> = (0..4).map(|n| quota.spawn_send(&n.to_string())).collect();
    let codes: Vec<_> = senders.into_iter().map(|s| s.wait().code).collect();
    let stored = codes.iter().filter(|&&code| code == Some(0)).count();
    assert!((1..=2).contains(&stored), "{codes:?}");
    assert!(quota.used() <= 10_000_000, "{}", quota.used());
}

#[test]
fn a_quota_counts_holes_as_nothing() {
    let quota = Quota::of("4MB");
    make_sparse(&quota.src("image"), 200 << 20, &[70 << 20]);
    quota.send("image").assert_code(0);
    assert_same_tree(quota.sandbox.src(), &quota.own);
    make_file(quota.src("file"), 1, 2 * CHUNK);
    quota.send("file").assert_code(0);
    make_file(quota.src("other"), 1, 2 * CHUNK);
    quota
        .send("other")
        .assert_code(1)
        .assert_says("of the quota are left");
}

/// Makes a file of holes, but for a few bytes at these places.
fn make_sparse(path: &Path, size: u64, data: &[u64]) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for &at in data {
        file.write_all_at(b"data", at).unwrap();
    }
}

/// Mounts a file system with the options `$1` on `$2`, and becomes the rest.
const MOUNT: &str = r#"mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@""#;

fn in_namespace(options: &str, dir: &Path, command: &Command) -> Command {
    let args = ["-m", "sh", "-c", MOUNT, "sh", options].map(OsStr::new);
    let args = [&args[..], &[dir.as_os_str()]].concat();
    run_by("unshare", &args, command)
}

/// A receiver whose receive directory is a small file system of its own.
struct SmallDisk {
    sandbox: Sandbox,
    recv: Recv,
    proxy: Proxy,
}

impl SmallDisk {
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

    fn send(&self) -> Output {
        self.sandbox.send(&[], &self.proxy.target())
    }
}

#[test]
fn a_file_of_holes_needs_room_for_its_data_alone() {
    let Some(disk) = SmallDisk::new("size=20m") else {
        return;
    };
    let size = 3 << 30;
    make_sparse(&disk.src("image"), size, &[0, 1_000_000_000, size - 4]);
    make_file(disk.src("small"), 1, 1000);
    disk.send().assert_code(0);
    let stored = disk.dst().join("image");
    let meta = fs::metadata(&stored).unwrap();
    assert_eq!(meta.len(), size);
    assert!(meta.blocks() * 512 <= 3 * CHUNK, "{}", meta.blocks());
    let file = File::open(&stored).unwrap();
    for at in [0, 1_000_000_000, size - 4] {
        let mut data = [0; 4];
        file.read_exact_at(&mut data, at).unwrap();
        assert_eq!(&data, b"data");
    }
    no_leftovers(disk.dst());
    // One without holes is refused before it travels, as ever.
    fs::remove_file(disk.src("image")).unwrap();
    make_file(disk.src("dense"), 1, 30 * CHUNK);
    let before = disk.proxy.passed().0;
    disk.send().assert_code(IN_PART).assert_says("are free");
    assert!(disk.proxy.passed().0 - before < TALK, "its data went");
}

#[test]
fn a_file_of_holes_whose_data_does_not_fit() {
    let Some(disk) = SmallDisk::new("size=20m") else {
        return;
    };
    // A little in each of more chunks than there is room for, which is more than its disk has.
    let places: Vec<_> = (0..40).map(|n| n * CHUNK + 5).collect();
    make_sparse(&disk.src("image"), 100 * CHUNK, &places);
    make_file(disk.src("small"), 1, 1000);
    let sent = disk.send();
    sent.assert_code(IN_PART).assert_says("image");
    sent.assert_says("are free");
    assert!(!disk.dst().join("image").exists());
    assert!(disk.dst().join("small").exists());
    assert!(!disk.recv.process().has_ended());
    // With room, it goes on with what it has.
    let pid = disk.recv.process().pid().as_raw_nonzero().to_string();
    let grown = Command::new("nsenter")
        .args(["-m", "-t", &pid, "mount", "-o", "remount,size=60m"])
        .arg(disk.sandbox.dst())
        .status();
    assert!(grown.unwrap().success());
    disk.send().assert_code(0);
    assert_eq!(
        digest_of(&disk.dst().join("image")),
        digest_of(&disk.src("image"))
    );
    no_leftovers(disk.dst());
}

#[test]
fn a_file_of_holes_that_changes_goes_on_by_its_data() {
    let Some(disk) = SmallDisk::new("size=20m") else {
        return;
    };
    let (image, other) = (disk.src("image"), disk.sandbox.path("other"));
    for (path, gib) in [(&image, 1), (&other, 2)] {
        make_sparse(path, gib << 30, &[]);
        let file = File::options().write(true).open(path).unwrap();
        let data = bytes(gib, usize::try_from(4 * CHUNK).unwrap());
        file.write_all_at(&data, 500 << 20).unwrap();
    }
    disk.proxy.hold_at(CHUNK);
    let sender = disk.sandbox.spawn_send(&[], &disk.proxy.target());
    disk.proxy.wait_for_up(CHUNK);
    fs::rename(other, image).unwrap();
    disk.proxy.release();
    let sent = sender.wait();
    assert!(matches!(sent.code, Some(0 | IN_PART)), "{sent}");
    disk.send().assert_code(0);
    assert_eq!(
        fs::metadata(disk.dst().join("image")).unwrap().len(),
        2 << 30
    );
    no_leftovers(disk.dst());
}

#[test]
fn a_file_that_is_larger_than_a_process_may_write_fails_alone() {
    let sandbox = Sandbox::new();
    let command = sandbox.me().recv_command(&sandbox.dst(), &[]);
    let limit = ["--fsize=1000000"].map(OsStr::new);
    let recv = Recv::start(run_by("prlimit", &limit, &command));
    make_file(sandbox.src().join("dir/large"), 1, 5 * CHUNK);
    make_file(sandbox.src().join("dir/one chunk"), 2, CHUNK);
    make_file(sandbox.src().join("dir/small"), 3, 1000);
    make_file(sandbox.src().join("small"), 4, 100_000);
    let sent = sandbox.send(&[], &recv.target());
    sent.assert_code(IN_PART);
    sent.assert_says("dir/large").assert_says("too large");
    let names = Tree::read(sandbox.dst()).names();
    assert_eq!(names, ["dir", "dir/small", "small"]);
    no_leftovers(sandbox.dst());
    // A stream finds out where it comes to it.
    let me = sandbox.me();
    let mut stream = me.command(&["send", "-", "--as", "stream", &recv.target()]);
    stream.stdin(File::open(sandbox.src().join("dir/large")).unwrap());
    let sent = Process::spawn(stream).wait();
    sent.assert_code(1).assert_says("too large");
    no_leftovers(sandbox.dst());
    recv.interrupt().assert_code(0);
}

#[test]
fn a_list_of_sums_that_may_not_grow_fails_nothing_else() {
    let sandbox = Sandbox::new();
    let list = sandbox.path("sums");
    File::create(&list)
        .unwrap()
        .write_all(&[b'\n'; 999_990])
        .unwrap();
    let args = ["--sums", list.to_str().unwrap()];
    let command = sandbox.me().recv_command(&sandbox.dst(), &args);
    let limit = ["--fsize=1000000"].map(OsStr::new);
    let recv = Recv::start(run_by("prlimit", &limit, &command));
    make_file(sandbox.src().join("small"), 4, 100_000);
    sandbox.send(&[], &recv.target());
    assert_same_tree(sandbox.src(), sandbox.dst());
    assert!(!recv.process().has_ended());
}

/// Checks a list of sums in the receive directory; says of how many files it is.
fn check_sums(list: &Path, dir: &Path) -> usize {
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict"]).arg(list);
    let checked = check.current_dir(dir).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    checked.stdout.iter().filter(|&&b| b == b'\n').count()
}

#[test]
fn a_hole_is_summed_and_not_read() {
    let sandbox = Sandbox::new();
    let list = sandbox.path("sums");
    let recv = sandbox.recv_with(&["--sums", list.to_str().unwrap()]);
    let size = 300 * CHUNK + 5;
    make_sparse(
        &sandbox.src().join("image"),
        size,
        &[3, 77 * CHUNK - 2, size - 4],
    );
    make_sparse(&sandbox.src().join("holes"), 9 * CHUNK + 100, &[]);
    make_file(sandbox.src().join("dense"), 1, 3 * CHUNK + 7);
    sandbox.send(&[], &recv.target()).assert_code(0);
    let pid = recv.process().pid().as_raw_nonzero();
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    let read: u64 = read.unwrap().parse().unwrap();
    assert!(read < 30 * CHUNK, "{read} bytes were read");
    recv.interrupt().assert_code(0);
    assert_eq!(check_sums(&list, &sandbox.dst()), 3);
}

#[test]
fn a_list_of_sums_is_for_no_other_user_to_change() {
    let sandbox = Sandbox::new();
    let list = sandbox.path("sums");
    let args = ["--sums", list.to_str().unwrap()];
    let command = sandbox.me().recv_command(&sandbox.dst(), &args);
    let with_mask = ["-c", r#"umask 000 && exec "$@""#, "sh"].map(OsStr::new);
    let recv = Recv::start(run_by("sh", &with_mask, &command));
    recv.interrupt().assert_code(0);
    let mode = fs::metadata(&list).unwrap().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn the_folders_of_a_mark_are_on_disk_with_it() {
    let sandbox = Sandbox::new();
    let real = sandbox.folder("real");
    let Some(disk) = Fuse::mount(&real, &sandbox.dst()) else {
        return;
    };
    // What is received is left to the system, but not what tells of it.
    let recv = sandbox.recv_with(&["--no-sync"]);
    let before = disk.calls(Op::FsyncDir);
    make_file(sandbox.src().join("small"), 1, 100);
    sandbox.send(&[], &recv.target()).assert_code(0);
    // That of the marks, the one that it is in, and the receive directory.
    assert_eq!(disk.calls(Op::FsyncDir) - before, 3);
    recv.interrupt();
}

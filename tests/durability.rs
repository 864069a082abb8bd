//! What the disk has when xfer says done, and what becomes of what it has not.
//!
//! The disk is one of its own: an image in memory, mounted through a loop device in a mount
//! namespace, which takes root and mkfs.ext4. It fails when the
//! memory is filled: then the system can take no more, and says so when it writes, not before. What
//! the disk really has is seen when it is mounted anew. Where that cannot be had, the tests say so
//! and pass.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::*;

const FAILED: i32 = 1;

/// Mounts an image in the folder `$1` on `$2`, says so, and stays. What the file system keeps for
/// itself has its memory from the beginning, and the rest when it is written.
const MOUNT: &str = r#"mount -t tmpfs -o size=140m tmpfs "$1" &&
    fallocate -l 128m "$1/image" &&
    mkfs.ext4 -q -b 4096 -O ^has_journal -E nodiscard,lazy_itable_init=0 "$1/image" &&
    fallocate -p -o 8m -l 120m "$1/image" &&
    mount -o loop "$1/image" "$2" &&
    rmdir "$2/lost+found" &&
    echo ready && exec sleep infinity"#;

/// A disk that can fail.
struct Disk {
    /// In whose namespace it is mounted.
    keeper: Child,
    backing: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// Mounted on `at`; none where this machine does not allow it.
    fn new(sandbox: &Sandbox, at: &Path) -> Option<Self> {
        let backing = sandbox.folder("backing");
        let mut keeper = Command::new("unshare")
            .args(["-m", "sh", "-c", MOUNT, "sh"])
            .args([&backing, at])
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let stdout = keeper.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let disk = Self {
            keeper,
            backing,
            at: at.to_path_buf(),
        };
        if line != "ready\n" {
            skip("no disk of its own can be mounted here");
            return None;
        }
        Some(disk)
    }

    /// A path as it is where the disk is mounted.
    fn inside(&self, path: &Path) -> PathBuf {
        let root = format!("/proc/{}/root", self.keeper.id());
        Path::new(&root).join(path.strip_prefix("/").unwrap())
    }

    /// The same command where the disk is mounted.
    fn run_in(&self, command: &Command) -> Command {
        let keeper = self.keeper.id().to_string();
        run_by("nsenter", &["-m", "-t", &keeper].map(OsStr::new), command)
    }

    fn run(&self, program: &str, args: &[&OsStr]) {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("PATH", std::env::var_os("PATH").unwrap());
        let output = self.run_in(&command).output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
    }

    fn filler(&self) -> PathBuf {
        self.inside(&self.backing.join("filler"))
    }

    /// From now on what is written new cannot be brought to it.
    fn fail(&self) {
        let mut file = File::create(self.filler()).unwrap();
        while file.write(&[1; 65536]).is_ok_and(|n| n > 0) {}
        // But for what xfer keeps for itself.
        let filled = file.metadata().unwrap().len();
        file.set_len(filled - (512 << 10)).unwrap();
    }

    /// From now on all can.
    fn mend(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    /// Forgets what is only in memory.
    fn mount_anew(&self) {
        self.unmount();
        self.mount();
    }

    /// The same; what the disk lost of the file system's own is repaired before.
    fn repair_and_mount_anew(&self) {
        self.unmount();
        let repair = r#"e2fsck -fy "$0" >&2; [ $? -lt 4 ]"#;
        let args = [OsStr::new("-c"), OsStr::new(repair)];
        let image = self.image();
        self.run("sh", &[&args[..], &[image.as_os_str()]].concat());
        self.mount();
        let _ = fs::remove_dir_all(self.inside(&self.at.join("lost+found")));
    }

    /// On another device than before, as a disk that was pulled out may be: the first that is free
    /// is taken meanwhile.
    fn mount(&self) {
        let mount = r#"truncate -s 64k "$0.other" && other=$(losetup -f --show "$0.other") &&
            mount -o loop "$0" "$1"; ended=$?; losetup -d "$other"; exit $ended"#;
        let image = self.image();
        let args = [OsStr::new("-c"), OsStr::new(mount)];
        let places = [image.as_os_str(), self.at.as_os_str()];
        self.run("sh", &[&args[..], &places].concat());
    }

    fn unmount(&self) {
        self.run("umount", &[self.at.as_os_str()]);
    }

    fn image(&self) -> PathBuf {
        self.backing.join("image")
    }

    fn recv(&self, sandbox: &Sandbox) -> Recv {
        let args = ["--allow-mirror"];
        let command = sandbox.me().recv_command(&sandbox.dst(), &args);
        Recv::start(self.run_in(&command))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // With its namespace the mounts go.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// What is sent: more than what the disk always has memory for.
fn make_source(sandbox: &Sandbox) {
    make_file(sandbox.src().join("dir/large"), 1, 20 * CHUNK + 5);
    for n in 0..20 {
        make_file(sandbox.src().join(format!("dir/{n}")), n, 50_000 * n);
    }
}

/// Where the mount is below the receive directory, or that directory itself.
fn places(sandbox: &Sandbox) -> [PathBuf; 2] {
    [sandbox.dst(), sandbox.dst().join("dir")]
}

#[test]
fn a_sync_that_failed_is_told_and_not_forgotten() {
    for place in 0..2 {
        // By another process, and by the same.
        for starts_anew in [true, false] {
            let sandbox = Sandbox::new();
            make_source(&sandbox);
            let at = &places(&sandbox)[place];
            fs::create_dir_all(at).unwrap();
            let Some(disk) = Disk::new(&sandbox, at) else {
                return;
            };
            disk.fail();
            let mut recv = disk.recv(&sandbox);
            let sent = sandbox.send(&[], &recv.target());
            sent.assert_code(FAILED).assert_says("disk");

            disk.mend();
            if starts_anew {
                recv.kill();
                recv = disk.recv(&sandbox);
            }
            sandbox.send(&[], &recv.target()).assert_code(0);
            // It was all there to be read, and nothing of it had to travel. From now on it is on
            // disk, too.
            recv.kill();
            disk.mount_anew();
            assert_same_tree(sandbox.src(), disk.inside(&sandbox.dst()));
        }
    }
}

#[test]
fn what_was_proven_is_believed_again() {
    let sandbox = Sandbox::new();
    make_source(&sandbox);
    let Some(disk) = Disk::new(&sandbox, &sandbox.dst()) else {
        return;
    };
    disk.fail();
    let recv = disk.recv(&sandbox);
    sandbox.send(&[], &recv.target()).assert_code(FAILED);
    disk.mend();
    sandbox.send(&[], &recv.target()).assert_code(0);
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        let path = disk.inside(&sandbox.dst()).join(name);
        fs::metadata(path).unwrap().ino()
    };
    let before = inode("dir/large");
    let proxy = Proxy::new(recv.addr());
    let sent = sandbox.send(&[], &proxy.target());
    sent.assert_code(0).assert_says("already");
    assert!(proxy.passed().0 < 100_000, "{} bytes", proxy.passed().0);
    assert_eq!(inode("dir/large"), before);
}

#[test]
fn what_a_killed_session_left_on_a_mount_is_synced_by_the_next() {
    let sandbox = Sandbox::new();
    make_source(&sandbox);
    make_file(sandbox.src().join("z"), 7, 30 * CHUNK);
    let below = sandbox.dst().join("dir");
    fs::create_dir(&below).unwrap();
    let Some(disk) = Disk::new(&sandbox, &below) else {
        return;
    };
    let recv = disk.recv(&sandbox);
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(45 * CHUNK);
    let sender = sandbox.spawn_send(&[], &proxy.target());
    proxy.wait_for_up(45 * CHUNK);
    recv.kill();
    sender.kill();

    disk.fail();
    let recv = disk.recv(&sandbox);
    let dir = [sandbox.src().join("dir")];
    let paths: Vec<&Path> = dir.iter().map(PathBuf::as_path).collect();
    let sent = sandbox.send(&paths, &recv.target());
    assert_ne!(sent.code, Some(0), "it is not on disk:\n{sent}");
    recv.kill();
    disk.mend();
    disk.repair_and_mount_anew();
    let recv = disk.recv(&sandbox);
    sandbox.send(&[], &recv.target()).assert_code(0);
    recv.kill();
    disk.mount_anew();
    assert_same_tree(sandbox.src(), disk.inside(&sandbox.dst()));
}

#[test]
fn the_old_version_stands_until_the_new_one_is_on_disk() {
    let sandbox = Sandbox::new();
    let path = sandbox.src().join("file");
    make_file(&path, 1, 3 * CHUNK);
    let old = digest_of(&path);
    let Some(disk) = Disk::new(&sandbox, &sandbox.dst()) else {
        return;
    };
    let recv = disk.recv(&sandbox);
    sandbox.send(&[], &recv.target()).assert_code(0);
    disk.fail();
    make_file(&path, 2, 20 * CHUNK);
    set_mtime(&path, 1_700_000_000, 0);
    let update = [Path::new("--update"), &path];
    let sent = sandbox.send(&update, &recv.target());
    assert_ne!(sent.code, Some(0), "{sent}");
    recv.kill();
    // What is not on disk is lost now.
    disk.mend();
    disk.repair_and_mount_anew();
    let stored = disk.inside(&sandbox.dst().join("file"));
    assert_eq!(digest_of(&stored), old);

    let recv = disk.recv(&sandbox);
    sandbox.send(&update, &recv.target()).assert_code(0);
    recv.kill();
    disk.mount_anew();
    assert_eq!(digest_of(&stored), digest_of(&path));
}

/// Before it removes anything, a mirror brings to disk what it stored; that this failed is known to
/// the next session, too.
#[test]
fn a_sync_that_failed_before_a_removal_is_not_forgotten() {
    for starts_anew in [true, false] {
        let sandbox = Sandbox::new();
        make_source(&sandbox);
        let surplus = sandbox.src().join("dir/surplus");
        make_file(&surplus, 5, 10);
        let Some(disk) = Disk::new(&sandbox, &sandbox.dst()) else {
            return;
        };
        let mut recv = disk.recv(&sandbox);
        sandbox.send(&[], &recv.target()).assert_code(0);
        fs::remove_file(&surplus).unwrap();
        make_file(sandbox.src().join("dir/new"), 6, 30 * CHUNK);
        disk.fail();
        let dir = sandbox.src().join("dir");
        let mirror = [Path::new("--mirror"), &dir];
        sandbox.send(&mirror, &recv.target()).assert_code(FAILED);

        disk.mend();
        if starts_anew {
            recv.kill();
            recv = disk.recv(&sandbox);
        }
        sandbox.send(&mirror, &recv.target()).assert_code(0);
        recv.kill();
        disk.mount_anew();
        assert_same_tree(sandbox.src(), disk.inside(&sandbox.dst()));
    }
}

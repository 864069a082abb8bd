//! What changes while it is being sent arrives as one of its versions, whole, or not at all and
//! with a word: never as a mixture.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use support::*;

const IN_PART: i32 = 3;
const LARGE: u64 = 24 * CHUNK + 4321;
/// What travels beside a large file's content, at most.
const TALK: u64 = 1 << 20;

/// A change to a file, which lies in a folder of its own.
type Change = fn(&Path);

/// What there is of a file, or none where it is no file any more.
fn version(path: &Path) -> Option<Node> {
    let tree = Tree::read(path.parent().unwrap());
    let name = path.file_name().unwrap().as_encoded_bytes();
    let node = tree.0.get(name).cloned()?;
    matches!(node.kind, Kind::File { .. }).then_some(node)
}

fn write_at(path: &Path, seed: u64, len: u64, offset: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let data = bytes(seed, usize::try_from(len).unwrap());
    file.write_all_at(&data, offset).unwrap();
}

fn set_len(path: &Path, len: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(len).unwrap();
}

/// Puts another file in a file's place.
fn replace(path: &Path, len: u64) {
    let other = path.with_file_name("other");
    make_file(&other, 77, len);
    fs::rename(other, path).unwrap();
}

/// Does something to a file that does not show in its time of modification.
fn secretly(path: &Path, change: impl FnOnce()) {
    let meta = fs::metadata(path).unwrap();
    change();
    set_mtime(path, meta.mtime(), meta.mtime_nsec().try_into().unwrap());
}

fn overwrite(path: &Path) {
    let len = fs::metadata(path).unwrap().len();
    write_at(path, 55, len, 0);
}

fn vanish(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn become_fifo(path: &Path) {
    vanish(path);
    make_fifo(path);
}

fn become_link(path: &Path) {
    vanish(path);
    symlink("/etc/passwd", path).unwrap();
}

fn become_folder(path: &Path) {
    vanish(path);
    fs::create_dir(path).unwrap();
}

/// Sends a large file, and changes it when about so many bytes have gone. One that is sent
/// behind it arrives in any case.
#[track_caller]
fn change_large(name: &str, point: u64, change: Change) {
    let sandbox = Sandbox::new();
    let path = sandbox.src().join("dir/large");
    make_file(&path, 1, LARGE);
    // Longer ago, so that a change shows whatever the clock's grain.
    set_mtime(&path, 1_600_000_000, 123_456_789);
    make_file(sandbox.src().join("dir/next"), 2, 3 * CHUNK);
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(point);
    let sender = sandbox.spawn_send(&[], &proxy.target());
    proxy.wait_for_up(point);
    let before = version(&path).unwrap();
    change(&path);
    let after = version(&path);
    proxy.release();
    let sent = sender.wait();

    let stored = sandbox.dst().join("dir/large");
    let what = format!("{name} at {point}: {sent}");
    match (sent.code, version(&stored)) {
        (Some(0), Some(stored)) => {
            let is_one = stored == before || Some(&stored) == after.as_ref();
            assert!(
                is_one,
                "{what}\nfrom {before:?}\nto {after:?}\nbut {stored:?}"
            );
        }
        (Some(IN_PART), None) => {
            assert!(after.is_none(), "{what}");
            sent.assert_says("large");
        }
        (_, stored) => panic!("{what}\n{stored:?}"),
    }
    assert_eq!(
        version(&sandbox.src().join("dir/next")),
        version(&sandbox.dst().join("dir/next"))
    );

    // Once it is left alone, it comes over as it is.
    let Some(after) = after else { return };
    sandbox.send(&[], &recv.target()).assert_code(0);
    let all = Tree::read(sandbox.dst().join("dir"));
    let hidden = after.mtime == before.mtime;
    assert!(
        hidden || all.0.values().any(|node| *node == after),
        "{what}\n{all:?}"
    );
    no_leftovers(sandbox.dst());
}

/// While the beginning is under way, the middle, and when all but all has been read.
#[track_caller]
fn change_large_anywhere(name: &str, change: Change) {
    for point in [CHUNK, LARGE / 2, LARGE + TALK] {
        change_large(name, point, change);
    }
}

#[test]
fn a_large_file_that_is_written_to() {
    change_large_anywhere("overwritten", overwrite);
    change_large("one byte at the beginning", LARGE / 2, |path| {
        write_at(path, 9, 1, 5);
    });
    change_large("one byte at the end", CHUNK, |path| {
        write_at(path, 9, 1, LARGE - 1);
    });
}

#[test]
fn a_large_file_that_is_written_to_in_secret() {
    change_large_anywhere("overwritten", |path| secretly(path, || overwrite(path)));
    change_large_anywhere("replaced", |path| secretly(path, || replace(path, LARGE)));
}

#[test]
fn a_large_file_that_grows() {
    change_large_anywhere("by chunks", |path| write_at(path, 9, 5 * CHUNK, LARGE));
    change_large("by a byte", LARGE / 2, |path| write_at(path, 9, 1, LARGE));
}

#[test]
fn a_large_file_that_shrinks() {
    change_large_anywhere("to chunks", |path| set_len(path, 3 * CHUNK));
    change_large("by a byte", LARGE / 2, |path| set_len(path, LARGE - 1));
    change_large("to a small one", LARGE / 2, |path| set_len(path, 1000));
    change_large("to an empty one", CHUNK, |path| set_len(path, 0));
}

#[test]
fn a_large_file_that_is_replaced() {
    change_large_anywhere("by one of its size", |path| replace(path, LARGE));
    change_large("by a larger one", LARGE / 2, |path| {
        replace(path, 2 * LARGE);
    });
    change_large("by a small one", LARGE / 2, |path| replace(path, 10));
}

#[test]
fn a_large_file_that_goes() {
    change_large_anywhere("gone", vanish);
    change_large("a fifo", LARGE / 2, become_fifo);
    change_large("a link", LARGE / 2, become_link);
    change_large("a folder", LARGE / 2, become_folder);
}

#[test]
fn a_file_that_never_stands_still() {
    let sandbox = Sandbox::new();
    let path = sandbox.src().join("dir/log");
    make_file(&path, 1, 8 * CHUNK);
    make_file(sandbox.src().join("dir/still"), 2, 3 * CHUNK);
    let recv = sandbox.recv();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (path, stop) = (path, stop.clone());
        thread::spawn(move || {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            for n in (0..=u8::MAX).cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                file.write_all_at(&[n], CHUNK).unwrap();
            }
        })
    };
    let sent = sandbox.send(&[], &recv.target());
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    sent.assert_code(IN_PART).assert_says("log");
    sent.assert_says("kept changing while being read");
    assert_eq!(
        Tree::read(sandbox.dst()).names().last().unwrap(),
        "dir/still"
    );
    assert!(!sandbox.dst().join("dir/log").exists());

    sandbox.send(&[], &recv.target()).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
}

/// So many small files that the network cannot hold them all: the last ones wait unread.
const SMALL_FILES: u64 = 600;
const SMALL: u64 = 80_000;

/// Changes each of the last small files in one of these ways, while they wait to be read.
#[track_caller]
fn change_small(changes: &[Change]) -> (Sandbox, Output) {
    let sandbox = Sandbox::new();
    let dir = sandbox.src().join("dir");
    for n in 0..SMALL_FILES {
        make_file(dir.join(format!("{n:04}")), n, SMALL);
    }
    let waiting: Vec<_> = (0..changes.len())
        .map(|n| dir.join(format!("z{n}")))
        .collect();
    for path in &waiting {
        make_file(path, 1000, SMALL);
        set_mtime(path, 1_600_000_000, 123_456_789);
    }
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    // Every entry has been announced by then, and wanted.
    let point = 4 * TALK;
    proxy.hold_at(point);
    let sender = sandbox.spawn_send(&[], &proxy.target());
    proxy.wait_for_up(point);
    for (path, change) in waiting.iter().zip(changes) {
        change(path);
    }
    proxy.release();
    let sent = sender.wait();
    drop(recv);
    (sandbox, sent)
}

#[test]
fn small_files_that_change_before_they_are_read() {
    let (sandbox, sent) = change_small(&[
        overwrite,
        |path| write_at(path, 9, 1, 100),
        |path| write_at(path, 9, 1, SMALL),
        |path| write_at(path, 9, 3 * CHUNK, SMALL),
        |path| set_len(path, SMALL - 1),
        |path| set_len(path, 0),
        |path| replace(path, SMALL),
        |path| replace(path, 2 * CHUNK),
    ]);
    sent.assert_code(0);
    for n in 0..8 {
        let name = format!("dir/z{n}");
        let received = version(&sandbox.dst().join(&name)).unwrap();
        assert_eq!(Some(received), version(&sandbox.src().join(&name)));
    }
    no_leftovers(sandbox.dst());
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_says_that_it_is_empty() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("empty"), 1, 0);
    let recv = sandbox.recv();
    let paths = [sandbox.src().join("empty"), "/proc/version".into()];
    let sent = sandbox.send(&[&paths[0], &paths[1]], &recv.target());
    sent.assert_code(IN_PART)
        .assert_says("version: cannot be read: its length is not what the system says");
    assert_eq!(Tree::read(sandbox.dst()).names(), ["empty"]);
}

#[test]
fn small_files_that_go_before_they_are_read() {
    let changes: [Change; 4] = [vanish, become_fifo, become_link, become_folder];
    let (sandbox, sent) = change_small(&changes);
    sent.assert_code(IN_PART);
    for n in 0..changes.len() {
        sent.assert_says(&format!("z{n}"));
        assert!(!sandbox.dst().join(format!("dir/z{n}")).exists());
    }
    sent.assert_says("disappeared");
    for line in ["z1", "z2", "z3"] {
        sent.assert_says(&format!("{line}: cannot be read: it is no longer a file"));
    }
    for n in 0..SMALL_FILES {
        let name = format!("dir/{n:04}");
        assert_eq!(
            fs::read(sandbox.dst().join(&name)).unwrap(),
            fs::read(sandbox.src().join(&name)).unwrap()
        );
    }
    no_leftovers(sandbox.dst());
}

//! What is sent arrives: whole, once, under its name, and with its times and permissions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use support::*;

/// Sends all of `sandbox.src()` and compares.
#[track_caller]
fn round_trip(sandbox: &Sandbox, args: &[&str]) {
    let recv = sandbox.recv();
    let mut all: Vec<&Path> = args.iter().map(Path::new).collect();
    let paths: Vec<_> = fs::read_dir(sandbox.src())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.extend(paths.iter().map(std::path::PathBuf::as_path));
    sandbox.send(&all, &recv.target()).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
}

fn make_sizes(sandbox: &Sandbox) {
    let sizes = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 9 * CHUNK + 7];
    for (seed, size) in (1..).zip(sizes) {
        make_file(sandbox.src().join(format!("file-{size}")), seed, size);
    }
    // Zeros, at the beginning and at the end.
    let chunk = usize::try_from(CHUNK).unwrap();
    let mut zeros = vec![0; 3 * chunk];
    fs::write(sandbox.src().join("zeros"), &zeros).unwrap();
    zeros[chunk] = 1;
    fs::write(sandbox.src().join("nearly zeros"), &zeros).unwrap();
}

#[test]
fn files_of_every_size_with_sha256() {
    let sandbox = Sandbox::new();
    make_sizes(&sandbox);
    round_trip(&sandbox, &[]);
}

#[test]
fn files_of_every_size_with_blake3() {
    let sandbox = Sandbox::new();
    make_sizes(&sandbox);
    round_trip(&sandbox, &["--hash", "blake3"]);
}

#[test]
fn one_lane_and_many() {
    for lanes in ["1", "16"] {
        let sandbox = Sandbox::new();
        make_sizes(&sandbox);
        round_trip(&sandbox, &["--lanes", lanes]);
    }
}

/// Where, from `at` on, any of these files has anything but holes; far away where none has.
fn next_data(files: &[File], at: u64) -> u64 {
    let next = |file| rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)).unwrap_or(u64::MAX);
    files.iter().map(next).min().unwrap()
}

#[test]
fn a_sparse_file_of_more_than_4_gib() {
    let sandbox = Sandbox::new();
    let path = sandbox.src().join("disk.img");
    let size = (4 << 30) + 1;
    let file = File::create(&path).unwrap();
    file.set_len(size).unwrap();
    let probes = [0, 5 * CHUNK - 3, 1 << 31, (1 << 32) - 2, size - 1];
    for (seed, at) in (1..).zip(probes) {
        let len = usize::try_from((size - at).min(10)).unwrap();
        file.write_all_at(&bytes(seed, len), at).unwrap();
    }
    drop(file);
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    // The faster one: holes are hashed too.
    let args = ["--hash", "blake3"].map(Path::new);
    let args = [&args[..], &[&path]].concat();
    sandbox.send(&args, &proxy.target()).assert_code(0);

    let received = sandbox.dst().join("disk.img");
    let meta = fs::metadata(&received).unwrap();
    assert_eq!(meta.len(), size);
    assert!(meta.blocks() * 512 < 100 << 20, "it is not sparse any more");
    assert!(proxy.passed().0 < 100 << 20, "the zeros travelled");
    let files = [path, received].map(|path| File::open(path).unwrap());
    let mut pieces = [vec![0; 1 << 20], vec![0; 1 << 20]];
    let mut at = next_data(&files, 0);
    while at < size {
        let n = usize::try_from(size - at).unwrap().min(1 << 20);
        for (file, piece) in files.iter().zip(&mut pieces) {
            file.read_exact_at(&mut piece[..n], at).unwrap();
        }
        assert!(pieces[0][..n] == pieces[1][..n], "different at {at}");
        at = next_data(&files, at + n as u64);
    }
    no_leftovers(sandbox.dst());
}

#[test]
fn empty_folders_and_links() {
    let sandbox = Sandbox::new();
    let top = sandbox.src().join("top");
    fs::create_dir_all(top.join("empty/and empty")).unwrap();
    make_file(top.join("file"), 1, 10);
    for (link, target) in [
        ("relative", "file"),
        ("up", "../top/file"),
        ("dangling", "no such file"),
        ("to a folder", "empty"),
        ("to itself", "to itself"),
    ] {
        symlink(target, top.join(link)).unwrap();
        set_mtime(top.join(link), 1_600_000_000, 123);
    }
    round_trip(&sandbox, &[]);
}

#[test]
fn links_to_the_outside_are_refused_unless_they_are_wanted() {
    let sandbox = Sandbox::new();
    let top = sandbox.src().join("top");
    make_file(top.join("sub/file"), 1, 10);
    symlink("../sub/file", top.join("sub/inside")).unwrap();
    symlink("/etc/passwd", top.join("absolute")).unwrap();
    symlink("../../outside", top.join("sub/up")).unwrap();
    symlink("../../../outside", top.join("sub/up and out")).unwrap();
    set_mtime(top.join("sub"), 1_600_000_000, 0);
    set_mtime(&top, 1_600_000_000, 0);
    {
        let recv = sandbox.recv();
        let sent = sandbox.send(&[], &recv.target());
        sent.assert_code(3);
        for link in ["top/absolute", "top/sub/up and out"] {
            sent.assert_says(&format!("{link}: is a link that points outside"));
            recv.process().wait_for_text(&format!("Failed: {link}"));
        }
        let stored = Tree::read(sandbox.dst()).names();
        let inside = [
            "top",
            "top/sub",
            "top/sub/file",
            "top/sub/inside",
            "top/sub/up",
        ];
        assert_eq!(stored, inside);
    }
    let recv = sandbox.recv_with(&["--allow-links-outside"]);
    sandbox.send(&[], &recv.target()).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
}

#[test]
fn permissions() {
    let sandbox = Sandbox::new();
    let top = sandbox.src().join("top");
    for mode in [0o600, 0o644, 0o444, 0o400, 0o755, 0o777] {
        let path = top.join(format!("file-{mode:o}"));
        make_file(&path, 1, 10);
        set_mode(&path, mode);
        let large = top.join(format!("large-{mode:o}"));
        make_file(&large, 2, CHUNK + 1);
        set_mode(&large, mode);
    }
    for mode in [0o700, 0o755, 0o777, 0o555, 0o500] {
        let dir = top.join(format!("dir-{mode:o}"));
        make_file(dir.join("a"), 1, 10);
        make_file(dir.join("sub/b"), 1, CHUNK + 1);
        set_mode(&dir, mode);
    }
    round_trip(&sandbox, &[]);
}

#[test]
fn what_is_in_a_folder_that_may_not_be_listed() {
    let sandbox = Sandbox::new();
    let hidden = sandbox.src().join("hidden");
    make_file(hidden.join("dir/file"), 1, 3000);
    make_file(hidden.join("large"), 2, 2 * CHUNK);
    let recv = sandbox.recv();
    let mut command = sandbox.me().command(&["send"]);
    command.args(["dir", "large"].map(|name| hidden.join(name)));
    command.arg(recv.target());
    // Who knows a name in it may use it.
    set_mode(&hidden, 0o311);
    let sent = Process::spawn(without_privileges(&command)).wait();
    sent.assert_code(0);
    set_mode(&hidden, 0o700);
    assert_same_tree(hidden, sandbox.dst());
}

#[test]
fn a_sender_without_proc() {
    let sandbox = Sandbox::new();
    for n in 0..30 {
        make_file(sandbox.src().join(format!("dir/{}/{n}", n % 3)), n, 100);
    }
    let recv = sandbox.recv();
    let hidden = |command: &Command| {
        let script = r#"mount -t tmpfs tmpfs /proc && exec "$@""#;
        run_by(
            "unshare",
            &["-m", "sh", "-c", script, "sh"].map(AsRef::as_ref),
            command,
        )
    };
    if !can_run(hidden, "no file system can be mounted") {
        return;
    }
    let mut command = sandbox.me().command(&["send"]);
    command.arg(sandbox.src().join("dir")).arg(recv.target());
    Process::spawn(hidden(&command)).wait().assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
}

#[test]
fn special_bits_are_dropped() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("tool"), 1, 10);
    set_mode(sandbox.src().join("tool"), 0o6755);
    fs::create_dir(sandbox.src().join("tmp")).unwrap();
    set_mode(sandbox.src().join("tmp"), 0o1777);
    let recv = sandbox.recv();
    sandbox.send(&[], &recv.target()).assert_code(0);
    let tree = Tree::read(sandbox.dst()).0;
    assert_eq!(tree[&b"tool"[..]].mode, 0o755);
    assert_eq!(tree[&b"tmp"[..]].mode, 0o777);
}

#[test]
fn times_before_1970_and_after_2106() {
    let sandbox = Sandbox::new();
    let top = sandbox.src().join("top");
    let times = [
        (-1, 999_999_999),
        (-500_000_000, 1),
        (0, 0),
        (1_700_000_000, 123_456_789),
        (7_258_118_400, 5),
    ];
    for (n, (seconds, nanos)) in (0..).zip(times) {
        let dir = top.join(format!("dir-{n}"));
        for (name, size) in [("small", 3), ("large", CHUNK + 3)] {
            make_file(dir.join(name), n, size);
            set_mtime(dir.join(name), seconds, nanos);
        }
        set_mtime(dir, seconds, nanos);
    }
    set_mtime(&top, 1, 2);
    round_trip(&sandbox, &[]);
}

#[test]
fn odd_names() {
    let sandbox = Sandbox::new();
    let top = sandbox.src().join("top");
    fs::create_dir(&top).unwrap();
    let long = "x".repeat(251) + ".txt";
    let long_wide = "ä".repeat(125);
    let mut names: Vec<&[u8]> = [
        "a b",
        " leading",
        "trailing ",
        "-rf",
        "--to",
        "new\nline",
        "tab\t",
        "\x1b[31mred\x1b[0m",
        "emoji 😀👩‍👩‍👧",
        "right \u{202e}to left",
        "...",
        "a..b",
        "C:\\x",
        "..\\..\\up",
        "aux.c",
        "[brackets]",
        "star*",
        "quote'\"",
        "name (2)",
        ".xfer-no-partial",
        &long,
        &long_wide,
    ]
    .map(str::as_bytes)
    .to_vec();
    if cfg!(target_os = "linux") {
        names.extend([&b"not \xff UTF-8"[..], b"\x80", b"\xc3", b"csi \x9b31m"]);
    }
    for (seed, name) in (1..).zip(names) {
        let name = OsStr::from_bytes(name);
        make_file(top.join("files").join(name), seed, 20);
        make_file(top.join("folders").join(name).join(name), seed, 20);
    }
    round_trip(&sandbox, &[]);
}

#[test]
fn a_path_that_begins_with_a_dash() {
    let sandbox = Sandbox::new();
    make_file(sandbox.path("-rf"), 1, 20);
    let recv = sandbox.recv();
    let sent = sandbox.me().send(&["--", "-rf", &recv.target()]);
    sent.assert_code(0);
    assert_eq!(fs::read(sandbox.dst().join("-rf")).unwrap(), bytes(1, 20));
}

#[test]
fn a_tree_100_deep() {
    let sandbox = Sandbox::new();
    let mut path = sandbox.src();
    for n in 0..100 {
        path.push(format!("level {n}"));
        make_file(path.join("file"), n, 30);
        make_file(path.join("zz last"), n, 30);
    }
    round_trip(&sandbox, &[]);
}

#[test]
fn many_small_files() {
    let sandbox = Sandbox::new();
    for n in 0..3000 {
        let path = format!("many/{}/{n}", n % 7);
        make_file(sandbox.src().join(path), n, n % 500);
    }
    round_trip(&sandbox, &[]);
}

#[test]
fn several_paths_at_once() {
    let sandbox = Sandbox::new();
    make_file(sandbox.path("one/a.txt"), 1, 10);
    make_file(sandbox.path("two/b/c.txt"), 2, 10);
    make_file(sandbox.path("d.txt"), 3, 10);
    make_file(sandbox.path("not/sent.txt"), 4, 10);
    let paths = ["one/a.txt", "two/b/", "./d.txt"].map(|path| sandbox.path(path));
    let paths: Vec<&Path> = paths.iter().map(AsRef::as_ref).collect();
    let recv = sandbox.recv();
    sandbox.send(&paths, &recv.target()).assert_code(0);
    let names = Tree::read(sandbox.dst()).names();
    assert_eq!(names, ["a.txt", "b", "b/c.txt", "d.txt"]);
}

#[test]
fn the_target_can_be_named_by_to() {
    let sandbox = Sandbox::new();
    make_file(sandbox.path("a"), 1, 10);
    make_file(sandbox.path("b"), 2, 10);
    let recv = sandbox.recv();
    let sent = sandbox.me().send(&["--to", &recv.target(), "a", "b"]);
    sent.assert_code(0);
    assert_eq!(Tree::read(sandbox.dst()).names(), ["a", "b"]);
}

#[test]
fn a_receiver_that_is_there_once() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("a"), 1, 10);
    let recv = sandbox.recv_with(&["--once"]);
    // A look at what would happen is not what it waits for.
    sandbox
        .send(&[Path::new("-n"), &sandbox.src().join("a")], &recv.target())
        .assert_code(0);
    sandbox.send(&[], &recv.target()).assert_code(0);
    recv.wait().assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
}

#[test]
fn a_receiver_to_which_nothing_came_does_not_end_well() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("large"), 1, 64 * CHUNK);
    let recv = sandbox.recv_with(&["--once"]);
    recv.interrupt().assert_code(130);
    // One that waits for its sender to come back.
    let recv = sandbox.recv_with(&["--once"]);
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(CHUNK);
    let sender = sandbox.spawn_send(&[], &proxy.target());
    proxy.wait_for_up(CHUNK);
    sender.kill();
    proxy.cut_all();
    recv.process().wait_for_text("failed: ");
    recv.interrupt().assert_code(130);
}

#[test]
fn what_is_there_already_does_not_travel() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("large"), 1, 10 * CHUNK + 5);
    for n in 0..200 {
        make_file(sandbox.src().join(format!("small/{n}")), n, 5000);
    }
    symlink("0", sandbox.src().join("small/link")).unwrap();
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    sandbox.send(&[], &proxy.target()).assert_code(0);
    let first = proxy.passed().0;
    assert!(first > 10 * CHUNK + 200 * 5000);
    sandbox.send(&[], &proxy.target()).assert_code(0);
    let again = proxy.passed().0 - first;
    assert!(again < 100_000, "{again} bytes travelled");
    assert_same_tree(sandbox.src(), sandbox.dst());

    // Another time on the same content: it is compared, and does not travel either.
    set_mtime(sandbox.src().join("large"), 1_500_000_000, 0);
    let before = proxy.passed().0;
    sandbox.send(&[], &proxy.target()).assert_code(0);
    let again = proxy.passed().0 - before;
    assert!(again < 200_000, "{again} bytes travelled");
    assert_eq!(Tree::read(sandbox.dst()).0.len(), 203);
    no_leftovers(sandbox.dst());
}

#[test]
fn specials_are_told_and_left_out() {
    let sandbox = Sandbox::new();
    let top = sandbox.src().join("top");
    make_file(top.join("a file"), 1, 10);
    make_fifo(top.join("a fifo"));
    let _socket = UnixListener::bind(top.join("a socket")).unwrap();
    let recv = sandbox.recv();
    let sent = sandbox.send(&[], &recv.target());
    sent.assert_code(0)
        .assert_says("a fifo: a socket, fifo or device")
        .assert_says("a socket: a socket, fifo or device");
    let names = Tree::read(sandbox.dst()).names();
    assert_eq!(names, ["top", "top/a file"]);
    no_leftovers(sandbox.dst());
}

#[test]
fn a_special_alone_is_told() {
    let sandbox = Sandbox::new();
    make_fifo(sandbox.src().join("a fifo"));
    let recv = sandbox.recv();
    let sent = sandbox.send(&[], &recv.target());
    assert_ne!(sent.code, Some(0), "{sent}");
    sent.assert_says("a fifo");
}

#[test]
fn a_name_that_is_taken_is_left_alone() {
    for (size, old_size) in [(100, 100), (100, 5), (3 * CHUNK + 1, 3 * CHUNK + 1)] {
        let sandbox = Sandbox::new();
        make_file(sandbox.src().join("report.txt"), 1, size);
        make_file(sandbox.dst().join("report.txt"), 2, old_size);
        set_mtime(sandbox.dst().join("report.txt"), 1_600_000_000, 0);
        let old = Tree::read(sandbox.dst()).0[&b"report.txt"[..]].clone();
        let recv = sandbox.recv();
        let sent = sandbox.send(&[], &recv.target());
        sent.assert_code(0).assert_says("report (2).txt");
        for _ in 0..2 {
            let tree = Tree::read(sandbox.dst()).0;
            assert_eq!(tree.len(), 2);
            assert_eq!(tree[&b"report.txt"[..]], old);
            let new = Tree::read(sandbox.src()).0[&b"report.txt"[..]].clone();
            assert_eq!(tree[&b"report (2).txt"[..]], new);
            // The second time it is found, and there is no third.
            sandbox.send(&[], &recv.target()).assert_code(0);
        }
        no_leftovers(sandbox.dst());
    }
}

#[test]
fn something_else_in_the_way_is_left_alone() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("top/a/file"), 1, 10);
    make_file(sandbox.src().join("top/b"), 2, 10);
    make_file(sandbox.src().join("top/c"), 3, 10);
    // A file where a folder is to be, a folder where a file is to be, a link to the outside.
    let outside = sandbox.folder("outside");
    make_file(sandbox.dst().join("top/a"), 4, 10);
    make_file(sandbox.dst().join("top/b/inner"), 5, 10);
    symlink(outside.join("c"), sandbox.dst().join("top/c")).unwrap();
    let recv = sandbox.recv();
    let sent = sandbox.send(&[], &recv.target());
    sent.assert_code(3);
    assert_eq!(fs::read(sandbox.dst().join("top/a")).unwrap(), bytes(4, 10));
    let inner = fs::read(sandbox.dst().join("top/b/inner")).unwrap();
    assert_eq!(inner, bytes(5, 10));
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
    no_leftovers(sandbox.dst());
}

#[test]
fn what_failed_is_not_counted_as_sent() {
    let sandbox = Sandbox::new();
    for n in 0..49 {
        make_file(sandbox.src().join(format!("d/{n:02}")), n, 10);
    }
    for n in 0..31 {
        make_file(sandbox.dst().join(format!("d/{n:02}/inner")), n, 10);
    }
    let recv = sandbox.recv();
    let all = sandbox.src().join("d");
    let sent = sandbox.send(&[Path::new("--update"), &all], &recv.target());
    sent.assert_code(3)
        .assert_says("Sent 18 of 49 files of d (180 B) to ")
        .assert_says("  31 failed; send again to retry");
    let received = recv.interrupt();
    received.assert_says("Received 18 of 49 files of d (180 B) from ");
}

#[test]
fn where_all_is_there_nothing_is_sent() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("film.mkv"), 1, 3_150_000);
    let recv = sandbox.recv();
    sandbox.send(&[], &recv.target()).assert_code(0);
    let sent = sandbox.send(&[], &recv.target());
    sent.assert_code(0)
        .assert_says("Nothing to send: ")
        .assert_says(" already has film.mkv (3.15 MB)");
    recv.interrupt()
        .assert_says("Nothing to receive from ")
        .assert_says(": film.mkv (3.15 MB) is already here");
}

#[test]
fn a_planted_link_leads_nowhere() {
    let sandbox = Sandbox::new();
    let outside = sandbox.folder("outside");
    make_file(sandbox.src().join("top/sub/file"), 1, 10);
    fs::create_dir(sandbox.dst().join("top")).unwrap();
    symlink(&outside, sandbox.dst().join("top/sub")).unwrap();
    let recv = sandbox.recv();
    sandbox.send(&[], &recv.target()).assert_code(3);
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn ten_senders_at_once() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let count = 10;
    let senders: Vec<_> = (0..count)
        .map(|n| {
            let src = sandbox.folder(&format!("src-{n}"));
            make_file(src.join("clash.txt"), n, 1000);
            make_file(src.join("common/same.txt"), 77, 1000);
            set_mtime(src.join("common/same.txt"), 1_600_000_000, 7);
            make_file(src.join(format!("common/own-{n}")), n, 5000);
            make_file(src.join(format!("large-{n}")), n, 3 * CHUNK + n);
            for small in 0..50 {
                make_file(src.join(format!("small-{n}/{small}")), n + small, 100);
            }
            let paths: Vec<_> = fs::read_dir(&src)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            let paths: Vec<&Path> = paths.iter().map(AsRef::as_ref).collect();
            sandbox.spawn_send(&paths, &recv.target())
        })
        .collect();
    for sender in senders {
        sender.wait().assert_code(0);
    }

    let dst = sandbox.dst();
    let mut clashes = BTreeSet::new();
    for n in 0..count {
        for path in [
            format!("common/own-{n}"),
            format!("large-{n}"),
            format!("small-{n}/49"),
        ] {
            let sent = digest_of(&sandbox.path(&format!("src-{n}")).join(&path));
            assert_eq!(digest_of(&dst.join(&path)), sent, "{path}");
        }
        let name = match n {
            0 => "clash.txt".to_owned(),
            n => format!("clash ({}).txt", n + 1),
        };
        clashes.insert(fs::read(dst.join(name)).unwrap());
    }
    let sent: BTreeSet<_> = (0..count).map(|n| bytes(n, 1000)).collect();
    assert_eq!(clashes, sent);
    assert_eq!(
        fs::read(dst.join("common/same.txt")).unwrap(),
        bytes(77, 1000)
    );
    assert_eq!(fs::read_dir(dst.join("common")).unwrap().count(), 11);
    no_leftovers(dst);
}

#[test]
fn what_is_compressed_on_the_way_is_the_same_in_the_end() {
    let sandbox = Sandbox::new();
    let line = "the same words again and again, and now and then others\n";
    let text = line.repeat(3 << 15);
    for (name, len) in [
        ("large", text.len()),
        ("chunk", 1 << 20),
        ("small", 3000),
        ("tiny", 9),
    ] {
        fs::write(sandbox.src().join(name), &text[..len]).unwrap();
    }
    make_file(sandbox.src().join("noise"), 5, 2 * CHUNK + 77);
    let zeros = vec![0; usize::try_from(2 * CHUNK).unwrap() + 5];
    fs::write(sandbox.src().join("zeros"), zeros).unwrap();
    for how in ["zstd", "auto", "none"] {
        let recv = sandbox.recv();
        let proxy = Proxy::new(recv.addr());
        let src = sandbox.src();
        let args = [Path::new("--compress"), Path::new(how), &src];
        sandbox.send(&args, &proxy.target()).assert_code(0);
        let (up, _) = proxy.passed();
        let (least, most) = match how {
            "zstd" => (2 * CHUNK, 3 * CHUNK),
            _ => (4 * CHUNK, u64::MAX),
        };
        assert!((least..most).contains(&up), "{how}: {up} bytes");
        assert_same_tree(sandbox.src(), sandbox.dst().join("src"));
        fs::remove_dir_all(sandbox.dst().join("src")).unwrap();
    }
}

/// A default ACL that gives the group less than the sender's files do, and others nothing.
#[cfg(target_os = "linux")]
const DEFAULT_ACL: [u8; 28] = {
    const OWNER: [u8; 8] = [1, 0, 7, 0, 0xff, 0xff, 0xff, 0xff];
    const GROUP: [u8; 8] = [4, 0, 1, 0, 0xff, 0xff, 0xff, 0xff];
    const OTHERS: [u8; 8] = [0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    let mut acl = [0; 28];
    acl[0] = 2;
    let mut at = 0;
    while at < 8 {
        acl[4 + at] = OWNER[at];
        acl[12 + at] = GROUP[at];
        acl[20 + at] = OTHERS[at];
        at += 1;
    }
    acl
};

#[test]
#[cfg(target_os = "linux")]
fn permissions_arrive_whatever_a_folder_gives_to_new_files() {
    let sandbox = Sandbox::new();
    for (name, size) in [("small", 100), ("large", 2 * CHUNK), ("dir/sub/small", 7)] {
        let path = sandbox.src().join(name);
        make_file(&path, 1, size);
        set_mode(&path, 0o644);
    }
    let set = rustix::fs::setxattr(
        sandbox.dst(),
        "system.posix_acl_default",
        &DEFAULT_ACL,
        rustix::fs::XattrFlags::empty(),
    );
    if set.is_err() {
        skip("this file system has no access control lists");
        return;
    }
    let recv = sandbox.recv();
    sandbox.send(&[], &recv.target()).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
}

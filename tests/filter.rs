//! What is sent, and what is left out of it: patterns, ignore files, sizes, links, file systems.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::*;

/// A sandbox with these files in it, of a few bytes; a name that ends in '/' is a folder.
fn sandbox(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    for name in names {
        let path = sandbox.src().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            make_file(path, 1, 5);
        }
    }
    sandbox
}

fn write(sandbox: &Sandbox, name: &str, text: &str) {
    fs::write(sandbox.src().join(name), text).unwrap();
}

/// What arrives of these paths below `src`, and what the sender said.
#[track_caller]
fn send(sandbox: &Sandbox, args: &[&str], paths: &[&str]) -> (Vec<String>, Output) {
    let recv = sandbox.recv();
    let mut all: Vec<PathBuf> = args.iter().map(PathBuf::from).collect();
    all.extend(paths.iter().map(|path| sandbox.src().join(path)));
    let all: Vec<&Path> = all.iter().map(PathBuf::as_path).collect();
    let sent = sandbox.send(&all, &recv.target());
    no_leftovers(sandbox.dst());
    (Tree::read(sandbox.dst()).names(), sent)
}

/// The same, where all goes well.
#[track_caller]
fn arrives(sandbox: &Sandbox, args: &[&str], paths: &[&str]) -> Vec<String> {
    let (names, sent) = send(sandbox, args, paths);
    sent.assert_code(0);
    names
}

#[test]
fn patterns_are_those_of_git_and_hold_for_what_is_named_too() {
    let sandbox = sandbox(&[
        "p/a.log",
        "p/keep.log",
        "p/sub/b.log",
        "p/sub/top",
        "p/target/x",
        "p/top",
        "c.log",
        "d.txt",
    ]);
    write(&sandbox, "patterns", "# not this one\n/top\ntarget/\n");
    let patterns = sandbox.src().join("patterns");
    let from = patterns.to_str().unwrap();
    let args = [
        "-v",
        "--exclude",
        "*.log",
        "--include",
        "keep.log",
        "--exclude-from",
        from,
    ];
    let (names, sent) = send(&sandbox, &args, &["p", "c.log", "d.txt"]);
    assert_eq!(names, ["d.txt", "p", "p/keep.log", "p/sub", "p/sub/top"]);
    // A folder counts once.
    sent.assert_code(0).assert_says("\n  5 left out by filters");
    for path in ["p/a.log", "p/sub/b.log", "p/target", "p/top", "c.log"] {
        let path = fs::canonicalize(sandbox.src()).unwrap().join(path);
        sent.assert_says(&format!("Left out: {}: by a pattern\n", path.display()));
    }
}

#[test]
fn only_some_kinds_of_files() {
    let sandbox = sandbox(&["p/a.jpg", "p/b.txt", "p/sub/c.jpg", "p/sub/d.txt"]);
    let args = ["--include=*/", "--include=*.jpg", "--exclude=*"];
    let names = arrives(&sandbox, &args, &["p"]);
    assert_eq!(names, ["p", "p/a.jpg", "p/sub", "p/sub/c.jpg"]);
}

#[test]
fn ignore_files_hold_for_what_is_below_them_and_the_nearest_wins() {
    let sandbox = sandbox(&[
        "p/a.o",
        "p/b.tmp",
        "p/sub/c.o",
        "p/sub/d.tmp",
        "p/sub/only",
        "p/sub/deep/only",
        "q/a.o",
    ]);
    write(&sandbox, "p/.xferignore", "*.tmp\n");
    write(&sandbox, "p/sub/.xferignore", "!d.tmp\n/only\n");
    write(&sandbox, "p/.gitignore", "*.o\n");
    // Those beside what is named, and above it, are not asked.
    write(&sandbox, ".xferignore", "*\n");
    let below = |git: bool| {
        let names = [
            ("p", true),
            ("p/.gitignore", true),
            ("p/.xferignore", true),
            ("p/a.o", !git),
            ("p/sub", true),
            ("p/sub/.xferignore", true),
            ("p/sub/c.o", !git),
            ("p/sub/d.tmp", true),
            ("p/sub/deep", true),
            ("p/sub/deep/only", true),
            ("q", true),
            ("q/a.o", true),
        ];
        let kept = names.iter().filter(|(_, kept)| *kept);
        kept.map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        arrives(&sandbox, &["--gitignore"], &["p", "q"]),
        below(true)
    );
    assert_eq!(arrives(&sandbox, &[], &["p", "q"]), below(false));
    // The command line wins over all of them.
    let names = arrives(&sandbox, &["--include", "b.tmp"], &["p"]);
    assert!(names.contains(&"p/b.tmp".to_owned()), "{names:?}");
}

#[test]
fn ignore_files_need_not_be_utf8() {
    let sandbox = sandbox(&["p/a.log", "p/cafe", "p/naive", "p/sent"]);
    if cfg!(target_os = "linux") {
        make_file(
            sandbox.src().join("p").join(OsStr::from_bytes(b"caf\xe9")),
            1,
            5,
        );
    }
    // What may be meant by such a byte is rather left out than sent.
    let patterns = b"# \xfcberfl\xfcssig\r\n*.log\ncaf\xe9\nnaive\n!na\xefve\n";
    fs::write(sandbox.src().join("p/.gitignore"), patterns).unwrap();
    let names = arrives(&sandbox, &["--gitignore"], &["p"]);
    assert_eq!(names, ["p", "p/.gitignore", "p/sent"]);
}

#[test]
fn what_an_ignore_file_might_have_left_out_is_not_sent_where_it_makes_no_sense() {
    let sandbox = sandbox(&["p/sub/secret", "p/z"]);
    write(&sandbox, "p/sub/.xferignore", "ok\n[z-a]\n");
    let (names, sent) = send(&sandbox, &[], &["p"]);
    assert_eq!(names, ["p", "p/sub", "p/z"]);
    sent.assert_code(3)
        .assert_says("sub/.xferignore: cannot be read: line 2: ");
    // A fifo of that name is no ignore file, and nobody waits for it.
    fs::remove_file(sandbox.src().join("p/sub/.xferignore")).unwrap();
    make_fifo(sandbox.src().join("p/sub/.xferignore"));
    let (names, sent) = send(&sandbox, &["--exclude=.xfer*"], &["p"]);
    assert_eq!(names, ["p", "p/sub", "p/sub/secret", "p/z"]);
    sent.assert_code(0);
}

#[test]
fn what_is_reserved_for_xfer_is_left_out_with_a_word() {
    let sandbox = sandbox(&["photos/1.jpg", "photos/.xfer/old", "photos/sub/.xfer/old"]);
    let (names, sent) = send(&sandbox, &[], &["photos"]);
    sent.assert_code(0);
    assert_eq!(names, ["photos", "photos/1.jpg", "photos/sub"]);
    let text = sent.text();
    let said = text.lines().find(|line| line.contains(" left out: "));
    let said = said.unwrap_or_else(|| panic!("{text}"));
    assert!(said.starts_with("  2 left out: "), "{said}");
    assert!(said.ends_with(" (reserved for xfer)"), "{said}");
    for name in ["photos/.xfer", "photos/sub/.xfer"] {
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn a_pattern_that_means_nothing_is_wrong_usage() {
    let sandbox = sandbox(&["p/a"]);
    for (args, code, words) in [
        (
            ["--exclude", "[z-a]"],
            2,
            "invalid pattern '[z-a]': invalid range",
        ),
        (["--include", " "], 2, "invalid pattern ' '"),
        (["--exclude", "#a#"], 2, "'\\#'"),
        (["--exclude", "!a"], 2, "'\\!'"),
        (["--include", "a[b"], 2, "'\\['"),
        (["--exclude", "[]"], 2, "'\\['"),
        (["--exclude-from", "no/such"], 1, "no/such: no such file"),
        (["--max-size", "big"], 2, "1.5G or"),
    ] {
        let [option, value] = args.map(Path::new);
        let sent = sandbox.send(&[option, value, &sandbox.src().join("p")], "127.0.0.1:1");
        sent.assert_code(code).assert_says(words);
    }
}

#[test]
fn large_files_stay_here() {
    let sandbox = sandbox(&["p/small", "named"]);
    make_file(sandbox.src().join("p/large"), 2, 1025);
    make_file(sandbox.src().join("p/exact"), 3, 1024);
    make_file(sandbox.src().join("named"), 4, 5000);
    let (names, sent) = send(&sandbox, &["--max-size=1KiB"], &["p", "named"]);
    assert_eq!(names, ["p", "p/exact", "p/small"]);
    sent.assert_code(0)
        .assert_says("Sent p (2 files, 1.03 kB) to ");
    sent.assert_says("\n  2 left out by filters");
}

#[test]
fn links_are_followed_or_skipped() {
    let sandbox = sandbox(&["p/b/x", "p/z", "elsewhere/deep/y"]);
    let src = sandbox.src();
    make_file(src.join("elsewhere/large"), 7, 2 * CHUNK + 3);
    // Links sort where they are, not where they lead to.
    symlink("z", src.join("p/a")).unwrap();
    symlink("../elsewhere", src.join("p/m")).unwrap();
    symlink("../elsewhere/large", src.join("p/n")).unwrap();

    let (names, sent) = send(&sandbox, &["--links", "skip"], &["p"]);
    assert_eq!(names, ["p", "p/b", "p/b/x", "p/z"]);
    sent.assert_code(0).assert_says("\n  3 left out by filters");

    let received = sandbox.folder("dst/followed");
    let recv = sandbox.me().recv(&received, &[]);
    let paths = ["--links=follow".as_ref(), &*src.join("p")];
    sandbox.send(&paths, &recv.target()).assert_code(0);
    no_leftovers(&received);
    // The same tree, but made of files.
    let copy = sandbox.path("copy");
    let mut command = Command::new("cp");
    let copied = command.arg("-aL").args([&src.join("p"), &copy]).status();
    assert!(copied.unwrap().success());
    assert_same_tree(copy, received.join("p"));

    // A folder of links that lead nowhere or in a circle: named, and the rest arrives.
    symlink("nowhere", src.join("p/broken")).unwrap();
    symlink("..", src.join("p/b/loop")).unwrap();
    symlink("../..", src.join("p/b/excluded")).unwrap();
    let (names, sent) = send(
        &sandbox,
        &["--links=follow", "--exclude=/b/excluded/"],
        &["p"],
    );
    sent.assert_code(3);
    sent.assert_says("p/broken: cannot be read: broken link");
    sent.assert_says("p/b/loop: cannot be read: link loop");
    sent.assert_says("\n  1 left out by filters\n  2 failed");
    for name in ["p/m/deep/y", "p/a", "p/b/x"] {
        assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
    }
}

/// Mounts a file system on `$1`, puts a file into it, and becomes the rest.
const MOUNT: &str = r#"mount -t tmpfs tmpfs "$1" && echo x >"$1/inside" && shift && exec "$@""#;

#[test]
fn what_is_mounted_stays_here() {
    let sandbox = sandbox(&["p/a/mnt/", "p/a/hidden/", "p/b", "p/z/y"]);
    let recv = sandbox.recv();
    let in_namespace = |command: &Command| {
        let mut args = ["-m", "sh", "-c", MOUNT, "sh"].map(OsStr::new).to_vec();
        let [first, second] = ["p/a/mnt", "p/a/hidden"].map(|path| sandbox.src().join(path));
        args.push(first.as_os_str());
        args.extend(["sh", "-c", MOUNT, "sh"].map(OsStr::new));
        args.push(second.as_os_str());
        run_by("unshare", &args, command)
    };
    if !can_run(in_namespace, "no file system can be mounted") {
        return;
    }
    let mut command = sandbox.me().command(&["send", "-v", "--one-file-system"]);
    command.arg("--exclude=hidden").arg(sandbox.src().join("p"));
    command.arg(recv.target());
    let sent = Process::spawn(in_namespace(&command)).wait();
    sent.assert_code(0).assert_says("\n  2 left out by filters");
    sent.assert_says("p/a/mnt: its contents are on another file system\n");
    let names = Tree::read(sandbox.dst()).names();
    assert_eq!(names, ["p", "p/a", "p/a/mnt", "p/b", "p/z", "p/z/y"]);
}

#[test]
fn patterns_without_end_take_neither_memory_nor_what_they_would_hide() {
    const MANY: usize = (1 << 16) + 1;
    let sandbox = sandbox(&["p/huge/secret", "p/many/secret", "p/fine", "p/deep/secret"]);
    let huge = fs::File::create(sandbox.src().join("p/huge/.xferignore")).unwrap();
    huge.set_len(60_000_000).unwrap();
    write(&sandbox, "p/many/.xferignore", &"secret\n".repeat(MANY));
    // Each of these could be, but not all of them at once.
    let half = "x\n".repeat(MANY / 2 - 10);
    let mut path = "p/deep".to_owned();
    for _ in 0..3 {
        write(&sandbox, &format!("{path}/.xferignore"), &half);
        path.push_str("/deeper");
        make_file(sandbox.src().join(&path).join("secret"), 1, 5);
    }
    let (names, sent) = send(&sandbox, &[], &["p"]);
    sent.assert_code(3)
        .assert_says("p/huge/.xferignore")
        .assert_says("more than 1 MiB of patterns")
        .assert_says("p/many/.xferignore")
        .assert_says("more than 65536 patterns")
        .assert_says("the ignore files that hold here have more than 65536 patterns");
    let secrets = names.iter().filter(|name| name.ends_with("secret"));
    assert_eq!(
        secrets.collect::<Vec<_>>(),
        ["p/deep/deeper/secret", "p/deep/secret"]
    );
    assert!(names.contains(&"p/fine".to_owned()));

    // One that is named is the user's own.
    write(&sandbox, "patterns", &"x\n".repeat(MANY));
    let patterns = sandbox.src().join("patterns");
    let args = ["--exclude-from", patterns.to_str().unwrap()];
    let (_, sent) = send(&sandbox, &args, &["p/fine"]);
    sent.assert_code(0);
    let huge = fs::File::create(&patterns).unwrap();
    huge.set_len((16 << 20) + 1).unwrap();
    let (_, sent) = send(&sandbox, &args, &["p/fine"]);
    sent.assert_code(1)
        .assert_says("more than 16 MiB of patterns");
}

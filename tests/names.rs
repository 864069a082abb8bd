//! Names that are one to a file system and several to others, and file systems that make up the
//! numbers of files: nothing is lost, taken for something else, or removed by mistake.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::fuse::{Fuse, Inodes, Names};
use support::*;

/// An ordinary time.
const THEN: i64 = 1_600_000_000;
/// Those that do not number what a name leads to.
const MADE_UP: [Inodes; 2] = [Inodes::BySpelling, Inodes::EachLookup];

/// A receiver on a file system of its own, and the folder that is behind that.
struct Scene {
    sandbox: Sandbox,
    _fuse: Fuse,
    recv: Recv,
}

impl Scene {
    fn new(names: Names, inodes: Inodes, args: &[&str]) -> Option<Self> {
        let sandbox = Sandbox::new();
        let fuse = Fuse::mount(&sandbox.path("real"), &sandbox.dst())?;
        fuse.set(|s| (s.names, s.inodes) = (names, inodes));
        let recv = sandbox.recv_with(args);
        Some(Self {
            sandbox,
            _fuse: fuse,
            recv,
        })
    }

    fn tree(&self) -> PathBuf {
        self.sandbox.src().join("tree")
    }

    /// What is really stored.
    fn real(&self) -> PathBuf {
        self.sandbox.path("real")
    }

    fn send(&self, args: &[&str]) -> Output {
        let tree = self.tree().display().to_string();
        let target = self.recv.target();
        let args = [args, &[&tree, &target]].concat();
        self.sandbox.me().send(&args)
    }
}

/// What is in the files of a tree, by their paths as `fold` makes them; where links lead.
fn contents(root: &Path, fold: impl Fn(&str) -> String) -> BTreeMap<String, Vec<u8>> {
    let all = Tree::read(root).0.into_iter();
    all.map(|(path, node)| {
        let content = match node.kind {
            Kind::File { digest, .. } => digest.to_vec(),
            Kind::Link { target } => target,
            Kind::Dir => b"folder".to_vec(),
            Kind::Other => b"other".to_vec(),
        };
        (fold(&String::from_utf8_lossy(&path)), content)
    })
    .collect()
}

fn lower(path: &str) -> String {
    path.to_lowercase()
}

#[test]
fn a_mirror_after_only_the_case_of_names_changed() {
    for inodes in MADE_UP {
        let args = ["--allow-mirror"];
        let Some(scene) = Scene::new(Names::FoldCase, inodes, &args) else {
            return;
        };
        let tree = scene.tree();
        make_file(tree.join("README.TXT"), 1, 100);
        make_file(tree.join("Dir/File"), 2, 3 * CHUNK);
        make_file(tree.join("Dir/Deep/x"), 3, 10);
        make_file(tree.join("gone"), 4, 10);
        make_file(tree.join("Gone Dir/x"), 4, 10);
        symlink("README.TXT", tree.join("Link")).unwrap();
        scene.send(&["--mirror"]).assert_code(0);
        for (from, to) in [
            ("README.TXT", "readme.txt"),
            ("Dir/File", "Dir/FILE"),
            ("Dir/Deep", "Dir/deep"),
            ("Dir", "dir"),
            ("Link", "LINK"),
        ] {
            fs::rename(tree.join(from), tree.join(to)).unwrap();
        }
        fs::remove_file(tree.join("gone")).unwrap();
        fs::remove_dir_all(tree.join("Gone Dir")).unwrap();
        let sent = scene.send(&["--mirror"]);
        sent.assert_code(0).assert_says("3 deleted");
        let stored = contents(&scene.real(), lower);
        assert_eq!(stored, contents(&scene.sandbox.src(), lower), "{inodes:?}");
        scene.send(&["--mirror"]).assert_code(0);
        assert_eq!(stored, contents(&scene.real(), lower), "{inodes:?}");
        no_leftovers(scene.real());
    }
}

#[test]
fn a_mirror_of_names_that_are_composed_in_another_way_there() {
    for inodes in MADE_UP {
        let args = ["--allow-mirror"];
        let Some(scene) = Scene::new(Names::Decompose, inodes, &args) else {
            return;
        };
        let tree = scene.tree();
        make_file(tree.join("\u{e9}t\u{e9}"), 1, 100);
        make_file(tree.join("a\u{f1}o/\u{fc}ber"), 2, 2 * CHUNK);
        make_file(tree.join("plain"), 3, 10);
        let names = |root: &Path| {
            contents(root, |path| {
                let parts = [
                    ("e\u{301}", "\u{e9}"),
                    ("n\u{303}", "\u{f1}"),
                    ("u\u{308}", "\u{fc}"),
                ];
                let compose = |path: String, (from, to)| path.replace(from, to);
                parts.into_iter().fold(path.to_owned(), compose)
            })
        };
        for _ in 0..3 {
            scene.send(&["--mirror"]).assert_code(0);
            assert_eq!(
                names(&scene.real()),
                names(&scene.sandbox.src()),
                "{inodes:?}"
            );
        }
        fs::remove_file(tree.join("\u{e9}t\u{e9}")).unwrap();
        scene.send(&["--mirror"]).assert_code(0);
        assert_eq!(
            names(&scene.real()),
            names(&scene.sandbox.src()),
            "{inodes:?}"
        );
        no_leftovers(scene.real());
    }
}

/// An exFAT file system, which no kernel but a program gives, and numbers as it looks up.
struct ExFat {
    at: PathBuf,
    device: String,
}

impl ExFat {
    fn mount(image: &Path, at: &Path) -> Option<Self> {
        let run = |command: &mut Command| {
            let done = command.stderr(Stdio::null()).output().ok()?;
            done.status.success().then_some(done.stdout)
        };
        fs::File::create(image).unwrap().set_len(64 << 20).unwrap();
        let mounted = || {
            run(Command::new("mkfs.exfat").arg(image))?;
            let device = run(Command::new("losetup").args(["-f", "--show"]).arg(image))?;
            let exfat = Self {
                at: at.to_owned(),
                device: String::from_utf8(device).ok()?.trim().to_owned(),
            };
            run(Command::new("mount.exfat-fuse").arg(&exfat.device).arg(at))?;
            Some(exfat)
        };
        let mounted = mounted();
        if mounted.is_none() {
            skip("no exFAT file system can be mounted here: it takes exfatprogs and exfat-fuse");
        }
        mounted
    }
}

impl Drop for ExFat {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
        let detach = Command::new("losetup").arg("-d").arg(&self.device).output();
        let _ = detach;
    }
}

#[test]
fn names_on_exfat() {
    let sandbox = Sandbox::new();
    let Some(_exfat) = ExFat::mount(&sandbox.path("image"), &sandbox.dst()) else {
        return;
    };
    let recv = sandbox.recv_with(&["--allow-mirror"]);
    let tree = sandbox.src().join("tree");
    let send = |args: &[&str]| {
        let (tree, target) = (tree.display().to_string(), recv.target());
        sandbox.me().send(&[args, &[&tree, &target]].concat())
    };
    make_file(tree.join("README.TXT"), 1, 10);
    make_file(tree.join("Dir/f"), 2, 2 * CHUNK);
    make_file(tree.join("gone"), 2, 10);
    send(&["--mirror"]).assert_code(0);
    fs::rename(tree.join("README.TXT"), tree.join("readme.txt")).unwrap();
    fs::rename(tree.join("Dir"), tree.join("dir")).unwrap();
    fs::remove_file(tree.join("gone")).unwrap();
    let sent = send(&["--mirror"]);
    sent.assert_code(0).assert_says("1 deleted");
    let stored = || contents(&sandbox.dst(), lower);
    let sent = contents(&sandbox.src(), lower);
    assert_eq!(stored(), sent);
    make_file(tree.join("README.TXT"), 3, 10);
    let time = fs::metadata(tree.join("readme.txt")).unwrap();
    let seconds = std::os::unix::fs::MetadataExt::mtime(&time);
    set_mtime(tree.join("README.TXT"), seconds, 0);
    for args in [&["--update"][..], &["--mirror"], &[]] {
        let sent = send(args);
        sent.assert_code(3)
            .assert_says("has the same name on this file system");
        assert_eq!(stored().len(), 4);
    }
    no_leftovers(sandbox.dst());
}

/// Puts pairs of names in a tree that differ in case alone, and says how many there are.
fn make_pairs(tree: &Path) -> usize {
    for (seed, folder) in [(1, "SMALL"), (2, "small")] {
        make_file(tree.join(folder), seed, 1000 + seed);
    }
    for (seed, name) in [(3, "LARGE"), (4, "large")] {
        make_file(tree.join(name), seed, 3 * CHUNK + seed);
    }
    for (seed, name) in [(5, "Report.txt"), (6, "report.txt")] {
        make_file(tree.join(name), seed, 1000);
        set_mtime(tree.join(name), THEN, 0);
    }
    for (seed, name) in [(7, "DIR"), (8, "dir")] {
        make_file(tree.join(name).join("file"), seed, 1000);
    }
    symlink("one", tree.join("LINK")).unwrap();
    symlink("other", tree.join("link")).unwrap();
    5
}

#[test]
fn of_two_names_that_are_one_there_the_first_is_stored_and_the_other_fails() {
    for inodes in [Inodes::Real, MADE_UP[0], MADE_UP[1]] {
        let Some(scene) = Scene::new(Names::FoldCase, inodes, &["--allow-mirror"]) else {
            return;
        };
        make_pairs(&scene.tree());
        let mut first = contents(&scene.sandbox.src(), str::to_owned);
        for second in ["small", "large", "report.txt", "dir", "dir/file", "link"] {
            first.remove(&format!("tree/{second}")).unwrap();
        }
        for args in [
            &["--update"][..],
            &["--update"],
            &["--mirror"],
            &[],
            &["--update", "--dry-run"],
        ] {
            let sent = scene.send(args);
            sent.assert_code(3)
                .assert_says("has the same name on this file system");
            // With the folder, what is in it.
            let dry = args.contains(&"--dry-run");
            sent.assert_says(if dry { "6 refused" } else { "6 failed" });
            assert_eq!(
                contents(&scene.real(), str::to_owned),
                first,
                "{inodes:?} {args:?}"
            );
        }
        no_leftovers(scene.real());
    }
}

#[test]
fn numbers_that_change_at_each_look_hinder_nothing() {
    let Some(scene) = Scene::new(Names::Exact, Inodes::EachLookup, &["--allow-mirror"]) else {
        return;
    };
    make_pairs(&scene.tree());
    for n in 0..300 {
        make_file(scene.tree().join(format!("many/{n}/file")), n, 100);
    }
    make_file(scene.tree().join("big"), 9, 20 * CHUNK);
    // Cut off, and resumed.
    let proxy = Proxy::new(scene.recv.addr());
    proxy.hold_at(10 * CHUNK);
    let tree = scene.tree().display().to_string();
    let target = proxy.target();
    let sender = scene.sandbox.me().spawn_send(&[&tree, &target]);
    proxy.wait_for_up(10 * CHUNK);
    sender.kill();
    drop(proxy);
    let send = |args: &[&str]| {
        scene.send(args).assert_code(0);
        assert_eq!(
            contents(&scene.sandbox.src(), str::to_owned),
            contents(&scene.real(), str::to_owned)
        );
        no_leftovers(scene.real());
    };
    send(&[]);
    // Parts are copied from the older version.
    make_file(scene.tree().join("added"), 10, 3 * CHUNK);
    set_mtime(scene.tree().join("big"), THEN, 0);
    let open = fs::OpenOptions::new()
        .write(true)
        .open(scene.tree().join("big"));
    std::os::unix::fs::FileExt::write_all_at(&open.unwrap(), b"changed", 5 * CHUNK).unwrap();
    send(&["--update"]);
    // What is surplus goes, below folders as well.
    for n in 0..3 {
        fs::remove_dir_all(scene.tree().join(format!("many/{n}"))).unwrap();
    }
    fs::remove_file(scene.tree().join("added")).unwrap();
    send(&["--mirror"]);
}

#[test]
fn numbers_that_change_while_they_are_sent() {
    let sandbox = Sandbox::new();
    let Some(fuse) = Fuse::mount(&sandbox.path("real"), &sandbox.src()) else {
        return;
    };
    fuse.set(|s| s.inodes = Inodes::EachLookup);
    // Deeper than what is kept open on the way.
    let mut path = sandbox.path("real/tree");
    for n in 0..30 {
        make_file(path.join("file"), n, 100);
        make_file(path.join("zfile"), 100 + n, 100);
        path.push("dir");
    }
    symlink("..", sandbox.path("real/tree/dir/loop")).unwrap();
    symlink("dir/dir/dir", sandbox.path("real/tree/elsewhere")).unwrap();
    let recv = sandbox.recv();
    sandbox.send(&[], &recv.target()).assert_code(0);
    assert_same_tree(sandbox.path("real"), sandbox.dst());
    // A loop of links is found all the same.
    let tree = sandbox.src().join("tree").display().to_string();
    let recv = sandbox.me().recv(&sandbox.folder("followed"), &[]);
    let target = recv.target();
    let sent = sandbox.me().send(&["--links", "follow", &tree, &target]);
    sent.assert_code(3).assert_says("loop: ");
    sent.assert_says("1 failed");
}

//! What becomes of what is there already: replaced where the sender asks for it and the receiver
//! lets it, by what differs alone, and never half.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use support::*;

/// What may travel beside the content: names, digests, handshakes.
const TALK: u64 = 256 << 10;
/// An ordinary time.
const THEN: i64 = 1_600_000_000;

/// A folder that was sent, and is not the same any more.
struct Scene {
    sandbox: Sandbox,
    recv: Recv,
}

impl Scene {
    fn new(args: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let scene = Self {
            recv: sandbox.recv_with(args),
            sandbox,
        };
        make_file(scene.tree().join("image"), 1, 30 * CHUNK + 12_345);
        make_file(scene.tree().join("log"), 2, 5 * CHUNK + 100);
        for n in 0..20 {
            make_file(scene.tree().join(format!("sub/{n}")), 10 + n, 4000);
        }
        symlink("image", scene.tree().join("link")).unwrap();
        let sent = scene.send(&[]);
        sent.assert_code(0);
        scene
    }

    /// What is sent.
    fn tree(&self) -> PathBuf {
        self.sandbox.src().join("tree")
    }

    /// What was received.
    fn copy(&self) -> PathBuf {
        self.sandbox.dst().join("tree")
    }

    fn spawn_to(&self, args: &[&str], target: &str) -> Process {
        let tree = self.tree().display().to_string();
        let args = [args, &["--lanes", "2", &tree, target]].concat();
        self.sandbox.me().spawn_send(&args)
    }

    fn send(&self, args: &[&str]) -> Output {
        self.spawn_to(args, &self.recv.target()).wait()
    }

    /// Changes four chunks of the image, a small file and the link, and lets the log grow.
    fn change(&self) {
        let open = |name| OpenOptions::new().write(true).open(self.tree().join(name));
        let image = open("image").unwrap();
        for n in [0, 7, 19, 30] {
            image.write_all_at(b"changed", n * CHUNK + 5000).unwrap();
        }
        let log = open("log").unwrap();
        log.write_all_at(&bytes(3, 300_000), 5 * CHUNK + 100)
            .unwrap();
        make_file(self.tree().join("sub/3"), 99, 5000);
        make_file(self.tree().join("sub/4"), 99, 4000);
        fs::remove_file(self.tree().join("link")).unwrap();
        symlink("log", self.tree().join("link")).unwrap();
    }

    #[track_caller]
    fn is_same(&self) {
        assert_same_tree(self.sandbox.src(), self.sandbox.dst());
        no_leftovers(self.sandbox.dst());
    }
}

fn content(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn only_what_differs_travels() {
    let scene = Scene::new(&[]);
    scene.change();
    // What is newer at the receiver is replaced as well, and what is there is not read through.
    make_file(scene.copy().join("sub/5"), 5, 4000);
    set_mode(scene.tree().join("sub/6"), 0o600);
    let touched = scene.tree().join("sub/7");
    set_mtime(&touched, THEN, 0);
    let proxy = Proxy::new(scene.recv.addr());
    let sent = scene.spawn_to(&["--update"], &proxy.target()).wait();
    sent.assert_code(0).assert_says("files replaced");
    scene.is_same();
    let (up, most) = (proxy.passed().0, 4 * CHUNK + 400_100 + 13_000 + TALK);
    assert!(up < most, "{up} of {most} bytes");
    // And now there is nothing to do.
    scene
        .send(&["--update"])
        .assert_code(0)
        .assert_says("nothing to send");
    // A link that was only touched gets its time.
    set_mtime(scene.tree().join("link"), THEN, 0);
    scene.send(&["--update"]).assert_code(0);
    scene.is_same();
}

#[test]
fn a_hole_stays_a_hole() {
    let scene = Scene::new(&[]);
    let sparse = scene.tree().join("sparse");
    let file = fs::File::create(&sparse).unwrap();
    file.set_len(64 * CHUNK).unwrap();
    scene.send(&[]).assert_code(0);
    file.write_all_at(b"something", 40 * CHUNK).unwrap();
    scene.send(&["--update"]).assert_code(0);
    scene.is_same();
    let stored = fs::metadata(scene.copy().join("sparse")).unwrap();
    let blocks = std::os::unix::fs::MetadataExt::blocks(&stored);
    assert!(blocks * 512 < 4 * CHUNK, "{blocks} blocks");
}

#[test]
fn without_it_nothing_is_replaced() {
    let scene = Scene::new(&[]);
    scene.change();
    let before = Tree::read(scene.copy());
    scene.send(&[]).assert_code(0);
    let after = Tree::read(scene.copy());
    for (name, node) in before.0.iter().filter(|(name, _)| *name != b"sub") {
        assert_eq!(after.0.get(name), Some(node));
    }
    for name in ["image (2)", "log (2)", "link (2)", "sub/3 (2)", "sub/4 (2)"] {
        assert!(after.names().contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn content_is_compared_where_that_is_asked_for() {
    let scene = Scene::new(&[]);
    for name in ["image", "sub/0"] {
        // Same size, same time, another content.
        let (ours, theirs) = (scene.tree().join(name), scene.copy().join(name));
        let file = OpenOptions::new().write(true).open(&theirs).unwrap();
        file.write_all_at(b"rotten", 100).unwrap();
        for path in [ours, theirs] {
            set_mtime(path, THEN, 5);
        }
    }
    set_mtime(scene.copy(), THEN, 0);
    scene.send(&["--update"]).assert_code(0);
    assert_ne!(
        content(scene.tree().join("sub/0")),
        content(scene.copy().join("sub/0"))
    );
    let proxy = Proxy::new(scene.recv.addr());
    let sent = scene
        .spawn_to(&["--update", "--checksum"], &proxy.target())
        .wait();
    sent.assert_code(0).assert_says("2 files replaced");
    scene.is_same();
    let up = proxy.passed().0;
    assert!(up < CHUNK + TALK, "{up} bytes");
}

#[test]
fn the_receivers_user_has_a_say() {
    let sandbox = Sandbox::new();
    let [desktop, laptop] = ["desktop", "laptop"].map(|name| sandbox.user(name));
    pair(&desktop, "desktop", &laptop);
    let (ours, theirs) = (sandbox.src().join("file"), sandbox.dst().join("file"));
    let beside = sandbox.dst().join("file (2)");
    let (old, new) = (bytes(1, 3_000_000), bytes(2, 3_000_001));
    fs::write(&ours, &new).unwrap();
    let words = "does not replace files";
    for (args, open, code, says) in [
        (&["--allow-update"][..], false, 0, "1 file replaced"),
        (
            &["--allow-update", "--on-conflict", "replace"],
            false,
            0,
            "1 file replaced",
        ),
        (
            &["--allow-update", "--on-conflict", "beside"],
            false,
            0,
            words,
        ),
        (&["--on-conflict", "beside"], false, 0, words),
        (&["--on-conflict", "skip"], false, 0, "1 item skipped"),
        (&["--on-conflict", "fail"], false, 1, "a file is in the way"),
        // Whoever may be anybody replaces nothing, ever.
        (&["--open", "--allow-update"], true, 4, "replace files"),
        (
            &["--open", "--on-conflict", "replace"],
            true,
            4,
            "replace files",
        ),
        (&["--open", "--on-conflict", "beside"], true, 0, words),
        (
            &["--open", "--on-conflict", "skip"],
            true,
            0,
            "1 item skipped",
        ),
    ] {
        fs::write(&theirs, &old).unwrap();
        let _ = fs::remove_file(&beside);
        let recv = laptop.recv(&sandbox.dst(), args);
        let sender = sandbox.user(if open { "stranger" } else { "desktop" });
        let mut command = vec!["--update"];
        command.extend(open.then_some("--open"));
        let (path, target) = (ours.display().to_string(), recv.target());
        command.extend([path.as_str(), target.as_str()]);
        let sent = sender.send(&command);
        sent.assert_code(code).assert_says(says);
        let replaces = says.contains("replaced");
        assert!(content(&theirs) == if replaces { &new[..] } else { &old[..] });
        assert_eq!(beside.exists(), says == words, "{args:?}");
        let told = recv.interrupt();
        told.assert_says(says);
    }
}

#[test]
fn what_is_of_another_kind_stays() {
    let scene = Scene::new(&[]);
    let outside = scene.sandbox.path("outside");
    fs::write(&outside, "not to be touched").unwrap();
    // A link in the place of a file is replaced and not followed, and the other way round; both
    // make way for a folder; folders and special files for nothing.
    fs::remove_file(scene.copy().join("sub/1")).unwrap();
    symlink(&outside, scene.copy().join("sub/1")).unwrap();
    fs::remove_file(scene.copy().join("link")).unwrap();
    fs::write(scene.copy().join("link"), "a file").unwrap();
    scene.send(&["--update"]).assert_code(0);
    scene.is_same();
    assert_eq!(content(&outside), b"not to be touched");

    fs::remove_file(scene.copy().join("sub/2")).unwrap();
    make_file(scene.copy().join("sub/2/inside"), 1, 10);
    fs::remove_file(scene.copy().join("sub/3")).unwrap();
    make_fifo(scene.copy().join("sub/3"));
    fs::create_dir(scene.tree().join("new")).unwrap();
    fs::write(scene.copy().join("new"), "a file").unwrap();
    let sent = scene.send(&["--update"]);
    sent.assert_code(3).assert_says("a folder is in the way");
    sent.assert_says("a special file is in the way");
    assert!(scene.copy().join("sub/2/inside").exists());
    assert!(scene.copy().join("new").is_dir());
}

#[test]
fn what_belongs_to_somebody_else() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: nothing can be given to somebody else");
        return;
    }
    let sandbox = Sandbox::new();
    for (n, name) in ["same", "touched", "large", "other"].iter().enumerate() {
        let size = if *name == "large" { 2 * CHUNK } else { 1000 };
        for root in [sandbox.src(), sandbox.dst()] {
            make_file(root.join(name), n as u64, size);
            set_mtime(root.join(name), THEN, 0);
        }
    }
    for name in ["touched", "large"] {
        set_mtime(sandbox.src().join(name), THEN + 100, 0);
    }
    make_file(sandbox.src().join("other"), 9, 1000);
    set_mode(sandbox.src().join("same"), 0o600);
    for entry in fs::read_dir(sandbox.dst()).unwrap() {
        std::os::unix::fs::chown(entry.unwrap().path(), Some(65_534), None).unwrap();
    }
    let recv = sandbox.me().recv_command(&sandbox.dst(), &[]);
    let recv = Recv::start(without_privileges(&recv));
    let paths = ["same", "touched", "large", "other"].map(|name| sandbox.src().join(name));
    let mut args = vec![PathBuf::from("--update")];
    args.extend(paths);
    args.push(recv.target().into());
    let sent = sandbox.me().send(&args);
    sent.assert_code(0).assert_says("3 files replaced");
    // What is right but for its permissions, which nobody else can set, stays as it is.
    set_mode(sandbox.src().join("same"), 0o644);
    set_mode(sandbox.dst().join("same"), 0o644);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
}

#[test]
fn a_link_in_the_place_of_what_is_being_received() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    make_file(sandbox.dst().join("dir/big"), 1, 10);
    let [file, link] = ["file/dir", "link/dir"].map(|name| sandbox.folder(name));
    make_file(file.join("big"), 2, 20 * CHUNK);
    symlink("elsewhere", link.join("big")).unwrap();
    let [file, link] = [file, link].map(|path| path.display().to_string());
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(10 * CHUNK);
    let sender = sandbox
        .me()
        .spawn_send(&["--update", &file, &proxy.target()]);
    proxy.wait_for_up(10 * CHUNK);
    let send_link = || sandbox.me().send(&["--update", &link, &recv.target()]);
    let sent = send_link();
    sent.assert_code(3)
        .assert_says("being received in another transfer");
    proxy.release();
    sender.wait().assert_code(0);
    send_link().assert_code(0);
    assert_same_tree(sandbox.path("link"), sandbox.dst());
}

/// Where case does not count, two files that differ in it alone are no versions of each other.
/// Elsewhere there is nothing to see: `TMPDIR` can lead to such a file system.
#[test]
fn names_that_are_one_name_there() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.dst().join("probe"), "").unwrap();
    if !sandbox.dst().join("PROBE").exists() {
        println!("skipped: case counts here");
        return;
    }
    fs::remove_file(sandbox.dst().join("probe")).unwrap();
    let recv = sandbox.recv();
    let (one, two) = (sandbox.path("one"), sandbox.path("two"));
    let mut paths = Vec::new();
    for (seed, folder) in [(1, &one), (2, &two)] {
        let path = |name: &str| match seed {
            1 => folder.join(name.to_uppercase()),
            _ => folder.join(name),
        };
        make_file(path("small"), seed, 1000 + seed);
        make_file(path("large"), seed, 3 * CHUNK + seed);
        make_file(path("time"), seed, 1000);
        set_mtime(path("time"), THEN, 0);
        make_file(path("dir").join("file"), seed, 1000 + seed);
        paths.extend(["small", "large", "time", "dir"].map(path));
    }
    for args in [&["--update"][..], &["--update"], &[]] {
        let mut command: Vec<PathBuf> = args.iter().map(PathBuf::from).collect();
        command.extend(paths.clone());
        command.push(recv.target().into());
        let sent = sandbox.me().send(&command);
        sent.assert_code(3)
            .assert_says("has the same name on this file system");
        sent.assert_says("5 failed");
        let names = Tree::read(sandbox.dst()).names();
        assert_eq!(names.len(), 5, "{names:?}");
    }
    // Those that come first were there at the latest when all was sent again.
    let folded = |root: &Path| {
        let all = contents(root).into_iter();
        all.map(|(name, content)| (name.to_lowercase(), content))
            .collect::<BTreeMap<_, _>>()
    };
    assert!(folded(&sandbox.dst()) == folded(&one));
    no_leftovers(sandbox.dst());
}

/// The content of each file of a tree, and where each link leads.
fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let tree = Tree::read(root);
    let known = tree.0.iter().filter_map(|(name, node)| {
        let name = String::from_utf8_lossy(name).into_owned();
        match &node.kind {
            Kind::File { digest, .. } => Some((name, digest.to_vec())),
            Kind::Link { target } => Some((name, target.clone())),
            _ => None,
        }
    });
    known
        .filter(|(name, _)| !name.ends_with(".partial"))
        .collect()
}

/// Each name has its old content or its new one, and what is to stay is there.
#[track_caller]
fn is_old_or_new(now: &Path, old: &BTreeMap<String, Vec<u8>>, new: &BTreeMap<String, Vec<u8>>) {
    let now = contents(now);
    for (name, content) in &now {
        let known = [old.get(name), new.get(name)];
        assert!(
            known.contains(&Some(content)),
            "{name} is neither old nor new"
        );
    }
    for name in new.keys().filter(|name| old.contains_key(*name)) {
        assert!(now.contains_key(name), "{name} is gone");
    }
}

/// Sends with `args`, and kills a side when so much has gone up: once each. Whatever is there
/// then is old or new, and another run does the rest.
fn survives_kills(args: &[&str], recv_args: &[&str]) {
    for (point, sender_dies) in [
        (5_000, true),
        (CHUNK, false),
        (2 * CHUNK, true),
        (3 * CHUNK + 100_000, false),
    ] {
        let mut scene = Scene::new(recv_args);
        fs::write(scene.tree().join("to be removed"), "old").unwrap();
        scene.send(&[]).assert_code(0);
        fs::remove_file(scene.tree().join("to be removed")).unwrap();
        scene.change();
        let (old, new) = (contents(&scene.copy()), contents(&scene.tree()));
        let proxy = Proxy::new(scene.recv.addr());
        proxy.hold_at(point);
        let sender = scene.spawn_to(args, &proxy.target());
        proxy.wait_for_up(point);
        if sender_dies {
            sender.kill();
            proxy.release();
        } else {
            let next = scene.sandbox.recv_with(recv_args);
            std::mem::replace(&mut scene.recv, next).kill();
            sender.kill();
        }
        is_old_or_new(&scene.copy(), &old, &new);
        let proxy = Proxy::new(scene.recv.addr());
        scene.spawn_to(args, &proxy.target()).wait().assert_code(0);
        no_leftovers(scene.sandbox.dst());
        // What was held when it was killed is held still.
        let (up, most) = (proxy.passed().0, 4 * CHUNK + 400_100 + 13_000 + TALK);
        assert!(up < most, "killed at {point}: {up} of {most} bytes");
        let now = contents(&scene.copy());
        for (name, content) in &new {
            assert_eq!(now.get(name), Some(content), "{name}");
        }
    }
}

#[test]
fn a_kill_leaves_the_old_or_the_new() {
    survives_kills(&["--update"], &[]);
}

#[test]
fn a_mirror_that_is_killed_removes_nothing_that_stays() {
    survives_kills(&["--mirror"], &["--allow-mirror"]);
}

#[test]
fn a_mirror_has_no_more_than_its_source() {
    let scene = Scene::new(&["--allow-mirror"]);
    scene.change();
    fs::remove_file(scene.tree().join("sub/5")).unwrap();
    let outside = scene.sandbox.folder("outside");
    fs::write(outside.join("file"), "not to be touched").unwrap();
    let copy = scene.copy();
    make_file(copy.join("surplus"), 1, 10);
    make_file(copy.join("more/deep/er/file"), 1, 10);
    set_mode(copy.join("more/deep"), 0o500);
    symlink(&outside, copy.join("sub/out")).unwrap();
    symlink(&outside, copy.join("more/out")).unwrap();
    make_fifo(copy.join("sub/fifo"));
    // What is beside the folder that is sent is nobody's business; what the store keeps neither.
    let beside = scene.sandbox.dst().join("beside");
    fs::write(&beside, "stays").unwrap();
    let partial = |folder: &str| {
        copy.join(folder)
            .join(format!(".xfer-{}.partial", "0".repeat(32)))
    };
    fs::create_dir(copy.join("kept")).unwrap();
    for folder in ["sub", "kept"] {
        fs::write(partial(folder), "of somebody").unwrap();
    }
    fs::write(copy.join("kept/file"), "to be removed").unwrap();
    let sent = scene.send(&["--mirror"]);
    sent.assert_code(0).assert_says("10 deleted");
    assert_eq!(content(outside.join("file")), b"not to be touched");
    assert_eq!(content(&beside), b"stays");
    for folder in ["sub", "kept"] {
        assert_eq!(content(partial(folder)), b"of somebody");
        fs::remove_file(partial(folder)).unwrap();
    }
    // The folders have the times that they had before these were removed here.
    fs::remove_dir(copy.join("kept")).unwrap();
    fs::remove_file(&beside).unwrap();
    scene.send(&["--mirror"]).assert_code(0);
    scene.is_same();
}

#[test]
fn what_a_filter_hides_a_mirror_does_not_remove() {
    let scene = Scene::new(&["--allow-mirror"]);
    let (tree, copy) = (scene.tree(), scene.copy());
    // Some is on both sides, or on this one, most is there alone.
    for name in ["a.log", "sub/b.log", "gone/c.log", "gone/deep/d.log"] {
        make_file(copy.join(name), 1, 100);
    }
    make_file(tree.join("a.log"), 2, 200);
    make_file(tree.join("sub/large"), 3, 50_000);
    fs::write(tree.join("sub/.xferignore"), "*.o\n").unwrap();
    for name in [
        "x.o",
        "sub/x.o",
        "sub/large",
        "huge",
        "gone/file",
        "gone/deep/file",
    ] {
        make_file(
            copy.join(name),
            4,
            if name == "huge" { 3000 * 1000 } else { 300 },
        );
    }
    make_file(copy.join("target/debug/file"), 1, 10);
    symlink("image", copy.join("another link")).unwrap();
    fs::remove_file(tree.join("sub/9")).unwrap();
    let args = [
        "--mirror",
        "--exclude=*.log",
        "--exclude=/target/",
        "--max-size=40k",
        "--links=skip",
    ];
    let before = Tree::read(&copy);
    let dry = scene.send(&[&args[..], &["--dry-run"]].concat());
    dry.assert_code(0).assert_says("  4 would be deleted");
    assert_eq!(Tree::read(&copy), before);
    scene.send(&args).assert_code(0).assert_says("4 deleted");
    for gone in ["x.o", "sub/9", "gone/file", "gone/deep/file"] {
        assert!(!copy.join(gone).exists(), "{gone}");
    }
    let mut stay = before.names();
    stay.retain(|name| !["x.o", "sub/9", "gone/file", "gone/deep/file"].contains(&&**name));
    let mut now = Tree::read(&copy).names();
    now.retain(|name| name != "sub/.xferignore");
    assert_eq!(now, stay);
    // Without the patterns, they go.
    fs::remove_file(tree.join("sub/.xferignore")).unwrap();
    scene.send(&["--mirror"]).assert_code(0);
    scene.is_same();
}

#[test]
fn a_mirror_is_declined_where_it_is_not_allowed() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("tree/file"), 1, 10);
    make_file(sandbox.dst().join("tree/surplus"), 1, 10);
    let before = Tree::read(sandbox.dst());
    let tree = sandbox.src().join("tree").display().to_string();
    for (args, who) in [
        (&[][..], "me"),
        (&["--allow-mirror", "--on-conflict", "beside"], "me"),
        (&["--allow-mirror", "--open"], "stranger"),
    ] {
        let recv = sandbox.recv_with(args);
        let mut command = vec!["--mirror"];
        command.extend((who == "stranger").then_some("--open"));
        let target = recv.target();
        for dry in [&["--dry-run"][..], &[]] {
            let command = [&command, dry, &[tree.as_str(), target.as_str()]].concat();
            let sent = sandbox.user(who).send(&command);
            sent.assert_code(4).assert_says("--allow-mirror");
        }
        recv.interrupt().assert_says("--allow-mirror");
        assert_eq!(Tree::read(sandbox.dst()), before);
    }
}

#[test]
fn a_mirror_removes_nothing_where_something_is_missing() {
    let scene = Scene::new(&["--allow-mirror"]);
    let surplus = ["surplus", "sub/surplus", "whole/surplus"];
    make_file(scene.tree().join("whole/file"), 1, 10);
    let set_out = || {
        for name in surplus {
            make_file(scene.copy().join(name), 1, 10);
        }
    };
    // What nobody would send is told, and hinders nothing.
    set_out();
    make_fifo(scene.tree().join("sub/fifo"));
    let sent = scene.send(&["--mirror"]);
    sent.assert_code(0).assert_says("3 deleted");
    sent.assert_says("sub/fifo: a socket, fifo or device");
    fs::remove_file(scene.tree().join("sub/fifo")).unwrap();
    // A folder whose names cannot be read keeps what it has, and nothing else does.
    set_out();
    let odd = scene.tree().join("sub/.xferignore");
    fs::write(&odd, "[z-a]\n").unwrap();
    let sent = scene.send(&["--mirror"]);
    sent.assert_code(3).assert_says("2 deleted");
    let there = surplus.map(|name| scene.copy().join(name).exists());
    assert_eq!(there, [false, true, false]);
    fs::remove_file(&odd).unwrap();
    // Where something could not be stored, all do: it may be what was moved there.
    set_out();
    fs::remove_file(scene.copy().join("sub/2")).unwrap();
    make_fifo(scene.copy().join("sub/2"));
    let sent = scene.send(&["--mirror"]);
    sent.assert_code(3).assert_says("Nothing was deleted");
    assert!(surplus.iter().all(|name| scene.copy().join(name).exists()));
    fs::remove_file(scene.copy().join("sub/2")).unwrap();
    scene.send(&["--mirror"]).assert_code(0);
    scene.is_same();
}

#[test]
fn a_receiver_that_is_killed_while_it_removes() {
    let sandbox = Sandbox::new();
    let (tree, copy) = (sandbox.src().join("tree"), sandbox.dst().join("tree"));
    make_file(tree.join("stays/file"), 1, 2 * CHUNK);
    for n in 0..20_000 {
        let folder = copy.join(format!("goes/{}", n % 100));
        if n < 100 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(n.to_string()), "").unwrap();
    }
    let recv = sandbox.recv_with(&["--allow-mirror", "-v"]);
    let args = [
        "--mirror",
        "--max-delete=100%",
        "--retry",
        "0",
        tree.to_str().unwrap(),
    ];
    let sender = sandbox
        .me()
        .spawn_send(&[&args[..], &[&recv.target()]].concat());
    recv.process().wait_for_text("Deleted: ");
    recv.kill();
    sender.wait();
    assert_eq!(
        content(copy.join("stays/file")),
        content(tree.join("stays/file"))
    );
    let recv = sandbox.recv_with(&["--allow-mirror"]);
    sandbox
        .me()
        .send(&[&args[..], &[&recv.target()]].concat())
        .assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
}

/// What lines that begin with one of these words are about, sorted.
fn told(output: &Output, words: &[&str]) -> Vec<String> {
    let text = output.text();
    let about = |line: &str| {
        let rest = words.iter().find_map(|word| line.strip_prefix(word))?;
        Some(rest.trim().split(": ").next()?.to_owned())
    };
    let mut all: Vec<_> = text.lines().filter_map(about).collect();
    all.sort();
    all
}

#[test]
fn a_dry_run_says_what_a_real_one_does() {
    let scene = Scene::new(&["--allow-mirror", "-v"]);
    scene.change();
    make_file(scene.tree().join("new/folder/file"), 5, 2 * CHUNK);
    symlink("folder", scene.tree().join("new/link")).unwrap();
    symlink("/etc", scene.tree().join("out")).unwrap();
    set_mtime(scene.tree().join("sub/7"), THEN, 0);
    make_file(scene.copy().join("surplus/deep/file"), 1, 10);
    fs::remove_file(scene.tree().join("sub/9")).unwrap();
    let all = |args: &[&str]| {
        let before = Tree::read(scene.sandbox.dst());
        let dry = scene.send(&[args, &["--dry-run", "-v"]].concat());
        dry.assert_says("nothing changed").assert_says("It fits");
        assert_eq!(Tree::read(scene.sandbox.dst()), before);
        assert!(!scene.sandbox.dst().join(".xfer").exists());
        let real = scene.send(&[args, &["-v"]].concat());
        assert_eq!(dry.code, real.code);
        for (planned, done) in [
            (&["new ", "to rename "][..], "Stored:"),
            (&["to replace "], "Replaced:"),
            (&["same "], "Already there:"),
            (&["refused "], "Failed:"),
            (&["to delete "], "Deleted:"),
        ] {
            let (planned, done) = (told(&dry, planned), told(&real, &[done]));
            assert_eq!(planned, done, "{dry}\n{real}");
        }
        dry
    };
    // One link leads outside, and so fails: nothing would be removed, and nothing is.
    let dry = all(&["--mirror"]);
    dry.assert_code(3).assert_says("points outside");
    assert_eq!(told(&dry, &["to delete "]), Vec::<String>::new());
    assert_eq!(told(&dry, &["to replace "]).len(), 6);
    fs::remove_file(scene.tree().join("out")).unwrap();
    make_file(scene.tree().join("sub/1"), 98, 6000);
    let dry = all(&["--mirror"]);
    let removed = ["sub/9", "surplus", "surplus/deep", "surplus/deep/file"];
    let removed = removed.map(|name| format!("tree/{name}"));
    assert_eq!(told(&dry, &["to delete "]), removed);
    dry.assert_says("up to 6.00 kB");
    scene.is_same();
    // Without leave to replace, another version goes beside the one that is there.
    make_file(scene.tree().join("sub/2"), 97, 5000);
    let dry = all(&[]);
    let renamed = told(&dry, &["to rename "]);
    assert_eq!(renamed, ["tree/sub/2 as tree/sub/2 (2)"]);
    assert!(scene.copy().join("sub/2 (2)").exists());
}

#[test]
fn a_mirror_follows_whatever_becomes_something_else() {
    let scene = Scene::new(&["--allow-mirror"]);
    let (tree, copy) = (scene.tree(), scene.copy());
    make_file(tree.join("folder/deep/file"), 1, 10);
    make_file(tree.join("folder/kept.log"), 1, 10);
    make_file(tree.join("another/file"), 1, 2 * CHUNK);
    symlink("another", tree.join("to a folder")).unwrap();
    scene.send(&[]).assert_code(0);
    fs::remove_dir_all(tree.join("folder")).unwrap();
    make_file(tree.join("folder"), 2, 3 * CHUNK + 7);
    fs::remove_dir_all(tree.join("another")).unwrap();
    symlink("log", tree.join("another")).unwrap();
    for name in ["image", "to a folder"] {
        fs::remove_file(tree.join(name)).unwrap();
        make_file(tree.join(name).join("inside"), 3, 1000);
    }
    fs::remove_file(tree.join("link")).unwrap();
    make_file(tree.join("link"), 4, 10);
    // Where filters have something stay in it, a folder stays in the way.
    let sent = scene.send(&["--mirror", "--exclude=*.log"]);
    sent.assert_code(3)
        .assert_says("tree/folder: a folder is in the way");
    assert!(copy.join("folder/kept.log").exists());
    assert!(!copy.join("folder/deep").exists());
    let before = Tree::read(&copy);
    let dry = scene.send(&["--mirror", "--dry-run"]);
    dry.assert_code(0).assert_says("2 would be deleted");
    assert_eq!(Tree::read(&copy), before);
    scene
        .send(&["--mirror"])
        .assert_code(0)
        .assert_says("2 deleted");
    scene.is_same();
    // An update removes no folder.
    fs::remove_file(tree.join("folder")).unwrap();
    fs::create_dir(tree.join("folder")).unwrap();
    scene.send(&["--update"]).assert_code(0);
    scene.is_same();
    fs::remove_dir(tree.join("folder")).unwrap();
    make_file(tree.join("folder"), 2, 10);
    scene
        .send(&["--update"])
        .assert_code(3)
        .assert_says("a folder is in the way");
    scene.send(&["--mirror"]).assert_code(0);
    scene.is_same();
}

/// More folders than can wait at once for being removed: the next run does the rest.
#[test]
fn a_mirror_in_which_very_many_folders_became_files_ends_well() {
    const MANY: u64 = 8_300;
    const WAITING: u64 = 8_192;
    let sandbox = Sandbox::in_memory();
    let recv = sandbox.recv_with(&["--allow-mirror"]);
    let (tree, copy) = (sandbox.src().join("tree"), sandbox.dst().join("tree"));
    for n in 0..MANY {
        make_file(tree.join(format!("{n:05}")), n, 10);
        fs::create_dir_all(copy.join(format!("{n:05}/inside"))).unwrap();
    }
    make_file(copy.join("surplus"), 1, 10);
    let [mirror, all] = ["--mirror", "--max-delete=100%"].map(PathBuf::from);
    let args = [mirror, all, tree.clone(), recv.target().into()];
    let sent = sandbox.me().send(&args);
    sent.assert_code(3).assert_says("a folder is in the way");
    // What is not stored may have moved: until it is, all stays that is not in the way, and what is
    // in its own way.
    let folders = fs::read_dir(&copy).unwrap().filter(|entry| {
        let kind = entry.as_ref().unwrap().file_type();
        kind.unwrap().is_dir()
    });
    assert_eq!(folders.count() as u64, MANY - WAITING);
    assert!(copy.join("surplus").exists());
    sandbox.me().send(&args).assert_code(0);
    assert_same_tree(&tree, &copy);
}

#[test]
fn what_cannot_be_removed_is_named() {
    let scene = Scene::new(&["--allow-mirror"]);
    // Deeper than what is removed at once.
    let deep = "d/".repeat(300);
    fs::create_dir_all(scene.copy().join("sub").join(deep)).unwrap();
    make_file(scene.copy().join("surplus"), 1, 10);
    let sent = scene.send(&["--mirror", "--max-delete=100%"]);
    sent.assert_code(3)
        .assert_says("tree/sub: could not delete everything in it: too deep to delete");
    sent.assert_says("1 deleted");
    fs::remove_dir_all(scene.copy().join("sub/d")).unwrap();
    scene.send(&["--mirror"]).assert_code(0);
    scene.is_same();
}

#[test]
fn a_mirror_and_another_session_keep_off_each_others_folders() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--allow-mirror"]);
    let copy = sandbox.dst().join("tree");
    make_file(copy.join("old"), 2, 10);
    let (mine, theirs) = (sandbox.path("mine/tree"), sandbox.path("theirs/tree"));
    make_file(mine.join("file"), 3, 10);
    make_file(theirs.join("big"), 4, 20 * CHUNK);
    make_file(theirs.join("small"), 5, 10);
    let somebody = sandbox.user("somebody");
    pair(&somebody, "sender", &sandbox.me());
    let mirror = |target: &str| {
        let args = ["--mirror", mine.to_str().unwrap(), target];
        sandbox.me().spawn_send(&args)
    };
    let copied = |user: &User, target: &str| {
        let args = ["--update", theirs.to_str().unwrap(), target];
        user.spawn_send(&args)
    };
    // What a session that goes on has stored, and counts on, is not removed.
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(10 * CHUNK);
    let sender = copied(&somebody, &proxy.target());
    proxy.wait_for_up(10 * CHUNK);
    assert!(copy.exists());
    let sent = mirror(&recv.target()).wait();
    sent.assert_code(1)
        .assert_says("tree: is being received in another transfer");
    assert!(copy.join("old").exists());
    proxy.release();
    sender.wait().assert_code(0);
    // Nor does anybody store where a mirror is at work.
    make_file(mine.join("big"), 6, 20 * CHUNK);
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(10 * CHUNK);
    let sender = mirror(&proxy.target());
    proxy.wait_for_up(10 * CHUNK);
    let sent = copied(&somebody, &recv.target()).wait();
    sent.assert_code(1)
        .assert_says("tree: is being received in another transfer");
    proxy.release();
    sender.wait().assert_code(0);
    assert_same_tree(sandbox.path("mine"), sandbox.dst());
    no_leftovers(sandbox.dst());
}

#[test]
fn a_mirror_leaves_alone_what_another_session_writes_below_its_own_folder() {
    let sandbox = Sandbox::new();
    let (me, anna) = (sandbox.me(), sandbox.user("anna"));
    pair(&anna, "sender", &me);
    let own = sandbox.folder("dst/tree/anna");
    let config = format!("[peer.sender]\ndir = {own:?}\n");
    fs::write(me.home().join(".config/xfer/config.toml"), config).unwrap();
    let recv = me.recv(&sandbox.dst(), &["--allow-mirror"]);
    make_file(own.join("old"), 1, 10);
    make_file(sandbox.src().join("big"), 2, 20 * CHUNK);
    make_file(sandbox.path("mine/tree/file"), 3, 10);
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(10 * CHUNK);
    let sender = anna.spawn_send(&["src/big", &proxy.target()]);
    proxy.wait_for_up(10 * CHUNK);
    let mirror = || me.send(&["--mirror", "mine/tree", &recv.target()]);
    mirror().assert_code(0);
    assert_eq!(content(own.join("old")), bytes(1, 10));
    proxy.release();
    sender.wait().assert_code(0);
    let sent = sandbox.src().join("big");
    assert_eq!(digest_of(&own.join("big")), digest_of(&sent));
    // From then on it is as anything else.
    mirror().assert_code(0);
    assert_same_tree(sandbox.path("mine"), sandbox.dst());
}

/// The guard is in the folder, whichever receiver a session is of.
#[test]
fn a_mirror_keeps_off_what_a_session_of_another_receiver_stores() {
    let sandbox = Sandbox::new();
    let (me, somebody) = (sandbox.me(), sandbox.user("somebody"));
    let (mine, theirs) = (sandbox.path("mine/tree"), sandbox.path("theirs/tree"));
    let copy = sandbox.dst().join("tree");
    make_file(copy.join("old"), 2, 10);
    make_file(mine.join("file"), 3, 10);
    for n in 0..20 {
        make_file(theirs.join(format!("a/{n}")), n, 10);
    }
    make_file(theirs.join("big"), 4, 20 * CHUNK);
    let receivers = [&me, &somebody].map(|user| user.recv(&sandbox.dst(), &["--allow-mirror"]));
    let proxy = Proxy::new(receivers[1].addr());
    proxy.hold_at(10 * CHUNK);
    let sender = somebody.spawn_send(&["--update", "theirs/tree", &proxy.target()]);
    proxy.wait_for_up(10 * CHUNK);
    let before = contents(&copy);
    assert!(before.len() > 20, "{before:?}");
    let mirror = || {
        let all = "--max-delete=100%";
        me.send(&["--mirror", all, "mine/tree", &receivers[0].target()])
    };
    let sent = mirror();
    sent.assert_code(1)
        .assert_says("tree: is being received in another transfer");
    assert_eq!(contents(&copy), before);
    proxy.release();
    sender.wait().assert_code(0);
    mirror().assert_code(0);
    assert_same_tree(sandbox.path("mine"), sandbox.dst());
    no_leftovers(sandbox.dst());
}

/// The same of a receiver whose folder is below what is mirrored.
#[test]
fn a_mirror_keeps_off_the_folder_that_another_receiver_stores_into() {
    let sandbox = Sandbox::new();
    let (me, somebody) = (sandbox.me(), sandbox.user("somebody"));
    let own = sandbox.folder("dst/tree/theirs");
    make_file(own.join("old"), 1, 10);
    make_file(own.join("sub/older"), 1, 10);
    make_file(sandbox.path("sent/sub/deep/big"), 2, 20 * CHUNK);
    make_file(sandbox.path("mine/tree/file"), 3, 10);
    let recv = me.recv(&sandbox.dst(), &["--allow-mirror"]);
    let other = somebody.recv(&own, &[]);
    let proxy = Proxy::new(other.addr());
    proxy.hold_at(10 * CHUNK);
    let sender = somebody.spawn_send(&["--update", "sent/sub", &proxy.target()]);
    proxy.wait_for_up(10 * CHUNK);
    let mirror = || me.send(&["--mirror", "mine/tree", &recv.target()]);
    mirror().assert_code(0);
    assert_eq!(content(own.join("old")), bytes(1, 10));
    assert_eq!(content(own.join("sub/older")), bytes(1, 10));
    proxy.release();
    sender.wait().assert_code(0);
    let sent = sandbox.path("sent/sub/deep/big");
    assert_eq!(digest_of(&own.join("sub/deep/big")), digest_of(&sent));
    // From then on it is as anything else.
    mirror().assert_code(0);
    assert_same_tree(sandbox.path("mine"), sandbox.dst());
}

/// Each waits for the others where they have the same file, and finds it there.
#[test]
fn several_senders_of_one_tree_at_once() {
    for args in [&[][..], &["--update"]] {
        let sandbox = Sandbox::new();
        let recv = sandbox.recv();
        let (tree, copy) = (sandbox.src().join("tree"), sandbox.dst().join("tree"));
        for n in 0..4 {
            make_file(tree.join(format!("big{n}")), n, 8 * CHUNK + n);
            if !args.is_empty() {
                make_file(copy.join(format!("big{n}")), 10 + n, 8 * CHUNK + n);
            }
        }
        for n in 0..200 {
            make_file(tree.join(format!("sub/{n}")), n, 3000);
            if !args.is_empty() {
                make_file(copy.join(format!("sub/{n}")), n, 3001);
            }
        }
        for n in 0..100 {
            symlink(format!("sub/{n}"), tree.join(format!("link{n}"))).unwrap();
            if !args.is_empty() {
                symlink("elsewhere", copy.join(format!("link{n}"))).unwrap();
            }
        }
        // All of them have begun before any file of more than a chunk has come.
        let proxies = [(); 3].map(|()| Proxy::new(recv.addr()));
        let senders = proxies.each_ref().map(|proxy| {
            proxy.hold_at(CHUNK);
            let (tree, target) = (tree.display().to_string(), proxy.target());
            let args = [args, &["--lanes", "2", &tree, &target]].concat();
            sandbox.me().spawn_send(&args)
        });
        proxies.iter().for_each(|proxy| proxy.wait_for_up(4096));
        proxies.iter().for_each(Proxy::release);
        for sender in senders {
            sender.wait().assert_code(0);
        }
        assert_same_tree(sandbox.src(), sandbox.dst());
        no_leftovers(sandbox.dst());
    }
}

/// What was to wait for the other one goes on with what that one left.
#[test]
fn one_sender_goes_on_where_another_one_with_its_key_died() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let tree = sandbox.src().join("tree");
    make_file(tree.join("big"), 1, 8 * CHUNK + 1);
    make_file(tree.join("small"), 2, 3000);
    let tree = tree.display().to_string();
    let proxies = [(); 2].map(|()| Proxy::new(recv.addr()));
    proxies[0].hold_at(3 * CHUNK);
    let [first, second] = proxies.each_ref().map(|proxy| {
        let args = ["--lanes", "1", &tree, &proxy.target()];
        let sender = sandbox.me().spawn_send(&args);
        proxy.wait_for_lane(1);
        sender
    });
    proxies[0].wait_for_up(3 * CHUNK);
    first.kill();
    // What is held up would keep the receiver from hearing of it.
    proxies[0].cut_all();
    second.wait().assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
}

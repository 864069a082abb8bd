//! What becomes of what is there already: replaced where the sender asks for it and the receiver
//! lets it, by what differs alone, and never half.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use support::*;
use xfer::secure::{Identity, Known, Peers};

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

/// Lets two people know each other, as pairing does.
fn pair(sender: &User, receiver: &User) {
    let key = |user: &User| {
        let identity = Identity::load_or_create(&user.home().join(".config/xfer"));
        identity.unwrap().fingerprint()
    };
    let know = |user: &User, name: &str, other: &User, sends: bool| {
        let peers = Peers::in_dir(&user.home().join(".local/share/xfer"));
        let add = |all: &mut Vec<Known>| {
            let mut known = Known::new(name, key(other));
            (known.may_send, known.may_receive) = (sends, !sends);
            all.push(known);
            Ok(())
        };
        peers.update(add).unwrap();
    };
    know(sender, "receiver", receiver, false);
    know(receiver, "sender", sender, true);
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
    sent.assert_code(0)
        .assert_says("the place of another version");
    scene.is_same();
    let (up, most) = (proxy.passed().0, 4 * CHUNK + 400_100 + 13_000 + TALK);
    assert!(up < most, "{up} of {most} bytes");
    // And now there is nothing to do.
    scene
        .send(&["--update"])
        .assert_code(0)
        .assert_says("nothing to send");
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
    sent.assert_code(0).assert_says("2 took the place");
    scene.is_same();
    let up = proxy.passed().0;
    assert!(up < CHUNK + TALK, "{up} bytes");
}

#[test]
fn the_receivers_user_has_a_say() {
    let sandbox = Sandbox::new();
    let [desktop, laptop] = ["desktop", "laptop"].map(|name| sandbox.user(name));
    pair(&desktop, &laptop);
    let (ours, theirs) = (sandbox.src().join("file"), sandbox.dst().join("file"));
    let beside = sandbox.dst().join("file (2)");
    let (old, new) = (bytes(1, 3_000_000), bytes(2, 3_000_001));
    fs::write(&ours, &new).unwrap();
    let words = "receiver does not replace";
    for (args, open, code, says) in [
        (&[][..], false, 0, "1 took the place"),
        (&["--on-conflict", "replace"], false, 0, "1 took the place"),
        (&["--on-conflict", "beside"], false, 0, words),
        (&["--on-conflict", "skip"], false, 0, "1 was left out"),
        (&["--on-conflict", "fail"], false, 1, "a file is in its way"),
        // Whoever may be anybody replaces nothing, ever.
        (&["--open"], true, 0, words),
        (&["--open", "--on-conflict", "replace"], true, 0, words),
        (
            &["--open", "--on-conflict", "skip"],
            true,
            0,
            "1 was left out",
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
        let replaces = says.contains("took");
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
    // A link in the place of a file is replaced and not followed, and the other way round; a
    // folder makes way for nothing, and nothing for a folder.
    fs::remove_file(scene.copy().join("sub/1")).unwrap();
    symlink(&outside, scene.copy().join("sub/1")).unwrap();
    fs::remove_file(scene.copy().join("link")).unwrap();
    fs::write(scene.copy().join("link"), "a file").unwrap();
    scene.send(&["--update"]).assert_code(0);
    scene.is_same();
    assert_eq!(content(&outside), b"not to be touched");

    fs::remove_file(scene.copy().join("sub/2")).unwrap();
    make_file(scene.copy().join("sub/2/inside"), 1, 10);
    fs::create_dir(scene.tree().join("new")).unwrap();
    fs::write(scene.copy().join("new"), "a file").unwrap();
    let sent = scene.send(&["--update"]);
    sent.assert_code(3).assert_says("a folder is in its way");
    sent.assert_says("a file is in its way");
    assert!(scene.copy().join("sub/2/inside").exists());
    assert_eq!(content(scene.copy().join("new")), b"a file");
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
            proxy.drain();
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
        for (name, content) in &new {
            assert_eq!(contents(&scene.copy()).get(name), Some(content), "{name}");
        }
    }
}

#[test]
fn a_kill_leaves_the_old_or_the_new() {
    survives_kills(&["--update"], &[]);
}

//! Names that Windows does not allow, and what would lead elsewhere there: a receiver for Windows,
//! run by Wine, refuses each by name and stores the rest, or stores all under other names, and gives
//! them back as they were.
//!
//! Must not build that program: `XFER_WINDOWS_EXE` is its path, and `XFER_WINE_PREFIX` where it runs.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::*;

const NEEDS_WINE: &str =
    "XFER_WINDOWS_EXE must be the path of xfer.exe, and XFER_WINE_PREFIX a prefix of Wine";

/// Names of files that Windows lets no program have, and with what words they are refused.
const BAD: [(&[u8], &str); 28] = [
    (b"a:b.txt", "does not allow ':'"),
    (b"plain.txt:evil", "does not allow ':'"),
    (b"plain.txt::$DATA", "does not allow ':'"),
    (b"C:", "does not allow ':'"),
    (b"C:evil", "does not allow ':'"),
    (b"C:\\evil", "does not allow ':'"),
    (b"\\evil", "does not allow '\\'"),
    (b"\\\\server\\share\\evil", "does not allow '\\'"),
    (b"\\\\?\\C:\\evil", "does not allow '\\'"),
    (b"\\\\.\\pipe\\evil", "does not allow '\\'"),
    (b"..\\evil", "does not allow '\\'"),
    (b"..\\..\\..\\evil", "does not allow '\\'"),
    (b".xfer\\evil", "does not allow '\\'"),
    (b"a\\b", "does not allow '\\'"),
    (b"what?", "does not allow '?'"),
    (b"*", "does not allow '*'"),
    (b"<|>", "does not allow '<'"),
    (b"\"quoted\"", "does not allow '\"'"),
    (b"tab\there", "control characters"),
    (b"bell\x07", "control characters"),
    (b"...", "dot or space at the end"),
    (b"plain.txt.", "dot or space at the end"),
    (b"plain.txt ", "dot or space at the end"),
    (b"NUL", "for a device"),
    (b"con.txt", "for a device"),
    (b"Com1 .tar.gz", "for a device"),
    (b"\xff\xfe", "not valid UTF-8"),
    (b"lpt\xc2\xb9", "for a device"),
];
/// Names that look odd and are allowed.
const GOOD: [&[u8]; 9] = [
    b"plain.txt",
    b"PLAIN2.txt",
    b"console",
    b".hidden",
    b"a  b",
    "\u{65e5}\u{672c} \u{1f600}".as_bytes(),
    // What stands for a ':' on disk, and for nothing.
    "a\u{f03a}b.txt".as_bytes(),
    "a\u{f062}".as_bytes(),
    b"file~1.txt",
];

/// A receiver for Windows, and a sender on this system that has its key.
struct Scene {
    sandbox: Sandbox,
    exe: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let exe = std::env::var_os("XFER_WINDOWS_EXE").expect(NEEDS_WINE);
        let scene = Self {
            sandbox: Sandbox::new(),
            exe: exe.into(),
        };
        Process::spawn(scene.windows(&["id"])).wait().assert_code(0);
        let users = fs::read_dir(prefix().join("drive_c/users")).unwrap();
        let keys = users.map(|user| {
            let home = user.unwrap().path();
            home.join("AppData/Roaming/xfer/config/identity")
        });
        let key = keys.into_iter().find(|key| key.exists()).unwrap();
        let config = scene.sandbox.me().home().join(".config/xfer");
        fs::create_dir_all(&config).unwrap();
        set_mode(&config, 0o700);
        fs::copy(key, config.join("identity")).unwrap();
        set_mode(config.join("identity"), 0o600);
        scene
    }

    fn windows<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new("wine");
        command
            .arg(&self.exe)
            .args(args)
            .current_dir(self.sandbox.path(""))
            .env("WINEPREFIX", prefix())
            .env("WINEDEBUG", "-all")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    /// The path of something of the sandbox, as Windows has it.
    fn z(&self, name: &str) -> String {
        let path = self.sandbox.path(name);
        format!("Z:{}", path.display()).replace('/', "\\")
    }

    fn recv(&self, args: &[&str]) -> Recv {
        let dir = self.z("dst");
        let args = [&["recv", "--listen", "127.0.0.1:0", "--dir", &dir], args].concat();
        Recv::start(self.windows(&args))
    }

    /// A folder with a file of each name in it, and in folders of bad names.
    fn tree(&self) -> PathBuf {
        let tree = self.sandbox.src().join("tree");
        let names = BAD.iter().map(|(name, _)| *name).chain(GOOD);
        for (n, name) in (0..).zip(names) {
            make_file(tree.join(OsStr::from_bytes(name)), n, 100 + n);
            make_file(tree.join("below").join(OsStr::from_bytes(name)), n, 50 + n);
        }
        for (folder, name) in [
            ("sub:dir", "file"),
            ("AUX", "x"),
            ("end.", "y"),
            ("a\\b c", "z"),
        ] {
            make_file(tree.join(folder).join(name), 7, 70);
        }
        make_file(tree.join("big?.bin"), 9, 3 * CHUNK + 5);
        tree
    }

    fn send(&self, args: &[&str], recv: &Recv) -> Output {
        let tree = self.sandbox.src().join("tree").display().to_string();
        let target = recv.target();
        self.sandbox.me().send(&[args, &[&tree, &target]].concat())
    }

    /// What is on disk around the receive folder, and on drive C.
    fn around(&self) -> Vec<PathBuf> {
        let folders = [
            self.sandbox.path(""),
            PathBuf::from("/"),
            std::env::temp_dir(),
            prefix().join("drive_c"),
            prefix().join("drive_c/windows/system32"),
        ];
        let lists = folders
            .into_iter()
            .flat_map(|dir| fs::read_dir(dir).unwrap());
        let paths = lists.map(|entry| entry.unwrap().path());
        let mut evil: Vec<_> = paths
            .filter(|path| path.to_string_lossy().to_lowercase().contains("evil"))
            .collect();
        evil.sort();
        evil
    }
}

/// Where Wine keeps what is on drive C.
fn prefix() -> PathBuf {
    let given = ["XFER_WINE_PREFIX", "WINEPREFIX"].map(std::env::var_os);
    given.into_iter().flatten().next().expect(NEEDS_WINE).into()
}

/// What the files of a tree hold.
fn contents(root: &Path) -> BTreeMap<Vec<u8>, Option<[u8; 32]>> {
    let all = Tree::read(root).0.into_iter();
    all.map(|(path, node)| match node.kind {
        Kind::File { digest, .. } => (path, Some(digest)),
        _ => (path, None),
    })
    .collect()
}

#[track_caller]
fn assert_same(sent: &Path, received: &Path) {
    let (sent, received) = (contents(sent), contents(received));
    let shown = |all: &BTreeMap<Vec<u8>, _>, other: &BTreeMap<Vec<u8>, _>| {
        let names = all
            .iter()
            .filter(|(path, what)| other.get(*path) != Some(*what));
        names
            .map(|(path, _)| path.escape_ascii().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&sent, &received), [""; 0], "missing or different");
    assert_eq!(shown(&received, &sent), [""; 0], "surplus");
}

#[test]
#[ignore = "needs Wine, and the program for Windows"]
fn what_windows_does_not_allow_is_refused_by_name_and_the_rest_arrives() {
    let scene = Scene::new();
    let tree = scene.tree();
    let before = scene.around();
    let recv = scene.recv(&[]);
    let sent = scene.send(&["-v"], &recv);
    sent.assert_code(3).assert_harmless();
    sent.assert_says("--rename-unsafe");
    let text = sent.text();
    for (name, words) in BAD {
        // As it is shown.
        let shown = match name {
            b"tab\there" => "tab\\there".into(),
            b"bell\x07" => "bell\\x07".into(),
            b"\xff\xfe" => "\\xff\\xfe".into(),
            name => String::from_utf8_lossy(name).into_owned(),
        };
        for path in [format!("tree/{shown}"), format!("tree/below/{shown}")] {
            let line = format!("Failed: {path}: could not be stored: ");
            let found = text.lines().find(|text| text.starts_with(&line));
            let found = found.unwrap_or_else(|| panic!("nothing of {path}:\n{sent}"));
            assert!(found.contains(words), "{found}");
        }
    }
    let stored = contents(&scene.sandbox.dst().join("tree"));
    let mut wanted: Vec<_> = contents(&tree).into_iter().collect();
    let is_bad = |name: &[u8]| {
        let folders: [&[u8]; 5] = [b"sub:dir", b"AUX", b"end.", b"a\\b c", b"big?.bin"];
        BAD.iter().any(|(bad, _)| *bad == name) || folders.contains(&name)
    };
    wanted.retain(|(path, _)| !path.split(|b| *b == b'/').any(is_bad));
    // The file that looks escaped is itself escaped on disk.
    let literal = "a\u{f03a}b.txt".as_bytes();
    for (path, _) in &mut wanted {
        if let Some(folder) = path.strip_suffix(literal) {
            *path = [folder, "a\u{f0ef}\u{f080}\u{f0ba}b.txt".as_bytes()].concat();
        }
    }
    wanted.sort();
    assert_eq!(stored.into_iter().collect::<Vec<_>>(), wanted);
    assert_eq!(scene.around(), before);
    recv.interrupt();
}

#[test]
#[ignore = "needs Wine, and the program for Windows"]
fn what_is_renamed_there_comes_back_by_its_own_name() {
    let scene = Scene::new();
    let tree = scene.tree();
    let before = scene.around();
    let recv = scene.recv(&["--rename-unsafe", "--allow-mirror", "--max-delete", "100%"]);
    scene.send(&[], &recv).assert_code(0);
    // It is there by its own name: nothing travels again, and nothing is surplus.
    let again = scene.send(&[], &recv);
    again.assert_code(0).assert_says("already");
    // Wine has no locks of folders, which a mirror that deletes needs.
    let mirrored = scene.send(&["-n", "--mirror"], &recv);
    mirrored.assert_code(0);
    assert!(!mirrored.text().contains("to delete"), "{mirrored}");
    // Another version.
    make_file(tree.join("a:b.txt"), 77, 500);
    make_file(tree.join("big?.bin"), 78, 4 * CHUNK);
    let updated = scene.send(&["--update"], &recv);
    updated.assert_code(0).assert_says("2 files replaced");
    assert_eq!(scene.around(), before);
    no_leftovers(scene.sandbox.dst());

    let back = scene.sandbox.folder("back");
    let home = scene.sandbox.me().recv(&back, &[]);
    let (from, target) = (scene.z("dst\\tree"), home.target());
    let sent = Process::spawn(scene.windows(&["send", &from, &target])).wait();
    sent.assert_code(0);
    assert_same(&tree, &back.join("tree"));
    // One that is named by the name that it has on disk.
    let alone = scene.sandbox.folder("alone");
    let home = scene.sandbox.me().recv(&alone, &[]);
    let (from, target) = (scene.z("dst\\tree\\a\u{f03a}b.txt"), home.target());
    let sent = Process::spawn(scene.windows(&["send", &from, &target])).wait();
    sent.assert_code(0);
    let content = fs::read(tree.join("a:b.txt")).unwrap();
    assert_eq!(fs::read(alone.join("a:b.txt")).unwrap(), content);
    // What is gone here would go there. The locks that Wine lacks make it no success.
    fs::remove_file(tree.join("NUL")).unwrap();
    let mirrored = scene.send(&["-n", "--mirror"], &recv);
    let text = mirrored.text();
    let gone: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("to delete "))
        .collect();
    assert_eq!(gone, ["to delete  tree/NUL"], "{mirrored}");
}

#[test]
#[ignore = "needs Wine, and the program for Windows"]
fn a_file_that_is_renamed_there_resumes() {
    let scene = Scene::new();
    let tree = scene.sandbox.src().join("tree");
    make_file(tree.join("C:\\film?"), 5, 64 * CHUNK);
    let recv = scene.recv(&["--rename-unsafe"]);
    let whole = tree.display().to_string();
    let target = recv.target();
    let sender = scene
        .sandbox
        .me()
        .spawn_send(&["--json", "--limit", "16MiB/s", &whole, &target]);
    // A few seconds of it are there.
    sender.wait_for("progress", |output| {
        let text = output.text();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let done = lines.filter_map(|event| event["bytes_done"].as_u64()).max();
        done.filter(|bytes| *bytes > 8 * CHUNK)
    });
    sender.kill();
    let sent = scene.send(&[], &recv);
    sent.assert_code(0).assert_says("Resumed");
    recv.interrupt();
    let names = Tree::read(scene.sandbox.dst()).names();
    assert_eq!(names, ["tree", "tree/C\u{f03a}\u{f05c}film\u{f03f}"]);
}

#[test]
#[ignore = "needs Wine, and the program for Windows"]
fn the_short_name_of_something_else_leads_nowhere() {
    let scene = Scene::new();
    let dst = scene.sandbox.dst();
    make_file(dst.join(".xfer/kept/x"), 1, 10);
    make_file(dst.join("longer name here.txt"), 2, 20);
    let before = contents(&dst);
    // As Wine makes them.
    let names = ["_XFE~XJ1", "LONG~N2R.TXT"].map(|name| scene.sandbox.src().join(name));
    let [folder, file] = &names;
    make_file(folder.join("partials/evil"), 3, 30);
    make_file(file, 4, 40);
    let recv = scene.recv(&["--rename-unsafe", "--allow-update"]);
    let args = [&names[..], &["--update".into(), recv.target().into()]].concat();
    let sent = scene.sandbox.me().send(&args);
    sent.assert_code(1).assert_says("_XFE~XJ1");
    recv.interrupt();
    assert_eq!(contents(&dst), before);
    assert!(!dst.join(".xfer/partials/evil").exists());
    let kept = fs::read_dir(dst.join(".xfer/kept")).unwrap();
    assert_eq!(kept.count(), 1);
}

#[test]
#[ignore = "needs Wine, and the program for Windows"]
fn names_that_differ_in_case_alone_clash_and_escaped_ones_do_not() {
    let scene = Scene::new();
    let tree = scene.sandbox.src().join("tree");
    for (n, name) in (0..).zip([
        "README",
        "readme",
        "a:b",
        "a\u{f03a}b",
        "nul",
        "NUL",
        "a",
        "a.",
    ]) {
        make_file(tree.join(name), n, 10 + n);
    }
    let recv = scene.recv(&["--rename-unsafe"]);
    let sent = scene.send(&[], &recv);
    sent.assert_code(3).assert_says("same name");
    let failed = sent
        .text()
        .lines()
        .filter(|line| line.starts_with("Failed: "))
        .count();
    assert_eq!(failed, 1, "{sent}");
    recv.interrupt();
    let stored = Tree::read(scene.sandbox.dst().join("tree"));
    assert_eq!(stored.0.len(), 7, "{:?}", stored.names());
}

#[test]
#[ignore = "needs Wine, and the program for Windows"]
fn paths_and_patterns_are_taken_as_people_type_them() {
    let scene = Scene::new();
    let photos = scene.sandbox.src().join("photos");
    for (n, name) in (0..).zip(["a.jpg", "B.JPG", "c.txt", "deep/d.jpg"]) {
        make_file(photos.join(name), n, 10 + n);
    }
    let home = scene.sandbox.me().recv(&scene.sandbox.dst(), &[]);
    let target = home.target();
    let send = |paths: &[&str]| {
        let args = [&["send"], paths, &[&*target]].concat();
        let mut command = scene.windows(&args);
        command.current_dir(scene.sandbox.src());
        Process::spawn(command).wait()
    };
    let names = || {
        let names = Tree::read(scene.sandbox.dst()).names();
        fs::remove_dir_all(scene.sandbox.dst()).unwrap();
        fs::create_dir(scene.sandbox.dst()).unwrap();
        names
    };
    let whole = [
        "photos",
        "photos/B.JPG",
        "photos/a.jpg",
        "photos/c.txt",
        "photos/deep",
        "photos/deep/d.jpg",
    ];
    let absolute = scene.z("src\\photos");
    for path in [
        &*absolute,
        "photos",
        ".\\photos",
        "photos\\",
        ".\\photos/",
        "./photos",
    ] {
        let into = scene.sandbox.folder("in");
        let home = scene.sandbox.me().recv(&into, &[]);
        let args = ["send", path, &home.target()];
        let mut command = scene.windows(&args);
        command.current_dir(scene.sandbox.src());
        Process::spawn(command).wait().assert_code(0);
        assert_eq!(Tree::read(&into).names(), whole, "{path}");
        fs::remove_dir_all(&into).unwrap();
    }
    send(&["photos\\*.jpg"]).assert_code(0);
    assert_eq!(names(), ["B.JPG", "a.jpg"]);
    drop(home);
    let home = scene.sandbox.me().recv(&scene.sandbox.dst(), &[]);
    let target = home.target();
    let run = |args: &[&str]| {
        let mut command = scene.windows(args);
        command.current_dir(scene.sandbox.src());
        Process::spawn(command).wait()
    };
    run(&["send", "ph*/?.txt", "photos/deep/*", &target]).assert_code(0);
    assert_eq!(names(), ["c.txt", "d.jpg"]);
    let none = run(&["send", "*.png", &target]);
    none.assert_code(2).assert_says("no file matches '*.png'");
    let path = run(&["send", "photos", "C:\\no\\such.mkv"]);
    path.assert_code(2)
        .assert_says("neither a receiver nor a file");
    let path = run(&["send", "photos", &absolute]);
    path.assert_code(2)
        .assert_says("the receiver seems to be missing");
}

#[test]
#[ignore = "needs Wine, and the program for Windows"]
fn a_receiver_says_its_folder_as_people_know_it() {
    let scene = Scene::new();
    let recv = scene.recv(&[]);
    let printed = recv.process().printed().text();
    let place = format!("receiving into {}\n", scene.z("dst"));
    assert!(printed.contains(&place), "{printed}");
    let kill = recv.kill();
    assert!(!kill.text().contains("\\\\?\\"), "{kill}");
}

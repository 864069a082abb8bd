//! Somebody on the sender's machine who swaps folders and files that are being sent for links to
//! what they must not see themselves. Whatever the moment, the sender gives none of it away; what
//! is honest arrives, or fails with a reason.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use xfer::model::digest::CHUNK_SIZE;
use xfer::model::outcome::{OnConflict, Outcome, Role, Summary, Why};
use xfer::model::surplus::{Decision, Surplus, SurplusKind};
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

const IN_PART: i32 = 3;
/// What is in everything that is not to be seen, content and names.
const SECRET: &[u8] = b"SECRET";

/// So many small files that the network cannot hold them all: the last ones wait unread.
const WAITING_BEHIND: u64 = 600;
const SMALL: u64 = 80_000;
/// By how many bytes every entry has been announced, and wanted.
const ALL_WANTED: u64 = 4 << 20;

/// A file that is not to be seen, of `len` bytes.
fn secret_file(path: &Path, len: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let len = usize::try_from(len).unwrap();
    let content: Vec<u8> = SECRET.iter().copied().cycle().take(len).collect();
    fs::write(path, content).unwrap();
}

/// Fails if anything of what is not to be seen is in `folder`, or a part of it.
#[track_caller]
fn nothing_secret(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().as_encoded_bytes();
        assert!(!contains_secret(name), "{path:?}");
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            nothing_secret(&path);
        } else if meta.is_file() {
            assert!(!contains_secret(&fs::read(&path).unwrap()), "in {path:?}");
        }
    }
}

fn contains_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

/// Sends `src/dir`, which `fill` completes, and calls `swap` when all is wanted and little is
/// read: what is in `dir/z` and what is sent behind `dir` are not.
fn swap_before_reading(fill: impl FnOnce(&Sandbox), swap: impl FnOnce(&Sandbox)) -> Swapped {
    let sandbox = Sandbox::new();
    let dir = sandbox.src().join("dir");
    for n in 0..WAITING_BEHIND {
        make_file(dir.join(format!("{n:04}")), n, SMALL);
    }
    fill(&sandbox);
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(ALL_WANTED);
    let sender = sandbox.spawn_send(&[&dir], &proxy.target());
    proxy.wait_for_up(ALL_WANTED);
    swap(&sandbox);
    proxy.release();
    let sent = sender.wait();
    nothing_secret(&sandbox.dst());
    no_leftovers(sandbox.dst());
    Swapped { sandbox, sent }
}

struct Swapped {
    sandbox: Sandbox,
    sent: Output,
}

impl Swapped {
    /// What has been stored under a name in `dir`.
    fn stored(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.sandbox.dst().join("dir").join(name)).ok()
    }

    /// What lay in front of what was swapped has arrived.
    #[track_caller]
    fn others_arrived(&self) {
        for n in 0..WAITING_BEHIND {
            let content = bytes(n, usize::try_from(SMALL).unwrap());
            assert_eq!(self.stored(&format!("{n:04}")), Some(content), "{n}");
        }
    }
}

#[test]
fn a_folder_that_is_swapped_before_it_is_read() {
    let fill = |sandbox: &Sandbox| {
        let honest = sandbox.src().join("dir/z");
        let secret = sandbox.path("hidden");
        for (name, len) in [("small", 3000), ("deep/er/small", 10), ("large", 3 * CHUNK)] {
            make_file(honest.join(name), 1, len);
            // Of the same length, and of another.
            secret_file(&secret.join(name), len);
        }
        make_file(honest.join("other"), 1, 20);
        secret_file(&secret.join("other"), 5 * CHUNK);
    };
    let swapped = swap_before_reading(fill, |sandbox| {
        let honest = sandbox.src().join("dir/z");
        fs::rename(&honest, sandbox.path("moved")).unwrap();
        symlink(sandbox.path("hidden"), &honest).unwrap();
    });
    swapped.sent.assert_code(IN_PART);
    for name in ["small", "deep/er/small", "large", "other"] {
        let name = format!("z/{name}");
        swapped.sent.assert_says(&format!("dir/{name}: "));
        assert_eq!(swapped.stored(&name), None);
    }
    swapped.others_arrived();
}

#[test]
fn a_folder_far_above_that_is_swapped_before_it_is_read() {
    let fill = |sandbox: &Sandbox| {
        make_file(sandbox.src().join("dir/z/a/b/c/file"), 1, 3000);
        make_file(sandbox.src().join("dir/z/a/b/file"), 1, 3000);
        secret_file(&sandbox.path("hidden/b/c/file"), 3000);
        secret_file(&sandbox.path("hidden/b/file"), 3000);
    };
    let swapped = swap_before_reading(fill, |sandbox| {
        let honest = sandbox.src().join("dir/z/a");
        fs::rename(&honest, sandbox.path("moved")).unwrap();
        symlink(sandbox.path("hidden"), &honest).unwrap();
    });
    swapped.sent.assert_code(IN_PART);
    for name in ["z/a/b/c/file", "z/a/b/file"] {
        swapped.sent.assert_says(&format!("dir/{name}: "));
        assert_eq!(swapped.stored(name), None);
    }
    swapped.others_arrived();
}

#[test]
fn a_file_that_is_swapped_before_it_is_read() {
    let fill = |sandbox: &Sandbox| {
        for (name, len) in [("small", 3000), ("large", 3 * CHUNK)] {
            make_file(sandbox.src().join("dir/z").join(name), 1, len);
            secret_file(&sandbox.path(name), len);
        }
    };
    let swapped = swap_before_reading(fill, |sandbox| {
        for name in ["small", "large"] {
            let honest = sandbox.src().join("dir/z").join(name);
            fs::remove_file(&honest).unwrap();
            symlink(sandbox.path(name), &honest).unwrap();
        }
    });
    swapped.sent.assert_code(IN_PART);
    for name in ["z/small", "z/large"] {
        let why = format!("dir/{name}: cannot be read: it is no longer a file");
        swapped.sent.assert_says(&why);
        assert_eq!(swapped.stored(name), None);
    }
    swapped.others_arrived();
}

#[test]
fn what_the_sent_folder_is_in_is_swapped_before_it_is_read() {
    let fill = |sandbox: &Sandbox| {
        make_file(sandbox.src().join("dir/z/small"), 1, 3000);
        make_file(sandbox.src().join("dir/z/large"), 2, 3 * CHUNK);
        secret_file(&sandbox.path("hidden/dir/z/small"), 3000);
        secret_file(&sandbox.path("hidden/dir/z/large"), 3 * CHUNK);
        for n in 0..WAITING_BEHIND {
            secret_file(&sandbox.path(&format!("hidden/dir/{n:04}")), 1000);
        }
    };
    let swapped = swap_before_reading(fill, |sandbox| {
        fs::rename(sandbox.src(), sandbox.path("moved")).unwrap();
        symlink(sandbox.path("hidden"), sandbox.src()).unwrap();
    });
    // What was named is still what was named, whatever it is called now.
    swapped.sent.assert_code(0);
    assert_same_tree(swapped.sandbox.path("moved"), swapped.sandbox.dst());
}

#[test]
fn the_sent_folder_is_swapped_before_it_is_read() {
    let fill = |sandbox: &Sandbox| {
        make_file(sandbox.src().join("dir/z/small"), 1, 3000);
        secret_file(&sandbox.path("hidden/z/small"), 3000);
        for n in 0..WAITING_BEHIND {
            secret_file(&sandbox.path(&format!("hidden/{n:04}")), 1000);
        }
    };
    let swapped = swap_before_reading(fill, |sandbox| {
        fs::rename(sandbox.src().join("dir"), sandbox.path("moved")).unwrap();
        symlink(sandbox.path("hidden"), sandbox.src().join("dir")).unwrap();
    });
    // What had been opened by then arrives as it was.
    assert!(
        matches!(swapped.sent.code, Some(0 | IN_PART)),
        "{}",
        swapped.sent
    );
    let sent = Tree::read(swapped.sandbox.path("moved"));
    for (name, node) in Tree::read(swapped.sandbox.dst().join("dir")).0 {
        let same = node.kind == Kind::Dir || sent.0.get(&name) == Some(&node);
        assert!(same, "{:?}", String::from_utf8_lossy(&name));
    }
}

#[test]
fn a_folder_that_is_replaced_by_a_folder_is_sent_as_it_is_then() {
    let fill = |sandbox: &Sandbox| {
        for name in ["z/small", "z/deep/small"] {
            make_file(sandbox.src().join("dir").join(name), 1, 3000);
        }
    };
    let swapped = swap_before_reading(fill, |sandbox| {
        let honest = sandbox.src().join("dir/z");
        fs::remove_dir_all(&honest).unwrap();
        make_file(honest.join("small"), 2, 4000);
        make_file(honest.join("deep/small"), 3, 2 * CHUNK);
    });
    swapped.sent.assert_code(0);
    assert_eq!(swapped.stored("z/small"), Some(bytes(2, 4000)));
    assert_eq!(
        swapped.stored("z/deep/small"),
        Some(bytes(3, 2 * CHUNK_SIZE as usize))
    );
    swapped.others_arrived();
}

/// Swaps two names for each other without end, on a thread of its own, until it is dropped.
struct Swapping {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<u64>>,
}

impl Swapping {
    fn begin(pairs: Vec<(PathBuf, PathBuf)>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut swaps = 0;
            while !stopped.load(Ordering::Relaxed) {
                for (one, other) in &pairs {
                    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                    swaps += 1;
                }
            }
            // Back to where they were.
            if (swaps / pairs.len()) % 2 == 1 {
                for (one, other) in &pairs {
                    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                }
            }
            swaps as u64
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Swapping {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let swaps = self.thread.take().unwrap().join();
        if !thread::panicking() {
            assert!(swaps.unwrap() > 0);
        }
    }
}

#[test]
fn whatever_the_moment_of_a_swap() {
    let sandbox = Sandbox::in_memory();
    let top = sandbox.src().join("top");
    for n in 0..30 {
        for name in [format!("a/{n}"), format!("a/sub/{n}"), format!("b/c/d/{n}")] {
            make_file(top.join(&name), n, 2000 + n);
            secret_file(&sandbox.path("hidden").join(name), 2000);
        }
        secret_file(&sandbox.path(&format!("hidden/a/more/{n}")), 10);
    }
    make_file(top.join("file"), 1, 2000);
    make_file(top.join("large"), 1, 2 * CHUNK + 5);
    secret_file(&sandbox.path("hidden/file"), 2000);
    secret_file(&sandbox.path("hidden/large"), 2 * CHUNK + 5);
    let links = sandbox.folder("links");
    let mut pairs = Vec::new();
    for name in ["a", "b/c", "file", "large"] {
        let link = links.join(name.replace('/', "-"));
        symlink(sandbox.path("hidden").join(name), &link).unwrap();
        pairs.push((top.join(name), link));
    }
    let honest = Tree::read(&top);
    let recv = sandbox.recv();
    let mut arrived: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    // It is no end of all: honest files come through, of each folder, sooner or later.
    let some = ["a/1", "a/sub/1", "b/c/d/1", "file", "large"];
    for round in 0.. {
        let misses = |name: &&&str| !arrived.contains_key(name.as_bytes());
        let missing = some.iter().find(misses);
        if round >= 25 && missing.is_none() {
            break;
        }
        assert!(round < 250, "{missing:?}");
        let swapping = Swapping::begin(pairs.clone());
        let sent = sandbox.send(&[&top], &recv.target());
        drop(swapping);
        assert!(matches!(sent.code, Some(0 | 1 | IN_PART)), "{sent}");
        nothing_secret(&sandbox.dst());
        for (name, node) in Tree::read(sandbox.dst().join("top")).0 {
            match node.kind {
                // What has come of a file, and may go on the next time.
                Kind::File { .. } if name.starts_with(b".xfer-") => {}
                Kind::File { .. } => {
                    assert_eq!(honest.0.get(&name), Some(&node), "{name:?}");
                    *arrived.entry(name).or_default() += 1;
                }
                // A link is sent as what it is, where it is there at the moment.
                Kind::Dir | Kind::Link { .. } => {}
                Kind::Other => panic!("{name:?}"),
            }
        }
        fs::remove_dir_all(sandbox.dst().join("top")).unwrap();
    }
    // Once it is left alone, it comes over as it is.
    sandbox.send(&[&top], &recv.target()).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
}

/// A receiver that can ask for anything at any time, and the sender that it has to do with.
struct Receiving {
    sender: Process,
    control: Line,
    lane: Line,
    /// The paths of the entries so far.
    entries: Vec<String>,
    scanned: bool,
}

impl Receiving {
    fn begin(sandbox: &Sandbox, args: &[&str], window: u32) -> Self {
        let who = Who::let_in(sandbox);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let top = sandbox.src().join("top");
        let paths = ["--lanes=1", top.to_str().unwrap(), &target];
        let sender = sandbox.me().spawn_send(&[args, &paths].concat());
        let mut control = who.accept(&listener);
        control.hear();
        let hello = who.hello(&control, Role::Receiver);
        control.say(&hello);
        control.hear();
        control.say(&Message::Accept(Accept {
            lanes: 1,
            secret: LaneSecret([7; 32]),
            window,
            conflict: OnConflict::Beside,
        }));
        let mut lane = who.accept(&listener);
        lane.hear();
        let joined = Message::Joined(lane.channel.preambles);
        lane.say(&joined);
        Self {
            sender,
            control,
            lane,
            entries: Vec::new(),
            scanned: false,
        }
    }

    /// Hears what is announced next. Gives how many entries that were.
    fn listen(&mut self) -> usize {
        match self.control.hear() {
            Message::Entries(list) => {
                for entry in &list.0 {
                    self.entries
                        .push(entry.path.as_path().display().to_string());
                }
                list.0.len()
            }
            Message::Scanned(Scanned { complete, .. }) => {
                self.scanned |= complete;
                0
            }
            _ => 0,
        }
    }

    /// Refuses entries, so that others can be announced.
    fn refuse(&mut self, ids: impl Iterator<Item = u64>) {
        let outcome = |entry| EntryOutcome {
            entry,
            outcome: Outcome::Failed(Why::Parent),
        };
        let list = ids.map(outcome).collect();
        self.control.say(&Message::Outcomes(Outcomes(list)));
    }

    /// Ends the session in order, with all refused.
    fn end(mut self) -> Output {
        let end = self.lane.hear();
        assert_eq!(end, Message::LaneEnd(()));
        self.lane.close();
        let unannounced = loop {
            match self.control.hear() {
                Message::End(end) => break end.unannounced,
                Message::Abort(why) => panic!("{why}"),
                _ => {}
            }
        };
        self.control.say(&Message::Summary(Summary {
            failed: self.entries.len() as u64 + unannounced,
            ..Summary::default()
        }));
        self.control.close();
        self.sender.wait()
    }
}

#[test]
fn a_folder_that_is_swapped_while_it_is_walked() {
    // More than the walk runs ahead of what is announced.
    const AHEAD: u64 = 68_000;
    let sandbox = Sandbox::in_memory();
    let z = sandbox.src().join("top/z");
    fs::create_dir_all(&z).unwrap();
    for n in 0..AHEAD {
        fs::File::create(z.join(format!("{n:05}"))).unwrap();
    }
    make_file(z.join("zz/honest"), 1, 10);
    secret_file(&sandbox.path("hidden/zz/SECRET"), 10);
    secret_file(&sandbox.path("hidden/zz/honest"), 20);
    let mut receiving = Receiving::begin(&sandbox, &[], 16);
    let mut heard = 0;
    // It is in there by then, and not at its end.
    while heard < 16 {
        heard += receiving.listen();
    }
    fs::rename(&z, sandbox.path("moved")).unwrap();
    symlink(sandbox.path("hidden"), &z).unwrap();
    let mut refused = 0;
    while !receiving.scanned || refused < receiving.entries.len() {
        let all = receiving.entries.len();
        if refused < all {
            receiving.refuse(refused as u64..all as u64);
            refused = all;
        }
        if !receiving.scanned {
            receiving.listen();
        }
    }
    let last = receiving.entries.last().cloned();
    let secret = receiving
        .entries
        .iter()
        .find(|name| name.contains("SECRET"));
    assert_eq!(secret, None);
    // The folder that was entered is what is walked to its end.
    assert_eq!(last.as_deref(), Some("top/z/zz/honest"));
    assert_eq!(receiving.entries.len() as u64, AHEAD + 4);
    receiving.end().assert_code(1);
}

#[test]
fn a_mirror_tells_nothing_of_what_a_swapped_folder_leads_to() {
    let sandbox = Sandbox::in_memory();
    let top = sandbox.src().join("top");
    make_file(top.join("d/honest"), 1, 10);
    for n in 0..100 {
        secret_file(&sandbox.path(&format!("hidden/there {n}")), 10);
    }
    symlink(sandbox.path("hidden"), sandbox.path("link")).unwrap();
    let mut receiving = Receiving::begin(&sandbox, &["--mirror"], 1000);
    while !receiving.scanned {
        receiving.listen();
    }
    let swapping = Swapping::begin(vec![(top.join("d"), sandbox.path("link"))]);
    let surplus = |n: u32| Surplus {
        path: xfer::model::relpath::RelPath::new(format!("top/d/there {}", n % 100)).unwrap(),
        kind: SurplusKind::File(10),
    };
    for _ in 0..60 {
        let question = (0..1000).map(surplus).collect();
        receiving
            .control
            .say(&Message::MayRemove(MayRemove(question)));
        let answers = loop {
            match receiving.control.hear() {
                Message::Decisions(answers) => break answers.0,
                Message::Abort(why) => panic!("{why}"),
                _ => {}
            }
        };
        let kept = answers.iter().filter(|answer| **answer != Decision::Remove);
        assert_eq!(kept.count(), 0);
    }
    drop(swapping);
    let all = receiving.entries.len() as u64;
    receiving.refuse(0..all);
    receiving.end().assert_code(1);
}

#[test]
fn an_ignore_file_that_is_a_link_is_not_followed() {
    for (name, args) in [(".xferignore", &[][..]), (".gitignore", &["--gitignore"])] {
        let sandbox = Sandbox::new();
        // Whether a name is in there would show by what is sent.
        fs::write(sandbox.path("hidden"), "guess\n").unwrap();
        let top = sandbox.src().join("top");
        make_file(top.join("a/guess"), 1, 10);
        make_file(top.join("a/other"), 1, 10);
        make_file(top.join("b"), 1, 10);
        symlink(sandbox.path("hidden"), top.join("a").join(name)).unwrap();
        let recv = sandbox.recv();
        let send = |more: &[&str]| {
            let target = recv.target();
            let all = [args, more, &[top.to_str().unwrap(), &target]].concat();
            sandbox.me().send(&all)
        };
        // What it might keep from being sent is not sent.
        let sent = send(&[]);
        sent.assert_code(IN_PART);
        sent.assert_says(&format!("top/a/{name}: cannot be read: "));
        let names = Tree::read(sandbox.dst()).names();
        assert_eq!(names, ["top", "top/a", "top/b"]);
        // Where it was asked for, it is followed.
        send(&["--links=follow"]).assert_code(0);
        let names = Tree::read(sandbox.dst()).names();
        let linked = format!("top/a/{name}");
        assert_eq!(names, ["top", "top/a", &linked, "top/a/other", "top/b"]);
    }
}

#[test]
fn links_are_followed_where_that_was_asked_for() {
    let sandbox = Sandbox::new();
    let top = sandbox.src().join("top");
    make_file(sandbox.path("elsewhere/a/file"), 1, 3000);
    make_file(sandbox.path("elsewhere/large"), 2, 3 * CHUNK);
    fs::create_dir_all(top.join("in")).unwrap();
    symlink("../../../elsewhere", top.join("in/folder")).unwrap();
    symlink(sandbox.path("elsewhere/large"), top.join("file")).unwrap();
    symlink("in/folder/a", top.join("through")).unwrap();
    // The user's own argument is followed in any case.
    symlink("src/top", sandbox.path("alias")).unwrap();
    let recv = sandbox.recv();
    let alias = sandbox.path("alias");
    let args = ["--links=follow".as_ref(), &*alias];
    sandbox.send(&args, &recv.target()).assert_code(0);
    let stored = |name: &str| digest_of(&sandbox.dst().join("alias").join(name));
    for (name, from) in [
        ("in/folder/a/file", "a/file"),
        ("in/folder/large", "large"),
        ("file", "large"),
        ("through/file", "a/file"),
    ] {
        assert_eq!(
            stored(name),
            digest_of(&sandbox.path("elsewhere").join(from))
        );
    }
    no_leftovers(sandbox.dst());
}

//! File systems that cannot do what others can: what is sent is stored there, and what could not
//! be kept is said.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use support::fuse::{Errno, Fuse, Inodes, Names, Op, Switches, Times};
use support::*;

#[test]
fn the_file_system_of_these_tests_is_like_any_other() {
    let sandbox = Sandbox::new();
    let Some(_fuse) = Fuse::mount(&sandbox.path("real"), &sandbox.dst()) else {
        return;
    };
    make_file(sandbox.src().join("dir/small"), 1, 1000);
    make_file(sandbox.src().join("dir/large"), 2, 3 * CHUNK + 5);
    symlink("small", sandbox.src().join("dir/link")).unwrap();
    let recv = sandbox.recv();
    sandbox.send(&[], &recv.target()).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    assert_same_tree(sandbox.src().join("dir"), sandbox.path("real/dir"));
    no_leftovers(sandbox.dst());
}

#[test]
fn the_file_system_of_these_tests_does_what_it_is_told() {
    let sandbox = Sandbox::new();
    let (real, at) = (sandbox.path("real"), sandbox.dst());
    let Some(fuse) = Fuse::mount(&real, &at) else {
        return;
    };
    let number = |name: &str| fs::metadata(at.join(name)).unwrap().ino();
    let mtime = |name: &str| fs::metadata(at.join(name)).unwrap().mtime_nsec();
    fs::write(at.join("Name"), "x").unwrap();
    fs::hard_link(at.join("Name"), at.join("link")).unwrap();
    assert_eq!(number("Name"), number("link"));

    fuse.set(|s| s.names = Names::FoldCase);
    assert_eq!(number("NAME"), number("name"));
    fuse.set(|s| s.inodes = Inodes::BySpelling);
    assert_ne!(number("NAME"), number("name"));
    assert_eq!(number("NAME"), number("NAME"));
    fuse.set(|s| s.inodes = Inodes::EachLookup);
    assert_ne!(number("NAME"), number("NAME"));
    fs::rename(at.join("name"), at.join("NAME")).unwrap();
    assert!(real.join("NAME").exists());
    assert!(!real.join("Name").exists());

    fuse.set(|s| s.names = Names::Decompose);
    fs::write(at.join("caf\u{e9}"), "x").unwrap();
    assert!(real.join("cafe\u{301}").exists());
    assert!(at.join("caf\u{e9}").exists());

    set_mtime(at.join("NAME"), 1_600_000_000, 123_456_789);
    assert_eq!(mtime("NAME"), 123_456_789);
    fuse.set(|s| s.times = Times::Rounded(10_000_000));
    set_mtime(at.join("NAME"), 1_600_000_000, 123_456_789);
    assert_eq!(mtime("NAME"), 120_000_000);

    fuse.set(|s| {
        s.folder_links = Some(0);
        s.fixed_mode = Some(0o644);
        s.longest_name = 10;
        s.refused_bytes = b":".to_vec();
        s.fail(Op::Link, Errno::PERM);
        s.fail_times(Op::FsyncDir, Errno::INVAL, 1);
    });
    let stat = fs::metadata(&at).unwrap();
    assert_eq!((stat.nlink(), stat.mode() & 0o7777), (0, 0o755));
    let failed = |result: std::io::Result<()>, errno: Errno| {
        assert_eq!(
            result.unwrap_err().raw_os_error(),
            Some(errno.raw_os_error())
        );
    };
    failed(
        fs::hard_link(at.join("NAME"), at.join("other")),
        Errno::PERM,
    );
    failed(
        fs::write(at.join("a name too long"), ""),
        Errno::NAMETOOLONG,
    );
    failed(fs::write(at.join("a:b"), ""), Errno::INVAL);
    let dir = fs::File::open(&at).unwrap();
    failed(dir.sync_all(), Errno::INVAL);
    dir.sync_all().unwrap();
    assert_eq!(fuse.calls(Op::FsyncDir), 2);
    fuse.set(|s| s.mend(Op::Link));
    fs::hard_link(at.join("NAME"), at.join("other")).unwrap();
}

const IN_PART: i32 = 3;
/// What may travel beside the content.
const TALK: u64 = 200_000;

/// A receiver whose folder is on a file system that cannot do what others can.
struct Odd {
    sandbox: Sandbox,
    _fuse: Fuse,
    recv: Recv,
    proxy: Proxy,
}

impl Odd {
    fn new(switch: impl FnOnce(&mut Switches)) -> Option<Self> {
        Self::with(&[], switch)
    }

    fn with(args: &[&str], switch: impl FnOnce(&mut Switches)) -> Option<Self> {
        let sandbox = Sandbox::new();
        let fuse = Fuse::mount(&sandbox.path("real"), &sandbox.dst())?;
        fuse.set(switch);
        let recv = sandbox.recv_with(args);
        let proxy = Proxy::new(recv.addr());
        let odd = Self {
            sandbox,
            _fuse: fuse,
            recv,
            proxy,
        };
        make_file(odd.src("tree/small"), 1, 1000);
        make_file(odd.src("tree/inner/other"), 2, 10);
        make_file(odd.src("tree/large"), 3, 3 * CHUNK + 5);
        make_file(odd.src("tree/empty"), 4, 0);
        symlink("small", odd.src("tree/link")).unwrap();
        // No mode that anything is made with.
        set_mode(odd.src("tree/small"), 0o751);
        set_mode(odd.src("tree/inner"), 0o750);
        Some(odd)
    }

    fn src(&self, name: &str) -> PathBuf {
        self.sandbox.src().join(name)
    }

    fn send(&self, args: &[&str]) -> Output {
        let mut all: Vec<PathBuf> = args.iter().map(PathBuf::from).collect();
        all.extend([self.src("tree"), self.proxy.target().into()]);
        self.sandbox.me().send(&all)
    }

    /// Everything is stored, with what it has beside its content or without, and nothing else.
    #[track_caller]
    fn check(&self) {
        self.check_in(&self.sandbox.src().join("tree"), "tree");
        no_leftovers(self.sandbox.path("real"));
    }

    #[track_caller]
    fn check_in(&self, sent: &Path, name: &str) {
        let kinds = |root: &Path| {
            let all = Tree::read(root).0.into_iter();
            all.map(|(path, node)| (path, node.kind))
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds(sent), kinds(&self.sandbox.path("real").join(name)));
        let names = Tree::read(self.sandbox.dst()).names();
        let others = names.iter().filter(|path| !path.starts_with(name));
        assert_eq!(others.count(), 0, "{names:?}");
    }

    /// Sends again, and nothing travels that is there.
    #[track_caller]
    fn send_again(&self, args: &[&str]) -> Output {
        let before = self.proxy.passed().0;
        let sent = self.send(args);
        sent.assert_code(0);
        let travelled = self.proxy.passed().0 - before;
        assert!(travelled < TALK, "{travelled} bytes travelled again");
        self.check();
        sent
    }
}

#[test]
fn permissions_that_cannot_be_kept() {
    for errno in [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS] {
        let Some(odd) = Odd::new(|s| s.fail(Op::Chmod, errno)) else {
            return;
        };
        let sent = odd.send(&[]);
        sent.assert_code(0)
            .assert_says("could not keep the permissions");
        odd.check();
        assert_same_time(&odd);
        odd.send_again(&[]);
        let sent = odd.send_again(&["--update"]);
        assert!(!sent.text().contains("replaced"), "{sent}");
        let received = odd.recv.interrupt();
        received.assert_says("could not keep the permissions");
    }
}

#[track_caller]
fn assert_same_time(odd: &Odd) {
    for name in ["tree/small", "tree/large", "tree/inner/other"] {
        let mtime = |root: PathBuf| fs::metadata(root.join(name)).unwrap().mtime();
        assert_eq!(mtime(odd.sandbox.src()), mtime(odd.sandbox.dst()), "{name}");
    }
}

#[test]
fn times_that_cannot_be_kept() {
    let switches: [fn(&mut Switches); 3] = [
        |s| s.fail(Op::Utimes, Errno::PERM),
        |s| s.fail(Op::Utimes, Errno::NOSYS),
        |s| s.times = Times::Ignored,
    ];
    for (n, switch) in switches.into_iter().enumerate() {
        let Some(odd) = Odd::new(switch) else {
            return;
        };
        age(&odd.src("tree"));
        let sent = odd.send(&[]);
        sent.assert_code(0);
        if n < 2 {
            sent.assert_says("could not keep the time");
        }
        odd.check();
        for args in [&[][..], &["--update"], &["--update"], &[]] {
            let sent = odd.send_again(args);
            assert!(!sent.text().contains("replaced"), "{sent}");
        }
        // What did change still takes its place.
        make_file(odd.src("tree/small"), 9, 1000);
        odd.send(&["--update"])
            .assert_code(0)
            .assert_says("1 file replaced");
        odd.check();
    }
}

/// Gives everything a time long ago.
fn age(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        }
        if !path.is_symlink() {
            set_mtime(path, 1_500_000_000, 0);
        }
    }
}

#[test]
fn strangers_store_no_second_copy_where_times_cannot_be_kept() {
    let Some(odd) = Odd::with(&["--open"], |s| s.times = Times::Ignored) else {
        return;
    };
    age(&odd.src("tree"));
    let mut args: Vec<PathBuf> = vec!["--open".into()];
    args.extend([odd.src("tree"), odd.proxy.target().into()]);
    let stranger = odd.sandbox.user("stranger");
    for _ in 0..3 {
        let before = odd.proxy.passed().0;
        stranger.send(&args).assert_code(0);
        let travelled = odd.proxy.passed().0 - before;
        odd.check_in(&odd.src("tree"), "tree");
        assert!(before == 0 || travelled < TALK, "{travelled} bytes");
    }
    // Another content is another file, which is found again as well.
    make_file(odd.src("tree/small"), 9, 1000);
    age(&odd.src("tree"));
    set_mtime(odd.src("tree/small"), 1_550_000_000, 0);
    for _ in 0..2 {
        stranger.send(&args).assert_code(0);
        let names = Tree::read(odd.sandbox.path("real")).names();
        let copies = names.iter().filter(|name| name.contains("(2)"));
        assert_eq!(copies.collect::<Vec<_>>(), ["tree/small (2)"]);
    }
}

#[test]
fn one_that_is_beside_another_is_found_again_where_times_cannot_be_kept() {
    let Some(odd) = Odd::new(|s| s.times = Times::Ignored) else {
        return;
    };
    for name in ["tree/small", "tree/large"] {
        let len = fs::metadata(odd.src(name)).unwrap().len();
        make_file(odd.sandbox.dst().join(name), 9, len);
    }
    age(&odd.src("tree"));
    for _ in 0..3 {
        odd.send(&[]).assert_code(0);
        let names = Tree::read(odd.sandbox.path("real")).names();
        let copies = names.iter().filter(|name| name.contains('('));
        assert_eq!(
            copies.collect::<Vec<_>>(),
            ["tree/large (2)", "tree/small (2)"]
        );
    }
}

#[test]
fn times_that_are_kept_only_together_or_in_part() {
    for times in [
        Times::OnlyBoth,
        Times::Rounded(10_000_000),
        Times::Rounded(2_000_000_000),
    ] {
        let Some(odd) = Odd::new(|s| s.times = times) else {
            return;
        };
        set_mtime(odd.src("tree/small"), 1_600_000_001, 123_456_789);
        set_mtime(odd.src("tree/large"), 1_600_000_001, 123_456_789);
        odd.send(&[]).assert_code(0);
        odd.check();
        if times == Times::OnlyBoth {
            assert_same_time(&odd);
        }
        for args in [&[][..], &["--update"]] {
            let sent = odd.send_again(args);
            assert!(!sent.text().contains("replaced"), "{sent}");
        }
    }
}

#[test]
fn what_a_file_system_need_not_be_able_to_do() {
    let switches: [fn(&mut Switches); 9] = [
        |s| s.fail(Op::FsyncDir, Errno::INVAL),
        |s| {
            s.fail(Op::FsyncDir, Errno::INVAL);
            s.fail(Op::Fsync, Errno::INVAL);
        },
        |s| s.folder_links = Some(0),
        |s| s.fail(Op::Flock, Errno::NOSYS),
        |s| s.fail(Op::Flock, Errno::NOLCK),
        |s| s.no_sizes = true,
        |s| {
            s.fail(Op::RenameFlags, Errno::PERM);
            s.fail(Op::Link, Errno::PERM);
        },
        |s| {
            s.fail(Op::RenameFlags, Errno::INVAL);
            s.fail(Op::Link, Errno::ACCESS);
        },
        |s| s.fail(Op::Lseek, Errno::INVAL),
    ];
    for switch in switches {
        let Some(odd) = Odd::new(switch) else {
            return;
        };
        odd.send(&[]).assert_code(0);
        odd.check();
        odd.send_again(&[]);
        make_file(odd.src("tree/small"), 9, 1000);
        make_file(odd.src("tree/large"), 9, 3 * CHUNK + 5);
        odd.send(&["--update"]).assert_code(0);
        odd.check();
    }
}

#[test]
fn a_file_system_that_does_not_sync_says_so() {
    let Some(odd) = Odd::new(|s| s.fail(Op::Fsync, Errno::INVAL)) else {
        return;
    };
    odd.send(&[]).assert_code(0).assert_says("on disk");
    odd.recv.interrupt().assert_says("on disk");
    // A failed one is no missing one.
    let Some(odd) = Odd::new(|s| s.fail(Op::Fsync, Errno::IO)) else {
        return;
    };
    assert_ne!(odd.send(&[]).code, Some(0));
}

#[test]
fn a_home_without_locks() {
    let sandbox = Sandbox::new();
    let home = sandbox.me().home().to_path_buf();
    let Some(fuse) = Fuse::mount(&sandbox.path("real home"), &home) else {
        return;
    };
    fuse.set(|s| {
        s.fail(Op::Flock, Errno::NOLCK);
        s.fail(Op::Fsync, Errno::INVAL);
        s.fail(Op::FsyncDir, Errno::INVAL);
    });
    make_file(sandbox.src().join("file"), 1, 1000);
    let recv = sandbox.recv();
    sandbox.send(&[], &recv.target()).assert_code(0);
    let args = ["unpair", "nobody"];
    let ended = sandbox.me().run(&args);
    assert!(!ended.text().contains("lock"), "{ended}");
    assert_same_tree(sandbox.src(), sandbox.dst());
}

#[test]
fn a_name_that_is_taken_at_the_last_moment_stays_where_renames_replace() {
    let Some(odd) = Odd::new(|s| {
        s.fail(Op::RenameFlags, Errno::INVAL);
        s.fail(Op::Link, Errno::PERM);
    }) else {
        return;
    };
    make_file(odd.src("tree/large"), 1, 8 * CHUNK);
    odd.proxy.hold_at(4 * CHUNK);
    let args = [odd.src("tree"), odd.proxy.target().into()];
    let sender = odd.sandbox.me().spawn_send(&args);
    odd.proxy.wait_for_up(4 * CHUNK);
    let taken = odd.sandbox.dst().join("tree/large");
    fs::write(&taken, "somebody else's").unwrap();
    odd.proxy.release();
    sender.wait().assert_code(0);
    assert_eq!(fs::read(&taken).unwrap(), b"somebody else's");
    let stored = odd.sandbox.dst().join("tree/large (2)");
    assert_eq!(digest_of(&stored), digest_of(&odd.src("tree/large")));
}

#[test]
fn names_that_a_file_system_does_not_take_leave_nothing() {
    for renames in [true, false] {
        let Some(odd) = Odd::new(|s| {
            s.longest_name = 60;
            s.refused_bytes = b":\x01".to_vec();
            if !renames {
                s.fail(Op::RenameFlags, Errno::INVAL);
                s.fail(Op::Link, Errno::PERM);
            }
        }) else {
            return;
        };
        let long = "a name that is longer than what this odd file system can hold";
        for (n, size) in [(1, 1000), (2, 2 * CHUNK + 7)] {
            make_file(odd.src(&format!("tree/{n} {long}")), n, size);
            make_file(odd.src(&format!("tree/{n} with: colon")), n, size);
            make_file(odd.src(&format!("tree/inner: {n}/file")), n, size);
        }
        symlink("small", odd.src("tree/link: one")).unwrap();
        let sent = odd.send(&[]);
        sent.assert_code(IN_PART).assert_says("name");
        assert!(!sent.text().contains("argument"), "{sent}");
        no_leftovers(odd.sandbox.path("real"));
        for dir in ["tree", "tree/inner"] {
            let names = fs::read_dir(odd.sandbox.path("real").join(dir)).unwrap();
            for name in names.map(|entry| entry.unwrap().file_name()) {
                let name = name.to_str().unwrap();
                assert!(odd.src(dir).join(name).exists(), "{name}");
                assert!(!name.contains(':') && name.len() <= 60, "{name}");
            }
        }
        assert_eq!(
            fs::read_dir(odd.sandbox.path("real/tree")).unwrap().count(),
            5
        );
    }
}

#[test]
fn a_file_system_below_that_cannot_do_something_slows_no_other() {
    let sandbox = Sandbox::in_memory();
    let odd = sandbox.folder("dst/odd");
    let Some(_fuse) = Fuse::mount(&sandbox.path("real"), &odd) else {
        return;
    };
    let recv = sandbox.recv();
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    // Where nothing better can be done, a file has another name at first.
    inotify::add_watch(&watch, sandbox.dst(), WatchFlags::MOVE).unwrap();
    for name in ["first", "odd/inside", "second"] {
        make_file(sandbox.src().join(name), 1, 1000);
        let paths = [sandbox.src().join(name.split('/').next().unwrap())];
        let paths = paths.each_ref().map(PathBuf::as_path);
        sandbox.send(&paths, &recv.target()).assert_code(0);
    }
    assert_same_tree(sandbox.src(), sandbox.dst());
    let renamed = rustix::io::read(&watch, &mut [0; 4096]).unwrap_err();
    assert_eq!(renamed, Errno::AGAIN);
}

#[test]
fn renames_that_are_refused_as_if_they_led_elsewhere() {
    let Some(odd) = Odd::new(|s| s.fail(Op::RenameFlags, Errno::XDEV)) else {
        return;
    };
    odd.send(&[]).assert_code(0);
    assert_same_tree(odd.src("tree"), odd.sandbox.path("real/tree"));
    no_leftovers(odd.sandbox.path("real"));
}

//! File systems that cannot do what others can: what is sent is stored there, and what could not
//! be kept is said.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;

use support::fuse::{Errno, Fuse, Inodes, Names, Op, Times};
use support::*;

#[test]
fn the_file_system_of_these_tests_is_like_any_other() {
    let sandbox = Sandbox::new();
    let Some(_fuse) = Fuse::mount(&sandbox.path("real"), &sandbox.dst()) else {
        return;
    };
    make_file(sandbox.src().join("dir/small"), 1, 1000);
    make_file(sandbox.src().join("dir/large"), 2, 3 * CHUNK + 5);
    std::os::unix::fs::symlink("small", sandbox.src().join("dir/link")).unwrap();
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

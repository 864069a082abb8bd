//! Names and links that would lead out of the receive directory, or into the receiver's own
//! records: nothing is stored that is not where it belongs.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use xfer::model::outcome::{Outcome, Why};

use crate::client::*;
use crate::support::*;

/// How an entry can be called that no receiver takes.
fn impossible_names(outside: &std::path::Path) -> Vec<Vec<u8>> {
    let absolute = outside.join("new").into_os_string().into_encoded_bytes();
    let names: [&[u8]; 24] = [
        b"",
        b".",
        b"..",
        b"/",
        b"../new",
        b"../outside/new",
        b"./new",
        b"a/../../new",
        b"a/..",
        b"a/./b",
        b"a//b",
        b"a/",
        b"/etc/new",
        b"//server/share/new",
        b"new\0",
        b"a/\0/b",
        b".xfer",
        b".XFER",
        b".xFeR/partials/new",
        b"a/.xfer",
        b"a/.Xfer/b",
        b".xfer-0123456789abcdef0123456789abcdef.partial",
        b"a/.XFER-0123456789ABCDEF0123456789abcdef.PARTIAL",
        &absolute,
    ];
    let mut names: Vec<_> = names.iter().map(|name| name.to_vec()).collect();
    names.push(".xf\u{200d}er/new".into());
    names.push("a/.\u{fe0f}./new".into());
    names.push(vec![b'n'; 1025]);
    names.push([&[b'n'; 1024][..]; 33].join(&b'/')[..32_769].to_vec());
    names.push([b"n".as_slice(); 513].join(&b'/'));
    names
}

#[test]
fn names_that_escape_end_the_session() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let outside = Outside::new(&sandbox);
    let who = Who::let_in(&sandbox);
    let mut attacks = Attacks::new(&who, &recv);
    for name in impossible_names(&sandbox.path("outside")) {
        for entry in [file(0, &name, 5), dir(0, &name), link(0, &name, "x")] {
            attacks.end_with("a bad frame of type 0x20", |session| {
                session.announce(&[entry]);
                vec![]
            });
        }
    }
    attacks.all_told();
    outside.unchanged();
    still_receives(&sandbox, &recv);
}

#[test]
fn targets_that_no_link_can_have_end_the_session() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let mut attacks = Attacks::new(&who, &recv);
    for target in [vec![], b"a\0b".to_vec(), vec![b'x'; 4096]] {
        attacks.end_with("a bad frame of type 0x20", |session| {
            session.announce(&[link(0, "link", target)]);
            vec![]
        });
    }
    attacks.all_told();
    still_receives(&sandbox, &recv);
}

#[test]
fn odd_names_are_names_like_any_other() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--open"]);
    let outside = Outside::new(&sandbox);
    let who = Who::open_stranger();
    let mut names: Vec<Vec<u8>> = [
        b"C:\\new".as_slice(),
        b"\\\\server\\share\\new",
        b"a\\..\\b",
        b"..\\..\\new",
        b"...",
        b".. ",
        b"~",
        b"~root",
        b"-rf",
        b"$(new)",
        b"CON",
        b"aux.c",
        b"new:stream",
        b"%2e%2e%2fnew",
        b"\xc0\xae\xc0\xae",
        b"..\xef\xbc\x8fnew",
        b"\xff\xfe",
        b".xfer2",
        b".xfer-0123456789abcdef.partial",
        b".xfer2\xe2\x80\x8b",
        // Only case or normalization tell these apart.
        b"name",
        b"Name",
        b"NAME",
        "é".as_bytes(),
        "e\u{301}".as_bytes(),
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    names.sort();
    let mut session = Session::begin(&who, recv.addr());
    let entries: Vec<_> = (0..).zip(&names).map(|(id, n)| file(id, n, 3)).collect();
    session.announce(&entries);
    let mut lane = session.lane();
    for id in 0..names.len() as u64 {
        session.wanted(id);
        session.put(&mut lane, id, b"abc");
    }
    let summary = session.end(vec![lane]);
    assert_eq!(summary.stored, names.len() as u64);
    let stored: Vec<_> = Tree::read(sandbox.dst()).0.into_keys().collect();
    assert_eq!(stored, names);
    outside.unchanged();
    still_serves(&sandbox, &recv);
}

#[test]
fn links_that_lead_out_are_refused_one_by_one() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let outside = Outside::new(&sandbox);
    let who = Who::let_in(&sandbox);
    // The folder d/e is what links below are in.
    let links: [(&[u8], bool); 15] = [
        (b".", true),
        (b"..", true),
        (b"../..", true),
        (b"../../a/b", true),
        (b"../../..", false),
        (b"../../../outside/secret", false),
        (b".././/../.././outside", false),
        (b"/", false),
        (b"/etc/passwd", false),
        (b"//etc", false),
        // By way of another link, which leads to the top.
        (b"02/..", false),
        (b"02/../outside/secret", false),
        (b"../e/../f", false),
        (b"...", true),
        (b"C:\\windows", true),
    ];
    let mut session = Session::begin(&who, recv.addr());
    let mut entries = vec![dir(0, "d"), dir(1, "d/e")];
    for (n, (target, _)) in (0..).zip(&links) {
        entries.push(link(n + 2, format!("d/e/{n:02}"), target));
    }
    let last = entries.len() as u64;
    entries.push(file(last, "d/e/file", 3));
    session.announce(&entries);
    session.control.say(&dir_end(1));
    session.control.say(&dir_end(0));
    for (n, (target, allowed)) in (2..).zip(&links) {
        let expected = match allowed {
            true => Outcome::Stored(None),
            false => Outcome::Failed(Why::Outside),
        };
        assert_eq!(session.outcome(n), expected, "{}", target.escape_ascii());
    }
    session.wanted(last);
    let mut lane = session.lane();
    session.put(&mut lane, last, b"abc");
    let summary = session.end(vec![lane]);
    assert_eq!((summary.stored, summary.failed), (9, 9));
    let told = "d/e/04 from mallory: is a link that points outside";
    recv.process().wait_for_text(told);
    let at_top = [link(0, "a", ".."), link(1, "b", "c"), link(2, "c", "x/..")];
    let mut session = Session::begin(&who, recv.addr());
    session.announce(&at_top);
    assert_eq!(session.outcome(0), Outcome::Failed(Why::Outside));
    assert_eq!(session.outcome(2), Outcome::Failed(Why::Outside));
    assert_eq!(session.end(vec![]).stored, 1);
    outside.unchanged();
    still_serves(&sandbox, &recv);
}

#[test]
fn a_link_is_no_folder() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let outside = Outside::new(&sandbox);
    let target = sandbox.path("outside").into_os_string();
    let who = Who::let_in(&sandbox);
    let mut attacks = Attacks::new(&who, &recv);
    for first in [
        link(0, "x", target.as_encoded_bytes()),
        link(0, "x", "../outside"),
        file(0, "x", 0),
    ] {
        let words = "an entry whose folder is not open";
        attacks.end_with(words, |session| {
            session.announce(&[first, file(1, "x/new", 3)]);
            vec![]
        });
    }
    attacks.all_told();
    // Nor does it become one for a later session.
    symlink(sandbox.path("outside"), sandbox.dst().join("x")).unwrap();
    let mut session = Session::begin(&who, recv.addr());
    session.announce(&[dir(0, "x"), file(1, "x/new", 3), dir(2, "x/sub")]);
    session.control.say(&dir_end(2));
    session.control.say(&dir_end(0));
    let in_the_way = Outcome::Failed(Why::InTheWay(xfer::model::reason::Obstacle::Link));
    assert_eq!(session.outcome(0), in_the_way);
    assert_eq!(session.outcome(1), Outcome::Failed(Why::Parent));
    assert_eq!(session.outcome(2), Outcome::Failed(Why::Parent));
    assert_eq!(session.end(vec![]).failed, 3);
    outside.unchanged();
    still_serves(&sandbox, &recv);
}

#[test]
fn a_link_that_has_a_files_name_is_not_written_through() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let outside = Outside::new(&sandbox);
    let secret = sandbox.path("outside/secret");
    for name in ["small", "large"] {
        symlink(&secret, sandbox.dst().join(name)).unwrap();
    }
    make_file(sandbox.src().join("small"), 1, 4000);
    make_file(sandbox.src().join("large"), 2, 2 * CHUNK);
    // Of the size and time of what is there already, which is no file all the same.
    let size = secret.as_os_str().len() as u64;
    make_file(sandbox.src().join("same"), 3, size);
    symlink(&secret, sandbox.dst().join("same")).unwrap();
    make_file(sandbox.src().join("empty"), 4, 0);
    make_fifo(sandbox.dst().join("empty"));
    for name in ["same", "empty"] {
        set_mtime(sandbox.src().join(name), 1_600_000_000, 0);
        set_mtime(sandbox.dst().join(name), 1_600_000_000, 0);
    }
    sandbox.send(&[], &recv.target()).assert_code(0);
    for name in ["same", "empty"] {
        let stored = sandbox.dst().join(format!("{name} (2)"));
        assert_eq!(digest_of(&stored), digest_of(&sandbox.src().join(name)));
    }
    for name in ["small", "large"] {
        let stored = sandbox.dst().join(format!("{name} (2)"));
        assert_eq!(digest_of(&stored), digest_of(&sandbox.src().join(name)));
        let planted = sandbox.dst().join(name);
        assert_eq!(std::fs::read_link(planted).unwrap(), secret);
    }
    outside.unchanged();
    still_serves(&sandbox, &recv);
}

#[test]
fn folders_swapped_for_links_during_a_transfer_lead_nowhere() {
    const FOLDERS: usize = 300;
    const ROUNDS: u64 = 4;
    let sandbox = Sandbox::in_memory();
    let recv = sandbox.recv();
    let hole = sandbox.folder("hole").join("hole");
    symlink(sandbox.path("outside"), &hole).unwrap();
    let outside = Outside::new(&sandbox);
    let names: Vec<_> = (0..FOLDERS).map(|n| format!("{n:03}")).collect();
    for name in &names {
        std::fs::create_dir_all(sandbox.dst().join("top").join(name)).unwrap();
    }
    let over = AtomicBool::new(false);
    let swaps = thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0u64;
            while !over.load(Ordering::Relaxed) {
                for name in &names {
                    let folder = sandbox.dst().join("top").join(name);
                    let swap = || renameat_with(CWD, &folder, CWD, &hole, RenameFlags::EXCHANGE);
                    swap().unwrap();
                    swap().unwrap();
                    swaps += 1;
                }
            }
            swaps
        });
        for round in 0..ROUNDS {
            for name in &names {
                let folder = sandbox.src().join("top").join(name);
                for n in 0..3 {
                    make_file(folder.join(format!("{round}-{n}")), round, 100);
                }
                set_mode(&folder, 0o700);
                set_mtime(&folder, 1_500_000_000, 0);
            }
            let sent = sandbox.send(&[], &recv.target());
            assert!(matches!(sent.code, Some(0 | 3)), "{sent}");
        }
        over.store(true, Ordering::Relaxed);
        swapper.join().unwrap()
    });
    assert!(swaps > 100, "{swaps} swaps only");
    outside.unchanged();
    still_serves(&sandbox, &recv);
}

#[test]
fn names_repeat_in_vain() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let mut attacks = Attacks::new(&who, &recv);
    let order = "an entry out of order";
    let number = "an entry out of number";
    let folder = "an entry whose folder is not open";
    let wrong = [
        (order, vec![file(0, "a", 1), file(1, "a", 1)]),
        (order, vec![file(0, "a", 1), dir(1, "a")]),
        (order, vec![file(0, "b", 1), file(1, "a", 1)]),
        (order, vec![dir(0, "a"), file(1, "a/b", 1), dir(2, "a/b")]),
        (order, vec![file(0, "a.b", 1), dir(1, "a")]),
        (number, vec![file(0, "a", 1), file(0, "b", 1)]),
        (number, vec![file(0, "a", 1), file(2, "b", 1)]),
        (number, vec![file(1, "a", 1)]),
        (number, vec![file(u64::MAX, "a", 1)]),
        (folder, vec![file(0, "a/b", 1)]),
        (folder, vec![dir(0, "a"), file(1, "b", 1)]),
        (folder, vec![dir(0, "a"), file(1, "a/b/c", 1)]),
    ];
    for (words, entries) in wrong {
        attacks.end_with(words, |session| {
            session.announce(&entries);
            vec![]
        });
    }
    // A million of the same: the first that repeats is one too many.
    let many: Vec<_> = (0..4096).map(|id| file(id, "same", 1 << 40)).collect();
    let many = frame(ENTRIES, &many);
    attacks.end_with(order, |session| {
        for _ in 0..250 {
            if session.control.try_raw(&many).is_err() {
                break;
            }
        }
        vec![]
    });
    attacks.all_told();
    still_serves(&sandbox, &recv);
}

#[test]
fn entries_without_end_are_too_many() {
    let sandbox = Sandbox::in_memory();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let mut attacks = Attacks::new(&who, &recv);
    let words = "more entries at once than were allowed";
    attacks.end_with(words, |session| {
        let mut id = 0;
        for _ in 0..300 {
            let batch: Vec<_> = (id..id + 2048)
                .map(|id| file(id, format!("{id:08}"), 5))
                .collect();
            id += 2048;
            if session.control.try_raw(&frame(ENTRIES, &batch)).is_err() {
                break;
            }
        }
        vec![]
    });
    attacks.all_told();
    flat_memory(&recv);
    still_serves(&sandbox, &recv);
}

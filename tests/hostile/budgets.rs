//! Senders that were let in and take all that a receiver has: memory for names, descriptors for
//! files. Others find enough, and memory has its bounds.

use std::process::Command;

use xfer::model::outcome::{Outcome, Why};
use xfer::model::reason::Limit;
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

/// How much memory one sender may make a receiver take, in bytes, with what this program itself
/// takes.
const MOST: u64 = 200 << 20;
/// How many sessions it tries to have.
const SESSIONS: usize = 10;

/// A path of 30 kB below folders that are announced first.
fn announce_deep(session: &mut Session<'_>) -> (String, u64) {
    let (mut folder, mut entry) = (String::new(), 0);
    while folder.len() < 30_000 {
        folder.push_str(&"d".repeat(250));
        session.announce(&[dir(entry, &folder)]);
        folder.push('/');
        entry += 1;
    }
    (folder, entry)
}

#[test]
fn long_names_in_many_sessions_fail_before_they_fill_the_memory() {
    let sandbox = Sandbox::in_memory();
    let recv = sandbox.recv();
    let who = Who::paired(&sandbox);
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let from = std::net::Ipv4Addr::LOCALHOST.into();
        let session = Session::try_begin_from(from, &who, recv.addr(), 1);
        let Ok(mut session) = session else {
            panic!("no place");
        };
        let (folder, first) = announce_deep(&mut session);
        let names = 1000;
        for n in 0..names {
            session.announce(&[file(first + n, format!("{folder}{n:05}"), 1)]);
        }
        // It has seen to all of them when it has seen to the last.
        let last = first + names - 1;
        let failed = loop {
            match session.control.hear() {
                Message::Wants(list) if list.0.iter().any(|want| want.entry == last) => {
                    break false;
                }
                Message::Outcomes(list) => {
                    let full = Outcome::Failed(Why::Limit(Limit::Names));
                    let full = |one: &EntryOutcome| {
                        let is_full =
                            one.outcome == full || one.outcome == Outcome::Failed(Why::Parent);
                        one.entry == last && is_full
                    };
                    if list.0.iter().any(full) {
                        break true;
                    }
                }
                Message::Abort(why) => panic!("{why}"),
                _ => {}
            }
        };
        sessions.push((session, failed));
    }
    assert!(!sessions[0].1, "the first one may take that");
    assert!(sessions[SESSIONS - 1].1, "the last one may not");
    let memory = recv.process().peak_memory().unwrap();
    assert!(memory < MOST, "{} MiB", memory >> 20);
    // Nobody else notices.
    let me = Who::let_in(&sandbox);
    let mut session = Session::begin(&me, recv.addr());
    let (folder, entry) = announce_deep(&mut session);
    session.announce(&[file(entry, format!("{folder}x"), 3)]);
    session.wanted(entry);
    drop(session);
    let path = sandbox.src().join("file");
    make_file(&path, 1, 3 * CHUNK);
    sandbox.send(&[], &recv.target()).assert_code(0);
    assert_eq!(digest_of(&sandbox.dst().join("file")), digest_of(&path));
    let memory = recv.process().peak_memory().unwrap();
    assert!(memory < MOST, "{} MiB", memory >> 20);
}

/// The same command, with so many descriptors.
fn with_descriptors(count: usize, command: &Command) -> Command {
    let limit = format!("ulimit -n {count}; exec \"$@\"");
    run_by("sh", &["-c", &limit, "sh"].map(AsRef::as_ref), command)
}

#[test]
fn partials_that_are_never_whole_leave_descriptors_to_others() {
    let sandbox = Sandbox::in_memory();
    let command = sandbox.me().recv_command(&sandbox.dst(), &[]);
    let recv = Recv::start(with_descriptors(256, &command));
    let who = Who::paired(&sandbox);
    let from = std::net::Ipv4Addr::LOCALHOST.into();
    let hole = |entry| ChunkHeader {
        encoding: Encoding::Hole,
        digest: zeros(),
        length: 1 << 20,
        ..part(entry, 0, &[])
    };
    let mut sessions = Vec::new();
    // As many sessions as it gets, each with as many partials as it gets.
    while let Ok(mut session) = Session::try_begin_from(from, &who, recv.addr(), 1) {
        let number = sessions.len();
        let names: Vec<_> = (0..100)
            .map(|n| file(n, format!("{number:03}-{n:03}"), 2 * CHUNK))
            .collect();
        session.announce(&names);
        let mut lane = session.lane();
        session.wanted(99);
        for entry in 0..100 {
            lane.raw(&chunk_bytes(&hole(entry), &[]));
        }
        sessions.push((session, lane));
        assert!(sessions.len() < 100, "it has as many sessions as it likes");
    }
    assert!(!sessions.is_empty());
    // The last has all that it gets when it has the first of what every session gets.
    let partials = || {
        let all = std::fs::read_dir(sandbox.dst()).unwrap();
        let names = all.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".partial"))
            .count()
    };
    let end = std::time::Instant::now() + PATIENCE;
    while partials() < 4 * sessions.len() {
        assert!(std::time::Instant::now() < end, "{} begun", partials());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // A folder, small files and large ones of somebody else.
    for n in 0..20 {
        make_file(sandbox.path(&format!("more/small-{n}")), n, 1000);
        make_file(sandbox.path(&format!("more/large-{n}")), n, 2 * CHUNK + n);
    }
    let more = sandbox.path("more");
    sandbox.send(&[&more], &recv.target()).assert_code(0);
    assert_same_tree(&more, sandbox.dst().join("more"));
}

/// The digest of a whole chunk of zeros.
fn zeros() -> xfer::model::digest::Digest {
    let zeros = vec![0; 1 << 20];
    xfer::model::digest::Digest(xfer::model::digest::sha256(&[&zeros]).0)
}

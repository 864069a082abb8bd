//! What waits in the receive directory under the names of what comes: it is not told to those who
//! may not know what is in it, and nobody is held up by it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;

use xfer::model::outcome::{Decline, Outcome, Wish};
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

/// What a sender hears of one entry: whether it is wanted, what of it is held, how it ends.
type Heard = (Option<bool>, usize, Outcome);

/// Offers one entry, with this content where it is a file, and gives what it hears.
fn offer_one(who: &Who, recv: &Recv, entry: RawEntry, data: &[u8]) -> Heard {
    let mut session = Session::begin(who, recv.addr());
    session.announce(&[entry]);
    let (mut want, mut held) = (None, 0);
    let mut lane = session.lane();
    let outcome = loop {
        match session.control.hear() {
            Message::Wants(wants) => {
                want = Some(wants.0[0].held);
                if data.len() as u64 <= CHUNK {
                    session.put(&mut lane, 0, data);
                } else {
                    for (index, data) in (0..).zip(data.chunks(1 << 20)) {
                        lane.raw(&chunk_bytes(&part(0, index, data), data));
                    }
                    session.control.say(&done(0, file_digest(data)));
                }
            }
            Message::Held(list) => held += list.digests.iter().flatten().count(),
            Message::Outcomes(list) => break list.0[0].outcome.clone(),
            other => panic!("{other:?}"),
        }
    };
    session.control.say(&scanned());
    lane.say(&Message::LaneEnd(()));
    lane.close();
    session.control.say(&Message::End(End {
        entries: 1,
        unannounced: 0,
    }));
    session.control.close();
    (want, held, outcome)
}

/// Those who are let in, but may not learn what is there.
fn guessers(sandbox: &Sandbox) -> [Who; 2] {
    [Who::open_stranger(), Who::paired(sandbox)]
}

/// To have replaced what differs, and compared what does not seem to.
const REPLACE: Wish = Wish {
    update: true,
    checksum: true,
    mirror: false,
    dry_run: false,
};

#[test]
fn others_cannot_guess_what_files_contain() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--open"]);
    let [mut stranger, mut paired] = guessers(&sandbox);
    guess_contents(&sandbox, &recv, &stranger);
    guess_contents(&sandbox, &recv, &paired);
    // Nor those who would like to replace them, and may not.
    (stranger.wish, paired.wish) = (REPLACE, REPLACE);
    let from = [127, 0, 0, 1].into();
    let told = Session::try_begin_from(from, &stranger, recv.addr(), 4).err();
    assert_eq!(told, Some(Message::Declined(Decline::NoUpdate)));
    still_serves(&sandbox, &recv);
    let recv = sandbox.recv_with(&["--on-conflict", "beside"]);
    guess_contents(&sandbox, &recv, &paired);
    still_serves(&sandbox, &recv);
}

fn guess_contents(sandbox: &Sandbox, recv: &Recv, who: &Who) {
    let path = sandbox.dst().join("file");
    for size in [0u64, 10, CHUNK, 2 * CHUNK + 5] {
        // What is there has this content; a guess may be right or wrong.
        let right = bytes(1, usize::try_from(size).unwrap());
        let mut wrong = right.clone();
        if let Some(last) = wrong.last_mut() {
            *last ^= 1;
        }
        for same_time in [false, true] {
            let [first, second] = [&right, &wrong].map(|guess| {
                fs::write(&path, &right).unwrap();
                let seconds = TIME.0 - i64::from(!same_time) * 1000;
                set_mtime(&path, seconds, TIME.1);
                let heard = offer_one(who, recv, file(0, "file", size), guess);
                assert!(fs::read(&path).unwrap() == right);
                let _ = fs::remove_file(sandbox.dst().join("file (2)"));
                heard
            });
            assert_eq!(first, second, "{size} bytes, same time: {same_time}");
            assert_eq!(first.0, (!same_time).then_some(false));
            assert_eq!(first.1, 0);
        }
    }
    fs::remove_file(path).unwrap();
}

#[test]
fn a_dry_run_stores_nothing_whatever_is_sent() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let mut who = Who::let_in(&sandbox);
    who.wish.dry_run = true;
    let mut session = Session::begin(&who, recv.addr());
    session.announce(&[dir(0, "folder"), file(1, "folder/file", 3)]);
    session.control.say(&dir_end(0));
    session.announce(&[link(2, "link", "folder")]);
    for entry in 0..3 {
        assert_eq!(session.outcome(entry), Outcome::Stored(None));
    }
    let mut lane = session.lane();
    session.put(&mut lane, 1, b"abc");
    session.end(vec![lane]);
    assert_eq!(fs::read_dir(sandbox.dst()).unwrap().count(), 0);
    still_serves(&sandbox, &recv);
}

#[test]
fn others_cannot_guess_where_links_lead() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--open"]);
    let path = sandbox.dst().join("link");
    for who in &guessers(&sandbox) {
        for same_time in [false, true] {
            let [first, second] = ["secret", "sacred"].map(|guess| {
                symlink("secret", &path).unwrap();
                let seconds = TIME.0 - i64::from(!same_time) * 1000;
                set_mtime(&path, seconds, TIME.1);
                let heard = offer_one(who, &recv, link(0, "link", guess), b"");
                let _ = fs::remove_file(sandbox.dst().join("link (2)"));
                fs::remove_file(&path).unwrap();
                heard
            });
            assert_eq!(first, second, "same time: {same_time}");
        }
    }
    still_serves(&sandbox, &recv);
}

#[test]
fn one_strangers_partial_is_not_anothers() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--open"]);
    let data = bytes(3, 2 * usize::try_from(CHUNK).unwrap());
    let (first, _) = data.split_at(data.len() / 2);
    let owner = Who::open_stranger();
    let mut session = Session::begin(&owner, recv.addr());
    session.announce(&[file(0, "file", 2 * CHUNK)]);
    session.wanted(0);
    let mut lane = session.lane();
    lane.raw(&chunk_bytes(&part(0, 0, first), first));
    // It has been stored once the next is refused.
    lane.raw(&chunk_bytes(&part(0, 9, first), first));
    session.control.hear_abort();
    session.control.close();
    drop(lane);
    // Neither others, nor the receiver's own user, hear of it.
    for who in [
        Who::open_stranger(),
        Who::paired(&sandbox),
        Who::let_in(&sandbox),
    ] {
        let mut session = Session::begin(&who, recv.addr());
        session.announce(&[file(0, "file", 2 * CHUNK)]);
        assert!(!session.wanted(0).held);
        drop(session);
    }
    let mut session = Session::begin(&owner, recv.addr());
    session.announce(&[file(0, "file", 2 * CHUNK)]);
    assert!(session.wanted(0).held);
    match session.control.hear() {
        Message::Held(held) => {
            let digests = [Some(part(0, 0, first).digest), None];
            assert_eq!(held.digests, digests);
        }
        other => panic!("{other:?}"),
    }
    drop(session);
    // It does not wait for what is held, which may be told or not before all of it has come.
    let (wanted, _, outcome) = offer_one(&owner, &recv, file(0, "file", 2 * CHUNK), &data);
    assert_eq!((wanted, outcome), (Some(true), Outcome::Stored(None)));
    still_serves(&sandbox, &recv);
}

#[test]
fn what_is_no_file_does_not_hold_anybody_up() {
    let sandbox = Sandbox::new();
    let outside = Outside::new(&sandbox);
    let dst = sandbox.dst();
    let stray = |name: &str| dst.join(name);
    // A partial of another session, so that there is something to harm.
    let records = stray(".xfer/partials");
    fs::create_dir_all(&records).unwrap();
    fs::write(records.join("record"), "not to be touched").unwrap();
    let names = ["device", "fifo", "folder", "records", "socket", "state"];
    make_fifo(stray("fifo"));
    let _socket = UnixListener::bind(stray("socket")).unwrap();
    fs::create_dir(stray("folder")).unwrap();
    symlink(".xfer", stray("state")).unwrap();
    symlink(".xfer/partials", stray("records")).unwrap();
    symlink("/dev/zero", stray("device")).unwrap();
    let recv = sandbox.recv();
    for size in [10, 2 * CHUNK] {
        for name in names {
            make_file(sandbox.src().join(name), size, size);
        }
        sandbox.send(&[], &recv.target()).assert_code(0);
    }
    for name in names {
        for (n, size) in [(2, 10), (3, 2 * CHUNK)] {
            let stored = fs::metadata(stray(&format!("{name} ({n})"))).unwrap();
            assert!(stored.is_file() && stored.len() == size, "{name}");
        }
    }
    // The same as folders: a link is none, and what is none cannot become one.
    let who = Who::let_in(&sandbox);
    let mut session = Session::begin(&who, recv.addr());
    let mut entries = Vec::new();
    for (n, name) in (0..).zip(names) {
        entries.push(dir(2 * n, name));
        entries.push(file(2 * n + 1, format!("{name}/record"), 3));
    }
    for (n, entries) in (0..).zip(entries.chunks(2)) {
        session.announce(entries);
        session.control.say(&dir_end(2 * n));
    }
    let folder = names.iter().position(|name| *name == "folder").unwrap() as u64;
    for n in (0..names.len() as u64).filter(|n| *n != folder) {
        assert!(matches!(session.outcome(2 * n), Outcome::Failed(_)));
        assert!(matches!(session.outcome(2 * n + 1), Outcome::Failed(_)));
    }
    session.wanted(2 * folder + 1);
    let mut lane = session.lane();
    session.put(&mut lane, 2 * folder + 1, b"abc");
    assert_eq!(session.end(vec![lane]).failed, 2 * (names.len() as u64 - 1));
    // All is as it was.
    let kind = |name: &str| fs::symlink_metadata(stray(name)).unwrap().file_type();
    assert!(kind("fifo").is_fifo() && kind("socket").is_socket());
    assert_eq!(
        fs::read_link(stray("state")).unwrap(),
        stray_target(".xfer")
    );
    let record = fs::read_to_string(records.join("record")).unwrap();
    assert_eq!(record, "not to be touched");
    assert_eq!(fs::read_dir(&records).unwrap().count(), 1);
    outside.unchanged();
    fs::remove_dir_all(stray(".xfer")).unwrap();
    still_serves(&sandbox, &recv);
}

fn stray_target(name: &str) -> std::path::PathBuf {
    name.into()
}

#[test]
fn what_waits_where_a_partial_is_to_be_is_not_written_to() {
    let sandbox = Sandbox::new();
    let outside = Outside::new(&sandbox);
    let recv = sandbox.recv();
    // Finds out what the partial is called.
    let who = Who::let_in(&sandbox);
    let data = bytes(4, 1 << 20);
    let partial = || {
        let entries = fs::read_dir(sandbox.dst()).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().path());
        names.find(|path| path.extension().is_some_and(|e| e == "partial"))
    };
    let begin = || {
        let mut session = Session::begin(&who, recv.addr());
        session.announce(&[file(0, "file", 2 * CHUNK)]);
        let held = session.wanted(0).held;
        let mut lane = session.lane();
        if held {
            while !matches!(session.control.hear(), Message::Held(_)) {}
        }
        lane.raw(&chunk_bytes(&part(0, 0, &data), &data));
        lane.raw(&chunk_bytes(&part(0, 9, &data), &data));
        session.control.hear_abort();
        session.control.close();
    };
    begin();
    let name = partial().unwrap();
    let secret = sandbox.path("outside/secret");
    let traps: [&dyn Fn(); 4] = [
        &|| symlink(&secret, &name).unwrap(),
        &|| fs::hard_link(&secret, &name).unwrap(),
        &|| make_fifo(&name),
        &|| drop(UnixListener::bind(&name).unwrap()),
    ];
    let content = fs::read(&secret).unwrap();
    for trap in traps {
        fs::remove_file(&name).unwrap();
        trap();
        begin();
        assert!(fs::symlink_metadata(&name).unwrap().is_file());
        assert!(fs::read(&secret).unwrap() == content);
    }
    outside.unchanged();
    make_file(sandbox.src().join("file"), 9, 2 * CHUNK);
    still_receives(&sandbox, &recv);
}

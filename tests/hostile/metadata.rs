//! Modes and times that no honest peer would give: they are cut to what may be, or fail by
//! themselves, and break nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;

use xfer::model::outcome::Outcome;
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

fn mode_of(path: &std::path::Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn special_bits_are_not_the_senders_to_give() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let mut session = Session::begin(&who, recv.addr());
    let modes = [0o4755, 0o2755, 0o1777, 0o7777, 0o6711, 0o7000];
    let mut entries = Vec::new();
    for (n, mode) in (0..).zip(modes) {
        entries.push(file(2 * n, format!("f{mode:04o} large"), 2 * CHUNK).mode(mode));
        entries.push(file(2 * n + 1, format!("f{mode:04o} small"), 3).mode(mode));
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut lane = session.lane();
    for (id, entry) in (0..).zip(&mut entries) {
        entry.id = id;
    }
    session.announce(&entries);
    let data = bytes(1, 2 << 20);
    for (id, entry) in (0..).zip(&entries) {
        session.wanted(id);
        // Anew, with the same mode, so that both ways in are tried.
        let large = matches!(entry.kind, RawKind::File { size } if size > 3);
        let attempt = u32::from(id % 4 < 2);
        if attempt == 1 {
            session.control.say(&Message::Changed(Changed {
                entry: id,
                attempt,
                size: (if large { 2 * CHUNK } else { 3 }).try_into().unwrap(),
                mtime: TIME.try_into().unwrap(),
                mode: entry.mode.try_into().unwrap(),
            }));
            session.wanted_at(id, attempt);
        }
        if large {
            for (index, data) in (0..).zip(data.chunks(1 << 20)) {
                let header = ChunkHeader {
                    attempt,
                    ..part(id, index, data)
                };
                lane.raw(&chunk_bytes(&header, data));
            }
            session.control.say(&Message::Done(Done {
                entry: id,
                attempt,
                digest: file_digest(&data),
            }));
        } else {
            let header = ChunkHeader {
                attempt,
                ..whole(id, b"abc")
            };
            lane.raw(&chunk_bytes(&header, b"abc"));
        }
        assert_eq!(session.outcome(id), Outcome::Stored(None));
    }
    session.end(vec![lane]);
    let mut session = Session::begin(&who, recv.addr());
    for (n, mode) in (0..).zip(modes) {
        session.announce(&[dir(n, format!("x{n}")).mode(mode)]);
        session.control.say(&dir_end(n));
    }
    session.end(vec![]);
    for (n, mode) in (0..).zip(modes) {
        for size in ["small", "large"] {
            let path = sandbox.dst().join(format!("f{mode:04o} {size}"));
            assert_eq!(mode_of(&path), mode & 0o777, "{}", path.display());
        }
        let path = sandbox.dst().join(format!("x{n}"));
        assert_eq!(mode_of(&path), mode & 0o777, "{}", path.display());
    }
    still_serves(&sandbox, &recv);
}

#[test]
fn folders_that_lock_their_owner_out_are_filled_first() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    // The second session meets them as the first has left them.
    for round in 0..2 {
        let mut session = Session::begin(&who, recv.addr());
        session.announce(&[
            dir(0, "locked").mode(0),
            dir(1, "locked/in").mode(0o111),
            file(2, format!("locked/in/small {round}"), 3).mode(0),
        ]);
        session.control.say(&dir_end(1));
        session.announce(&[file(3, format!("locked/large {round}"), 2 * CHUNK).mode(0o222)]);
        session.control.say(&dir_end(0));
        let mut lane = session.lane();
        session.wanted(2);
        session.wanted(3);
        session.put(&mut lane, 2, b"abc");
        let data = bytes(1, 2 << 20);
        for (index, data) in (0..).zip(data.chunks(1 << 20)) {
            lane.raw(&chunk_bytes(&part(3, index, data), data));
        }
        session.control.say(&done(3, file_digest(&data)));
        assert_eq!(session.end(vec![lane]).failed, 0);
        let at = |name: &str| mode_of(&sandbox.dst().join(name));
        // They are closed again with the last that is stored in them.
        assert_eq!((at("locked"), at("locked/in")), (0, 0o111));
        assert_eq!(at(&format!("locked/in/small {round}")), 0);
        assert_eq!(at(&format!("locked/large {round}")), 0o222);
    }
    still_serves(&sandbox, &recv);
}

#[test]
fn times_may_be_any() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let mut times = Vec::new();
    for seconds in [
        i64::MIN,
        i64::MIN + 1,
        -(1 << 40),
        i64::from(i32::MIN) - 1,
        i64::from(i32::MIN),
        -1,
        0,
        1,
        i64::from(i32::MAX) + 1,
        4_294_967_296,
        5_000_000_000,
        1 << 40,
        i64::MAX - 1,
        i64::MAX,
    ] {
        for nanos in [0, 999_999_999] {
            times.push((seconds, nanos));
        }
    }
    // Twice: what is there then may be the same or not, as the file system can hold its time.
    for _ in 0..2 {
        let mut session = Session::begin(&who, recv.addr());
        let mut lane = session.lane();
        let mut id = 0;
        for (n, &(seconds, nanos)) in (0..).zip(&times) {
            let small = format!("{n:02}/f");
            session.announce(&[
                dir(id, format!("{n:02}")).mtime(seconds, nanos),
                file(id + 1, small, 3).mtime(seconds, nanos),
                link(id + 2, format!("{n:02}/l"), "f").mtime(seconds, nanos),
            ]);
            session.control.say(&dir_end(id));
            loop {
                match session.control.hear() {
                    Message::Wants(wants) => {
                        let want = wants.0[0];
                        assert_eq!(want.entry, id + 1);
                        if want.held {
                            while !matches!(session.control.hear(), Message::Held(_)) {}
                        }
                        session.put(&mut lane, want.entry, b"abc");
                        break;
                    }
                    Message::Outcomes(list) if list.0.iter().any(|o| o.entry == id + 1) => {
                        break;
                    }
                    _ => {}
                }
            }
            id += 3;
        }
        drop(lane);
        drop(session);
    }
    recv.process().wait_for_text("lost the connection");
    let at = |n: usize, name: &str| {
        let path = sandbox.dst().join(format!("{n:02}")).join(name);
        let meta = fs::symlink_metadata(path).unwrap();
        (meta.mtime(), meta.mtime_nsec())
    };
    for (n, &(seconds, nanos)) in times.iter().enumerate() {
        assert_eq!(
            fs::read(sandbox.dst().join(format!("{n:02}/f"))).unwrap(),
            b"abc"
        );
        // What every file system can hold has come through.
        if (0..i64::from(i32::MAX)).contains(&seconds) {
            assert_eq!(at(n, "f"), (seconds, i64::from(nanos)));
            assert_eq!(at(n, "l"), (seconds, i64::from(nanos)));
        }
    }
    still_serves(&sandbox, &recv);
    // What is no time or no mode at all.
    let mut attacks = Attacks::new(&who, &recv);
    for entry in [
        file(0, "a", 3).mtime(0, 1_000_000_000),
        file(0, "a", 3).mtime(i64::MIN, u32::MAX),
        dir(0, "a").mtime(i64::MAX, u32::MAX),
        file(0, "a", 3).mode(0o10000),
        dir(0, "a").mode(u32::MAX),
        file(0, "a", u64::MAX),
        file(0, "a", 1 << 63),
    ] {
        attacks.end_with("a bad frame of type 0x20", |session| {
            session.announce(&[entry]);
            vec![]
        });
    }
    attacks.all_told();
    still_serves(&sandbox, &recv);
}

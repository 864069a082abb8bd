//! Chunks and their files' ends that lie: of what was not offered, too many, too long, damaged.
//! What is stored is what was announced, or nothing.

use xfer::model::digest::Digest;
use xfer::model::outcome::{Outcome, Why};
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

const CHUNK_BYTES: usize = xfer::model::digest::CHUNK_SIZE as usize;

fn changed(entry: u64, attempt: u32, size: u64) -> Message {
    Message::Changed(Changed {
        entry,
        attempt,
        size: size.try_into().unwrap(),
        mtime: TIME.try_into().unwrap(),
        mode: 0o644.try_into().unwrap(),
    })
}

#[test]
fn what_was_not_offered_ends_the_session() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let mut attacks = Attacks::new(&who, &recv);
    for entry in [3, u64::MAX] {
        attacks.end_with("a chunk of what was not announced", |session| {
            session.announce(&[file(0, "a", 3), dir(1, "b"), link(2, "b/c", "d")]);
            let mut lane = session.lane();
            session.put(&mut lane, entry, b"abc");
            vec![lane]
        });
        let nothing = Digest([0; 32]);
        let not_announced = [
            ("an end of what was not announced", done(entry, nothing)),
            (
                "an entry skipped that was not announced",
                Message::Skipped(Skipped {
                    entry,
                    why: Why::Vanished,
                }),
            ),
            ("a change of what was not announced", changed(entry, 1, 5)),
        ];
        for (words, message) in not_announced {
            attacks.end_with(words, |session| {
                session.announce(&[file(0, "a", 3), dir(1, "b"), link(2, "b/c", "d")]);
                session.control.say(&message);
                vec![]
            });
        }
    }
    attacks.all_told();
    std::fs::remove_dir_all(sandbox.dst().join("b")).unwrap();
    still_receives(&sandbox, &recv);
}

#[test]
fn another_sessions_entries_are_none_of_this_ones() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let mut honest = Session::begin(&who, recv.addr());
    honest.announce(&[file(0, "a", 3)]);
    honest.wanted(0);
    let mut attacks = Attacks::new(&who, &recv);
    attacks.end_with("a chunk of what was not announced", |session| {
        let mut lane = session.lane();
        session.put(&mut lane, 0, b"bad");
        vec![lane]
    });
    let mut lane = honest.lane();
    honest.put(&mut lane, 0, b"abc");
    assert_eq!(honest.end(vec![lane]).stored, 1);
    assert_eq!(std::fs::read(sandbox.dst().join("a")).unwrap(), b"abc");
    attacks.all_told();
    still_serves(&sandbox, &recv);
}

#[test]
fn chunks_that_do_not_fit_end_the_session() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let data = bytes(5, CHUNK_BYTES);
    let (short, long) = (&data[..7], &data[..CHUNK_BYTES]);
    let behind = "a chunk behind the end of its file";
    let length = "a chunk of the wrong length";
    let attempt = "a chunk of an attempt that has not begun";
    let held = "a chunk said to be held that is not";
    let large = 2 * CHUNK + 7;
    let at = |index, data| part(0, index, data);
    let wrong: Vec<(&str, u64, ChunkHeader, &[u8])> = vec![
        (behind, large, at(3, short), short),
        (behind, large, at(3, &[]), &[]),
        (behind, large, at(5000, long), long),
        (behind, large, at(1 << 44, long), long),
        (behind, large, at(u64::MAX, long), long),
        (behind, 3, at(1, b"abc"), b"abc"),
        (length, large, at(0, short), short),
        (length, large, at(2, long), long),
        (length, large, at(2, &data[..8]), &data[..8]),
        (length, large, at(0, &[]), &[]),
        (length, 3, whole(0, b"abcd"), b"abcd"),
        (length, 3, whole(0, b"ab"), b"ab"),
        (length, 3, whole(0, b""), b""),
        (length, 0, whole(0, b"a"), b"a"),
        // `whole` that lies, both ways.
        (length, 3, at(0, b"abc"), b"abc"),
        (length, large, whole(0, long), long),
        (
            attempt,
            large,
            ChunkHeader {
                attempt: 1,
                ..at(0, long)
            },
            long,
        ),
        (
            attempt,
            3,
            ChunkHeader {
                attempt: u32::MAX,
                ..whole(0, b"abc")
            },
            b"abc",
        ),
        (
            held,
            large,
            ChunkHeader {
                encoding: Encoding::Held,
                ..at(0, long)
            },
            &[],
        ),
        (
            held,
            3,
            ChunkHeader {
                encoding: Encoding::Held,
                ..whole(0, b"abc")
            },
            &[],
        ),
        (
            "longer than a chunk can be",
            large,
            ChunkHeader {
                encoding: Encoding::Hole,
                length: u32::MAX,
                ..at(0, long)
            },
            &[],
        ),
        ("length is not that of its frame", large, at(0, long), short),
        (
            "length is not that of its frame",
            large,
            ChunkHeader {
                encoding: Encoding::Hole,
                ..at(0, long)
            },
            long,
        ),
    ];
    let mut attacks = Attacks::new(&who, &recv);
    for (words, size, header, data) in wrong {
        attacks.end_with(words, |session| {
            session.announce(&[file(0, "a", size)]);
            session.wanted(0);
            let mut lane = session.lane();
            lane.raw(&chunk_bytes(&header, data));
            vec![lane]
        });
    }
    attacks.all_told();
    flat_memory(&recv);
    still_receives(&sandbox, &recv);
}

#[test]
fn what_is_damaged_is_not_stored() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let data = bytes(6, 2 * CHUNK_BYTES);
    let (first, second) = data.split_at(CHUNK_BYTES);
    let damaged = Outcome::Failed(Why::Damaged);
    let mut session = Session::begin(&who, recv.addr());
    session.announce(&[
        file(0, "bad chunk", 2 * CHUNK),
        file(1, "bad end", 2 * CHUNK),
        file(2, "bad hole", 2 * CHUNK),
        file(3, "bad small one", 3),
        file(4, "good", 2 * CHUNK),
    ]);
    let mut lane = session.lane();
    for entry in 0..5 {
        session.wanted(entry);
    }
    // Bytes of another digest.
    lane.raw(&chunk_bytes(&part(0, 0, first), first));
    lane.raw(&chunk_bytes(&part(0, 1, first), second));
    assert_eq!(session.outcome(0), damaged);
    // Good chunks, and an end of another digest.
    lane.raw(&chunk_bytes(&part(1, 0, first), first));
    lane.raw(&chunk_bytes(&part(1, 1, second), second));
    session.control.say(&done(1, part(1, 0, first).digest));
    assert_eq!(session.outcome(1), damaged);
    let hole = ChunkHeader {
        encoding: Encoding::Hole,
        ..part(2, 0, first)
    };
    lane.raw(&chunk_bytes(&hole, &[]));
    assert_eq!(session.outcome(2), damaged);
    lane.raw(&chunk_bytes(&whole(3, b"abd"), b"abc"));
    assert_eq!(session.outcome(3), damaged);
    // What still comes of them is dropped, and the rest goes on.
    lane.raw(&chunk_bytes(&part(0, 1, second), second));
    session.control.say(&done(0, file_digest(&data)));
    session.put(&mut lane, 3, b"abc");
    // The end may come before the chunks.
    session.control.say(&done(4, file_digest(&data)));
    lane.raw(&chunk_bytes(&part(4, 1, second), second));
    lane.raw(&chunk_bytes(&part(4, 0, first), first));
    assert_eq!(session.outcome(4), Outcome::Stored(None));
    let summary = session.end(vec![lane]);
    assert_eq!((summary.stored, summary.failed), (1, 4));
    let stored = |name: &str| sandbox.dst().join(name);
    assert!(std::fs::read(stored("good")).unwrap() == data);
    for name in ["bad chunk", "bad end", "bad hole", "bad small one"] {
        assert!(!stored(name).exists(), "{name}");
        recv.process()
            .wait_for_text(&format!("Failed: {name} from mallory: arrived damaged"));
    }
    // What was good of the first one waits for an honest sender.
    std::fs::remove_file(stored("good")).unwrap();
    make_file(sandbox.src().join("bad chunk"), 6, 2 * CHUNK);
    make_file(sandbox.src().join("bad hole"), 6, 2 * CHUNK);
    still_receives(&sandbox, &recv);
}

#[test]
fn what_comes_twice_counts_once() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let data = bytes(7, 2 * CHUNK_BYTES);
    let (first, second) = data.split_at(CHUNK_BYTES);
    let mut session = Session::begin(&who, recv.addr());
    session.announce(&[
        file(0, "large", 2 * CHUNK),
        link(1, "link", "large"),
        file(2, "small", 3),
        dir(3, "x"),
    ]);
    session.control.say(&dir_end(3));
    let mut lane = session.lane();
    session.wanted(0);
    session.wanted(2);
    // Other bytes for a chunk that is there, with a good digest, on each lane.
    lane.raw(&chunk_bytes(&part(0, 0, first), first));
    lane.raw(&chunk_bytes(&part(0, 0, second), second));
    // Ends of what has none.
    for entry in [1, 3] {
        session.control.say(&done(entry, part(0, 0, first).digest));
    }
    // Chunks of what has none.
    session.put(&mut lane, 1, b"abc");
    session.put(&mut lane, 3, b"abc");
    session.put(&mut lane, 2, b"abc");
    assert_eq!(session.outcome(2), Outcome::Stored(None));
    // Others for a file that is finished.
    session.put(&mut lane, 2, b"xyz");
    lane.raw(&chunk_bytes(&part(2, 9, b"xyz"), b"xyz"));
    // The first word on what all should be counts.
    session.control.say(&done(0, file_digest(&data)));
    session.control.say(&done(0, part(0, 0, first).digest));
    lane.raw(&chunk_bytes(&part(0, 1, second), second));
    assert_eq!(session.outcome(0), Outcome::Stored(None));
    session.control.say(&done(0, part(0, 0, first).digest));
    lane.raw(&chunk_bytes(&part(0, 1, first), first));
    let summary = session.end(vec![lane]);
    assert_eq!((summary.stored, summary.files, summary.failed), (4, 2, 0));
    assert_eq!(summary.bytes, 2 * CHUNK + 3);
    let stored = |name: &str| std::fs::read(sandbox.dst().join(name)).unwrap();
    assert!(stored("large") == data);
    assert_eq!(stored("small"), b"abc");
    still_serves(&sandbox, &recv);
}

#[test]
fn attempts_are_counted() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let mut attacks = Attacks::new(&who, &recv);
    for attempt in [0, 2, u32::MAX] {
        attacks.end_with("an attempt out of number", |session| {
            session.announce(&[file(0, "a", 3)]);
            session.wanted(0);
            session.control.say(&changed(0, attempt, 3));
            vec![]
        });
    }
    attacks.end_with("more attempts at a file than there may be", |session| {
        session.announce(&[file(0, "a", 3)]);
        for attempt in 1..=4 {
            session.control.say(&changed(0, attempt, 3));
        }
        vec![]
    });
    attacks.all_told();
    // Chunks and an end of an attempt that is over are nobody's.
    let data = bytes(8, 2 * CHUNK_BYTES);
    let (first, second) = data.split_at(CHUNK_BYTES);
    let mut session = Session::begin(&who, recv.addr());
    session.announce(&[file(0, "a", 2 * CHUNK)]);
    session.wanted(0);
    let mut lane = session.lane();
    lane.raw(&chunk_bytes(&part(0, 0, second), second));
    session.control.say(&changed(0, 1, 2 * CHUNK));
    session.control.say(&done(0, file_digest(&data)));
    session.wanted_at(0, 1);
    lane.raw(&chunk_bytes(&part(0, 0, first), first));
    for (index, data) in [(0, first), (1, second)] {
        let header = ChunkHeader {
            attempt: 1,
            ..part(0, index, data)
        };
        lane.raw(&chunk_bytes(&header, data));
    }
    session.control.say(&Message::Done(Done {
        entry: 0,
        attempt: 1,
        digest: file_digest(&data),
    }));
    assert_eq!(session.end(vec![lane]).stored, 1);
    assert!(std::fs::read(sandbox.dst().join("a")).unwrap() == data);
    still_serves(&sandbox, &recv);
}

#[test]
fn an_end_before_everything_is_there_is_none() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let words = "an end before everything had its outcome";
    let end = |entries| {
        Message::End(End {
            entries,
            unannounced: 0,
        })
    };
    let mut attacks = Attacks::new(&who, &recv);
    // Before its file; before it has said that these are all; of more, or fewer.
    attacks.end_with(words, |session| {
        session.announce(&[file(0, "a", 3)]);
        session.wanted(0);
        session.control.say(&scanned());
        session.control.say(&end(1));
        vec![]
    });
    attacks.end_with(words, |session| {
        session.control.say(&end(0));
        vec![]
    });
    for entries in [1, 3, u64::MAX] {
        attacks.end_with(words, |session| {
            session.announce(&[link(0, "a", "b"), link(1, "b", "c")]);
            session.outcome(1);
            session.control.say(&scanned());
            session.control.say(&end(entries));
            vec![]
        });
    }
    let words = "the end of a manifest in the middle of a folder";
    attacks.end_with(words, |session| {
        session.announce(&[dir(0, "d")]);
        session.control.say(&scanned());
        vec![]
    });
    let words = "the end of a folder that is not the innermost";
    for entry in [0, 2, 3] {
        attacks.end_with(words, |session| {
            session.announce(&[dir(0, "d"), dir(1, "d/e"), file(2, "d/e/f", 3)]);
            session.control.say(&dir_end(entry));
            vec![]
        });
    }
    attacks.all_told();
    still_serves(&sandbox, &recv);
}

#[test]
fn packed_chunks_unpack_to_what_they_say_or_not_at_all() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let data = vec![7; CHUNK_BYTES];
    let pack = |data: &[u8]| zstd::bulk::compress(data, 1).unwrap();
    let good = pack(&data);
    let packed = [
        // A thousand times as much as it says, a byte more, a byte less, and as much of another.
        pack(&vec![7; 1000 * CHUNK_BYTES]),
        pack(&vec![7; CHUNK_BYTES + 1]),
        pack(&data[1..]),
        pack(&vec![8; CHUNK_BYTES]),
        good[..good.len() - 1].to_vec(),
        b"not packed at all".to_vec(),
        good,
    ];
    let mut session = Session::begin(&who, recv.addr());
    let names = ["a", "b", "c", "d", "e", "f", "good"];
    let files: Vec<_> = (0..)
        .zip(names)
        .map(|(n, name)| file(n, name, CHUNK))
        .collect();
    session.announce(&files);
    let mut lane = session.lane();
    for (n, bytes) in (0..).zip(&packed) {
        session.wanted(n);
        let header = ChunkHeader {
            encoding: Encoding::Zstd,
            ..whole(n, &data)
        };
        lane.raw(&chunk_bytes(&header, bytes));
        let outcome = match names[usize::try_from(n).unwrap()] {
            "good" => Outcome::Stored(None),
            _ => Outcome::Failed(Why::Damaged),
        };
        assert_eq!(session.outcome(n), outcome, "{n}");
    }
    session.end(vec![lane]);
    assert!(std::fs::read(sandbox.dst().join("good")).unwrap() == data);
    flat_memory(&recv);
}

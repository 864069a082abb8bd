//! Streams that are none: chunks out of order, behind the end, or as no stream has them. What is
//! stored is a stream from its beginning to its end, or nothing.

use std::fs;

use xfer::model::outcome::{Outcome, Why};
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

const CHUNK_BYTES: usize = xfer::model::digest::CHUNK_SIZE as usize;

/// The header of chunk `index` of a stream, which is hashed as a file of its own.
fn piece(index: u64, data: &[u8]) -> ChunkHeader {
    ChunkHeader {
        index,
        whole: false,
        ..whole(0, data)
    }
}

fn stream_digest(pieces: &[&[u8]]) -> xfer::model::digest::Digest {
    let mut all =
        xfer::model::digest::FileDigest::of_stream(xfer::model::digest::Algorithm::Sha256);
    let mut size = 0;
    for (index, data) in (0..).zip(pieces) {
        all.push(index, whole(0, data).digest).unwrap();
        size += data.len() as u64;
    }
    all.end_stream(size);
    all.finish().unwrap()
}

#[test]
fn chunks_that_no_stream_has_end_the_session() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let mut attacks = Attacks::new(&who, &recv);
    let full = bytes(1, CHUNK_BYTES);
    let rest = bytes(2, 1000);
    let no_stream_has = "a chunk that no stream has";
    let out_of_order = "a chunk of a stream out of order";
    let mut held = piece(0, &full);
    held.encoding = Encoding::Held;
    let cases: [(&str, Vec<Vec<u8>>); 6] = [
        (out_of_order, vec![chunk_bytes(&piece(1, &full), &full)]),
        (
            out_of_order,
            vec![
                chunk_bytes(&piece(0, &full), &full),
                chunk_bytes(&piece(u64::MAX, &full), &full),
            ],
        ),
        (
            out_of_order,
            vec![
                chunk_bytes(&piece(0, &full), &full),
                chunk_bytes(&piece(0, &full), &full),
            ],
        ),
        (
            "a chunk behind its stream's end",
            vec![
                chunk_bytes(&piece(0, &rest), &rest),
                chunk_bytes(&piece(1, &rest), &rest),
            ],
        ),
        (no_stream_has, vec![chunk_bytes(&whole(0, &rest), &rest)]),
        (no_stream_has, vec![chunk_bytes(&held, b"")]),
    ];
    for (words, chunks) in cases {
        attacks.end_with(words, |session| {
            session.announce(&[stream(0, "stream")]);
            session.wanted(0);
            let mut lane = session.lane();
            chunks.iter().for_each(|chunk| lane.raw(chunk));
            vec![lane]
        });
    }
    attacks.end_with("another attempt at a stream", |session| {
        session.announce(&[stream(0, "stream")]);
        session.wanted(0);
        session.control.say(&Message::Changed(Changed {
            entry: 0,
            attempt: 1,
            size: 5.try_into().unwrap(),
            mtime: TIME.try_into().unwrap(),
            mode: 0o644.try_into().unwrap(),
        }));
        vec![]
    });
    attacks.all_told();
    no_leftovers(sandbox.dst());
    assert!(!sandbox.dst().join("stream").exists());
    still_receives(&sandbox, &recv);
}

#[test]
fn a_stream_without_its_end_is_not_stored() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let (full, rest) = (bytes(1, CHUNK_BYTES), bytes(2, 1000));
    let digest = stream_digest(&[&full, &rest]);
    let begin = |name: &str| {
        let mut session = Session::begin(&who, recv.addr());
        session.announce(&[stream(0, name)]);
        session.wanted(0);
        let lane = session.lane();
        (session, lane)
    };
    // All of it.
    let (mut session, mut lane) = begin("good");
    lane.raw(&chunk_bytes(&piece(0, &full), &full));
    lane.raw(&chunk_bytes(&piece(1, &rest), &rest));
    session.control.say(&done(0, digest));
    assert_eq!(session.outcome(0), Outcome::Stored(None));
    session.end(vec![lane]);
    assert_eq!(
        fs::read(sandbox.dst().join("good")).unwrap(),
        [full.clone(), rest.clone()].concat()
    );
    // A digest of something else.
    let (mut session, mut lane) = begin("lie");
    lane.raw(&chunk_bytes(&piece(0, &rest), &rest));
    session.control.say(&done(0, digest));
    assert_eq!(session.outcome(0), Outcome::Failed(Why::Damaged));
    session.end(vec![lane]);
    // Bytes that are not those of their digest.
    let (mut session, mut lane) = begin("damaged");
    lane.raw(&chunk_bytes(&piece(0, &rest), &bytes(3, rest.len())));
    assert_eq!(session.outcome(0), Outcome::Failed(Why::Damaged));
    session.end(vec![lane]);
    // Said to be done before its last chunk, and then gone.
    let (mut session, mut lane) = begin("cut");
    lane.raw(&chunk_bytes(&piece(0, &full), &full));
    session.control.say(&done(0, digest));
    lane.close();
    session.control.close();
    fs::remove_file(sandbox.dst().join("good")).unwrap();
    still_receives(&sandbox, &recv);
    for name in ["lie", "damaged", "cut"] {
        assert!(!sandbox.dst().join(name).exists(), "{name}");
    }
}

//! A receiver that has gone bad: it asks for what was not offered, and lies about what it did.
//! The sender ends with an error, and has sent nothing but what was asked for in order.

use std::net::TcpListener;

use xfer::model::digest::Digest;
use xfer::model::outcome::{Outcome, Role, Summary, Why};
use xfer::model::surplus::{RemovalAnswer, RemovalCount, RemovalQuestion};
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

/// What is offered: a folder, a file of two chunks in it, a link, and a small file.
const LARGE: u64 = 1;
const LINK: u64 = 2;
const SMALL: u64 = 3;

fn fill(sandbox: &Sandbox) {
    let top = sandbox.src().join("top");
    make_file(top.join("large"), 1, 2 * CHUNK);
    std::os::unix::fs::symlink("large", top.join("link")).unwrap();
    make_file(top.join("small"), 2, 10);
}

fn honest_accept() -> Accept {
    Accept {
        lanes: 1,
        secret: LaneSecret([7; 32]),
        window: 1000,
        conflict: xfer::model::outcome::OnConflict::Beside,
    }
}

/// The real sender, and what it talks to.
struct Victim {
    process: Process,
    control: Line,
    lane: Line,
}

/// Lets the real program send, and answers it up to its only lane and its last entry.
fn receive(sandbox: &Sandbox, accept: Accept) -> Victim {
    let who = Who::let_in(sandbox);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let top = sandbox.src().join("top");
    let args = ["--lanes".as_ref(), "1".as_ref(), top.as_os_str()];
    let process = sandbox
        .me()
        .spawn_send(&[&args[..], &[target.as_ref()]].concat());
    let mut control = who.accept(&listener);
    control.hear();
    let hello = who.hello(&control, Role::Receiver);
    control.say(&hello);
    control.hear();
    control.say(&Message::Accept(accept));
    let mut lane = who.accept(&listener);
    lane.hear();
    let joined = Message::Joined(lane.channel.preambles);
    lane.say(&joined);
    let mut entries = Vec::new();
    loop {
        match control.hear() {
            Message::Entries(list) => entries.extend(list.0),
            Message::Scanned(Scanned { complete: true, .. }) => break,
            _ => {}
        }
    }
    let paths: Vec<_> = entries.iter().map(|e| e.path.as_bytes().to_vec()).collect();
    assert_eq!(
        paths,
        [
            b"top".to_vec(),
            b"top/large".to_vec(),
            b"top/link".to_vec(),
            b"top/small".to_vec()
        ]
    );
    Victim {
        process,
        control,
        lane,
    }
}

fn want(entry: u64, attempt: u32, held: bool) -> Message {
    Message::Wants(Wants(vec![Want {
        entry,
        attempt,
        held,
    }]))
}

fn held(entry: u64, first: u64, digests: usize, last: bool) -> Message {
    Message::Held(Held {
        entry,
        attempt: 0,
        first,
        digests: vec![Some(Digest([1; 32])); digests],
        last,
    })
}

fn outcomes(list: &[(u64, Outcome)]) -> Message {
    let outcome = |(entry, outcome): &(u64, Outcome)| EntryOutcome {
        entry: *entry,
        outcome: outcome.clone(),
    };
    Message::Outcomes(Outcomes(list.iter().map(outcome).collect()))
}

/// What each entry came to, if it came to no good.
fn all_failed() -> Message {
    let failed = || Outcome::Failed(Why::Parent);
    outcomes(&[0, LARGE, LINK, SMALL].map(|entry| (entry, failed())))
}

fn summary(stored: u64, failed: u64) -> Message {
    Message::Summary(Summary {
        stored,
        failed,
        ..Summary::default()
    })
}

/// Says `messages` to a sender, which ends with these words and has sent chunks of `sent` alone.
#[track_caller]
fn ends_with(words: &str, messages: &[Message], sent: &[u64]) {
    let sandbox = Sandbox::new();
    fill(&sandbox);
    let mut victim = receive(&sandbox, honest_accept());
    for message in messages {
        victim.control.say(message);
    }
    let told = victim.control.hear_abort();
    assert!(told.contains(words), "{told:?} instead of {words:?}");
    drop(victim.control);
    loop {
        match victim.lane.try_hear() {
            Ok(Frame::Chunk(chunk)) => assert!(sent.contains(&chunk.entry), "{chunk:?}"),
            Ok(other) => assert_eq!(other, Frame::Message(Message::LaneEnd(()))),
            Err(_) => break,
        }
    }
    drop(victim.lane);
    let output = victim.process.wait();
    output.assert_code(1);
    output.assert_says("broke the protocol").assert_says(words);
}

#[test]
fn what_was_not_offered_is_not_given() {
    let words = "a want for what was not offered";
    for entry in [0, LINK, 4, u64::MAX] {
        ends_with(words, &[want(entry, 0, false)], &[]);
    }
    let words = "a want for an attempt that has not begun";
    ends_with(words, &[want(SMALL, 1, false)], &[]);
    let words = "a second want for a file";
    for held in [false, true] {
        let twice = [want(SMALL, 0, false), want(SMALL, 0, held)];
        ends_with(words, &twice, &[SMALL]);
    }
    // What has its outcome is not to be had any more.
    let gone = outcomes(&[(SMALL, Outcome::Have(None))]);
    let words = "a want for what was not offered";
    ends_with(words, &[gone, want(SMALL, 0, false)], &[]);
}

#[test]
fn lists_of_what_is_held_must_fit() {
    let nothing = "a list of held chunks of what was not offered";
    let order = "a list of held chunks out of order";
    ends_with(nothing, &[held(9, 0, 1, true)], &[]);
    for entry in [0, LARGE, LINK, SMALL] {
        let unasked = "a list of held chunks of what is not wanted";
        ends_with(unasked, &[held(entry, 0, 1, true)], &[]);
    }
    // For a file that was wanted without.
    ends_with(
        order,
        &[want(LARGE, 0, false), held(LARGE, 0, 2, true)],
        &[LARGE],
    );
    for lists in [
        vec![held(LARGE, 1, 1, true)],
        vec![held(LARGE, u64::MAX, 1, true)],
        vec![held(LARGE, 0, 3, true)],
        vec![held(LARGE, 0, 1, false), held(LARGE, 0, 1, true)],
        vec![held(LARGE, 0, 2, false), held(LARGE, 2, 1, true)],
        vec![held(LARGE, 0, 0, true), held(LARGE, 0, 0, true)],
        vec![held(LARGE, 0, 2, true), held(LARGE, 2, 0, true)],
    ] {
        let messages = [vec![want(LARGE, 0, true)], lists].concat();
        ends_with(order, &messages, &[LARGE]);
    }
}

#[test]
fn outcomes_are_of_what_was_offered_and_come_once() {
    let words = "an outcome of what was not offered";
    let stored = |entry| (entry, Outcome::Stored(None));
    for entry in [4, u64::MAX] {
        ends_with(words, &[outcomes(&[stored(entry)])], &[]);
    }
    ends_with(words, &[outcomes(&[stored(0), stored(0)])], &[]);
    let twice = [outcomes(&[stored(SMALL)]), outcomes(&[stored(SMALL)])];
    ends_with(words, &twice, &[]);
}

#[test]
fn a_summary_comes_at_the_end_and_adds_up() {
    let words = "a summary that does not add up";
    ends_with(words, &[summary(4, 0)], &[]);
    ends_with(words, &[summary(0, 0)], &[]);
    let many_renamed = Message::Summary(Summary {
        failed: 4,
        renamed: 5,
        ..Summary::default()
    });
    let wrong = [(4, 0), (1, 3), (0, 3), (0, 5), (u64::MAX, 5), (4, 4)];
    let wrong = wrong.map(|(stored, failed)| summary(stored, failed));
    for summary in wrong.into_iter().chain([many_renamed]) {
        let sandbox = Sandbox::new();
        fill(&sandbox);
        let mut victim = receive(&sandbox, honest_accept());
        victim.control.say(&all_failed());
        while !matches!(
            victim.lane.try_hear(),
            Ok(Frame::Message(Message::LaneEnd(())))
        ) {}
        victim.lane.close();
        let end = victim.control.hear();
        assert!(matches!(end, Message::End(_)), "{end:?}");
        victim.control.say(&summary);
        let told = victim.control.hear_abort();
        assert!(told.contains(words), "{summary:?}: {told}");
        drop(victim.control);
        let output = victim.process.wait();
        output.assert_code(1).assert_says(words);
    }
}

#[test]
fn a_receiver_has_messages_of_its_own() {
    let words = |name: &str| format!("a message {name} out of turn");
    let nothing = Digest([0; 32]);
    let wrong = [
        Message::Accept(honest_accept()),
        Message::Joined(Preambles {
            sent: [0; 16],
            seen: [0; 16],
        }),
        offer(),
        scanned(),
        done(0, nothing),
        dir_end(0),
        Message::Entries(Entries::default()),
        Message::End(End {
            entries: 4,
            unannounced: 0,
        }),
        // That was not asked for.
        Message::Removed(Removed::default()),
        Message::MayRemove(MayRemove::default()),
        Message::Decisions(Decisions::default()),
        Message::RemovalQuestion(RemovalQuestion {
            count: RemovalCount::default(),
            needs_yes: true,
        }),
        Message::RemovalAnswer(RemovalAnswer::Nobody),
        Message::LaneEnd(()),
        Message::Declined(xfer::model::outcome::Decline::TooManySessions),
    ];
    for message in wrong {
        ends_with(&words(message.name()), &[message], &[]);
    }
}

#[test]
fn what_a_receiver_allows_has_limits() {
    let sandbox = Sandbox::new();
    fill(&sandbox);
    let who = Who::let_in(&sandbox);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    for (lanes, window) in [
        (0, 1000),
        (65, 1000),
        (u16::MAX, 1000),
        (1, 0),
        (1, 15),
        (1, 65_537),
        (1, u32::MAX),
    ] {
        let process = sandbox.spawn_send(&[], &target);
        let mut control = who.accept(&listener);
        control.hear();
        let hello = who.hello(&control, Role::Receiver);
        control.say(&hello);
        control.hear();
        control.say(&Message::Accept(Accept {
            lanes,
            window,
            ..honest_accept()
        }));
        let told = control.hear_abort();
        assert!(told.contains("an Accept beyond its limits"), "{told}");
        control.close();
        process
            .wait()
            .assert_code(1)
            .assert_says("beyond its limits");
    }
    // More lanes than were asked for are not opened.
    let mut victim = receive(
        &sandbox,
        Accept {
            lanes: 64,
            ..honest_accept()
        },
    );
    victim.control.say(&all_failed());
    while victim.lane.try_hear().is_ok() {}
    victim.lane.close();
    // It has come to its end, for which every lane must have come to its own.
    let end = victim.control.hear();
    assert!(matches!(end, Message::End(_)), "{end:?}");
    victim.control.say(&summary(0, 4));
    victim.control.close();
    victim.process.wait().assert_code(1);
}

#[test]
fn a_lane_that_is_answered_with_lies_sends_nothing() {
    let sandbox = Sandbox::new();
    fill(&sandbox);
    let who = Who::let_in(&sandbox);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    for answer in [
        Message::Joined(Preambles {
            sent: [0; 16],
            seen: [0; 16],
        }),
        scanned(),
        Message::Accept(honest_accept()),
    ] {
        let process = sandbox.spawn_send(&[], &target);
        let mut control = who.accept(&listener);
        control.hear();
        let hello = who.hello(&control, Role::Receiver);
        control.say(&hello);
        control.hear();
        control.say(&Message::Accept(honest_accept()));
        let mut lane = who.accept(&listener);
        lane.hear();
        lane.say(&answer);
        lane.hear_abort();
        lane.close();
        control.hear_abort();
        control.close();
        process
            .wait()
            .assert_code(1)
            .assert_says("broke the protocol");
    }
    // Somebody else's lane.
    let process = sandbox.spawn_send(&[], &target);
    let mut control = who.accept(&listener);
    control.hear();
    let hello = who.hello(&control, Role::Receiver);
    control.say(&hello);
    control.hear();
    control.say(&Message::Accept(honest_accept()));
    let mut lane = Who::stranger().accept(&listener);
    assert!(lane.try_hear().is_err());
    control.hear_abort();
    control.close();
    let output = process.wait();
    output
        .assert_code(1)
        .assert_says("a lane leads to another device");
}

#[test]
fn a_stranger_is_told_nothing() {
    let sandbox = Sandbox::new();
    fill(&sandbox);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    for who in [Who::stranger(), Who::open_stranger()] {
        let process = sandbox.spawn_send(&[], &target);
        let mut control = who.accept(&listener);
        let hello = control.hear();
        assert!(matches!(hello, Message::Hello(_)), "{hello:?}");
        let hello = who.hello(&control, Role::Receiver);
        control.say(&hello);
        // It does as if it had been offered something.
        control.say(&Message::Accept(honest_accept()));
        match control.hear() {
            Message::Abort(why) => {
                let why = why.to_string();
                assert!(why.contains("a message Accept out of turn"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        control.close();
        process
            .wait()
            .assert_code(1)
            .assert_says("Accept out of turn");
    }
}

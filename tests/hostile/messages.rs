//! Messages at the wrong time, of lengths that lie, and cut off anywhere.

use xfer::model::command::{CommandEnd, OutputStream};
use xfer::model::digest::Digest;
use xfer::model::outcome::{Decline, Outcome, Role, Summary, Why};
use xfer::model::reason::AbortReason;
use xfer::model::surplus::{RemovalAnswer, RemovalCount, RemovalQuestion};
use xfer::model::talk::TalkLine;
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

/// One of each kind, with something in every list.
pub(crate) fn one_of_each(line: &Line, who: &Who) -> Vec<Message> {
    let digest = Digest([1; 32]);
    let want = Want {
        entry: 0,
        attempt: 0,
        held: false,
    };
    let outcome = |outcome| EntryOutcome { entry: 0, outcome };
    let path = xfer::model::relpath::RelPath::new("a").unwrap();
    let entries = vec![file(0, "a", 3), link(1, "b", "c"), dir(2, "d")];
    let entries = Message::decode_payload(ENTRIES, &payload(&entries));
    vec![
        who.hello(line, Role::Sender),
        join(line, LaneSecret([7; 32])),
        Message::Joined(line.channel.preambles),
        Message::AbortText("enough".into()),
        Message::Abort(AbortReason::Other("enough".into())),
        Message::Ping(()),
        Message::Leave(()),
        Message::Pairing(()),
        Message::PairStart(Share([7; SHARE_BYTES])),
        Message::PairAnswer(Share([7; SHARE_BYTES])),
        Message::PairProof(Proof([7; PROOF_BYTES])),
        Message::PairWrong(()),
        offer(),
        Message::Accept(Accept {
            lanes: 1,
            secret: LaneSecret([7; 32]),
            window: 16,
            conflict: xfer::model::outcome::OnConflict::Beside,
        }),
        Message::Declined(Decline::StoreText("full".into())),
        entries.unwrap().unwrap(),
        dir_end(0),
        scanned(),
        done(0, digest),
        Message::Skipped(Skipped {
            entry: 0,
            why: Why::SystemText("no".into()),
        }),
        Message::Changed(Changed {
            entry: 0,
            attempt: 1,
            size: 3.try_into().unwrap(),
            mtime: TIME.try_into().unwrap(),
            mode: 0o644.try_into().unwrap(),
        }),
        Message::End(End {
            entries: 0,
            unannounced: 0,
        }),
        Message::Wants(Wants(vec![want])),
        Message::Held(Held {
            entry: 0,
            attempt: 0,
            first: 0,
            digests: vec![Some(digest), None],
            last: true,
        }),
        Message::Outcomes(Outcomes(vec![
            outcome(Outcome::Stored(Some(path.clone()))),
            outcome(Outcome::Failed(Why::SystemText("no".into()))),
        ])),
        Message::Verified(Verified(vec![FileVerified { entry: 0, bytes: 1 }])),
        Message::Summary(Summary::default()),
        Message::Removed(Removed(vec![])),
        Message::MayRemove(MayRemove(vec![])),
        Message::FolderFailed(FolderFailed {
            path,
            why: Why::Damaged,
        }),
        Message::Decisions(Decisions(vec![])),
        Message::RemovalAnswer(RemovalAnswer::AtMost(u64::MAX)),
        Message::RemovalQuestion(RemovalQuestion {
            count: RemovalCount::default(),
            needs_yes: true,
        }),
        Message::LaneEnd(()),
        Message::Say(Say {
            bytes: 3,
            asks: true,
        }),
        Message::SayPart(SayPart(b"abc".to_vec())),
        Message::Shown(()),
        Message::Reply(Reply(Some(TalkLine::new("yes").unwrap()))),
        Message::ListCommands(()),
        Message::Commands(Commands(vec![OfferedCommand {
            name: "a".into(),
            arguments: true,
        }])),
        run_command("a", &[b"b"]),
        Message::CommandOutput(CommandOutput {
            stream: OutputStream::Error,
            bytes: b"abc".to_vec(),
        }),
        Message::CommandEnded(CommandEnd::Exited(0)),
        fetch(&[]),
    ]
}

fn payload(value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes).unwrap();
    bytes
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Nothing has been said.
    Connected,
    /// Both have said hello.
    Greeted,
    /// The session has begun, with one file that is wanted.
    Begun,
    /// These are all entries.
    Scanned,
}

/// What may be said then. What a message is about is another question.
fn may_be_said(state: State, message: &Message) -> bool {
    use Message::*;
    match state {
        State::Connected => matches!(message, Hello(_) | Join(_) | Abort(_) | AbortText(_)),
        State::Greeted => matches!(
            message,
            Offer(_)
                | Abort(_)
                | AbortText(_)
                | Leave(_)
                | Say(_)
                | ListCommands(_)
                | RunCommand(_)
                | Fetch(_)
        ),
        State::Begun => matches!(
            message,
            Ping(_)
                | Abort(_)
                | AbortText(_)
                | Entries(_)
                | DirEnd(_)
                | Scanned(_)
                | Done(_)
                | Skipped(_)
                | Changed(_)
                | End(_)
        ),
        State::Scanned => matches!(
            message,
            Ping(_) | Abort(_) | AbortText(_) | Done(_) | Skipped(_) | Changed(_) | End(_)
        ),
    }
}

/// A connection on which that much has been said, and what was said on it as a session.
fn come_to(state: State, who: &Who, recv: &Recv) -> Line {
    if matches!(state, State::Connected | State::Greeted) {
        let mut line = who.dial(recv.addr());
        if state == State::Greeted {
            line.say(&who.hello(&line, Role::Sender));
            line.hear();
        }
        return line;
    }
    let mut session = Session::begin(who, recv.addr());
    session.announce(&[file(0, "a", 3)]);
    session.wanted(0);
    if state == State::Scanned {
        session.control.say(&scanned());
    }
    session.control
}

#[test]
fn each_message_has_its_time() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    for state in [
        State::Connected,
        State::Greeted,
        State::Begun,
        State::Scanned,
    ] {
        let kinds = one_of_each(&who.dial(recv.addr()), &who).len();
        let mut refused = 0;
        for kind in 0..kinds {
            let mut line = come_to(state, &who, &recv);
            let message = one_of_each(&line, &who).swap_remove(kind);
            if may_be_said(state, &message) {
                continue;
            }
            refused += 1;
            line.say(&message);
            let told = line.hear_abort();
            let words = format!("a message {} out of turn", message.name());
            assert!(told.contains(&words), "{state:?}, {message:?}: {told}");
            line.close();
        }
        assert!(refused >= 12, "{refused} in {state:?}");
    }
    // Nor do chunks come first, nor what nobody knows.
    for (bytes, words) in [
        (
            chunk_bytes(&whole(0, b"abc"), b"abc"),
            "a frame of type 0x40",
        ),
        (frame_of(0x7777, b"abc"), "a frame of unknown type 0x7777"),
        (frame_of(0, b""), "a frame of unknown type 0x0"),
    ] {
        let mut line = who.dial(recv.addr());
        line.raw(&bytes);
        let told = line.hear_abort();
        assert!(told.contains(words), "{told}");
        line.close();
    }
    still_receives(&sandbox, &recv);
}

#[test]
fn what_comes_behind_the_end_changes_nothing() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let kinds = one_of_each(&who.dial(recv.addr()), &who).len();
    for kind in 0..kinds {
        let mut session = Session::begin(&who, recv.addr());
        let message = one_of_each(&session.control, &who).swap_remove(kind);
        session.control.say(&scanned());
        session.control.say(&Message::End(End {
            entries: 0,
            unannounced: 0,
        }));
        session.control.say(&message);
        // A summary, or a complaint: whichever came first.
        let _ = session.control.try_hear();
        session.control.close();
    }
    still_receives(&sandbox, &recv);
}

#[test]
fn lengths_that_lie_end_the_session_and_take_no_memory() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let sample = one_of_each(&who.dial(recv.addr()), &who);
    let mut attacks = Attacks::new(&who, &recv);
    let mut lies = 0;
    for message in &sample {
        let code = message.code();
        let honest = bytes_of(message)[FRAME_HEADER_BYTES..].to_vec();
        // Every place where a length can be, and most where none is.
        for at in 0..honest.len().saturating_sub(7) {
            let length = u64::from_le_bytes(honest[at..at + 8].try_into().unwrap());
            if !(1..=16).contains(&length) {
                continue;
            }
            for lie in [u64::MAX, u64::MAX / 2 + 1, 1 << 40, 1 << 31] {
                let mut bytes = honest.clone();
                bytes[at..at + 8].copy_from_slice(&lie.to_le_bytes());
                // A number that is no length may be any.
                if Message::decode_payload(code, &bytes).is_ok() {
                    continue;
                }
                lies += 1;
                attacks.end_with(&format!("a bad frame of type {code:#x}"), |session| {
                    session.control.raw(&frame_of(code, &bytes));
                    vec![]
                });
            }
        }
    }
    assert!(lies > 40, "{lies}");
    // Frames that say they are very long.
    for code in sample.iter().map(Message::code).chain([0x8000, 0xffff]) {
        for length in [u32::MAX, 1 << 31, 262_145] {
            let bytes = [&frame_of(code, b"")[..4], &length.to_le_bytes()].concat();
            attacks.end_with(&format!("a frame of type {code:#x} with"), |session| {
                session.control.raw(&bytes);
                vec![]
            });
        }
    }
    for length in [u32::MAX, 1 << 31, 1_048_642] {
        let bytes = [&frame_of(CHUNK_FRAME, b"")[..4], &length.to_le_bytes()].concat();
        attacks.end_with("a frame of type 0x40 with", |session| {
            let mut lane = session.lane();
            lane.raw(&bytes);
            vec![lane]
        });
    }
    attacks.all_told();
    flat_memory(&recv);
    still_receives(&sandbox, &recv);
}

#[test]
fn numbers_at_their_limits_break_nothing() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["-v"]);
    let who = Who::let_in(&sandbox);
    let huge = i64::MAX as u64;
    let mut session = Session::begin(&who, recv.addr());
    session.announce(&[file(0, "a", huge), file(1, "b", huge), file(2, "c", huge)]);
    for entry in 0..3 {
        let outcome = session.outcome(entry);
        let full = matches!(outcome, Outcome::Failed(Why::Space { needed, .. }) if needed == huge);
        assert!(full, "{outcome:?}");
    }
    session.control.say(&Message::Scanned(Scanned {
        entries: u64::MAX,
        bytes: u64::MAX,
        complete: true,
    }));
    session.control.say(&Message::End(End {
        entries: 3,
        unannounced: u64::MAX,
    }));
    match session.control.hear() {
        Message::Summary(summary) => assert_eq!(summary.failed, u64::MAX),
        other => panic!("{other:?}"),
    }
    session.control.close();
    still_receives(&sandbox, &recv);
}

#[test]
fn a_session_can_be_cut_anywhere() {
    let sandbox = Sandbox::in_memory();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    // What a whole session says on its control connection, before the answers and after.
    let words = |line: &Line| {
        let hello = bytes_of(&who.hello(line, Role::Sender));
        let rest = [
            frame(
                ENTRIES,
                &vec![dir(0, "cut"), link(1, "cut/a", "b"), file(2, "cut/f", 0)],
            ),
            bytes_of(&dir_end(0)),
            bytes_of(&scanned()),
        ];
        [vec![hello, bytes_of(&offer())], rest.to_vec()].concat()
    };
    let whole = words(&who.dial(recv.addr())).concat().len();
    assert!(whole > 300, "{whole}");
    for cut in 0..whole {
        let mut line = who.dial(recv.addr());
        let mut left = cut;
        for (n, message) in words(&line).into_iter().enumerate() {
            let said = left.min(message.len());
            line.raw(&message[..said]);
            left -= said;
            if said < message.len() {
                break;
            }
            // The first two have an answer each.
            if n < 2 {
                line.hear();
            }
        }
        // With a word that this is the end, and without.
        if cut % 2 == 0 {
            line.close();
        }
    }
    let printed = recv.process().printed();
    printed.assert_says("lost the connection");
    for name in Tree::read(sandbox.dst()).names() {
        assert!(["cut", "cut/a", "cut/f"].contains(&&*name), "{name}");
    }
    still_serves(&sandbox, &recv);
}

#[test]
fn a_chunk_can_be_cut_anywhere() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let chunk = chunk_bytes(&whole(0, b"abc"), b"abc");
    for cut in 0..chunk.len() {
        let mut session = Session::begin(&who, recv.addr());
        session.announce(&[file(0, "a", 3)]);
        session.wanted(0);
        let mut lane = session.lane();
        lane.raw(&chunk[..cut]);
        if cut % 2 == 0 {
            lane.close();
        } else {
            drop(lane);
        }
        // The session is lost with its lane.
        session.control.hear_hang_up();
    }
    recv.process().wait_for_text("lost the connection");
    still_receives(&sandbox, &recv);
}

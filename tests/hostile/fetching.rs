//! Somebody who may fetch, and asks for more than is shared, or makes no sense.

use std::io::Write;

use serde::Serialize;
use xfer::model::digest::Algorithm;
use xfer::model::outcome::{Decline, OnConflict, Role, Wish};
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

/// A share of [`Sandbox::src`], which has a secret beside what is shared.
fn share(sandbox: &Sandbox, args: &[&str]) -> Recv {
    make_file(sandbox.src().join("open/file"), 1, 1000);
    make_file(sandbox.src().join("open/kept.secret"), 2, 1000);
    make_file(sandbox.path("hidden"), 3, 1000);
    let mut command = sandbox.me().command(&["share", "--listen", "127.0.0.1:0"]);
    command.args(args).arg("--exclude").arg("*.secret");
    command.arg(sandbox.src());
    Recv::start(command)
}

/// A connection on which both have said hello.
fn greeted(who: &Who, share: &Recv) -> Line {
    let mut line = who.dial(share.addr());
    line.say(&who.hello(&line, Role::Receiver));
    assert!(matches!(line.hear(), Message::Hello(hello) if hello.role == Role::Sender));
    line
}

fn accept(secret: LaneSecret) -> Message {
    Message::Accept(Accept {
        lanes: 2,
        secret,
        window: 1024,
        conflict: OnConflict::Beside,
    })
}

/// An honest machine fetches all of it.
#[track_caller]
fn still_shares(sandbox: &Sandbox, share: &Recv) {
    let dir = tempfile::tempdir_in(sandbox.path("")).unwrap();
    let args = ["get", &share.target(), "--dir"];
    let mut command = sandbox.me().command(&args);
    command.arg(dir.path());
    Process::spawn(command).wait().assert_code(0);
    let all = std::fs::read_dir(dir.path().join("src/open")).unwrap();
    let names: Vec<_> = all.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
}

/// [`Fetch`] with nothing checked.
#[derive(Serialize)]
struct RawFetch {
    algorithm: Option<Algorithm>,
    lanes: u16,
    wish: Wish,
    paths: Vec<Vec<u8>>,
    lines: Vec<Vec<u8>>,
    gitignore: bool,
    max_size: Option<u64>,
    limit: Option<u64>,
}

impl RawFetch {
    fn of(path: &str) -> Self {
        Self {
            algorithm: None,
            lanes: 1,
            wish: Wish::default(),
            paths: vec![path.into()],
            lines: Vec::new(),
            gitignore: false,
            max_size: None,
            limit: None,
        }
    }
}

#[test]
fn nothing_but_what_is_shared_can_be_asked_for() {
    let sandbox = Sandbox::new();
    let share = share(&sandbox, &[]);
    let who = Who::fetching(&sandbox);
    // These are no paths at all.
    for path in [
        "..",
        "src/..",
        "src/../hidden",
        "/etc/passwd",
        "",
        "src//open",
        "src/./open",
        "src\0",
        "src/.xfer/x",
    ] {
        let mut line = greeted(&who, &share);
        line.say_as(0x68, &RawFetch::of(path));
        assert!(line.hear_abort().contains("broke"), "{path}");
    }
    // These lead to nothing that is shared.
    for path in [
        "hidden",
        "home-me",
        "src/none",
        "src/open/kept.secret",
        "src/open/file/x",
    ] {
        let mut line = greeted(&who, &share);
        line.say(&fetch(&[path]));
        let declined = Message::Declined(Decline::NotShared(path.into()));
        assert_eq!(line.hear(), declined, "{path}");
    }
    // Nor does a pattern that takes it in again.
    let mut line = greeted(&who, &share);
    let mut wanted = RawFetch::of("src");
    wanted.lines = vec![b"*".to_vec(), b"!*".to_vec(), b"!*.secret".to_vec()];
    line.say_as(0x68, &wanted);
    assert!(matches!(line.hear(), Message::Offer(_)));
    line.say(&accept(LaneSecret([7; 32])));
    let mut paths = Vec::new();
    loop {
        match line.hear() {
            Message::Entries(entries) => {
                paths.extend(entries.0.into_iter().map(|entry| entry.path));
            }
            Message::Scanned(scanned) if scanned.complete => break,
            _ => {}
        }
    }
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.as_path().into_owned())
        .collect();
    assert_eq!(
        paths,
        ["src", "src/open", "src/open/file"].map(std::path::PathBuf::from)
    );
    drop(line);
    still_shares(&sandbox, &share);
}

#[test]
fn counts_beyond_their_limits_end_it() {
    let sandbox = Sandbox::new();
    let share = share(&sandbox, &[]);
    let who = Who::fetching(&sandbox);
    let many = |n, path: &str| vec![path.as_bytes().to_vec(); n];
    for wanted in [
        RawFetch {
            paths: many(MAX_FETCH_PATHS + 1, "src"),
            ..RawFetch::of("src")
        },
        RawFetch {
            lines: many(MAX_FETCH_PATTERNS + 1, "a"),
            ..RawFetch::of("src")
        },
        RawFetch {
            lines: many(1, "a\nb"),
            ..RawFetch::of("src")
        },
        RawFetch {
            lines: many(120, &"a".repeat(1000)),
            ..RawFetch::of("src")
        },
        RawFetch {
            lines: many(1, "[z-a]"),
            ..RawFetch::of("src")
        },
    ] {
        let mut line = greeted(&who, &share);
        line.say_as(0x68, &wanted);
        line.hear_abort();
    }
    // A list that says that it is endless.
    let mut line = greeted(&who, &share);
    let mut bytes = frame(0x68, &RawFetch::of("src"));
    let end = bytes.len();
    bytes[end - 20..].fill(0xff);
    line.raw(&bytes);
    line.hear_abort();
    let mut line = greeted(&who, &share);
    line.say(&match fetch(&["src"]) {
        Message::Fetch(wanted) => Message::Fetch(Fetch { lanes: 0, ..wanted }),
        other => other,
    });
    assert!(matches!(
        line.hear(),
        Message::Declined(Decline::Unsupported(_))
    ));
    still_shares(&sandbox, &share);
}

#[test]
fn only_those_who_may_fetch_are_offered_anything() {
    let sandbox = Sandbox::new();
    let share = share(&sandbox, &[]);
    // One that may send here, and nothing else, is a stranger here: no terminal, no code.
    let sends = Who::paired(&sandbox);
    let mut line = sends.dial(share.addr());
    line.say(&sends.hello(&line, Role::Receiver));
    assert!(matches!(line.hear(), Message::Hello(hello) if !hello.known));
    assert_eq!(line.hear(), Message::Declined(Decline::Unknown));
    // Whoever may fetch may do nothing else here.
    let who = Who::fetching(&sandbox);
    let all = [
        offer(),
        Message::ListCommands(()),
        Message::RoomJoin(()),
        Message::Say(Say {
            bytes: 3,
            asks: false,
        }),
    ];
    for message in &all {
        let mut line = greeted(&who, &share);
        line.say(message);
        let answer = line.hear();
        let is_declined = matches!(
            answer,
            Message::Declined(Decline::NotGranted(_) | Decline::OnlyShare)
        );
        assert!(is_declined, "{message:?}: {answer:?}");
    }
    // Nor does this machine's own user get anything else from a share.
    let me = Who::let_in(&sandbox);
    for message in &all {
        let mut line = greeted(&me, &share);
        line.say(message);
        assert_eq!(
            line.hear(),
            Message::Declined(Decline::OnlyShare),
            "{message:?}"
        );
    }
    // And a receiver shares nothing.
    let recv = sandbox.recv();
    let mut line = me.dial(recv.addr());
    line.say(&me.hello(&line, Role::Sender));
    line.hear();
    line.say(&fetch(&[]));
    assert_eq!(line.hear(), Message::Declined(Decline::NoShare));
    still_shares(&sandbox, &share);
}

#[test]
fn lanes_need_the_secret_and_the_key_of_who_fetches() {
    let sandbox = Sandbox::new();
    let share = share(&sandbox, &["--open"]);
    let who = Who::fetching(&sandbox);
    let secret = LaneSecret([9; 32]);
    let mut line = greeted(&who, &share);
    line.say(&fetch(&[]));
    assert!(matches!(line.hear(), Message::Offer(_)));
    line.say(&accept(secret));
    // It has begun.
    while !matches!(line.hear(), Message::Entries(_)) {}
    let refused = |who: &Who, secret| {
        let mut lane = who.dial(share.addr());
        lane.say(&join(&lane, secret));
        assert_eq!(lane.hear_abort(), "there is no such session");
    };
    refused(&who, LaneSecret([8; 32]));
    refused(&Who::let_in(&sandbox), secret);
    refused(&Who::open_stranger(), secret);
    // Nobody else can have a session by the same secret.
    let me = Who::let_in(&sandbox);
    let mut other = greeted(&me, &share);
    other.say(&fetch(&[]));
    assert!(matches!(other.hear(), Message::Offer(_)));
    other.say(&accept(secret));
    other.hear_abort();
    // As many as were agreed on, and no more.
    let lanes: Vec<_> = (0..2)
        .map(|_| {
            let mut lane = who.dial(share.addr());
            lane.say(&join(&lane, secret));
            assert!(matches!(lane.hear(), Message::Joined(_)));
            lane
        })
        .collect();
    refused(&who, secret);
    drop(lanes);
    still_shares(&sandbox, &share);
}

#[test]
fn a_second_fetch_or_a_chunk_ends_the_session() {
    let sandbox = Sandbox::new();
    let share = share(&sandbox, &[]);
    let who = Who::fetching(&sandbox);
    let begin = || {
        let mut line = greeted(&who, &share);
        line.say(&fetch(&[]));
        assert!(matches!(line.hear(), Message::Offer(_)));
        line
    };
    let mut line = begin();
    line.say(&fetch(&[]));
    line.hear_abort();
    let mut line = begin();
    line.say(&accept(LaneSecret([1; 32])));
    line.say(&fetch(&[]));
    assert!(line.hear_abort().contains("out of turn"));
    let mut line = begin();
    line.say(&accept(LaneSecret([2; 32])));
    line.channel
        .writer
        .write_all(&chunk_bytes(&whole(0, b"abc"), b"abc"))
        .unwrap();
    line.channel.writer.flush().unwrap();
    line.hear_abort();
    // An answer that was not agreed on.
    let mut line = begin();
    line.say(&Message::Accept(Accept {
        lanes: 65,
        secret: LaneSecret([3; 32]),
        window: 1024,
        conflict: OnConflict::Beside,
    }));
    line.hear_abort();
    still_shares(&sandbox, &share);
}

#[test]
fn a_peer_of_before_is_told_what_it_understands() {
    let sandbox = Sandbox::new();
    let share = share(&sandbox, &[]);
    let before = Features(Features::OURS.0 & !Features::FETCH.0);
    let who = Who::fetching(&sandbox).of_before(before);
    // It cannot fetch.
    let mut line = greeted(&who, &share);
    line.say(&fetch(&[]));
    assert!(line.hear_abort().contains("feature"));
    // What it can ask for is declined by a reason of its own time.
    let me = Who::let_in(&sandbox).of_before(before);
    let mut line = greeted(&me, &share);
    line.say(&offer());
    let declined = line.hear();
    assert!(
        matches!(declined, Message::Declined(Decline::Store(_))),
        "{declined:?}"
    );
    still_shares(&sandbox, &share);
}

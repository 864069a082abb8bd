//! Names and words that would do something to a terminal: neither side prints anything but
//! printable text, whoever said it.

use std::ffi::{OsStr, OsString};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;

use xfer::model::outcome::{Decline, Outcome, Role, Shares, Summary, Why};
use xfer::model::reason::{AbortReason, Obstacle, StoreFault, SystemError};
use xfer::model::text::Text;
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

/// Words that would clear the screen, give the window a title, go back in the line, ring, and
/// turn the direction of writing; in the middle a word by which they are found again.
const NASTY: &str = "\u{1b}[2J\u{1b}]0;title\u{7}\r\u{8}\n\t\u{0b}\u{7f}\u{9b}31m\u{85}marker\
    \u{202e}\u{202d}\u{2066}\u{2067}\u{2068}\u{2069}\u{200f}\u{61c}\u{200b}\u{2028}\u{feff}\
    \u{e0041}\u{1b}P+q\u{1b}\\";

/// The same as a name, which has no NUL and no slash, and need not be UTF-8.
fn nasty_name(n: u8) -> Vec<u8> {
    [NASTY.as_bytes(), b"\x9b2J\xff\xc2", &[b'0' + n]].concat()
}

#[test]
fn what_a_sender_says_is_shown_and_does_nothing() {
    for flag in ["-v", "--no-sync"] {
        let sandbox = Sandbox::new();
        let recv = sandbox.recv_with(&["--open", flag]);
        let who = Who::open_stranger();
        let begin = || {
            let mut line = who.dial(recv.addr());
            line.say(&who.hello_as(&line, Role::Sender, NASTY));
            line.hear();
            line.say(&offer());
            let accept = line.hear();
            assert!(matches!(accept, Message::Accept(_)), "{accept:?}");
            line
        };
        // Stored, there already, stored beside, failed, skipped; files, folders and links.
        std::fs::create_dir(sandbox.dst().join(OsStr::from_bytes(&nasty_name(1)))).unwrap();
        let mut session = Session::begin(&who, recv.addr());
        session.announce(&[
            link(0, nasty_name(0), nasty_name(9)),
            link(1, nasty_name(1), nasty_name(9)),
            link(2, nasty_name(2), [b"/", &nasty_name(9)[..]].concat()),
            file(3, nasty_name(3), 3),
            file(4, nasty_name(4), 3),
            dir(5, nasty_name(5)),
        ]);
        session.control.say(&dir_end(5));
        session.wanted(3);
        session.control.say(&Message::Skipped(Skipped {
            entry: 3,
            why: Why::UnreadableText(NASTY.into()),
        }));
        let mut lane = session.lane();
        session.wanted(4);
        lane.raw(&chunk_bytes(&whole(4, b"abd"), b"abc"));
        session.end(vec![lane]);
        // Its last words, and words at the wrong time.
        for abort in [
            Message::AbortText(NASTY.into()),
            Message::Abort(AbortReason::Other(NASTY.into())),
        ] {
            let mut line = begin();
            line.say(&abort);
            line.close();
        }
        let mut line = begin();
        line.say_as(ENTRIES, &vec![file(0, b"../".repeat(3), 3)]);
        line.hear_abort();
        line.close();
        // Somebody who is not let in.
        let mut line = Who::stranger().dial(recv.addr());
        line.say(&Who::stranger().hello_as(&line, Role::Sender, NASTY));
        while line.try_hear().is_ok() {}
        line.close();
        for words in ["marker", "cannot be read", "stopped: ", "Refused"] {
            recv.process().wait_for_text(words);
        }
        recv.interrupt().assert_harmless();
    }
}

#[test]
fn what_a_receiver_says_is_shown_and_does_nothing() {
    let sandbox = Sandbox::new();
    let who = Who::let_in(&sandbox);
    for n in 0..4 {
        let name = nasty_name(n);
        make_file(sandbox.src().join(OsStr::from_bytes(&name)), 1, 3);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let text = || Text::new(NASTY);
    let system = || SystemError::Other(text());
    // In the place of an answer.
    for answer in [
        Message::Declined(Decline::UnsupportedText(text())),
        Message::Declined(Decline::StoreText(text())),
        Message::Declined(Decline::Store(StoreFault::System(system()))),
        Message::AbortText(text()),
        Message::Abort(AbortReason::Protocol(text())),
        Message::Abort(AbortReason::File(system())),
        Message::Abort(AbortReason::Other(text())),
    ] {
        for before_hello in [false, true] {
            let args = ["send".into(), "-v".into(), sandbox.src().into_os_string()];
            let args = [&args[..], &[target.clone().into()]].concat();
            let process = Process::spawn(sandbox.me().command(&args));
            let mut control = greeted(&who, &listener);
            if !before_hello {
                let hello = who.hello_as(&control, Role::Receiver, NASTY);
                control.say(&hello);
                control.hear();
            }
            control.say(&answer);
            control.close();
            let output = process.wait();
            output.assert_says("marker");
            output.assert_harmless();
        }
    }
    // In what became of each entry, and at the end.
    for (abort, typed) in [(false, false), (false, true), (true, false), (true, true)] {
        let args = ["send", "-v", "--lanes", "1"].map(OsString::from);
        let paths = (0..4).map(|n| {
            let name = nasty_name(n);
            sandbox
                .src()
                .join(OsStr::from_bytes(&name))
                .into_os_string()
        });
        let args: Vec<_> = args
            .into_iter()
            .chain(paths)
            .chain([target.clone().into()])
            .collect();
        let process = Process::spawn(sandbox.me().command(&args));
        let mut control = greeted(&who, &listener);
        let hello = who.hello_as(&control, Role::Receiver, NASTY);
        control.say(&hello);
        control.hear();
        control.say(&Message::Accept(Accept {
            lanes: 1,
            secret: LaneSecret([7; 32]),
            window: 1000,
            conflict: xfer::model::outcome::OnConflict::Beside,
        }));
        let mut lane = who.accept(&listener);
        lane.hear();
        let joined = Message::Joined(lane.channel.preambles);
        lane.say(&joined);
        while !matches!(
            control.hear(),
            Message::Scanned(Scanned { complete: true, .. })
        ) {}
        let path = |n| xfer::model::relpath::RelPath::new(nasty_name(n)).unwrap();
        let [stored, in_the_way] = match typed {
            false => [Why::SystemText(text()), Why::InTheWayText(text())],
            true => [
                Why::System(system()),
                Why::InTheWay(Obstacle::SameName(text())),
            ],
        };
        let list = [
            Outcome::Failed(stored),
            Outcome::Failed(in_the_way),
            Outcome::Stored(Some(path(8))),
            Outcome::Have(Some(path(9))),
        ];
        let outcomes = (0..)
            .zip(list)
            .map(|(entry, outcome)| EntryOutcome { entry, outcome });
        control.say(&Message::Outcomes(Outcomes(outcomes.collect())));
        if abort {
            control.say(&match typed {
                false => Message::AbortText(text()),
                true => Message::Abort(AbortReason::Other(text())),
            });
        } else {
            while lane.try_hear().is_ok() {}
            lane.close();
            control.hear();
            control.say(&Message::Summary(Summary {
                stored: 1,
                have: 1,
                failed: 2,
                files: 4,
                bytes: u64::MAX,
                held_bytes: u64::MAX,
                have_files: 4,
                have_bytes: u64::MAX,
                renamed: 4,
                replaced: 4,
                kept: 0,
                removed: u64::MAX,
                free: Some(u64::MAX),
                shares: Shares {
                    disk: u16::MAX,
                    processor: u16::MAX,
                    network: u16::MAX,
                    waiting: u16::MAX,
                },
            }));
        }
        control.close();
        let output = process.wait();
        output.assert_code(if abort { 1 } else { 3 });
        output.assert_says("marker");
        output.assert_harmless();
    }
}

/// A sender that has said hello.
fn greeted(who: &Who, listener: &TcpListener) -> Line {
    let mut line = who.accept(listener);
    let hello = line.hear();
    assert!(matches!(hello, Message::Hello(_)), "{hello:?}");
    line
}

#[test]
fn what_is_sent_in_good_faith_is_shown_and_does_nothing() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["-v"]);
    let top = sandbox.src().join(OsStr::from_bytes(&nasty_name(0)));
    for (n, size) in [(1, 3), (2, 3 * CHUNK)] {
        make_file(top.join(OsStr::from_bytes(&nasty_name(n))), 1, size);
    }
    // Something that cannot be sent, and something that is taken.
    make_fifo(top.join(OsStr::from_bytes(&nasty_name(3))));
    let outside = top.join(OsStr::from_bytes(&nasty_name(4)));
    std::os::unix::fs::symlink("/etc", outside).unwrap();
    let args = [
        "send".into(),
        "-v".into(),
        top.into_os_string(),
        recv.target().into(),
    ];
    for _ in 0..2 {
        let args: &[OsString] = &args;
        let sent = sandbox.me().run(args);
        sent.assert_code(3).assert_says("marker");
        sent.assert_harmless();
    }
    let told = recv.interrupt();
    told.assert_says("marker");
    told.assert_harmless();
}

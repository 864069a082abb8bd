//! Messages that are none, out of turn, or of somebody who may not say anything; a listener that
//! lies about what it was told; and very many of them.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use xfer::model::outcome::{Ability, Decline, Role};
use xfer::model::talk::{MAX_SAID_BYTES, TalkLine};
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

/// The types of the frames that carry a piece of a message, and a reply.
const SAY_PART: u16 = 0x51;
const REPLY: u16 = 0x53;

/// What an xfer had before there were messages.
const BEFORE: Features = Features(Features::REASONS.0 | Features::MORE_REASONS.0);

fn say(bytes: u32, asks: bool) -> Message {
    Message::Say(Say { bytes, asks })
}

fn part(bytes: impl AsRef<[u8]>) -> Message {
    Message::SayPart(SayPart(bytes.as_ref().to_vec()))
}

/// A connection of somebody who has been greeted, and may say what they came for.
fn greeted(who: &Who, recv: &Recv) -> Line {
    let mut line = who.dial(recv.addr());
    line.say(&who.hello(&line, Role::Sender));
    let hello = line.hear();
    assert!(matches!(hello, Message::Hello(_)), "{hello:?}");
    line
}

#[test]
fn what_is_no_message_is_shown_to_nobody() {
    let sandbox = Sandbox::new();
    let who = Who::talking(&sandbox);
    let recv = sandbox.recv();
    let said = |messages: &[Message]| messages.iter().flat_map(bytes_of).collect::<Vec<_>>();
    let long = vec![b'x'; (64 << 10) + 1];
    for (bytes, words) in [
        (said(&[say(0, false)]), "an empty message"),
        (said(&[say(MAX_SAID_BYTES + 1, false)]), "too long"),
        (said(&[say(u32::MAX, true)]), "too long"),
        (said(&[say(2, false), part("")]), "an empty piece"),
        (said(&[say(2, false), part("abc")]), "more of a message"),
        (
            said(&[say(3, false), part("ab"), part("cd")]),
            "more of a message",
        ),
        (said(&[say(2, false), part(b"a\xc3")]), "no UTF-8"),
        (said(&[say(2, true), part(b"\xff\xfe")]), "no UTF-8"),
        (said(&[say(2, false), say(2, false)]), "Say out of turn"),
        (said(&[say(2, false), offer()]), "Offer out of turn"),
        (
            said(&[say(2, false), Message::Shown(())]),
            "Shown out of turn",
        ),
        (
            said(&[say(2, true), Message::Reply(Reply(None))]),
            "Reply out of turn",
        ),
        (
            said(&[say(2, true), Message::Leave(())]),
            "Leave out of turn",
        ),
        (
            [said(&[say(70_000, false)]), frame(SAY_PART, &long)].concat(),
            "a bad frame of type 0x51",
        ),
    ] {
        let mut line = greeted(&who, &recv);
        line.raw(&bytes);
        let told = line.hear_abort();
        assert!(told.contains(words), "{told:?} instead of {words:?}");
        line.close();
    }
    // One of which a part never comes.
    let mut line = greeted(&who, &recv);
    line.raw(&said(&[say(4, true), part("half")][..1]));
    line.say(&part("ha"));
    line.close();
    // And one that is whole, for all that.
    let mut line = greeted(&who, &recv);
    line.raw(&said(&[say(4, false), part("g"), part("o"), part("od")]));
    assert_eq!(line.hear(), Message::Shown(()));
    line.close();
    recv.process().wait_for_text("judas: good\n");
    let printed = recv.process().printed().text();
    assert_eq!(printed.matches("judas: ").count(), 1, "{printed}");
    still_receives(&sandbox, &recv);
}

#[test]
fn whoever_may_say_nothing_is_not_heard() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--open"]);
    let hello = say(5, false);
    let text = part("psst!");
    let declined = |line: &mut Line| match line.hear() {
        Message::Declined(why) => why,
        other => panic!("{other:?}"),
    };
    // Before anything else.
    let mut line = Who::stranger().dial(recv.addr());
    line.raw(&[bytes_of(&hello), bytes_of(&text)].concat());
    assert!(line.hear_abort().contains("Say out of turn"));
    // With files one may be anybody, with words not.
    let mut line = greeted(&Who::open_stranger(), &recv);
    line.raw(&[bytes_of(&hello), bytes_of(&text)].concat());
    let not_granted = Decline::NotGranted(Ability::Messages);
    assert_eq!(declined(&mut line), not_granted);
    // The grant for files is no other.
    let paired = Who::paired(&sandbox);
    let mut line = greeted(&paired, &recv);
    line.raw(&[bytes_of(&hello), bytes_of(&text)].concat());
    assert_eq!(declined(&mut line), not_granted);
    Session::begin(&paired, recv.addr()).end(vec![]);
    drop(recv);
    // Nor is anybody heard who is not let in.
    let recv = sandbox.recv();
    let mut line = greeted(&Who::stranger(), &recv);
    line.raw(&[bytes_of(&hello), bytes_of(&text)].concat());
    assert_eq!(declined(&mut line), Decline::Unknown);
    // Nor whoever has not said before that it knows what messages are.
    let old = Who::let_in(&sandbox).of_before(BEFORE);
    let mut line = greeted(&old, &recv);
    line.say(&hello);
    let told = line.hear_abort();
    assert!(told.contains("without the feature"), "{told}");
    let printed = recv.process().printed().text();
    assert!(!printed.contains("psst"), "{printed}");
}

/// The real program saying something, and what it talks to, which has heard it.
fn victim(sandbox: &Sandbox, who: &Who, args: &[&str]) -> (Process, Line) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let all = [&["say"], args, &[&target, "hello"]].concat();
    let process = Process::spawn(sandbox.me().command(&all));
    let mut line = who.accept(&listener);
    line.hear();
    let hello = who.hello(&line, Role::Receiver);
    line.say(&hello);
    (process, line)
}

#[test]
fn a_listener_that_lies_is_not_believed() {
    let sandbox = Sandbox::new();
    let who = Who::let_in(&sandbox);
    let reply = |text: &str| Message::Reply(Reply(Some(TalkLine::new(text).unwrap())));
    let shown = || Message::Shown(());
    let two_lines = frame(REPLY, &Some("one\ntwo"));
    let long = frame(REPLY, &Some("x".repeat(20_000)));
    for (asks, bytes, words) in [
        (false, bytes_of(&reply("before")), "Reply out of turn"),
        (true, bytes_of(&reply("before")), "Reply out of turn"),
        (false, bytes_of(&part("no")), "SayPart out of turn"),
        (false, bytes_of(&say(3, false)), "Say out of turn"),
        (
            true,
            [bytes_of(&shown()), bytes_of(&shown())].concat(),
            "Shown out of turn",
        ),
        (true, [bytes_of(&shown()), two_lines].concat(), "type 0x53"),
        (true, [bytes_of(&shown()), long].concat(), "type 0x53"),
    ] {
        let args = if asks { &["--ask"][..] } else { &[] };
        let (process, mut line) = victim(&sandbox, &who, args);
        assert_eq!(line.hear(), say(5, asks));
        assert_eq!(line.hear(), part("hello"));
        line.raw(&bytes);
        let told = line.hear_abort();
        assert!(told.contains(words), "{told:?} instead of {words:?}");
        line.close();
        let output = process.wait();
        output.assert_code(1).assert_says("broke the protocol");
        assert!(output.stdout.is_empty(), "{output}");
    }
    // What it may say is made safe where a person reads it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let args = ["-c", "exec \"$0\" \"$@\" >&2"].map(std::ffi::OsStr::new);
    let inner = sandbox.me().command(&["say", "--ask", &target, "hello"]);
    let seen = Terminal::spawn(run_by("sh", &args, &inner));
    let mut line = who.accept(&listener);
    line.hear();
    line.say(&who.hello(&line, Role::Receiver));
    line.hear();
    line.hear();
    line.say(&shown());
    line.say(&reply("\u{1b}[2J\u{7}\u{202e}x"));
    seen.wait_for("\\x1b[2J\\x07\\u{202e}x", 1);
    let (code, screen) = seen.wait();
    assert_eq!(code, Some(0));
    assert!(!screen.contains("\u{1b}[2J") && !screen.contains('\u{7}'));
}

#[test]
fn an_older_receiver_is_told_nothing_and_its_user_to_update() {
    let sandbox = Sandbox::new();
    let old = Who::let_in(&sandbox).of_before(BEFORE);
    let (process, mut line) = victim(&sandbox, &old, &[]);
    assert_eq!(line.hear(), Message::Leave(()));
    line.close();
    process
        .wait()
        .assert_code(1)
        .assert_says("is too old to let others send messages")
        .assert_says("Update xfer on that machine");
}

#[test]
fn very_many_messages_cost_a_transfer_little_and_no_memory() {
    let sandbox = Sandbox::new();
    let who = Who::talking(&sandbox);
    let recv = sandbox.recv();
    let (over, shown) = (AtomicBool::new(false), AtomicUsize::new(0));
    let begun = Instant::now();
    let text = "x".repeat(MAX_SAID_BYTES as usize);
    thread::scope(|scope| {
        for n in 0..12 {
            let (who, recv, over, shown, text) = (&who, &recv, &over, &shown, &text);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let mut line = greeted(who, recv);
                    let text = match n {
                        0 => text,
                        n if n % 2 == 0 => &text[..64 << 10],
                        _ => &text[..10],
                    };
                    line.say(&say(u32::try_from(text.len()).unwrap(), false));
                    for piece in text.as_bytes().chunks(64 << 10) {
                        if line.try_raw(&bytes_of(&part(piece))).is_err() {
                            break;
                        }
                    }
                    match line.try_hear() {
                        Ok(Frame::Message(Message::Shown(()))) => {
                            shown.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(Frame::Message(Message::Declined(Decline::Full))) => {}
                        _ if over.load(Ordering::Relaxed) => {}
                        other => panic!("{other:?}"),
                    }
                    line.close();
                }
            });
        }
        // The transfer goes on meanwhile, and whole.
        make_file(sandbox.src().join("file"), 1, 64 * CHUNK);
        let sent = Instant::now();
        let output = sandbox.send(&[], &recv.target());
        let took = sent.elapsed();
        over.store(true, Ordering::Relaxed);
        output.assert_code(0);
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
    assert_same_tree(sandbox.src(), sandbox.dst());
    let shown = shown.load(Ordering::Relaxed);
    let most = 110.0 + 20.0 * begun.elapsed().as_secs_f64();
    assert!(shown > 0 && (shown as f64) < most, "{shown}, not {most}");
    flat_memory(&recv);
}

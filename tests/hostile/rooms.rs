//! Rooms: members that have gone bad, and a host that has. A member that breaks the rules is out,
//! and the others go on; a host can make nobody's terminal do anything, nor show who is not there.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use xfer::model::outcome::Role;
use xfer::model::talk::{MAX_LINE_BYTES, RoomGone, TalkLine};
use xfer::net::Channel;
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

/// The types of frames.
const JOINED: u16 = 0x59;
const SAY: u16 = 0x5c;
const SAID: u16 = 0x5d;

fn line(text: &str) -> TalkLine {
    TalkLine::new(text).unwrap()
}

fn say(text: &str) -> Message {
    Message::RoomSay(line(text))
}

fn said(number: u32, text: &str) -> Message {
    let line = line(text);
    Message::RoomSaid(RoomSaid { number, line })
}

fn left(number: u32) -> Message {
    let why = RoomGone::Left;
    Message::RoomLeft(RoomLeft { number, why })
}

fn member(number: u32, name: &str) -> RoomMember {
    RoomMember {
        number,
        name: name.into(),
    }
}

fn joined(you: u32, members: &[(u32, &str)]) -> Message {
    let members = members.iter().map(|&(number, name)| member(number, name));
    Message::RoomJoined(RoomJoined {
        you,
        members: members.collect(),
    })
}

/// A room that is open, and where.
fn open(sandbox: &Sandbox) -> (Process, SocketAddr) {
    let args = ["chat", "--listen", "127.0.0.1:0", "--name", "host"];
    let process = Process::spawn(sandbox.me().command(&args));
    let addr = process.wait_for("an address", |output| {
        let text = output.text();
        let (_, rest) = text.split_once("The chat is open on ")?;
        rest.split_once('\n')?.0.parse().ok()
    });
    (process, addr)
}

/// Has said who it is.
fn greeted(who: &Who, addr: SocketAddr) -> Line {
    let mut line = who.dial(addr);
    let hello = who.hello_as(&line, Role::Sender, "judas");
    line.say(&hello);
    assert!(matches!(line.hear(), Message::Hello(_)));
    line
}

/// Is in the room; and its number.
fn in_room(who: &Who, addr: SocketAddr) -> (Line, u32) {
    room_of(who.dial(addr), who)
}

fn room_of(mut line: Line, who: &Who) -> (Line, u32) {
    let hello = who.hello_as(&line, Role::Sender, "judas");
    line.say(&hello);
    assert!(matches!(line.hear(), Message::Hello(_)));
    line.say(&Message::RoomJoin(()));
    match line.hear() {
        Message::RoomJoined(joined) => (line, joined.you),
        other => panic!("{other:?}"),
    }
}

/// An honest member still talks to the host.
#[track_caller]
fn still_talks(sandbox: &Sandbox, host: &Process, addr: SocketAddr) {
    let who = Who::let_in(sandbox);
    let (mut line, _) = in_room(&who, addr);
    line.say(&say("an honest line"));
    host.wait_for_text(": an honest line");
    line.say(&Message::Leave(()));
    line.close();
}

#[test]
fn a_message_out_of_turn_puts_a_member_out() {
    let sandbox = Sandbox::new();
    let (host, addr) = open(&sandbox);
    let who = Who::let_in(&sandbox);
    let (mut watcher, _) = in_room(&who, addr);
    for message in [
        Message::RoomJoin(()),
        joined(1, &[(0, "a"), (1, "b")]),
        Message::RoomCame(member(9, "nobody")),
        left(1),
        said(0, "as if it were the host"),
        offer(),
        Message::Shown(()),
        Message::End(End {
            entries: 0,
            unannounced: 0,
        }),
    ] {
        let (mut line, number) = in_room(&who, addr);
        assert!(matches!(watcher.hear(), Message::RoomCame(m) if m.number == number));
        line.say(&message);
        let why = line.hear_abort();
        assert!(why.contains("in a room"), "{message:?}: {why}");
        match watcher.hear() {
            Message::RoomLeft(left) => {
                assert_eq!((left.number, left.why), (number, RoomGone::Broken));
            }
            other => panic!("{message:?}: {other:?}"),
        }
    }
    still_talks(&sandbox, &host, addr);
    assert!(!host.printed().text().contains("as if it were the host"));
}

#[test]
fn what_is_no_line_puts_a_member_out() {
    let sandbox = Sandbox::new();
    let (host, addr) = open(&sandbox);
    let who = Who::let_in(&sandbox);
    let long = "a".repeat(MAX_LINE_BYTES + 1);
    let bytes: &[u8] = b"\x02\0\0\0\0\0\0\0\xff\xfe";
    for frame in [
        frame(SAY, &long),
        frame(SAY, &"two\nlines"),
        frame(SAY, &"carriage\rreturn"),
        frame_of(SAY, bytes),
        frame_of(SAY, b""),
        // A length that nothing is to be allocated for.
        frame_of(SAY, &[0xff; 8]),
        frame(SAY, &"a".repeat(200_000)),
    ] {
        let (mut line, _) = in_room(&who, addr);
        line.raw(&frame);
        line.hear_abort();
    }
    still_talks(&sandbox, &host, addr);
    host.interrupt();
    let output = host.wait();
    output.assert_harmless();
    assert!(!output.text().contains("carriage"));
}

#[test]
fn nobody_says_anything_before_being_in_the_room() {
    let sandbox = Sandbox::new();
    let (host, addr) = open(&sandbox);
    let me = Who::let_in(&sandbox);
    for message in [
        Message::RoomJoin(()),
        say("too early"),
        said(0, "too early"),
        left(0),
    ] {
        // Before the greeting.
        let mut line = me.dial(addr);
        line.say(&message);
        line.hear_abort();
    }
    for message in [
        say("too early"),
        said(0, "too early"),
        left(0),
        joined(1, &[]),
    ] {
        // In the place of a request.
        let mut line = greeted(&me, addr);
        line.say(&message);
        line.hear_abort();
    }
    // Whom nobody knows is told so, whatever they want, and also by those who are open to all.
    for stranger in [Who::stranger(), Who::open_stranger()] {
        let mut line = greeted(&stranger, addr);
        assert!(matches!(line.hear(), Message::Declined(_)));
        line.say(&Message::RoomJoin(()));
        line.hear_hang_up();
    }
    still_talks(&sandbox, &host, addr);
    assert!(!host.printed().text().contains("too early"));
}

#[test]
fn a_room_is_full_at_some_time() {
    let sandbox = Sandbox::new();
    let (host, addr) = open(&sandbox);
    // One alone cannot fill it, however often it comes.
    let mut all = Vec::new();
    while all.len() < 63 {
        let who = Who::talking(&sandbox);
        let few = (63 - all.len()).min(4);
        all.extend((0..few).map(|_| in_room(&who, addr)));
        if few == 4 {
            is_full_for(&who, addr);
        }
    }
    let who = Who::let_in(&sandbox);
    is_full_for(&who, addr);
    let (last, number) = all.pop().unwrap();
    drop(last);
    host.wait_for_text(" is gone");
    let (_line, next) = in_room(&who, addr);
    assert!(next > number);
}

#[track_caller]
fn is_full_for(who: &Who, addr: SocketAddr) {
    let mut line = greeted(who, addr);
    line.say(&Message::RoomJoin(()));
    let answer = line.hear();
    let full = xfer::model::outcome::Decline::Full;
    assert!(
        matches!(&answer, Message::Declined(why) if *why == full),
        "{answer:?}"
    );
}

#[test]
fn whoever_does_not_read_is_put_out_and_slows_nobody() {
    let sandbox = Sandbox::new();
    let (host, addr) = open(&sandbox);
    let who = Who::let_in(&sandbox);
    let (deaf, number) = room_of(who.dial_narrow(addr), &who);
    let (mut watcher, _) = in_room(&who, addr);
    // More than may wait for a member, and than the system takes on its way there, which is up to
    // 4 MiB where it remembers how well an earlier connection went.
    let said = bytes_of(&say(&"a".repeat(MAX_LINE_BYTES)));
    let speakers = (0..4).map(|_| {
        let (speaker, _) = in_room(&Who::talking(&sandbox), addr);
        let said = said.clone();
        let Channel {
            mut reader,
            mut writer,
            ..
        } = speaker.channel;
        thread::spawn(move || while read_frame(&mut reader, &mut Vec::new()).is_ok() {});
        thread::spawn(move || {
            for _ in 0..100 {
                if writer
                    .write_all(&said)
                    .and_then(|()| writer.flush())
                    .is_err()
                {
                    break;
                }
            }
            writer
        })
    });
    let speakers: Vec<_> = speakers.collect();
    let why = loop {
        match watcher.hear() {
            Message::RoomLeft(left) if left.number == number => break left.why,
            _ => {}
        }
    };
    assert_eq!(why, RoomGone::NotReading);
    host.wait_for_text("was removed: it did not keep up");
    drop(deaf);
    drop(watcher);
    still_talks(&sandbox, &host, addr);
    host.kill();
    for speaker in speakers {
        drop(speaker.join().unwrap());
    }
}

#[test]
fn whoever_floods_a_room_is_slowed_and_put_out() {
    let sandbox = Sandbox::new();
    let (host, addr) = open(&sandbox);
    let who = Who::talking(&sandbox);
    let (mut flooder, number) = in_room(&who, addr);
    flooder.raw(&bytes_of(&say("spam")).repeat(5_000));
    let Message::RoomLeft(left) = flooder.hear() else {
        panic!("it is not told why");
    };
    assert_eq!((left.number, left.why), (number, RoomGone::Flooding));
    host.wait_for_text("was removed: it sent too much at once");
    let heard = host.printed().text().matches(": spam").count();
    assert!(heard < 1_000, "{heard}");
    still_talks(&sandbox, &host, addr);
    // Who comes back does not begin anew.
    let (mut flooder, number) = in_room(&who, addr);
    flooder.raw(&bytes_of(&say("spam")).repeat(5_000));
    let Message::RoomLeft(left) = flooder.hear() else {
        panic!("it is not told why");
    };
    assert_eq!((left.number, left.why), (number, RoomGone::Flooding));
    let heard = host.printed().text().matches(": spam").count();
    assert!(heard < 1_100, "{heard}");
}

/// A real member of a room whose host says these things; and how it ends.
fn member_of(messages: &[Vec<u8>]) -> Output {
    let sandbox = Sandbox::new();
    let who = Who::let_in(&sandbox);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let process = Process::spawn(sandbox.me().command(&["chat", &target, "--name", "victim"]));
    let mut line = who.accept(&listener);
    line.hear();
    let hello = who.hello_as(&line, Role::Receiver, "judas");
    line.say(&hello);
    assert!(matches!(line.hear(), Message::RoomJoin(())));
    for message in messages {
        line.raw(message);
    }
    // To its end: it waits for this side's as long as last words take.
    while line.try_hear().is_ok() {}
    drop(line);
    let ended = process.wait_end();
    ended.assert_harmless();
    ended
}

#[test]
fn a_host_that_lies_about_its_room_is_left() {
    let well = || bytes_of(&joined(2, &[(0, "host"), (1, "anna"), (2, "victim")]));
    let behind = |message: Message| vec![well(), bytes_of(&message)];
    for messages in [
        // What is no room.
        vec![bytes_of(&joined(0, &[(0, "host"), (1, "anna")]))],
        vec![bytes_of(&joined(2, &[(0, "host"), (1, "anna")]))],
        vec![bytes_of(&joined(1, &[(1, "anna")]))],
        vec![bytes_of(&joined(
            1,
            &[(0, "host"), (1, "anna"), (1, "carl")],
        ))],
        vec![frame(
            JOINED,
            &(1u32, (0..65u32).map(|n| (n, "anna")).collect::<Vec<_>>()),
        )],
        vec![bytes_of(&said(0, "before it is there"))],
        vec![bytes_of(&Message::Accept(Accept {
            lanes: 1,
            secret: LaneSecret([0; 32]),
            window: 1000,
            conflict: xfer::model::outcome::OnConflict::Beside,
        }))],
        // Numbers that lie.
        behind(said(7, "nobody's line")),
        behind(said(2, "its own line")),
        behind(left(7)),
        behind(left(0)),
        behind(Message::RoomCame(member(1, "anna again"))),
        behind(Message::RoomCame(member(0, "another host"))),
        behind(Message::RoomCame(member(2, "itself"))),
        // What is not the host's to say, or nobody's.
        behind(say("as a member")),
        behind(Message::RoomJoin(())),
        behind(joined(3, &[(0, "host"), (3, "victim")])),
        behind(offer()),
        vec![well(), frame(SAID, &(1u32, "a".repeat(MAX_LINE_BYTES + 1)))],
        vec![well(), frame(SAID, &(1u32, "two\nlines"))],
    ] {
        let ended = member_of(&messages);
        ended.assert_code(1).assert_says("protocol");
        for said in ["nobody's", "its own", "before it", "as a member", "two"] {
            assert!(
                !String::from_utf8_lossy(&ended.stdout).contains(said),
                "{ended}"
            );
        }
    }
}

#[test]
fn names_and_lines_of_a_host_are_made_safe() {
    let long = "a".repeat(1000);
    let members = [
        (0, "\x1b[31mevil"),
        (1, "\u{202e}\x07anna\n"),
        (2, "victim"),
        (3, &*long),
    ];
    let ended = member_of(&[
        bytes_of(&joined(2, &members)),
        bytes_of(&Message::RoomCame(member(4, "anna"))),
        bytes_of(&said(1, "\x1b]0;owned\x07\u{202e}")),
        bytes_of(&said(4, "another anna")),
        bytes_of(&said(3, "long")),
        bytes_of(&Message::Leave(())),
    ]);
    ended.assert_code(0).assert_says("closed the chat");
    let heard = String::from_utf8_lossy(&ended.stdout);
    let expected = format!(
        "anna: \\x1b]0;owned\\x07\\u{{202e}}\nanna (2): another anna\n{}: long\n",
        "a".repeat(64)
    );
    assert_eq!(heard, expected);
}

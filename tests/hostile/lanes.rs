//! Lanes that belong to nobody, or to somebody else, and whole connections said again.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use xfer::model::outcome::Role;
use xfer::model::reason::AbortReason;
use xfer::wire::*;

use crate::client::*;
use crate::support::*;

const NO_SESSION: &str = "there is no such session";

/// Asks to join with this secret, and is refused.
#[track_caller]
fn cannot_join(who: &Who, recv: &Recv, secret: LaneSecret) {
    let mut lane = who.dial(recv.addr());
    lane.say(&join(&lane, secret));
    assert_eq!(lane.hear_abort(), NO_SESSION);
    lane.close();
}

#[test]
fn nobody_joins_without_the_secret_and_the_key() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--open"]);
    let (who, open) = (Who::let_in(&sandbox), Who::open_stranger());
    let mut session = Session::begin(&who, recv.addr());
    session.announce(&[file(0, "a", 3)]);
    session.wanted(0);
    let secret = session.accept.secret;
    cannot_join(&who, &recv, LaneSecret([0; 32]));
    let mut nearly = secret;
    nearly.0[31] ^= 1;
    cannot_join(&who, &recv, nearly);
    for other in [&Who::stranger(), &open] {
        cannot_join(other, &recv, secret);
    }
    // Those who are let in have no more right to another's session.
    let other = Session::begin(&open, recv.addr());
    cannot_join(&who, &recv, other.accept.secret);
    // The session has not been harmed by any of them.
    let mut lane = session.lane();
    session.put(&mut lane, 0, b"abc");
    assert_eq!(session.end(vec![lane]).stored, 1);
    assert_eq!(other.end(vec![]).stored, 0);
    // It is over: its secret opens nothing any more. A lane that meets its very last moment is
    // closed without a word; there would be three more.
    recv.process().wait_for_text("Received ");
    let refused = (0..3).any(|_| {
        let mut late = who.dial(recv.addr());
        late.say(&join(&late, secret));
        loop {
            match late.try_hear() {
                Ok(Frame::Message(Message::Joined(_))) => {}
                Ok(Frame::Message(Message::Abort(why))) => return why == AbortReason::NoSession,
                Err(WireError::Io(e)) if e.kind() == ErrorKind::UnexpectedEof => return false,
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(refused);
    recv.process().wait_for_text("a lane of no session");
    still_serves(&sandbox, &recv);
}

#[test]
fn there_are_no_more_lanes_than_were_allowed() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let session = Session::begin(&who, recv.addr());
    assert_eq!(session.accept.lanes, 4);
    let lanes: Vec<_> = (0..4).map(|_| session.lane()).collect();
    cannot_join(&who, &recv, session.accept.secret);
    session.end(lanes);
    // However many are asked for.
    let mut line = who.dial(recv.addr());
    line.say(&who.hello(&line, Role::Sender));
    line.hear();
    line.say(&Message::Offer(Offer {
        algorithm: xfer::model::digest::Algorithm::Sha256,
        chunk_size: xfer::model::digest::CHUNK_SIZE,
        lanes: u16::MAX,
        wish: xfer::model::outcome::Wish::default(),
        contents: None,
    }));
    match line.hear() {
        Message::Accept(accept) => assert_eq!(accept.lanes, limits::MAX_LANES),
        other => panic!("{other:?}"),
    }
    drop(line);
    still_serves(&sandbox, &recv);
}

#[test]
fn each_connection_has_messages_of_its_own() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    let mut attacks = Attacks::new(&who, &recv);
    // What belongs to the control connection, on a lane.
    for bytes in [
        frame(ENTRIES, &vec![file(0, "a", 3)]),
        bytes_of(&scanned()),
        bytes_of(&Message::Ping(())),
        bytes_of(&offer()),
        bytes_of(&Message::End(End {
            entries: 0,
            unannounced: 0,
        })),
        bytes_of(&Message::AbortText("enough".into())),
        bytes_of(&Message::Abort(AbortReason::Other("enough".into()))),
    ] {
        attacks.end_with("on a lane", |session| {
            let mut lane = session.lane();
            lane.raw(&bytes);
            vec![lane]
        });
    }
    // What belongs to a lane, on the control connection.
    attacks.end_with("a chunk on the control connection", |session| {
        session.announce(&[file(0, "a", 3)]);
        session.wanted(0);
        session.control.raw(&chunk_bytes(&whole(0, b"abc"), b"abc"));
        vec![]
    });
    let out_of_turn = |message: &Message| format!("a message {} out of turn", message.name());
    attacks.end_with("a message LaneEnd out of turn", |session| {
        session.control.say(&Message::LaneEnd(()));
        vec![]
    });
    attacks.end_with("a message Join out of turn", |session| {
        let join = join(&session.control, session.accept.secret);
        session.control.say(&join);
        vec![]
    });
    // A lane that begins with anything but a join.
    for message in [scanned(), offer(), Message::LaneEnd(())] {
        let mut line = who.dial(recv.addr());
        line.say(&message);
        let told = line.hear_abort();
        assert!(told.contains(&out_of_turn(&message)), "{told}");
        line.close();
    }
    attacks.all_told();
    still_receives(&sandbox, &recv);
}

/// More files than can be open, of each of which the rest comes only behind the beginning of all
/// others, on the same lane: it would wait for itself.
#[test]
fn more_begun_files_than_can_be_open_hold_nothing_up_for_long() {
    const FILES: u64 = 300;
    let sandbox = Sandbox::new();
    let who = Who::let_in(&sandbox);
    let recv = sandbox.recv();
    let mut session = Session::begin(&who, recv.addr());
    // It is there, however long it waits.
    session.control.pings = true;
    let (whole, rest) = (vec![0; usize::try_from(CHUNK).unwrap()], b"rest");
    let data = [&whole[..], rest].concat();
    let size = data.len() as u64;
    let entries: Vec<_> = (0..FILES)
        .map(|n| file(n, format!("f{n:03}"), size))
        .collect();
    session.announce(&entries);
    let began = std::time::Instant::now();
    let mut lane = session.lane();
    for n in 0..FILES {
        session.wanted(n);
    }
    for n in 0..FILES {
        let hole = ChunkHeader {
            encoding: Encoding::Hole,
            ..part(n, 0, &whole)
        };
        lane.raw(&chunk_bytes(&hole, &[]));
    }
    for n in 0..FILES {
        lane.raw(&chunk_bytes(&part(n, 1, rest), rest));
    }
    for n in 0..FILES {
        session.control.say(&done(n, file_digest(&data)));
    }
    let summary = session.end(vec![lane]);
    assert!(summary.failed > 0 && summary.stored >= 200, "{summary:?}");
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    still_serves(&sandbox, &recv);
}

#[test]
fn a_lane_that_ends_without_a_word_is_a_lost_connection() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let who = Who::let_in(&sandbox);
    for in_order in [false, true] {
        let mut session = Session::begin(&who, recv.addr());
        let mut lane = session.lane();
        session.announce(&[file(0, "a", 3)]);
        session.wanted(0);
        // Half a chunk.
        lane.raw(&chunk_bytes(&whole(0, b"abc"), b"abc")[..50]);
        if in_order {
            lane.channel.writer.finish().unwrap();
        }
        drop(lane);
        session.control.hear_hang_up();
    }
    recv.process().wait_for_text("lost the connection");
    still_receives(&sandbox, &recv);
}

/// What clients said to a receiver, connection by connection.
type Said = Arc<Mutex<Vec<Vec<u8>>>>;

/// Passes connections on, and keeps what the clients say.
fn listen_in(target: SocketAddr) -> (SocketAddr, Said) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let said = Said::default();
    let all = said.clone();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(target).unwrap());
            let number = {
                let mut all = all.lock().unwrap();
                all.push(Vec::new());
                all.len() - 1
            };
            let mut back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut back.0, &mut back.1);
                let _ = back.1.shutdown(Shutdown::Write);
            });
            let all = all.clone();
            thread::spawn(move || {
                let mut buffer = [0; 65536];
                while let Ok(n @ 1..) = client.read(&mut buffer) {
                    all.lock().unwrap()[number].extend_from_slice(&buffer[..n]);
                    let _ = server.write_all(&buffer[..n]);
                }
                let _ = server.shutdown(Shutdown::Write);
            });
        }
    });
    (addr, said)
}

#[test]
fn a_session_said_again_says_nothing() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let (addr, said) = listen_in(recv.addr());
    make_file(sandbox.src().join("once"), 3, 2 * CHUNK);
    make_file(sandbox.src().join("twice"), 4, 10);
    sandbox.send(&[], &addr.to_string()).assert_code(0);
    for name in ["once", "twice"] {
        std::fs::remove_file(sandbox.dst().join(name)).unwrap();
    }
    let said = said.lock().unwrap().clone();
    assert!(said.len() >= 2 && said.iter().map(Vec::len).sum::<usize>() > 2_000_000);
    // In the order of then, each in one piece, and all at once.
    let mut again: Vec<_> = said
        .iter()
        .map(|bytes| {
            let mut stream = TcpStream::connect(recv.addr()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // It is refused long before its end.
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(Shutdown::Write);
            stream
        })
        .collect();
    for stream in &mut again {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 4096, "{} bytes", answer.len());
    }
    recv.process()
        .wait_for_text("cannot set up encryption with");
    assert_eq!(Tree::read(sandbox.dst()), Tree::default());
    still_receives(&sandbox, &recv);
}

//! Somebody between the two who changes what both say before the channel is safe.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::client::still_receives;
use crate::support::*;

/// Whose preamble is changed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Whose {
    Senders,
    Receivers,
}

/// Passes connections on, and changes one byte of one side's preamble.
fn meddle(target: SocketAddr, whose: Whose, at: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(target).unwrap());
            let clone = |stream: &TcpStream| stream.try_clone().unwrap();
            let (c, s) = (clone(&client), clone(&server));
            thread::spawn(move || pass(c, s, (whose == Whose::Senders).then_some(at)));
            thread::spawn(move || pass(server, client, (whose == Whose::Receivers).then_some(at)));
        }
    });
    addr
}

fn pass(mut from: TcpStream, mut to: TcpStream, change: Option<usize>) {
    let mut preamble = [0; 16];
    if from.read_exact(&mut preamble).is_ok() {
        if let Some(at) = change {
            preamble[at] ^= 2;
        }
        let _ = to.write_all(&preamble);
        let _ = std::io::copy(&mut from, &mut to);
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn a_preamble_that_was_changed_is_noticed_by_both() {
    const CHANGED: &str = "its preamble was changed on the way";
    // The two reserved bytes and the four of features.
    for at in 10..16 {
        for whose in [Whose::Senders, Whose::Receivers] {
            let sandbox = Sandbox::new();
            let recv = sandbox.recv();
            make_file(sandbox.src().join("file"), 1, 3 * CHUNK);
            let target = meddle(recv.addr(), whose, at);
            let sent = sandbox.send(&[], &target.to_string());
            sent.assert_code(1).assert_says(CHANGED);
            recv.process().wait_for_text(CHANGED);
            assert_eq!(Tree::read(sandbox.dst()), Tree::default());
            if at == 15 {
                still_receives(&sandbox, &recv);
            }
        }
    }
}

#[test]
fn a_version_that_was_changed_is_another_version() {
    for at in [8, 9] {
        for whose in [Whose::Senders, Whose::Receivers] {
            let sandbox = Sandbox::new();
            let recv = sandbox.recv();
            make_file(sandbox.src().join("file"), 1, 3 * CHUNK);
            let target = meddle(recv.addr(), whose, at);
            let sent = sandbox.send(&[], &target.to_string());
            sent.assert_code(1);
            let words = "of the xfer protocol, this machine speaks version 1";
            match whose {
                Whose::Senders => recv.process().wait_for_text(words),
                Whose::Receivers => drop(sent.assert_says(words)),
            }
            recv.process().wait_for_text("Refused");
            still_receives(&sandbox, &recv);
        }
    }
}

//! Raw bytes at the receiver's port: whatever comes, nothing is stored, nobody is kept waiting,
//! and the receiver goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::client::still_receives;
use crate::support::*;
use xfer::wire::Preamble;

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes, and reads until the receiver closes.
fn poke(addr: SocketAddr, bytes: &[u8], end: bool) -> Vec<u8> {
    let mut stream = connect(addr);
    // The receiver may have had enough at any byte.
    let _ = stream.write_all(bytes);
    if end {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the receiver keeps the connection: {bytes:?}");
        }
        _ => answer,
    }
}

fn with_preamble(rest: &[u8]) -> Vec<u8> {
    [&Preamble::OURS.encode(), rest].concat()
}

/// The beginning of a TLS record of this type and length.
fn record(kind: u8, length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    vec![kind, 3, 3, high, low]
}

#[test]
fn what_is_no_preamble() {
    let (sandbox, ours) = (Sandbox::new(), Preamble::OURS.encode());
    let recv = sandbox.recv();
    let pokes = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\n".to_vec(),
        vec![0; 16],
        vec![0xff; 100_000],
        bytes(1, 1000),
        bytes(2, 1_000_000),
        [&ours[..15], b"".as_slice()].concat(),
        ours[..1].to_vec(),
    ];
    for bytes in &pokes {
        poke(recv.addr(), bytes, true);
    }
    // The receiver does not wait for more of what cannot become a preamble.
    poke(recv.addr(), b"GET", false);
    poke(recv.addr(), b"", true);
    still_receives(&sandbox, &recv);
}

#[test]
fn another_version_is_told_which_one_this_is() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let other = Preamble {
        version: 0xfffe,
        features: u32::MAX,
    };
    let answer = poke(recv.addr(), &other.encode(), false);
    assert_eq!(answer, Preamble::OURS.encode());
    recv.process().wait_for_text("65534");
    still_receives(&sandbox, &recv);
}

#[test]
fn what_is_no_handshake() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    for rest in [
        vec![],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        bytes(3, 100_000),
        record(22, 0),
        record(22, 0xffff),
        [record(22, 0x4000), vec![1; 0x4000]].concat(),
        // A handshake message that says it is 16 MB long.
        [record(22, 4), vec![1, 0xff, 0xff, 0xff]].concat(),
        // Data before any key.
        [record(23, 100), vec![0; 100]].concat(),
        // An alert.
        [record(21, 2), vec![1, 0]].concat(),
    ] {
        poke(recv.addr(), &with_preamble(&rest), true);
    }
    still_receives(&sandbox, &recv);
}

#[test]
fn connections_that_close_at_once() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    for n in 0..200 {
        let mut stream = connect(recv.addr());
        if n % 2 == 0 {
            stream.write_all(&Preamble::OURS.encode()).unwrap();
        }
    }
    still_receives(&sandbox, &recv);
}

#[test]
fn connections_that_say_nothing() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let mut idle: Vec<TcpStream> = (0..50).map(|_| connect(recv.addr())).collect();
    for (n, stream) in (0..).zip(&mut idle) {
        let preamble = Preamble::OURS.encode();
        stream.write_all(&preamble[..n % 17]).unwrap();
    }
    still_receives(&sandbox, &recv);
    // Nobody is waited for without end.
    for mut stream in idle {
        let end = stream.read_to_end(&mut Vec::new());
        assert!(
            !matches!(&end, Err(e) if e.kind() == ErrorKind::WouldBlock),
            "the receiver keeps the connection"
        );
    }
}

#[test]
fn a_stranger_is_told_once_and_the_log_is_no_weapon() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    for _ in 0..100 {
        poke(recv.addr(), b"\x1b[31mGET / HTTP/1.1\r\n\r\n", true);
    }
    recv.process().wait_for_text("127.0.0.1");
    still_receives(&sandbox, &recv);
    let printed = recv.interrupt().text();
    let told = printed.matches("Refused 127.0.0.1: it does not speak to xfer");
    assert_eq!(told.count(), 1, "{printed}");
    assert!(!printed.contains('\x1b'), "{printed:?}");
    assert!(!printed.contains("panicked"), "{printed}");
}

//! Whole channels over real sockets, against good peers, bad ones, and rustls' own.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::CryptoProvider;
use rustls::{ClientConnection, ServerConnection};

use super::super::Identity;
use super::super::pairing::Attempt;
use super::super::trust::{Sides, trust};
use super::connect::{client_config, provider, server_config};
use super::*;
use crate::model::error::Error;
use crate::model::outcome::Role;
use crate::model::progress::{Counters, Trust};
use crate::model::prompt::PairingCode;
use crate::wire::Preamble;

const DEADLINE: Duration = Duration::from_secs(20);

fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (dialer, listener.accept().unwrap().0)
}

fn identity() -> Identity {
    Identity::generate().unwrap()
}

fn tls() -> Tls {
    Tls::new(&identity()).unwrap()
}

/// The two ends, dialer first.
fn joined(dialer: TcpStream, listener: TcpStream, tls: [&Tls; 2]) -> [crate::Result<Channel>; 2] {
    thread::scope(|s| {
        let accepted = s.spawn(|| tls[1].accept(listener, DEADLINE));
        let connected = tls[0].connect(dialer, DEADLINE);
        [connected, accepted.join().unwrap()]
    })
}

fn channels() -> (Channel, Channel) {
    let (dialer, listener) = sockets();
    let [a, b] = joined(dialer, listener, [&tls(), &tls()]);
    (a.unwrap(), b.unwrap())
}

/// Pseudo-random bytes, so that misplaced ones are noticed.
fn pattern(len: usize) -> Vec<u8> {
    let mut x = 1_u64;
    let mut next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        x.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Sends `data` in pieces from a thread and meanwhile reads to the end; then drops the channel.
fn exchange(mut channel: Channel, data: &[u8], piece: usize) -> Vec<u8> {
    thread::scope(|s| {
        let writer = &mut channel.writer;
        s.spawn(move || {
            data.chunks(piece)
                .for_each(|c| writer.write_all(c).unwrap());
            writer.finish().unwrap();
        });
        let mut got = Vec::new();
        channel.reader.read_to_end(&mut got).unwrap();
        got
    })
}

fn exchange_both(a: Channel, b: Channel, data: &[u8], piece: usize) {
    thread::scope(|s| {
        let other = s.spawn(|| exchange(b, data, piece));
        assert!(exchange(a, data, piece) == data);
        assert!(other.join().unwrap() == data);
    });
}

#[test]
fn both_know_who_the_other_is_and_whether_to_trust_it() {
    let (one, two) = (tls(), tls());
    let (dialer, listener) = sockets();
    let [a, b] = joined(dialer, listener, [&one, &two]).map(Result::unwrap);
    assert_eq!(a.fingerprint, two.fingerprint());
    assert_eq!(b.fingerprint, one.fingerprint());
    assert_eq!((a.local, a.peer), (b.peer, b.local));
    assert_eq!(a.preambles.sent, b.preambles.seen);
    assert_eq!(a.preambles.seen, b.preambles.sent);
    let why =
        |channel: &Channel, open, paired| trust(one.fingerprint(), channel, Sides { open, paired });
    assert_eq!(why(&a, false, false), None);
    assert_eq!(why(&a, true, false), Some(Trust::Open));
    assert_eq!(why(&a, false, true), Some(Trust::Paired));
    assert_eq!(why(&a, true, true), Some(Trust::Paired));

    let (dialer, listener) = sockets();
    let [mut a, b] = joined(dialer, listener, [&one, &one]).map(Result::unwrap);
    for channel in [&a, &b] {
        assert_eq!(why(channel, false, false), Some(Trust::SameUser));
    }
    a.peer.set_ip([10, 0, 0, 1].into());
    assert_eq!(why(&a, false, false), None);
}

/// Whether each side accepts the other's proof: the sender's first, then the receiver's.
fn prove(sender: (&Channel, &str), receiver: (&Channel, &str)) -> [bool; 2] {
    let start = |role, (channel, code): (&Channel, &str), ours| {
        Attempt::new(&PairingCode::parse(code).unwrap(), role, ours, channel)
    };
    let (a, a_share) = start(Role::Sender, sender, receiver.0.fingerprint);
    let (b, b_share) = start(Role::Receiver, receiver, sender.0.fingerprint);
    let (a, b) = (a.finish(&b_share).unwrap(), b.finish(&a_share).unwrap());
    [b.accept(&a.ours), a.accept(&b.ours)]
}

#[test]
fn the_same_code_on_the_same_channel_is_proven_and_nothing_else() {
    let (a, b) = channels();
    assert_eq!(prove((&a, "123456"), (&b, "123 456")), [true; 2]);
    assert_eq!(prove((&a, "123456"), (&b, "123457")), [false; 2]);
    // A machine in the middle has two channels and relays everything.
    let (c, d) = channels();
    assert_eq!(prove((&a, "123456"), (&d, "123456")), [false; 2]);
    let mut other = channels().1;
    other.fingerprint = b.fingerprint;
    assert_eq!(prove((&a, "123456"), (&other, "123456")), [false; 2]);
    drop(c);
}

#[test]
fn much_goes_both_ways_at_once() {
    let (a, b) = channels();
    exchange_both(a, b, &pattern(50_000_000), 100_000);
}

#[test]
fn pieces_of_any_size_arrive() {
    for (len, piece) in [(40_000, 1), (1_000_000, 16_385), (1_000_000, 16_383)] {
        let (a, b) = channels();
        exchange_both(a, b, &pattern(len), piece);
    }
    let (a, b) = channels();
    exchange_both(a, b, b"", 1);
}

#[test]
fn what_is_flushed_arrives_and_what_is_not_waits() {
    let (mut a, mut b) = channels();
    let brief = Some(Duration::from_millis(50));
    b.reader.set_timeout(brief).unwrap();
    assert_eq!(a.writer.write(b"hello").unwrap(), 5);
    let mut five = [0; 5];
    let e = b.reader.read(&mut five).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::TimedOut);
    a.writer.flush().unwrap();
    b.reader.read_exact(&mut five).unwrap();
    assert_eq!(&five, b"hello");
    a.writer.finish().unwrap();
    a.writer.finish().unwrap();
    a.writer.flush().unwrap();
    assert!(a.writer.write(b"more").is_err());
    assert_eq!(b.reader.read(&mut five).unwrap(), 0);
}

/// `keeps_together` says whether a write goes out in part while the rest stays in the buffer.
#[test]
fn what_is_kept_together_goes_out_whole() {
    let (mut a, b) = channels();
    let counters = Arc::new(Counters::default());
    a.carry(counters.clone());
    let sent = || Counters::get(&counters.bytes_wire);
    thread::scope(|s| {
        let mut reader = b.reader;
        s.spawn(move || io::copy(&mut reader, &mut io::sink()).unwrap());
        let sizes = [
            1,
            16_383,
            16_384,
            100,
            65_536,
            200_000,
            245_759,
            245_760,
            1 << 20,
        ];
        for size in sizes.iter().cycle().take(200) {
            let before = sent();
            let together = a.writer.keeps_together(*size);
            a.writer.write_all(&vec![0; *size]).unwrap();
            assert_eq!(together, sent() == before, "{size}");
            a.writer.flush().unwrap();
            assert!(a.writer.keeps_together(245_759) && !a.writer.keeps_together(245_760));
            // The next round starts with data in the buffer.
            a.writer.write_all(&vec![0; *size / 3]).unwrap();
        }
        a.writer.finish().unwrap();
    });
}

#[test]
fn keys_change_both_ways_without_notice() {
    for piece in [1_000, 16_384, 1 << 20] {
        let (mut a, mut b) = channels();
        a.writer.rekey_records = 3;
        b.writer.rekey_records = 3;
        exchange_both(a, b, &pattern(3_000_000), piece);
    }
}

#[test]
fn a_connection_that_merely_ends_is_not_the_end() {
    let (mut a, mut b) = channels();
    a.writer.write_all(b"data").unwrap();
    a.writer.flush().unwrap();
    drop(a);
    let mut got = Vec::new();
    let e = b.reader.read_to_end(&mut got).unwrap_err();
    assert_eq!(
        (e.kind(), &*got),
        (io::ErrorKind::UnexpectedEof, &b"data"[..])
    );
}

#[test]
fn nothing_in_flight_is_lost_when_one_side_finishes_first() {
    let (mut a, b) = channels();
    let data = pattern(5_000_000);
    thread::scope(|s| {
        let other = s.spawn(|| exchange(b, &data, 50_000));
        a.writer.write_all(&data).unwrap();
        a.writer.finish().unwrap();
        a.reader.drain().unwrap();
        a.reader.drain().unwrap();
        drop(a);
        assert!(other.join().unwrap() == data);
    });
}

#[test]
fn closing_frees_both_halves() {
    let (mut a, b) = channels();
    let closer = a.closer.clone();
    thread::scope(|s| {
        let reader = s.spawn(move || a.reader.read(&mut [0]));
        let writer = s.spawn(move || {
            loop {
                // Nobody reads, so it blocks soon.
                if let Err(e) = a.writer.write_all(&[0; 100_000]) {
                    break e;
                }
            }
        });
        thread::sleep(Duration::from_millis(200));
        assert!(!reader.is_finished() && !writer.is_finished());
        closer.close();
        assert!(reader.join().unwrap().is_err());
        writer.join().unwrap();
    });
    drop(b);
}

#[test]
fn both_count_what_goes_over_the_wire() {
    let (mut a, mut b) = channels();
    let (at_a, at_b) = (Arc::new(Counters::default()), Arc::new(Counters::default()));
    a.carry(at_a.clone());
    b.carry(at_b.clone());
    exchange_both(a, b, &pattern(100_000), 1_000);
    let n = Counters::get(&at_a.bytes_wire);
    // Seven records each way, and the close.
    assert_eq!(n, 2 * (100_000 + 7 * 22 + 24));
    assert_eq!(Counters::get(&at_b.bytes_wire), n);
}

/// A machine between two peers that changes one bit of what the dialer sends.
struct Meddler {
    passed: AtomicUsize,
    target: AtomicUsize,
}

impl Meddler {
    /// Changes a bit of the byte `n` bytes from here.
    fn aim(&self, n: usize) {
        let target = self.passed.load(Ordering::SeqCst) + n;
        self.target.store(target, Ordering::SeqCst);
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buf = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut buf) {
            let first = self.passed.fetch_add(len, Ordering::SeqCst);
            let target = self.target.load(Ordering::SeqCst);
            if (first..first + len).contains(&target) {
                buf[target - first] ^= 4;
            }
            if to.write_all(&buf[..len]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

fn with_meddler(test: impl FnOnce(TcpStream, TcpStream, &Meddler)) {
    let ((dialer, mut left), (mut right, listener)) = (sockets(), sockets());
    let meddler = Meddler {
        passed: AtomicUsize::new(0),
        target: AtomicUsize::new(usize::MAX),
    };
    thread::scope(|s| {
        let ends = (left.try_clone().unwrap(), right.try_clone().unwrap());
        s.spawn(|| meddler.pass(ends.0, ends.1));
        s.spawn(move || {
            let _ = io::copy(&mut right, &mut left);
            let _ = left.shutdown(Shutdown::Write);
        });
        test(dialer, listener, &meddler);
    });
}

#[test]
fn a_changed_bit_never_gets_through() {
    let (one, two) = (tls(), tls());
    for n in 0..26 {
        with_meddler(|dialer, listener, meddler| {
            let [a, b] = joined(dialer, listener, [&one, &two]);
            let (mut a, mut b) = (a.unwrap(), b.unwrap());
            meddler.aim(n);
            a.writer.write_all(b"data").unwrap();
            a.writer.flush().unwrap();
            drop(a);
            let mut got = Vec::new();
            let e = b.reader.read_to_end(&mut got).unwrap_err();
            // If the length was increased, the reader waits for the rest until the stream ends.
            let kinds = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
            assert!(kinds.contains(&e.kind()), "{n}: {e}");
            assert!(got.is_empty());
        });
    }
}

#[test]
fn a_changed_hello_makes_no_channel() {
    let (one, two) = (tls(), tls());
    let deadline = Duration::from_millis(500);
    // After the preamble and the headers of record and message.
    for n in (25..225).step_by(19) {
        with_meddler(|dialer, listener, meddler| {
            meddler.aim(n);
            thread::scope(|s| {
                let accepted = s.spawn(|| two.accept(listener, deadline).is_ok());
                let connected = one.connect(dialer, deadline);
                assert!(connected.is_err(), "{n}");
                drop(connected);
                assert!(!accepted.join().unwrap(), "{n}");
            });
        });
    }
}

/// The result of accepting a connection from a peer that behaves like this, and how long it takes.
fn accepted_from(
    deadline: Duration,
    peer: impl FnOnce(TcpStream) + Send,
) -> (Result<Channel, Error>, Duration) {
    let (dialer, listener) = sockets();
    thread::scope(|s| {
        s.spawn(move || peer(dialer));
        let start = Instant::now();
        (tls().accept(listener, deadline), start.elapsed())
    })
}

/// The same for connecting.
fn connected_to(
    deadline: Duration,
    peer: impl FnOnce(TcpStream) + Send,
) -> (Result<Channel, Error>, Duration) {
    let (dialer, listener) = sockets();
    thread::scope(|s| {
        s.spawn(move || peer(listener));
        let start = Instant::now();
        (tls().connect(dialer, deadline), start.elapsed())
    })
}

/// Waits until the other side has gone.
fn linger(mut stream: TcpStream) {
    let _ = io::copy(&mut stream, &mut io::sink());
}

#[test]
fn what_is_no_xfer_is_named_at_once() {
    let sayings: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x89XFES\r\n\x1a\x01\x00\x00\x00\x00\x00\x00\x00",
    ];
    for saying in sayings {
        let peer = |mut stream: TcpStream| {
            stream.write_all(saying).unwrap();
            linger(stream);
        };
        for (got, took) in [accepted_from(DEADLINE, peer), connected_to(DEADLINE, peer)] {
            assert!(matches!(got, Err(Error::NotXfer { .. })), "{got:?}");
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
    }
    // A peer that closes without sending anything could be anything.
    let peer = |mut stream: TcpStream| drop(stream.read_exact(&mut [0; 16]));
    for (got, took) in [accepted_from(DEADLINE, peer), connected_to(DEADLINE, peer)] {
        assert!(matches!(got, Err(Error::Mute { .. })), "{got:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

#[test]
fn silence_and_a_slow_preamble_are_not_waited_for() {
    let trickle = |mut stream: TcpStream| {
        for byte in Preamble::OURS.encode() {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(300));
        }
    };
    for (mute, (got, took)) in [
        (true, accepted_from(DEADLINE, linger)),
        (true, connected_to(DEADLINE, linger)),
        (false, accepted_from(DEADLINE, trickle)),
    ] {
        let is_named = match mute {
            true => matches!(got, Err(Error::Mute { .. })),
            false => matches!(got, Err(Error::NotXfer { .. })),
        };
        assert!(is_named, "{got:?}");
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
}

#[test]
fn another_version_is_named() {
    let peer = |mut stream: TcpStream| {
        let preamble = Preamble {
            version: 2,
            features: 0,
        };
        stream.write_all(&preamble.encode()).unwrap();
        linger(stream);
    };
    for (got, took) in [accepted_from(DEADLINE, peer), connected_to(DEADLINE, peer)] {
        let Err(Error::Version { theirs, ours, .. }) = got else {
            unreachable!("{got:?}");
        };
        assert_eq!((theirs, ours), (2, 1));
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

#[test]
fn a_handshake_that_fails_is_told_from_one_that_stalls_and_one_that_breaks() {
    let greet = |mut stream: &TcpStream| stream.write_all(&Preamble::OURS.encode()).unwrap();
    let short = Duration::from_millis(700);

    let garbage = |stream: TcpStream| {
        greet(&stream);
        let _ = (&stream).write_all(&pattern(1_000));
        linger(stream);
    };
    for (got, _) in [
        accepted_from(DEADLINE, garbage),
        connected_to(DEADLINE, garbage),
    ] {
        assert!(matches!(got, Err(Error::Handshake { .. })), "{got:?}");
    }

    let trickle = |stream: TcpStream| {
        greet(&stream);
        for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
            .iter()
            .cycle()
        {
            if (&stream).write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    };
    let silent = |stream: TcpStream| {
        greet(&stream);
        linger(stream);
    };
    for (got, took) in [
        accepted_from(short, trickle),
        connected_to(short, trickle),
        accepted_from(short, silent),
        connected_to(short, silent),
    ] {
        assert!(matches!(got, Err(Error::Silent { .. })), "{got:?}");
        assert!(took < short * 3, "{took:?}");
    }

    let gone = |mut stream: TcpStream| {
        greet(&stream);
        drop(stream.read_exact(&mut [0; 16]));
    };
    for (got, _) in [accepted_from(DEADLINE, gone), connected_to(DEADLINE, gone)] {
        assert!(matches!(got, Err(Error::Lost { .. })), "{got:?}");
    }

    let endless = |stream: TcpStream| {
        greet(&stream);
        // The start of a 64 kB message, in records of one byte.
        let _ = (&stream).write_all(b"\x16\x03\x01\x00\x04\x01\x00\xff\xff");
        while (&stream)
            .write_all(&b"\x16\x03\x01\x00\x01x".repeat(100))
            .is_ok()
        {}
    };
    let (got, _) = accepted_from(DEADLINE, endless);
    assert!(matches!(got, Err(Error::Handshake { .. })), "{got:?}");
}

#[test]
fn whoever_shows_a_key_must_have_it() {
    let victim = identity();
    let impostor = Tls::new(&victim.impostor()).unwrap();
    let (dialer, listener) = sockets();
    let [_, accepted] = joined(dialer, listener, [&impostor, &tls()]);
    assert!(matches!(accepted, Err(Error::Handshake { .. })));
    let (dialer, listener) = sockets();
    let [connected, accepted] = joined(dialer, listener, [&tls(), &impostor]);
    assert!(matches!(connected, Err(Error::Handshake { .. })));
    assert!(accepted.is_err());
}

/// Each cipher alone, so that both are used whatever this machine prefers.
fn providers() -> impl Iterator<Item = Arc<CryptoProvider>> {
    provider().cipher_suites.clone().into_iter().map(|suite| {
        Arc::new(CryptoProvider {
            cipher_suites: vec![suite],
            ..(*provider()).clone()
        })
    })
}

/// Sends data to a channel that echoes it, changes keys and asks for new ones, then closes.
fn talk<S>(mut tls: impl std::ops::DerefMut<Target = rustls::ConnectionCommon<S>>, tcp: TcpStream)
where
    S: rustls::SideData,
{
    let mut tcp = tcp;
    tcp.write_all(&Preamble::OURS.encode()).unwrap();
    tcp.read_exact(&mut [0; 16]).unwrap();
    let data = pattern(100_000);
    for _ in 0..4 {
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        stream.write_all(&data).unwrap();
        stream.flush().unwrap();
        let mut got = vec![0; data.len()];
        stream.read_exact(&mut got).unwrap();
        assert!(got == data);
        tls.refresh_traffic_keys().unwrap();
    }
    tls.send_close_notify();
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    stream.flush().unwrap();
    // Only an orderly end reads as the end.
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

fn echo(mut channel: Channel) {
    let mut buf = [0; 10_000];
    loop {
        let len = channel.reader.read(&mut buf).unwrap();
        if len == 0 {
            return channel.writer.finish().unwrap();
        }
        channel.writer.write_all(&buf[..len]).unwrap();
        channel.writer.flush().unwrap();
    }
}

#[test]
fn it_is_plain_tls_to_an_ordinary_client_and_server() {
    for provider in providers() {
        let (dialer, listener) = sockets();
        thread::scope(|s| {
            s.spawn(|| echo(tls().accept(listener, DEADLINE).unwrap()));
            let config = client_config(&identity(), provider.clone()).unwrap();
            let name = "anything".try_into().unwrap();
            talk(ClientConnection::new(config.into(), name).unwrap(), dialer);
        });
        let (dialer, listener) = sockets();
        thread::scope(|s| {
            s.spawn(|| echo(tls().connect(dialer, DEADLINE).unwrap()));
            let config = server_config(&identity(), provider).unwrap();
            talk(ServerConnection::new(config.into()).unwrap(), listener);
        });
    }
}

#[test]
fn what_comes_right_behind_the_handshake_is_kept() {
    for len in [1, 20_000, 1_000_000] {
        let (dialer, listener) = sockets();
        let data = pattern(len);
        thread::scope(|s| {
            s.spawn(|| {
                let mut a = tls().connect(dialer, DEADLINE).unwrap();
                a.writer.write_all(&data).unwrap();
                a.writer.finish().unwrap();
                a.reader.drain().unwrap();
            });
            // Everything has arrived before the listener begins to read.
            let mut b = with_delayed_reads(listener);
            let mut got = Vec::new();
            b.reader.read_to_end(&mut got).unwrap();
            b.writer.finish().unwrap();
            assert!(got == data);
        });
    }
}

/// Accepts through a relay that passes the dialer's Finished on together with what follows it.
fn with_delayed_reads(listener: TcpStream) -> Channel {
    let (near, far) = sockets();
    let (mut from, mut to) = (listener.try_clone().unwrap(), near.try_clone().unwrap());
    thread::spawn(move || {
        let mut buf = vec![0; 1 << 20];
        while let Ok(len @ 1..) = from.read(&mut buf) {
            to.write_all(&buf[..len]).unwrap();
            thread::sleep(Duration::from_millis(50));
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (near, listener);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    tls().accept(far, DEADLINE).unwrap()
}

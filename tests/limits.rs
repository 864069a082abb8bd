//! A network that wants to hold a receiver up: floods of connections, peers that drip, linger, or
//! make it remember too much. Real transfers run to their end meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::*;
use xfer::model::digest::Algorithm;
use xfer::model::entry::{Entry, Extra, FileSize, Kind, Mode, Time};
use xfer::model::outcome::{Outcome, Role, Why};
use xfer::model::reason::Limit;
use xfer::model::relpath::RelPath;
use xfer::model::text::Text;
use xfer::net::{Channel, Identity, Tls};
use xfer::wire::{
    Accept, DirEnd, End, Entries, Frame, Hello, Join, Message, Offer, Preamble, Scanned, Skipped,
    read_frame, write_message,
};

/// How many of the receiver's threads may belong to those who were not let in.
const MAX_THREADS: u64 = 300;
/// The most memory that a flood may make the receiver take, in bytes.
const MAX_MEMORY: u64 = 160 << 20;
/// How long the program gives a peer that has to say something before a session, twice over: the
/// handshake and a message have 10 s each.
const SOON: Duration = Duration::from_secs(60);

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What the system says of a process: a number behind a word in its status.
fn status(process: &Process, word: &str) -> u64 {
    let pid = process.pid().as_raw_nonzero();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix(word)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Waits until a process has no more threads than this. Nothing says when that is, so it looks.
#[track_caller]
fn wait_for_threads(process: &Process, most: u64) {
    let end = Instant::now() + SOON;
    while status(process, "Threads:") > most {
        assert!(Instant::now() < end, "threads stay");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Somebody who speaks the protocol, and keeps to it as long as it likes.
struct Peer {
    channel: Channel,
    buffer: Vec<u8>,
}

impl Peer {
    /// Connects with my key, from where the receiver is: so it is let in.
    fn dial(sandbox: &Sandbox, addr: SocketAddr) -> Self {
        let dir = sandbox.me().home().join(".config/xfer");
        Self::with(&Identity::load_or_create(&dir).unwrap(), addr)
    }

    fn with(identity: &Identity, addr: SocketAddr) -> Self {
        let tls = Tls::new(identity).unwrap();
        let channel = tls.connect(TcpStream::connect(addr).unwrap(), PATIENCE);
        let mut channel = channel.unwrap();
        channel.reader.set_timeout(Some(PATIENCE)).unwrap();
        channel.writer.set_timeout(Some(PATIENCE)).unwrap();
        Self {
            channel,
            buffer: Vec::new(),
        }
    }

    /// Says something; an error where nobody listens any more.
    fn say(&mut self, message: &Message) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        write_message(message, &mut bytes).unwrap();
        self.channel.writer.write_all(&bytes)?;
        self.channel.writer.flush()
    }

    fn hear(&mut self) -> Option<Message> {
        match read_frame(&mut self.channel.reader, &mut self.buffer) {
            Ok(Frame::Message(message)) => Some(message),
            _ => None,
        }
    }

    fn hello(&mut self) {
        let preambles = self.channel.preambles;
        self.say(&Message::Hello(Hello {
            preambles,
            role: Role::Sender,
            name: Text::new("somebody"),
            open: false,
            prefers: Algorithm::Blake3,
            known: false,
            asks: false,
        }))
        .unwrap();
    }

    /// Asks for a session; gives what the receiver answers.
    fn offer(&mut self, lanes: u16) -> Option<Message> {
        self.hello();
        assert!(matches!(self.hear(), Some(Message::Hello(_))));
        self.say(&Message::Offer(Offer {
            algorithm: Algorithm::Blake3,
            chunk_size: xfer::model::digest::CHUNK_SIZE,
            lanes,
            wish: xfer::model::outcome::Wish::default(),
            contents: None,
        }))
        .unwrap();
        self.hear()
    }

    /// Begins a session.
    #[track_caller]
    fn begin(&mut self) -> Accept {
        match self.offer(1) {
            Some(Message::Accept(accept)) => accept,
            other => panic!("no session: {other:?}"),
        }
    }

    /// Ends a session of nothing, and hears the summary.
    fn end(&mut self) {
        let complete = Scanned {
            entries: 0,
            bytes: 0,
            complete: true,
        };
        self.say(&Message::Scanned(complete)).unwrap();
        let end = End {
            entries: 0,
            unannounced: 0,
        };
        self.say(&Message::End(end)).unwrap();
        while !matches!(self.hear().unwrap(), Message::Summary(_)) {}
    }

    /// Whether the receiver ends the connection; it has said everything then.
    fn is_closed(&mut self) -> bool {
        let end = self.channel.reader.drain();
        !matches!(end, Err(e) if e.kind() == ErrorKind::TimedOut)
    }

    fn join(sandbox: &Sandbox, addr: SocketAddr, accept: &Accept) -> Self {
        let mut lane = Self::dial(sandbox, addr);
        let (preambles, secret) = (lane.channel.preambles, accept.secret);
        lane.say(&Message::Join(Join { preambles, secret }))
            .unwrap();
        assert!(matches!(lane.hear(), Some(Message::Joined(_))));
        lane
    }
}

/// Says when it is dropped, so also where a test fails, that it is over.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Connections that say nothing, or the beginning of something.
fn idle(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    let preamble = Preamble::OURS.encode();
    (0..count)
        .map(|n| {
            let mut stream = connect(addr);
            // It may have been closed to make room.
            let _ = stream.write_all(&preamble[..n % (preamble.len() + 1)]);
            stream
        })
        .collect()
}

#[test]
fn a_transfer_runs_to_its_end_through_a_flood() {
    let sandbox = Sandbox::in_memory();
    let recv = sandbox.recv();
    make_file(sandbox.src().join("large"), 1, 256 * CHUNK);
    for n in 0..200 {
        make_file(sandbox.src().join(format!("small-{n}")), n, 100_000);
    }
    let addr = recv.addr();
    let _idle = idle(addr, 1000);
    let over = AtomicBool::new(false);
    let most_threads = thread::scope(|scope| {
        // A byte a second each, and whoever is turned away comes again.
        scope.spawn(|| {
            let mut trickling = idle(addr, 100);
            let mut at = 0;
            while !over.load(Ordering::Acquire) {
                let hello = [
                    &Preamble::OURS.encode(),
                    b"\x16\x03\x01\x02\x00\x01\x00".as_slice(),
                ];
                let byte = hello.concat()[at % 23];
                at += 1;
                for stream in &mut trickling {
                    if stream.write_all(&[byte]).is_err() {
                        *stream = connect(addr);
                    }
                }
                thread::sleep(Duration::from_millis(1000));
            }
        });
        let watched = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Acquire) {
                most = most.max(status(recv.process(), "Threads:"));
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let until = Until(&over);
        sandbox.send(&[], &recv.target()).assert_code(0);
        drop(until);
        watched.join().unwrap()
    });
    assert_same_tree(sandbox.src(), sandbox.dst());
    assert!(most_threads <= MAX_THREADS, "{most_threads} threads");
    let memory = recv.process().peak_memory().unwrap();
    assert!(memory <= MAX_MEMORY, "{memory} bytes");
    recv.interrupt().assert_code(0);
}

#[test]
fn a_flood_that_goes_on_shuts_nobody_out() {
    let sandbox = Sandbox::in_memory();
    let recv = sandbox.recv();
    make_file(sandbox.src().join("file"), 1, 20 * CHUNK);
    let (addr, over) = (recv.addr(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut held = Vec::new();
            while !over.load(Ordering::Acquire) {
                held.push(connect(addr));
                if held.len() > 500 {
                    held.remove(0);
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        let _until = Until(&over);
        for _ in 0..5 {
            sandbox.send(&[], &recv.target()).assert_code(0);
        }
    });
    assert_same_tree(sandbox.src(), sandbox.dst());
}

/// The same command, with so many descriptors.
fn with_descriptors(count: usize, command: &Command) -> Command {
    let limit = format!("ulimit -n {count}; exec \"$@\"");
    run_by("sh", &["-c", &limit, "sh"].map(AsRef::as_ref), command)
}

#[test]
fn many_files_at_once_need_few_descriptors() {
    let sandbox = Sandbox::in_memory();
    let command = sandbox.me().recv_command(&sandbox.dst(), &[]);
    let recv = Recv::start(with_descriptors(80, &command));
    let tree = sandbox.src().join("tree");
    let make = |seed: u64| {
        for n in 0..600 {
            make_file(tree.join(format!("small/{}/{n}", n / 3)), seed + n, 4000);
        }
        for n in 0..100 {
            let path = tree.join(format!("large/{n}"));
            make_file(&path, seed + n, 10);
            // Nothing but zeros: these are sent much faster than they are stored.
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(CHUNK + 10 + seed).unwrap();
        }
    };
    let send = |args: &[&str]| {
        let target = recv.target();
        let args = [args, &[tree.to_str().unwrap(), &target]].concat();
        let mut command = sandbox.me().command(&["send"]);
        command.args(args);
        let command = with_descriptors(80, &command);
        Process::spawn(command).wait().assert_code(0);
        assert_same_tree(sandbox.src(), sandbox.dst());
    };
    make(0);
    send(&[]);
    // What is held of all these is hashed long before any of them is sent.
    make(10_000);
    send(&["--update", "--limit", "2MB/s"]);
}

#[test]
fn deep_trees_and_many_paths_need_few_descriptors() {
    const LEVELS: u64 = 300;
    let sandbox = Sandbox::in_memory();
    let deep = sandbox.src().join("deep");
    let mut path = deep.clone();
    for level in 0..LEVELS {
        // On the way in, and on the way back.
        make_file(path.join("a"), level, 20);
        make_file(path.join("z"), level, CHUNK / 100 + level);
        path.push("d");
    }
    let mut paths = vec![deep.clone()];
    for n in 0..LEVELS {
        let path = sandbox.path(&format!("many/{n}/file {n}"));
        make_file(&path, n, 30);
        paths.push(path);
    }
    let recv = sandbox.recv();
    let mut command = sandbox.me().command(&["send"]);
    command.args(&paths).arg(recv.target());
    let sent = Process::spawn(with_descriptors(80, &command)).wait();
    sent.assert_code(0);
    assert_same_tree(&deep, sandbox.dst().join("deep"));
    for path in &paths[1..] {
        let stored = sandbox.dst().join(path.file_name().unwrap());
        assert_eq!(digest_of(&stored), digest_of(path));
    }
}

#[test]
fn few_descriptors_are_enough_to_go_on() {
    let sandbox = Sandbox::new();
    let recv = Recv::start(with_descriptors(
        64,
        &sandbox.me().recv_command(&sandbox.dst(), &[]),
    ));
    make_file(sandbox.src().join("file"), 1, 5 * CHUNK);
    let _idle = idle(recv.addr(), 500);
    sandbox.send(&[], &recv.target()).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
}

#[test]
fn a_first_message_that_drips_is_cut_off() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let mut peer = Peer::dial(&sandbox, recv.addr());
    // A frame of a later version, which is skipped: as long as it may be.
    let frame = [&[0, 0x80, 0, 0, 0, 0x10, 0, 0], [0; 4096].as_slice()].concat();
    let begun = Instant::now();
    for byte in frame {
        let sent = peer.channel.writer.write_all(&[byte]);
        if sent.and_then(|()| peer.channel.writer.flush()).is_err() {
            break;
        }
        assert!(begun.elapsed() < SOON, "it is still being listened to");
        thread::sleep(Duration::from_millis(300));
    }
    recv.process().wait_for_text("has not responded for 10 s");
}

#[test]
fn a_control_connection_that_drips_is_silent() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let mut peer = Peer::dial(&sandbox, recv.addr());
    peer.begin();
    let begun = Instant::now();
    // The beginning of a frame that takes for ever to come.
    for byte in [0x20, 0, 0, 0, 0, 0, 4, 0]
        .into_iter()
        .chain(std::iter::repeat(0))
    {
        let sent = peer.channel.writer.write_all(&[byte]);
        if sent.and_then(|()| peer.channel.writer.flush()).is_err() {
            break;
        }
        assert!(begun.elapsed() < SOON, "it is still being listened to");
        thread::sleep(Duration::from_millis(500));
    }
    recv.process().wait_for_text("has not responded for 30 s");
}

#[test]
fn pings_behind_the_summary_do_not_keep_a_session() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--once"]);
    let mut peer = Peer::dial(&sandbox, recv.addr());
    peer.begin();
    peer.end();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) && peer.say(&Message::Ping(())).is_ok() {
                thread::sleep(Duration::from_secs(1));
            }
        });
        // All was stored: that the peer would not go is no failure.
        let _until = Until(&over);
        recv.wait().assert_code(0);
    });
}

#[test]
fn a_lane_ends_with_its_session() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let threads = status(recv.process(), "Threads:");
    for failing in [false, true] {
        let mut peer = Peer::dial(&sandbox, recv.addr());
        let accept = peer.begin();
        let mut silent = Peer::join(&sandbox, recv.addr(), &accept);
        if failing {
            peer.say(&Message::Join(Join {
                preambles: peer.channel.preambles,
                secret: accept.secret,
            }))
            .unwrap();
        } else {
            // As if all lanes had ended.
            peer.end();
        }
        peer.channel.writer.finish().unwrap();
        assert!(peer.is_closed());
        assert!(silent.is_closed(), "the lane outlives its session");
    }
    wait_for_threads(recv.process(), threads);
}

#[test]
fn whoever_is_declined_and_lingers_holds_nothing_up() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--max-sessions", "1"]);
    let mut first = Peer::dial(&sandbox, recv.addr());
    first.begin();
    let threads = status(recv.process(), "Threads:");
    // Half of them ask for what there is not, half come too late.
    let mut declined: Vec<Peer> = (0..20)
        .map(|n| {
            let mut peer = Peer::dial(&sandbox, recv.addr());
            let answer = peer.offer(n % 2);
            assert!(matches!(answer, Some(Message::Declined(_))), "{answer:?}");
            peer
        })
        .collect();
    // Strangers are declined before that, and linger, too.
    let stranger = Identity::generate().unwrap();
    declined.extend((0..20).map(|_| {
        let mut peer = Peer::with(&stranger, recv.addr());
        peer.hello();
        assert!(matches!(peer.hear(), Some(Message::Hello(_))));
        assert!(matches!(peer.hear(), Some(Message::Declined(_))));
        peer
    }));
    // They never end their side, but they are not waited for: neither by a thread of their own,
    // nor by the end of the program.
    wait_for_threads(recv.process(), threads);
    first.channel.writer.finish().unwrap();
    assert!(first.is_closed());
    recv.interrupt().assert_code(0);
    drop(declined);
}

#[test]
fn the_first_interrupt_is_enough_behind_a_summary() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let mut peer = Peer::dial(&sandbox, recv.addr());
    peer.begin();
    peer.end();
    let since = Instant::now();
    recv.interrupt().assert_code(0);
    // Half a minute is what a silent peer has otherwise.
    assert!(since.elapsed() < Duration::from_secs(20));
}

#[test]
fn sessions_without_end_leave_room_for_others() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let mut peers = Vec::new();
    let declined = loop {
        let mut peer = Peer::dial(&sandbox, recv.addr());
        match peer.offer(1) {
            Some(Message::Accept(_)) => peers.push(peer),
            other => break other,
        }
    };
    assert!(
        matches!(declined, Some(Message::Declined(_))),
        "{declined:?}"
    );
    assert_eq!(peers.len(), 32);
    // One of them ends, and its place is another's.
    peers.pop().unwrap().channel.closer.close();
    make_file(sandbox.src().join("file"), 1, 3 * CHUNK);
    let end = Instant::now() + PATIENCE;
    while sandbox.send(&[], &recv.target()).code != Some(0) {
        assert!(Instant::now() < end, "its place is not given back");
    }
    assert_same_tree(sandbox.src(), sandbox.dst());
}

/// An entry with as much in it that no receiver knows as there may be beside its path.
fn entry(id: u64, path: &str, kind: Kind) -> Entry {
    let extra = Extra {
        tag: 0xfff0,
        value: vec![0; 4096],
    };
    Entry {
        id,
        path: RelPath::new(path).unwrap(),
        kind,
        mtime: Time::from_seconds(0),
        mode: Mode::try_from(0o755).unwrap(),
        extras: vec![extra],
    }
}

#[test]
fn long_names_fail_before_they_fill_the_memory() {
    let sandbox = Sandbox::in_memory();
    let recv = sandbox.recv();
    let mut peer = Peer::dial(&sandbox, recv.addr());
    peer.begin();
    let size = FileSize::try_from(1).unwrap();
    let (mut folder, mut id) = (String::new(), 0);
    let mut announce = |peer: &mut Peer, path: &str, kind: Kind| {
        let list = vec![entry(id, path, kind)];
        id += 1;
        peer.say(&Message::Entries(Entries(list))).unwrap();
    };
    while folder.len() < 30_000 {
        folder.push_str(&"d".repeat(250));
        announce(&mut peer, &folder, Kind::Dir);
        folder.push('/');
    }
    // A quarter of a gigabyte of names, none of which ever gets its bytes.
    let files = 8000;
    for n in 0..files {
        announce(&mut peer, &format!("{folder}{n:05}"), Kind::File { size });
    }
    let mut failed = 0;
    let mut wanted = 0;
    while failed + wanted < files {
        match peer.hear().unwrap() {
            Message::Wants(wants) => wanted += wants.0.len(),
            Message::Outcomes(outcomes) => {
                let full = Outcome::Failed(Why::Limit(Limit::Names));
                failed += outcomes.0.iter().filter(|o| o.outcome == full).count();
            }
            _ => {}
        }
    }
    assert!(wanted > 1000, "{wanted} were wanted");
    let memory = recv.process().peak_memory().unwrap();
    assert!(memory <= 120 << 20, "{memory} bytes");
    // Nobody else notices.
    make_file(sandbox.src().join("file"), 1, 3 * CHUNK);
    sandbox.send(&[], &recv.target()).assert_code(0);
}

/// Announces files, and skips each with as many words as there may be, which come back with its
/// outcome.
fn skip(peer: &mut Peer, ids: std::ops::Range<u64>) -> std::io::Result<()> {
    let size = FileSize::try_from(1).unwrap();
    let mut bytes = Vec::new();
    for id in ids {
        let mut entry = entry(id, &format!("{id:09}"), Kind::File { size });
        entry.extras.clear();
        let why = Why::UnreadableText(Text::new("x".repeat(1024)));
        write_message(&Message::Entries(Entries(vec![entry])), &mut bytes).unwrap();
        write_message(&Message::Skipped(Skipped { entry: id, why }), &mut bytes).unwrap();
    }
    peer.channel.writer.write_all(&bytes)?;
    peer.channel.writer.flush()
}

/// Announces a folder.
fn folder(peer: &mut Peer, id: u64) -> std::io::Result<()> {
    let mut entry = entry(id, &format!("{id:09}"), Kind::Dir);
    entry.extras.clear();
    peer.say(&Message::Entries(Entries(vec![entry])))?;
    let (entry, complete) = (id, true);
    peer.say(&Message::DirEnd(DirEnd { entry, complete }))
}

/// Whether a folder comes to be, within a time that is long for that.
fn appears(folder: &Path) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    while !folder.exists() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

#[test]
fn a_sender_that_does_not_listen_is_not_listened_to() {
    const BATCH: u64 = 4000;
    let sandbox = Sandbox::in_memory();
    let recv = sandbox.recv();
    let mut peer = Peer::dial(&sandbox, recv.addr());
    peer.begin();
    // Less than the receiver gives a peer that does not read.
    let timeout = Some(Duration::from_secs(5));
    peer.channel.writer.set_timeout(timeout).unwrap();
    let mut listens = true;
    let error = (0..25).find_map(|batch| {
        let first = batch * (BATCH + 1);
        let last = first + BATCH;
        let said = skip(&mut peer, first..last).and_then(|()| folder(&mut peer, last));
        // All before that folder has its outcome, so that the window is not what ends it.
        listens = listens && appears(&sandbox.dst().join(format!("{last:09}")));
        said.err()
    });
    let error = error.expect("a hundred thousand outcomes wait for nobody");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let memory = recv.process().peak_memory().unwrap();
    assert!(memory <= 80 << 20, "{memory} bytes");
}

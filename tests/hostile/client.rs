//! Peers that speak the real protocol after a real handshake, and can say anything in it.
//!
//! Must not check what is said: entries are made of plain bytes and numbers, so that they can be
//! what no honest peer could make.

#![allow(dead_code, unreachable_pub)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use xfer::model::digest::{Algorithm, CHUNK_SIZE, Digest, chunk_digest};
use xfer::model::entry::EntryId;
use xfer::model::outcome::{Outcome, Role, Summary, Wish};
use xfer::model::relpath::RelPath;
use xfer::net::{Channel, Identity, Known, Peers, Tls};
use xfer::wire::*;

use crate::support::*;

/// How long an answer may take. A receiver that does not answer at all still pings, so that only
/// this ends a test which waits for what never comes.
const ANSWER: Duration = Duration::from_secs(30);

/// Somebody who attacks.
pub struct Who {
    tls: Tls,
    open: bool,
    known: bool,
    name: &'static str,
    /// What it would like done with what is there.
    pub wish: Wish,
}

impl Who {
    /// A machine that was paired with the receiver's user, and has gone bad.
    pub fn paired(sandbox: &Sandbox) -> Self {
        let identity = Identity::generate().unwrap();
        let peers = Peers::in_dir(&sandbox.me().home().join(".local/share/xfer"));
        let add = |all: &mut Vec<Known>| {
            let name = match all.iter().any(|known| known.name == "judas") {
                true => format!("judas {}", all.len()),
                false => "judas".to_owned(),
            };
            let mut known = Known::new(&name, identity.fingerprint());
            known.may_send = true;
            all.push(known);
            Ok(())
        };
        peers.update(add).unwrap();
        Self {
            known: true,
            name: "judas",
            ..Self::with(&identity, false)
        }
    }

    /// The same, which may send messages here, too.
    pub fn talking(sandbox: &Sandbox) -> Self {
        let who = Self::paired(sandbox);
        let peers = Peers::in_dir(&sandbox.me().home().join(".local/share/xfer"));
        let grant = |all: &mut Vec<Known>| {
            all.iter_mut().for_each(|known| known.may_message = true);
            Ok(())
        };
        peers.update(grant).unwrap();
        who
    }

    /// A machine that may fetch what the user shares, and nothing else.
    pub fn fetching(sandbox: &Sandbox) -> Self {
        let who = Self::paired(sandbox);
        let peers = Peers::in_dir(&sandbox.me().home().join(".local/share/xfer"));
        let grant = |all: &mut Vec<Known>| {
            for known in all {
                (known.may_send, known.may_fetch) = (false, true);
            }
            Ok(())
        };
        peers.update(grant).unwrap();
        who
    }

    /// The same with an xfer that has these features alone.
    pub fn of_before(self, features: Features) -> Self {
        let tls = self.tls.with_features(features);
        Self { tls, ..self }
    }

    /// The receiver's own user, on the same machine: let in, and gone bad.
    pub fn let_in(sandbox: &Sandbox) -> Self {
        let home = sandbox.me().home().join(".config/xfer");
        Self::with(&Identity::load_or_create(&home).unwrap(), false)
    }

    /// Somebody whom nobody knows.
    pub fn stranger() -> Self {
        Self::with(&Identity::generate().unwrap(), false)
    }

    /// The same, who comes as someone open to all: `recv --open` lets it in, others do not.
    pub fn open_stranger() -> Self {
        Self::with(&Identity::generate().unwrap(), true)
    }

    fn with(identity: &Identity, open: bool) -> Self {
        let tls = Tls::new(identity).unwrap();
        Self {
            tls,
            open,
            known: false,
            name: "mallory",
            wish: Wish::default(),
        }
    }

    /// Connects.
    pub fn dial(&self, addr: SocketAddr) -> Line {
        let stream = TcpStream::connect(addr).unwrap();
        Line::new(self.tls.connect(stream, ANSWER).unwrap())
    }

    /// Connects by a socket that takes in next to nothing.
    pub fn dial_narrow(&self, addr: SocketAddr) -> Line {
        use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
        connect(&socket, &addr).unwrap();
        Line::new(self.tls.connect(TcpStream::from(socket), ANSWER).unwrap())
    }

    /// Connects from an address of this machine.
    pub fn dial_from(&self, from: IpAddr, addr: SocketAddr) -> Line {
        self.try_dial_from(from, addr).unwrap()
    }

    /// The same, where it may be turned away.
    pub fn try_dial_from(&self, from: IpAddr, addr: SocketAddr) -> Option<Line> {
        let channel = self.tls.connect(connect_from(from, addr), ANSWER);
        channel.ok().map(Line::new)
    }

    /// Answers whoever connects next.
    pub fn accept(&self, listener: &TcpListener) -> Line {
        let (stream, _) = listener.accept().unwrap();
        Line::new(self.tls.accept(stream, ANSWER).unwrap())
    }

    /// What it says of itself.
    pub fn hello(&self, line: &Line, role: Role) -> Message {
        self.hello_as(line, role, self.name)
    }

    pub fn hello_as(&self, line: &Line, role: Role, name: &str) -> Message {
        Message::Hello(Hello {
            preambles: line.channel.preambles,
            role,
            name: name.into(),
            open: self.open,
            prefers: Algorithm::Sha256,
            known: self.known,
            asks: false,
        })
    }
}

/// Connects from an address of this machine.
pub fn connect_from(from: IpAddr, addr: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let family = match addr {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket(family, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(from, 0)).unwrap();
    connect(&socket, &addr).unwrap();
    socket.into()
}

/// What it offers.
pub fn offer() -> Message {
    offer_with(Wish::default())
}

pub fn offer_with(wish: Wish) -> Message {
    offer_of(wish, 4)
}

pub fn offer_of(wish: Wish, lanes: u16) -> Message {
    Message::Offer(Offer {
        algorithm: Algorithm::Sha256,
        chunk_size: CHUNK_SIZE,
        lanes,
        wish,
        contents: None,
    })
}

/// What somebody asks for of what is shared.
pub fn fetch(paths: &[&str]) -> Message {
    let paths = paths.iter().map(|path| RelPath::new(*path).unwrap());
    Message::Fetch(Fetch {
        algorithm: Some(Algorithm::Sha256),
        lanes: 2,
        wish: Wish::default(),
        paths: paths.collect(),
        filter: FetchPatterns::default(),
        limit: None,
    })
}

/// A command to run.
pub fn run_command(name: &str, arguments: &[&[u8]]) -> Message {
    Message::RunCommand(RunCommand {
        name: name.into(),
        arguments: arguments.iter().map(|a| Argument(a.to_vec())).collect(),
    })
}

/// A connection after its handshake.
pub struct Line {
    pub channel: Channel,
    buffer: Vec<u8>,
    /// Whether it answers a ping with one of its own, as a sender that waits does.
    pub pings: bool,
}

impl Line {
    fn new(mut channel: Channel) -> Self {
        channel.reader.set_timeout(Some(ANSWER)).unwrap();
        channel.writer.set_timeout(Some(ANSWER)).unwrap();
        Self {
            channel,
            buffer: Vec::new(),
            pings: false,
        }
    }

    /// Says these bytes. The other side may have had enough at any of them.
    pub fn try_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.channel.writer.write_all(bytes)?;
        self.channel.writer.flush()
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        let _ = self.try_raw(bytes);
    }

    pub fn say(&mut self, message: &Message) {
        self.raw(&bytes_of(message));
    }

    /// Says what no type of the library could hold.
    pub fn say_as(&mut self, code: u16, payload: &impl Serialize) {
        self.raw(&frame(code, payload));
    }

    /// What comes next, pings and reports of progress aside; and what follows a chunk's header.
    pub fn try_hear(&mut self) -> Result<Frame, WireError> {
        let end = Instant::now() + ANSWER;
        loop {
            match read_frame(&mut self.channel.reader, &mut self.buffer)? {
                Frame::Message(message @ (Message::Ping(()) | Message::Verified(_))) => {
                    if self.pings && matches!(message, Message::Ping(())) {
                        self.say(&message);
                    }
                    if Instant::now() > end {
                        return Err(io::Error::from(io::ErrorKind::TimedOut).into());
                    }
                }
                other => return Ok(other),
            }
        }
    }

    /// The same, where an answer may take as long as all that wait before it.
    pub fn try_hear_for_long(&mut self) -> Result<Frame, WireError> {
        self.channel.reader.set_timeout(Some(PATIENCE)).unwrap();
        let heard = self.try_hear();
        self.channel.reader.set_timeout(Some(ANSWER)).unwrap();
        heard
    }

    #[track_caller]
    pub fn hear(&mut self) -> Message {
        match self.try_hear() {
            Ok(Frame::Message(message)) => message,
            other => panic!("no message, but {other:?}"),
        }
    }

    /// Why the other side ends it: its last words, whatever it says before.
    #[track_caller]
    pub fn hear_abort(&mut self) -> String {
        loop {
            match self.try_hear() {
                Ok(Frame::Message(Message::Abort(why))) => return why.to_string(),
                Ok(Frame::Message(Message::Summary(_))) => panic!("it ended well"),
                Ok(_) => {}
                Err(error) => panic!("no last words, but {error}"),
            }
        }
    }

    /// The other side hangs up without a word.
    #[track_caller]
    pub fn hear_hang_up(&mut self) {
        loop {
            match self.try_hear() {
                Ok(Frame::Message(Message::Abort(why))) => panic!("last words: {why}"),
                Ok(_) => {}
                Err(WireError::Io(e)) if e.kind() != io::ErrorKind::TimedOut => return,
                Err(error) => panic!("it goes on: {error}"),
            }
        }
    }

    /// Ends its own side in order, and reads to the other's end.
    pub fn close(mut self) {
        let _ = self.channel.writer.finish();
        while read_frame(&mut self.channel.reader, &mut self.buffer).is_ok() {}
    }
}

/// The frame of a message.
pub fn bytes_of(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_message(message, &mut bytes).unwrap();
    bytes
}

/// A frame of this type, whatever is in it.
pub fn frame(code: u16, payload: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(payload, &mut bytes).unwrap();
    frame_of(code, &bytes)
}

pub fn frame_of(code: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [
        &code.to_le_bytes()[..],
        &[0, 0],
        &length.to_le_bytes(),
        payload,
    ]
    .concat()
}

/// The type of the frames that carry entries.
pub const ENTRIES: u16 = 0x20;

/// An entry as it is on the wire, with nothing checked.
#[derive(Debug, Clone, Serialize)]
pub struct RawEntry {
    pub id: EntryId,
    pub path: Vec<u8>,
    pub kind: RawKind,
    pub mtime: (i64, u32),
    pub mode: u32,
    pub extras: Vec<(u16, Vec<u8>)>,
}

#[derive(Debug, Clone, Serialize)]
pub enum RawKind {
    File { size: u64 },
    Dir,
    Symlink { target: Vec<u8> },
    Stream,
}

/// An ordinary time.
pub const TIME: (i64, u32) = (1_600_000_000, 123_000_000);

impl RawEntry {
    fn new(id: EntryId, path: impl AsRef<[u8]>, kind: RawKind, mode: u32) -> Self {
        Self {
            id,
            path: path.as_ref().to_vec(),
            kind,
            mtime: TIME,
            mode,
            extras: Vec::new(),
        }
    }

    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub fn mtime(mut self, seconds: i64, nanos: u32) -> Self {
        self.mtime = (seconds, nanos);
        self
    }
}

pub fn file(id: EntryId, path: impl AsRef<[u8]>, size: u64) -> RawEntry {
    RawEntry::new(id, path, RawKind::File { size }, 0o644)
}

pub fn dir(id: EntryId, path: impl AsRef<[u8]>) -> RawEntry {
    RawEntry::new(id, path, RawKind::Dir, 0o755)
}

pub fn link(id: EntryId, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> RawEntry {
    let target = target.as_ref().to_vec();
    RawEntry::new(id, path, RawKind::Symlink { target }, 0o777)
}

pub fn stream(id: EntryId, path: impl AsRef<[u8]>) -> RawEntry {
    RawEntry::new(id, path, RawKind::Stream, 0o644)
}

pub fn dir_end(entry: EntryId) -> Message {
    Message::DirEnd(DirEnd {
        entry,
        complete: true,
    })
}

pub fn scanned() -> Message {
    Message::Scanned(Scanned {
        entries: 0,
        bytes: 0,
        complete: true,
    })
}

pub fn done(entry: EntryId, digest: Digest) -> Message {
    Message::Done(Done {
        entry,
        attempt: 0,
        digest,
    })
}

/// The digest of a file of more than one chunk.
pub fn file_digest(data: &[u8]) -> Digest {
    let size = data.len() as u64;
    let mut digest = xfer::model::digest::FileDigest::new(Algorithm::Sha256, size);
    for (index, chunk) in (0..).zip(data.chunks(CHUNK_SIZE as usize)) {
        let part = chunk_digest(Algorithm::Sha256, size, index, chunk);
        digest.push(index, part).unwrap();
    }
    digest.finish().unwrap()
}

/// The header of the honest chunk `index` of a file that has more than one.
pub fn part(entry: EntryId, index: u64, data: &[u8]) -> ChunkHeader {
    ChunkHeader {
        entry,
        attempt: 0,
        index,
        length: u32::try_from(data.len()).unwrap(),
        encoding: Encoding::Raw,
        whole: false,
        data: 0,
        digest: Digest(xfer::model::digest::sha256(&[data]).0),
    }
}

/// The header of the honest only chunk of a file.
pub fn whole(entry: EntryId, data: &[u8]) -> ChunkHeader {
    ChunkHeader {
        whole: true,
        ..part(entry, 0, data)
    }
}

/// The frame of a chunk, whatever its header says, but for how many bytes follow it.
pub fn chunk_bytes(header: &ChunkHeader, data: &[u8]) -> Vec<u8> {
    let header = ChunkHeader {
        data: u32::try_from(data.len()).unwrap(),
        ..*header
    };
    let mut payload = Vec::new();
    encode(&header, &mut payload).unwrap();
    payload.extend_from_slice(data);
    frame_of(CHUNK_FRAME, &payload)
}

/// A session as its sender has it.
pub struct Session<'a> {
    who: &'a Who,
    addr: SocketAddr,
    pub control: Line,
    pub accept: Accept,
    outcomes: Vec<EntryOutcome>,
    wants: Vec<Want>,
    /// How many entries were announced.
    announced: Cell<u64>,
}

impl<'a> Session<'a> {
    pub fn begin(who: &'a Who, addr: SocketAddr) -> Self {
        Self::let_in(Self::offered(who, who.dial(addr), addr, 4))
    }

    /// From an address of this machine.
    pub fn begin_from(from: IpAddr, who: &'a Who, addr: SocketAddr) -> Self {
        Self::let_in(Self::try_begin_from(from, who, addr, 4))
    }

    /// The same with so many lanes, or what it is told instead.
    pub fn try_begin_from(
        from: IpAddr,
        who: &'a Who,
        addr: SocketAddr,
        lanes: u16,
    ) -> Result<Self, Message> {
        Self::offered(who, who.dial_from(from, addr), addr, lanes)
    }

    #[track_caller]
    fn let_in(asked: Result<Self, Message>) -> Self {
        asked.unwrap_or_else(|other| panic!("not let in: {other:?}"))
    }

    fn offered(
        who: &'a Who,
        mut control: Line,
        addr: SocketAddr,
        lanes: u16,
    ) -> Result<Self, Message> {
        let hello = who.hello(&control, Role::Sender);
        control.say(&hello);
        let theirs = control.hear();
        assert!(matches!(theirs, Message::Hello(_)), "{theirs:?}");
        // One that nobody knows is told so, and hears nothing more.
        control.say(&offer_of(who.wish, lanes));
        let accept = match control.hear() {
            Message::Accept(accept) => accept,
            other => return Err(other),
        };
        Ok(Self {
            who,
            addr,
            control,
            accept,
            outcomes: Vec::new(),
            wants: Vec::new(),
            announced: Cell::new(0),
        })
    }

    pub fn announce(&mut self, entries: &[RawEntry]) {
        self.announced
            .set(self.announced.get() + entries.len() as u64);
        self.control.say_as(ENTRIES, &entries);
    }

    /// Opens a lane.
    pub fn lane(&self) -> Line {
        let mut lane = self.who.dial(self.addr);
        lane.say(&join(&lane, self.accept.secret));
        let answer = lane.hear();
        assert!(matches!(answer, Message::Joined(_)), "{answer:?}");
        lane
    }

    /// Sends the whole of a small file.
    pub fn put(&self, lane: &mut Line, entry: EntryId, data: &[u8]) {
        lane.raw(&chunk_bytes(&whole(entry, data), data));
    }

    fn listen(&mut self) {
        match self.control.hear() {
            Message::Outcomes(list) => self.outcomes.extend(list.0),
            Message::Wants(list) => self.wants.extend(list.0),
            Message::Abort(why) => panic!("it was ended: {why}"),
            _ => {}
        }
    }

    /// Waits for the want of an entry.
    pub fn wanted(&mut self, entry: EntryId) -> Want {
        self.wanted_at(entry, 0)
    }

    /// Waits for the want of an attempt at an entry.
    pub fn wanted_at(&mut self, entry: EntryId, attempt: u32) -> Want {
        let is_it = |want: &&Want| (want.entry, want.attempt) == (entry, attempt);
        loop {
            if let Some(want) = self.wants.iter().find(is_it) {
                return *want;
            }
            let outcome = self.outcomes.iter().find(|known| known.entry == entry);
            assert!(outcome.is_none(), "not wanted: {outcome:?}");
            self.listen();
        }
    }

    /// Waits for the outcome of an entry.
    pub fn outcome(&mut self, entry: EntryId) -> Outcome {
        loop {
            let known = self.outcomes.iter().find(|known| known.entry == entry);
            if let Some(known) = known {
                return known.outcome.clone();
            }
            self.listen();
        }
    }

    /// Ends the session as is right, and gives what the receiver says of it.
    pub fn end(mut self, lanes: Vec<Line>) -> Summary {
        self.control.say(&scanned());
        for entry in 0..self.announced.get() {
            self.outcome(entry);
        }
        for mut lane in lanes {
            lane.say(&Message::LaneEnd(()));
            lane.close();
        }
        self.control.say(&Message::End(End {
            entries: self.announced.get(),
            unannounced: 0,
        }));
        let summary = loop {
            match self.control.hear() {
                Message::Summary(summary) => break summary,
                Message::Abort(why) => panic!("it was ended: {why}"),
                _ => {}
            }
        };
        self.control.close();
        summary
    }
}

/// What a lane says first.
pub fn join(lane: &Line, secret: LaneSecret) -> Message {
    Message::Join(Join {
        preambles: lane.channel.preambles,
        secret,
    })
}

/// Attacks that a receiver ends, each with words of its own.
pub struct Attacks<'a> {
    who: &'a Who,
    recv: &'a Recv,
    /// Which words were said how often.
    said: BTreeMap<String, usize>,
}

impl<'a> Attacks<'a> {
    pub fn new(who: &'a Who, recv: &'a Recv) -> Self {
        Self {
            who,
            recv,
            said: BTreeMap::new(),
        }
    }

    /// Begins a session, lets `attack` do its worst, and checks that the receiver ends it with
    /// these words. The attacker's lanes stay open until then.
    #[track_caller]
    pub fn end_with(&mut self, words: &str, attack: impl FnOnce(&mut Session<'_>) -> Vec<Line>) {
        let mut session = Session::begin(self.who, self.recv.addr());
        let _lanes = attack(&mut session);
        let told = session.control.hear_abort();
        assert!(told.contains(words), "{told:?} instead of {words:?}");
        session.control.close();
        *self.said.entry(words.to_owned()).or_default() += 1;
    }

    /// The receiver has told its user of all of them, too.
    #[track_caller]
    pub fn all_told(self) {
        self.recv.process().wait_for("all of them", |output| {
            let text = output.text();
            let lines: Vec<_> = text
                .lines()
                .filter(|line| line.contains("broke the protocol: "))
                .collect();
            let told = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
            let all = self.said.iter().all(|(words, &n)| told(words) >= n);
            all.then_some(())
        });
    }
}

/// A receiver that has been attacked still receives, and has stored nothing else.
#[track_caller]
pub fn still_receives(sandbox: &Sandbox, recv: &Recv) {
    make_file(sandbox.src().join("file"), 1, 3 * CHUNK);
    sandbox.send(&[], &recv.target()).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
}

/// A receiver that has been attacked still receives, whatever else it has stored.
#[track_caller]
pub fn still_serves(sandbox: &Sandbox, recv: &Recv) {
    let path = sandbox.path("honest/honest file");
    make_file(&path, 1, 2 * CHUNK + 5);
    sandbox.send(&[&path], &recv.target()).assert_code(0);
    let stored = sandbox.dst().join("honest file");
    assert_eq!(digest_of(&stored), digest_of(&path));
    no_leftovers(sandbox.dst());
    let printed = recv.process().printed().text();
    assert!(!printed.contains("panicked"), "{printed}");
}

/// A receiver has never needed more memory than an honest session takes, and some.
#[track_caller]
pub fn flat_memory(recv: &Recv) {
    const MOST: u64 = 96 << 20;
    if let Some(peak) = recv.process().peak_memory() {
        assert!(peak < MOST, "{} MiB", peak >> 20);
    }
}

/// A folder that is no business of anybody's, and everything that is around it.
pub struct Outside {
    sandbox: std::path::PathBuf,
    around: Vec<std::ffi::OsString>,
    before: Around,
}

/// What is in the folder, and what it is itself.
type Around = (Tree, (u32, i64, i64));

impl Outside {
    pub fn new(sandbox: &Sandbox) -> Self {
        let folder = sandbox.folder("outside");
        make_file(folder.join("secret"), 77, 4000);
        make_file(folder.join("sub/other"), 78, 4000);
        set_mode(folder.join("sub"), 0o751);
        // What each attack makes in passing is made before.
        sandbox.folder("honest");
        sandbox.me();
        let root = sandbox.path("");
        Self {
            around: names_in(&root),
            before: Self::read(&root),
            sandbox: root,
        }
    }

    fn read(sandbox: &Path) -> Around {
        let folder = sandbox.join("outside");
        let meta = std::fs::metadata(&folder).unwrap();
        let itself = (meta.mode(), meta.mtime(), meta.mtime_nsec());
        (Tree::read(folder), itself)
    }

    #[track_caller]
    pub fn unchanged(&self) {
        assert_eq!(names_in(&self.sandbox), self.around);
        assert_eq!(Self::read(&self.sandbox), self.before);
    }
}

fn names_in(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

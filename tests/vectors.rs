//! The bytes of every message, as committed in tests/vectors: the wire must not change by
//! accident. Run with XFER_BLESS=1 to write them anew, and then read the difference.
//!
//! A file there holds one frame (or a preamble): lines that begin with '#' say what it is, the
//! rest is hex.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::mem::{Discriminant, discriminant};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use xfer::model::command::{CommandEnd, OutputStream};
use xfer::model::digest::{Algorithm, CHUNK_SIZE, Digest};
use xfer::model::entry::{Entry, Extra, FileSize, Kind, Mode, Target, Time};
use xfer::model::outcome::{
    Ability, Attribute, Decline, NotKept, OnConflict, Outcome, Role, Shares, Summary, Why, Wish,
};
use xfer::model::reason::{
    AbortReason, Limit, Obstacle, ReadError, StoreFault, SystemError, Unsupported,
};
use xfer::model::relpath::{PathError, RelPath};
use xfer::model::surplus::{
    Decision, MaxDelete, Objection, RemovalAnswer, RemovalCount, RemovalQuestion, Surplus,
    SurplusKind,
};
use xfer::model::talk::{RoomGone, TalkLine};
use xfer::model::text::Text;
use xfer::wire::*;

/// What one file in tests/vectors holds.
enum Vector {
    Preamble(Preamble),
    Message(Message),
    /// A chunk and its bytes.
    Chunk(ChunkHeader, Vec<u8>),
}

impl Vector {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Preamble(preamble) => out.extend_from_slice(&preamble.encode()),
            Self::Message(message) => write_message(message, &mut out).unwrap(),
            Self::Chunk(header, data) => {
                write_chunk_header(header, &mut out).unwrap();
                out.extend_from_slice(data);
            }
        }
        out
    }

    fn describe(&self) -> String {
        match self {
            Self::Preamble(preamble) => format!("{preamble:?}"),
            Self::Message(message) => format!("type {:#04x}, {message:?}", message.code()),
            Self::Chunk(header, _) => format!("type {CHUNK_FRAME:#04x}, {header:?}"),
        }
    }

    /// Checks that `bytes` are this, and that no part of them is anything.
    fn check(&self, bytes: &[u8]) {
        match self {
            Self::Preamble(preamble) => {
                assert_eq!(Preamble::decode(bytes.try_into().unwrap()), Some(*preamble));
                assert!((0..=bytes.len()).all(|n| Preamble::may_begin_with(&bytes[..n])));
            }
            Self::Message(message) => {
                let (mut reader, mut buffer) = (bytes, Vec::new());
                let frame = read_frame(&mut reader, &mut buffer).unwrap();
                assert_eq!(frame, Frame::Message(message.clone()));
                check_cuts(bytes);
                let (code, payload) = (message.code(), &bytes[FRAME_HEADER_BYTES..]);
                for cut in 0..payload.len() {
                    assert!(Message::decode_payload(code, &payload[..cut]).is_err());
                }
                let longer = [payload, &[0]].concat();
                assert!(Message::decode_payload(code, &longer).is_err());
            }
            Self::Chunk(header, data) => {
                let (mut reader, mut buffer) = (bytes, Vec::new());
                let frame = read_frame(&mut reader, &mut buffer).unwrap();
                assert_eq!(frame, Frame::Chunk(*header));
                assert_eq!(&buffer, data);
                check_cuts(bytes);
            }
        }
    }
}

fn check_cuts(bytes: &[u8]) {
    for cut in 0..bytes.len() {
        let error = read_frame(&mut &bytes[..cut], &mut Vec::new()).unwrap_err();
        assert!(
            matches!(&error, WireError::Io(e) if e.kind() == ErrorKind::UnexpectedEof),
            "cut at {cut}: {error}"
        );
    }
}

fn path(path: &[u8]) -> RelPath {
    RelPath::new(path).unwrap()
}

fn size(bytes: u64) -> FileSize {
    bytes.try_into().unwrap()
}

fn time(seconds: i64, nanos: u32) -> Time {
    (seconds, nanos).try_into().unwrap()
}

fn mode(bits: u32) -> Mode {
    bits.try_into().unwrap()
}

/// 32 bytes that count up from `first`.
fn counting(first: u8) -> [u8; 32] {
    let mut next = first;
    [(); 32].map(|()| {
        let byte = next;
        next = next.wrapping_add(1);
        byte
    })
}

/// The preamble of a peer without any feature.
const PLAIN: Preamble = Preamble {
    version: VERSION,
    features: 0,
};

fn preambles() -> Preambles {
    Preambles {
        sent: PLAIN.encode(),
        seen: Preamble {
            version: 1,
            features: 0x8000_0001,
        }
        .encode(),
    }
}

fn entries_in_a_folder() -> Message {
    let folder = |id, at: &[u8], extras| Entry {
        id,
        path: path(at),
        kind: Kind::Dir,
        mtime: time(1_700_000_000, 0),
        mode: mode(0o755),
        extras,
    };
    Message::Entries(Entries(vec![
        folder(0, b"films", vec![Extra::way()]),
        folder(1, b"films/new", vec![]),
    ]))
}

fn entries() -> Message {
    Message::Entries(Entries(vec![
        Entry {
            id: 0,
            path: path(b"photos"),
            kind: Kind::Dir,
            mtime: time(1_700_000_000, 0),
            mode: mode(0o755),
            extras: vec![],
        },
        Entry {
            id: 1,
            path: path(b"photos/caf\xc3\xa9 \xff.jpg"),
            kind: Kind::File {
                size: size(0x0102_0304_0506),
            },
            mtime: time(-1, 999_999_999),
            mode: mode(0o7640),
            extras: vec![Extra {
                tag: 0x0102,
                value: vec![1, 2, 3],
            }],
        },
        Entry {
            id: 2,
            path: path(b"photos/latest"),
            kind: Kind::Symlink {
                target: Target::new(*b"../photos/1.jpg").unwrap(),
            },
            mtime: time(5_000_000_000, 1),
            mode: mode(0o777),
            extras: vec![],
        },
        Entry {
            id: 3,
            path: path(b"photos/stream.tar"),
            kind: Kind::Stream,
            mtime: time(1_700_000_000, 0),
            mode: mode(0o644),
            extras: vec![],
        },
    ]))
}

/// Every way in which an entry can end.
fn outcomes() -> Vec<Outcome> {
    let mut all = vec![
        Outcome::Stored(None),
        Outcome::Stored(Some(path(b"a/b (2).txt"))),
        Outcome::Have(None),
        Outcome::Have(Some(path(b"c (2)"))),
    ];
    all.extend(whys_in_words().into_iter().map(Outcome::Failed));
    all.extend([Outcome::Replaced, Outcome::Kept]);
    all
}

fn whys_in_words() -> Vec<Why> {
    vec![
        Why::UnreadableText("permission denied".into()),
        Why::Vanished,
        Why::Changed,
        Why::Special,
        Why::NameText("a name that is too long".into()),
        Why::Parent,
        Why::InTheWayText("a folder".into()),
        Why::Space {
            needed: 1 << 40,
            free: 4096,
        },
        Why::InUse,
        Why::SystemText("read-only file system".into()),
        Why::Damaged,
        Why::Outside,
        Why::NotRemovedText("permission denied".into()),
    ]
}

/// Those that came with `MORE_REASONS`.
fn newer_whys() -> Vec<Why> {
    vec![
        Why::Quota {
            needed: 1 << 40,
            left: 4096,
        },
        Why::Limit(Limit::Offered),
    ]
}

/// The same, of mirrors.
fn too_many_removals() -> Vec<Why> {
    let count = RemovalCount {
        would_go: 21,
        there: 1 << 40,
    };
    let objections = [
        Objection::ReceiverLimit(MaxDelete::Count(1 << 33)),
        Objection::SenderLimit(MaxDelete::Percent(25)),
        Objection::ReceiverNo,
        Objection::SenderNo,
        Objection::Nobody,
    ];
    let why = |objection| Why::TooManyRemovals { count, objection };
    objections.map(why).to_vec()
}

fn whys() -> Vec<Why> {
    let mut all = vec![
        Why::Name(PathError::Deep),
        Why::NotRemoved(SystemError::PermissionDenied),
        Why::ChangedThere,
        Why::Ended,
    ];
    all.extend(read_errors().into_iter().map(Why::Unreadable));
    all.extend(obstacles().into_iter().map(Why::InTheWay));
    all.extend(system_errors().into_iter().map(Why::System));
    let older = limits_reached()
        .into_iter()
        .filter(|limit| *limit != Limit::Offered);
    all.extend(older.map(Why::Limit));
    all
}

fn system_errors() -> Vec<SystemError> {
    vec![
        SystemError::PermissionDenied,
        SystemError::NoSpace,
        SystemError::QuotaExceeded,
        SystemError::ReadOnly,
        SystemError::NameTooLong,
        SystemError::InvalidName,
        SystemError::Io,
        SystemError::TooManyOpenFiles,
        SystemError::Unsupported,
        SystemError::NotFound,
        SystemError::AlreadyExists,
        SystemError::NotADirectory,
        SystemError::IsADirectory,
        SystemError::DirectoryNotEmpty,
        SystemError::FileTooLarge,
        SystemError::InUse,
        SystemError::LinkLoop,
        SystemError::OutOfMemory,
        SystemError::TimedOut,
        SystemError::NobodyReads,
        SystemError::NoFilesLeft,
        SystemError::Other("stale file handle".into()),
    ]
}

fn read_errors() -> Vec<ReadError> {
    vec![
        ReadError::System(SystemError::Io),
        ReadError::DanglingLink,
        ReadError::LinkLoop,
        ReadError::NotAFile,
        ReadError::WrongSize,
        ReadError::TooLarge,
        ReadError::LinkTarget,
    ]
}

fn obstacles() -> Vec<Obstacle> {
    vec![
        Obstacle::File,
        Obstacle::Folder,
        Obstacle::Link,
        Obstacle::Special,
        Obstacle::Gone,
        Obstacle::SameName("README".into()),
        Obstacle::AllNames(999),
    ]
}

fn limits_reached() -> [Limit; 4] {
    [
        Limit::Names,
        Limit::MirroredNames,
        Limit::Files,
        Limit::Offered,
    ]
}

fn aborts() -> Vec<(&'static str, AbortReason)> {
    let full = || SystemError::NoSpace;
    vec![
        ("abort-stopped", AbortReason::Stopped),
        ("abort-protocol", AbortReason::Protocol("a chunk".into())),
        ("abort-not-one-file", AbortReason::NotOneFile),
        ("abort-name-taken", AbortReason::NameTaken),
        ("abort-code-timeout", AbortReason::CodeTimeout),
        ("abort-no-session", AbortReason::NoSession),
        ("abort-file", AbortReason::File(full())),
        ("abort-sync", AbortReason::Sync(full())),
        ("abort-thread", AbortReason::Thread(full())),
        ("abort-other", AbortReason::Other("enough".into())),
        ("abort-unpaired", AbortReason::Unpaired),
        ("abort-idle", AbortReason::Idle),
    ]
}

fn declines() -> Vec<(&'static str, Decline)> {
    vec![
        ("declined-unknown", Decline::Unknown),
        ("declined-not-open", Decline::NotOpen),
        ("declined-busy", Decline::TooManySessions),
        (
            "declined-unsupported",
            Decline::UnsupportedText("chunks of 3 bytes".into()),
        ),
        ("declined-store", Decline::StoreText("no space left".into())),
        ("declined-locked", Decline::Locked),
        ("declined-crowded", Decline::Crowded),
        ("declined-name-taken", Decline::NameTaken),
        ("declined-refused", Decline::Refused),
        ("declined-unattended", Decline::Unattended),
        ("declined-no-mirror", Decline::NoMirror),
        (
            "declined-chunk-size",
            Decline::Unsupported(Unsupported::ChunkSize(3)),
        ),
        (
            "declined-no-lanes",
            Decline::Unsupported(Unsupported::NoLanes),
        ),
        (
            "declined-dry-run",
            Decline::Unsupported(Unsupported::DryRunToOutput),
        ),
        (
            "declined-system",
            Decline::Store(StoreFault::System(SystemError::NoSpace)),
        ),
        (
            "declined-peers-unreadable",
            Decline::Store(StoreFault::PeersUnreadable),
        ),
        (
            "declined-peers-unwritable",
            Decline::Store(StoreFault::PeersUnwritable),
        ),
        (
            "declined-folder-removed",
            Decline::Store(StoreFault::FolderRemoved),
        ),
        ("declined-no-update", Decline::NoUpdate),
        ("declined-no-files", Decline::NotGranted(Ability::Files)),
        (
            "declined-no-messages",
            Decline::NotGranted(Ability::Messages),
        ),
        (
            "declined-no-commands",
            Decline::NotGranted(Ability::Commands),
        ),
        ("declined-no-room", Decline::NoRoom),
        ("declined-only-room", Decline::OnlyRoom),
        ("declined-full", Decline::Full),
        ("declined-no-command", Decline::NoCommand),
        ("declined-no-arguments", Decline::NoArguments),
        ("declined-no-fetch", Decline::NotGranted(Ability::Fetch)),
        ("declined-not-shared", Decline::NotShared("photos/x".into())),
        ("declined-only-share", Decline::OnlyShare),
        ("declined-no-share", Decline::NoShare),
    ]
}

fn command_ends() -> [(&'static str, CommandEnd); 6] {
    [
        ("command-exited", CommandEnd::Exited(3)),
        ("command-signalled", CommandEnd::Signalled(9)),
        ("command-time-limit", CommandEnd::TimeLimit(60)),
        ("command-output-limit", CommandEnd::OutputLimit(1 << 20)),
        (
            "command-not-started",
            CommandEnd::NotStarted(SystemError::NotFound),
        ),
        ("command-stopped", CommandEnd::Stopped),
    ]
}

/// What people say, and what they run.
fn talk() -> Vec<(&'static str, Message)> {
    let line = |text: &str| TalkLine::new(text).unwrap();
    let member = |number, name: &str| RoomMember {
        number,
        name: name.into(),
    };
    let mut all = vec![
        (
            "say",
            Message::Say(Say {
                bytes: 5,
                asks: true,
            }),
        ),
        ("say-part", Message::SayPart(SayPart("hällo".into()))),
        ("shown", Message::Shown(())),
        ("reply", Message::Reply(Reply(Some(line("in an hour"))))),
        ("no-reply", Message::Reply(Reply(None))),
        ("room-join", Message::RoomJoin(())),
        (
            "room-joined",
            Message::RoomJoined(RoomJoined {
                you: 2,
                members: vec![member(0, "laptop"), member(2, "desktop")],
            }),
        ),
        ("room-came", Message::RoomCame(member(3, "tablet"))),
        (
            "room-left",
            Message::RoomLeft(RoomLeft {
                number: 2,
                why: RoomGone::Lost,
            }),
        ),
        ("room-say", Message::RoomSay(line("who is there?"))),
        (
            "room-said",
            Message::RoomSaid(RoomSaid {
                number: 3,
                line: line("me"),
            }),
        ),
        (
            "fetch",
            Message::Fetch(Fetch {
                algorithm: Some(Algorithm::Blake3),
                lanes: 4,
                wish: Wish {
                    update: true,
                    ..Wish::default()
                },
                paths: vec![RelPath::new("photos/2024").unwrap()],
                filter: FetchPatterns {
                    lines: vec!["*.tmp".into(), "!keep.tmp".into()],
                    gitignore: true,
                    max_size: Some(1 << 40),
                },
                limit: Some(20_000_000),
            }),
        ),
        (
            "fetch-everything",
            Message::Fetch(Fetch {
                algorithm: None,
                lanes: 1,
                wish: Wish::default(),
                paths: vec![],
                filter: FetchPatterns::default(),
                limit: None,
            }),
        ),
        ("list-commands", Message::ListCommands(())),
        (
            "commands",
            Message::Commands(Commands(vec![
                OfferedCommand {
                    name: "backup".into(),
                    arguments: false,
                },
                OfferedCommand {
                    name: "unpack".into(),
                    arguments: true,
                },
            ])),
        ),
        (
            "run-command",
            Message::RunCommand(RunCommand {
                name: "unpack".into(),
                arguments: vec![
                    Argument(b"a b".to_vec()),
                    Argument(vec![]),
                    Argument(vec![0xff]),
                ],
            }),
        ),
    ];
    for (name, stream) in [
        ("command-output", OutputStream::Output),
        ("command-error", OutputStream::Error),
    ] {
        let bytes = vec![0, 1, 0xff];
        all.push((
            name,
            Message::CommandOutput(CommandOutput { stream, bytes }),
        ));
    }
    for (name, end) in command_ends() {
        all.push((name, Message::CommandEnded(end)));
    }
    all
}

fn encodings() -> [(&'static str, Encoding); 4] {
    [
        ("chunk-raw", Encoding::Raw),
        ("chunk-hole", Encoding::Hole),
        ("chunk-held", Encoding::Held),
        ("chunk-zstd", Encoding::Zstd),
    ]
}

fn messages() -> Vec<(&'static str, Message)> {
    let mut all = vec![
        (
            "hello-sender",
            Message::Hello(Hello {
                preambles: preambles(),
                role: Role::Sender,
                name: "laptop".into(),
                open: false,
                prefers: Algorithm::Sha256,
                known: true,
                asks: false,
            }),
        ),
        (
            "hello-receiver",
            Message::Hello(Hello {
                preambles: preambles(),
                role: Role::Receiver,
                name: "Büro".into(),
                open: true,
                prefers: Algorithm::Blake3,
                known: false,
                asks: true,
            }),
        ),
        (
            "join",
            Message::Join(Join {
                preambles: preambles(),
                secret: LaneSecret(counting(0x40)),
            }),
        ),
        ("joined", Message::Joined(preambles())),
        ("abort", Message::AbortText(Text::from("interrupted"))),
        ("ping", Message::Ping(())),
        ("leave", Message::Leave(())),
        ("pairing", Message::Pairing(())),
        ("pair-start", Message::PairStart(Share(counting(0x10)))),
        ("pair-answer", Message::PairAnswer(Share(counting(0x30)))),
        ("pair-proof", Message::PairProof(Proof(counting(0x50)))),
        ("pair-wrong", Message::PairWrong(())),
        (
            "offer-sha256",
            Message::Offer(Offer {
                algorithm: Algorithm::Sha256,
                chunk_size: CHUNK_SIZE,
                lanes: 4,
                wish: Wish::default(),
                contents: None,
            }),
        ),
        (
            "offer-blake3",
            Message::Offer(Offer {
                algorithm: Algorithm::Blake3,
                chunk_size: CHUNK_SIZE,
                lanes: 64,
                wish: Wish {
                    update: true,
                    checksum: true,
                    mirror: true,
                    dry_run: true,
                },
                contents: Some(Contents {
                    files: 3,
                    bytes: 1_000_000,
                    named: 2,
                    first: "photos".into(),
                }),
            }),
        ),
        (
            "accept",
            Message::Accept(Accept {
                lanes: 4,
                secret: LaneSecret(counting(0x40)),
                window: 16_384,
                conflict: OnConflict::Beside,
            }),
        ),
        ("entries", entries()),
        ("entries-in-a-folder", entries_in_a_folder()),
        (
            "dir-end",
            Message::DirEnd(DirEnd {
                entry: 0,
                complete: true,
            }),
        ),
        (
            "scanned",
            Message::Scanned(Scanned {
                entries: 3,
                bytes: 0x0102_0304_0506,
                complete: true,
            }),
        ),
        (
            "done",
            Message::Done(Done {
                entry: 1,
                attempt: 2,
                digest: Digest(counting(0x80)),
            }),
        ),
        (
            "skipped",
            Message::Skipped(Skipped {
                entry: 1,
                why: Why::UnreadableText("I/O error".into()),
            }),
        ),
        (
            "changed",
            Message::Changed(Changed {
                entry: 1,
                attempt: 3,
                size: size(7),
                mtime: time(1_700_000_001, 500),
                mode: mode(0o600),
            }),
        ),
        (
            "end",
            Message::End(End {
                entries: 3,
                unannounced: 1,
            }),
        ),
        (
            "wants",
            Message::Wants(Wants(vec![
                Want {
                    entry: 1,
                    attempt: 0,
                    held: true,
                },
                Want {
                    entry: 0x0102_0304_0506_0708,
                    attempt: 0x0a0b_0c0d,
                    held: false,
                },
            ])),
        ),
        (
            "held",
            Message::Held(Held {
                entry: 1,
                attempt: 0,
                first: 1024,
                digests: vec![
                    Some(Digest(counting(0xa0))),
                    None,
                    Some(Digest(counting(0xc0))),
                ],
                last: true,
            }),
        ),
        (
            "held-nothing",
            Message::Held(Held {
                entry: 1,
                attempt: 0,
                first: 0,
                digests: vec![],
                last: true,
            }),
        ),
        (
            "outcomes",
            Message::Outcomes(Outcomes(
                (0u64..)
                    .zip(outcomes())
                    .map(|(entry, outcome)| EntryOutcome { entry, outcome })
                    .collect(),
            )),
        ),
        (
            "verified",
            Message::Verified(Verified(vec![FileVerified {
                entry: 1,
                bytes: 3 << 20,
            }])),
        ),
        (
            "summary",
            Message::Summary(Summary {
                stored: 1,
                have: 2,
                failed: 3,
                files: 4,
                bytes: 5,
                held_bytes: 6,
                have_files: 9,
                have_bytes: 7,
                renamed: 8,
                replaced: 10,
                kept: 11,
                removed: 12,
                free: Some(13),
                shares: Shares {
                    disk: 14,
                    processor: 15,
                    network: 16,
                    waiting: 17,
                },
            }),
        ),
        (
            "removed",
            Message::Removed(Removed(vec![path(b"a/b"), path(b"a")])),
        ),
        (
            "may-remove",
            Message::MayRemove(MayRemove(vec![
                Surplus {
                    path: path(b"a/b"),
                    kind: SurplusKind::Dir,
                },
                Surplus {
                    path: path(b"a/c"),
                    kind: SurplusKind::Symlink,
                },
                Surplus {
                    path: path(b"d"),
                    kind: SurplusKind::File(258),
                },
            ])),
        ),
        (
            "folder-failed",
            Message::FolderFailed(FolderFailed {
                path: path(b"a/b"),
                why: Why::NotRemovedText("permission denied".into()),
            }),
        ),
        (
            "not-kept-mode",
            Message::NotKept(NotKept {
                what: Attribute::Mode,
                entries: 3,
                why: SystemError::PermissionDenied,
            }),
        ),
        (
            "not-kept-time",
            Message::NotKept(NotKept {
                what: Attribute::Time,
                entries: 1,
                why: SystemError::Unsupported,
            }),
        ),
        (
            "not-kept-sync",
            Message::NotKept(NotKept {
                what: Attribute::Sync,
                entries: 1 << 40,
                why: SystemError::Other("invalid argument".into()),
            }),
        ),
        (
            "removal-question",
            Message::RemovalQuestion(RemovalQuestion {
                count: RemovalCount {
                    would_go: 21,
                    there: 40,
                },
                needs_yes: true,
            }),
        ),
        (
            "removal-answer-at-most",
            Message::RemovalAnswer(RemovalAnswer::AtMost(1 << 40)),
        ),
        (
            "removal-answer-limit",
            Message::RemovalAnswer(RemovalAnswer::Limit(MaxDelete::Percent(25))),
        ),
        (
            "removal-answer-no",
            Message::RemovalAnswer(RemovalAnswer::No),
        ),
        (
            "removal-answer-nobody",
            Message::RemovalAnswer(RemovalAnswer::Nobody),
        ),
        (
            "fates",
            Message::Decisions(Decisions(vec![
                Decision::Keep,
                Decision::Remove,
                Decision::AskInside,
            ])),
        ),
        ("lane-end", Message::LaneEnd(())),
    ];
    all.extend(talk());
    for (name, reason) in declines() {
        all.push((name, Message::Declined(reason)));
    }
    for (name, reason) in aborts() {
        all.push((name, Message::Abort(reason)));
    }
    for (name, whys) in [
        ("outcomes-reasons", whys()),
        ("outcomes-more-reasons", newer_whys()),
        ("outcomes-too-many-removals", too_many_removals()),
    ] {
        let failed = (0..).zip(whys).map(|(entry, why)| EntryOutcome {
            entry,
            outcome: Outcome::Failed(why),
        });
        all.push((name, Message::Outcomes(Outcomes(failed.collect()))));
    }
    all
}

fn vectors() -> Vec<(&'static str, Vector)> {
    let mut all = vec![
        ("preamble", Vector::Preamble(PLAIN)),
        (
            "preamble-reasons",
            Vector::Preamble(Preamble {
                features: Features::REASONS.0,
                ..PLAIN
            }),
        ),
        (
            "preamble-more-reasons",
            Vector::Preamble(Preamble {
                features: Features::REASONS.0 | Features::MORE_REASONS.0,
                ..PLAIN
            }),
        ),
        ("preamble-ours", Vector::Preamble(Preamble::OURS)),
    ];
    all.extend(
        messages()
            .into_iter()
            .map(|(name, message)| (name, Vector::Message(message))),
    );
    for (name, encoding) in encodings() {
        let data = match encoding {
            Encoding::Raw => b"raw bytes".to_vec(),
            Encoding::Zstd => b"packed".to_vec(),
            _ => vec![],
        };
        let header = ChunkHeader {
            entry: 1,
            attempt: 2,
            index: 3,
            length: 9,
            encoding,
            whole: false,
            data: u32::try_from(data.len()).unwrap(),
            digest: Digest(counting(0xe0)),
        };
        all.push((name, Vector::Chunk(header, data)));
    }
    // SHA-256 of nothing.
    let empty = xfer::model::digest::chunk_digest(Algorithm::Sha256, 0, 0, b"");
    let header = ChunkHeader {
        entry: 2,
        attempt: 0,
        index: 0,
        length: 0,
        encoding: Encoding::Raw,
        whole: true,
        data: 0,
        digest: empty,
    };
    all.push(("chunk-empty-file", Vector::Chunk(header, vec![])));
    all
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// 16 bytes a line.
fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(16) {
        let hex: Vec<String> = line.iter().map(|b| format!("{b:02x}")).collect();
        writeln!(text, "{}", hex.join(" ")).unwrap();
    }
    text
}

fn from_text(text: &str) -> Vec<u8> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn the_wire_is_what_it_was() {
    let bless = std::env::var_os("XFER_BLESS").is_some();
    for (name, vector) in vectors() {
        let file = folder().join(name).with_extension("hex");
        if bless {
            let text = format!("# {}\n{}", vector.describe(), to_hex(&vector.encode()));
            fs::write(&file, text).unwrap();
        }
        let text = fs::read_to_string(&file)
            .unwrap_or_else(|e| panic!("{}: {e}; see the top of this test", file.display()));
        let bytes = from_text(&text);
        assert_eq!(
            to_hex(&vector.encode()),
            to_hex(&bytes),
            "{name} has other bytes than before: peers of the same version disagree now"
        );
        vector.check(&bytes);
    }
}

#[test]
fn every_file_belongs_to_a_vector() {
    let names: BTreeSet<String> = vectors()
        .iter()
        .map(|(name, _)| format!("{name}.hex"))
        .collect();
    assert_eq!(names.len(), vectors().len());
    let files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, names);
}

#[test]
fn every_message_has_a_vector() {
    let have: HashSet<u16> = messages().iter().map(|(_, m)| m.code()).collect();
    for code in 0..=u16::MAX {
        // A type that is known has a payload that can be wrong; only others are none at all.
        let known = !matches!(Message::decode_payload(code, &[]), Ok(None));
        assert_eq!(known, have.contains(&code), "type {code:#06x}");
    }
}

/// How many variants an enum has on the wire. Finds those whose fields can all be zero.
fn variants<T: DeserializeOwned>() -> usize {
    (0u32..)
        .take_while(|index| {
            (0..=32).any(|zeros| {
                let mut bytes = index.to_le_bytes().to_vec();
                bytes.resize(4 + zeros, 0);
                decode::<T>(&bytes).is_ok()
            })
        })
        .count()
}

fn distinct<T>(values: impl IntoIterator<Item = T>) -> usize {
    values
        .into_iter()
        .map(|v| discriminant(&v))
        .collect::<HashSet<Discriminant<T>>>()
        .len()
}

#[test]
fn every_variant_is_in_a_vector() {
    let all = [whys_in_words(), whys(), newer_whys(), too_many_removals()].concat();
    assert_eq!(variants::<Why>(), distinct(all));
    assert_eq!(variants::<SystemError>(), distinct(system_errors()));
    assert_eq!(variants::<ReadError>(), distinct(read_errors()));
    assert_eq!(variants::<Obstacle>(), distinct(obstacles()));
    assert_eq!(variants::<Limit>(), distinct(limits_reached()));
    assert_eq!(variants::<PathError>(), 7);
    assert_eq!(variants::<Unsupported>(), 3);
    assert_eq!(variants::<StoreFault>(), 4);
    assert_eq!(
        variants::<AbortReason>(),
        distinct(aborts().into_iter().map(|a| a.1))
    );
    assert_eq!(variants::<Outcome>(), distinct(outcomes()));
    assert_eq!(
        variants::<Decline>(),
        distinct(declines().into_iter().map(|d| d.1))
    );
    assert_eq!(variants::<Encoding>(), distinct(encodings().map(|e| e.1)));
    assert_eq!(variants::<Objection>(), 5);
    assert_eq!(variants::<RemovalAnswer>(), 4);
    assert_eq!(variants::<MaxDelete>(), 2);
    assert_eq!(variants::<Ability>(), 4);
    assert_eq!(variants::<OutputStream>(), 2);
    let all = command_ends().map(|end| end.1);
    assert_eq!(variants::<CommandEnd>(), distinct(all));
    assert_eq!(variants::<Role>(), 2);
    assert_eq!(variants::<Algorithm>(), 2);
}

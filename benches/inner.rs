//! How fast the inner pieces are, each by itself: `cargo bench`, or `cargo bench -- channel` for
//! some of them. Compared with the run before.
//!
//! Must not measure the program as a whole: benches/compare.sh does.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::hint::black_box;
use std::io::{IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput};
use tempfile::TempDir;
use xfer::model::digest::{Algorithm, CHUNK_SIZE, Digest, chunk_digest};
use xfer::model::entry::{Entry, Kind, Mode, Time};
use xfer::model::outcome::{OnConflict, Outcome};
use xfer::model::progress::Counters;
use xfer::model::relpath::RelPath;
use xfer::net::{Channel, Identity, PIECE_BYTES, Tls};
use xfer::source::{Filter, Roots, Walk, WalkStep, WalkedFolders};
use xfer::store::{Access, NewFile, Planned, Store};
use xfer::sys::own::OwnFolders;
use xfer::wire::{
    ChunkHeader, Encoding, Entries, Message, read_frame, read_frame_head, write_chunk_header,
    write_message,
};

/// A chunk, in bytes.
const CHUNK: usize = CHUNK_SIZE as usize;
/// A small file, in bytes.
const SMALL: usize = 4096;
/// How many entries travel in a message here.
const ENTRIES: u64 = 256;
/// How many small files are stored at a time.
const STORED: usize = 1000;
/// How many folders are walked, and how many files in each of them.
const WALKED: (usize, usize) = (100, 100);
/// How long two ends have to shake hands.
const DEADLINE: Duration = Duration::from_secs(10);

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    hash(&mut criterion);
    frame(&mut criterion);
    channel(&mut criterion);
    store(&mut criterion);
    walk(&mut criterion);
    criterion.final_summary();
}

/// For what takes so long that a few samples must do.
fn for_large(group: &mut BenchmarkGroup<'_, WallTime>) {
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .measurement_time(Duration::from_secs(4));
}

/// Bytes without zeros, so that nothing can take them for a hole.
fn bytes(len: usize) -> Vec<u8> {
    (1..=251).cycle().take(len).collect()
}

fn hash(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash");
    for algorithm in [Algorithm::Sha256, Algorithm::Blake3] {
        // A chunk in the middle of a file, and a file that is its only one.
        for (what, len, size, index) in [("1 MiB", CHUNK, 4 * CHUNK, 1), ("4 kB", SMALL, SMALL, 0)]
        {
            let data = bytes(len);
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(format!("{algorithm} {what}"), |b| {
                b.iter(|| chunk_digest(algorithm, size as u64, index, black_box(&data)));
            });
        }
    }
    group.finish();
}

fn frame(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    let mut out = Vec::new();
    let mut buffer = Vec::new();

    let chunk = ChunkHeader {
        entry: 7,
        attempt: 0,
        index: 3,
        length: CHUNK_SIZE,
        encoding: Encoding::Raw,
        whole: false,
        data: CHUNK_SIZE,
        digest: Digest([0x5a; 32]),
    };
    let mut encoded = Vec::new();
    write_chunk_header(&chunk, &mut encoded).unwrap();
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode a chunk's header", |b| {
        b.iter(|| {
            out.clear();
            write_chunk_header(black_box(&chunk), &mut out).unwrap();
        });
    });
    group.bench_function("decode a chunk's header", |b| {
        b.iter(|| read_frame_head(&mut black_box(&encoded[..]), &mut buffer).unwrap());
    });

    let message = Message::Entries(Entries((0..ENTRIES).map(entry).collect()));
    let mut encoded = Vec::new();
    write_message(&message, &mut encoded).unwrap();
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("encode entries", |b| {
        b.iter(|| {
            out.clear();
            write_message(black_box(&message), &mut out).unwrap();
        });
    });
    group.bench_function("decode entries", |b| {
        b.iter(|| read_frame(&mut black_box(&encoded[..]), &mut buffer).unwrap());
    });
    group.finish();
}

/// A file as they are usually named.
fn entry(id: u64) -> Entry {
    Entry {
        id,
        path: RelPath::new(format!("photos/2024/summer/IMG_{id:06}.jpg")).unwrap(),
        kind: Kind::File {
            size: 3_141_592.try_into().unwrap(),
        },
        mtime: Time::from_seconds(1_700_000_000),
        mode: Mode::from_stat(0o644),
        extras: Vec::new(),
    }
}

fn channel(criterion: &mut Criterion) {
    let tls = Tls::new(&Identity::generate().unwrap()).unwrap();
    let mut group = criterion.benchmark_group("channel");

    // As chunks travel: sealed where they were read to, opened where they were received.
    group.throughput(Throughput::Bytes(CHUNK as u64));
    group.bench_function("1 MiB in place", |b| {
        let data = bytes(CHUNK);
        b.iter_custom(|count| {
            let fill = |sender: &mut Channel| {
                let room = sender.writer.room(CHUNK);
                for (piece, data) in room.zip(data.chunks(PIECE_BYTES)) {
                    piece.copy_from_slice(data);
                }
                sender.writer.send_room(CHUNK).unwrap();
            };
            carry(&tls, count, CHUNK, fill)
        });
    });

    // As small files travel: many to a write.
    group.throughput(Throughput::Bytes(SMALL as u64));
    group.bench_function("4 kB", |b| {
        let data = bytes(SMALL);
        b.iter_custom(|count| {
            let fill = |sender: &mut Channel| sender.writer.write_all(&data).unwrap();
            carry(&tls, count, SMALL, fill)
        });
    });
    group.finish();
}

/// How long it takes until `count` times `len` bytes have come out of a new channel, each of
/// which `send` puts into it.
fn carry(tls: &Tls, count: u64, len: usize, send: impl Fn(&mut Channel) + Sync) -> Duration {
    let (mut sender, mut receiver) = connected(tls);
    thread::scope(|s| {
        let start = Instant::now();
        s.spawn(|| {
            for _ in 0..count {
                send(&mut sender);
            }
            sender.writer.finish().unwrap();
        });
        for _ in 0..count {
            let pieces = receiver.reader.gather(len, |_| ()).unwrap();
            pieces.for_each(|piece| {
                black_box(piece);
            });
        }
        start.elapsed()
    })
}

/// Both ends of a channel over this machine's loopback.
fn connected(tls: &Tls) -> (Channel, Channel) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let accepted = listener.accept().unwrap().0;
    let mut ends = thread::scope(|s| {
        let dialer = s.spawn(|| tls.connect(stream, DEADLINE).unwrap());
        let listener = tls.accept(accepted, DEADLINE).unwrap();
        (dialer.join().unwrap(), listener)
    });
    for end in [&mut ends.0, &mut ends.1] {
        end.carry(Arc::new(Counters::default()));
    }
    ends
}

fn store(criterion: &mut Criterion) {
    let paths: Vec<_> = (0..STORED)
        .map(|n| RelPath::new(format!("folder/{n}")).unwrap())
        .collect();
    let data = bytes(SMALL);
    let mut group = criterion.benchmark_group("store");
    for_large(&mut group);
    group.throughput(Throughput::Elements(STORED as u64));
    group.bench_function("small files", |b| {
        b.iter_batched(
            || {
                let dir = TempDir::new().unwrap();
                let store = Store::open(dir.path(), OwnFolders::default()).unwrap();
                (dir, store)
            },
            |(dir, store)| {
                store_all(&store, &paths, &data);
                // Removed when nothing is measured.
                dir
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Stores the same file under each of some paths in one folder. Nothing is brought to disk: that
/// would measure the disk.
fn store_all(store: &Arc<Store>, paths: &[RelPath], data: &[u8]) {
    let access = Access {
        owner: [1; 32],
        existing: true,
        conflict: OnConflict::default(),
        checksum: false,
        mirror: false,
        dry_run: false,
        links_outside: false,
        rename_unsafe: false,
    };
    let file = NewFile {
        size: data.len() as u64,
        allocated: None,
        mtime: Time::from_seconds(1_700_000_000),
        mode: Mode::from_stat(0o644),
    };
    let session = store.session(access, false).unwrap();
    let folder = RelPath::new("folder").unwrap();
    let folder = session
        .folder(
            &session.root().unwrap(),
            &folder,
            Mode::from_stat(0o755),
            false,
            || false,
        )
        .unwrap();
    for path in paths {
        let planned = session.file(&folder, path, file);
        let Ok(Planned::Incoming(incoming)) = planned else {
            unreachable!("there is nothing yet");
        };
        let stored = incoming.store_whole(&mut [IoSlice::new(data)]).unwrap();
        assert_eq!(stored, Some(Outcome::Stored(None)));
    }
    session.finish().unwrap();
}

fn walk(criterion: &mut Criterion) {
    let dir = TempDir::new().unwrap();
    make_tree(dir.path());
    let files = WALKED.0 * WALKED.1;
    let roots = Roots::new(&[dir.path().to_path_buf()], &Filter::default()).unwrap();
    let mut group = criterion.benchmark_group("walk");
    for_large(&mut group);
    group.throughput(Throughput::Elements(files as u64));
    group.bench_function("a tree", |b| {
        b.iter(|| {
            let is_file = |step: &WalkStep| {
                let WalkStep::Found { kind, .. } = step else {
                    return false;
                };
                matches!(kind, Kind::File { .. })
            };
            assert_eq!(
                Walk::new(&roots, &WalkedFolders::default())
                    .filter(is_file)
                    .count(),
                files
            );
        });
    });
    group.finish();
}

fn make_tree(root: &Path) {
    for folder in 0..WALKED.0 {
        let folder = root.join(folder.to_string());
        fs::create_dir(&folder).unwrap();
        for file in 0..WALKED.1 {
            fs::write(folder.join(file.to_string()), "a file").unwrap();
        }
    }
}

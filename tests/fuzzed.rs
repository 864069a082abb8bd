//! The places where bytes come in, with bytes that are nearly right: the golden vectors, bent by
//! a generator that can be repeated. What holds there is asserted in `src/fuzz.rs`.
//!
//! XFER_FUZZ_SECONDS says for how long each place is tried, XFER_SEED with what it begins.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use xfer::fuzz;
use xfer::wire::FRAME_HEADER_BYTES;

/// How long each place is tried unless the environment says otherwise.
const SECONDS: u64 = 1;
/// What the first round begins with; each later one has the next number.
const SEED: u64 = 1;
/// The most bytes that a round begins with, or that are put into them at once.
const MAX_BYTES: usize = 4096;
/// The most memory that this process may take, in bytes. It takes a few megabytes, but a hundred
/// if a test fails and shows where.
const MAX_MEMORY: u64 = 256 << 20;

/// Numbers at which a limit or a sign may be.
const NUMBERS: [u64; 17] = [
    0,
    1,
    2,
    16,
    61,
    64,
    1024,
    4096,
    0x8000,
    0xffff,
    262_144,
    1 << 20,
    1_048_637,
    0x7fff_ffff,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];

/// What has a meaning in a path or a text.
const WORDS: [&[u8]; 15] = [
    b"/",
    b"..",
    b"/../",
    b".",
    b"\0",
    b"\xff\xc3",
    b".xfer",
    b"/.XFER/",
    b".xfer-00112233445566778899aaBBccddeeff.partial",
    b"sub/",
    b"link/x",
    b"\"",
    b"\n",
    b"\\u001b",
    "\u{202e}".as_bytes(),
];

/// A generator of numbers.
struct Random(support::Random);

impl Random {
    fn new(seed: u64) -> Self {
        // Neighbouring seeds must not begin alike, and none may be 0.
        let mut random = Self(support::Random::new(seed));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0.number() >> 8
    }

    /// One of the numbers below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap() % end.max(1)
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1);
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// A range of `bytes`, often a short one.
    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(bytes.len() + 1);
        let most = self.one_of(&[8, bytes.len()]);
        start..(start + self.below(most + 1)).min(bytes.len())
    }

    /// One of the seeds, bent.
    fn bend(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if self.below(16) == 0 {
            return self.bytes(MAX_BYTES);
        }
        let mut bytes = self.one_of(seeds);
        for _ in 0..self.below(5) {
            let range = self.range(&bytes);
            let with = match self.below(8) {
                0 => self.bytes(64),
                1 | 2 => self.number(),
                3 | 4 => self.one_of(&WORDS).to_vec(),
                5 => Vec::new(),
                6 => {
                    let other = self.one_of(seeds);
                    other[self.range(&other)].to_vec()
                }
                _ => {
                    if let Some(byte) = bytes.get_mut(range.start) {
                        *byte ^= 1 << self.below(8);
                    }
                    continue;
                }
            };
            // Lengths that stand before it stay right only where nothing moves.
            let range = match self.below(2) {
                0 => range.start..(range.start + with.len()).min(bytes.len()),
                _ => range,
            };
            bytes.splice(range, with);
        }
        bytes
    }

    fn number(&mut self) -> Vec<u8> {
        let near = self.one_of(&[0, 1, u64::MAX]);
        let number = self.one_of(&NUMBERS).wrapping_add(near);
        number.to_le_bytes()[..self.one_of(&[1, 2, 4, 8])].to_vec()
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The bytes of tests/vectors: the preamble, and all others, which are frames.
fn vectors() -> (Vec<u8>, Vec<Vec<u8>>) {
    let folder = repository().join("tests/vectors");
    let read = |path: &Path| -> Vec<u8> {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let bytes = lines.flat_map(str::split_whitespace);
        bytes.map(|b| u8::from_str_radix(b, 16).unwrap()).collect()
    };
    let preamble = folder.join("preamble.hex");
    let all = fs::read_dir(folder).unwrap();
    // In order: what a seed gives must not depend on the file system.
    let mut files: Vec<PathBuf> = all.map(|file| file.unwrap().path()).collect();
    files.retain(|file| *file != preamble);
    files.sort();
    (read(&preamble), files.iter().map(|f| read(f)).collect())
}

/// A place where bytes come in.
struct Place {
    name: &'static str,
    enter: fn(&[u8]),
    seeds: Vec<Vec<u8>>,
}

fn places() -> Vec<Place> {
    let (preamble, frames) = vectors();
    // Its type, which is the frame's, and its payload.
    let message = |frame: &Vec<u8>| [&frame[..2], &frame[FRAME_HEADER_BYTES..]].concat();
    let messages = frames.iter().map(message).collect();
    let paths = ["a/b/c", "a b/ünï/😀", "..", ".xfer", "a/../b", "/etc"];
    vec![
        Place {
            name: "preamble",
            enter: fuzz::preamble,
            seeds: vec![preamble],
        },
        Place {
            name: "frame",
            enter: fuzz::frame,
            seeds: [frames.clone(), vec![frames.concat()]].concat(),
        },
        Place {
            name: "message",
            enter: fuzz::message,
            seeds: messages,
        },
        Place {
            name: "relpath",
            enter: fuzz::relpath,
            seeds: paths.map(|path| path.as_bytes().to_vec()).into(),
        },
        Place {
            name: "partials",
            enter: |bytes| SCRATCH.with(|scratch| fuzz::partials(scratch.path(), bytes)),
            seeds: records(),
        },
        Place {
            name: "peers",
            enter: fuzz::peers,
            seeds: vec![peers()],
        },
    ]
}

thread_local! {
    static SCRATCH: TempDir =
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
}

/// What a receive directory keeps, behind the byte of which [`fuzz::partials`] tells.
fn records() -> Vec<Vec<u8>> {
    let (version, owner) = (1u32.to_le_bytes(), [7; 32]);
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    // Its size and time.
    let rest = [5; 20];
    let mut records = Vec::new();
    for flags in 0..8u8 {
        for path in ["file", "sub/file", "link/file", "none/file"] {
            records.push([&[flags], &version[..], &owner, &text(path), &rest].concat());
        }
        records.push([&[flags], &version[..], &owner, &text("a start")].concat());
    }
    records
}

/// A list of two machines that are nearly the same.
fn peers() -> Vec<u8> {
    let peer = |n: u8, rest: &str| {
        let fingerprint = "0a".repeat(31);
        format!(
            "[[peer]]\nname = \"große 😀{n}\"\nfingerprint = \"{fingerprint}0{n}\"\nmay-send = true\n\
             may-receive = false\nseen = 1700000000\n{rest}"
        )
    };
    let (first, second) = (
        peer(0, "unasked = true\n"),
        peer(1, "address = \"[fe80::1%2]:9090\"\n"),
    );
    format!("# Paired.\nversion = 1\n\n{first}\n{second}").into_bytes()
}

/// A number from the environment.
fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|e| panic!("{name}: {e}")),
        Err(_) => otherwise,
    }
}

/// Says how to repeat a round, if it is left by a panic.
struct Round<'a>(&'a Place, u64, &'a [u8]);

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let Self(place, seed, bytes) = self;
        if thread::panicking() {
            let bytes = bytes.escape_ascii();
            eprintln!("{}, with XFER_SEED={seed}: b\"{bytes}\"", place.name);
        }
    }
}

/// Tries a place until its time is over.
#[track_caller]
fn fuzzed(name: &str) {
    let place = places().into_iter().find(|place| place.name == name);
    let place = place.unwrap();
    // The vectors themselves are let in.
    for seed in &place.seeds {
        let _round = Round(&place, 0, seed);
        (place.enter)(seed);
    }
    let time = Duration::from_secs(setting("XFER_FUZZ_SECONDS", SECONDS));
    let (start, first) = (Instant::now(), setting("XFER_SEED", SEED));
    let mut rounds = 0;
    while rounds == 0 || start.elapsed() < time {
        let seed = first.wrapping_add(rounds);
        let bytes = Random::new(seed).bend(&place.seeds);
        let _round = Round(&place, seed, &bytes);
        (place.enter)(&bytes);
        rounds += 1;
    }
    println!("{name}: {rounds} rounds from XFER_SEED={first}");
    if let Some(peak) = peak_memory() {
        assert!(peak <= MAX_MEMORY, "{name} took {peak} bytes of memory");
    }
}

/// The most memory that this process had at a time, in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[test]
fn preamble() {
    fuzzed("preamble");
}

#[test]
fn frame() {
    fuzzed("frame");
}

#[test]
fn message() {
    fuzzed("message");
}

#[test]
fn relpath() {
    fuzzed("relpath");
}

#[test]
fn partials() {
    fuzzed("partials");
}

#[test]
fn peers_file() {
    fuzzed("peers");
}

/// Not a test: the seeds, as files for cargo-fuzz.
#[test]
#[ignore = "writes fuzz/corpus"]
fn corpus() {
    for place in places() {
        let folder = repository().join("fuzz/corpus").join(place.name);
        fs::create_dir_all(&folder).unwrap();
        for (n, seed) in place.seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{n}")), seed).unwrap();
        }
    }
}

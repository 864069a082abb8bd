//! Digests of chunks and files. The only file that names a hash crate.
//!
//! Must not read files or sockets: bytes in, digests out.
//!
//! The digest of a file of at most one chunk is the plain hash of its bytes, in both algorithms.
//! The digest of a larger file is made from the digests of its chunks, so that several threads can
//! hash its chunks, each once:
//!
//! * SHA-256: the hash over [`FILE_DOMAIN`], the size as 8 bytes little-endian, and the digests
//!   of the chunks in order. A chunk's digest is the SHA-256 of its bytes.
//! * BLAKE3: the hash of the whole file, as BLAKE3 is a tree itself. A chunk's digest is the
//!   chaining value of its subtree (BLAKE3 paper, section 2.1), which depends on where in the
//!   file it is.
//!
//! A stream's length is not known in advance. Each of its chunks has the plain hash of its bytes;
//! the stream has the hash over [`STREAM_DOMAIN`], its chunks' digests in order, and its size as 8
//! bytes little-endian, in both algorithms.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The size of a chunk, in bytes. A power of two, as BLAKE3's subtrees ask for.
pub const CHUNK_SIZE: u32 = 1 << 20;

/// What separates the hash over chunk digests from every other use of SHA-256.
pub const FILE_DOMAIN: &[u8; 20] = b"xfer file digest v1\0";

/// What separates the hash over a stream's chunk digests from every other use of both algorithms.
pub const STREAM_DOMAIN: &[u8; 22] = b"xfer stream digest v1\0";

/// How many digests may wait for an earlier one in a [`FileDigest`].
pub const MAX_WAITING_DIGESTS: usize = 4096;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4).
    #[default]
    Sha256,
    /// BLAKE3.
    Blake3,
}

impl Algorithm {
    /// The one to use on this machine: SHA-256, as everyone knows it, where the processor has
    /// instructions for it; elsewhere BLAKE3. (Measured on a processor without: SHA-256
    /// 0.19 GB/s a core, slower than one gigabit link once both sides hash; BLAKE3 3.7 GB/s.)
    #[must_use]
    pub fn preferred() -> Self {
        #[cfg(target_arch = "x86_64")]
        let fast = std::arch::is_x86_feature_detected!("sha");
        #[cfg(target_arch = "aarch64")]
        let fast = std::arch::is_aarch64_feature_detected!("sha2");
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let fast = false;
        if fast { Self::Sha256 } else { Self::Blake3 }
    }

    /// The one that suits both this and another, which is the other side's preferred one:
    /// BLAKE3, which is fast everywhere, unless both prefer SHA-256.
    #[must_use]
    pub fn suiting(self, other: Self) -> Self {
        match (self, other) {
            (Self::Sha256, Self::Sha256) => Self::Sha256,
            _ => Self::Blake3,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "sha256",
            Self::Blake3 => "blake3",
        })
    }
}

/// 32 bytes of a hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// How many chunks a file of `size` bytes has. An empty file has one, which is empty.
#[must_use]
pub fn chunk_count(size: u64) -> u64 {
    size.div_ceil(u64::from(CHUNK_SIZE)).max(1)
}

/// Where chunk `index` begins in its file, in bytes.
#[must_use]
pub fn chunk_offset(index: u64) -> u64 {
    index.saturating_mul(u64::from(CHUNK_SIZE))
}

/// How many bytes chunk `index` of a file of `size` bytes has; 0 past its end.
#[must_use]
pub fn chunk_len(size: u64, index: u64) -> u32 {
    let left = size.saturating_sub(chunk_offset(index));
    u32::try_from(left).unwrap_or(CHUNK_SIZE).min(CHUNK_SIZE)
}

/// The digest of chunk `index` of a file of `size` bytes, which consists of `data`.
#[must_use]
pub fn chunk_digest(algorithm: Algorithm, size: u64, index: u64, data: &[u8]) -> Digest {
    let mut hasher = ChunkHasher::new(algorithm, size, index);
    hasher.update(data);
    hasher.finish()
}

/// A chunk of zeros.
pub(crate) static ZEROS: [u8; CHUNK_SIZE as usize] = [0; CHUNK_SIZE as usize];

/// The digest of chunk `index` of a file of `size` bytes, if it is all zeros.
#[must_use]
pub fn hole_digest(algorithm: Algorithm, size: u64, index: u64) -> Digest {
    static WHOLE: OnceLock<Digest> = OnceLock::new();
    let data = &ZEROS[..chunk_len(size, index) as usize];
    match algorithm {
        Algorithm::Sha256 if data.len() == CHUNK_SIZE as usize => {
            *WHOLE.get_or_init(|| chunk_digest(algorithm, size, index, data))
        }
        _ => chunk_digest(algorithm, size, index, data),
    }
}

/// Makes the digest of a chunk from its bytes, in order and in pieces of any size. It is at its
/// fastest with pieces that begin at a multiple of 16 KiB in the chunk.
#[derive(Debug, Clone)]
pub struct ChunkHasher(Hasher);

// Where one lives, its size is nothing beside the chunk's; to allocate it costs more.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone)]
enum Hasher {
    Sha256(Sha256),
    /// Whether it is the root of its file's tree, or below that.
    Blake3(blake3::Hasher, bool),
}

impl ChunkHasher {
    /// For chunk `index` of a file of `size` bytes.
    #[must_use]
    pub fn new(algorithm: Algorithm, size: u64, index: u64) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Blake3 => {
                let mut hasher = blake3::Hasher::new();
                let is_root = size <= u64::from(CHUNK_SIZE);
                if !is_root {
                    hasher.set_input_offset(chunk_offset(index));
                }
                Hasher::Blake3(hasher, is_root)
            }
        })
    }

    /// For the next `length` bytes of a stream.
    #[must_use]
    pub fn of_stream(algorithm: Algorithm, length: u32) -> Self {
        Self::new(algorithm, length.into(), 0)
    }

    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            Hasher::Sha256(hasher) => hasher.update(data),
            Hasher::Blake3(hasher, _) => {
                hasher.update(data);
            }
        }
    }

    /// The digest.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(match self.0 {
            Hasher::Sha256(hasher) => hasher.finalize().into(),
            Hasher::Blake3(hasher, true) => hasher.finalize().into(),
            Hasher::Blake3(hasher, false) => hasher.finalize_non_root(),
        })
    }
}

/// SHA-256 of `parts`, one after the other; for fingerprints and names, not for files.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

/// Makes the digest of a file from those of its chunks, which may come in nearly any order.
/// Memory is bounded by [`MAX_WAITING_DIGESTS`].
#[derive(Debug)]
pub struct FileDigest {
    chunks: u64,
    next: u64,
    waiting: BTreeMap<u64, Digest>,
    state: DigestState,
}

#[derive(Debug)]
enum DigestState {
    /// A file of one chunk, and its digest once it is there.
    Single(Option<Digest>),
    Sha256(Sha256),
    /// The chaining values of complete subtrees, largest first.
    Blake3(Vec<[u8; 32]>),
    /// A stream of any algorithm, and whether it has ended.
    Stream(Box<ChunkHasher>, bool),
}

/// A chunk came so far ahead of the first missing one that its digest cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFarAhead;

impl FileDigest {
    /// For a file of `size` bytes.
    #[must_use]
    pub fn new(algorithm: Algorithm, size: u64) -> Self {
        let chunks = chunk_count(size);
        let state = match algorithm {
            _ if chunks == 1 => DigestState::Single(None),
            Algorithm::Sha256 => {
                let mut hasher = Sha256::new();
                hasher.update(FILE_DOMAIN);
                hasher.update(size.to_le_bytes());
                DigestState::Sha256(hasher)
            }
            Algorithm::Blake3 => DigestState::Blake3(Vec::new()),
        };
        Self {
            chunks,
            next: 0,
            waiting: BTreeMap::new(),
            state,
        }
    }

    /// For a stream. Its chunks must come in order; [`Self::end_stream`] says which was the last.
    #[must_use]
    pub fn of_stream(algorithm: Algorithm) -> Self {
        let mut hasher = ChunkHasher::of_stream(algorithm, 0);
        hasher.update(STREAM_DOMAIN);
        Self {
            chunks: u64::MAX,
            next: 0,
            waiting: BTreeMap::new(),
            state: DigestState::Stream(Box::new(hasher), false),
        }
    }

    /// Ends a stream, which has `size` bytes.
    pub fn end_stream(&mut self, size: u64) {
        if let DigestState::Stream(hasher, ended @ false) = &mut self.state {
            hasher.update(&size.to_le_bytes());
            *ended = true;
            self.chunks = self.next;
        }
    }

    /// Takes the digest of chunk `index`. Each chunk must come once.
    pub fn push(&mut self, index: u64, digest: Digest) -> Result<(), TooFarAhead> {
        if index != self.next {
            if self.waiting.len() >= MAX_WAITING_DIGESTS {
                return Err(TooFarAhead);
            }
            self.waiting.insert(index, digest);
            return Ok(());
        }
        self.append(digest);
        while let Some(digest) = self.waiting.remove(&self.next) {
            self.append(digest);
        }
        Ok(())
    }

    /// The first chunk whose digest has not come.
    #[must_use]
    pub fn next_missing(&self) -> u64 {
        self.next
    }

    /// Whether the digest of chunk `index` has come.
    #[must_use]
    pub fn has(&self, index: u64) -> bool {
        index < self.next || self.waiting.contains_key(&index)
    }

    fn append(&mut self, digest: Digest) {
        match &mut self.state {
            DigestState::Single(slot) => *slot = Some(digest),
            DigestState::Sha256(hasher) => hasher.update(digest.0),
            DigestState::Stream(hasher, _) => hasher.update(&digest.0),
            DigestState::Blake3(stack) => {
                // Before the n-th chunk, n in binary says which subtrees are complete. Merging
                // only then keeps the last merge, which must be the root's, for `finish`.
                while stack.len() > self.next.count_ones() as usize {
                    merge_top(stack);
                }
                stack.push(digest.0);
            }
        }
        self.next += 1;
    }

    /// The file's digest; none while a chunk is missing.
    #[must_use]
    pub fn finish(&self) -> Option<Digest> {
        if self.next != self.chunks {
            return None;
        }
        match &self.state {
            DigestState::Single(digest) => *digest,
            DigestState::Sha256(hasher) => Some(Digest(hasher.clone().finalize().into())),
            DigestState::Stream(hasher, ended) => ended.then(|| (**hasher).clone().finish()),
            DigestState::Blake3(stack) => {
                let mut stack = stack.clone();
                while stack.len() > 2 {
                    merge_top(&mut stack);
                }
                let (left, right) = (stack.first()?, stack.get(1)?);
                Some(Digest(merge_subtrees_root(left, right, Mode::Hash).into()))
            }
        }
    }
}

fn merge_top(stack: &mut Vec<[u8; 32]>) {
    if let (Some(right), Some(left)) = (stack.pop(), stack.pop()) {
        stack.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = CHUNK_SIZE as usize;

    fn bytes(len: usize) -> Vec<u8> {
        (0..251).cycle().step_by(31).take(len).collect()
    }

    fn file_digest(algorithm: Algorithm, data: &[u8], order: impl Fn(&mut Vec<u64>)) -> Digest {
        let size = data.len() as u64;
        let mut indices: Vec<u64> = (0..chunk_count(size)).collect();
        order(&mut indices);
        let mut file = FileDigest::new(algorithm, size);
        for i in indices {
            assert_eq!(file.finish(), None);
            let at = usize::try_from(chunk_offset(i)).unwrap();
            let chunk = &data[at..at + chunk_len(size, i) as usize];
            file.push(i, chunk_digest(algorithm, size, i, chunk))
                .unwrap();
        }
        file.finish().unwrap()
    }

    #[test]
    fn small_files_have_the_digest_that_everyone_knows() {
        for len in [0, 1, CHUNK - 1, CHUNK] {
            let data = bytes(len);
            assert_eq!(
                file_digest(Algorithm::Sha256, &data, |_| ()),
                sha256(&[&data])
            );
        }
        assert_eq!(
            file_digest(Algorithm::Sha256, b"abc", |_| ()).to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn blake3_is_always_that_of_the_whole_file() {
        for len in [
            0,
            1,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            2 * CHUNK,
            3 * CHUNK,
            5 * CHUNK + 7,
            8 * CHUNK,
        ] {
            let data = bytes(len);
            let whole = Digest(blake3::hash(&data).into());
            assert_eq!(
                file_digest(Algorithm::Blake3, &data, |_| ()),
                whole,
                "{len}"
            );
            assert_eq!(
                file_digest(Algorithm::Blake3, &data, |i| i.reverse()),
                whole
            );
        }
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let data = bytes(5 * CHUNK + 3);
        let forward = file_digest(Algorithm::Sha256, &data, |_| ());
        assert_eq!(
            file_digest(Algorithm::Sha256, &data, |i| i.reverse()),
            forward
        );
        assert_eq!(
            file_digest(Algorithm::Sha256, &data, |i| i.swap(1, 3)),
            forward
        );
    }

    #[test]
    fn a_stream_has_a_digest_once_it_has_ended() {
        let data = bytes(CHUNK + 5);
        for (algorithm, hash) in [
            (Algorithm::Sha256, sha256 as fn(&[&[u8]]) -> Digest),
            (Algorithm::Blake3, |parts| {
                Digest(blake3::hash(&parts.concat()).into())
            }),
        ] {
            let mut stream = FileDigest::of_stream(algorithm);
            for (index, chunk) in (0..).zip(data.chunks(CHUNK)) {
                assert_eq!(stream.finish(), None);
                let mut hasher =
                    ChunkHasher::of_stream(algorithm, u32::try_from(chunk.len()).unwrap());
                hasher.update(chunk);
                let digest = hasher.finish();
                assert_eq!(digest, hash(&[chunk]));
                stream.push(index, digest).unwrap();
            }
            assert_eq!(stream.finish(), None);
            stream.end_stream(data.len() as u64);
            let (first, second) = (hash(&[&data[..CHUNK]]), hash(&[&data[CHUNK..]]));
            let size = (data.len() as u64).to_le_bytes();
            let all = hash(&[STREAM_DOMAIN, &first.0, &second.0, &size]);
            assert_eq!(stream.finish(), Some(all));
        }
    }

    #[test]
    fn digests_far_ahead_are_refused() {
        let mut file = FileDigest::new(Algorithm::Sha256, u64::MAX);
        for i in 1..=MAX_WAITING_DIGESTS as u64 {
            file.push(i, Digest([0; 32])).unwrap();
        }
        assert_eq!(file.push(1 << 40, Digest([0; 32])), Err(TooFarAhead));
    }

    #[test]
    fn chunks_cover_a_file() {
        for size in [0u64, 1, 1 << 20, (1 << 20) + 1, u64::MAX] {
            let n = chunk_count(size);
            assert_eq!(
                chunk_offset(n - 1).saturating_add(u64::from(chunk_len(size, n - 1))),
                size
            );
            assert_eq!(chunk_len(size, n.saturating_add(1)), 0);
        }
    }
}

//! `Sums`: a list of the files that were received, with their SHA-256, as `sha256sum` writes it and
//! checks it in the receive directory.
//!
//! Must not fail a file: what cannot be written down is said, and that is all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::digest::{Algorithm, ChunkHasher, Digest};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::progress::Event;
use crate::relpath::RelPath;

use super::session::{Receiving, Target};

/// A list of sums, to which lines are added.
#[derive(Debug)]
pub(super) struct Sums(File);

impl Sums {
    /// Opens a list, or makes a new one.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.map(Self).map_err(|e| Error::file("open", path, e))
    }

    fn add(&self, path: &RelPath, digest: Digest) -> io::Result<()> {
        // In one piece: several threads, or programs, may add to it.
        (&self.0).write_all(&line(path.as_bytes(), digest))
    }
}

impl Receiving {
    /// Writes down the sum of a file that was stored, where sums are wanted; `digest` is that of
    /// the whole file, if it is known.
    pub(super) fn add_sum(&self, path: &RelPath, digest: Option<Digest>, outcome: &Outcome) {
        let Some(sums) = self.sums.as_ref() else {
            return;
        };
        let path = match outcome {
            Outcome::Stored(Some(other)) => other,
            Outcome::Stored(None) | Outcome::Replaced => path,
            _ => return,
        };
        let known = digest.filter(|_| self.algorithm == Algorithm::Sha256);
        let digest = known.map_or_else(|| self.sum(path), Ok);
        if let Err(source) = digest.and_then(|digest| sums.add(path, digest)) {
            self.progress.event(&Event::Warning {
                session: self.session,
                error: &Error::file("write down the SHA-256 of", path.as_path(), source),
            });
        }
    }

    /// The SHA-256 of a file that was stored.
    fn sum(&self, path: &RelPath) -> io::Result<Digest> {
        // The first chunk has the plain hash of its bytes, and this takes any number of them.
        let mut sum = ChunkHasher::new(Algorithm::Sha256, 0, 0);
        let Target::Folder(store) = &self.target else {
            return Err(io::ErrorKind::NotFound.into());
        };
        store.read_back(path, |bytes| sum.update(bytes))?;
        Ok(sum.finish())
    }
}

/// A line of the list, as GNU's `sha256sum` has it: a name that would break the line is escaped,
/// and the line begins with a backslash then.
fn line(name: &[u8], digest: Digest) -> Vec<u8> {
    let mut line = Vec::with_capacity(name.len() + 68);
    if name.iter().any(|byte| b"\\\n\r".contains(byte)) {
        line.push(b'\\');
    }
    line.extend_from_slice(digest.to_string().as_bytes());
    line.extend_from_slice(b"  ");
    for &byte in name {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            other => line.push(other),
        }
    }
    line.push(b'\n');
    line
}

//! `Sums`: a list of the files that were received, with their SHA-256, as `sha256sum` writes it and
//! checks it in the receive directory. A line holds until a later one has the same name; then it
//! becomes a comment.
//!
//! Must not fail a file: what cannot be written down is said, and in the end once more. Must not move lines
//! either: others may add to the list at the same time.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, IoSlice, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::digest::{Algorithm, ChunkHasher, Digest};
use crate::model::error::{Action, Error, Result};
use crate::model::outcome::Outcome;
use crate::model::progress::Event;
use crate::model::relpath::RelPath;
use crate::sys::{name as system_name, vectored};

use super::session::{Receiving, Target};

/// How a line begins that does not count any more.
const COMMENT: &[u8] = b"#";
/// How many digits a SHA-256 has.
const DIGITS: usize = 64;

/// A list of sums, to which lines are added.
#[derive(Debug)]
pub(crate) struct Sums {
    path: PathBuf,
    end: File,
    /// None where it is no file that can be read, such as a pipe.
    whole: Option<Mutex<File>>,
    /// The folder where it is to be checked.
    base: PathBuf,
    /// Whether it lacks something that it should have.
    incomplete: AtomicBool,
}

impl Sums {
    /// Opens a list that is to be checked in `base`, or makes a new one.
    pub(crate) fn open(path: &Path, base: &Path) -> Result<Self> {
        let end = OpenOptions::new().append(true).create(true).open(path);
        let end = end.map_err(|e| Error::file(Action::AddSums, path, e))?;
        let is_file = end.metadata().is_ok_and(|meta| meta.is_file());
        let whole = || OpenOptions::new().read(true).write(true).open(path).ok();
        Ok(Self {
            path: path.to_path_buf(),
            end,
            whole: is_file.then(whole).flatten().map(Mutex::new),
            base: base.to_path_buf(),
            incomplete: AtomicBool::new(false),
        })
    }

    /// Adds what was stored at `path` in the folder `dir`.
    fn add(&self, dir: &Path, path: &RelPath, digest: Digest) -> io::Result<()> {
        // Another folder need not be below the one where the list is checked.
        let dir = dir.strip_prefix(&self.base).unwrap_or(dir);
        let path = dir.join(path.as_path());
        // In one piece: several threads, or programs, may add to it.
        (&self.end).write_all(&line(system_name::from_system(&path), digest))
    }

    /// Makes comments of the lines whose name a later one has. What was added before this ends,
    /// at any moment, is a whole list.
    fn settle(&self) -> io::Result<()> {
        let Some(whole) = &self.whole else {
            return Ok(());
        };
        let mut file = whole.lock().unwrap_or_else(PoisonError::into_inner);
        file.rewind()?;
        let file = &*file;
        let mut list = BufReader::new(file);
        // Where the last line of each name is. Names would take too much memory; two that have the
        // same pair of hashes are not to be found.
        let hashes = (RandomState::new(), RandomState::new());
        let mut last = HashMap::new();
        let (mut at, mut line) = (0, Vec::new());
        loop {
            line.clear();
            let bytes = list.read_until(b'\n', &mut line)?;
            // One that has no end yet is just being written.
            if bytes == 0 || !line.ends_with(b"\n") {
                return Ok(());
            }
            if let Some(name) = name(&line) {
                let key = (hashes.0.hash_one(name), hashes.1.hash_one(name));
                if let Some(earlier) = last.insert(key, at) {
                    vectored::write_all_at(file, &mut [IoSlice::new(COMMENT)], earlier)?;
                }
            }
            at += bytes as u64;
        }
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
        if let Err(source) = digest.and_then(|digest| sums.add(&self.dir, path, digest)) {
            sums.incomplete.store(true, Ordering::Relaxed);
            self.progress.event(&Event::Warning {
                session: self.session,
                error: &Error::file(Action::Sum, path.as_path(), source),
            });
        }
    }

    /// Puts the list in order, behind the last line of this session.
    pub(crate) fn settle_sums(&self) {
        let Some(sums) = self.sums.as_ref() else {
            return;
        };
        if let Err(source) = sums.settle() {
            sums.incomplete.store(true, Ordering::Relaxed);
            self.progress.event(&Event::Warning {
                session: self.session,
                error: &Error::file(Action::SortSums, &sums.path, source),
            });
        }
    }

    /// An error where the list does not have all that it should have.
    pub(crate) fn check_sums(&self) -> Result<()> {
        match &self.sums {
            Some(sums) if sums.incomplete.load(Ordering::Relaxed) => Err(Error::Unsummed {
                path: sums.path.clone(),
            }),
            _ => Ok(()),
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
    // This would be standard input.
    if name == b"-" {
        line.extend_from_slice(b"./");
    }
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

/// What the line of a file says its name is, escaped as it is; nothing where it is no such line.
fn name(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(b"\\").unwrap_or(line);
    let (digits, name) = line.split_at_checked(DIGITS)?;
    let is_sum = digits.iter().all(u8::is_ascii_hexdigit) && name.starts_with(b"  ");
    is_sum.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_alone_is_a_file() {
        let text = |name: &[u8]| String::from_utf8(line(name, Digest([0; 32]))).unwrap();
        assert!(text(b"-").ends_with("00  ./-\n"));
        assert!(text(b"-n").ends_with("00  -n\n"));
    }
}

//! `Sums`: a list of the files that were received, with their SHA-256, as `sha256sum` writes it and
//! checks it in the receive directory. A line holds until a later one has the same name; then it
//! becomes a comment.
//!
//! Must not fail a file: what cannot be written down is said, and in the end once more. Must not
//! move lines either: others may add to the list at the same time.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::digest::{Algorithm, ChunkHasher, Digest};
use crate::model::error::{Action, Error, Result};
use crate::model::outcome::Outcome;
use crate::model::progress::{Event, Progress};
use crate::model::relpath::RelPath;
use crate::store::StoreSession;
use crate::sys::{name as system_name, private, vectored};

use super::turns::Turns;

/// How a line begins that does not count any more.
const COMMENT: &[u8] = b"#";
/// How many digits a SHA-256 has.
const DIGITS: usize = 64;
/// Of how many lines it is remembered where they are: 16 bytes each, and some. Of a longer list all
/// is read again after each session.
const MAX_KNOWN: usize = 1 << 20;

/// Who hashes a piece of a hole: a sender that says in a few bytes how large they are gets no more for
/// it than one processor, for all its sessions.
static HOLES: Turns = Turns::new();
/// How many bytes of holes of a file are hashed even when its session is over: a fraction of a
/// second's work.
const FEW_HOLES: u64 = 64 << 20;

/// A list of sums, to which lines are added.
#[derive(Debug)]
pub(crate) struct Sums {
    path: PathBuf,
    end: File,
    /// None where it is no file that can be read, such as a pipe.
    lines: Option<Mutex<SumLines>>,
    /// The folder where it is to be checked.
    base: PathBuf,
    /// Whether it lacks something that it should have.
    incomplete: AtomicBool,
}

impl Sums {
    /// Opens a list that is to be checked in `base`, or makes a new one.
    pub(crate) fn open(path: &Path, base: &Path) -> Result<Self> {
        let end = private::append_to(path).map_err(|e| Error::file(Action::AddSums, path, e))?;
        let is_file = end.metadata().is_ok_and(|meta| meta.is_file());
        let whole = || OpenOptions::new().read(true).write(true).open(path).ok();
        Ok(Self {
            path: path.to_path_buf(),
            end,
            lines: is_file
                .then(whole)
                .flatten()
                .map(SumLines::of)
                .map(Mutex::new),
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
        match &self.lines {
            Some(lines) => lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .settle(),
            None => Ok(()),
        }
    }
}

/// Where the last line of each name is, by a hash of it.
type KnownLines = HashMap<u64, u64>;

/// What is known of the lines of a list.
#[derive(Debug)]
struct SumLines {
    file: File,
    hasher: RandomState,
    /// None of a list of too many lines.
    known: Option<KnownLines>,
    /// Up to where lines have been looked at.
    end: u64,
    most: usize,
}

impl SumLines {
    fn of(file: File) -> Self {
        Self {
            file,
            hasher: RandomState::new(),
            known: Some(KnownLines::new()),
            end: 0,
            most: MAX_KNOWN,
        }
    }

    /// Looks at the lines that have been added.
    fn settle(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() < self.end {
            // Somebody has made it shorter, or begun it anew.
            (self.known, self.end) = (Some(KnownLines::new()), 0);
        }
        while self.settle_some()? {}
        Ok(())
    }

    /// Looks at as many added lines as can be remembered; says whether there may be more.
    fn settle_some(&mut self) -> io::Result<bool> {
        let (begin, mut added) = (self.end, KnownLines::new());
        let mut more = false;
        let end = self.each(begin, u64::MAX, |lines, name, at| {
            let key = lines.hasher.hash_one(name);
            if let Some(earlier) = added.insert(key, at) {
                lines.comment(earlier, name)?;
            }
            more = added.len() >= lines.most;
            Ok(!more)
        })?;
        match self.known.take() {
            Some(mut known) => {
                for (key, at) in added {
                    if let Some(earlier) = known.insert(key, at) {
                        let name = self.name_at(at)?;
                        self.comment(earlier, &name)?;
                    }
                }
                self.known = Some(known).filter(|known| known.len() <= self.most);
            }
            None => {
                self.each(0, begin, |lines, name, at| {
                    if added.contains_key(&lines.hasher.hash_one(name)) {
                        lines.comment(at, name)?;
                    }
                    Ok(true)
                })?;
            }
        }
        self.end = end;
        Ok(more)
    }

    /// Gives each line of a sum from `begin` on, that begins before `end`, to `f`, which says
    /// whether to go on. Says where the next one begins.
    fn each(
        &self,
        begin: u64,
        end: u64,
        mut f: impl FnMut(&Self, &[u8], u64) -> io::Result<bool>,
    ) -> io::Result<u64> {
        let mut list = BufReader::new(FromPlace {
            file: &self.file,
            at: begin,
        });
        let (mut at, mut line) = (begin, Vec::new());
        while at < end {
            line.clear();
            let bytes = list.read_until(b'\n', &mut line)?;
            // One that has no end yet is just being written.
            if bytes == 0 || !line.ends_with(b"\n") {
                break;
            }
            let this = at;
            at += bytes as u64;
            if let Some(name) = name(&line)
                && !f(self, name, this)?
            {
                break;
            }
        }
        Ok(at)
    }

    fn name_at(&self, at: u64) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        self.each(at, at + 1, |_, name, _| {
            found = name.to_vec();
            Ok(false)
        })?;
        Ok(found)
    }

    /// Makes a comment of the line at a place, if it is one of this name.
    fn comment(&self, at: u64, of: &[u8]) -> io::Result<()> {
        // Whatever is escaped has a backslash in it, and begins with one.
        let escape = usize::from(of.contains(&b'\\'));
        let mut line = vec![0; escape + DIGITS + of.len()];
        match vectored::read_exact_at(&self.file, &mut [IoSliceMut::new(&mut line)], at) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        match name(&line) == Some(of) {
            true => vectored::write_all_at(&self.file, &mut [IoSlice::new(COMMENT)], at),
            false => Ok(()),
        }
    }
}

/// Reads a file from a place on, whatever else is read or written of it by the same handle.
struct FromPlace<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromPlace<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What is written at a place moves the file's own on some systems.
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.at))?;
        let n = file.read(buffer)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// The list of sums, as one session adds to it.
pub(crate) struct SessionSums {
    pub(crate) sums: Arc<Sums>,
    pub(crate) store: Arc<StoreSession>,
    /// Says whether the session is over.
    pub(crate) is_over: Box<dyn Fn() -> bool + Send + Sync>,
    pub(crate) algorithm: Algorithm,
    pub(crate) session: u64,
    pub(crate) progress: Arc<dyn Progress>,
}

impl SessionSums {
    /// Writes down the sum of a file that was stored; `digest` is that of the whole file, if it
    /// is known.
    pub(crate) fn add(&self, path: &RelPath, digest: Option<Digest>, outcome: &Outcome) {
        let path = match outcome {
            Outcome::Stored(Some(other)) => other,
            Outcome::Stored(None) | Outcome::Replaced => path,
            _ => return,
        };
        let known = digest.filter(|_| self.algorithm == Algorithm::Sha256);
        let digest = known.map_or_else(|| self.sum(path), Ok);
        let dir = self.store.path();
        if let Err(source) = digest.and_then(|digest| self.sums.add(dir, path, digest)) {
            self.warn(&Error::file(Action::Sum, path.as_path(), source));
        }
    }

    /// Puts the list in order, behind the last line of this session.
    pub(crate) fn settle(&self) {
        if let Err(source) = self.sums.settle() {
            self.warn(&Error::file(Action::SortSums, &self.sums.path, source));
        }
    }

    fn warn(&self, error: &Error) {
        self.sums.incomplete.store(true, Ordering::Relaxed);
        self.progress.event(&Event::Warning {
            session: self.session,
            error,
        });
    }

    /// An error where the list does not have all that it should have.
    pub(crate) fn check(&self) -> Result<()> {
        match self.sums.incomplete.load(Ordering::Relaxed) {
            true => Err(Error::Unsummed {
                path: self.sums.path.clone(),
            }),
            false => Ok(()),
        }
    }

    /// The SHA-256 of a file that was stored. Once the session is over, holes of any size are given
    /// up: they cost their sender nothing. What came is read to its end.
    fn sum(&self, path: &RelPath) -> io::Result<Digest> {
        // The first chunk has the plain hash of its bytes, and this takes any number of them.
        let mut sum = ChunkHasher::new(Algorithm::Sha256, 0, 0);
        let mut holes = 0;
        self.store.read_back(path, |bytes, is_hole| {
            let turn = is_hole.then(|| HOLES.wait());
            if turn.is_some() {
                holes += bytes.len() as u64;
                if holes > FEW_HOLES && (self.is_over)() {
                    return Err(io::Error::other("the session ended"));
                }
            }
            sum.update(bytes);
            Ok(())
        })?;
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

/// What the line of a file says its name is, escaped as it is, with all that is before and behind
/// it; nothing where it is no such line.
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

    /// Adds lines of these names, one after the other, as sessions do, and gives the names of
    /// those that count.
    fn settled(most: usize, sessions: &[&[&str]]) -> Vec<String> {
        let mut file = tempfile::tempfile().unwrap();
        let mut lines = SumLines::of(file.try_clone().unwrap());
        lines.most = most;
        for (n, names) in sessions.iter().enumerate() {
            file.seek(SeekFrom::End(0)).unwrap();
            for name in *names {
                let digest = Digest([u8::try_from(n).unwrap(); 32]);
                file.write_all(&line(name.as_bytes(), digest)).unwrap();
            }
            lines.settle().unwrap();
        }
        file.rewind().unwrap();
        let all = io::read_to_string(file).unwrap();
        let count = all.lines().filter(|line| !line.starts_with('#'));
        count
            .map(|line| format!("{}{}", &line[1..2], &line[66..]))
            .collect()
    }

    #[test]
    fn the_last_line_of_a_name_counts_however_few_are_remembered() {
        let sessions = [
            &["a", "b", "c", "a"][..],
            &["d", "e"],
            &["b", "f", "ab", "b"],
            &["new\nline", "a"],
            &["new\nline", "g"],
        ];
        for most in [1, 2, 3, 5, 100] {
            let mut lines = settled(most, &sessions);
            lines.sort();
            let counts = ["0c", "1d", "1e", "2ab", "2b", "2f", "3a", "4g"];
            let (escaped, plain): (Vec<_>, Vec<_>) =
                lines.into_iter().partition(|line| line.contains('\\'));
            assert_eq!(plain, counts, "{most}");
            assert_eq!(escaped.len(), 1, "{most}");
        }
    }

    #[test]
    fn what_was_looked_at_is_not_read_again() {
        let mut file = tempfile::tempfile().unwrap();
        let mut lines = SumLines::of(file.try_clone().unwrap());
        for n in 0..1000u32 {
            let name = n.to_string();
            file.write_all(&line(name.as_bytes(), Digest([0; 32])))
                .unwrap();
        }
        lines.settle().unwrap();
        assert_eq!(lines.end, file.metadata().unwrap().len());
        assert_eq!(lines.known.as_ref().map(HashMap::len), Some(1000));
        // It is begun anew.
        file.set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(&line(b"7", Digest([0; 32]))).unwrap();
        lines.settle().unwrap();
        assert_eq!(lines.known.as_ref().map(HashMap::len), Some(1));
    }
}

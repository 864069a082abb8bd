//! `ZipBody`: a zip archive of what is shared, made as it is sent.
//!
//! Must not hold more than a piece of it, and its directory.
//!
//! A file that cannot be opened is left out, and a text at the end of the archive names it: one such
//! file is no reason to have nothing of 70,000. One that fails or changes while it is read ends the
//! download with an error, since its first bytes are on their way.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame};

use super::file_body::{check_unchanged, shorter};
use super::limits::READ_BYTES;
use super::told::ToldDownload;
use super::zip::{ZipEntry, ZipKind, ZipWriter};
use crate::model::entry::{Kind, Mode, Target, Time};
use crate::model::relpath::RelPath;
use crate::source::{Roots, TreeReader, Walk, WalkStep, mtime_of};
use crate::sys::fs::{self, File, Stat, Timestamp};

/// What names the files that could not be read.
const LEFT_OUT: &str = "NOT INCLUDED.txt";
/// How many bytes of that are written at most.
const MAX_LEFT_OUT_BYTES: usize = 1 << 20;

/// An archive.
pub(super) struct ZipBody {
    walk: Walk,
    reader: TreeReader,
    /// What is left out of each path: that of the folder above what is wanted.
    above: usize,
    /// What is wanted; none for all.
    only: Option<RelPath>,
    zip: ZipWriter,
    open: Option<OpenEntry>,
    /// What is told of files that could not be read.
    left_out: String,
    /// How far it is behind the last entry.
    end: ZipEnd,
    told: ToldDownload,
}

/// A file that is being written.
struct OpenEntry {
    file: File,
    stat: Stat,
    path: RelPath,
    entry: ZipEntry,
    left: u64,
    hasher: crc32fast::Hasher,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ZipEnd {
    Entries,
    Directory,
    Done,
}

impl ZipBody {
    /// An archive of one thing below the roots, or of all.
    pub(super) fn new(roots: &Roots, only: Option<RelPath>, told: ToldDownload) -> Self {
        let walk = match &only {
            Some(only) => Walk::of(roots, only),
            None => Walk::new(roots, &crate::source::WalkedFolders::default()),
        };
        let parent = only.as_ref().and_then(RelPath::parent_bytes);
        Self {
            walk,
            reader: roots.reader(),
            above: parent.map_or(0, |parent| parent.len() + 1),
            only,
            zip: ZipWriter::default(),
            open: None,
            left_out: String::new(),
            end: ZipEnd::Entries,
            told,
        }
    }

    /// Writes the next piece.
    fn step(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(open) = self.open.take() {
            return self.content(open, out);
        }
        if self.end == ZipEnd::Directory {
            out.extend_from_slice(&self.zip.finish());
            self.end = ZipEnd::Done;
            self.told.complete();
            return Ok(());
        }
        match self.walk.next() {
            Some(WalkStep::Found {
                path,
                kind,
                mtime,
                mode,
                ..
            }) if self.is_wanted(&path) => self.found(path, kind, mtime, mode, out),
            Some(WalkStep::Skipped { path, .. }) => {
                self.leave_out(&path);
                Ok(())
            }
            Some(_) => Ok(()),
            None => {
                if !self.left_out.is_empty() {
                    let text = std::mem::take(&mut self.left_out).into_bytes();
                    let now = Time::from_seconds(Timestamp::now().seconds);
                    let name = LEFT_OUT.as_bytes().to_vec();
                    let mode = Mode::from_stat(0o644);
                    self.whole(name, (ZipKind::File, now, mode), &text, out);
                }
                self.end = ZipEnd::Directory;
                Ok(())
            }
        }
    }

    /// Whether something that the walk came to is no folder on the way.
    fn is_wanted(&self, path: &RelPath) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|only| path.as_bytes().len() >= only.as_bytes().len())
    }

    fn found(
        &mut self,
        path: RelPath,
        kind: Kind,
        mtime: Time,
        mode: Mode,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let mut name = path.as_bytes()[self.above..].to_vec();
        match kind {
            Kind::Dir => {
                name.push(b'/');
                self.whole(name, (ZipKind::Folder, mtime, mode), b"", out);
            }
            // Where it is unpacked, something else is there, which is not this machine's to name.
            Kind::Symlink { target } if !stays_in(&target, &name) => {}
            Kind::Symlink { target } => {
                let mode = Mode::from_stat(0o777);
                self.whole(name, (ZipKind::Link, mtime, mode), target.as_bytes(), out);
            }
            Kind::File { .. } => return self.file(path, name, mode, out),
            Kind::Stream => {}
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: RelPath,
        name: Vec<u8>,
        mode: Mode,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let opened = self.reader.open(&path).and_then(|file| {
            let stat = fs::stat(&file)?;
            Ok((file, stat))
        });
        let (mut file, stat) = match opened {
            Ok((file, stat)) if stat.is_file() => (file, stat),
            Ok(_) => return Ok(()),
            Err(_) => {
                self.leave_out(&path.as_path());
                return Ok(());
            }
        };
        let mtime = mtime_of(&stat);
        if stat.size <= READ_BYTES as u64 {
            // What is small is read first, so that its sizes come before it: that is for programs
            // that read from the front.
            let mut bytes = vec![0; usize::try_from(stat.size).unwrap_or_default()];
            let read = file.read_exact(&mut bytes).map_err(shorter);
            let read = read.and_then(|()| check_unchanged(&file, &stat));
            match read {
                Ok(()) => self.whole(name, (ZipKind::File, mtime, mode), &bytes, out),
                Err(_) => self.leave_out(&path.as_path()),
            }
            return Ok(());
        }
        let entry = ZipEntry {
            name,
            kind: ZipKind::File,
            mtime,
            mode,
            size: stat.size,
            sum: None,
        };
        self.zip.begin(&entry, out);
        self.open = Some(OpenEntry {
            left: stat.size,
            file,
            stat,
            path,
            entry,
            hasher: crc32fast::Hasher::new(),
        });
        Ok(())
    }

    /// Writes the next bytes of a file.
    fn content(&mut self, mut open: OpenEntry, out: &mut Vec<u8>) -> io::Result<()> {
        let len = READ_BYTES.min(usize::try_from(open.left).unwrap_or(READ_BYTES));
        let start = out.len();
        out.resize(start + len, 0);
        let read = open.file.read_exact(&mut out[start..]).map_err(shorter);
        open.left -= len as u64;
        let read = match (read, open.left) {
            (Ok(()), 0) => check_unchanged(&open.file, &open.stat),
            (read, _) => read,
        };
        read.map_err(|e| self.told.fail(open.path.as_path().into_owned(), e))?;
        open.hasher.update(&out[start..]);
        self.zip.content(len as u64);
        if open.left == 0 {
            self.zip.end(&open.entry, open.hasher.finalize(), out);
        } else {
            self.open = Some(open);
        }
        Ok(())
    }

    /// Writes something whose content is here.
    fn whole(
        &mut self,
        name: Vec<u8>,
        (kind, mtime, mode): (ZipKind, Time, Mode),
        content: &[u8],
        out: &mut Vec<u8>,
    ) {
        let sum = crc32fast::hash(content);
        let entry = ZipEntry {
            name,
            kind,
            mtime,
            mode,
            size: content.len() as u64,
            sum: Some(sum),
        };
        self.zip.begin(&entry, out);
        out.extend_from_slice(content);
        self.zip.content(content.len() as u64);
        self.zip.end(&entry, sum, out);
    }

    fn leave_out(&mut self, path: &Path) {
        self.told.leaves_out();
        if self.left_out.is_empty() {
            self.left_out = "These could not be read:\n".to_owned();
        }
        if self.left_out.len() < MAX_LEFT_OUT_BYTES {
            // Where it lies on this machine concerns nobody else.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let _ = writeln!(self.left_out, "{}", name.escape_debug());
        }
    }
}

/// Whether a link of this name in the archive leads to what can be in it.
fn stays_in(target: &Target, name: &[u8]) -> bool {
    RelPath::new(name).is_ok_and(|link| target.stays_below(&link))
}

impl Body for ZipBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut out = Vec::with_capacity(READ_BYTES + (READ_BYTES >> 2));
        while out.len() < READ_BYTES && self.end != ZipEnd::Done {
            if let Err(e) = self.step(&mut out) {
                return Poll::Ready(Some(Err(e)));
            }
        }
        if out.is_empty() {
            return Poll::Ready(None);
        }
        self.told.bytes += out.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(out.into()))))
    }
}

//! `FileBody`: a part of a file, as it is sent.
//!
//! Must not send the end of a file that has changed meanwhile: what was sent is of no version of it,
//! so its last bytes are held back until a second look, and the connection is cut instead.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::limits::READ_BYTES;
use super::told::ToldDownload;
use crate::model::digest::sha256;
use crate::sys::fs::{self, File, Stat};

/// A part of a file.
pub(super) struct FileBody {
    file: File,
    /// What it was when its sending began.
    stat: Stat,
    path: PathBuf,
    left: u64,
    told: ToldDownload,
}

impl FileBody {
    /// The bytes `range` of a file that was found to be `stat`.
    pub(super) fn new(
        mut file: File,
        stat: Stat,
        path: PathBuf,
        range: Range<u64>,
        told: ToldDownload,
    ) -> io::Result<Self> {
        file.seek(SeekFrom::Start(range.start))?;
        Ok(Self {
            file,
            stat,
            path,
            left: range.end - range.start,
            told,
        })
    }

    /// The next bytes.
    fn read(&mut self) -> io::Result<Bytes> {
        let len = READ_BYTES.min(usize::try_from(self.left).unwrap_or(READ_BYTES));
        let mut bytes = Vec::with_capacity(len);
        let read = (&mut self.file).take(len as u64).read_to_end(&mut bytes)?;
        if read < len {
            return Err(changed());
        }
        self.left -= len as u64;
        if self.left == 0 {
            check_unchanged(&self.file, &self.stat)?;
        }
        Ok(bytes.into())
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let read = self.read();
        Poll::Ready(Some(match read {
            Ok(bytes) => {
                self.told.bytes += bytes.len() as u64;
                if self.left == 0 {
                    self.told.complete();
                }
                Ok(Frame::data(bytes))
            }
            Err(error) => {
                let path = self.path.clone();
                Err(self.told.fail(path, error))
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A file that ends too early has become shorter.
pub(super) fn shorter(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => changed(),
        _ => error,
    }
}

/// Fails unless a file is what it was.
pub(super) fn check_unchanged(file: &File, before: &Stat) -> io::Result<()> {
    let now = fs::stat(file)?;
    let state = |stat: &Stat| (stat.id, stat.size, stat.mtime, stat.ctime);
    match state(&now) == state(before) {
        true => Ok(()),
        false => Err(changed()),
    }
}

fn changed() -> io::Error {
    io::Error::other("it changed while it was sent")
}

/// Names a version of a file (`ETag`), by what the system says of it: to hash its content would have
/// everyone wait before the first byte.
pub(super) fn tag(stat: &Stat) -> String {
    let Stat {
        id,
        size,
        mtime,
        ctime,
        ..
    } = stat;
    let numbers = [id.device, id.inode, *size].map(u64::to_be_bytes);
    let times = [mtime, ctime].map(|time| {
        let nanos = time.nanos.to_be_bytes();
        [&time.seconds.to_be_bytes()[..], &nanos].concat()
    });
    let digest = sha256(&[b"xfer etag 1", &numbers.concat(), &times.concat()]);
    let digits = digest.0.iter().take(16);
    let digits: String = digits.map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

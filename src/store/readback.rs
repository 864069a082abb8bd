//! Reading a file that was stored.
//!
//! Must not follow links: what is read is what has that name below the receive directory.

use std::io::{self, Read};

use rustix::fs::{FileType, Mode, OFlags};

use super::StoreSession;
use super::folder::{file_type, open_dir};
use crate::digest::CHUNK_SIZE;
use crate::relpath::RelPath;

impl StoreSession {
    /// Reads the file at `path`, from its beginning to its end.
    pub fn read_back(&self, path: &RelPath, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut dir = self.store.dir.try_clone()?;
        let mut names = path.as_bytes().split(|&b| b == b'/').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_some() {
                dir = open_dir(&dir, name)?;
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&dir, name, flags, Mode::empty())?;
            if file_type(&rustix::fs::fstat(&file)?) != FileType::RegularFile {
                return Err(io::Error::other("it is no file any more"));
            }
            let mut file = std::fs::File::from(file);
            let mut buffer = vec![0; CHUNK_SIZE as usize];
            loop {
                match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => take(&buffer[..n]),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }
}

//! Reading a file that was stored.
//!
//! Must not follow links: what is read is what has that name below the receive directory.

use std::io::{self, Read};

use rustix::io::Errno;

use super::StoreSession;
use super::folder::open_file;
use super::partial::folder_of;
use crate::model::digest::CHUNK_SIZE;
use crate::model::relpath::RelPath;

impl StoreSession {
    /// Reads the file at `path`, from its beginning to its end.
    pub fn read_back(&self, path: &RelPath, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let dir = folder_of(&self.store.dir, path)?.ok_or(Errno::NOENT)?;
        let mut file = open_file(&dir, path.file_name())?;
        let mut buffer = vec![0; CHUNK_SIZE as usize];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => take(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

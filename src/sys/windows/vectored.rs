//! Reading and writing at a place in a file, in pieces of memory that do not lie side by side.
//!
//! Must not stop short: all of it, or an error. The file's own place moves, which nobody may rely on.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::windows::fs::FileExt as _;

/// Fills all `pieces` with what is in `file` from `offset` on. A file that ends before that is an
/// [`io::ErrorKind::UnexpectedEof`].
pub fn read_exact_at(
    file: &File,
    pieces: &mut [IoSliceMut<'_>],
    mut offset: u64,
) -> io::Result<()> {
    for piece in pieces {
        let mut rest = &mut **piece;
        while !rest.is_empty() {
            let n = match file.seek_read(rest, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            offset += n as u64;
            rest = &mut rest[n..];
        }
    }
    Ok(())
}

/// Writes all `pieces` to `file`, from `offset` on.
pub fn write_all_at(file: &File, pieces: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    for piece in pieces {
        let mut rest = &**piece;
        while !rest.is_empty() {
            let n = match file.seek_write(rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            offset += n as u64;
            rest = &rest[n..];
        }
    }
    Ok(())
}

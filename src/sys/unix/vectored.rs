//! Reads and writes at an offset in a file, in pieces of memory that are not adjacent.
//!
//! Must not stop short: it is all of it, or an error. Nobody may rely on the file's own place.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;

use rustix::io::Errno;

/// Fills all `pieces` with what is in `file` from `offset` on. A file that ends before that is an
/// [`io::ErrorKind::UnexpectedEof`].
pub fn read_exact_at(
    file: impl AsFd,
    mut pieces: &mut [IoSliceMut<'_>],
    mut offset: u64,
) -> io::Result<()> {
    // Empty ones would make the end of a file of what is none.
    IoSliceMut::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        let n = match read_at(&file, pieces, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        };
        offset += n as u64;
        IoSliceMut::advance_slices(&mut pieces, n);
    }
    Ok(())
}

/// Writes all `pieces` to `file`, from `offset` on.
pub fn write_all_at(
    file: impl AsFd,
    mut pieces: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        let n = match write_at(&file, pieces, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => n,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        };
        offset += n as u64;
        IoSlice::advance_slices(&mut pieces, n);
    }
    Ok(())
}

/// How many pieces the system takes at once, at least (POSIX's `_XOPEN_IOV_MAX` is 16, Linux and
/// the BSDs take this many).
#[cfg(not(target_vendor = "apple"))]
const MAX_PIECES: usize = 1024;

#[cfg(not(target_vendor = "apple"))]
fn read_at(file: impl AsFd, pieces: &mut [IoSliceMut<'_>], at: u64) -> Result<usize, Errno> {
    let count = pieces.len().min(MAX_PIECES);
    rustix::io::preadv(file, &mut pieces[..count], at)
}

#[cfg(not(target_vendor = "apple"))]
fn write_at(file: impl AsFd, pieces: &[IoSlice<'_>], at: u64) -> Result<usize, Errno> {
    rustix::io::pwritev(file, &pieces[..pieces.len().min(MAX_PIECES)], at)
}

#[cfg(target_vendor = "apple")]
fn read_at(file: impl AsFd, pieces: &mut [IoSliceMut<'_>], at: u64) -> Result<usize, Errno> {
    let first = pieces.first_mut().map(|piece| &mut **piece);
    rustix::io::pread(file, first.unwrap_or_default(), at)
}

#[cfg(target_vendor = "apple")]
fn write_at(file: impl AsFd, pieces: &[IoSlice<'_>], at: u64) -> Result<usize, Errno> {
    let first = pieces.first().map(|piece| &**piece);
    rustix::io::pwrite(file, first.unwrap_or_default(), at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_and_written_in_order() {
        let file = tempfile::tempfile().unwrap();
        let bytes = (0..=250u8).cycle().take(3000).enumerate();
        let parts: Vec<Vec<u8>> = bytes.map(|(n, byte)| vec![byte; n % 5]).collect();
        let mut out: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        write_all_at(&file, &mut out, 7).unwrap();
        let mut back: Vec<Vec<u8>> = parts.iter().map(|part| vec![0; part.len()]).collect();
        let mut into: Vec<_> = back.iter_mut().map(|p| IoSliceMut::new(p)).collect();
        read_exact_at(&file, &mut into, 7).unwrap();
        assert_eq!(back, parts);
        let mut into: Vec<_> = back.iter_mut().map(|p| IoSliceMut::new(p)).collect();
        let short = read_exact_at(&file, &mut into, 8).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
        read_exact_at(&file, &mut [], 1 << 40).unwrap();
        read_exact_at(&file, &mut [IoSliceMut::new(&mut [])], 1 << 40).unwrap();
    }
}

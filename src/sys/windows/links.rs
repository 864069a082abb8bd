//! Symbolic links, and what else has a name and leads elsewhere: reparse points.
//!
//! Must not follow one. Nothing of this was ever run on Windows itself: Wine makes no links. It
//! follows [MS-FSCC] 2.1.2.4 and 2.1.2.5.

use std::io;
use std::os::windows::io::RawHandle;

use windows_sys::Wdk::Storage::FileSystem::FileAttributeTagInformation;
use windows_sys::Win32::Foundation::{ERROR_INVALID_NAME, ERROR_NOT_A_REPARSE_POINT};
use windows_sys::Win32::Storage::FileSystem::FILE_ATTRIBUTE_DIRECTORY;
use windows_sys::Win32::System::Ioctl::{FSCTL_GET_REPARSE_POINT, FSCTL_SET_REPARSE_POINT};
use windows_sys::Win32::System::SystemServices::{
    IO_REPARSE_TAG_MOUNT_POINT, IO_REPARSE_TAG_SYMLINK,
};

use super::name::from_units;
use super::nt::{self, error_with};
use crate::sys::fs::types::FileKind;

/// The most that a reparse point holds, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// Where the names begin in what a symbolic link holds, and in a junction.
const NAMES_OF_SYMLINK: usize = 20;
const NAMES_OF_JUNCTION: usize = 16;
/// That a symbolic link leads on from the folder that it is in.
const RELATIVE: u32 = 1;

/// What something is that has these attributes, and this tag where it is a reparse point. One of
/// another kind is what it stands for: a file that is somewhere else, as in a cloud, or compressed.
pub(super) fn kind_of(attributes: u32, tag: u32) -> FileKind {
    match tag {
        IO_REPARSE_TAG_SYMLINK | IO_REPARSE_TAG_MOUNT_POINT => FileKind::Link,
        _ if attributes & FILE_ATTRIBUTE_DIRECTORY != 0 => FileKind::Dir,
        _ => FileKind::File,
    }
}

/// The tag of an open reparse point.
pub(super) fn tag(handle: RawHandle) -> io::Result<u32> {
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Tag {
        attributes: u32,
        tag: u32,
    }
    nt::query::<Tag>(handle, FileAttributeTagInformation).map(|found| found.tag)
}

/// Makes a link of an open file or folder that is empty.
pub(super) fn make(handle: RawHandle, target: &[u8]) -> io::Result<()> {
    let text = std::str::from_utf8(target).map_err(|_| error_with(ERROR_INVALID_NAME))?;
    let units: Vec<u16> = text.replace('/', "\\").encode_utf16().collect();
    let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let length = |n: usize| u16::try_from(n).map_err(|_| error_with(ERROR_INVALID_NAME));
    let names = length(bytes.len())?;
    let mut point = Vec::with_capacity(NAMES_OF_SYMLINK + 2 * bytes.len());
    point.extend(IO_REPARSE_TAG_SYMLINK.to_le_bytes());
    // What follows behind the next two bytes: both names, and what is before them.
    point.extend(length(NAMES_OF_SYMLINK - 8 + 2 * bytes.len())?.to_le_bytes());
    point.extend([0; 2]);
    // The name for the system, and the same for people: where each begins, and its length.
    for (at, len) in [(0, names), (names, names)] {
        point.extend(at.to_le_bytes());
        point.extend(len.to_le_bytes());
    }
    point.extend(RELATIVE.to_le_bytes());
    point.extend(&bytes);
    point.extend(&bytes);
    nt::control(handle, FSCTL_SET_REPARSE_POINT, &point, &mut []).map(drop)
}

/// Where an open link leads, with '/' between names.
pub(super) fn read(handle: RawHandle) -> io::Result<Vec<u8>> {
    let mut point = vec![0; MAX_BYTES];
    let n = nt::control(handle, FSCTL_GET_REPARSE_POINT, &[], &mut point)?;
    target(&point[..n]).ok_or_else(|| error_with(ERROR_NOT_A_REPARSE_POINT))
}

/// What a reparse point says where it leads; none where it is no link.
fn target(point: &[u8]) -> Option<Vec<u8>> {
    let two = |at: usize| Some(u16::from_le_bytes(point.get(at..at + 2)?.try_into().ok()?));
    let tag = u32::from_le_bytes(point.get(..4)?.try_into().ok()?);
    let names = match tag {
        IO_REPARSE_TAG_SYMLINK => NAMES_OF_SYMLINK,
        IO_REPARSE_TAG_MOUNT_POINT => NAMES_OF_JUNCTION,
        _ => return None,
    };
    // The name for people, or where there is none that for the system.
    let (at, bytes) = match two(14)? {
        0 => (two(8)?, two(10)?),
        bytes => (two(12)?, bytes),
    };
    let start = names + usize::from(at);
    let bytes = point.get(start..start + usize::from(bytes))?;
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .collect();
    let mut target = from_units(&units);
    target
        .iter_mut()
        .filter(|b| **b == b'\\')
        .for_each(|b| *b = b'/');
    Some(target)
}

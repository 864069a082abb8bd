//! Symbolic links, and what else has a name and leads elsewhere: reparse points.
//!
//! Must not follow one. Nothing of this was ever run on Windows itself: Wine makes no links. It
//! follows [MS-FSCC] 2.1.2.4 and 2.1.2.5.

use std::io;
use std::os::windows::io::{AsRawHandle as _, OwnedHandle, RawHandle};

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_BASIC_INFORMATION, FileAttributeTagInformation, FileBasicInformation,
};
use windows_sys::Win32::Foundation::{
    ERROR_INVALID_NAME, ERROR_NOT_A_REPARSE_POINT, ERROR_PRIVILEGE_NOT_HELD,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT,
};
use windows_sys::Win32::System::Ioctl::{FSCTL_GET_REPARSE_POINT, FSCTL_SET_REPARSE_POINT};
use windows_sys::Win32::System::SystemServices::{
    IO_REPARSE_TAG_MOUNT_POINT, IO_REPARSE_TAG_SYMLINK,
};

use super::name::{from_units, to_units};
use super::nt::{self, Behind, error_with, is_code, opening};
use crate::sys::fs::types::FileKind;

/// The most that a reparse point holds, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// Where the names begin in what a symbolic link holds, and in a junction.
const NAMES_OF_SYMLINK: usize = 20;
const NAMES_OF_JUNCTION: usize = 16;
/// What a user can do about links that they may not make.
const NEEDS_DEVELOPER_MODE: &str =
    "links need Developer Mode: turn it on in Windows Settings > System > For developers";
/// That a symbolic link leads on from the folder that it is in.
const RELATIVE: u32 = 1;

/// That a reparse point stands for a name elsewhere, whatever its kind.
const IS_SURROGATE: u32 = 0x2000_0000;
/// Aliases of programs, and the sockets, fifos and devices of Linux.
const SPECIAL: [u32; 5] = [
    0x8000_001b,
    0x8000_0023,
    0x8000_0024,
    0x8000_0025,
    0x8000_0026,
];

/// What something is that has these attributes, and this tag where it is a reparse point. One of
/// another kind is what it stands for: a file that is somewhere else, as in a cloud, or compressed.
pub(super) fn kind_of(attributes: u32, tag: u32) -> FileKind {
    match tag {
        IO_REPARSE_TAG_SYMLINK | IO_REPARSE_TAG_MOUNT_POINT => FileKind::Link,
        _ if tag & IS_SURROGATE != 0 => FileKind::Link,
        _ if SPECIAL.contains(&tag) => FileKind::Special,
        _ if attributes & FILE_ATTRIBUTE_DIRECTORY != 0 => FileKind::Dir,
        _ => FileKind::File,
    }
}

/// What something is that is open, and whether it is a reparse point.
pub(super) fn kind(handle: RawHandle) -> io::Result<(FileKind, bool)> {
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Tag {
        attributes: u32,
        tag: u32,
    }
    let basic: FILE_BASIC_INFORMATION = nt::query(handle, FileBasicInformation)?;
    let is_point = basic.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0;
    // Wine does not know of tags.
    let tag = match is_point {
        true => nt::query::<Tag>(handle, FileAttributeTagInformation)?.tag,
        false => 0,
    };
    Ok((kind_of(basic.FileAttributes, tag), is_point))
}

/// Opens once more what is open as itself, where it is no link but stands for something: what it
/// stands for is read then. Nothing is looked up for that.
pub(super) fn opened(handle: OwnedHandle, access: u32) -> io::Result<(OwnedHandle, FileKind)> {
    match kind(handle.as_raw_handle())? {
        (kind @ (FileKind::File | FileKind::Dir), true) => {
            let through = opening(access, Behind::Target);
            Ok((nt::open(handle.as_raw_handle(), &[], through)?, kind))
        }
        (kind, _) => Ok((handle, kind)),
    }
}

/// Makes a link of an open file or folder that is empty.
pub(super) fn make(handle: RawHandle, target: &[u8]) -> io::Result<()> {
    // It would be on this drive.
    if target.starts_with(b"/") {
        return Err(error_with(ERROR_INVALID_NAME));
    }
    let units = units_of(target)?;
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
    let made = nt::control(handle, FSCTL_SET_REPARSE_POINT, &point, &mut []).map(drop);
    made.map_err(|error| match is_code(&error, ERROR_PRIVILEGE_NOT_HELD) {
        true => io::Error::new(io::ErrorKind::PermissionDenied, NEEDS_DEVELOPER_MODE),
        false => error,
    })
}

/// A target in UTF-16: what a name of it is called on disk, which has neither a drive nor a stream.
fn units_of(target: &[u8]) -> io::Result<Vec<u16>> {
    let mut units = Vec::with_capacity(target.len());
    for (n, name) in target.split(|&b| b == b'/').enumerate() {
        if n > 0 {
            units.push(u16::from(b'\\'));
        }
        match name {
            b"" => {}
            b"." | b".." => units.extend(name.iter().map(|&b| u16::from(b))),
            name => units.extend(to_units(name)?),
        }
    }
    Ok(units)
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
    let names = units.split(|unit| *unit == u16::from(b'\\'));
    Some(names.map(from_units).collect::<Vec<_>>().join(&b'/'))
}

//! What Windows says of files, as types of this program's own, and the other way round.
//!
//! Of modes there is the bit alone by which a file is read-only; owners are not told of.

use std::io;
use std::os::windows::io::RawHandle;

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_ALL_INFORMATION, FILE_BASIC_INFORMATION, FileAllInformation, FileBasicInformation,
    FileFsFullSizeInformation, FileFsVolumeInformation,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_REPARSE_POINT,
};

use super::file_errors::is_unsupported;
use super::links::{self, kind_of};
use super::nt;
use crate::sys::fs::types::{FileId, FileKind, FreeSpace, Stat, Timestamp};

/// Between 1601, when Windows begins to count, and 1970, in seconds.
const EPOCH: i64 = 11_644_473_600;
/// How many of what it counts are in a second.
const TICKS: i64 = 10_000_000;

pub(super) fn time_of(ticks: i64) -> Timestamp {
    Timestamp {
        seconds: ticks.div_euclid(TICKS) - EPOCH,
        nanos: u32::try_from(ticks.rem_euclid(TICKS) * 100).unwrap_or(0),
    }
}

/// A moment as Windows counts it; none that it cannot count.
fn ticks_of(time: Timestamp) -> Option<i64> {
    let seconds = time.seconds.checked_add(EPOCH)?;
    let ticks = seconds
        .checked_mul(TICKS)?
        .checked_add(i64::from(time.nanos / 100))?;
    // 0 means that it is to stay as it is, and less that nothing is to change it.
    (ticks > 0).then_some(ticks)
}

pub(super) fn set_times(handle: RawHandle, mtime: Timestamp) -> io::Result<()> {
    let basic = FILE_BASIC_INFORMATION {
        LastWriteTime: ticks_of(mtime).ok_or(io::ErrorKind::Unsupported)?,
        ..FILE_BASIC_INFORMATION::default()
    };
    nt::set_all(handle, &basic, FileBasicInformation)
}

pub(super) fn is_read_only(mode: u32) -> bool {
    mode & 0o200 == 0
}

/// The permissions that these attributes stand for elsewhere.
fn mode_of(kind: FileKind, attributes: u32) -> u32 {
    match kind {
        FileKind::Link => 0o777,
        FileKind::Dir => 0o755,
        _ if attributes & FILE_ATTRIBUTE_READONLY != 0 => 0o444,
        _ => 0o644,
    }
}

pub(super) fn stat_of_handle(handle: RawHandle) -> io::Result<Stat> {
    /// `FILE_FS_VOLUME_INFORMATION`, with room for the whole label.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Volume {
        made: i64,
        serial: u32,
        label_bytes: u32,
        has_objects: u8,
        label: [u16; 34],
    }
    impl Default for Volume {
        fn default() -> Self {
            Self {
                made: 0,
                serial: 0,
                label_bytes: 0,
                has_objects: 0,
                label: [0; 34],
            }
        }
    }
    let all: FILE_ALL_INFORMATION = nt::query(handle, FileAllInformation)?;
    let volume: Volume = match nt::query_volume(handle, FileFsVolumeInformation) {
        // Wine does not say it of what is mounted below a drive.
        Err(e) if is_unsupported(&e) => Volume::default(),
        found => found?,
    };
    let (basic, standard) = (all.BasicInformation, all.StandardInformation);
    let kind = match basic.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT {
        0 => kind_of(basic.FileAttributes, 0),
        _ => links::kind(handle)?.0,
    };
    let size = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    Ok(Stat {
        kind,
        id: FileId {
            device: volume.serial.into(),
            inode: all.InternalInformation.IndexNumber.cast_unsigned(),
        },
        size: size(standard.EndOfFile),
        allocated: size(standard.AllocationSize),
        links: match standard.DeletePending {
            true => 0,
            false => standard.NumberOfLinks.into(),
        },
        mode: mode_of(kind, basic.FileAttributes),
        user: 0,
        group: 0,
        mtime: time_of(basic.LastWriteTime),
        ctime: time_of(basic.ChangeTime),
    })
}

/// How much the file system of an open folder has left.
pub(super) fn space_of(handle: RawHandle) -> io::Result<FreeSpace> {
    /// `FILE_FS_FULL_SIZE_INFORMATION`, in units of allocation.
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct FullSize {
        total: i64,
        for_caller: i64,
        for_all: i64,
        sectors: u32,
        bytes: u32,
    }
    let found: FullSize = nt::query_volume(handle, FileFsFullSizeInformation)?;
    let block = u64::from(found.sectors) * u64::from(found.bytes);
    let free = u64::try_from(found.for_caller).unwrap_or(0);
    Ok(FreeSpace {
        bytes: free.saturating_mul(block),
        block,
        no_files: false,
    })
}

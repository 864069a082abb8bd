//! What Unix says of files, as types of this program's own, and the other way round.
//!
//! Must not ask the system anything.

use rustix::fs::{FileType, Mode, RawMode, Timespec, Timestamps};

use crate::sys::fs::types::{FileId, FileKind, Stat, Timestamp};

/// The bits of a mode that are permissions, setuid, setgid and sticky.
pub(super) const MODE_BITS: u32 = 0o7777;

pub(super) fn mode_of(mode: u32) -> Mode {
    // Narrower than 32 bits on some systems; the bits are the same on all of them.
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation)]
    Mode::from_raw_mode((mode & MODE_BITS) as RawMode)
}

/// The types of its fields are not the same everywhere.
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub(super) fn stat_of(stat: &rustix::fs::Stat) -> Stat {
    let time = |seconds: i64, nanos: i64| Timestamp {
        seconds,
        nanos: u32::try_from(nanos).unwrap_or(0),
    };
    Stat {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        id: FileId {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
        },
        size: u64::try_from(stat.st_size).unwrap_or(0),
        allocated: u64::try_from(stat.st_blocks)
            .unwrap_or(0)
            .saturating_mul(512),
        links: stat.st_nlink as u64,
        mode: stat.st_mode as u32 & MODE_BITS,
        user: stat.st_uid,
        group: stat.st_gid,
        mtime: time(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        ctime: time(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
    }
}

pub(super) fn kind_of(file_type: FileType) -> FileKind {
    match file_type {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Dir,
        FileType::Symlink => FileKind::Link,
        _ => FileKind::Special,
    }
}

/// With the time of access, which is now: FUSE of the second version loses the one where the other
/// is left as it is.
pub(super) fn times(mtime: Timestamp) -> Timestamps {
    let spec = |time: Timestamp| Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanos.into(),
    };
    Timestamps {
        last_access: spec(Timestamp::now()),
        last_modification: spec(mtime),
    }
}

//! File operations that only Linux has, or does in its own way.
//!
//! Must not export what its counterpart (`other_unix.rs`) does not.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::stat::MODE_BITS;

/// Whether [`crate::sys::fs::Dir::sync_file_system`] waits until everything is on disk, and tells of errors.
/// FUSE does not pass it on to whoever stores the files; a sync of one file it does.
pub(super) fn syncs_whole_file_system(dir: BorrowedFd<'_>) -> bool {
    kind_of_file_system(dir).is_some_and(|kind| kind != FUSE)
}

const FUSE: u32 = 0x6573_5546;
const CIFS: u32 = 0xff53_4d42;
const SMB2: u32 = 0xfe53_4d42;
const VBOXSF: u32 = 0x786f_4256;
/// Their numbers last for as long as the system remembers the file.
const FAT: u32 = 0x4d44;
const EXFAT: u32 = 0x2011_bab0;

/// Whether things may have other numbers there than the last time they were looked at.
pub(super) fn makes_numbers_up(dir: BorrowedFd<'_>) -> bool {
    kind_of_file_system(dir)
        .is_some_and(|kind| [FUSE, CIFS, SMB2, VBOXSF, FAT, EXFAT].contains(&kind))
}

fn kind_of_file_system(dir: BorrowedFd<'_>) -> Option<u32> {
    // Its type differs between processors; the numbers are all of 32 bits.
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    rustix::fs::fstatfs(dir).ok().map(|stat| stat.f_type as u32)
}

/// Opens a folder for nothing but to reach what is in it.
pub(super) const TO_PASS: OFlags = OFlags::PATH;

pub(super) fn path_of_handle(dir: BorrowedFd<'_>) -> Option<PathBuf> {
    /// Whether /proc is there.
    static HAS_PROC: OnceLock<bool> = OnceLock::new();
    let has_proc = HAS_PROC.get_or_init(|| Path::new("/proc/self/fd").exists());
    has_proc.then(|| HandleName::default().of(dir.as_raw_fd()).into())
}

pub(super) fn rename_new(dir: BorrowedFd<'_>, from: &[u8], to: &[u8]) -> Result<(), Errno> {
    rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE)
}

pub(super) fn sync_dir(dir: BorrowedFd<'_>) -> io::Result<()> {
    Ok(retry_on_intr(|| rustix::fs::fsync(dir))?)
}

pub(super) fn sync_file_system(dir: BorrowedFd<'_>) -> io::Result<()> {
    match retry_on_intr(|| rustix::fs::syncfs(dir)) {
        // A system that is not quite Linux.
        Err(Errno::NOSYS) => {
            rustix::fs::sync();
            Ok(())
        }
        synced => Ok(synced?),
    }
}

pub(super) fn create_unnamed(dir: BorrowedFd<'_>, mode: Mode) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, c".", flags, mode)?.into())
}

pub(super) fn name_unnamed(dir: BorrowedFd<'_>, file: &File, name: &[u8]) -> io::Result<()> {
    /// Whether this process may name files by their handles. Linux allows it since 6.10.
    static BY_HANDLE: AtomicBool = AtomicBool::new(true);
    if BY_HANDLE.load(Ordering::Relaxed) {
        match rustix::fs::linkat(file, c"", dir, name, AtFlags::EMPTY_PATH) {
            // What an older system says to those who lack a privilege.
            Err(Errno::NOENT) => BY_HANDLE.store(false, Ordering::Relaxed),
            linked => return Ok(linked?),
        }
    }
    // By its name in /proc, which takes more than twice as long.
    let mut of = HandleName::default();
    let of = of.of(file.as_raw_fd());
    Ok(rustix::fs::linkat(
        CWD,
        of,
        dir,
        name,
        AtFlags::SYMLINK_FOLLOW,
    )?)
}

pub(super) fn add_mode_at(dir: BorrowedFd<'_>, name: &[u8], more: u32) -> io::Result<u32> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let before = rustix::fs::fstat(&handle)?.st_mode & MODE_BITS;
    // chmod on a handle without read permission: by its name in /proc, which is no link to
    // anywhere else.
    std::fs::set_permissions(
        HandleName::default().of(handle.as_fd().as_raw_fd()),
        Permissions::from_mode(before | more),
    )?;
    Ok(before)
}

pub(super) fn has_default_acl(dir: BorrowedFd<'_>) -> bool {
    // Its length alone.
    let mut nothing = [0u8; 0];
    rustix::fs::fgetxattr(dir, c"system.posix_acl_default", &mut nothing).is_ok()
}

pub(super) fn folds_case(dir: BorrowedFd<'_>) -> bool {
    const CASEFOLD: u32 = 0x4000_0000;
    rustix::fs::ioctl_getflags(dir).is_ok_and(|flags| flags.bits() & CASEFOLD != 0)
}

/// Begins to bring to disk what was written of a file from `offset` on for `length` bytes, and
/// does not wait for it. What was written stays in memory to be read.
pub fn start_writeback(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
        return;
    };
    // SAFETY: it takes a descriptor, which is open for as long as it is borrowed, and numbers.
    #[allow(unsafe_code)]
    let _ = unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            offset,
            length,
            libc::SYNC_FILE_RANGE_WRITE,
        )
    };
}

/// A file is read once, from its beginning to its end.
pub fn read_through(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
}

/// Has what memory holds of a file forgotten, as far as it is on disk, or is believed to be: what
/// is read next is what the disk has.
pub fn drop_cached(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None::<NonZeroU64>, Advice::DontNeed);
}

/// Room for the name of a handle in /proc, without an allocation for each file.
#[derive(Default)]
struct HandleName([u8; 32]);

impl HandleName {
    fn of(&mut self, fd: i32) -> &str {
        let mut cursor = io::Cursor::new(&mut self.0[..]);
        let written = write!(cursor, "/proc/self/fd/{fd}").is_ok();
        let end = usize::try_from(cursor.position()).unwrap_or(0);
        match std::str::from_utf8(&self.0[..end]) {
            Ok(name) if written => name,
            _ => "",
        }
    }
}

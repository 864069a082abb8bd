//! The names in a folder.
//!
//! Must not be used by two at once: a handle has one place in its list.

use std::io;
use std::os::windows::io::{AsRawHandle as _, OwnedHandle};
use std::ptr;

use windows_sys::Wdk::Storage::FileSystem::{FileIdFullDirectoryInformation, NtQueryDirectoryFile};
use windows_sys::Win32::Foundation::{STATUS_NO_MORE_FILES, STATUS_NO_SUCH_FILE};
use windows_sys::Win32::Storage::FileSystem::FILE_ATTRIBUTE_REPARSE_POINT;
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;

use super::links::kind_of;
use super::name::from_units;
use super::nt;
use crate::sys::fs::types::ListedName;

/// How many bytes of names are asked for at once.
const BUFFER: usize = 64 * 1024;
/// Where things are in `FILE_ID_FULL_DIR_INFORMATION`.
const AT_ATTRIBUTES: usize = 56;
const AT_NAME_BYTES: usize = 60;
/// Of a reparse point, its tag.
const AT_EA_BYTES: usize = 64;
const AT_ID: usize = 72;
const AT_NAME: usize = 80;

/// The names in a folder, but for `.` and `..`.
#[derive(Debug)]
pub struct List {
    folder: OwnedHandle,
    /// Aligned as the system wants it.
    buffer: Vec<u64>,
    /// Where the next name is in the buffer; none where that is used up.
    at: Option<usize>,
    ended: bool,
}

impl List {
    /// Of a folder that nobody else lists by this handle.
    pub(super) fn of(folder: OwnedHandle) -> Self {
        Self {
            folder,
            buffer: vec![0; BUFFER / size_of::<u64>()],
            at: None,
            ended: false,
        }
    }

    /// What the folder calls what is found under a name; none where nothing is. A name can have a
    /// second, short form: `XFER~1` for `.xfer`.
    pub(super) fn long_name(mut self, name: &[u16]) -> io::Result<Option<Vec<u8>>> {
        let found = match self.fill(Some(name))? {
            true => self.entry(0).map(|(listed, _)| listed.name),
            false => None,
        };
        Ok(found)
    }

    /// Asks for more; of all names, or of what is found under one. Says whether there is.
    fn fill(&mut self, only: Option<&[u16]>) -> io::Result<bool> {
        let only = only.map(nt::text).transpose()?;
        let only = only.as_ref().map_or(ptr::null(), |only| &raw const only.0);
        let mut block = IO_STATUS_BLOCK::default();
        let room = u32::try_from(size_of_val(&*self.buffer)).unwrap_or_default();
        // SAFETY: the system writes no more than `room` bytes into the buffer, and is done with it
        // when the call returns, as the handle is synchronous.
        #[allow(unsafe_code)]
        let status = unsafe {
            NtQueryDirectoryFile(
                self.folder.as_raw_handle(),
                ptr::null_mut(),
                None,
                ptr::null(),
                &raw mut block,
                self.buffer.as_mut_ptr().cast(),
                room,
                FileIdFullDirectoryInformation,
                false,
                only,
                false,
            )
        };
        match status {
            // The second of an empty folder that has not even `.` in it, as at the top of FAT.
            STATUS_NO_MORE_FILES | STATUS_NO_SUCH_FILE => Ok(false),
            0.. => Ok(block.Information > 0),
            status => Err(nt::error_of(status)),
        }
    }

    /// Some bytes of what the system wrote.
    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut found = [0; N];
        for (at, byte) in (at..).zip(&mut found) {
            let word = self.buffer.get(at / 8)?.to_ne_bytes();
            *byte = word[at % 8];
        }
        Some(found)
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_ne_bytes)
    }

    /// What stands at a place, and where the next one is.
    fn entry(&self, at: usize) -> Option<(ListedName, Option<usize>)> {
        let next = self.word(at)? as usize;
        let attributes = self.word(at + AT_ATTRIBUTES)?;
        let units = self.word(at + AT_NAME_BYTES)? as usize / 2;
        let tag = match attributes & FILE_ATTRIBUTE_REPARSE_POINT {
            0 => 0,
            _ => self.word(at + AT_EA_BYTES)?,
        };
        let name: Option<Vec<u16>> = (0..units)
            .map(|n| self.bytes(at + AT_NAME + 2 * n).map(u16::from_ne_bytes))
            .collect();
        let listed = ListedName {
            name: from_units(&name?),
            inode: u64::from_ne_bytes(self.bytes(at + AT_ID)?),
            kind: Some(kind_of(attributes, tag)),
        };
        Some((listed, (next > 0).then_some(at + next)))
    }
}

impl Iterator for List {
    type Item = io::Result<ListedName>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let at = match self.at {
                Some(at) => at,
                None if self.ended => return None,
                None => match self.fill(None) {
                    Ok(true) => 0,
                    Ok(false) => {
                        self.ended = true;
                        return None;
                    }
                    Err(error) => {
                        self.ended = true;
                        return Some(Err(error));
                    }
                },
            };
            let Some((listed, next)) = self.entry(at) else {
                self.ended = true;
                return Some(Err(io::ErrorKind::InvalidData.into()));
            };
            self.at = next;
            if !matches!(&*listed.name, b"." | b"..") {
                return Some(Ok(listed));
            }
        }
    }
}

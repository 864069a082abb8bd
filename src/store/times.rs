//! The times that files were sent with to file systems that do not keep them. With them, a sender
//! that may not learn what is here stores nothing twice, and learns no more than it would if times
//! were kept.
//!
//! Must not reveal more than size and time would: what is known of a file is what its sender
//! announced. Only as many files are known as fit into one short list below `.xfer/times`; others
//! are stored again.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::digest::sha256;
use crate::model::entry::Time;
use crate::sys::fs::{self, Dir, Stat, Timestamp};

use super::folder::Folder;
use super::found::same_time;
use super::state::{TIMES, existing_state, remove_if_there, with_state};

const NAME: &[u8] = b"list";
/// The length of one record, in bytes: key, then seconds and nanoseconds of the file's actual time.
const KEY: usize = 16;
const RECORD: usize = KEY + 8 + 4;
/// The longest list, in bytes. The next session starts a full one anew.
const MAX_BYTES: usize = 100_000 * RECORD;

/// No device has this number.
const NO_DEVICE: u64 = u64::MAX;

/// What one session knows.
#[derive(Debug, Default)]
pub(super) struct SentTimes {
    owner: [u8; 32],
    known: Mutex<HashMap<[u8; KEY], Timestamp>>,
    /// The device of the last file system that was seen to keep times, so that it is not checked
    /// again; [`NO_DEVICE`] before that.
    kept_on: AtomicU64,
}

/// What was sent, and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) folder: &'a Folder,
    /// Its name here.
    pub(super) name: &'a [u8],
    pub(super) size: u64,
    pub(super) mtime: Time,
}

impl SentTimes {
    /// Loads what is known of a sender's files below `root`.
    pub(super) fn load(root: &Dir, owner: [u8; 32]) -> io::Result<Self> {
        let mut bytes = Vec::new();
        if let Some(dir) = existing_state(root, TIMES)? {
            match dir.open_file(NAME) {
                Ok(file) => file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
                Err(e) => return Err(e),
            };
            if bytes.len() >= MAX_BYTES {
                remove_if_there(&dir, NAME)?;
                bytes.clear();
            }
        }
        let known = bytes.chunks_exact(RECORD).filter_map(|record| {
            let (key, time) = record.split_first_chunk()?;
            let (seconds, nanos) = time.split_first_chunk()?;
            let time = Timestamp {
                seconds: i64::from_le_bytes(*seconds),
                nanos: u32::from_le_bytes(nanos.try_into().ok()?),
            };
            Some((*key, time))
        });
        Ok(Self {
            owner,
            known: Mutex::new(known.collect()),
            kept_on: AtomicU64::new(NO_DEVICE),
        })
    }

    /// Whether what was found is what this sender stored there, unchanged since.
    pub(super) fn knows(&self, sent: Sent<'_>, found: &Stat) -> bool {
        let known = self.known();
        !known.is_empty() && known.get(&self.key(sent)) == Some(&found.mtime)
    }

    /// The time of a file just stored, if the sender's was lost. Calls `look` unless its device is
    /// known to keep times.
    pub(super) fn is_lost(
        &self,
        device: u64,
        mtime: Time,
        look: impl FnOnce() -> io::Result<Stat>,
    ) -> io::Result<Option<Timestamp>> {
        if self.kept_on.load(Ordering::Relaxed) == device {
            return Ok(None);
        }
        let stat = look()?;
        if same_time(&stat, mtime) {
            self.kept_on.store(device, Ordering::Relaxed);
            return Ok(None);
        }
        Ok(Some(stat.mtime))
    }

    /// Notes that a stored file has this time instead of its own.
    pub(super) fn note(&self, root: &Dir, sent: Sent<'_>, time: Timestamp) -> io::Result<()> {
        let key = self.key(sent);
        let (seconds, nanos) = (time.seconds.to_le_bytes(), time.nanos.to_le_bytes());
        let record = [&key[..], &seconds, &nanos].concat();
        with_state(root, TIMES, |dir| {
            let mut file = match dir.append_to_file(NAME) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    // Several sessions may find it missing at once; each appends.
                    let made = dir.create_file(NAME, 0o600);
                    if let Err(e) = made.map(drop)
                        && e.kind() != io::ErrorKind::AlreadyExists
                    {
                        return Err(e);
                    }
                    dir.append_to_file(NAME)?
                }
                opened => opened?,
            };
            if fs::stat(&file)?.size >= MAX_BYTES as u64 {
                return Ok(());
            }
            file.write_all(&record)?;
            let mut known = self.known();
            if known.len() < MAX_BYTES / RECORD {
                known.insert(key, time);
            }
            Ok(())
        })
    }

    fn key(&self, sent: Sent<'_>) -> [u8; KEY] {
        let folder = sent.folder.path().map_or(&b""[..], |path| path.as_bytes());
        let digest = sha256(&[
            &self.owner,
            folder,
            b"/",
            sent.name,
            b"/",
            &sent.size.to_le_bytes(),
            &sent.mtime.seconds().to_le_bytes(),
            &sent.mtime.nanos().to_le_bytes(),
        ]);
        let mut key = [0; KEY];
        key.copy_from_slice(&digest.0[..KEY]);
        key
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; KEY], Timestamp>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

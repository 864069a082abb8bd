//! The times that files were sent with to file systems that do not keep them, so that whoever may
//! not learn what is there stores nothing twice, and learns no more than by its time otherwise.
//!
//! Must not say more than size and time would: what is known of a file is what its sender said of
//! it. Only as many as fit into one short list below `.xfer/times` are known; those that are not
//! are stored once more.

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
/// How many bytes tell of one file: its key, and seconds and nanoseconds of the time that it has.
const KEY: usize = 16;
const RECORD: usize = KEY + 8 + 4;
/// The longest list, in bytes. One that is full is begun anew by the next session.
const MAX_BYTES: usize = 100_000 * RECORD;

/// None has that number.
const NO_DEVICE: u64 = u64::MAX;

/// What one session knows.
#[derive(Debug, Default)]
pub(super) struct SentTimes {
    owner: [u8; 32],
    known: Mutex<HashMap<[u8; KEY], Timestamp>>,
    /// The device of the last file system that was seen to keep times, so that it is not asked
    /// again; [`NO_DEVICE`] before that.
    kept_on: AtomicU64,
}

/// What was sent, and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) folder: &'a Folder,
    /// The name that it has here.
    pub(super) name: &'a [u8],
    pub(super) size: u64,
    pub(super) mtime: Time,
}

impl SentTimes {
    /// What is known of what a sender stored below `root`.
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

    /// Whether what was found is what this sender stored there, and has not changed since.
    pub(super) fn knows(&self, sent: Sent<'_>, found: &Stat) -> bool {
        let known = self.known();
        !known.is_empty() && known.get(&self.key(sent)) == Some(&found.mtime)
    }

    /// Whether the time of what was just stored was lost; `look` is asked only where that is not
    /// known of its device to be otherwise.
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

    /// Takes note of what was stored and has this time instead of its own.
    pub(super) fn note(&self, root: &Dir, sent: Sent<'_>, time: Timestamp) -> io::Result<()> {
        let key = self.key(sent);
        let (seconds, nanos) = (time.seconds.to_le_bytes(), time.nanos.to_le_bytes());
        let record = [&key[..], &seconds, &nanos].concat();
        with_state(root, TIMES, |dir| {
            let mut file = match dir.append_to_file(NAME) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    // Several may find it missing at once, and each writes at its end.
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

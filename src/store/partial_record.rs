//! The records of partials: whose each is, of which file, and how much of it counts.
//!
//! Must not know where a partial is.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::model::entry::Time;
use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir};
use crate::sys::host;
use crate::wire::{decode, encode};

use super::found::open_file;

/// The permissions of a partial, and of its record.
pub(super) const MODE: u32 = 0o600;

/// The longest record, in bytes.
const MAX_RECORD_BYTES: u64 = 64 * 1024;
/// The content of a record.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PartialRecord {
    version: u32,
    owner: [u8; 32],
    pub(super) path: RelPath,
    size: u64,
    mtime: Time,
}

const VERSION: u32 = 1;

/// The record of a partial that was written from its beginning on.
#[derive(Debug, Serialize, Deserialize)]
struct FrontRecord {
    record: PartialRecord,
    /// How many bytes count, in little endian, so that a record has one length.
    front: [u8; 8],
    /// The boot ID of this machine when they were written: its end may have lost some of them.
    boot: String,
}

/// Writes a partial's record.
pub(super) fn write_record(
    records: &Dir,
    id: &str,
    owner: &[u8; 32],
    path: &RelPath,
    size: u64,
    mtime: Time,
) -> io::Result<()> {
    let record = PartialRecord {
        version: VERSION,
        owner: *owner,
        path: path.clone(),
        size,
        mtime,
    };
    let mut bytes = Vec::new();
    encode(&record, &mut bytes).map_err(io::Error::other)?;
    records
        .create_or_empty_file(id.as_bytes(), MODE)?
        .write_all(&bytes)
}

/// Notes in a partial's record that its first `front` bytes count.
pub(super) fn note_front(
    records: &Dir,
    id: &str,
    (owner, path): (&[u8; 32], &RelPath),
    (size, mtime): (u64, Time),
    front: u64,
) -> io::Result<()> {
    let Some(boot) = host::boot_id() else {
        // It would say too much after a restart.
        return write_record(records, id, owner, path, size, mtime);
    };
    let record = FrontRecord {
        record: PartialRecord {
            version: VERSION,
            owner: *owner,
            path: path.clone(),
            size,
            mtime,
        },
        front: front.to_le_bytes(),
        boot,
    };
    let mut bytes = Vec::new();
    encode(&record, &mut bytes).map_err(io::Error::other)?;
    let name = id.as_bytes();
    // In its place: others may read it at any moment.
    let mut file = match records.open_file_rw(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            records.create_or_empty_file(name, MODE)?
        }
        opened => opened?,
    };
    file.write_all(&bytes)?;
    fs::set_size(&file, bytes.len() as u64)
}

/// How many bytes of a partial count from its beginning on, by its record; none where that is of
/// another version of the file, or of another run of this machine.
pub(super) fn front(
    records: &Dir,
    id: &str,
    (owner, path): (&[u8; 32], &RelPath),
    (size, mtime): (u64, Time),
) -> Option<u64> {
    let mut bytes = Vec::new();
    let file = open_file(records, id.as_bytes()).ok()?;
    file.take(MAX_RECORD_BYTES).read_to_end(&mut bytes).ok()?;
    let FrontRecord {
        record,
        front,
        boot,
    } = decode(&bytes).ok()?;
    let is_same = record.version == VERSION
        && (&record.owner, &record.path) == (owner, path)
        && (record.size, record.mtime) == (size, mtime)
        && host::boot_id().is_some_and(|now| now == boot);
    Some(u64::from_le_bytes(front)).filter(|front| is_same && *front <= size)
}

/// Reads a partial's record, `None` unless it is complete and of this version, and when it was
/// written, in seconds since 1970.
pub(super) fn read_record(records: &Dir, id: &str) -> io::Result<(Option<PartialRecord>, i64)> {
    let mut bytes = Vec::new();
    let file = open_file(records, id.as_bytes())?;
    let written = fs::stat(&file)?.mtime.seconds;
    file.take(MAX_RECORD_BYTES).read_to_end(&mut bytes)?;
    let whole = || decode::<FrontRecord>(&bytes).ok();
    let record = decode::<PartialRecord>(&bytes).ok();
    let record = record.or_else(|| whole().map(|whole| whole.record));
    Ok((record.filter(|record| record.version == VERSION), written))
}

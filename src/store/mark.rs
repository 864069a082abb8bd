//! Marks of sessions whose files may not be on disk yet, and what a mark means that is found.
//!
//! Must not be needed for anything but a power loss: after a crash of the program alone the
//! system still has every byte.
//!
//! A session that stores anything first leaves a mark, a locked file below `.xfer/unsynced`, and
//! removes it once everything is on disk. It gets its name when it is locked and whole, so that
//! nobody takes it for that of a session that is no more. A mark that nobody locks is from a session
//! that never came so far. If the machine has not been started since, syncing settles it. If it has,
//! every file that was changed after the mark was made is suspect: its content is compared before it
//! counts as there.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};

use cap_std::fs::{Dir, File, OpenOptions};
use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use crate::wire::{decode, encode};

use super::lock::{Locked, lock, look};

/// Where marks lie, below the state directory.
pub(super) const MARKS: &str = "unsynced";
/// A mark older than this is forgotten, in seconds: 60 days.
const MAX_AGE: i64 = 60 * 24 * 3600;
/// How the name of a mark ends that is still being made.
const UNDER_WAY: &str = ".new";
/// How often a mark is made that others take away while it is.
const TRIES: usize = 8;
/// The longest mark, in bytes.
const MAX_MARK_BYTES: u64 = 4096;

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    owner: [u8; 32],
    boot: String,
}

const VERSION: u32 = 1;

/// The mark of a session that goes on.
#[derive(Debug)]
pub(super) struct Mark {
    name: String,
    /// Holds the lock.
    _file: File,
}

/// Files that a power loss may have damaged: those changed since a time, for each owner.
#[derive(Debug, Default)]
pub(super) struct Suspects(Vec<Suspect>);

#[derive(Debug)]
struct Suspect {
    owner: [u8; 32],
    since: (i64, i64),
    /// When this machine was started, in seconds: what was changed after that was not lost.
    until: i64,
}

impl Suspects {
    /// Whose session may have stored this file without bringing it to disk: `sender`'s, where it
    /// may be one of several.
    pub(super) fn owner_of(&self, found: &Stat, sender: &[u8; 32]) -> Option<&[u8; 32]> {
        let changed = ctime(found);
        let covers = |suspect: &&Suspect| changed >= suspect.since && changed.0 <= suspect.until;
        let mut owners = self.0.iter().filter(covers).map(|suspect| &suspect.owner);
        let any = owners.clone().next();
        owners.find(|&owner| owner == sender).or(any)
    }
}

/// When something was last changed in any way, in seconds and nanoseconds.
pub(super) fn ctime(stat: &Stat) -> (i64, i64) {
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap)]
    (stat.st_ctime as i64, stat.st_ctime_nsec as i64)
}

/// Something that is another after each start of this machine; none where there is no such
/// thing, so that every mark is taken for one from before.
fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// When this machine was started, in seconds since 1970.
fn boot_time() -> i64 {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        let up = clock_gettime(ClockId::Boottime).tv_sec;
        clock_gettime(ClockId::Realtime).tv_sec.saturating_sub(up)
    }
    #[cfg(not(target_os = "linux"))]
    i64::MAX
}

impl Mark {
    /// Leaves a mark in `marks`, on disk when this returns.
    pub(super) fn leave(marks: &Dir, name: String, owner: [u8; 32]) -> io::Result<Self> {
        let record = Record {
            version: VERSION,
            owner,
            boot: boot_id().unwrap_or_default(),
        };
        let mut bytes = Vec::new();
        encode(&record, &mut bytes).map_err(io::Error::other)?;
        let new = format!("{name}{UNDER_WAY}");
        let mut tries = 0;
        loop {
            let mut file =
                marks.open_with(&new, OpenOptions::new().write(true).create_new(true))?;
            let made = lock(&file)
                .and_then(|_| file.write_all(&bytes))
                .and_then(|()| file.sync_all())
                .and_then(|()| marks.rename(&new, marks, &name));
            tries += 1;
            match made {
                Ok(()) => {
                    rustix::fs::fsync(marks)?;
                    return Ok(Self { name, _file: file });
                }
                // Before it was locked, it was taken for one that somebody left behind.
                Err(e) if e.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
                Err(e) => {
                    let _ = marks.remove_file(&new);
                    return Err(e);
                }
            }
        }
    }

    /// Removes the mark, because everything is on disk.
    pub(super) fn remove(self, marks: &Dir) -> io::Result<()> {
        remove(marks, self.name.as_ref())
    }
}

/// The marks of sessions that are no more.
pub(super) struct Ended {
    /// Those that mean nothing any more once everything is on disk.
    settled: Vec<OsString>,
    suspects: Vec<Suspect>,
}

/// Looks through the marks of sessions that are no more.
pub(super) fn ended(marks: &Dir) -> io::Result<Ended> {
    let boot = boot_id();
    let mut settled = Vec::new();
    let mut suspects = Vec::new();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    for entry in marks.entries()? {
        let name = entry?.file_name();
        let Ok(file) = marks.open(&name) else {
            continue;
        };
        let Ok(locked @ (Locked::Ours | Locked::Unknown)) = look(&file) else {
            continue;
        };
        let stat = rustix::fs::fstat(&file)?;
        let since = ctime(&stat);
        match read(file) {
            // One that was cut short was never on disk, so nothing was stored after it.
            None => settled.push(name),
            Some(_) if now.saturating_sub(since.0) > MAX_AGE => settled.push(name),
            // Without locks it may be that of a session that goes on.
            Some(record) if Some(&record.boot) == boot.as_ref() => {
                if locked == Locked::Ours {
                    settled.push(name);
                }
            }
            Some(record) => suspects.push(Suspect {
                owner: record.owner,
                since,
                until: boot_time(),
            }),
        }
    }
    Ok(Ended { settled, suspects })
}

impl Ended {
    /// Whether there is one that a sync settles.
    pub(super) fn needs_sync(&self) -> bool {
        !self.settled.is_empty()
    }

    /// Removes those that are settled, now that everything is on disk that was stored when they
    /// were looked through.
    pub(super) fn remove_settled(&mut self, marks: &Dir) -> io::Result<()> {
        for name in self.settled.drain(..) {
            remove(marks, &name)?;
        }
        Ok(())
    }

    /// The files that a power loss may have damaged.
    pub(super) fn suspects(self) -> Suspects {
        Suspects(self.suspects)
    }
}

/// Removes a mark, if it is there: another session may have looked through them at the same time.
fn remove(marks: &Dir, name: &OsStr) -> io::Result<()> {
    match marks.remove_file(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn read(file: File) -> Option<Record> {
    use std::io::Read;
    let mut bytes = Vec::new();
    file.take(MAX_MARK_BYTES).read_to_end(&mut bytes).ok()?;
    decode::<Record>(&bytes)
        .ok()
        .filter(|record| record.version == VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_begins_is_not_taken_for_one_that_is_no_more() {
        let temp = tempfile::tempdir().unwrap();
        let marks = Dir::from_std_file(std::fs::File::open(temp.path()).unwrap());
        let at = |name: &str| temp.path().join(name);
        let settle = || {
            let mut ended = ended(&marks).unwrap();
            ended.remove_settled(&marks).unwrap();
        };
        // One that was being made when its process was killed.
        let new = at(&format!("begins{UNDER_WAY}"));
        std::fs::write(&new, "").unwrap();
        let leave = |name: &str| Mark::leave(&marks, name.to_owned(), [1; 32]).unwrap();
        let (goes_on, gone) = (leave("goes on"), leave("gone"));
        std::fs::write(at("over"), "").unwrap();
        settle();
        let there = [new, at("goes on"), at("over")].map(|path| path.exists());
        assert_eq!(there, [false, true, false]);
        // What somebody else removed is no failure.
        std::fs::remove_file(at("gone")).unwrap();
        for mark in [goes_on, gone] {
            mark.remove(&marks).unwrap();
        }
    }

    #[test]
    fn a_file_may_be_of_any_of_several_sessions() {
        let file = tempfile::tempfile().unwrap();
        let found = rustix::fs::fstat(&file).unwrap();
        let (second, nanos) = ctime(&found);
        let suspect = |n, since, until| Suspect {
            owner: [n; 32],
            since,
            until,
        };
        let suspects = Suspects(vec![
            suspect(1, (second, nanos + 1), i64::MAX),
            suspect(2, (second, nanos), second),
            suspect(3, (0, 0), second),
            suspect(4, (0, 0), second - 1),
        ]);
        for (sender, owner) in [(1, 2), (2, 2), (3, 3), (4, 2)] {
            assert_eq!(suspects.owner_of(&found, &[sender; 32]), Some(&[owner; 32]));
        }
    }
}

//! The marks of sessions whose files may not be on disk, and what an existing mark means.
//!
//! Must not sync anything. A mark is a locked file below `.xfer/unsynced`. It gets its name once it
//! is locked and complete, so that nobody takes it for the mark of an ended session. Records are
//! only ever added to it, each after its length, which reveals a record that was cut short.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir, File, LockState, Stat, Timestamp};
use crate::sys::host;
use crate::wire::{decode, encode};

use super::state::{lock, look, remove_if_there};

/// The age, in seconds, after which a mark is ignored: 60 days.
const MAX_AGE: i64 = 60 * 24 * 3600;
/// The suffix of a mark that is still being written.
const UNDER_WAY: &str = ".new";
/// How often to create a mark if other sessions delete it before it is locked.
const TRIES: usize = 8;
/// The longest mark of an earlier version, in bytes.
const MAX_OLD_BYTES: usize = 4096;
/// The longest mark, in bytes: room for the paths of the maximum number of file systems.
const MAX_MARK_BYTES: u64 = 512 * 1024;
const VERSION: u32 = 2;

/// The records of a mark, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    /// The session that the mark belongs to. Comes first.
    Began {
        /// Of this record and those after it.
        version: u32,
        owner: [u8; 32],
        /// The boot ID of this machine at that time.
        boot: String,
        /// When it began, in seconds and nanoseconds, by the file system's clock.
        since: (i64, u32),
    },
    /// The session stored something on a file system.
    Stored {
        device: u64,
        /// A folder there; `None` for the receive folder.
        path: Option<RelPath>,
    },
    /// The session began to sync everything.
    Syncing,
    /// Not everything stored on a file system until this time could be synced.
    Failed { device: u64, until: (i64, u32) },
    /// The session needs no further sync.
    Over,
}

/// A complete mark of an earlier version.
#[derive(Debug, Serialize, Deserialize)]
struct OnlyRecord {
    version: u32,
    owner: [u8; 32],
    boot: String,
}

/// The mark of a running session.
#[derive(Debug)]
pub(super) struct Mark {
    name: Vec<u8>,
    /// Holds the lock.
    _file: File,
}

impl Mark {
    /// Leaves a mark in `marks`, on disk when this returns.
    pub(super) fn leave(marks: &Dir, name: String, owner: [u8; 32]) -> io::Result<Self> {
        let new = format!("{name}{UNDER_WAY}");
        let mut tries = 0;
        loop {
            let mut file = marks.create_file(new.as_bytes(), 0o600)?;
            let made = lock(&file)
                .and_then(|state| match state {
                    // Another session is looking at it, and may take it for an abandoned one.
                    LockState::Theirs => Err(io::ErrorKind::WouldBlock.into()),
                    LockState::Ours | LockState::Unknown => fs::stat(&file),
                })
                .and_then(|stat| {
                    let began = Record::Began {
                        version: VERSION,
                        owner,
                        boot: host::boot_id().unwrap_or_default(),
                        since: (stat.ctime.seconds, stat.ctime.nanos),
                    };
                    file.write_all(&bytes_of(&[began])?)
                })
                .and_then(|()| if_possible(file.sync_all()))
                .and_then(|()| marks.rename_over(new.as_bytes(), name.as_bytes()));
            tries += 1;
            match made {
                Ok(()) => {
                    if_possible(marks.sync())?;
                    let name = name.into_bytes();
                    return Ok(Self { name, _file: file });
                }
                // Another session deleted it as abandoned before it was locked.
                Err(e) if e.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && tries < TRIES => {
                    remove_if_there(marks, new.as_bytes())?;
                }
                Err(e) => {
                    let _ = marks.remove_file(new.as_bytes());
                    return Err(e);
                }
            }
        }
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Deletes the mark, because everything is on disk.
    pub(super) fn remove(self, marks: &Dir) -> io::Result<()> {
        remove_if_there(marks, &self.name)
    }
}

/// Accepts it if a file system does not support syncing.
fn if_possible(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(e) if fs::is_unsupported(&e) => Ok(()),
        synced => synced,
    }
}

/// Adds records to a mark. They need not be on disk: they matter only until this machine restarts.
pub(super) fn add(marks: &Dir, name: &[u8], records: &[Record]) -> io::Result<()> {
    marks.append_to_file(name)?.write_all(&bytes_of(records)?)
}

/// Records in a mark that what was stored on `devices` until now could not be synced, and, with
/// `over`, that it needs no further sync.
pub(super) fn add_failures(
    marks: &Dir,
    name: &[u8],
    devices: &[u64],
    over: bool,
) -> io::Result<()> {
    let now = Timestamp::now();
    let until = (now.seconds, now.nanos);
    let failed = devices.iter();
    let failed = failed.map(|&device| Record::Failed { device, until });
    let records: Vec<_> = failed.chain(over.then_some(Record::Over)).collect();
    add(marks, name, &records)
}

/// Records a failed sync of `devices` in all marks of running sessions that stored on them.
pub(super) fn tell_others(marks: &Dir, root: u64, devices: &[u64]) -> io::Result<()> {
    for mark in running(marks, root)? {
        let lost = mark.stored_among(devices);
        if !lost.is_empty() {
            add_failures(marks, &mark.name, &lost, false)?;
        }
    }
    Ok(())
}

/// An existing mark.
#[derive(Debug)]
pub(super) struct Marked {
    name: Vec<u8>,
    owner: [u8; 32],
    boot: String,
    since: Timestamp,
    /// The file systems that the session stored on, each by its device number and a folder there.
    stored: Vec<(u64, Option<RelPath>)>,
    syncing: bool,
    failed: Vec<(u64, Timestamp)>,
    over: bool,
    /// When a record was last added.
    added: Timestamp,
    /// Whether it can be ignored: it was cut short at the start, so nothing was stored after it, or
    /// it is too old.
    means_nothing: bool,
}

impl Marked {
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The file systems that the session stored on, each by its device number and a folder there.
    pub(super) fn stored(&self) -> impl Iterator<Item = &(u64, Option<RelPath>)> {
        self.stored.iter()
    }

    /// Those of `devices` that the session stored on.
    pub(super) fn stored_among(&self, devices: &[u64]) -> Vec<u64> {
        let stored = self.stored.iter().map(|(device, _)| *device);
        stored.filter(|device| devices.contains(device)).collect()
    }

    /// The file systems that could not be synced, and until when. A sync that was cut off counts as
    /// failed, because its result is unknown.
    fn failures(&self, has_ended: bool) -> Vec<(u64, Timestamp)> {
        let mut failures = self.failed.clone();
        if has_ended && self.syncing && !self.over {
            failures.extend(self.stored().map(|(device, _)| (*device, self.added)));
        }
        failures
    }

    fn is_of_this_start(&self) -> bool {
        host::boot_id().is_some_and(|boot| boot == self.boot)
    }

    /// Whether nothing depends on it, so that it can be deleted.
    pub(super) fn means_nothing(&self) -> bool {
        self.means_nothing
    }

    /// Whether a sync settles it.
    pub(super) fn is_pending(&self) -> bool {
        let goes_on = !self.over && !self.syncing && self.is_of_this_start();
        self.means_nothing || goes_on
    }

    /// Whether it records a failed sync.
    pub(super) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }
}

/// The marks of sessions that have ended.
pub(super) fn ended(marks: &Dir, root: u64) -> io::Result<Vec<Marked>> {
    let mut found = Vec::new();
    each(marks, |name, file, state| {
        // Without locks it may belong to a running session.
        if state == LockState::Ours {
            found.push(read(name, file, root)?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The marks of running sessions.
pub(super) fn running(marks: &Dir, root: u64) -> io::Result<Vec<Marked>> {
    let mut found = Vec::new();
    each(marks, |name, file, state| {
        if state != LockState::Ours {
            found.push(read(name, file, root)?);
        }
        Ok(())
    })?;
    found.retain(Marked::is_of_this_start);
    Ok(found)
}

/// A folder below `root` on the file system `device`; fails if that is not mounted there now.
pub(super) fn folder_on(root: &Dir, device: u64, path: Option<&RelPath>) -> io::Result<Dir> {
    let mut dir = root.open_again()?;
    for name in path.into_iter().flat_map(RelPath::components) {
        dir = dir.open_dir(name)?;
    }
    match dir.stat()?.id.device == device {
        true => Ok(dir),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// The files that the existing marks put in doubt.
pub(super) fn suspects(marks: &Dir, root: &Dir, root_device: u64) -> io::Result<Suspects> {
    let mut suspects = Vec::new();
    each(marks, |name, file, state| {
        let mark = read(name, file, root_device)?;
        if mark.means_nothing {
            return Ok(());
        }
        // A file system that was mounted again may have another device number: then all are in
        // doubt.
        let here = |device| {
            let mut there = mark.stored().filter(|(stored, _)| *stored == device);
            there.any(|(_, path)| folder_on(root, device, path.as_ref()).is_ok())
        };
        let suspect = |device, until, doubt| Suspect {
            owner: mark.owner,
            since: mark.since,
            until,
            device,
            doubt,
        };
        if mark.is_of_this_start() {
            let failed = mark.failures(state == LockState::Ours).into_iter();
            let failed = failed.map(|(device, until)| {
                let device = Some(device).filter(|&device| here(device));
                suspect(device, until, Doubt::Unwritten)
            });
            suspects.extend(failed);
        } else if state != LockState::Theirs {
            // Until the end of that second.
            let until = Timestamp {
                seconds: host::boot_time(),
                nanos: 999_999_999,
            };
            suspects.push(suspect(None, until, Doubt::Damaged));
        }
        Ok(())
    })?;
    Ok(Suspects(suspects))
}

/// What may be wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    /// The disk may hold other content: reading the file tells.
    Damaged,
    /// The disk may not hold it, and reading it does not tell: it may be in memory alone.
    Unwritten,
}

/// Files that a disk may have lost part of: those that each owner changed in a certain time.
#[derive(Debug, Default)]
pub(super) struct Suspects(Vec<Suspect>);

#[derive(Debug)]
struct Suspect {
    owner: [u8; 32],
    since: Timestamp,
    /// Later changes are not in doubt.
    until: Timestamp,
    /// The file system; `None` for all.
    device: Option<u64>,
    doubt: Doubt,
}

impl Suspects {
    /// The owner of the session that may have stored this file without syncing it, `sender` if
    /// several did, and the worst that may be wrong with the file.
    pub(super) fn of(&self, found: &Stat, sender: &[u8; 32]) -> Option<(&[u8; 32], Doubt)> {
        let covers = |suspect: &&Suspect| {
            (suspect.since..=suspect.until).contains(&found.ctime)
                && suspect
                    .device
                    .is_none_or(|device| device == found.id.device)
        };
        let mut worst: Option<(&[u8; 32], Doubt)> = None;
        for suspect in self.0.iter().filter(covers) {
            let (owner, doubt) = worst.unwrap_or((&suspect.owner, suspect.doubt));
            let owner = match suspect.owner == *sender {
                true => &suspect.owner,
                false => owner,
            };
            worst = Some((owner, doubt.max(suspect.doubt)));
        }
        worst
    }
}

/// Passes each mark to `f`, and whether a session holds it. Fails if one cannot be read: its
/// content must not be ignored.
fn each(
    marks: &Dir,
    mut f: impl FnMut(Vec<u8>, File, LockState) -> io::Result<()>,
) -> io::Result<()> {
    for entry in marks.list()? {
        let name = entry?.name;
        match marks.open_file(&name) {
            // It is in nobody's way, and records nothing.
            Ok(file) if !fs::stat(&file)?.is_file() => {}
            Ok(file) => {
                let state = look(&file)?;
                f(name, file, state)?;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound || fs::is_no_file(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Reads a mark.
fn read(name: Vec<u8>, file: File, root: u64) -> io::Result<Marked> {
    let ctime = fs::stat(&file)?.ctime;
    let mut bytes = Vec::new();
    file.take(MAX_MARK_BYTES).read_to_end(&mut bytes)?;
    let mut mark = Marked {
        name,
        owner: [0; 32],
        boot: String::new(),
        since: ctime,
        stored: vec![(root, None)],
        syncing: false,
        failed: Vec::new(),
        over: false,
        added: ctime,
        means_nothing: false,
    };
    mark.means_nothing = parse(&mut mark, &bytes).is_none()
        || Timestamp::now().seconds.saturating_sub(mark.since.seconds) > MAX_AGE;
    Ok(mark)
}

/// Returns `None` if the mark was cut short before its first record, or has another version.
fn parse(mark: &mut Marked, bytes: &[u8]) -> Option<()> {
    if let Ok(OnlyRecord {
        version: 1,
        owner,
        boot,
    }) = decode::<OnlyRecord>(bytes)
    {
        (mark.owner, mark.boot) = (owner, boot);
        return (bytes.len() <= MAX_OLD_BYTES).then_some(());
    }
    let (first, mut rest) = next_record(bytes)?;
    let Record::Began {
        version: VERSION,
        owner,
        boot,
        since,
    } = first
    else {
        return None;
    };
    (mark.owner, mark.boot, mark.since) = (owner, boot, time(since));
    while !rest.is_empty() {
        let Some((record, after)) = next_record(rest) else {
            // This record was cut short: it may have been `Syncing`.
            mark.syncing = true;
            break;
        };
        match record {
            Record::Began { .. } => return None,
            Record::Stored { device, path } => mark.stored.push((device, path)),
            Record::Syncing => mark.syncing = true,
            Record::Failed { device, until } => mark.failed.push((device, time(until))),
            Record::Over => mark.over = true,
        }
        rest = after;
    }
    Some(())
}

fn next_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (record, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    Some((decode(record).ok()?, rest))
}

fn bytes_of(records: &[Record]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in records {
        let mut one = Vec::new();
        encode(record, &mut one).map_err(io::Error::other)?;
        let length = u16::try_from(one.len()).map_err(io::Error::other)?;
        bytes.extend(length.to_le_bytes());
        bytes.append(&mut one);
    }
    Ok(bytes)
}

fn time((seconds, nanos): (i64, u32)) -> Timestamp {
    Timestamp { seconds, nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        (temp, dir)
    }

    fn leave(marks: &Dir, name: &str) -> Mark {
        Mark::leave(marks, name.to_owned(), [1; 32]).unwrap()
    }

    #[test]
    fn a_session_that_begins_is_not_taken_for_one_that_is_no_more() {
        let (temp, marks) = folder();
        let at = |name: &str| temp.path().join(name);
        // A mark whose process was killed while creating it.
        let new = at(&format!("begins{UNDER_WAY}"));
        std::fs::write(&new, "").unwrap();
        let (goes_on, gone) = (leave(&marks, "goes on"), leave(&marks, "gone"));
        std::fs::write(at("over"), "").unwrap();
        let found = ended(&marks, 0).unwrap();
        assert!(
            found
                .iter()
                .all(|mark| mark.means_nothing && mark.is_pending())
        );
        let mut names: Vec<_> = found.iter().map(Marked::name).collect();
        names.sort_unstable();
        assert_eq!(names, [&b"begins.new"[..], b"over"]);
        // Removing a mark that is already gone is not an error.
        std::fs::remove_file(at("gone")).unwrap();
        for mark in [goes_on, gone] {
            mark.remove(&marks).unwrap();
        }
    }

    #[test]
    fn what_a_mark_says_is_what_the_next_one_does() {
        let (_temp, marks) = folder();
        let here = marks.stat().unwrap().id.device;
        let mount = RelPath::new("mount/on it").unwrap();
        let stored = Record::Stored {
            device: 2,
            path: Some(mount.clone()),
        };
        let records = [
            ("killed", vec![stored.clone()]),
            ("while syncing", vec![stored, Record::Syncing]),
            ("over", vec![Record::Over]),
        ];
        for (name, records) in &records {
            drop(leave(&marks, name));
            add(&marks, name.as_bytes(), records).unwrap();
        }
        let mut found = ended(&marks, here).unwrap();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let pending: Vec<_> = found.iter().map(Marked::is_pending).collect();
        assert_eq!(pending, [true, false, false]);
        let devices: Vec<_> = found[0].stored().cloned().collect();
        assert_eq!(devices, [(here, None), (2, Some(mount))]);
        // Both file systems of the session whose sync was cut off are in doubt. The one that is no
        // longer mounted may have another device number by now.
        let suspects = suspects(&marks, &marks, here).unwrap().0;
        let doubts: Vec<_> = suspects.iter().map(|s| (s.device, s.doubt)).collect();
        let doubt = |device| (device, Doubt::Unwritten);
        assert_eq!(doubts, [doubt(Some(here)), doubt(None)]);
    }

    #[test]
    fn those_that_go_on_hear_of_a_failure() {
        let (_temp, marks) = folder();
        let goes_on = leave(&marks, "goes on");
        let here = marks.stat().unwrap().id.device;
        tell_others(&marks, here, &[here + 1]).unwrap();
        assert!(suspects(&marks, &marks, here).unwrap().0.is_empty());
        tell_others(&marks, here, &[here]).unwrap();
        assert_eq!(suspects(&marks, &marks, here).unwrap().0.len(), 1);
        // It is still pending, and has recorded the failure.
        drop(goes_on);
        let found = ended(&marks, 1).unwrap();
        assert!(found[0].is_pending() && found[0].has_failed());
    }

    #[test]
    fn a_record_that_was_cut_short_is_as_a_sync_that_was() {
        let now = Timestamp::now();
        let began = Record::Began {
            version: VERSION,
            owner: [1; 32],
            boot: "b".into(),
            since: (now.seconds, now.nanos),
        };
        let bytes = bytes_of(&[began, Record::Over]).unwrap();
        let first = usize::from(u16::from_le_bytes([bytes[0], bytes[1]])) + 2;
        let (temp, marks) = folder();
        let read_back = |bytes: &[u8]| {
            std::fs::write(temp.path().join("mark"), bytes).unwrap();
            read(Vec::new(), marks.open_file(b"mark").unwrap(), 1).unwrap()
        };
        for cut in 0..=bytes.len() {
            let mark = read_back(&bytes[..cut]);
            let said = (mark.means_nothing, mark.syncing, mark.over);
            let whole = cut == first || cut == bytes.len();
            let expected = match cut >= first {
                true => (false, !whole, cut == bytes.len()),
                false => (true, false, false),
            };
            assert_eq!(said, expected, "{cut}");
        }
        // Marks of an earlier version.
        let mut old = Vec::new();
        let record = OnlyRecord {
            version: 1,
            owner: [2; 32],
            boot: "b".into(),
        };
        encode(&record, &mut old).unwrap();
        let mark = read_back(&old);
        assert!(!mark.means_nothing && mark.owner == [2; 32]);
        assert_eq!(mark.since, mark.added);
    }

    #[test]
    fn a_file_may_be_of_any_of_several_sessions() {
        let file = tempfile::tempfile().unwrap();
        let found = fs::stat(&file).unwrap();
        let Timestamp { seconds, nanos } = found.ctime;
        let at = |seconds, nanos| Timestamp { seconds, nanos };
        let suspect = |n, since, until, doubt| Suspect {
            owner: [n; 32],
            since,
            until,
            device: (n == 5).then_some(found.id.device + 1),
            doubt,
        };
        let whole = |seconds| at(seconds, 999_999_999);
        let suspects = Suspects(vec![
            suspect(1, at(seconds, nanos + 1), whole(i64::MAX), Doubt::Unwritten),
            suspect(2, at(seconds, nanos), whole(seconds), Doubt::Damaged),
            suspect(3, at(0, 0), whole(seconds), Doubt::Damaged),
            suspect(4, at(0, 0), whole(seconds - 1), Doubt::Unwritten),
            suspect(5, at(0, 0), whole(seconds), Doubt::Unwritten),
        ]);
        for (sender, owner) in [(1, 2), (2, 2), (3, 3), (4, 2), (5, 2)] {
            let of = suspects.of(&found, &[sender; 32]);
            assert_eq!(of, Some((&[owner; 32], Doubt::Damaged)));
        }
    }
}

//! Who owns things in the receive folder: other users may write there too, and plant files that
//! look like xfer's own.
//!
//! Must not trust names: only what this user owns is xfer's.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::fs::{self, Dir, Stat};

use super::name::passing_name;

/// The permission bits of group and others.
pub(super) const OTHERS: u32 = 0o077;
/// The bits that let group or others write.
const OTHERS_WRITE: u32 = 0o022;

/// How long a finding about a file system is valid: another may be mounted in its place.
const HOLDS: Duration = Duration::from_secs(10);
/// How many findings are remembered.
const MAX_KNOWN: usize = 1024;

/// Recent findings, by device and inode number of a folder.
type Lately<T> = Mutex<BTreeMap<(u64, u64), (T, Instant)>>;

/// The owner of new files in a folder, if that is not this user.
static OWNERS: Lately<u32> = Mutex::new(BTreeMap::new());
/// The devices that keep no permissions.
static WITHOUT_MODES: Lately<()> = Mutex::new(BTreeMap::new());

fn known<T: Copy>(all: &Lately<T>, key: (u64, u64)) -> Option<T> {
    let all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let (value, since) = all.get(&key)?;
    (since.elapsed() < HOLDS).then_some(*value)
}

fn remember<T>(all: &Lately<T>, key: (u64, u64), value: T) {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= MAX_KNOWN {
        all.clear();
    }
    all.insert(key, (value, Instant::now()));
}

/// Whether this user owns what was found in `dir`: then no other user made it, nor can remove it
/// unless the folder allows that. True for everything on a file system that gives all files to one
/// user.
pub(super) fn is_ours(dir: &Dir, found: &Stat) -> bool {
    found.user == fs::effective_user() || known_owner(dir).is_ok_and(|user| user == found.user)
}

/// Takes away the permissions of group and others on a folder of this user's, as found. File
/// systems without permissions are remembered, not tried each time.
pub(super) fn keep_from_others(dir: &Dir, found: &Stat) -> io::Result<()> {
    let device = (found.id.device, 0);
    if known(&WITHOUT_MODES, device).is_none()
        && (dir.set_mode(found.mode & !OTHERS).is_err() || dir.stat()?.mode & OTHERS != 0)
    {
        remember(&WITHOUT_MODES, device, ());
    }
    Ok(())
}

/// The result of [`owner_of_new`], or a recent one.
fn known_owner(dir: &Dir) -> io::Result<u32> {
    let id = dir.stat()?.id;
    let key = (id.device, id.inode);
    if let Some(owner) = known(&OWNERS, key) {
        return Ok(owner);
    }
    let owner = owner_of_new(dir)?;
    remember(&OWNERS, key, owner);
    Ok(owner)
}

/// Whether others may rename and delete what is in a folder.
pub(super) fn is_shared(folder: &Stat) -> bool {
    let owners = [0, fs::effective_user()];
    folder.mode & OTHERS_WRITE != 0 || !owners.contains(&folder.user)
}

/// Why something that another user owns is not used.
pub(super) fn not_ours(name: &str, found: &Stat) -> io::Error {
    io::Error::other(format!(
        "{name} in its folder belongs to another user (id {}); remove it first",
        found.user
    ))
}

/// The owner of a file created in `dir` now.
fn owner_of_new(dir: &Dir) -> io::Result<u32> {
    let unnamed = dir.create_unnamed(0o600);
    match unnamed {
        Err(e) if fs::cannot_be_unnamed(&e) => {}
        made => return Ok(fs::stat(&made?)?.user),
    }
    let name = passing_name();
    let made = dir.create_file(name.as_bytes(), 0o600)?;
    let user = fs::stat(&made).map(|stat| stat.user);
    dir.remove_file(name.as_bytes())?;
    user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_makes_is_ours() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        assert_eq!(owner_of_new(&dir).unwrap(), fs::effective_user());
        let mut stat = dir.stat().unwrap();
        assert!(is_ours(&dir, &stat));
        stat.user += 1;
        assert!(!is_ours(&dir, &stat));
        assert_eq!(dir.list().unwrap().count(), 0);
    }
}

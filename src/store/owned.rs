//! Who owns things in the receive folder: other users may write there too, and plant what looks
//! like xfer's own.
//!
//! Must not trust names: only what belongs to this user is what it seems.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::fs::{self, Dir, Stat};

use super::name::passing_name;

/// What others on this machine may do with something.
pub(super) const OTHERS: u32 = 0o077;
/// What lets others write.
const OTHERS_WRITE: u32 = 0o022;

/// How long it holds what was found out of a file system: another one may take its place.
const HOLDS: Duration = Duration::from_secs(10);
/// Of how many folders it is known at most.
const MAX_KNOWN: usize = 1024;

/// What was found out lately, by the device and number of a folder.
type Lately<T> = Mutex<BTreeMap<(u64, u64), (T, Instant)>>;

/// Whom new files in a folder belong to, where that is not this user.
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

/// Whether something that was found in `dir` is this user's, so that no other user made it, and
/// none can take it away where that is not allowed. On a file system that gives everything to one
/// user, whoever makes it, everything there is.
pub(super) fn is_ours(dir: &Dir, found: &Stat) -> bool {
    found.user == fs::effective_user() || known_owner(dir).is_ok_and(|user| user == found.user)
}

/// Takes away what others may do with a folder of this user's that was found so. Not every file
/// system has such permissions; those are not asked for them each time.
pub(super) fn keep_from_others(dir: &Dir, found: &Stat) -> io::Result<()> {
    let device = (found.id.device, 0);
    if known(&WITHOUT_MODES, device).is_none()
        && (dir.set_mode(found.mode & !OTHERS).is_err() || dir.stat()?.mode & OTHERS != 0)
    {
        remember(&WITHOUT_MODES, device, ());
    }
    Ok(())
}

/// As [`owner_of_new`], or as that said lately.
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

/// Whether others may rename and remove what is in a folder.
pub(super) fn is_shared(folder: &Stat) -> bool {
    let owners = [0, fs::effective_user()];
    folder.mode & OTHERS_WRITE != 0 || !owners.contains(&folder.user)
}

/// Why something is not used that is another user's.
pub(super) fn not_ours(name: &str, found: &Stat) -> io::Error {
    io::Error::other(format!(
        "{name} in its folder belongs to another user (id {}); remove it first",
        found.user
    ))
}

/// Whom a file belongs to that is made in `dir` now.
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

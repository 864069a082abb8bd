//! The state folder, `.xfer` in the receive folder, and locks on the files that describe sessions.
//! If another user has that name, as in a folder that several users receive into, it is `.xfer-`
//! and this user's ID.
//!
//! Must not know what these files contain, use anything that another user made, or wait for a
//! session to end: callers that can wait try again.

use std::io;
use std::time::Duration;

use crate::model::relpath::{STATE_DIR, STATE_DIR_PREFIX};
use crate::sys::fs::{self, Dir, File, Lock, LockState, Stat};

use super::owned::{OTHERS, is_ours, keep_from_others, not_ours};

/// The folder of the partials' records, below the state folder.
pub(super) const PARTIALS: &str = "partials";
/// The folder of the marks of sessions whose files may not be on disk, below the state folder.
pub(super) const MARKS: &str = "unsynced";
/// The folder with the list of times that files were sent with, where times are not kept, below the
/// state folder.
pub(super) const TIMES: &str = "times";

/// How often to create the state folder if another session deletes it, empty, at that moment.
const STATE_TRIES: usize = 8;
/// How often to try a lock that is taken: a session that only looks whether a file is locked holds
/// the lock briefly, too.
const LOCK_TRIES: usize = 20;
/// How long to wait between tries.
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// Calls `f` with a subfolder of the state folder below `root`, which it creates if it is missing.
pub(super) fn with_state<T>(
    root: &Dir,
    sub: &str,
    f: impl Fn(&Dir) -> io::Result<T>,
) -> io::Result<T> {
    let mut tries = 0;
    loop {
        let done = make_state(root)
            .and_then(|state| make_dir(&state, sub))
            .and_then(|dir| f(&dir));
        tries += 1;
        match done {
            Err(e) if e.kind() == io::ErrorKind::NotFound && tries < STATE_TRIES => {}
            other => return other,
        }
    }
}

/// Syncs the names of the state folder below `root` and of its subfolders. Otherwise a crash could
/// lose them with everything in them.
pub(super) fn sync_state(root: &Dir) -> io::Result<()> {
    for name in [STATE_DIR, &own_name()] {
        if let StateFound::Ours(state) = look_for(root, name)? {
            return sync_names(&state).and_then(|()| sync_names(root));
        }
    }
    Ok(())
}

fn sync_names(dir: &Dir) -> io::Result<()> {
    match dir.sync() {
        // This file system cannot sync folders.
        Err(e) if fs::is_unsupported(&e) => Ok(()),
        synced => synced,
    }
}

/// A subfolder of the state folder below `root`, if it exists.
pub(super) fn existing_state(root: &Dir, sub: &str) -> io::Result<Option<Dir>> {
    for name in [STATE_DIR, &own_name()] {
        if let StateFound::Ours(state) = look_for(root, name)? {
            return match look_for(&state, sub)? {
                StateFound::Ours(dir) => Ok(Some(dir)),
                StateFound::Nothing => Ok(None),
                StateFound::Other(found) => Err(not_ours(sub, &found)),
            };
        }
    }
    Ok(None)
}

/// Deletes the state folder below `root` if it is empty. Ignores errors, which mostly mean that it
/// is not.
pub(super) fn tidy(root: &Dir) {
    for name in [STATE_DIR, &own_name()] {
        if let Ok(StateFound::Ours(state)) = look_for(root, name) {
            for sub in [PARTIALS, MARKS, TIMES] {
                let _ = state.remove_dir(sub.as_bytes());
            }
            let _ = root.remove_dir(name.as_bytes());
        }
    }
}

/// Deletes a state file, if it is there: another session may have deleted it.
pub(super) fn remove_if_there(dir: &Dir, name: &[u8]) -> io::Result<()> {
    match dir.remove_file(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Locks a file for this session, unless another has it.
pub(super) fn lock(file: &File) -> io::Result<LockState> {
    for _ in 1..LOCK_TRIES {
        match fs::try_lock(file, Lock::Exclusive)? {
            LockState::Theirs => std::thread::sleep(LOCK_PAUSE),
            other => return Ok(other),
        }
    }
    fs::try_lock(file, Lock::Exclusive)
}

/// Finds out whether a session has a file. Several sessions can look at the same time.
pub(super) fn look(file: &File) -> io::Result<LockState> {
    fs::try_lock(file, Lock::Shared)
}

/// What has the name of a folder that xfer keeps for itself.
enum StateFound {
    Nothing,
    /// A folder that only this user may use.
    Ours(Dir),
    /// Another user's, or not a folder.
    Other(Stat),
}

/// The name of the state folder if another user has the usual one.
fn own_name() -> String {
    format!("{STATE_DIR_PREFIX}{}", fs::effective_user())
}

fn look_for(dir: &Dir, name: &str) -> io::Result<StateFound> {
    let name = name.as_bytes();
    let opened = match dir.open_dir(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(StateFound::Nothing),
        Err(e) if fs::is_denied(&e) || fs::is_not_a_dir(&e) => {
            return match dir.stat_at(name)? {
                Some(found) if found.is_dir() && is_ours(dir, &found) => Err(e),
                found => Ok(found.map_or(StateFound::Nothing, StateFound::Other)),
            };
        }
        opened => opened?,
    };
    let found = opened.stat()?;
    if !is_ours(dir, &found) {
        return Ok(StateFound::Other(found));
    }
    if found.mode & OTHERS != 0 {
        keep_from_others(&opened, &found)?;
    }
    Ok(StateFound::Ours(opened))
}

/// The state folder below `root`, created unless this user has one. If another session deletes it
/// or creates it first, fails with `NotFound`, so that the caller tries again.
fn make_state(root: &Dir) -> io::Result<Dir> {
    let own = own_name();
    let first = match look_for(root, STATE_DIR)? {
        StateFound::Ours(state) => return Ok(state),
        first => first,
    };
    let name = match (first, look_for(root, &own)?) {
        (_, StateFound::Ours(state)) => return Ok(state),
        (StateFound::Nothing, _) => STATE_DIR,
        (_, StateFound::Nothing) => &own,
        (_, StateFound::Other(found)) => return Err(not_ours(&own, &found)),
    };
    match make_dir(root, name) {
        Err(e) if e.get_ref().is_some() => Err(io::ErrorKind::NotFound.into()),
        made => made,
    }
}

fn make_dir(dir: &Dir, name: &str) -> io::Result<Dir> {
    if let StateFound::Ours(there) = look_for(dir, name)? {
        return Ok(there);
    }
    match dir.make_dir(name.as_bytes(), 0o700) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    match look_for(dir, name)? {
        StateFound::Ours(made) => Ok(made),
        StateFound::Nothing => Err(io::ErrorKind::NotFound.into()),
        StateFound::Other(found) => Err(not_ours(name, &found)),
    }
}

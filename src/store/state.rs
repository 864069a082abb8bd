//! The state directory, `.xfer` in the receive directory, and locks on the files that tell of
//! sessions. Where another user has that name, as in a folder that several receive into, it is
//! `.xfer-` and the number of this one's user.
//!
//! Must not know what these files contain, use anything that another user made, or wait for a
//! session to end: callers that can wait try again.

use std::io;
use std::time::Duration;

use crate::model::relpath::{STATE_DIR, STATE_DIR_PREFIX};
use crate::sys::fs::{self, Dir, File, Lock, LockState, Stat};

use super::owned::{OTHERS, is_ours, keep_from_others, not_ours};

/// Where the records of partials lie, below the state directory.
pub(super) const PARTIALS: &str = "partials";
/// Where the marks of sessions lie whose files may not be on disk, below the state directory.
pub(super) const MARKS: &str = "unsynced";
/// Where it is listed what time files were sent with, where that is not kept, below the state
/// directory.
pub(super) const TIMES: &str = "times";

/// How often the state directory is made anew when another session removes it, empty, at that
/// moment.
const STATE_TRIES: usize = 8;
/// How often a lock is tried for that somebody has: who only looks whether a file is locked has
/// it, too, but no longer than that.
const LOCK_TRIES: usize = 20;
/// How long to wait between.
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// Calls `f` with a folder of the state directory below `root`, made where it is missing.
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

/// Brings to disk that the state directory below `root` is there, with the folders in it: what lies
/// in one that is not would be lost with it.
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
        // A file system that has no such thing for folders.
        Err(e) if fs::is_unsupported(&e) => Ok(()),
        synced => synced,
    }
}

/// A folder of the state directory below `root`, if it is there.
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

/// Removes the state directory below `root` where there is nothing in it. That something is in it
/// is the usual reason why it stays.
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

/// Removes a file that says something, if it is there: another session may have done so.
pub(super) fn remove_if_there(dir: &Dir, name: &[u8]) -> io::Result<()> {
    match dir.remove_file(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Locks a file for this session, unless another one has it.
pub(super) fn lock(file: &File) -> io::Result<LockState> {
    for _ in 1..LOCK_TRIES {
        match fs::try_lock(file, Lock::Exclusive)? {
            LockState::Theirs => std::thread::sleep(LOCK_PAUSE),
            other => return Ok(other),
        }
    }
    fs::try_lock(file, Lock::Exclusive)
}

/// Looks whether a session has a file. Others can look at the same time.
pub(super) fn look(file: &File) -> io::Result<LockState> {
    fs::try_lock(file, Lock::Shared)
}

/// What has the name of a folder that this program keeps for itself.
enum StateFound {
    Nothing,
    /// It is this user's, and nobody else's to look into.
    Ours(Dir),
    /// It is another user's, or no folder.
    Other(Stat),
}

/// The name of the state directory where another user has the first one.
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

/// The state directory below `root`, made where there is none of this user's. That it is gone, or
/// that somebody else was there first, is as if it was not found.
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

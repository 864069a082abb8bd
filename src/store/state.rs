//! The state directory, `.xfer` in the receive directory, and locks on the files that tell of
//! sessions.
//!
//! Must not know what these files say, and must not wait for a session to end: callers that can
//! wait try again.

use std::io;
use std::time::Duration;

use crate::model::relpath::STATE_DIR;
use crate::sys::fs::{self, Dir, File, Lock, LockState};

/// Where the records of partials lie, below the state directory.
pub(super) const PARTIALS: &str = "partials";
/// Where the marks of sessions lie whose files may not be on disk, below the state directory.
pub(super) const MARKS: &str = "unsynced";

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
        let done = make_dir(root, STATE_DIR)
            .and_then(|state| make_dir(&state, sub))
            .and_then(|dir| f(&dir));
        tries += 1;
        match done {
            Err(e) if e.kind() == io::ErrorKind::NotFound && tries < STATE_TRIES => {}
            other => return other,
        }
    }
}

/// A folder of the state directory below `root`, if it is there.
pub(super) fn existing_state(root: &Dir, sub: &str) -> io::Result<Option<Dir>> {
    let opened = root
        .open_dir(STATE_DIR.as_bytes())
        .and_then(|state| state.open_dir(sub.as_bytes()));
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Removes the state directory below `root` where there is nothing in it. That something is in it
/// is the usual reason why it stays.
pub(super) fn tidy(root: &Dir) {
    if let Ok(state) = root.open_dir(STATE_DIR.as_bytes()) {
        for sub in [PARTIALS, MARKS] {
            let _ = state.remove_dir(sub.as_bytes());
        }
        let _ = root.remove_dir(STATE_DIR.as_bytes());
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

fn make_dir(dir: &Dir, name: &str) -> io::Result<Dir> {
    match dir.make_dir(name.as_bytes(), 0o700) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => dir.open_dir(name.as_bytes()),
    }
}

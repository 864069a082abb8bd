//! The receive directory: safe opening, partials, names, metadata, and bringing it to disk.
//!
//! Must not know the wire or a peer's words. Everything goes through open directories (held as
//! `cap-std`'s, opened with `rustix`), one name at a time, without following links, so that neither
//! `..` nor a link that is there, or put there during a transfer, leads outside it.

mod clash;
mod file;
mod folder;
mod in_use;
mod link;
mod lock;
mod mark;
mod name;
mod partial;
mod plan;
mod preview;
mod publish;
mod readback;
mod removal;
mod session;
mod space;
mod why;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::model::error::{Action, Error, Result};
use crate::model::relpath::STATE_DIR;

pub use file::{HeldFile, HeldIn, Incoming};
pub use folder::{FailedFolder, Folder};
pub use session::{Access, Planned, StoreSession};

use in_use::Busy;

/// How often the state directory is made anew when another session removes it, empty, at that
/// moment.
const STATE_TRIES: usize = 8;

/// How often partials are looked for that nobody comes back for: once a day.
const STALE_LOOK: Duration = Duration::from_secs(24 * 3600);
/// The size of a file that is made of a stream: none, before that has ended. No other file is as
/// large.
pub const STREAM: u64 = u64::MAX;

/// A receive directory.
pub struct Store {
    dir: Dir,
    path: PathBuf,
    space: space::Space,
    folding: clash::Folding,
    whole: publish::Whole,
    /// Signals that a partial or a folder was let go of.
    released: (Mutex<()>, Condvar),
    /// When it was last looked for partials that nobody comes back for.
    looked: Mutex<Instant>,
    /// The folders that sessions are in.
    busy: Arc<Busy>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.path).finish()
    }
}

impl Store {
    /// Opens a receive directory, which must exist and be writable. Removes partials that nobody
    /// has come back for in a long time.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let path = std::fs::canonicalize(path).map_err(|e| Error::file(Action::Open, path, e))?;
        let dir = std::fs::File::open(&path)
            .and_then(|dir| match dir.metadata()?.is_dir() {
                true => Ok(Dir::from_std_file(dir)),
                false => Err(Errno::NOTDIR.into()),
            })
            .map_err(|e| Error::file(Action::Open, &path, e))?;
        let failed = |e| Error::file(Action::WriteInto, &path, e);
        let folding = with_state(&dir, partial::PARTIALS, |records| {
            partial::remove_stale(&dir, records)?;
            clash::Folding::of(&dir)
        });
        let store = Arc::new(Self {
            folding: folding.map_err(failed)?,
            dir,
            path,
            space: space::Space::default(),
            whole: publish::Whole::new(),
            released: (Mutex::new(()), Condvar::new()),
            looked: Mutex::new(Instant::now()),
            busy: Busy::shared(),
        });
        store.tidy();
        Ok(store)
    }

    /// Has all files in it take up no more than `quota` bytes. It is measured when a session begins;
    /// what is replaced during one counts until the next.
    pub fn limit(&self, quota: u64) {
        self.space.limit(quota);
    }

    /// Whether it has a quota.
    #[must_use]
    pub fn has_quota(&self) -> bool {
        self.space.has_quota()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes are free, where the file system says, or are left of a quota.
    #[must_use]
    pub fn free(&self) -> Option<u64> {
        let free = space::free(&self.dir).ok();
        let left = self.space.left();
        free.map_or(left, |free| Some(left.map_or(free, |left| left.min(free))))
    }

    /// Removes partials that nobody has come back for, if that was not done lately: a service may
    /// never be started anew.
    fn remove_stale(&self) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.elapsed() < STALE_LOOK {
            return;
        }
        *looked = Instant::now();
        drop(looked);
        // What cannot be removed now is left for another time.
        if let Ok(Some(records)) = self.existing_state(partial::PARTIALS) {
            let _ = partial::remove_stale(&self.dir, &records);
        }
    }

    /// Waits until a partial is let go of, by another session of this process; by another
    /// process it would not be told, so it waits no longer than `most`.
    fn wait_for_release(&self, most: Duration) {
        let (lock, released) = &self.released;
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = released.wait_timeout(guard, most);
    }

    /// Calls `f` with a folder of the state directory, made where it is missing.
    fn with_state<T>(&self, sub: &str, f: impl Fn(&Dir) -> io::Result<T>) -> io::Result<T> {
        with_state(&self.dir, sub, f)
    }

    fn existing_state(&self, sub: &str) -> io::Result<Option<Dir>> {
        let opened = folder::open_dir(&self.dir, STATE_DIR.as_bytes())
            .and_then(|state| folder::open_dir(&state, sub.as_bytes()));
        match opened {
            Ok(dir) => Ok(Some(dir)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Removes the state directory where there is nothing in it. That something is in it is the
    /// usual reason why it stays.
    fn tidy(&self) {
        if let Ok(state) = folder::open_dir(&self.dir, STATE_DIR.as_bytes()) {
            for sub in [partial::PARTIALS, mark::MARKS] {
                let _ = rustix::fs::unlinkat(&state, sub, AtFlags::REMOVEDIR);
            }
            let _ = rustix::fs::unlinkat(&self.dir, STATE_DIR, AtFlags::REMOVEDIR);
        }
    }
}

/// Calls `f` with a folder of the state directory below `root`, made where it is missing.
fn with_state<T>(root: &Dir, sub: &str, f: impl Fn(&Dir) -> io::Result<T>) -> io::Result<T> {
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

/// Brings everything in the file system of `dir` to disk.
fn sync_all(dir: &Dir) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(dir)?;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        rustix::fs::sync();
    }
    Ok(())
}

fn make_dir(dir: &Dir, name: &str) -> io::Result<Dir> {
    match rustix::fs::mkdirat(dir, name, rustix::fs::Mode::from(0o700)) {
        Ok(()) | Err(Errno::EXIST) => folder::open_dir(dir, name.as_bytes()),
        Err(e) => Err(e.into()),
    }
}

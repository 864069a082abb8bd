//! A receive folder, opened once for any number of sessions.
//!
//! Must not store anything: sessions do.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::error::{Action, Error, Result};
use crate::sys::fs::Dir;
use crate::sys::own::OwnFolders;

use super::clash::Folding;
use super::context::{Access, DirectoryContext};
use super::partial;
use super::session::StoreSession;
use super::state::{PARTIALS, existing_state, tidy, with_state};

/// How often partials are looked for that nobody comes back for: once a day.
const STALE_LOOK: Duration = Duration::from_secs(24 * 3600);

/// A receive directory.
pub struct Store {
    context: Arc<DirectoryContext>,
    folding: Folding,
    /// Whether its file system counts the links of folders: not all do.
    counts_links: bool,
    /// When it was last looked for partials that nobody comes back for.
    looked: Mutex<Instant>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.context.path).finish()
    }
}

impl Store {
    /// Opens a receive directory, which must exist and be writable. Removes partials that nobody
    /// has come back for in a long time. Nothing is stored into `own`, nor removed from it; it
    /// fails where the receive directory is in there.
    pub fn open(path: &Path, own: OwnFolders) -> Result<Arc<Self>> {
        let path = std::fs::canonicalize(path).map_err(|e| Error::file(Action::Open, path, e))?;
        if own.has_path(&path) {
            return Err(Error::Own { path });
        }
        let dir = Dir::open(&path).map_err(|e| Error::file(Action::Open, &path, e))?;
        let folding = with_state(&dir, PARTIALS, |records| {
            partial::remove_stale(&dir, records)?;
            Folding::of(&dir, records)
        });
        let folding = folding.map_err(|e| Error::file(Action::WriteInto, &path, e))?;
        tidy(&dir);
        let counts_links = dir.stat().is_ok_and(|stat| stat.links > 0);
        Ok(Arc::new(Self {
            counts_links,
            context: Arc::new(DirectoryContext::new(dir, path, own)),
            folding,
            looked: Mutex::new(Instant::now()),
        }))
    }

    /// Has all files in it take up no more than `quota` bytes. It is measured when a session
    /// begins, and when it is used up.
    pub fn limit(&self, quota: u64) {
        self.context.space.limit(quota);
    }

    /// Whether it has a quota.
    #[must_use]
    pub fn has_quota(&self) -> bool {
        self.context.space.has_quota()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.context.path
    }

    /// How many bytes are free, where the file system says, or are left of a quota.
    #[must_use]
    pub fn free(&self) -> Option<u64> {
        self.context.free()
    }

    /// Makes ready for what one sender stores. With `sync`, [`StoreSession::finish`] brings it to
    /// disk.
    pub fn session(&self, access: Access, sync: bool) -> io::Result<Arc<StoreSession>> {
        // What is open stays usable, but nothing can be made in it.
        if self.counts_links && self.context.dir.stat()?.links == 0 {
            let what = "its folder was removed, so that it must be started again";
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        if !access.dry_run {
            self.remove_stale();
        }
        StoreSession::new(self.context.clone(), self.folding, access, sync).map(Arc::new)
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
        if let Ok(Some(records)) = existing_state(&self.context.dir, PARTIALS) {
            let _ = partial::remove_stale(&self.context.dir, &records);
        }
    }
}

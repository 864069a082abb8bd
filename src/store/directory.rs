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
use crate::sys::name::canonical;
use crate::sys::own::OwnFolders;

use super::clash::Folding;
use super::context::{Access, DirectoryContext};
use super::partial;
use super::session::StoreSession;
use super::state::{PARTIALS, existing_state, tidy, with_state};

/// How often to look for abandoned partials: once a day.
const STALE_LOOK: Duration = Duration::from_secs(24 * 3600);

/// An opened receive folder.
pub struct Store {
    context: Arc<DirectoryContext>,
    folding: Folding,
    /// Whether its file system counts the links of folders: not all do.
    counts_links: bool,
    /// When abandoned partials were last looked for.
    looked: Mutex<Instant>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.context.path).finish()
    }
}

impl Store {
    /// Opens a receive folder, which must exist and be writable, and deletes abandoned partials.
    /// Nothing is stored into `own` or deleted from it. Fails if the receive folder lies in there.
    pub fn open(path: &Path, own: OwnFolders) -> Result<Arc<Self>> {
        let path = canonical(path).map_err(|e| Error::file(Action::Open, path, e))?;
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

    /// Limits the space that all files in it take up to `quota` bytes. Usage is measured when a
    /// session begins, and when the quota is used up.
    pub fn limit(&self, quota: u64) {
        self.context.space.limit(quota);
    }

    /// Whether it has a quota.
    #[must_use]
    pub fn has_quota(&self) -> bool {
        self.context.space.has_quota()
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.context.path
    }

    /// How many bytes are free, if the file system says, or left of the quota, whichever is less.
    #[must_use]
    pub fn free(&self) -> Option<u64> {
        self.context.free()
    }

    /// Begins a session of one sender. With `sync`, [`StoreSession::finish`] syncs what it stored.
    pub fn session(&self, access: Access, sync: bool) -> io::Result<Arc<StoreSession>> {
        // An open handle stays usable, but nothing can be created in it.
        if self.counts_links && self.context.dir.stat()?.links == 0 {
            let what = "its folder was removed, so that it must be started again";
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        if !access.dry_run {
            self.remove_stale();
        }
        StoreSession::new(self.context.clone(), self.folding, access, sync).map(Arc::new)
    }

    /// Deletes abandoned partials, unless that was done lately: a service may run for months
    /// without a restart.
    fn remove_stale(&self) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.elapsed() < STALE_LOOK {
            return;
        }
        *looked = Instant::now();
        drop(looked);
        // What cannot be deleted now waits until next time.
        if let Ok(Some(records)) = existing_state(&self.context.dir, PARTIALS) {
            let _ = partial::remove_stale(&self.context.dir, &records);
        }
    }
}

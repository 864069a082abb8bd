//! What one sender stores in one session: what it may do, where its entries go, and its end.
//!
//! Must not keep anything past its end that another session waits for.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use rustix::fs::FileType;

use crate::model::digest::sha256;
use crate::model::entry::{Mode, Time};
use crate::model::error::{Error, Result};
use crate::model::outcome::{OnConflict, Outcome, Why};
use crate::model::relpath::RelPath;

use super::file::{self, Incoming};
use super::folder::{self, FailedFolder, Folder};
use super::in_use::{Claim, Identity, Taken};
use super::mark::{self, Mark, Suspects};
use super::name::other_name;
use super::plan::{Plan, Rules, plan};
use super::why::why;
use super::{Store, partial, removal, space, sync_all};

/// How long what another session has is waited for: longer than it takes for that session to
/// notice that its peer is gone.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(45);
/// How often another process is looked at for that.
pub(super) const LOCK_LOOK: Duration = Duration::from_millis(200);

/// What a sender may do in a receive directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Whose partials it resumes: its fingerprint.
    pub owner: [u8; 32],
    /// Whether it may learn what files that are there contain, and set the time and mode of
    /// folders that were there.
    pub existing: bool,
    /// What becomes of what it sends where something else has the name. To replace takes
    /// `existing`.
    pub conflict: OnConflict,
    /// Whether content is compared where size and time are the same.
    pub checksum: bool,
    /// Whether what it does not have is removed, in folders that it sends.
    pub mirror: bool,
    /// Whether nothing is to be made, changed or removed.
    pub dry_run: bool,
    /// Whether its links may lead out of the receive directory.
    pub links_outside: bool,
}

/// What one sender stores in one session.
#[derive(Debug)]
pub struct StoreSession {
    pub(super) store: Arc<Store>,
    pub(super) owner: [u8; 32],
    pub(super) access: Access,
    /// A handle of its own to sync through, where it is to: the system tells each handle once
    /// of data that could not be written.
    pub(super) sync: Option<Dir>,
    pub(super) suspects: OnceLock<Suspects>,
    pub(super) mark: Mutex<Option<Mark>>,
    pub(super) held: Arc<folder::Held>,
    pub(super) mirror: Option<removal::Mirror>,
    /// The partials that there were when it began, of any sender.
    pub(super) partials: HashSet<String>,
    /// How many are open now.
    pub(super) partials_open: AtomicUsize,
    /// The folders that were named to be sent.
    pub(super) claims: Mutex<Vec<Claim>>,
}

/// Where a file is to go.
#[derive(Debug)]
pub enum Planned {
    /// It does not come: it is there, or is to be left out.
    Settled(Outcome),
    /// It is to come.
    Incoming(Incoming),
}

impl Store {
    /// Makes ready for what one sender stores. With `sync`, [`StoreSession::finish`] brings it to disk.
    pub fn session(self: &Arc<Self>, access: Access, sync: bool) -> io::Result<Arc<StoreSession>> {
        // What is open stays usable, but nothing can be made in it.
        if rustix::fs::fstat(&self.dir)?.st_nlink == 0 {
            let what = "its folder was removed, so that it must be started again";
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        let sync = sync && !access.dry_run;
        Ok(Arc::new(StoreSession {
            store: self.clone(),
            owner: access.owner,
            access,
            // A dry run leaves nothing to sync.
            sync: match sync {
                true => Some(folder::open_dir(&self.dir, b".")?),
                false => None,
            },
            suspects: OnceLock::new(),
            mark: Mutex::new(None),
            held: Arc::new(folder::Held::new(
                access.owner,
                self.busy.clone(),
                self.folding,
            )),
            mirror: access.mirror.then(removal::Mirror::default),
            partials: match self.existing_state(partial::PARTIALS)? {
                Some(records) => partial::all(&records)?,
                None => HashSet::new(),
            },
            partials_open: AtomicUsize::new(0),
            claims: Mutex::default(),
        }))
    }
}

impl StoreSession {
    pub(super) fn open_partials(&self) -> usize {
        self.partials_open.load(Ordering::Relaxed)
    }

    /// What becomes of entries whose name something else has.
    #[must_use]
    pub fn conflict(&self) -> OnConflict {
        self.access.conflict
    }

    /// The receive directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// The receive directory as a folder.
    pub fn root(&self) -> io::Result<Arc<Folder>> {
        Ok(Folder::root(self.store.dir.try_clone()?, self.held.clone()))
    }

    pub(super) fn rules(&self) -> Rules<'_> {
        Rules {
            may_compare: self.access.existing,
            checksum: self.access.checksum,
            conflict: self.access.conflict,
            suspects: self.suspects.get(),
            owner: &self.owner,
        }
    }

    /// Leaves the mark that something may not be on disk, before the first thing is stored.
    pub(super) fn mark(&self) -> io::Result<()> {
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        if mark.is_none() {
            let unique = sha256(&[
                &self.owner,
                &std::process::id().to_le_bytes(),
                &std::ptr::from_ref(self).addr().to_le_bytes(),
                format!("{:?}", std::time::SystemTime::now()).as_bytes(),
            ]);
            let name = unique.to_string()[..32].to_owned();
            *mark = Some(self.store.with_state(mark::MARKS, |marks| {
                Mark::leave(marks, name.clone(), self.owner)
            })?);
        }
        Ok(())
    }

    /// Brings to disk what sessions stored that are no more, and finds out what of theirs a power
    /// loss may have damaged. It is to be called before anything is decided, and may take long.
    pub fn begin(&self) -> io::Result<()> {
        if self.store.has_quota() {
            let used = space::used(self.store.path());
            self.store.space.measured(used);
        }
        if !self.access.dry_run {
            self.store.remove_stale();
        }
        let suspects = match self.store.existing_state(mark::MARKS)? {
            Some(marks) => {
                let mut ended = mark::ended(&marks)?;
                if self.sync.is_some() && ended.needs_sync() {
                    sync_all(&self.store.dir)?;
                    ended.remove_settled(&marks)?;
                }
                ended.suspects()
            }
            None => Suspects::default(),
        };
        self.suspects.get_or_init(|| suspects);
        Ok(())
    }

    /// Makes or enters a folder in `parent`; one that is made has `mode`, as far as it can be
    /// filled so. A mirror has those that were named to be sent alone; where another session of
    /// the same sender has it, that is waited for: it may be one whose connection is lost.
    /// `give_up` is asked from time to time.
    pub fn folder(
        &self,
        parent: &Arc<Folder>,
        path: &RelPath,
        mode: Mode,
        give_up: impl Fn() -> bool,
    ) -> std::result::Result<Arc<Folder>, Why> {
        let replace = self.access.conflict == OnConflict::Replace;
        let folder = if self.access.dry_run {
            parent.look_into(path, replace)?
        } else {
            self.mark().map_err(|e| why(&e))?;
            let folder = parent.enter(path, mode, self.access.existing, replace)?;
            if path.depth() == 1
                && let Some(identity) = folder.identity()
            {
                self.claim(identity, give_up)?;
            }
            folder
        };
        if let Some(mirror) = self.mirror.as_ref().filter(|_| !folder.is_fresh()) {
            mirror.list(&folder)?;
        }
        Ok(folder)
    }

    fn claim(&self, folder: Identity, give_up: impl Fn() -> bool) -> std::result::Result<(), Why> {
        let end = Instant::now() + LOCK_WAIT;
        let claim = loop {
            let busy = &self.store.busy;
            match busy.claim(folder, self.owner, self.mirror.is_some()) {
                Ok(claim) => break claim,
                Err(Taken::BySame) if !give_up() && Instant::now() < end => {
                    self.store.wait_for_release(LOCK_LOOK);
                }
                Err(_) => return Err(Why::InUse),
            }
        };
        self.claims().push(claim);
        Ok(())
    }

    fn claims(&self) -> MutexGuard<'_, Vec<Claim>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that the sender has something, whatever becomes of it. Of a mirror, says whether
    /// something had its name that no other name of the sender's stands for.
    pub fn announced(&self, folder: &Folder, path: &RelPath) -> bool {
        let mirror = self.mirror.as_ref();
        mirror.is_some_and(|mirror| mirror.announced(folder, path.file_name()))
    }

    /// Whether a file or link has to wait until a mirror has removed the folder that has its name.
    /// That is surplus then, with what is in it.
    pub fn waits_for_removal(&self, folder: &Folder, path: &RelPath) -> bool {
        let Some(mirror) = &self.mirror else {
            return false;
        };
        let found = folder.with(|dir| folder::stat(dir, path.file_name()));
        match found {
            Ok(Some(found)) if folder::file_type(&found) == FileType::Directory => {
                mirror.is_surplus(folder, path.file_name(), &found)
            }
            _ => false,
        }
    }

    /// Takes note that nothing more comes of a folder, `complete` or not, and sets what it gets
    /// when all that goes into it is there, if this sender may.
    pub fn finish_folder(&self, folder: &Arc<Folder>, complete: bool, mode: Mode, mtime: Time) {
        if let Some(mirror) = &self.mirror {
            mirror.ended(folder, complete);
        }
        if self.access.dry_run {
            return;
        }
        if folder.is_made() || self.access.existing {
            folder.finish_with(mode, mtime);
        }
    }

    /// Plans a file; of a stream, where `size` is [`super::STREAM`].
    pub fn file(
        self: &Arc<Self>,
        folder: &Arc<Folder>,
        path: &RelPath,
        size: u64,
        mtime: Time,
        mode: Mode,
    ) -> std::result::Result<Planned, Why> {
        let plan = if folder.is_fresh() {
            Plan::Store(path.file_name().to_vec())
        } else {
            plan(folder, path.file_name(), size, mtime, self.rules())?
        };
        if self.access.dry_run {
            let outcome = self.preview_file(folder, path, &plan)?;
            return Ok(Planned::Settled(outcome));
        }
        let settled = match &plan {
            Plan::Have(name) => {
                if self.access.conflict == OnConflict::Replace {
                    match folder::set_mode(folder, name, mode) {
                        // It is somebody else's, and right but for that.
                        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
                        set => set.map_err(|e| why(&e))?,
                    }
                }
                Some(Outcome::Have(other_name(path, name)))
            }
            Plan::Keep => Some(Outcome::Kept),
            _ => None,
        };
        if let Some(outcome) = settled {
            file::drop_needless(self, folder, path);
            return Ok(Planned::Settled(outcome));
        }
        Incoming::new(self, folder, path, size, mtime, mode, plan).map(Planned::Incoming)
    }

    /// Folders whose time or mode could not be set since this was last asked.
    #[must_use]
    pub fn failed_folders(&self) -> Vec<FailedFolder> {
        self.held.take_failed()
    }

    /// Ends the session without bringing anything to disk, if it has not ended. Its mark stays,
    /// and is for the next session to settle.
    pub fn leave(&self) {
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        drop(mark.take());
        self.claims().clear();
        self.store.released.1.notify_all();
    }

    /// Brings everything to disk; what other sessions stored that are no more, too.
    fn sync(&self, dir: &Dir, mark: Mark) -> io::Result<()> {
        let Some(marks) = self.store.existing_state(mark::MARKS)? else {
            return sync_all(dir);
        };
        let mut ended = mark::ended(&marks)?;
        sync_all(dir)?;
        mark.remove(&marks)?;
        ended.remove_settled(&marks)
    }

    /// Brings everything to disk, unless it was told not to, and with that ends the session.
    pub fn finish(&self) -> Result<()> {
        let mark = self
            .mark
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mark) = mark else { return Ok(()) };
        if let Some(dir) = &self.sync {
            self.sync(dir, mark).map_err(|source| Error::Sync {
                path: self.store.path.clone(),
                source,
            })?;
        }
        self.store.tidy();
        Ok(())
    }
}

impl Drop for StoreSession {
    fn drop(&mut self) {
        self.store.tidy();
    }
}

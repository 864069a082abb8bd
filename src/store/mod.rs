//! The receive directory: safe opening, partials, names, metadata, and bringing it to disk.
//!
//! Must not know the wire or a peer's words. Everything goes through open directories (held as
//! `cap-std`'s, opened with `rustix`), one name at a time, without following links, so that neither `..` nor a link
//! that is there, or put there during a transfer, leads outside it.

mod busy;
mod clash;
mod folder;
mod incoming;
mod link;
mod lock;
mod mark;
mod mirror;
mod name;
mod partial;
mod plan;
mod preview;
mod publish;
mod readback;
mod space;
mod why;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::digest::sha256;
use crate::entry::{Mode, Time};
use crate::error::{Error, Result};
use crate::outcome::{OnConflict, Outcome, Why};
use crate::relpath::{RelPath, STATE_DIR};

pub use folder::{FailedFolder, Folder};
pub use incoming::{HeldFile, HeldIn, Incoming};

use busy::{Busy, Claim, Identity, Taken};
use mark::{Mark, Suspects};
use name::other_name;
use plan::{Plan, Rules, plan};
use why::why;

/// How often the state directory is made anew when another session removes it, empty, at that
/// moment.
const STATE_TRIES: usize = 8;

/// How often partials are looked for that nobody comes back for: once a day.
const STALE_LOOK: Duration = Duration::from_secs(24 * 3600);
/// How long what another session has is waited for: longer than it takes for that session to
/// notice that its peer is gone.
const LOCK_WAIT: Duration = Duration::from_secs(45);
/// How often another process is looked at for that.
const LOCK_LOOK: Duration = Duration::from_millis(200);

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
    store: Arc<Store>,
    owner: [u8; 32],
    access: Access,
    /// A handle of its own to sync through, where it is to: the system tells each handle once
    /// of data that could not be written.
    sync: Option<Dir>,
    suspects: OnceLock<Suspects>,
    mark: Mutex<Option<Mark>>,
    held: Arc<folder::Held>,
    mirror: Option<mirror::Mirror>,
    /// The partials that there were when it began, of any sender.
    partials: HashSet<String>,
    /// How many are open now.
    partials_open: AtomicUsize,
    /// The folders that were named to be sent.
    claims: Mutex<Vec<Claim>>,
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
    /// Opens a receive directory, which must exist and be writable. Removes partials that nobody
    /// has come back for in a long time.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let path = std::fs::canonicalize(path).map_err(|e| Error::file("open", path, e))?;
        let dir = std::fs::File::open(&path)
            .and_then(|dir| match dir.metadata()?.is_dir() {
                true => Ok(Dir::from_std_file(dir)),
                false => Err(Errno::NOTDIR.into()),
            })
            .map_err(|e| Error::file("open", &path, e))?;
        let failed = |e| Error::file("write into", &path, e);
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

    /// How many bytes the files in it take up.
    fn used(&self) -> u64 {
        let files = walkdir::WalkDir::new(&self.path).same_file_system(true);
        // What cannot be looked at counts nothing.
        let files = files
            .into_iter()
            .flatten()
            .filter_map(|e| e.metadata().ok());
        files
            .filter(std::fs::Metadata::is_file)
            .map(|meta| meta.blocks() * 512)
            .sum()
    }

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
            mirror: access.mirror.then(mirror::Mirror::default),
            partials: match self.existing_state(partial::PARTIALS)? {
                Some(records) => partial::all(&records)?,
                None => HashSet::new(),
            },
            partials_open: AtomicUsize::new(0),
            claims: Mutex::default(),
        }))
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

impl StoreSession {
    fn open_partials(&self) -> usize {
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

    fn rules(&self) -> Rules<'_> {
        Rules {
            may_compare: self.access.existing,
            checksum: self.access.checksum,
            conflict: self.access.conflict,
            suspects: self.suspects.get(),
            owner: &self.owner,
        }
    }

    /// Leaves the mark that something may not be on disk, before the first thing is stored.
    fn mark(&self) -> io::Result<()> {
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
            self.store.space.measured(self.store.used());
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
                Err(_) => return Err(Why::Busy),
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

    /// Plans a file; of a stream, where `size` is [`STREAM`].
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
            incoming::drop_needless(self, folder, path);
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

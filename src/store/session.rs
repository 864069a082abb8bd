//! What one sender stores in one session: its rights, where its entries go, and its end.
//!
//! Must not hold anything past its end that another session waits for.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::model::digest::CHUNK_SIZE;
use crate::model::entry::{Mode, Target, Time};
use crate::model::error::{Error, Result};
use crate::model::outcome::{Attribute, NotKept, OnConflict, Outcome, Why};
use crate::model::relpath::{PathError, RelPath};
use crate::model::surplus::{Decision, Objection, RemovalCount, Surplus};
use crate::sys::fs::{Dir, FileId, Stat};

use super::clash::Folding;
use super::context::{Access, DirectoryContext, LOCK_LOOK, LOCK_WAIT, SessionContext};
use super::durability::Durability;
use super::entering::Entering;
use super::folder::Folder;
use super::found::{open_file, why};
use super::held::read_all;
use super::in_use::{FolderClaim, Locked, Taken};
use super::incoming::Incoming;
use super::link::NewLink;
use super::mirror::Mirror;
use super::name::other_name;
use super::partial;
use super::permissions::set_mode_at;
use super::plan::{NewFile, Plan, STREAM, plan};
use super::removal::not_removed;
use super::session_folders::{FailedFolder, SessionFolders};
use super::state::{PARTIALS, existing_state, tidy};
use super::times::SentTimes;
use super::turn::FileInUse;

/// Why an entry may not replace a folder that xfer keeps for itself.
const OWN: Why = Why::Name(PathError::Reserved);

/// What one sender stores in one session.
#[derive(Debug)]
pub struct StoreSession {
    context: Arc<SessionContext>,
    folders: Arc<SessionFolders>,
    mirror: Option<Mirror>,
    /// The folders that the sender named.
    claims: Mutex<Vec<FolderClaim>>,
}

/// What happens to an announced file.
// Short-lived: allocating it would cost more than moving it.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Planned {
    /// Not needed: the file is here already, or is left out.
    Settled(Outcome),
    /// To be received.
    Incoming(Incoming),
    /// Another session of this sender is receiving it and may finish it.
    InUse(FileInUse),
}

impl StoreSession {
    pub(super) fn new(
        directory: Arc<DirectoryContext>,
        folding: Folding,
        access: Access,
        sync: bool,
    ) -> io::Result<Self> {
        // A dry run leaves nothing to sync.
        let sync = sync && !access.dry_run;
        let durability = Durability::new(&directory.dir, access.owner, sync)?;
        let durability = Arc::new(durability);
        let partials = match existing_state(&directory.dir, PARTIALS)? {
            Some(records) => partial::all(&records)?,
            None => HashSet::new(),
        };
        let times = match access.existing {
            true => None,
            false => Some(SentTimes::load(&directory.dir, access.owner)?),
        };
        let in_use = directory.in_use.clone();
        let folders = SessionFolders::new(access.owner, in_use, folding, durability.clone());
        Ok(Self {
            context: Arc::new(SessionContext::new(
                directory, access, durability, partials, times,
            )),
            folders: Arc::new(folders),
            mirror: access.mirror.then(Mirror::default),
            claims: Mutex::default(),
        })
    }

    /// Syncs what ended sessions stored, and finds out which of their files the disk may have lost.
    /// Call it before any entry is planned. It may take long.
    pub fn begin(&self) -> io::Result<()> {
        self.context.directory.measure();
        if !self.is_dry() {
            self.context.directory.try_unnamed();
        }
        self.context.durability.begin()
    }

    /// What to do with an entry when something else has its name.
    #[must_use]
    pub fn conflict(&self) -> OnConflict {
        self.context.access.conflict
    }

    /// The path of the receive folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.context.directory.path
    }

    /// The receive folder as a [`Folder`].
    pub fn root(&self) -> io::Result<Arc<Folder>> {
        // A handle of its own, because locks belong to handles.
        let dir = self.context.directory.dir.open_again()?;
        Folder::root(dir, self.folders.clone())
    }

    /// Whether this is a dry run.
    #[must_use]
    pub fn is_dry(&self) -> bool {
        self.context.access.dry_run
    }

    /// The permissions that programs of this user give new files, for those whose sender names none.
    #[must_use]
    pub fn usual_file_mode(&self) -> Mode {
        Mode::from_stat(0o666 & !self.context.directory.unnamed.umask)
    }

    /// The same for new folders.
    #[must_use]
    pub fn usual_folder_mode(&self) -> Mode {
        Mode::from_stat(0o777 & !self.context.directory.unnamed.umask)
    }

    /// How many bytes are free, if the file system says.
    #[must_use]
    pub fn free(&self) -> Option<u64> {
        self.context.directory.free()
    }

    /// Creates or enters a folder in `parent`. A new folder gets `mode`, plus what it takes to fill
    /// it. A mirror claims named folders for itself alone. If another session of the same
    /// sender has one, this waits up to [`LOCK_WAIT`], since that session's connection may be lost;
    /// it calls `give_up` from time to time.
    pub fn folder(
        &self,
        parent: &Arc<Folder>,
        path: &RelPath,
        mode: Mode,
        way: bool,
        give_up: impl Fn() -> bool,
    ) -> std::result::Result<Arc<Folder>, Why> {
        if self.context.is_name_of_own(parent.id(), path) {
            return Err(OWN);
        }
        let way = way && parent.is_way();
        // A link that leads to xfer's own folders is not replaced.
        let replace = self.context.access.conflict == OnConflict::Replace
            && self.keeps_off(parent, path).is_ok();
        let entering = Entering::new(self.context.access.existing, replace, way);
        self.context.reserve(parent, path)?;
        let folder = if self.context.access.dry_run {
            let folder = parent.look_into(path, entering)?;
            if folder.is_named() {
                // A dry run deletes nothing, so it needs no lock.
                folder.has_alone();
            }
            folder
        } else {
            let directory = &self.context.directory;
            let counted = directory.count_new(parent, path.file_name(), 1)?;
            let folder = parent.enter(path, mode, entering)?;
            counted.keep_if(folder.is_fresh());
            if folder.is_named()
                && let Some(id) = folder.id()
            {
                self.claim(&folder, id, give_up)?;
            }
            folder
        };
        if folder.id().is_some_and(|id| self.context.is_own(id)) {
            return Err(OWN);
        }
        if let Some(mirror) = self.mirror.as_ref().filter(|_| !folder.is_fresh() && !way) {
            mirror.list(&folder)?;
        }
        Ok(folder)
    }

    /// Fails if a name is that of a folder that xfer keeps for itself, or leads to one.
    fn keeps_off(&self, folder: &Folder, path: &RelPath) -> std::result::Result<(), Why> {
        let context = &self.context;
        match context.leads_to_own(folder.id(), path.file_name(), Some(path)) {
            true => Err(OWN),
            false => Ok(()),
        }
    }

    fn claim(
        &self,
        folder: &Folder,
        id: FileId,
        give_up: impl Fn() -> bool,
    ) -> std::result::Result<(), Why> {
        let end = Instant::now() + LOCK_WAIT;
        let in_use = &self.context.directory.in_use;
        let owner = self.context.access.owner;
        let claim = loop {
            let by_same = match in_use.claim(id, owner, self.mirror.is_some()) {
                Ok(mut claim) => {
                    let dir = folder.with(Dir::try_clone).map_err(|e| why(&e))?;
                    match claim.lock(dir).map_err(|e| not_removed(&e))? {
                        Locked::Not => {}
                        Locked::Shared => break claim,
                        Locked::Alone => {
                            folder.has_alone();
                            break claim;
                        }
                    }
                    drop(claim);
                    // The holder may be a session of this sender that sees the folder under another
                    // ID.
                    in_use.claims_of(owner) > self.claims().len()
                }
                Err(taken) => taken == Taken::BySame,
            };
            if !by_same || give_up() || Instant::now() >= end {
                return Err(Why::InUse);
            }
            self.context.directory.wait_for_release(LOCK_LOOK);
        };
        self.claims().push(claim);
        Ok(())
    }

    fn claims(&self) -> MutexGuard<'_, Vec<FolderClaim>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the sender has an entry, whether it can be stored or not. For a mirror, returns
    /// whether something had its name that no other name of the sender's accounts for.
    pub fn announced(&self, folder: &Folder, path: &RelPath) -> bool {
        let mirror = self.mirror.as_ref();
        mirror.is_some_and(|mirror| mirror.announced(folder, path.file_name(), self.is_dry()))
    }

    /// Whether a file or link must wait until the mirror has deleted a folder of the same name.
    /// That folder and its contents are then surplus.
    pub fn waits_for_removal(&self, folder: &Folder, path: &RelPath) -> bool {
        let found = self.obstacle(folder, path);
        found.is_some_and(|(mirror, found)| mirror.is_surplus(folder, path.file_name(), &found))
    }

    /// Whether a folder that the mirror could delete has the name of a file or link. It stays.
    pub fn is_obstacle(&self, folder: &Folder, path: &RelPath) -> bool {
        self.obstacle(folder, path).is_some()
    }

    fn obstacle(&self, folder: &Folder, path: &RelPath) -> Option<(&Mirror, Stat)> {
        let mirror = self.mirror.as_ref()?;
        let found = folder.with(|dir| dir.stat_at(path.file_name())).ok()??;
        found.is_dir().then_some((mirror, found))
    }

    /// Notes that nothing more comes for a folder, `complete` or not. If this sender may, sets its
    /// mode and time once everything in it is stored.
    pub fn finish_folder(&self, folder: &Arc<Folder>, complete: bool, mode: Mode, mtime: Time) {
        if let Some(mirror) = &self.mirror {
            mirror.ended(folder, complete);
        }
        if self.context.access.dry_run || folder.is_way() {
            return;
        }
        if folder.is_made() || self.context.access.existing {
            match folder.before_change() {
                Ok(()) => folder.finish_with(mode, mtime),
                Err(why) => folder.fail(why),
            }
        }
    }

    /// Plans a file, or a stream if its size is [`super::STREAM`].
    pub fn file(
        &self,
        folder: &Arc<Folder>,
        path: &RelPath,
        file: NewFile,
    ) -> std::result::Result<Planned, Why> {
        let NewFile {
            size, mtime, mode, ..
        } = file;
        self.keeps_off(folder, path)?;
        self.context.reserve(folder, path)?;
        let plan = if folder.is_fresh() && !self.context.has_met_another() {
            Plan::Store(path.file_name().to_vec())
        } else {
            let mut rules = self.context.rules();
            if size > 0 && self.context.has_partial(path) {
                let owner = &self.context.access.owner;
                let root = &self.context.directory.dir;
                rules.unfinished = partial::unfinished(root, folder, owner, path);
            }
            plan(folder, path.file_name(), size, mtime, rules)?
        };
        if self.context.access.dry_run {
            let outcome = self.preview_file(folder, path, &plan)?;
            return Ok(Planned::Settled(outcome));
        }
        let settled = match &plan {
            Plan::Have(name) => {
                if self.context.access.conflict == OnConflict::Replace {
                    folder.before_change()?;
                    // Another sender may have stored it, with the right content but another mode.
                    let set = folder.with(|dir| set_mode_at(dir, name, mode));
                    let not_kept = &self.context.durability.not_kept;
                    not_kept.permit(Attribute::Mode, set).map_err(|e| why(&e))?;
                }
                Some(Outcome::Have(other_name(path, name)))
            }
            Plan::Keep => Some(Outcome::Kept),
            _ => None,
        };
        if let Some(outcome) = settled {
            self.context.drop_needless_partial(folder, path);
            return Ok(Planned::Settled(outcome));
        }
        let has_partial = size > u64::from(CHUNK_SIZE)
            || plan.replaces()
            || !self.context.directory.unnamed.are_possible(folder)
            || self.context.has_partial(path);
        // A stream cannot be resumed, nor found here already.
        let turn = (has_partial && size != STREAM).then(|| self.context.turn(path));
        let turn = match turn.transpose() {
            Ok(turn) => turn,
            Err(in_use) => return Ok(Planned::InUse(in_use)),
        };
        Incoming::new(&self.context, folder, path, file, (plan, turn)).map(Planned::Incoming)
    }

    /// What would happen to a file. If only its content could tell, it counts as a different file.
    fn preview_file(
        &self,
        folder: &Folder,
        path: &RelPath,
        plan: &Plan,
    ) -> std::result::Result<Outcome, Why> {
        let outcome = match plan {
            Plan::Have(name) => return Ok(Outcome::Have(other_name(path, name))),
            Plan::Keep => return Ok(Outcome::Kept),
            Plan::Store(name)
            | Plan::Mend { name, .. }
            | Plan::Compare {
                otherwise: name, ..
            } => Outcome::Stored(other_name(path, name)),
            Plan::Replace { .. } => Outcome::Replaced,
        };
        self.could_write(folder)?;
        Ok(outcome)
    }

    /// Fails if a folder's mode would prevent storing in it, and this sender may not change that
    /// mode.
    fn could_write(&self, folder: &Folder) -> std::result::Result<(), Why> {
        if folder.is_fresh() || self.context.access.existing {
            return Ok(());
        }
        folder.with(|dir| dir.may_write()).map_err(|e| why(&e))
    }

    /// Stores a symbolic link. If something else has its name, the conflict policy decides.
    pub fn link(
        &self,
        folder: &Arc<Folder>,
        path: &RelPath,
        target: &Target,
        mtime: Time,
    ) -> std::result::Result<Outcome, Why> {
        if !self.context.access.links_outside && !target.stays_below(path) {
            return Err(Why::Outside);
        }
        self.keeps_off(folder, path)?;
        self.context.reserve(folder, path)?;
        let context = &self.context;
        if self.is_dry() {
            self.could_write(folder)?;
        }
        let link = NewLink {
            context,
            folder,
            path,
            target,
            mtime,
        };
        link.store()
    }

    /// Deletes what the sender does not have, in folders that it sent and could read completely,
    /// once everything else is stored. A dry run only counts. `ask` decides about each item, in
    /// order. Then all deletions are counted, and `allow` says how many may happen, or why none
    /// may. `tell` gets each deleted path; `give_up` is called from time to time. Returns how many
    /// files, links and folders were or would be deleted; folders that could not be emptied count
    /// as failed.
    pub fn remove_surplus(
        &self,
        ask: impl FnMut(Vec<Surplus>) -> Vec<Decision>,
        allow: impl FnOnce(RemovalCount) -> std::result::Result<u64, Objection>,
        give_up: impl Fn() -> bool,
        tell: impl FnMut(RelPath),
    ) -> io::Result<u64> {
        match &self.mirror {
            Some(mirror) => mirror.remove_surplus(&self.context, ask, allow, give_up, tell),
            None => Ok(0),
        }
    }

    /// Forgets the planned deletions, except of folders that an entry waits for.
    pub fn keep_surplus_but_obstacles(&self) {
        if let Some(mirror) = &self.mirror {
            mirror.keep_but_obstacles();
        }
    }

    /// Forgets what was to be removed: it stays.
    pub fn keep_surplus(&self) {
        if let Some(mirror) = &self.mirror {
            mirror.keep();
        }
    }

    /// Reads the file at `path` from beginning to end, without following links. Passes each piece
    /// to `take`, and whether it is a hole, which is not read. Stops at the first error of `take`.
    pub fn read_back(
        &self,
        path: &RelPath,
        take: impl FnMut(&[u8], bool) -> io::Result<()>,
    ) -> io::Result<()> {
        let root = &self.context.directory.dir;
        let dir = partial::folder_of(root, path)?.ok_or(io::ErrorKind::NotFound)?;
        read_all(&open_file(&dir, path.file_name())?, take)
    }

    /// Folders whose time or mode could not be set, since the last call.
    #[must_use]
    pub fn failed_folders(&self) -> Vec<FailedFolder> {
        self.folders.take_failed()
    }

    /// What could not be preserved so far of what was stored.
    #[must_use]
    pub fn not_kept(&self) -> Vec<NotKept> {
        self.context.durability.not_kept.all()
    }

    /// Ends the session without syncing, if it has not ended. Its mark stays for the next session
    /// to settle.
    pub fn leave(&self) {
        self.context.durability.leave();
        let claims = std::mem::take(&mut *self.claims());
        drop(claims);
        self.context.directory.release();
    }

    /// Syncs everything, unless told not to, and ends the session.
    pub fn finish(&self) -> Result<()> {
        let directory = &self.context.directory;
        let finished = self.context.durability.finish();
        finished.map_err(|source| Error::Sync {
            path: directory.path.clone(),
            source,
        })?;
        tidy(&directory.dir);
        Ok(())
    }
}

impl Drop for StoreSession {
    fn drop(&mut self) {
        tidy(&self.context.directory.dir);
    }
}

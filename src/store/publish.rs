//! Gives a finished file its name. The only place where bytes reach a final name.
//!
//! Must not replace anything by accident: a taken name is an `AlreadyExists` error, and the file is
//! planned again. An old version stays until the new one is complete, and on disk if the session
//! syncs.

use std::io::{self, IoSlice};

use crate::model::entry::{Mode, Time};
use crate::model::outcome::{Attribute, Outcome, Why};
use crate::model::reason::SystemError;
use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir, File, Stat, Timestamp};
use crate::sys::vectored;

use super::context::SessionContext;
use super::folder::Folder;
use super::found::{SENDERS_BITS, open_file, same_time, timestamp};
use super::held::is_same;
use super::name::{nth_name, other_name};
use super::not_kept::NotKeptCounts;
use super::plan::{MAX_BESIDE, Plan, STREAM, is_taken, plan};
use super::times::Sent;

/// How often another name is tried when the planned one is taken at the last moment.
const PUBLISH_TRIES: usize = 16;
/// How many existing files a new one is compared with at most.
const MAX_COMPARED: u32 = 16;

/// The result of trying to name a file.
enum Put {
    Done,
    /// This way of storing cannot replace a file, or does not work here at all.
    Cannot,
}

/// The result of setting the sender's time and permissions on an existing file.
pub(super) enum Touched {
    /// Set, as far as possible; its time is the same as before.
    AsItWas,
    /// Set; its time has changed.
    Changed,
    /// Another user owns it: a new file with these attributes replaces it.
    TakesItsPlace,
}

/// Whether the file system rejects this name.
fn is_impossible(error: &io::Error) -> bool {
    fs::is_name_impossible(error) || error.kind() == io::ErrorKind::InvalidFilename
}

/// A finished file that needs its name.
#[derive(Debug)]
pub(super) struct Publication<'a> {
    pub(super) context: &'a SessionContext,
    pub(super) folder: &'a Folder,
    pub(super) path: &'a RelPath,
    pub(super) plan: &'a Plan,
    pub(super) size: u64,
    pub(super) mtime: Time,
    pub(super) mode: Mode,
}

impl Publication<'_> {
    /// Sets the sender's permissions and time on an open file, as far as its file system keeps
    /// them.
    pub(super) fn set_meta(&self, file: &File) -> io::Result<()> {
        fs::end_growing(file, self.size);
        self.set_mode(file)?;
        self.set_mtime(file)
    }

    /// Does the same as [`Self::set_meta`] for an existing file with the same content. If the
    /// system refuses, `new` supplies a file newly created here: what that one accepts, the old one
    /// refused only because another user owns it.
    pub(super) fn touch<'f>(
        &self,
        file: &File,
        before: &Stat,
        new: impl FnOnce() -> Option<&'f File>,
    ) -> io::Result<Touched> {
        let set = |file: &File| {
            // It is known to be whole now: its change time moves past the power loss.
            if !matches!(self.plan, Plan::Mend { .. }) {
                fs::set_mode(file, self.mode.bits() & SENDERS_BITS)?;
            }
            fs::set_mtime(file, timestamp(self.mtime))
        };
        match set(file) {
            Err(e) if fs::is_refused(&e) => {
                if matches!(self.plan, Plan::Mend { .. }) {
                    return Ok(Touched::TakesItsPlace);
                }
                if let Some(new) = new() {
                    match set(new) {
                        Ok(()) => return Ok(Touched::TakesItsPlace),
                        Err(e) if fs::is_refused(&e) => {}
                        Err(e) => return Err(e),
                    }
                }
                self.set_meta(file)?;
            }
            set => set?,
        }
        let was_other = matches!(self.plan, Plan::Replace { .. }) && !same_time(before, self.mtime);
        match was_other && self.has_time(file)? {
            true => Ok(Touched::Changed),
            false => Ok(Touched::AsItWas),
        }
    }

    /// The time that a file has instead of its own, if that needs remembering.
    fn lost_time(&self, look: impl FnOnce() -> io::Result<Stat>) -> io::Result<Option<Timestamp>> {
        match (&self.context.times, self.folder.id()) {
            (Some(times), Some(folder)) if self.size != STREAM => {
                times.is_lost(folder.device, self.mtime, look)
            }
            _ => Ok(None),
        }
    }

    fn sent<'s>(&'s self, name: &'s [u8]) -> Sent<'s> {
        Sent {
            folder: self.folder,
            name,
            size: self.size,
            mtime: self.mtime,
        }
    }

    fn may_compare(&self) -> bool {
        self.context.access.existing
    }

    /// Whether a file has the sender's time after it was set: some file systems drop it without an
    /// error.
    fn has_time(&self, file: &File) -> io::Result<bool> {
        Ok(same_time(&fs::stat(file)?, self.mtime))
    }

    /// The name of an identical file. It is looked for only if this one would get a numbered name
    /// because the times differ, and this file system does not keep the sender's time: each session
    /// would store one more copy. Not for senders that may not learn what is here.
    fn same_beside(&self, file: &File) -> io::Result<Option<Vec<u8>>> {
        let own = self.path.file_name();
        let (Plan::Store(planned)
        | Plan::Compare {
            otherwise: planned, ..
        }) = self.plan
        else {
            return Ok(None);
        };
        if planned == own || !self.may_compare() || self.has_time(file)? {
            return Ok(None);
        }
        let size = fs::stat(file)?.size;
        let mut compared = 0;
        for n in 1..=MAX_BESIDE {
            let name = nth_name(own, n);
            if name == *planned || compared == MAX_COMPARED {
                break;
            }
            let other = self.folder.with(|dir| match dir.stat_at(&name)? {
                Some(found) if found.is_file() && found.size == size => {
                    let doubt = self.context.durability.doubt(&found);
                    doubt.map_or_else(|| open_file(dir, &name).map(Some), |_| Ok(None))
                }
                _ => Ok(None),
            });
            // A file that cannot be read is no reason not to store this one.
            let Ok(Some(other)) = other else { continue };
            compared += 1;
            if is_same(file, &other, size)? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn set_mode(&self, file: &File) -> io::Result<()> {
        let set = fs::set_mode(file, self.mode.bits() & SENDERS_BITS);
        if set.is_ok() && !fs::keeps_mode(self.mode.bits()) {
            self.not_kept()
                .note(Attribute::Mode, SystemError::Unsupported);
        }
        self.not_kept().permit(Attribute::Mode, set)
    }

    fn set_mtime(&self, file: &File) -> io::Result<()> {
        let set = fs::set_mtime(file, timestamp(self.mtime));
        self.not_kept().permit(Attribute::Time, set)
    }

    fn not_kept(&self) -> &NotKeptCounts {
        &self.context.durability.not_kept
    }

    /// Stores a small file at once, without a name until it is complete. Returns `None` if that is
    /// impossible, for example if it replaces another. `why` translates errors of the system.
    pub(super) fn whole(
        &self,
        data: &[IoSlice<'_>],
        why: impl Fn(&io::Error) -> Why,
    ) -> Result<Option<Outcome>, Why> {
        let unnamed = &self.context.directory.unnamed;
        if !unnamed.are_possible(self.folder) {
            return Ok(None);
        }
        let put = |name: &[u8], replaces| {
            if replaces {
                return Ok(Put::Cannot);
            }
            self.folder.with(|dir| {
                match self.store_unnamed(dir, name, data) {
                    Err(e) if fs::cannot_be_unnamed(&e) => {
                        unnamed.are_not_possible(dir, &e);
                        Ok(Put::Cannot)
                    }
                    // The name may be at fault, which only a rename tells for sure.
                    Err(e) if is_impossible(&e) && !fs::is_name_too_long(&e) => Ok(Put::Cannot),
                    stored => stored,
                }
            })
        };
        self.publish(put, why)
    }

    /// A crash leaves nothing behind, and nothing needs renaming.
    fn store_unnamed(&self, dir: &Dir, name: &[u8], data: &[IoSlice<'_>]) -> io::Result<Put> {
        let mode = self.mode.bits() & SENDERS_BITS;
        let file = dir.create_unnamed(mode)?;
        // Writing consumes the slices, and the name may be taken.
        vectored::write_all_at(&file, &mut data.to_vec(), 0)?;
        // Setting the sender's mode restores what the umask or the folder's default ACL took away.
        let taken = mode & self.context.directory.unnamed.umask != 0;
        if taken || self.folder.has_default_acl(dir) {
            self.set_mode(&file)?;
        }
        self.set_mtime(&file)?;
        let is_beside = name != self.path.file_name() && self.may_compare();
        let look = || fs::stat(&file);
        if (is_beside && !self.has_time(&file)?) || self.lost_time(look)?.is_some() {
            // It may be here already, or need its time remembered: both take a partial. This says
            // nothing about other files.
            return Ok(Put::Cannot);
        }
        // Before another entry finds it there.
        self.folder.note(name, &file)?;
        self.context.durability.before_naming(&file, false)?;
        match dir.name_unnamed(&file, name) {
            // Some folders let files be created, but not linked.
            Err(e) => match fs::of_new_name(e) {
                // Only this folder may refuse it.
                e if fs::is_denied(&e) => Ok(Put::Cannot),
                e if fs::is_refused(&e) => Err(io::ErrorKind::Unsupported.into()),
                e => Err(e),
            },
            Ok(()) => Ok(Put::Done),
        }
    }

    /// Gives the partial `from` its name. Returns the name stored under, or that the same file is
    /// here already.
    pub(super) fn partial(
        &self,
        file: &File,
        from: &str,
        why: impl Fn(&io::Error) -> Why,
    ) -> Result<Option<Outcome>, Why> {
        if let Some(same) = self.same_beside(file).map_err(|e| why(&e))? {
            return Ok(Some(Outcome::Have(other_name(self.path, &same))));
        }
        let put = |name: &[u8], replaces| {
            self.context.durability.before_naming(file, replaces)?;
            // Before another entry finds it there.
            self.folder.note(name, file)?;
            let from = from.as_bytes();
            let put = |dir: &Dir| match replaces {
                true => self.context.directory.rename_over(dir, from, name),
                false => dir.rename_new(from, name),
            };
            let put = self.folder.with(put).map_err(fs::of_new_name);
            put?;
            self.remember_time(name);
            Ok(Put::Done)
        };
        self.publish(put, why)
    }

    /// Remembers the time of a named file if the file system lost it; some set their own time as
    /// late as that. If this fails, the next session stores the file once more.
    fn remember_time(&self, name: &[u8]) {
        let look = || {
            let found = self.folder.with(|dir| dir.stat_at(name))?;
            Ok(found.ok_or(io::ErrorKind::NotFound)?)
        };
        if let (Some(times), Ok(Some(time))) = (&self.context.times, self.lost_time(look)) {
            let _ = times.note(&self.context.directory.dir, self.sent(name), time);
        }
    }

    /// Calls `put` with the planned name and whether to replace what has it, then with other names
    /// for as long as each turns out to be taken. Returns the name stored under, or that another
    /// session stored the same file; `None` if `put` cannot do it.
    fn publish(
        &self,
        put: impl Fn(&[u8], bool) -> io::Result<Put>,
        why: impl Fn(&io::Error) -> Why,
    ) -> Result<Option<Outcome>, Why> {
        let mut current = self.plan.clone();
        for _ in 0..PUBLISH_TRIES {
            let (name, replaces) = match &current {
                Plan::Have(name) => return Ok(Some(Outcome::Have(other_name(self.path, name)))),
                Plan::Keep => return Ok(Some(Outcome::Kept)),
                Plan::Store(name)
                | Plan::Compare {
                    otherwise: name, ..
                } => (name, false),
                Plan::Mend { name, .. } | Plan::Replace { name, .. } => (name, true),
            };
            match put(name, replaces) {
                Ok(Put::Cannot) => return Ok(None),
                Ok(Put::Done) if matches!(current, Plan::Replace { .. }) => {
                    return Ok(Some(Outcome::Replaced));
                }
                Ok(Put::Done) => return Ok(Some(Outcome::Stored(other_name(self.path, name)))),
                Err(e) if is_taken(&e) => {}
                Err(e) => return Err(why(&e)),
            }
            let name = self.path.file_name();
            let rules = self.context.rules();
            current = plan(self.folder, name, self.size, self.mtime, rules)?;
        }
        Err(Why::InUse)
    }
}

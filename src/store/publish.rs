//! Gives a finished file its name. The only place where bytes reach a final name.
//!
//! Must not replace anything by accident: a name that is taken is an `AlreadyExists` error, and the
//! file is planned again. An old version stays until the new one is complete, and on disk if the
//! session syncs.
//! `AlreadyExists`, and it is planned again. What is replaced stands until the new one is complete,
//! and on disk where the session syncs.

use std::io::{self, IoSlice};

use crate::model::entry::{Mode, Time};
use crate::model::outcome::{Attribute, Outcome, Why};
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

/// How often a name is looked for anew when it is taken at the last moment.
const PUBLISH_TRIES: usize = 16;
/// With how many files that are there one is compared at most, to be found again.
const MAX_COMPARED: u32 = 16;

/// What came of giving a file a name.
enum Put {
    Done,
    /// This way of storing cannot do it: replace what has the name, or anything at all here.
    Cannot,
}

/// What came of giving a file that is here the sender's time and permissions.
pub(super) enum Touched {
    /// It has them, or what it can have of them, and its time is the one that it had.
    AsItWas,
    /// It has another time now.
    Changed,
    /// It is somebody else's: another file with them takes its place.
    TakesItsPlace,
}

/// Whether a name cannot be given here at all.
fn is_impossible(error: &io::Error) -> bool {
    fs::is_name_impossible(error) || error.kind() == io::ErrorKind::InvalidFilename
}

/// A file that is to get its name.
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
    /// Gives an open file its sender's permissions and time, as far as its file system takes them.
    pub(super) fn set_meta(&self, file: &File) -> io::Result<()> {
        self.set_mode(file)?;
        self.set_mtime(file)
    }

    /// Gives a file that is here and has the same content what [`Self::set_meta`] does. Where that
    /// is refused, `new` gives a file that is made here now: what that takes, the old one would
    /// take if it were not somebody else's.
    pub(super) fn touch<'f>(
        &self,
        file: &File,
        before: &Stat,
        new: impl FnOnce() -> Option<&'f File>,
    ) -> io::Result<Touched> {
        let set = |file: &File| {
            // Known to be whole from now on: its time of change moves past the power loss.
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

    /// Which time a file has instead of its own, where that is to be remembered.
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

    /// Whether a file has the sender's time, after it was set: not every file system keeps it, nor
    /// says so.
    fn has_time(&self, file: &File) -> io::Result<bool> {
        Ok(same_time(&fs::stat(file)?, self.mtime))
    }

    /// The name of a file with the same content, where a name beside it is planned because the
    /// time of what has the name is another, and no file here has the time that it is given: each
    /// session would store one more. Whoever may not learn what is there does not hear of it.
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
            // One that cannot be read is no reason not to store this one.
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
        self.not_kept().permit(Attribute::Mode, set)
    }

    fn set_mtime(&self, file: &File) -> io::Result<()> {
        let set = fs::set_mtime(file, timestamp(self.mtime));
        self.not_kept().permit(Attribute::Time, set)
    }

    fn not_kept(&self) -> &NotKeptCounts {
        &self.context.durability.not_kept
    }

    /// Stores the whole of a small file at once, without a name until it has all it needs; none
    /// where that cannot be done, as where it is to take the place of another. What an error of the
    /// system means is for `why` to say.
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
                    // It may be the name, which only a rename tells for sure.
                    Err(e) if is_impossible(&e) && !fs::is_name_too_long(&e) => Ok(Put::Cannot),
                    stored => stored,
                }
            })
        };
        self.publish(put, why)
    }

    /// A crash leaves nothing behind, and there is nothing to rename.
    fn store_unnamed(&self, dir: &Dir, name: &[u8], data: &[IoSlice<'_>]) -> io::Result<Put> {
        let mode = self.mode.bits() & SENDERS_BITS;
        let file = dir.create_unnamed(mode)?;
        // Writing uses the pieces up, and the name may be taken.
        vectored::write_all_at(&file, &mut data.to_vec(), 0)?;
        // What the system's mask took away, or a folder's list of permissions, the sender's mode
        // gives back.
        let taken = mode & self.context.directory.unnamed.umask != 0;
        if taken || self.folder.has_default_acl(dir) {
            self.set_mode(&file)?;
        }
        self.set_mtime(&file)?;
        let is_beside = name != self.path.file_name() && self.may_compare();
        let look = || fs::stat(&file);
        if (is_beside && !self.has_time(&file)?) || self.lost_time(look)?.is_some() {
            // It may be here, or be found again, which takes a partial. Of others that says nothing.
            return Ok(Put::Cannot);
        }
        // Before somebody finds it there.
        self.folder.note(name, &file)?;
        self.context.durability.before_naming(&file, false)?;
        match dir.name_unnamed(&file, name) {
            // Where it could be made, it may be stored, but not linked.
            Err(e) => match fs::of_new_name(e) {
                // It may be this folder alone.
                e if fs::is_denied(&e) => Ok(Put::Cannot),
                e if fs::is_refused(&e) => Err(io::ErrorKind::Unsupported.into()),
                e => Err(e),
            },
            Ok(()) => Ok(Put::Done),
        }
    }

    /// Gives the partial `from` its name; none where somebody else stored the same.
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
            // Before somebody finds it there.
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

    /// Takes note of the time that was lost of a file that has its name, if it was. Some file
    /// systems set theirs as late as that. Should it fail, the next session stores it once more.
    fn remember_time(&self, name: &[u8]) {
        let look = || {
            let found = self.folder.with(|dir| dir.stat_at(name))?;
            Ok(found.ok_or(io::ErrorKind::NotFound)?)
        };
        if let (Some(times), Ok(Some(time))) = (&self.context.times, self.lost_time(look)) {
            let _ = times.note(&self.context.directory.dir, self.sent(name), time);
        }
    }

    /// Calls `put` with the planned name, and with others for as long as names turn out to be
    /// taken; with whether what has the name is to be replaced. Says under which name it is
    /// stored, or that somebody else stored the same; none where `put` cannot do it.
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

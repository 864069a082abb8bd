//! Giving a finished file its name. The only place where bytes reach a final name.
//!
//! Must not replace anything by accident: a name that is taken is an error of kind
//! `AlreadyExists`, and it is planned again. What is replaced stands until the new one is complete,
//! and on disk where the session syncs.

use std::io::{self, IoSlice};

use crate::model::entry::{Mode, Time};
use crate::model::outcome::{Outcome, Why};
use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir, File};
use crate::sys::vectored;

use super::context::SessionContext;
use super::folder::Folder;
use super::found::{SENDERS_BITS, timestamp};
use super::name::other_name;
use super::plan::{Plan, is_taken, plan};

/// How often a name is looked for anew when it is taken at the last moment.
const PUBLISH_TRIES: usize = 16;

/// What came of giving a file a name.
enum Put {
    Done,
    /// This way of storing cannot do it: replace what has the name, or anything at all here.
    Cannot,
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

/// Gives an open file a sender's permissions and time.
pub(super) fn set_meta(file: &File, mode: Mode, mtime: Time) -> io::Result<()> {
    fs::set_mode(file, mode.bits() & SENDERS_BITS)?;
    fs::set_mtime(file, timestamp(mtime))
}

impl Publication<'_> {
    /// Stores the whole of a small file at once, without a name until it has all it needs; none
    /// where that cannot be done, as where it is to take the place of another. What an error of the
    /// system means is for `why` to say.
    pub(super) fn whole(
        &self,
        data: &[IoSlice<'_>],
        why: impl Fn(&io::Error) -> Why,
    ) -> Result<Option<Outcome>, Why> {
        let unnamed = &self.context.directory.unnamed;
        if !unnamed.are_possible() {
            return Ok(None);
        }
        let put = |name: &[u8], replaces| {
            if replaces {
                return Ok(Put::Cannot);
            }
            let stored = self.folder.with(|dir| self.store_unnamed(dir, name, data));
            match stored {
                Err(e) if fs::cannot_be_unnamed(&e) => {
                    unnamed.are_not_possible();
                    Ok(Put::Cannot)
                }
                stored => stored.map(|()| Put::Done),
            }
        };
        self.publish(put, why)
    }

    /// A crash leaves nothing behind, and there is nothing to rename.
    fn store_unnamed(&self, dir: &Dir, name: &[u8], data: &[IoSlice<'_>]) -> io::Result<()> {
        let mode = self.mode.bits() & SENDERS_BITS;
        let file = dir.create_unnamed(mode)?;
        // Writing uses the pieces up, and the name may be taken.
        vectored::write_all_at(&file, &mut data.to_vec(), 0)?;
        // What the system's mask took away, or a folder's list of permissions, the sender's mode
        // gives back.
        let taken = mode & self.context.directory.unnamed.umask != 0;
        if taken || self.folder.has_default_acl(dir) {
            fs::set_mode(&file, mode)?;
        }
        fs::set_mtime(&file, timestamp(self.mtime))?;
        // Before somebody finds it there.
        self.folder.note(name, &file)?;
        self.context.durability.before_naming(&file, false)?;
        dir.name_unnamed(&file, name)
    }

    /// Gives the partial `from` its name; none where somebody else stored the same.
    pub(super) fn partial(
        &self,
        file: &File,
        from: &str,
        why: impl Fn(&io::Error) -> Why,
    ) -> Result<Option<Outcome>, Why> {
        let put = |name: &[u8], replaces| {
            self.context.durability.before_naming(file, replaces)?;
            // Before somebody finds it there.
            self.folder.note(name, file)?;
            let from = from.as_bytes();
            let put = |dir: &Dir| match replaces {
                true => dir.rename_over(from, name),
                false => dir.rename_new(from, name),
            };
            self.folder.with(put).map(|()| Put::Done)
        };
        self.publish(put, why)
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

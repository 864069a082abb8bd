//! Symbolic links: made, found to be there, or put in the place of what is.
//!
//! Must not follow any. One that leads out of the receive directory would make others who read
//! here believe that what it leads to was received.

use std::io;
use std::sync::Arc;

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Stat};

use crate::model::entry::{Target, Time};
use crate::model::outcome::{OnConflict, Outcome, Why};
use crate::model::relpath::RelPath;

use super::file::drop_needless;
use super::folder::{Folder, file_type, stat, timestamps};
use super::name::{nth_name, other_name, partial_id, partial_name};
use super::publish::rename_over;
use super::why::{in_the_way, why};
use super::{StoreSession, partial, plan};

/// What came of making a link.
enum Made {
    /// It is new.
    New,
    /// Something has the name.
    Taken {
        found: Option<Stat>,
        /// Whether it is the same link.
        is_same: bool,
    },
}

impl StoreSession {
    /// Stores a symbolic link; where something else has its name, as conflicts are dealt with.
    pub fn link(
        &self,
        folder: &Arc<Folder>,
        path: &RelPath,
        target: &Target,
        mtime: Time,
    ) -> Result<Outcome, Why> {
        if !self.access.links_outside && !target.stays_below(path) {
            return Err(Why::Outside);
        }
        let dry = self.access.dry_run;
        if dry {
            self.could_write(folder)?;
        } else {
            self.mark().map_err(|e| why(&e))?;
            drop_needless(self, folder, path);
        }
        if dry && folder.is_fresh() {
            return Ok(Outcome::Stored(None));
        }
        for n in 1..=plan::MAX_BESIDE {
            let name = nth_name(path.file_name(), n);
            let other = || other_name(path, &name);
            let made = folder.with(|dir| self.make_link(folder, dir, &name, target, mtime));
            let (found, is_same) = match made.map_err(|e| why(&e))? {
                Made::New => return Ok(Outcome::Stored(other())),
                Made::Taken { found, is_same } => (found, is_same),
            };
            if let Some(found) = &found {
                folder.claim(&name, found)?;
            }
            if is_same {
                let differs = found.is_some_and(|there| !plan::same_time(&there, mtime));
                if differs && !dry && self.access.conflict == OnConflict::Replace {
                    // It was touched since, or a session ended before it could set the time.
                    let set = folder.with(|dir| set_time(dir, &name, mtime));
                    set.map_err(|e| why(&e))?;
                }
                return Ok(Outcome::Have(other()));
            }
            match self.access.conflict {
                OnConflict::Beside => {}
                OnConflict::Skip => return Ok(Outcome::Kept),
                OnConflict::Fail => return Err(in_the_way(found.as_ref())),
                OnConflict::Replace if found.as_ref().is_none_or(plan::may_make_way) => {
                    if dry {
                        return Ok(Outcome::Replaced);
                    }
                    return self.replace_by_link(folder, path, target, mtime);
                }
                OnConflict::Replace => return Err(in_the_way(found.as_ref())),
            }
        }
        Err(in_the_way(None))
    }

    /// Makes a link, or in a dry run looks whether it could be.
    fn make_link(
        &self,
        folder: &Folder,
        dir: &Dir,
        name: &[u8],
        target: &Target,
        mtime: Time,
    ) -> io::Result<Made> {
        let found = match self.access.dry_run {
            true => match stat(dir, name)? {
                None => return Ok(Made::New),
                found => found,
            },
            false => match put_link(dir, name, target, mtime) {
                Ok(()) => return folder.note_link(name, dir, name).map(|()| Made::New),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => stat(dir, name)?,
                Err(e) => return Err(e),
            },
        };
        let there = found.as_ref();
        let is_same = there.is_some_and(|there| self.is_same_link(dir, name, there, target, mtime));
        Ok(Made::Taken { found, is_same })
    }

    /// Whether the link that is to have `name` is there. Whoever may not learn what is there hears
    /// what its size and time say, as of a file, and not whether it guessed where it leads.
    fn is_same_link(
        &self,
        dir: &Dir,
        name: &[u8],
        found: &Stat,
        target: &Target,
        mtime: Time,
    ) -> bool {
        if self.access.existing {
            return rustix::fs::readlinkat(dir, name, Vec::new())
                .is_ok_and(|there| there.as_bytes() == target.as_bytes());
        }
        file_type(found) == FileType::Symlink
            && usize::try_from(found.st_size) == Ok(target.as_bytes().len())
            && plan::same_time(found, mtime)
    }

    /// Makes a link under a partial's name, and renames it over what is there.
    fn replace_by_link(
        &self,
        folder: &Folder,
        path: &RelPath,
        target: &Target,
        mtime: Time,
    ) -> Result<Outcome, Why> {
        let id = partial_id(&self.owner, path);
        let hidden = partial_name(&id);
        // What was left of a file of this path: a partial that is being written to stays.
        if !partial::remove(folder, &id).map_err(|e| why(&e))? {
            return Err(Why::InUse);
        }
        let recorded = self.store.with_state(partial::PARTIALS, |records| {
            partial::write_record(records, &id, &self.owner, path, 0, mtime)
        });
        recorded.map_err(|e| why(&e))?;
        let replaced = folder.with(|dir| {
            put_link(dir, hidden.as_bytes(), target, mtime)?;
            let noted = folder.note_link(path.file_name(), dir, hidden.as_bytes());
            noted
                .and_then(|()| rename_over(dir, &hidden, path.file_name()))
                .inspect_err(|_| {
                    // It is found by its record, should it stay.
                    let _ = rustix::fs::unlinkat(dir, &hidden, AtFlags::empty());
                })
        });
        let _ = self.store.with_state(partial::PARTIALS, |records| {
            partial::remove_record(records, &id)
        });
        replaced.map(|()| Outcome::Replaced).map_err(|e| why(&e))
    }
}

/// Makes a link with its time, or none.
fn put_link(dir: &Dir, name: &[u8], target: &Target, mtime: Time) -> io::Result<()> {
    rustix::fs::symlinkat(target.as_path(), dir, name)?;
    set_time(dir, name, mtime).inspect_err(|_| {
        let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
    })
}

fn set_time(dir: &Dir, name: &[u8], mtime: Time) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::utimensat(dir, name, &timestamps(mtime), flags)?)
}

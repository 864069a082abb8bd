//! Symbolic links: creates them, recognizes existing ones, or replaces what is there.
//!
//! Must not follow any link. A link out of the receive folder would make readers believe that its
//! target was received.

use std::io;
use std::sync::PoisonError;

use crate::model::entry::{Target, Time};
use crate::model::outcome::{Attribute, OnConflict, Outcome, Why};
use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir, Stat};

use super::context::SessionContext;
use super::durability::Doubt;
use super::folder::Folder;
use super::found::{in_the_way, may_make_way, same_time, timestamp, why};
use super::name::{nth_name, other_name, partial_name};
use super::times::{Sent, SentTimes};
use super::{partial, partial_record, plan};

/// A link target shorter than this, in bytes, is stored with the link's size and time on most file
/// systems, and takes up no space of its own.
const SHORT: usize = 60;

/// The result of creating a link.
enum Made {
    /// The link was created.
    New,
    /// Something has the name.
    Taken {
        found: Option<Stat>,
        /// Whether it is the same link.
        is_same: bool,
    },
}

/// A symbolic link to store.
#[derive(Debug)]
pub(super) struct NewLink<'a> {
    pub(super) context: &'a SessionContext,
    pub(super) folder: &'a Folder,
    pub(super) path: &'a RelPath,
    pub(super) target: &'a Target,
    pub(super) mtime: Time,
}

impl NewLink<'_> {
    /// Stores it. If something else has its name, the conflict policy decides. A dry run only finds
    /// out what would happen.
    pub(super) fn store(&self) -> Result<Outcome, Why> {
        let (access, folder, path) = (&self.context.access, self.folder, self.path);
        let dry = access.dry_run;
        if !dry {
            folder.before_change()?;
            self.context.drop_needless_partial(folder, path);
        }
        if dry && folder.is_fresh() {
            return Ok(Outcome::Stored(None));
        }
        for n in 1..=plan::MAX_BESIDE {
            let name = nth_name(path.file_name(), n);
            let other = || other_name(path, &name);
            let directory = &self.context.directory;
            let counted = match dry {
                true => directory.space.count_nothing(),
                false => directory.count_new(folder, &name, self.bytes())?,
            };
            let made = folder.with(|dir| self.make(dir, &name));
            let (found, is_same) = match made.map_err(|e| why(&e))? {
                Made::New => {
                    counted.keep_if(true);
                    return Ok(Outcome::Stored(other()));
                }
                Made::Taken { found, is_same } => (found, is_same),
            };
            if let Some(found) = &found {
                folder.claim(&name, found)?;
            }
            let doubt = |found: &Stat| self.context.durability.doubt(found);
            let is_unwritten = found.as_ref().and_then(doubt) == Some(Doubt::Unwritten);
            if is_same && access.existing && is_unwritten && !dry {
                // It may be in memory alone.
                return self.replace(&name).map(|()| Outcome::Have(other()));
            }
            if is_same {
                let differs = found.is_some_and(|there| !same_time(&there, self.mtime));
                if differs && !dry && access.conflict == OnConflict::Replace {
                    // Somebody changed its time, or a session was cut off before setting it.
                    let mtime = timestamp(self.mtime);
                    let set = folder.with(|dir| dir.set_mtime_at(&name, mtime));
                    self.permit(set).map_err(|e| why(&e))?;
                }
                return Ok(Outcome::Have(other()));
            }
            match access.conflict {
                OnConflict::Beside => {}
                OnConflict::Skip => return Ok(Outcome::Kept),
                OnConflict::Fail => return Err(in_the_way(found.as_ref())),
                OnConflict::Replace if found.as_ref().is_none_or(may_make_way) => {
                    if !dry {
                        self.replace(path.file_name())?;
                    }
                    return Ok(Outcome::Replaced);
                }
                OnConflict::Replace => return Err(in_the_way(found.as_ref())),
            }
        }
        Err(in_the_way(None))
    }

    /// How many bytes it takes up; 0 for a short target.
    fn bytes(&self) -> u64 {
        let length = self.target.as_bytes().len();
        if length < SHORT { 0 } else { length as u64 }
    }

    /// Creates it; in a dry run, finds out whether that would work.
    fn make(&self, dir: &Dir, name: &[u8]) -> io::Result<Made> {
        let found = match self.context.access.dry_run {
            true => match dir.stat_at(name)? {
                None => return Ok(Made::New),
                found => found,
            },
            false => match self.put(dir, name) {
                Ok(()) => {
                    self.remember(dir, name)?;
                    return self.folder.note_link(name, dir, name).map(|()| Made::New);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => dir.stat_at(name)?,
                Err(e) => return Err(e),
            },
        };
        let there = found.as_ref();
        let is_same = there.is_some_and(|there| self.is_same(dir, name, there));
        Ok(Made::Taken { found, is_same })
    }

    /// Whether the same link has this name. A sender that may not learn what is here is answered by
    /// size and time, as for a file, so that it cannot guess targets.
    fn is_same(&self, dir: &Dir, name: &[u8], found: &Stat) -> bool {
        let target = self.target.as_bytes();
        if self.context.access.existing {
            return dir.read_link(name).is_ok_and(|there| there == target);
        }
        let times = self.context.times.as_ref();
        let has_time = || {
            let knows = |times: &SentTimes| times.knows(self.sent(name), found);
            same_time(found, self.mtime) || times.is_some_and(knows)
        };
        found.is_link() && found.size == target.len() as u64 && has_time()
    }

    /// Creates it under a partial's name, then renames it over what is there.
    fn replace(&self, name: &[u8]) -> Result<(), Why> {
        let directory = &self.context.directory;
        let alone = directory.replacing_link.lock();
        let _alone = alone.unwrap_or_else(PoisonError::into_inner);
        let owner = &self.context.access.owner;
        let (id, _) = partial::find(self.folder, owner, self.path).map_err(|e| why(&e))?;
        let hidden = partial_name(&id);
        let hidden = hidden.as_bytes();
        // A file of this path may have left a partial; one that is being written to stays.
        if !partial::remove(self.folder, &id).map_err(|e| why(&e))? {
            return Err(Why::InUse);
        }
        let recorded = directory.with_records(|records| {
            partial_record::write_record(records, &id, owner, self.path, 0, self.mtime)
        });
        recorded.map_err(|e| why(&e))?;
        // The replaced entry gives back its own count.
        let counted = directory.count(self.bytes())?;
        let replaced = self.folder.with(|dir| {
            self.put(dir, hidden)?;
            let noted = self.folder.note_link(name, dir, hidden);
            noted
                .and_then(|()| directory.rename_over(dir, hidden, name))
                .inspect_err(|_| {
                    // If it stays, its record leads to it.
                    let _ = dir.remove_file(hidden);
                })
        });
        counted.keep_if(replaced.is_ok());
        let _ = directory.with_records(|records| partial::remove_record(records, &id));
        replaced.map_err(|e| why(&e))
    }

    /// Remembers its time, if the file system does not keep it and that matters.
    fn remember(&self, dir: &Dir, name: &[u8]) -> io::Result<()> {
        let Some(times) = &self.context.times else {
            return Ok(());
        };
        let look = || Ok(dir.stat_at(name)?.ok_or(io::ErrorKind::NotFound)?);
        let device = self.folder.id().map(|id| id.device);
        let lost = device.map(|device| times.is_lost(device, self.mtime, look));
        if let Some(time) = lost.transpose()?.flatten() {
            let root = &self.context.directory.dir;
            let _ = times.note(root, self.sent(name), time);
        }
        Ok(())
    }

    fn sent<'s>(&'s self, name: &'s [u8]) -> Sent<'s> {
        Sent {
            folder: self.folder,
            name,
            size: self.target.as_bytes().len() as u64,
            mtime: self.mtime,
        }
    }

    /// Accepts it if a file system does not keep its time.
    fn permit(&self, set: io::Result<()>) -> io::Result<()> {
        let not_kept = &self.context.durability.not_kept;
        not_kept.permit(Attribute::Time, set)
    }

    /// Creates it with its time, or not at all.
    fn put(&self, dir: &Dir, name: &[u8]) -> io::Result<()> {
        let made = dir.make_link(self.target.as_bytes(), name);
        made.map_err(fs::of_new_name)?;
        let set = self.permit(dir.set_mtime_at(name, timestamp(self.mtime)));
        set.inspect_err(|_| {
            let _ = dir.remove_file(name);
        })
    }
}

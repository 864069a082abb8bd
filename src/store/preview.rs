//! Dry runs: what would become of each entry, as far as names, sizes and times tell.
//!
//! Must not make, change or remove anything.

use std::io;
use std::sync::Arc;

use rustix::fs::{Access as Permission, AtFlags};

use crate::entry::{Target, Time};
use crate::outcome::{OnConflict, Outcome, Why};
use crate::relpath::RelPath;

use super::StoreSession;
use super::folder::{Folder, stat};
use super::name::nth_name;
use super::plan::{self, Plan};
use super::why::{in_the_way, why};

impl StoreSession {
    /// Whether this is a dry run.
    #[must_use]
    pub fn is_dry(&self) -> bool {
        self.access.dry_run
    }

    /// How many bytes are free, where the file system says.
    #[must_use]
    pub fn free(&self) -> Option<u64> {
        self.store.free()
    }

    /// What would become of a file. Where only its content could tell, it counts as another one.
    pub(super) fn preview_file(
        &self,
        folder: &Folder,
        path: &RelPath,
        plan: &Plan,
    ) -> Result<Outcome, Why> {
        let other = |name: &[u8]| {
            (name != path.file_name())
                .then(|| path.with_file_name(name).ok())
                .flatten()
        };
        let outcome = match plan {
            Plan::Have(name) => return Ok(Outcome::Have(other(name))),
            Plan::Keep => return Ok(Outcome::Kept),
            Plan::Store(name)
            | Plan::Mend(name)
            | Plan::Compare {
                otherwise: name, ..
            } => Outcome::Stored(other(name)),
            Plan::Replace { .. } => Outcome::Replaced,
        };
        self.could_write(folder)?;
        Ok(outcome)
    }

    /// What would become of a link.
    pub(super) fn preview_link(
        &self,
        folder: &Arc<Folder>,
        path: &RelPath,
        target: &Target,
        mtime: Time,
    ) -> Result<Outcome, Why> {
        self.could_write(folder)?;
        if folder.is_fresh() {
            return Ok(Outcome::Stored(None));
        }
        for n in 1..=plan::MAX_BESIDE {
            let name = nth_name(path.file_name(), n);
            let other = || (n > 1).then(|| path.with_file_name(&name).ok()).flatten();
            let look = |dir: &_| {
                let found = stat(dir, &name)?;
                let same = found.as_ref();
                let same =
                    same.is_some_and(|there| self.is_same_link(dir, &name, there, target, mtime));
                Ok::<_, io::Error>((found, same))
            };
            let (found, same) = folder.with(look).map_err(|e| why(&e))?;
            let Some(found) = found else {
                return Ok(Outcome::Stored(other()));
            };
            folder.claim(&name, &found)?;
            if same {
                return Ok(Outcome::Have(other()));
            }
            match self.access.conflict {
                OnConflict::Beside => {}
                OnConflict::Skip => return Ok(Outcome::Kept),
                OnConflict::Replace if plan::may_make_way(&found) => return Ok(Outcome::Replaced),
                OnConflict::Replace | OnConflict::Fail => return Err(in_the_way(Some(&found))),
            }
        }
        Err(in_the_way(None))
    }

    /// Whether something could be stored in a folder, which its mode may have to let first.
    fn could_write(&self, folder: &Folder) -> Result<(), Why> {
        if folder.is_fresh() || self.access.existing {
            return Ok(());
        }
        let needed = Permission::WRITE_OK | Permission::EXEC_OK;
        let asked = folder.with(|dir| {
            rustix::fs::accessat(dir, c".", needed, AtFlags::EACCESS).map_err(Into::into)
        });
        asked.map_err(|e| why(&e))
    }
}

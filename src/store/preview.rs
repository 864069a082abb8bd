//! Dry runs: what would become of each entry, as far as names, sizes and times tell.
//!
//! Must not make, change or remove anything.

use rustix::fs::{Access as Permission, AtFlags};

use crate::model::outcome::{Outcome, Why};
use crate::model::relpath::RelPath;

use super::StoreSession;
use super::folder::Folder;
use super::name::other_name;
use super::plan::Plan;
use super::why::why;

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
        let outcome = match plan {
            Plan::Have(name) => return Ok(Outcome::Have(other_name(path, name))),
            Plan::Keep => return Ok(Outcome::Kept),
            Plan::Store(name)
            | Plan::Mend(name)
            | Plan::Compare {
                otherwise: name, ..
            } => Outcome::Stored(other_name(path, name)),
            Plan::Replace { .. } => Outcome::Replaced,
        };
        self.could_write(folder)?;
        Ok(outcome)
    }

    /// Whether something could be stored in a folder, which its mode may have to let first.
    pub(super) fn could_write(&self, folder: &Folder) -> Result<(), Why> {
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

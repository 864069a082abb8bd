//! `BatchFolders`: the folders that the files of a batch belong in, made where they are missing.
//!
//! Must not remember more of them than a few.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::outcome::Why;
use crate::model::relpath::RelPath;
use crate::store::{Folder, StoreSession};

/// How many folders a batch remembers.
const MAX_FOLDERS: usize = 64;

/// Folders that are open; none before it begins and after its end.
#[derive(Debug, Default)]
pub(super) struct BatchFolders {
    root: Option<Arc<Folder>>,
    below: HashMap<RelPath, Arc<Folder>>,
}

impl BatchFolders {
    /// Begins with the receive folder.
    pub(super) fn begin(&mut self, root: Arc<Folder>) {
        self.root = Some(root);
    }

    /// The folder that a file belongs in. Those that it makes are added to `made`.
    pub(super) fn of(
        &mut self,
        store: &StoreSession,
        path: &RelPath,
        made: &mut Vec<RelPath>,
        is_over: impl Fn() -> bool,
    ) -> Result<Arc<Folder>, Why> {
        let mut folder = self.root.clone().ok_or(Why::Ended)?;
        let bytes = path.as_bytes();
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (end, _) in ends {
            let path = RelPath::new(&bytes[..end]).map_err(Why::Name)?;
            if let Some(known) = self.below.get(&path) {
                folder = known.clone();
                continue;
            }
            let mode = store.usual_folder_mode();
            // Nobody says what time and mode it has: it stays as it is made, or is.
            folder = store.folder(&folder, &path, mode, true, &is_over)?;
            if self.below.len() >= MAX_FOLDERS {
                self.below.clear();
            }
            self.below.insert(path.clone(), folder.clone());
            if folder.is_fresh() {
                made.push(path);
            }
        }
        Ok(folder)
    }
}

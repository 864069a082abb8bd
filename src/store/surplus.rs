//! The contents of a folder, as candidates for deletion.
//!
//! Must not delete anything, nor decide what to delete.

use std::hash::RandomState;
use std::io;

use crate::model::relpath::{RelPath, is_reserved};
use crate::model::surplus::{Surplus, SurplusKind};
use crate::sys::fs::{Dir, FileKind, Stat};

use super::folder::Folder;
use super::names_there::{NamesThere, Seen, is_still, seen};

/// The names in a folder with what they belong to, except the store's own names.
pub(super) fn list(dir: &Dir, hasher: &RandomState) -> io::Result<Vec<(Vec<u8>, Seen)>> {
    let mut all = Vec::new();
    for entry in dir.list()? {
        let name = entry?.name;
        if !is_reserved(&name) {
            // The inode numbers in the listing itself differ on some file systems.
            if let Some(found) = dir.stat_at(&name)? {
                all.push((name, seen(hasher, &found)));
            }
        }
    }
    Ok(all)
}

/// A candidate for deletion.
pub(super) struct There {
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    /// `None` if it has no valid path.
    pub(super) surplus: Option<Surplus>,
}

impl There {
    pub(super) fn path(&self) -> Option<&RelPath> {
        self.surplus.as_ref().map(|surplus| &surplus.path)
    }
}

/// Counts everything in a folder, down to `depth` levels, as far as it can be opened.
pub(super) fn count_all(dir: &Dir, depth: usize) -> io::Result<u64> {
    let this = dir.stat()?.id.device;
    let (mut count, mut folders) = (0, Vec::new());
    for entry in dir.list()? {
        let name = entry?.name;
        if is_reserved(&name) {
            continue;
        }
        let Some(found) = dir.stat_at(&name)? else {
            continue;
        };
        count += 1;
        if found.is_dir() && found.id.device == this && depth > 0 {
            folders.push(name);
        }
    }
    for name in folders {
        let below = dir.open_dir(&name);
        count += below
            .and_then(|below| count_all(&below, depth - 1))
            .unwrap_or(0);
    }
    Ok(count)
}

/// Those of `names` that are in a folder and unchanged.
pub(super) fn surplus_of(
    folder: &Folder,
    dir: &Dir,
    hasher: &RandomState,
    names: &NamesThere,
) -> io::Result<Vec<There>> {
    let there = names.surplus(list(dir, hasher)?);
    describe(dir, hasher, there, folder.path())
}

/// Describes the entries of a folder that have these names and are unchanged.
pub(super) fn describe(
    dir: &Dir,
    hasher: &RandomState,
    mut names: Vec<(Vec<u8>, Seen)>,
    path: Option<&RelPath>,
) -> io::Result<Vec<There>> {
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut all = Vec::with_capacity(names.len());
    for (name, seen) in names {
        let stat = dir.stat_at(&name)?;
        let Some(stat) = stat.filter(|stat| is_still(hasher, stat, seen)) else {
            continue;
        };
        let kind = match stat.kind {
            FileKind::Dir => SurplusKind::Dir,
            FileKind::Link => SurplusKind::Symlink,
            _ => SurplusKind::File(stat.size),
        };
        let path = path.and_then(|path| path.join(&name).ok());
        all.push(There {
            surplus: path.map(|path| Surplus { path, kind }),
            name,
            stat,
        });
    }
    Ok(all)
}

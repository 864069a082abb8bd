//! `OwnFolders`: where this program keeps its key, its settings and whom it knows, so that no
//! transfer reads or writes there.
//!
//! Must not keep anything open, nor make anything.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::fs::{FileId, stat_of_metadata};

/// How many links on the way to one folder are looked behind.
const MAX_LINKS: usize = 40;

/// Folders that no transfer reads or writes. They are known by what they are and not by their
/// paths alone, so that neither a link nor another mount leads into them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnFolders(Arc<Places>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Places {
    paths: Vec<PathBuf>,
    ids: Vec<FileId>,
    on_the_way: Vec<WayName>,
}

/// A name that has to stay what it is, or the folder would be another one.
#[derive(Debug, PartialEq, Eq)]
struct WayName {
    folder: FileId,
    name: Vec<u8>,
    /// Whether it is the name of the folder itself.
    is_last: bool,
}

impl OwnFolders {
    /// The folders at these paths, and the ways to them, as they are now.
    #[must_use]
    pub fn at(paths: Vec<PathBuf>) -> Self {
        let ids = paths.iter().filter_map(|path| id_of(path)).collect();
        let on_the_way = paths.iter().flat_map(|path| ways(path)).collect();
        Self(Arc::new(Places {
            paths,
            ids,
            on_the_way,
        }))
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn has(&self, folder: FileId) -> bool {
        self.0.ids.contains(&folder)
    }

    /// Whether a folder is one of them, or below one, by its canonical path.
    #[must_use]
    pub fn has_path(&self, path: &Path) -> bool {
        path.ancestors().any(|path| {
            let by_path = || self.0.paths.iter().any(|own| own == path);
            id_of(path).is_some_and(|id| self.has(id)) || by_path()
        })
    }

    /// Whether this is a file in one of them now, whatever path leads to it.
    #[must_use]
    pub fn has_file(&self, file: FileId) -> bool {
        if !self.0.ids.iter().any(|own| own.device == file.device) {
            return false;
        }
        let lists = self
            .0
            .paths
            .iter()
            .filter_map(|path| fs::read_dir(path).ok());
        let mut names = lists.flatten().filter_map(Result::ok);
        names.any(|entry| id_of(&entry.path()) == Some(file))
    }

    /// Whether a name in a folder leads to one of them, so that nothing may take it: it, or a
    /// folder or link that it is below.
    #[must_use]
    pub fn is_on_the_way(&self, folder: FileId, name: &[u8]) -> bool {
        self.on_the_way(folder, name).is_some()
    }

    /// Whether it is the name of one of them itself.
    #[must_use]
    pub fn is_name_of_one(&self, folder: FileId, name: &[u8]) -> bool {
        self.on_the_way(folder, name).is_some_and(|on| on.is_last)
    }

    fn on_the_way(&self, folder: FileId, name: &[u8]) -> Option<&WayName> {
        // File systems may take several spellings for one.
        let is_it = |on: &&WayName| on.folder == folder && on.name.eq_ignore_ascii_case(name);
        self.0
            .on_the_way
            .iter()
            .filter(is_it)
            .max_by_key(|on| on.is_last)
    }
}

fn id_of(path: &Path) -> Option<FileId> {
    let meta = fs::metadata(path).ok()?;
    Some(stat_of_metadata(&meta).id)
}

/// The names that lead to a folder, behind links as well.
fn ways(path: &Path) -> Vec<WayName> {
    let mut found = Vec::new();
    let mut left = vec![path.to_path_buf()];
    let mut links = 0;
    while let Some(whole) = left.pop() {
        let mut so_far = PathBuf::new();
        let mut components = whole.components();
        while let Some(component) = components.next() {
            let is_last = components.as_path().as_os_str().is_empty();
            let Component::Normal(name) = component else {
                so_far.push(component);
                continue;
            };
            let Some(folder) = id_of(&so_far) else {
                break;
            };
            found.push(WayName {
                folder,
                name: name.as_encoded_bytes().to_vec(),
                is_last,
            });
            if let Ok(target) = fs::read_link(so_far.join(name))
                && links < MAX_LINKS
            {
                links += 1;
                left.push(so_far.join(target).join(components.as_path()));
            }
            so_far.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn they_are_known_by_what_they_are_and_by_the_way_to_them() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("dots/config/xfer")).unwrap();
        fs::write(root.join("dots/config/xfer/key"), "k").unwrap();
        symlink("dots/config", root.join(".config")).unwrap();
        let own = OwnFolders::at(vec![root.join(".config/xfer"), root.join("no/such")]);
        let id = |path: &str| id_of(&root.join(path)).unwrap();
        assert!(own.has(id("dots/config/xfer")) && !own.has(id("dots/config")));
        assert!(own.has_path(&root.join("dots/config/xfer/sub")));
        assert!(!own.has_path(&root.join("dots/config")));
        assert!(own.has_path(&root.join("no/such")));
        fs::hard_link(root.join("dots/config/xfer/key"), root.join("linked")).unwrap();
        assert!(own.has_file(id("linked")) && !own.has_file(id("dots")));
        for (folder, name, on_the_way, is_one) in [
            (".", ".config", true, false),
            (".", "dots", true, false),
            ("dots", "config", true, false),
            ("dots/config", "xfer", true, true),
            ("dots/config", "XFER", true, true),
            (".", "no", true, false),
            (".", "xfer", false, false),
            ("dots", "xfer", false, false),
        ] {
            let (folder, name) = (id(folder), name.as_bytes());
            assert_eq!(own.is_on_the_way(folder, name), on_the_way, "{name:?}");
            assert_eq!(own.is_name_of_one(folder, name), is_one, "{name:?}");
        }
    }
}

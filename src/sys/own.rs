//! `OwnFolders`: the folders with xfer's key, settings and known machines, which no transfer may
//! read or write.
//!
//! Must not create anything.

use std::any::Any;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf, is_separator};
use std::sync::Arc;

use super::fs::{Dir, FileId, Stat, stat_of_path};
use super::name::canonical;

/// How many links on the way to one folder are looked behind.
const MAX_LINKS: usize = 40;
/// How many files of one folder are looked at.
const MAX_FILES: usize = 64;
/// The most bytes that a key has.
const MAX_KEY_BYTES: u64 = 4096;

/// Folders that no transfer reads or writes, with what is in them. They are known by what they
/// are, so that neither a link nor another mount leads into them; by their paths, where numbers of
/// files change; and the key by what is in it.
#[derive(Debug, Clone, Default)]
pub struct OwnFolders(Arc<Places>);

#[derive(Debug, Default)]
struct Places {
    paths: Vec<PathBuf>,
    /// What is in the key's file.
    key: Vec<u8>,
    /// As they were first. They are held, so that nothing else is given their numbers.
    first: Arc<Snapshot>,
    /// As they were when somebody looked last.
    now: Snapshot,
}

/// What some paths led to at one moment.
#[derive(Debug, Default)]
struct Snapshot {
    folders: Vec<FileId>,
    /// Files in the folders, and what links there lead to.
    files: Vec<FileId>,
    on_the_way: Vec<WayName>,
    /// The paths, and what they really are: of the folders, and of what links in them lead to.
    real: Vec<PathBuf>,
    /// The names of these files, and all on the ways.
    names: Vec<Vec<u8>>,
    /// What is open, so that its number is given to nothing else.
    held: Vec<Box<dyn Any + Send + Sync>>,
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
    /// The folders at these paths, and the ways to them; `key` is a file in one.
    #[must_use]
    pub fn at(paths: Vec<PathBuf>, key: &Path) -> Self {
        let mut first = Snapshot::look(&paths);
        first.hold(&paths);
        let mut bytes = Vec::new();
        let is_file = fs::metadata(key).is_ok_and(|meta| meta.is_file());
        if let Some(file) = is_file.then(|| File::open(key).ok()).flatten() {
            let read = file.take(MAX_KEY_BYTES).read_to_end(&mut bytes);
            bytes.truncate(read.unwrap_or(0));
        }
        Self(Arc::new(Places {
            now: Snapshot::look(&paths),
            paths,
            key: bytes,
            first: Arc::new(first),
        }))
    }

    /// The same ones, with what their paths lead to now.
    #[must_use]
    pub fn looked_at_again(&self) -> Self {
        Self(Arc::new(Places {
            paths: self.0.paths.clone(),
            key: self.0.key.clone(),
            first: self.0.first.clone(),
            now: Snapshot::look(&self.0.paths),
        }))
    }

    fn snapshots(&self) -> [&Snapshot; 2] {
        [&*self.0.first, &self.0.now]
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn has(&self, folder: FileId) -> bool {
        let mut all = self.snapshots().into_iter();
        all.any(|snapshot| snapshot.folders.contains(&folder))
    }

    /// Whether this is a file in one of them, or what a link in one leads to, whatever leads to it
    /// here.
    #[must_use]
    pub fn has_file(&self, file: FileId) -> bool {
        let mut all = self.snapshots().into_iter();
        all.any(|snapshot| snapshot.files.contains(&file))
    }

    /// Whether a folder is one of them, or below one, by its canonical path.
    #[must_use]
    pub fn has_path(&self, path: &Path) -> bool {
        let now: Vec<_> = self.0.paths.iter().filter_map(|own| id_of(own)).collect();
        path.ancestors().any(|path| {
            let by_path = || self.0.paths.iter().any(|own| own == path);
            id_of(path).is_some_and(|id| self.has(id) || now.contains(&id)) || by_path()
        })
    }

    /// Whether a name is one by which they, or what is in them, are known: only then there is more
    /// to ask of it.
    #[must_use]
    pub fn knows_name(&self, name: &[u8]) -> bool {
        // File systems may take several spellings for one.
        let is_it = |known: &Vec<u8>| known.eq_ignore_ascii_case(name);
        let mut all = self.snapshots().into_iter();
        all.any(|snapshot| snapshot.names.iter().any(is_it))
    }

    /// Whether something of a name is one of them, or a file in one, by what is there now; `path`
    /// is where it is.
    #[must_use]
    pub fn has_now(&self, found: FileId, name: &[u8], path: impl FnOnce() -> PathBuf) -> bool {
        if !self.knows_name(name) {
            return false;
        }
        let now = Snapshot::look(&self.0.paths);
        if now.folders.contains(&found) || now.files.contains(&found) {
            return true;
        }
        let path = path();
        now.real.iter().any(|own| path.starts_with(own))
    }

    /// Whether a file of this size can be the key.
    #[must_use]
    pub fn is_size_of_key(&self, size: u64) -> bool {
        size > 0 && size == self.0.key.len() as u64
    }

    /// Whether a file is the key, by what is in it.
    #[must_use]
    pub fn is_key(&self, file: &File) -> bool {
        let mut bytes = Vec::new();
        let read = file.take(MAX_KEY_BYTES + 1).read_to_end(&mut bytes);
        read.is_ok() && !bytes.is_empty() && bytes == self.0.key
    }

    /// Whether a name in a folder, which makes `path` of it, leads to one of them, so that nothing
    /// may take it: it, or a folder or link that it is below.
    #[must_use]
    pub fn is_on_the_way(
        &self,
        folder: Option<FileId>,
        name: &[u8],
        path: impl FnOnce() -> PathBuf,
    ) -> bool {
        self.on_the_way(folder, name, path).is_some()
    }

    /// Whether it is the name of one of them itself.
    #[must_use]
    pub fn is_name_of_one(
        &self,
        folder: Option<FileId>,
        name: &[u8],
        path: impl FnOnce() -> PathBuf,
    ) -> bool {
        self.on_the_way(folder, name, path) == Some(true)
    }

    /// Whether it is the last one on the way; none where it is not on it.
    fn on_the_way(
        &self,
        folder: Option<FileId>,
        name: &[u8],
        path: impl FnOnce() -> PathBuf,
    ) -> Option<bool> {
        if !self.knows_name(name) {
            return None;
        }
        // What they are may have changed since.
        let now = Snapshot::look(&self.0.paths);
        let path = path();
        let path = path.as_os_str().as_encoded_bytes();
        let by_path = now.real.iter().filter_map(|own| {
            let own = own.as_os_str().as_encoded_bytes();
            let is_it = own.get(..path.len())?.eq_ignore_ascii_case(path);
            match own.get(path.len()) {
                None => is_it.then_some(true),
                Some(b) if is_separator(char::from(*b)) => {
                    (is_it && !path.is_empty()).then_some(false)
                }
                Some(_) => None,
            }
        });
        let [first, before] = self.snapshots();
        let ways = [first, before, &now]
            .into_iter()
            .flat_map(|s| &s.on_the_way);
        let is_it = |on: &&WayName| Some(on.folder) == folder && on.name.eq_ignore_ascii_case(name);
        let by_what_it_is = ways.filter(is_it).map(|on| on.is_last);
        by_path.chain(by_what_it_is).max()
    }
}

impl Snapshot {
    fn look(paths: &[PathBuf]) -> Self {
        let mut this = Self::default();
        for path in paths {
            this.folders.extend(id_of(path));
            this.add_way(path);
            let Ok(list) = fs::read_dir(path) else {
                continue;
            };
            for entry in list.filter_map(Result::ok).take(MAX_FILES) {
                let file = entry.path();
                let Some(found) = stat_of_path(&file).ok().filter(Stat::is_file) else {
                    continue;
                };
                this.files.push(found.id);
                this.names
                    .push(entry.file_name().as_encoded_bytes().to_vec());
                // What it leads to is read and written in its place.
                if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                    this.add_way(&file);
                }
            }
        }
        let names = this.on_the_way.iter().map(|on| on.name.clone());
        this.names.extend(names);
        for path in paths {
            // Where there is none yet, its names count all the same.
            let components = path.components().filter_map(|component| match component {
                Component::Normal(name) => Some(name.as_encoded_bytes().to_vec()),
                _ => None,
            });
            this.names.extend(components);
        }
        this.names.sort_unstable();
        this.names.dedup();
        this
    }

    fn add_way(&mut self, path: &Path) {
        self.on_the_way.extend(ways(path));
        self.real.push(path.to_path_buf());
        self.real.extend(canonical(path));
    }

    /// Holds what it knows for as long as it lives.
    fn hold(&mut self, paths: &[PathBuf]) {
        let mut held: Vec<Box<dyn Any + Send + Sync>> = Vec::new();
        let mut known = Vec::new();
        for path in paths.iter().chain(&self.real).flat_map(|p| p.ancestors()) {
            let Some(id) = id_of(path).filter(|id| !known.contains(id)) else {
                continue;
            };
            known.push(id);
            if let Ok(dir) = Dir::open_to_pass(path) {
                held.push(Box::new(dir));
            }
        }
        for list in paths.iter().filter_map(|path| fs::read_dir(path).ok()) {
            for entry in list.filter_map(Result::ok).take(MAX_FILES) {
                if let Ok(file) = open_file(&entry.path()) {
                    held.push(Box::new(file));
                }
            }
        }
        self.held = held;
    }
}

fn open_file(path: &Path) -> std::io::Result<File> {
    match fs::metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(std::io::ErrorKind::InvalidInput.into()),
    }
}

fn id_of(path: &Path) -> Option<FileId> {
    Some(stat_of_path(path).ok()?.id)
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
    use super::*;
    use crate::sys::tests::symlink;

    #[test]
    fn they_are_known_by_what_they_are_and_by_the_way_to_them() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("dots/config/xfer")).unwrap();
        fs::write(root.join("dots/config/xfer/key"), "k").unwrap();
        if !symlink("dots/config", root.join(".config")) {
            return;
        }
        let own = OwnFolders::at(
            vec![root.join(".config/xfer"), root.join("no/such")],
            &root.join(".config/xfer/key"),
        );
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
            ("dots/config", "key", false, false),
            (".", "xfer", false, false),
            ("dots", "xfer", false, false),
        ] {
            let (at, folder) = (root.join(folder).join(name), Some(id(folder)));
            let (name, at) = (name.as_bytes(), at.canonicalize().unwrap_or(at));
            let is_on = own.is_on_the_way(folder, name, || at.clone());
            assert_eq!(is_on, on_the_way, "{name:?}");
            let is_name = own.is_name_of_one(folder, name, || at);
            assert_eq!(is_name, is_one, "{name:?}");
        }
    }

    #[test]
    fn they_are_still_known_when_they_are_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let folder = root.join("config/xfer");
        let make = || {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("key"), "secret").unwrap();
        };
        make();
        let own = OwnFolders::at(vec![folder.clone()], &folder.join("key"));
        fs::rename(root.join("config"), root.join("old")).unwrap();
        make();
        let id = |path: &str| id_of(&root.join(path)).unwrap();
        let at = |path: &str| root.join(path);
        for parent in ["config", "old"] {
            let path = format!("{parent}/xfer");
            assert!(own.is_name_of_one(Some(id(parent)), b"xfer", || at("x")));
            assert!(own.has(id(&path)) || own.has_now(id(&path), b"xfer", || at("x")));
        }
        assert!(own.has_now(id("config/xfer/key"), b"key", || at("x")));
        assert!(own.looked_at_again().has_file(id("config/xfer/key")));
        // Numbers may say nothing.
        let none = || {
            Some(FileId {
                device: 0,
                inode: 0,
            })
        };
        assert!(own.is_name_of_one(none(), b"xfer", || at("config/xfer")));
        assert!(own.is_on_the_way(none(), b"config", || at("config")));
        assert!(!own.is_on_the_way(none(), b"config", || at("a/config")));
        assert!(own.is_size_of_key(6) && !own.is_size_of_key(0));
        assert!(own.is_key(&File::open(folder.join("key")).unwrap()));
    }
}

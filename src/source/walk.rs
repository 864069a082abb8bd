//! Walking what is to be sent, in the manifest's order, without ever holding all of it.
//!
//! Must not read files' contents, and must not stop: what cannot be read is reported and left
//! out.

use std::collections::VecDeque;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkdir::WalkDir;

use crate::model::entry::{FileSize, Kind, Mode, Target, Time};
use crate::model::error::{Error, Result, reason};
use crate::model::outcome::{LeftOut, Why};
use crate::model::relpath::{PathError, RelPath, is_reserved};
use crate::model::text::Text;

use super::filter::{Filter, Ignores, Links, Rules, is_ignored};

/// The paths that are to be sent, with the names that they get, and what of them is left out.
#[derive(Debug, Clone)]
pub struct Roots {
    roots: Vec<Root>,
    rules: Arc<Rules>,
}

#[derive(Debug, Clone)]
struct Root {
    name: RelPath,
    path: PathBuf,
}

impl Roots {
    /// Takes paths as a user gives them. Each gets its last name; one that ends in `.` or `..`
    /// gets that of the folder it means. A path that is itself a link stands for what it points
    /// to. Fails where a path does not exist, has no name, or two have the same, and where a
    /// pattern of the filter means nothing.
    pub fn new(paths: &[PathBuf], filter: &Filter) -> Result<Self> {
        let rules = Arc::new(Rules::new(filter)?);
        let mut roots = Vec::with_capacity(paths.len());
        for given in paths {
            let path = fs::canonicalize(given).map_err(|e| Error::file("send", given, e))?;
            let name = given
                .file_name()
                .or_else(|| path.file_name())
                .and_then(|name| RelPath::new(name.as_bytes()).ok())
                .ok_or_else(|| Error::NoName {
                    path: given.clone(),
                })?;
            roots.push((Root { name, path }, given));
        }
        roots.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        for pair in roots.windows(2) {
            if let [(a, first), (b, second)] = pair
                && a.name == b.name
            {
                return Err(Error::SameName {
                    first: (*first).clone(),
                    second: (*second).clone(),
                });
            }
        }
        let roots = roots.into_iter().map(|(root, _)| root).collect();
        Ok(Self { roots, rules })
    }

    /// How many there are, and the name of the first one.
    #[must_use]
    pub fn names(&self) -> (u64, Text) {
        let first = self
            .roots
            .first()
            .map(|root| root.name.as_path().to_string_lossy());
        (
            self.roots.len() as u64,
            Text::new(first.unwrap_or_default()),
        )
    }

    /// How many files there are at this moment, and how many bytes they have.
    #[must_use]
    pub fn count(&self) -> (u64, u64) {
        Walk::new(self).fold((0, 0), |(files, bytes), step| match step {
            Step::Found {
                kind: Kind::File { size },
                ..
            } => (files + 1, u64::saturating_add(bytes, size.get())),
            _ => (files, bytes),
        })
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The name of the root that a path is below, and where that is on this machine.
    pub(super) fn root_of(&self, path: &RelPath) -> Option<(&RelPath, &Path)> {
        let first = path.components().next()?;
        let at = self
            .roots
            .binary_search_by(|root| root.name.as_bytes().cmp(first));
        let root = self.roots.get(at.ok()?)?;
        Some((&root.name, &root.path))
    }

    /// Where the file of an entry is on this machine; none for a path below no root.
    #[must_use]
    pub fn source(&self, path: &RelPath) -> Option<PathBuf> {
        let (_, root) = self.root_of(path)?;
        let source = path.below(root);
        // Where links are followed it is the file that they led to; opening it follows none.
        Some(match self.rules.links {
            Links::Follow => fs::canonicalize(&source).unwrap_or(source),
            Links::Keep | Links::Skip => source,
        })
    }
}

/// What a walk comes upon.
#[derive(Debug)]
pub enum Step {
    /// Something to send.
    Found {
        /// Its path in the manifest.
        path: RelPath,
        /// What it is.
        kind: Kind,
        /// Its time.
        mtime: Time,
        /// Its permissions.
        mode: Mode,
    },
    /// The innermost folder that has not ended has no more entries.
    DirEnd {
        /// Whether everything in it could be read.
        complete: bool,
    },
    /// Something that cannot be sent.
    Skipped {
        /// Where it is on this machine.
        path: PathBuf,
        /// Why not.
        why: Why,
    },
    /// Something that is not to be sent.
    LeftOut {
        /// Where it is on this machine.
        path: PathBuf,
        /// Why not.
        why: LeftOut,
    },
}

/// A walk over some roots: an iterator of [`Step`]s in the manifest's order.
#[derive(Debug)]
pub struct Walk {
    roots: std::vec::IntoIter<Root>,
    rules: Arc<Rules>,
    current: Option<(Root, walkdir::IntoIter)>,
    /// The file system that the current one is on, where the walk is to stay on it.
    device: Option<u64>,
    /// The folders that have not ended.
    open: Vec<Folder>,
    ready: VecDeque<Step>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// See [`Step::DirEnd`]; so far.
    complete: bool,
    ignores: Option<Ignores>,
}

impl Walk {
    /// A walk over `roots`.
    #[must_use]
    pub fn new(roots: &Roots) -> Self {
        Self {
            roots: roots.roots.clone().into_iter(),
            rules: roots.rules.clone(),
            current: None,
            device: None,
            open: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Ends folders until `depth` are open.
    fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth
            && let Some(folder) = self.open.pop()
        {
            self.ready.push_back(Step::DirEnd {
                complete: folder.complete,
            });
        }
    }

    fn skip(&mut self, path: PathBuf, why: Why) {
        // Whoever deletes by what is missing must not believe in this folder.
        self.open.iter_mut().for_each(|open| open.complete = false);
        self.ready.push_back(Step::Skipped { path, why });
    }

    fn leave_out(&mut self, path: &Path, why: LeftOut) {
        let path = path.to_path_buf();
        self.ready.push_back(Step::LeftOut { path, why });
    }

    /// Whether patterns leave something out of the innermost open folder.
    fn is_ignored(&self, root: &Root, path: &Path, is_dir: bool) -> bool {
        let below = path.strip_prefix(&root.path).unwrap_or(Path::new(""));
        let ignores = self.open.iter().rev().filter_map(|f| f.ignores.as_ref());
        is_ignored(&self.rules, ignores, &root.name, below, path, is_dir)
    }

    fn found(&mut self, root: &Root, entry: &walkdir::DirEntry, mounted: bool) -> Descend {
        self.close_to(entry.depth());
        let path = entry.path();
        if self.is_ignored(root, path, entry.file_type().is_dir()) {
            self.leave_out(path, LeftOut::Pattern);
            return Descend::No;
        }
        if self.rules.links == Links::Skip && entry.path_is_symlink() {
            self.leave_out(path, LeftOut::Link);
            return Descend::No;
        }
        if entry.depth() > 0 && is_reserved(entry.file_name().as_bytes()) {
            // What a receiver keeps there is no part of what it has received.
            self.leave_out(path, LeftOut::Own);
            return Descend::No;
        }
        let described = name_of(root, path).and_then(|name| Ok((name, describe(entry)?)));
        let (name, (kind, mtime, mode)) = match described {
            Ok(described) => described,
            Err(why) => {
                self.skip(path.to_path_buf(), why);
                return Descend::No;
            }
        };
        let is_dir = matches!(kind, Kind::Dir);
        if let Kind::File { size } = kind
            && self.rules.is_too_large(size.get())
        {
            self.leave_out(path, LeftOut::Size);
            return Descend::No;
        }
        self.ready.push_back(Step::Found {
            path: name,
            kind,
            mtime,
            mode,
        });
        if is_dir {
            self.enter(path, mounted)
        } else {
            Descend::No
        }
    }

    /// Opens a folder that was found.
    fn enter(&mut self, path: &Path, mounted: bool) -> Descend {
        self.open.push(Folder {
            path: path.to_path_buf(),
            complete: !mounted,
            ignores: None,
        });
        if mounted {
            self.leave_out(path, LeftOut::Mounted);
            return Descend::No;
        }
        match self.rules.ignores(path) {
            Ok(ignores) => {
                if let Some(folder) = self.open.last_mut() {
                    folder.ignores = ignores;
                }
                Descend::Yes
            }
            Err((path, error)) => {
                self.skip(path, unreadable(&error));
                Descend::No
            }
        }
    }

    fn failed(&mut self, error: &walkdir::Error, root: &Root) {
        let folder = self.open.last().map(|folder| folder.path.as_path());
        let path = error.path().or(folder).unwrap_or(&root.path).to_path_buf();
        // A folder that cannot be listed fails at its own depth, right after it was found; what
        // cannot be looked at fails at its own, among its siblings.
        if folder != Some(&path) {
            self.close_to(error.depth());
            // A link that is to be followed fails before it is found.
            let is_dir = error.loop_ancestor().is_some();
            if path.is_symlink() && self.is_ignored(root, &path, is_dir) {
                return self.leave_out(&path, LeftOut::Pattern);
            }
        }
        let why = match error.io_error() {
            Some(e) if e.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
                Why::Unreadable(Text::new("a link that leads nowhere"))
            }
            Some(e) => unreadable(e),
            None => Why::Unreadable(Text::new("a loop of links")),
        };
        self.skip(path, why);
    }

    /// Whether something is a folder on another file system that is not to be entered. Walkdir
    /// does not enter it then.
    fn is_mounted(&self, entry: &walkdir::DirEntry) -> bool {
        let same = |device| fs::metadata(entry.path()).is_ok_and(|meta| meta.dev() == device);
        let is_folder = entry.depth() > 0 && entry.file_type().is_dir();
        is_folder && self.device.is_some_and(|device| !same(device))
    }
}

enum Descend {
    Yes,
    No,
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Some(step);
            }
            let Some((root, mut walk)) = self.current.take() else {
                let root = self.roots.next()?;
                let one_file_system = self.rules.one_file_system;
                let walk = WalkDir::new(&root.path)
                    .follow_links(self.rules.links == Links::Follow)
                    .same_file_system(one_file_system)
                    .sort_by_file_name();
                let device = || fs::metadata(&root.path).map(|meta| meta.dev()).ok();
                self.device = one_file_system.then(device).flatten();
                self.current = Some((root, walk.into_iter()));
                continue;
            };
            match walk.next() {
                Some(Ok(entry)) => {
                    let mounted = self.is_mounted(&entry);
                    let entered = entry.file_type().is_dir() && !mounted;
                    if let (Descend::No, true) = (self.found(&root, &entry, mounted), entered) {
                        walk.skip_current_dir();
                    }
                    self.current = Some((root, walk));
                }
                Some(Err(error)) => {
                    self.failed(&error, &root);
                    self.current = Some((root, walk));
                }
                None => self.close_to(0),
            }
        }
    }
}

fn name_of(root: &Root, path: &Path) -> std::result::Result<RelPath, Why> {
    let name = |e: PathError| Why::Name(Text::new(e.to_string()));
    let below = path
        .strip_prefix(&root.path)
        .map_err(|_| Why::Vanished)?
        .as_os_str()
        .as_bytes();
    if below.is_empty() {
        return Ok(root.name.clone());
    }
    root.name.join(below).map_err(name)
}

fn unreadable(error: &io::Error) -> Why {
    match error.kind() {
        io::ErrorKind::NotFound => Why::Vanished,
        _ => Why::Unreadable(Text::new(reason(error))),
    }
}

fn describe(entry: &walkdir::DirEntry) -> std::result::Result<(Kind, Time, Mode), Why> {
    let meta = entry.metadata().map_err(|e| match e.io_error() {
        Some(e) => unreadable(e),
        None => Why::Vanished,
    })?;
    let kind = if meta.is_dir() {
        Kind::Dir
    } else if meta.is_file() {
        Kind::File {
            size: FileSize::try_from(meta.len()).map_err(|e| Why::Unreadable(Text::new(e)))?,
        }
    } else if meta.is_symlink() {
        let target = fs::read_link(entry.path()).map_err(|e| unreadable(&e))?;
        Kind::Symlink {
            target: Target::new(target.into_os_string().into_vec())
                .map_err(|e| Why::Unreadable(Text::new(e)))?,
        }
    } else {
        return Err(Why::Special);
    };
    Ok((kind, mtime_of(&meta), Mode::from_stat(meta.mode())))
}

/// A file's time of modification. File systems keep nanoseconds below a second; should one not,
/// the second stands alone.
#[must_use]
pub fn mtime_of(meta: &Metadata) -> Time {
    let nanos = u32::try_from(meta.mtime_nsec()).unwrap_or(0);
    Time::try_from((meta.mtime(), nanos)).unwrap_or_else(|_| Time::from_seconds(meta.mtime()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::Entry;
    use crate::model::order::Order;
    use std::os::unix::fs::symlink;

    fn steps(paths: &[PathBuf]) -> Vec<String> {
        steps_with(paths, &Filter::default())
    }

    fn steps_with(paths: &[PathBuf], filter: &Filter) -> Vec<String> {
        let mut order = Order::new();
        let mut open = Vec::new();
        Walk::new(&Roots::new(paths, filter).unwrap())
            .map(|step| match step {
                Step::Found {
                    path,
                    kind,
                    mtime,
                    mode,
                } => {
                    let id = order.count();
                    if matches!(kind, Kind::Dir) {
                        open.push(id);
                    }
                    let line = format!(
                        "{} {}",
                        path.as_path().display(),
                        match kind {
                            Kind::File { size } => size.get().to_string(),
                            Kind::Dir => "dir".into(),
                            Kind::Stream => unreachable!(),
                            Kind::Symlink { ref target } =>
                                format!("-> {}", target.as_path().display()),
                        }
                    );
                    order
                        .entry(&Entry {
                            id,
                            path,
                            kind,
                            mtime,
                            mode,
                            extras: vec![],
                        })
                        .unwrap();
                    line
                }
                Step::DirEnd { complete } => {
                    order.dir_end(open.pop().unwrap()).unwrap();
                    format!("end {complete}")
                }
                Step::Skipped { path, why } => {
                    format!(
                        "skip {} {why:?}",
                        path.file_name().unwrap().to_string_lossy()
                    )
                }
                Step::LeftOut { path, why } => {
                    format!(
                        "left out {} {why:?}",
                        path.file_name().unwrap().to_string_lossy()
                    )
                }
            })
            .collect()
    }

    #[test]
    fn a_tree_comes_in_the_order_of_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("t/a b/empty")).unwrap();
        fs::create_dir_all(root.join("t/a/.xfer")).unwrap();
        fs::write(root.join("t/a/.xfer/x"), "x").unwrap();
        fs::write(root.join("t/a/z"), "12345").unwrap();
        fs::write(root.join("t/a.b"), "1").unwrap();
        symlink("/nowhere", root.join("t/link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("t/sock")).unwrap();
        fs::write(root.join("one"), "").unwrap();
        symlink("t/a", root.join("alias")).unwrap();
        assert_eq!(
            steps(&[root.join("t"), root.join("one"), root.join("alias")]),
            [
                "alias dir",
                "left out .xfer Own",
                "alias/z 5",
                "end true",
                "one 0",
                "t dir",
                "t/a dir",
                "left out .xfer Own",
                "t/a/z 5",
                "end true",
                "t/a b dir",
                "t/a b/empty dir",
                "end true",
                "end true",
                "t/a.b 1",
                "t/link -> /nowhere",
                "skip sock Special",
                "end false",
            ]
        );
    }

    #[test]
    fn what_filters_hide_is_left_out_and_folders_stay_complete() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("t");
        fs::create_dir_all(root.join("a/deep")).unwrap();
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::write(root.join("a/deep/large"), "1234567").unwrap();
        fs::write(root.join("b/.xferignore"), "*.o\n").unwrap();
        fs::write(root.join("b/c/x.o"), "12345").unwrap();
        fs::create_dir(root.join("d")).unwrap();
        symlink("../a", root.join("d/link")).unwrap();
        let roots = [root];
        let mut filter = Filter {
            max_size: Some(6),
            links: Links::Skip,
            ..Filter::default()
        };
        assert_eq!(
            steps_with(&roots, &filter),
            [
                "t dir",
                "t/a dir",
                "t/a/deep dir",
                "left out large Size",
                "end true",
                "end true",
                "t/b dir",
                "t/b/.xferignore 4",
                "t/b/c dir",
                "left out x.o Pattern",
                "end true",
                "end true",
                "t/d dir",
                "left out link Link",
                "end true",
                "end true",
            ]
        );
        filter.links = Links::Follow;
        filter.exclude = vec!["/b".into()];
        assert_eq!(
            steps_with(&roots, &filter),
            [
                "t dir",
                "t/a dir",
                "t/a/deep dir",
                "left out large Size",
                "end true",
                "end true",
                "left out b Pattern",
                "t/d dir",
                "t/d/link dir",
                "t/d/link/deep dir",
                "left out large Size",
                "end true",
                "end true",
                "end true",
                "end true",
            ]
        );
        let roots = Roots::new(&roots, &filter).unwrap();
        assert_eq!(roots.count(), (0, 0));
        let through = RelPath::new("t/d/link/deep/large").unwrap();
        let real = fs::canonicalize(dir.path().join("t/a/deep/large")).unwrap();
        assert_eq!(roots.source(&through), Some(real));
    }

    #[test]
    fn paths_that_would_land_on_each_other_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/x")).unwrap();
        fs::create_dir_all(dir.path().join("b/x")).unwrap();
        let paths = [dir.path().join("a/x"), dir.path().join("b/x")];
        let roots = |paths: &[PathBuf]| Roots::new(paths, &Filter::default());
        assert!(matches!(roots(&paths), Err(Error::SameName { .. })));
        assert!(matches!(roots(&["/".into()]), Err(Error::NoName { .. })));
        let roots = roots(&[dir.path().join("a/x/..")]).unwrap();
        let a = RelPath::new("a/x").unwrap();
        let real = fs::canonicalize(dir.path().join("a/x")).unwrap();
        assert_eq!(roots.source(&a), Some(real));
        assert_eq!(roots.source(&RelPath::new("b").unwrap()), None);
    }
}

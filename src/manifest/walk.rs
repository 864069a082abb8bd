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

use walkdir::WalkDir;

use crate::entry::{FileSize, Kind, Mode, Target, Time};
use crate::error::{Error, Result, reason};
use crate::outcome::Why;
use crate::relpath::{PathError, RelPath, is_reserved};
use crate::text::Text;

/// The paths that are to be sent, with the names that they get.
#[derive(Debug, Clone)]
pub struct Roots(Vec<Root>);

#[derive(Debug, Clone)]
struct Root {
    name: RelPath,
    path: PathBuf,
}

impl Roots {
    /// Takes paths as a user gives them. Each gets its last name; one that ends in `.` or `..`
    /// gets that of the folder it means. A path that is itself a link stands for what it points
    /// to. Fails where a path does not exist, has no name, or two have the same.
    pub fn new(paths: &[PathBuf]) -> Result<Self> {
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
        Ok(Self(roots.into_iter().map(|(root, _)| root).collect()))
    }

    /// How many there are, and the name of the first one.
    #[must_use]
    pub fn names(&self) -> (u64, Text) {
        let first = self
            .0
            .first()
            .map(|root| root.name.as_path().to_string_lossy());
        (self.0.len() as u64, Text::new(first.unwrap_or_default()))
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

    /// Where the file of an entry is on this machine; none for a path below no root.
    #[must_use]
    pub fn source(&self, path: &RelPath) -> Option<PathBuf> {
        let first = path.components().next()?;
        let at = self
            .0
            .binary_search_by(|root| root.name.as_bytes().cmp(first))
            .ok()?;
        Some(path.below(&self.0.get(at)?.path))
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
        /// Whether all of it could be read.
        complete: bool,
    },
    /// Something that cannot be sent.
    Skipped {
        /// Where it is on this machine.
        path: PathBuf,
        /// Why not.
        why: Why,
    },
}

/// A walk over some roots: an iterator of [`Step`]s in the manifest's order.
#[derive(Debug)]
pub struct Walk {
    roots: std::vec::IntoIter<Root>,
    current: Option<(Root, walkdir::IntoIter)>,
    /// The folders that have not ended: whether all of each could be read so far.
    open: Vec<bool>,
    ready: VecDeque<Step>,
}

impl Walk {
    /// A walk over `roots`.
    #[must_use]
    pub fn new(roots: &Roots) -> Self {
        Self {
            roots: roots.0.clone().into_iter(),
            current: None,
            open: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Ends folders until `depth` are open.
    fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth
            && let Some(complete) = self.open.pop()
        {
            self.ready.push_back(Step::DirEnd { complete });
        }
    }

    fn skip(&mut self, path: PathBuf, why: Why) {
        // Whoever deletes by what is missing must not believe in this folder.
        self.open.iter_mut().for_each(|complete| *complete = false);
        self.ready.push_back(Step::Skipped { path, why });
    }

    fn found(&mut self, root: &Root, entry: &walkdir::DirEntry) -> Descend {
        self.close_to(entry.depth());
        let path = entry.path();
        if entry.depth() > 0 && is_reserved(entry.file_name().as_bytes()) {
            let what = PathError::Reserved.to_string();
            self.skip(path.to_path_buf(), Why::Name(Text::new(what)));
            return Descend::No;
        }
        let described = name_of(root, path).and_then(|name| Ok((name, describe(entry)?)));
        match described {
            Ok((path, (kind, mtime, mode))) => {
                if matches!(kind, Kind::Dir) {
                    self.open.push(true);
                }
                self.ready.push_back(Step::Found {
                    path,
                    kind,
                    mtime,
                    mode,
                });
                Descend::Yes
            }
            Err(why) => {
                self.skip(path.to_path_buf(), why);
                Descend::No
            }
        }
    }

    fn failed(&mut self, error: &walkdir::Error, root: &Root) {
        // A folder that cannot be listed fails at its own depth, right after it was found; what
        // cannot be looked at fails at its own, among its siblings.
        let path = error.path().unwrap_or(&root.path).to_path_buf();
        let why = match error.io_error() {
            Some(e) if e.kind() == io::ErrorKind::NotFound => Why::Vanished,
            Some(e) => Why::Unreadable(Text::new(reason(e))),
            None => Why::Unreadable(Text::new("a loop of links")),
        };
        self.skip(path, why);
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
                let walk = WalkDir::new(&root.path).sort_by_file_name().into_iter();
                self.current = Some((root, walk));
                continue;
            };
            match walk.next() {
                Some(Ok(entry)) => {
                    let is_dir = entry.file_type().is_dir();
                    if let (Descend::No, true) = (self.found(&root, &entry), is_dir) {
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

fn describe(entry: &walkdir::DirEntry) -> std::result::Result<(Kind, Time, Mode), Why> {
    let unreadable = |e: &io::Error| match e.kind() {
        io::ErrorKind::NotFound => Why::Vanished,
        _ => Why::Unreadable(Text::new(reason(e))),
    };
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
    use crate::entry::Entry;
    use crate::manifest::Order;
    use std::os::unix::fs::symlink;

    fn steps(paths: &[PathBuf]) -> Vec<String> {
        let mut order = Order::new();
        let mut open = Vec::new();
        Walk::new(&Roots::new(paths).unwrap())
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
                "skip .xfer Name(\"a name that xfer keeps for itself\")",
                "alias/z 5",
                "end false",
                "one 0",
                "t dir",
                "t/a dir",
                "skip .xfer Name(\"a name that xfer keeps for itself\")",
                "t/a/z 5",
                "end false",
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
    fn paths_that_would_land_on_each_other_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/x")).unwrap();
        fs::create_dir_all(dir.path().join("b/x")).unwrap();
        let paths = [dir.path().join("a/x"), dir.path().join("b/x")];
        assert!(matches!(Roots::new(&paths), Err(Error::SameName { .. })));
        assert!(matches!(
            Roots::new(&["/".into()]),
            Err(Error::NoName { .. })
        ));
        let roots = Roots::new(&[dir.path().join("a/x/..")]).unwrap();
        let a = RelPath::new("a/x").unwrap();
        let real = fs::canonicalize(dir.path().join("a/x")).unwrap();
        assert_eq!(roots.source(&a), Some(real));
        assert_eq!(roots.source(&RelPath::new("b").unwrap()), None);
    }
}

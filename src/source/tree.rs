//! The paths that the user named, and the way to everything below: by open handles, one name at a
//! time.
//!
//! Must not follow a link, unless the filter says so: swapping a folder for a link must not make
//! xfer read something else. The paths themselves are followed once, when they are named.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::entry::Time;
use crate::model::error::{Action, Error, Result};
use crate::model::relpath::{PathError, RelPath};
use crate::model::text::Text;
use crate::sys::fs::{self, Dir, File, Stat};
use crate::sys::host;
use crate::sys::name::{canonical, from_path};
use crate::sys::own::OwnFolders;

use super::filter::{CompiledFilter, FetchFilter, Filter, Links, open_file};
use super::selection::Selection;

/// How many folders that roots are in are kept open at most.
const MAX_PARENTS: usize = 256;
/// What part of the descriptors that this process may have they can take.
const PARTS_FOR_PARENTS: usize = 8;
/// How many folders on its way a reader keeps open at most.
const MAX_ON_THE_WAY: usize = 8;
/// What part of the descriptors that this process may have they can take. There is a reader for
/// each lane.
const PARTS_FOR_READER: usize = 64;

/// The paths that are to be sent, with the names that they get, and what of them is left out.
#[derive(Debug, Clone)]
pub struct Roots(Arc<Named>);

#[derive(Debug)]
struct Named {
    /// By name.
    roots: Vec<Root>,
    left_out: Vec<PathBuf>,
    filter: CompiledFilter,
    place: Option<RelPath>,
    /// What of it is sent.
    selection: Selection,
}

/// What is sent is called at the receiver, and where it lies there.
#[derive(Debug, Clone, Default)]
pub struct SentNames {
    /// The name of the one file or folder that is sent.
    pub name: Option<RelPath>,
    /// The folder of the receive directory that all goes into.
    pub place: Option<RelPath>,
}

/// One of the paths that are to be sent.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// The name that it gets.
    pub(super) name: RelPath,
    /// The name that it has here, which is what patterns are about.
    pub(super) given: RelPath,
    /// Where it was when it was named; for people, and for patterns.
    pub(super) path: PathBuf,
    /// What it is called here.
    own_name: Vec<u8>,
    parent: Arc<Parent>,
}

/// The folder that roots are in. It is what is held, and not the roots themselves: a root that a
/// new version of it replaces is sent as that.
#[derive(Debug)]
struct Parent {
    path: PathBuf,
    /// What it was when it was named.
    stat: Stat,
    /// None where too many others are kept open.
    dir: Option<Dir>,
}

impl Parent {
    fn open(path: &Path, keep: bool) -> io::Result<Self> {
        let dir = Dir::open_to_pass(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            stat: dir.stat()?,
            dir: keep.then_some(dir),
        })
    }

    fn with<T>(&self, f: impl FnOnce(&Dir) -> io::Result<T>) -> io::Result<T> {
        if let Some(dir) = &self.dir {
            return f(dir);
        }
        let dir = Dir::open_to_pass(&self.path)?;
        // Whatever has its path now, it is that folder or none.
        match dir.is_still(&dir.stat()?, &self.stat) {
            true => f(&dir),
            false => Err(ErrorKind::NotFound.into()),
        }
    }
}

impl Root {
    /// What it is now; none where it is gone.
    pub(super) fn stat(&self, links: Links) -> io::Result<Option<Stat>> {
        self.parent.with(|dir| stat_at(dir, &self.own_name, links))
    }

    /// Whether it is what this program keeps for itself; `stat` is what it is.
    pub(super) fn is_own(&self, filter: &CompiledFilter, stat: &Stat) -> bool {
        let is_key = |dir: &Dir| Ok(is_key(filter, dir, &self.own_name, stat));
        is_own_now(filter, &self.own_name, stat, self.path.clone())
            || self.parent.with(is_key).unwrap_or(false)
    }

    /// Where it leads, if it is a link now.
    pub(super) fn read_link(&self) -> io::Result<Vec<u8>> {
        self.parent.with(|dir| dir.read_link(&self.own_name))
    }
}

impl Roots {
    /// Takes paths as a user gives them. Each gets its last name; one that ends in `.` or `..`
    /// gets that of the folder it means. A path that is itself a link stands for what it points
    /// to. Fails where a path does not exist, has no name, or two have the same, and where a
    /// pattern of the filter means nothing.
    pub fn new(paths: &[PathBuf], filter: &Filter) -> Result<Self> {
        Self::except(paths, &SentNames::default(), filter, OwnFolders::default())
    }

    /// The same, named so at the receiver, and but for what is in `own`: that is left out. Fails
    /// where nothing else is named.
    pub fn except(
        paths: &[PathBuf],
        naming: &SentNames,
        filter: &Filter,
        own: OwnFolders,
    ) -> Result<Self> {
        let filter = CompiledFilter::new(filter, own)?;
        let most = MAX_PARENTS.min(host::limit_of_open() / PARTS_FOR_PARENTS);
        let mut parents: HashMap<PathBuf, Arc<Parent>> = HashMap::new();
        let mut roots = Vec::with_capacity(paths.len());
        let mut left_out = Vec::new();
        for given in paths {
            let failed = |e| Error::file(Action::Send, given, e);
            let path = match canonical(given) {
                // The pipe of a shell's `<(command)` is nowhere, though something is there.
                Err(_) if std::fs::metadata(given).is_ok() => {
                    return Err(Error::Pipe {
                        path: given.clone(),
                    });
                }
                path => path.map_err(failed)?,
            };
            let no_name = || Error::NoName {
                path: given.clone(),
            };
            let own_name = path.file_name().ok_or_else(no_name)?;
            let name = given.file_name().unwrap_or(own_name);
            let given_name = RelPath::new(from_path(name));
            let name = match &naming.name {
                Some(name) => name.clone(),
                None => given_name.clone().map_err(|_| no_name())?,
            };
            if let Some(place) = &naming.place {
                name.in_folder(place).map_err(|_| no_name())?;
            }
            let above = path.parent().ok_or_else(no_name)?;
            let parent = match parents.get(above) {
                Some(parent) => parent.clone(),
                None if filter.own.has_path(above) => {
                    left_out.push(given.clone());
                    continue;
                }
                None => {
                    let parent = Parent::open(above, parents.len() < most).map_err(failed)?;
                    let parent = Arc::new(parent);
                    parents.insert(above.to_path_buf(), parent.clone());
                    parent
                }
            };
            let root = Root {
                given: given_name.unwrap_or_else(|_| name.clone()),
                name,
                own_name: from_path(own_name).into_owned(),
                parent,
                path,
            };
            let found = root.stat(Links::Keep);
            if found.is_ok_and(|found| found.is_some_and(|found| root.is_own(&filter, &found))) {
                left_out.push(given.clone());
                continue;
            }
            roots.push((root, given));
        }
        // Where other things are sent, it was not what was meant.
        if roots.is_empty()
            && let Some(path) = left_out.first()
        {
            return Err(Error::Own { path: path.clone() });
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
        Ok(Self(Arc::new(Named {
            roots,
            left_out,
            filter,
            place: naming.place.clone(),
            selection: Selection::default(),
        })))
    }

    /// A part of them: `paths`, with the folders that lead there, and all of it where there are
    /// none; without what `filter` leaves out. Nothing is in it that is not in the whole. Fails if
    /// a pattern is invalid.
    pub fn part(&self, paths: &[RelPath], filter: &FetchFilter) -> Result<Self> {
        Ok(Self(Arc::new(Named {
            roots: self.0.roots.clone(),
            left_out: Vec::new(),
            filter: self.0.filter.with(filter)?,
            place: self.0.place.clone(),
            selection: Selection::new(paths),
        })))
    }

    /// The folder of the receive directory that all goes into.
    #[must_use]
    pub fn place(&self) -> Option<&RelPath> {
        self.0.place.as_ref()
    }

    /// A path below the roots as the receiver has it.
    pub(super) fn placed(&self, path: RelPath) -> std::result::Result<RelPath, PathError> {
        match &self.0.place {
            Some(place) => path.in_folder(place),
            None => Ok(path),
        }
    }

    /// A path that the receiver has as it is below the roots; none where it is elsewhere.
    pub(super) fn unplaced<'a>(&self, path: &'a RelPath) -> Option<Cow<'a, RelPath>> {
        match &self.0.place {
            Some(place) => path.within(place).map(Cow::Owned),
            None => Some(Cow::Borrowed(path)),
        }
    }

    /// What was named and is not sent, because this program keeps it for itself.
    pub fn left_out(&self) -> impl Iterator<Item = &Path> {
        self.0.left_out.iter().map(PathBuf::as_path)
    }

    /// How many names in the receive directory it is, and the first one.
    #[must_use]
    pub fn names(&self) -> (u64, Text) {
        if let Some(place) = &self.0.place {
            return (1, outermost(place));
        }
        let roots = &self.0.roots;
        let first = roots.first().map(|root| root.name.as_path());
        let first = first.unwrap_or_default();
        (roots.len() as u64, Text::new(first.to_string_lossy()))
    }

    /// One that reads what is below them, for one thread.
    #[must_use]
    pub fn reader(&self) -> TreeReader {
        let most = host::limit_of_open() / PARTS_FOR_READER;
        TreeReader {
            roots: self.clone(),
            most: most.clamp(2, MAX_ON_THE_WAY),
            path: Vec::new(),
            open: Vec::new(),
        }
    }

    /// What of them is sent.
    pub(super) fn selection(&self) -> &Selection {
        &self.0.selection
    }

    pub(super) fn filter(&self) -> &CompiledFilter {
        &self.0.filter
    }

    /// The one of this number, by name.
    pub(super) fn nth(&self, number: usize) -> Option<&Root> {
        self.0.roots.get(number)
    }

    /// The one that a path is below, or is.
    pub(super) fn of(&self, path: &[u8]) -> Option<&Root> {
        let first = path.split(|&b| b == b'/').next()?;
        let by_name = |root: &Root| root.name.as_bytes().cmp(first);
        let at = self.0.roots.binary_search_by(by_name).ok()?;
        self.0.roots.get(at)
    }
}

/// The name of the outermost folder that leads to a place, or of it itself.
#[must_use]
pub fn outermost(place: &RelPath) -> Text {
    let place_path = place.as_path();
    let first = place_path.iter().next().unwrap_or_default();
    Text::new(first.to_string_lossy())
}

/// Reaches what is below the roots, and keeps some of the folders on its way open: what one thread
/// reads lies close together.
#[derive(Debug)]
pub struct TreeReader {
    roots: Roots,
    /// How many folders it keeps open.
    most: usize,
    /// The path of the innermost folder that is open.
    path: Vec<u8>,
    /// Folders on that path, the innermost last.
    open: Vec<OnTheWay>,
}

#[derive(Debug)]
struct OnTheWay {
    dir: Dir,
    /// Where its path ends in that of the innermost one.
    end: usize,
}

impl TreeReader {
    /// Opens what an entry is of for reading, without waiting for anybody. It need not be a file.
    pub fn open(&mut self, path: &RelPath) -> io::Result<File> {
        let roots = self.roots.clone();
        let path = &*roots.unplaced(path).ok_or(ErrorKind::NotFound)?;
        let held = !self.open.is_empty();
        match self.try_open(path) {
            // Where the folder that is held was replaced, there is another one.
            Err(e) if held && is_gone(&e) => {
                self.close();
                self.try_open(path)
            }
            opened => opened,
        }
    }

    /// Forgets the folders that it has been to: what is reached next is what has its name then.
    pub fn close(&mut self) {
        self.open.clear();
    }

    /// The roots.
    pub(super) fn roots(&self) -> &Roots {
        &self.roots
    }

    fn try_open(&mut self, path: &RelPath) -> io::Result<File> {
        let links = self.roots.filter().links;
        let Some(folder) = path.parent_bytes() else {
            let root = self.roots.of(path.as_bytes());
            let root = root.ok_or(ErrorKind::NotFound)?;
            return root
                .parent
                .with(|dir| open_file(dir, &root.own_name, links));
        };
        let (dir, _) = self.folder(folder)?;
        open_file(dir, path.file_name(), links)
    }

    /// The folder at a path, and whether it was opened just now. One that is none any more is as
    /// good as gone.
    pub(super) fn folder(&mut self, path: &[u8]) -> io::Result<(&Dir, bool)> {
        let is_on_the_way = |end: usize, here: &[u8]| {
            here.get(..end) == path.get(..end) && matches!(path.get(end), None | Some(b'/'))
        };
        while let Some(last) = self.open.last()
            && !is_on_the_way(last.end, &self.path)
        {
            self.open.pop();
        }
        let mut end = self.open.last().map_or(0, |last| last.end);
        let is_new = end < path.len();
        self.path.truncate(end);
        self.path.extend_from_slice(&path[end..]);
        while end < path.len() {
            let start = end + usize::from(end > 0);
            let name = path[start..].split(|&b| b == b'/').next();
            let name = name.unwrap_or_default();
            let links = self.roots.filter().links;
            let opened = match (self.open.last(), self.roots.of(path)) {
                (Some(last), _) => open_dir(&last.dir, name, links),
                (None, Some(root)) => root.parent.with(|dir| open_dir(dir, &root.own_name, links)),
                (None, None) => Err(ErrorKind::NotFound.into()),
            };
            let dir = opened.map_err(|e| match fs::is_not_a_dir(&e) {
                true => ErrorKind::NotFound.into(),
                false => e,
            })?;
            if self.open.len() == self.most {
                // The outermost one: what is read next is nearly always close by.
                self.open.remove(0);
            }
            end = start + name.len();
            self.open.push(OnTheWay { dir, end });
        }
        let last = self.open.last().ok_or(ErrorKind::NotFound)?;
        Ok((&last.dir, is_new))
    }
}

/// Whether something is what this program keeps for itself, by what it is, or by what has its path
/// `here` now.
pub(super) fn is_own_now(filter: &CompiledFilter, name: &[u8], stat: &Stat, here: PathBuf) -> bool {
    let own = &filter.own;
    own.has(stat.id) || own.has_file(stat.id) || own.has_now(stat.id, name, || here)
}

/// Whether a file is this machine's key, by what is in it: that is read where its size is the
/// key's.
pub(super) fn is_key(filter: &CompiledFilter, dir: &Dir, name: &[u8], stat: &Stat) -> bool {
    let own = &filter.own;
    stat.is_file()
        && own.is_size_of_key(stat.size)
        && open_file(dir, name, filter.links).is_ok_and(|file| own.is_key(&file))
}

/// What has a name in a folder, or what it leads to where links are followed.
pub(super) fn stat_at(dir: &Dir, name: &[u8], links: Links) -> io::Result<Option<Stat>> {
    match links {
        Links::Follow => dir.stat_at_following(name),
        Links::Keep | Links::Skip => dir.stat_at(name),
    }
}

fn open_dir(dir: &Dir, name: &[u8], links: Links) -> io::Result<Dir> {
    match links {
        Links::Follow => dir.open_dir_following(name),
        Links::Keep | Links::Skip => dir.open_dir(name),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::StaleNetworkFileHandle
    )
}

/// A file's time of modification. File systems keep nanoseconds below a second; should one not,
/// the second stands alone.
#[must_use]
pub fn mtime_of(stat: &Stat) -> Time {
    let (seconds, nanos) = (stat.mtime.seconds, stat.mtime.nanos);
    Time::try_from((seconds, nanos)).unwrap_or_else(|_| Time::from_seconds(seconds))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::sys::tests::symlink;

    fn roots(paths: &[PathBuf]) -> Result<Roots> {
        Roots::new(paths, &Filter::default())
    }

    fn read(reader: &mut TreeReader, path: &str) -> io::Result<String> {
        let mut text = String::new();
        let mut file = reader.open(&RelPath::new(path).unwrap())?;
        file.read_to_string(&mut text)?;
        Ok(text)
    }

    fn write(path: impl AsRef<Path>, text: &str) {
        std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn paths_that_would_land_on_each_other_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path().join("a/x"), "a");
        write(dir.path().join("b/x"), "b");
        let paths = [dir.path().join("a/x"), dir.path().join("b/x")];
        assert!(matches!(roots(&paths), Err(Error::SameName { .. })));
        assert!(matches!(roots(&["/".into()]), Err(Error::NoName { .. })));
        let roots = roots(&[dir.path().join("a/../a")]).unwrap();
        let mut reader = roots.reader();
        assert_eq!(read(&mut reader, "a/x").unwrap(), "a");
        assert_eq!(
            read(&mut reader, "b/x").unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn no_link_leads_out_whenever_it_comes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("t");
        write(root.join("a/b/x"), "honest");
        write(root.join("top"), "honest");
        write(dir.path().join("hidden/b/x"), "secret");
        write(dir.path().join("hidden/x"), "secret");
        let roots = roots(std::slice::from_ref(&root)).unwrap();
        let mut been = roots.reader();
        assert_eq!(read(&mut been, "t/a/b/x").unwrap(), "honest");
        if !symlink("hidden", dir.path().join("tried")) {
            return;
        }

        std::fs::rename(root.join("a"), dir.path().join("moved")).unwrap();
        assert!(symlink("../hidden", root.join("a")));
        // Whoever was there is still where it was.
        assert_eq!(read(&mut been, "t/a/b/x").unwrap(), "honest");
        for mut reader in [roots.reader(), been] {
            reader.close();
            let gone = read(&mut reader, "t/a/b/x").unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::NotFound);
            assert_eq!(read(&mut reader, "t/top").unwrap(), "honest");
        }

        // The same above what was named, and of that itself.
        let mut reader = roots.reader();
        std::fs::rename(&root, dir.path().join("t2")).unwrap();
        assert!(symlink("hidden", &root));
        assert!(read(&mut reader, "t/x").is_err());
        std::fs::remove_file(&root).unwrap();
        write(root.join("x"), "another");
        assert_eq!(read(&mut reader, "t/x").unwrap(), "another");
    }

    #[test]
    fn a_folder_that_is_replaced_is_found_anew() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("t");
        write(root.join("a/x"), "old");
        let mut reader = roots(std::slice::from_ref(&root)).unwrap().reader();
        assert_eq!(read(&mut reader, "t/a/x").unwrap(), "old");
        std::fs::remove_dir_all(root.join("a")).unwrap();
        write(root.join("a/x"), "new");
        assert_eq!(read(&mut reader, "t/a/x").unwrap(), "new");
    }

    #[test]
    fn few_folders_are_open_however_deep_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut path = "t".to_owned();
        for level in 0..200 {
            write(dir.path().join(&path).join("x"), &level.to_string());
            path.push_str("/d");
        }
        let mut reader = roots(&[dir.path().join("t")]).unwrap().reader();
        let levels = (0..200).chain((0..200).rev()).chain([3, 150, 3, 199, 0]);
        for level in levels {
            let path = format!("t/{}x", "d/".repeat(level));
            assert_eq!(read(&mut reader, &path).unwrap(), level.to_string());
            assert!(reader.open.len() <= MAX_ON_THE_WAY);
        }
    }

    #[test]
    fn a_parent_that_is_not_kept_open_is_itself_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        write(path.join("x"), "honest");
        write(dir.path().join("hidden/x"), "secret");
        let parent = Parent::open(&path, false).unwrap();
        let look = || parent.with(|dir| dir.stat_at(b"x"));
        assert_eq!(look().unwrap().unwrap().size, 6);
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        if !symlink("hidden", &path) {
            std::fs::create_dir(&path).unwrap();
        }
        assert_eq!(look().unwrap_err().kind(), ErrorKind::NotFound);
    }
}

//! Walks the tree in the manifest's order, without ever holding all of it.
//!
//! Must not read contents, and must not stop: what cannot be read is reported and left out. Names
//! come from walkdir; everything is examined and entered by open handles alone. `tree` explains how
//! links are not followed.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::model::entry::{Kind, Mode};
use crate::model::outcome::{LeftOut, Why};
use crate::model::reason::ReadError;
use crate::model::relpath::{PathError, RelPath, is_reserved};
use crate::sys::fs::{Dir, Stat};
use crate::sys::name::{from_path, to_system};

use super::extent::WalkExtent;
use super::filter::{CompiledFilter, IgnorePatterns, Links, PatternWeight, is_ignored};
use super::found::{ListedFolder, NameKind, NotAnnounced, describe, unreadable};
use super::step::WalkStep;
use super::tree::{Root, Roots, TreeReader, is_key, is_own_now, mtime_of, stat_at};
use super::walked::WalkedFolders;

/// A walk over some roots: an iterator of [`WalkStep`]s in the manifest's order.
#[derive(Debug)]
pub struct Walk {
    roots: Roots,
    /// How many roots it has come to.
    begun: usize,
    below: WalkBelow,
}

/// A walk below one root.
#[derive(Debug)]
struct WalkBelow {
    reader: TreeReader,
    /// The file system that the root is on, where the walk is to stay on it.
    device: Option<u64>,
    /// The folders that have not ended.
    open: Vec<WalkedFolder>,
    walked: WalkedFolders,
    ready: VecDeque<WalkStep>,
    extent: WalkExtent,
}

#[derive(Debug)]
struct WalkedFolder {
    path: RelPath,
    stat: Stat,
    /// Where it really is, where links are followed: numbers of folders may be made up.
    real: Option<PathBuf>,
    /// Whether what is in it is known: then it must be the same one whenever it is opened again.
    is_listed: bool,
    /// The names in it that are still to be looked at, the last one first.
    names: Vec<DirEntry>,
    /// See [`WalkStep::DirEnd`]; so far.
    complete: bool,
    ignores: Option<IgnorePatterns>,
}

impl Walk {
    /// A walk over `roots`, which notes in `walked` where it has been.
    #[must_use]
    pub fn new(roots: &Roots, walked: &WalkedFolders) -> Self {
        Self::within(roots, walked, WalkExtent::default())
    }

    /// A walk over one thing below the roots, and all in it, behind the folders on the way to it.
    #[must_use]
    pub fn of(roots: &Roots, only: &RelPath) -> Self {
        Self::within(roots, &WalkedFolders::default(), WalkExtent::all_of(only))
    }

    /// A walk over the names in one folder, or over the roots, and not over what is in these; behind
    /// the folders on the way, and the folder itself.
    #[must_use]
    pub fn in_folder(roots: &Roots, folder: Option<&RelPath>) -> Self {
        Self::within(
            roots,
            &WalkedFolders::default(),
            WalkExtent::names_in(folder),
        )
    }

    fn within(roots: &Roots, walked: &WalkedFolders, extent: WalkExtent) -> Self {
        Self {
            roots: roots.clone(),
            begun: 0,
            below: WalkBelow {
                reader: roots.reader(),
                device: None,
                open: Vec::new(),
                walked: walked.clone(),
                ready: VecDeque::new(),
                extent,
            },
        }
    }
}

impl Iterator for Walk {
    type Item = WalkStep;

    fn next(&mut self) -> Option<WalkStep> {
        let Self {
            roots,
            begun,
            below,
        } = self;
        loop {
            if let Some(step) = below.ready.pop_front() {
                return Some(step);
            }
            let Some(folder) = below.open.last_mut() else {
                let root = roots.nth(*begun)?;
                *begun += 1;
                below.begin(root, roots.filter());
                continue;
            };
            let root = roots.nth(begun.checked_sub(1)?)?;
            match folder.names.pop() {
                Some(entry) => below.visit(root, roots.filter(), &entry),
                None => below.end(),
            }
        }
    }
}

impl WalkBelow {
    /// Comes to a root.
    fn begin(&mut self, root: &Root, filter: &CompiledFilter) {
        if !self.extent.has_root(&root.name) {
            return;
        }
        match self.look_at_root(root, filter) {
            Ok((stat, kind)) => self.announce(root, filter, root.name.clone(), &stat, kind),
            Err(why) => self.not_announced(root.path.clone(), why),
        }
    }

    fn look_at_root(
        &mut self,
        root: &Root,
        filter: &CompiledFilter,
    ) -> Result<(Stat, Kind), NotAnnounced> {
        let looked = root.stat(filter.links).map_err(|e| unreadable(&e))?;
        let stat = looked.ok_or(Why::Vanished)?;
        self.device = filter.one_file_system.then_some(stat.id.device);
        if root.is_own(filter, &stat) {
            return Err(LeftOut::Own.into());
        }
        self.may_send(root, filter, || root.path.clone(), NameKind::of(&stat))?;
        let kind = describe(&stat, filter, || root.read_link())?;
        Ok((stat, kind))
    }

    /// Comes to a name in the innermost open folder.
    fn visit(&mut self, root: &Root, filter: &CompiledFilter, entry: &DirEntry) {
        let Some(folder) = self.open.last() else {
            return;
        };
        let path = folder.path.join(&from_path(entry.file_name()));
        match (self.look(root, filter, entry, &path), path) {
            (Ok((stat, kind)), Ok(path)) => self.announce(root, filter, path, &stat, kind),
            (Err(NotAnnounced::Skipped(Why::Special)), path) => {
                // Only who names one wants it sent.
                let here = self.path_here(root, entry, &path);
                self.not_announced(here, LeftOut::Special.into());
            }
            (Err(why), path) => {
                if matches!(why, NotAnnounced::Skipped(Why::Unreadable(_))) {
                    // Nobody knows what it is.
                    self.is_incomplete();
                }
                let here = self.path_here(root, entry, &path);
                self.not_announced(here, why);
            }
            (Ok(_), Err(_)) => {}
        }
    }

    /// Looks at what has a name in the innermost open folder, as far as it may be sent.
    fn look(
        &mut self,
        root: &Root,
        filter: &CompiledFilter,
        entry: &DirEntry,
        path: &Result<RelPath, PathError>,
    ) -> Result<(Stat, Kind), NotAnnounced> {
        let name = &*from_path(entry.file_name());
        let mut listed = NameKind::listed(entry);
        let mut followed = None;
        if listed.is_link && filter.links == Links::Follow {
            // What patterns say of it depends on what it leads to.
            let (kind, stat) = self.follow(name);
            (listed, followed) = (kind, Some(stat));
        }
        let here = |this: &Self| this.path_here(root, entry, path);
        self.may_send(root, filter, || here(self), listed)?;
        if is_reserved(name) {
            // What a receiver keeps there is no part of what it has received.
            return Err(LeftOut::Own.into());
        }
        if let Err(e) = path {
            return Err(Why::Name(*e).into());
        }
        let is_followed = followed.is_some();
        let stat = match followed {
            Some(followed) => followed?,
            None => self.stat(name, filter.links)?,
        };
        let at = match filter.own.knows_name(name) {
            true => here(self),
            false => PathBuf::new(),
        };
        if self.is_own(filter, name, &stat, is_followed, at) {
            return Err(LeftOut::Own.into());
        }
        if NameKind::of(&stat) != listed {
            // It has become something else since it was listed.
            self.may_send(root, filter, || here(self), NameKind::of(&stat))?;
        }
        let kind = describe(&stat, filter, || self.innermost()?.read_link(name))?;
        Ok((stat, kind))
    }

    /// Whether something in the innermost open folder is what this program keeps for itself, by
    /// whatever name, mount or link it was come to.
    fn is_own(
        &mut self,
        filter: &CompiledFilter,
        name: &[u8],
        stat: &Stat,
        is_followed: bool,
        here: PathBuf,
    ) -> bool {
        if is_own_now(filter, name, stat, here) {
            return true;
        }
        let Ok(dir) = self.innermost() else {
            return false;
        };
        if is_followed && stat.is_dir() {
            let real = dir
                .open_dir_following(name)
                .ok()
                .and_then(|d| d.real_path());
            return real.is_some_and(|real| filter.own.has_path(&real));
        }
        is_key(filter, dir, name, stat)
    }

    /// Announces something, and enters it where it is a folder.
    fn announce(
        &mut self,
        root: &Root,
        filter: &CompiledFilter,
        path: RelPath,
        stat: &Stat,
        kind: Kind,
    ) {
        let is_dir = matches!(kind, Kind::Dir);
        let placed = match self.reader.roots().placed(path.clone()) {
            Ok(placed) => placed,
            Err(why) => {
                return self.not_announced(path.below(&root.path), Why::Name(why).into());
            }
        };
        let is_entered = is_dir && self.extent.enters(&path);
        let folder = is_entered.then_some(path);
        self.ready.push_back(WalkStep::Found {
            path: placed,
            kind,
            mtime: mtime_of(stat),
            mode: Mode::from_stat(stat.mode),
            allocated: stat.allocated,
        });
        let Some(path) = folder else {
            if is_dir {
                self.ready.push_back(WalkStep::DirEnd { complete: false });
            }
            return;
        };
        let here = path.below(&root.path);
        let is_root = self.open.is_empty();
        let mounted = !is_root && self.device.is_some_and(|device| device != stat.id.device);
        self.open.push(WalkedFolder {
            path,
            stat: *stat,
            real: None,
            is_listed: false,
            names: Vec::new(),
            complete: !mounted,
            ignores: None,
        });
        if mounted {
            return self.not_announced(here, LeftOut::Mounted.into());
        }
        if let Err((path, error)) = self.enter(filter, &here) {
            self.is_incomplete();
            self.not_announced(path, unreadable(&error).into());
        }
    }

    /// Takes what is in the innermost open folder, which is at `here` on this machine.
    fn enter(&mut self, filter: &CompiledFilter, here: &Path) -> Result<(), (PathBuf, io::Error)> {
        let failed = |error| (here.to_path_buf(), error);
        let listed = self.list(here).map_err(failed)?;
        let has_ignores = filter.ignore_files().any(|name| listed.may_have(name));
        let mut ignores = None;
        if has_ignores {
            let dir = self.innermost().map_err(failed)?;
            ignores = filter.ignores(dir, here)?;
            let above = self.open.iter().filter_map(|open| open.ignores.as_ref());
            PatternWeight::of_all(above.chain(&ignores)).map_err(failed)?;
        }
        let real = match filter.links == Links::Follow {
            true => self.innermost().map_err(failed)?.real_path(),
            false => None,
        };
        if let Some(folder) = self.open.last_mut() {
            folder.real = real;
            folder.ignores = ignores;
            folder.names = listed.names;
        }
        listed.error.map_or(Ok(()), |error| Err(failed(error)))
    }

    /// The names in the innermost open folder.
    fn list(&mut self, here: &Path) -> io::Result<ListedFolder> {
        self.note_walked()?;
        let by_handle = self.innermost()?.path_of_handle();
        let is_by_handle = by_handle.is_some();
        // With the dot, it is no link any more that walkdir would have to look behind.
        let at = by_handle.map_or_else(|| here.to_path_buf(), |path| path.join("."));
        let (mut names, mut error) = (Vec::new(), None);
        let way_on = (self.open.last()).and_then(|open| self.extent.way_on(&open.path));
        let is_partial = way_on.is_some();
        let entries = match way_on {
            Some(name) => WalkDir::new(at.join(to_system(name)))
                .follow_root_links(false)
                .max_depth(0),
            None => WalkDir::new(&at).min_depth(1).max_depth(1),
        };
        for entry in entries {
            match entry {
                Ok(entry) => names.push(entry),
                Err(e) => error = e.into_io_error(),
            }
        }
        if let Some(folder) = self.open.last_mut() {
            folder.is_listed = true;
        }
        if !is_by_handle {
            // Its path must have led to it, or what was listed is not in it.
            self.reader.close();
            self.innermost()?;
        }
        // They differ in their last names alone, which are in order as they travel.
        names.sort_unstable_by(|a, b| from_path(b.path()).cmp(&from_path(a.path())));
        Ok(ListedFolder {
            at,
            names,
            is_partial,
            error,
        })
    }

    /// Notes which folder the innermost open one is, where something else may get its place without
    /// anybody's changing what is sent: where it is a root, or on another file system.
    fn note_walked(&mut self) -> io::Result<()> {
        let now = self.innermost()?.stat()?;
        let above = self.open.iter().rev().nth(1).map(|open| open.stat.id);
        let is_other = above.is_none_or(|above| above.device != now.id.device);
        if let Some(folder) = self.open.last_mut().filter(|_| is_other) {
            folder.complete &= self.walked.add(folder.path.as_bytes(), &now);
            folder.stat = now;
        }
        Ok(())
    }

    /// Not all is known of what is in the innermost open folder.
    fn is_incomplete(&mut self) {
        if let Some(folder) = self.open.last_mut() {
            folder.complete = false;
        }
    }

    /// The innermost open folder: the one that was announced, or none.
    fn innermost(&mut self) -> io::Result<&Dir> {
        let folder = self.open.last().ok_or(ErrorKind::NotFound)?;
        let path = folder.path.as_bytes();
        let (dir, is_new) = self.reader.folder(path)?;
        if is_new && folder.is_listed && !dir.is_still(&dir.stat()?, &folder.stat) {
            // It is looked at anew for the next name: another folder stays another one.
            self.reader.close();
            return Err(ErrorKind::NotFound.into());
        }
        Ok(self.reader.folder(path)?.0)
    }

    fn stat(&mut self, name: &[u8], links: Links) -> Result<Stat, Why> {
        let found = match self.innermost() {
            Ok(dir) => stat_at(dir, name, links),
            Err(e) => {
                // It is not the name that is gone.
                self.is_incomplete();
                Err(e)
            }
        };
        found.map_err(|e| unreadable(&e))?.ok_or(Why::Vanished)
    }

    /// What a link leads to.
    fn follow(&mut self, name: &[u8]) -> (NameKind, Result<Stat, Why>) {
        let failed = |is_dir, why| {
            let is_link = true;
            (NameKind { is_dir, is_link }, Err(why))
        };
        match self.stat(name, Links::Follow) {
            Ok(stat) if stat.is_dir() && self.is_open(name, &stat) => {
                failed(true, Why::Unreadable(ReadError::LinkLoop))
            }
            Ok(stat) => (NameKind::of(&stat), Ok(stat)),
            Err(Why::Vanished) if self.stat(name, Links::Keep).is_ok() => {
                failed(false, Why::Unreadable(ReadError::DanglingLink))
            }
            Err(why) => failed(false, why),
        }
    }

    /// Whether the folder that a link leads to is one that has not ended.
    fn is_open(&mut self, name: &[u8], found: &Stat) -> bool {
        let target = self
            .innermost()
            .and_then(|dir| dir.open_dir_following(name));
        let target = target.ok().and_then(|dir| dir.real_path());
        self.open.iter().any(|open| match (&open.real, &target) {
            (Some(open), Some(target)) => open == target,
            _ => open.stat.id == found.id,
        })
    }

    /// Whether the filter has nothing against something, by what it is called and is; `here` is
    /// where it is on this machine.
    fn may_send(
        &self,
        root: &Root,
        filter: &CompiledFilter,
        here: impl FnOnce() -> PathBuf,
        kind: NameKind,
    ) -> Result<(), LeftOut> {
        let ignores = self.open.iter().rev().filter_map(|f| f.ignores.as_ref());
        if filter.has_patterns() || ignores.clone().next().is_some() {
            let here = here();
            let below = here.strip_prefix(&root.path).unwrap_or(Path::new(""));
            if is_ignored(filter, ignores, &root.given, below, &here, kind.is_dir) {
                return Err(LeftOut::Pattern);
            }
        }
        match filter.links == Links::Skip && kind.is_link {
            true => Err(LeftOut::Link),
            false => Ok(()),
        }
    }

    fn not_announced(&mut self, path: PathBuf, why: NotAnnounced) {
        self.ready.push_back(match why {
            NotAnnounced::LeftOut(why) => WalkStep::LeftOut { path, why },
            NotAnnounced::Skipped(why) => WalkStep::Skipped { path, why },
        });
    }

    /// Where on this machine something is that was listed in the innermost open folder.
    fn path_here(
        &self,
        root: &Root,
        entry: &DirEntry,
        path: &Result<RelPath, PathError>,
    ) -> PathBuf {
        match (path, self.open.last()) {
            (Ok(path), _) => path.below(&root.path),
            (Err(_), Some(folder)) => folder.path.below(&root.path).join(entry.file_name()),
            (Err(_), None) => root.path.clone(),
        }
    }

    /// Ends the innermost open folder.
    fn end(&mut self) {
        if let Some(folder) = self.open.pop() {
            self.ready.push_back(WalkStep::DirEnd {
                complete: folder.complete,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::count::count;
    use super::super::filter::Filter;
    use super::*;
    use std::fs;

    use crate::model::entry::Entry;
    use crate::model::order::Order;
    use crate::sys::tests::{make_socket, symlink};

    fn steps(paths: &[PathBuf]) -> Vec<String> {
        steps_with(paths, &Filter::default())
    }

    fn steps_with(paths: &[PathBuf], filter: &Filter) -> Vec<String> {
        let mut order = Order::new();
        let mut open = Vec::new();
        Walk::new(
            &Roots::new(paths, filter).unwrap(),
            &WalkedFolders::default(),
        )
        .map(|step| match step {
            WalkStep::Way { .. } => unreachable!(),
            WalkStep::Found {
                path,
                kind,
                mtime,
                mode,
                ..
            } => {
                let id = order.count();
                if matches!(kind, Kind::Dir) {
                    open.push(id);
                }
                let line = format!(
                    "{} {}",
                    String::from_utf8_lossy(path.as_bytes()),
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
            WalkStep::DirEnd { complete } => {
                order.dir_end(open.pop().unwrap()).unwrap();
                format!("end {complete}")
            }
            WalkStep::Skipped { path, why } => {
                format!(
                    "skip {} {why:?}",
                    path.file_name().unwrap().to_string_lossy()
                )
            }
            WalkStep::LeftOut { path, why } => {
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
        let fill = |folder: &Path| {
            fs::create_dir_all(folder.join(".xfer")).unwrap();
            fs::write(folder.join(".xfer/x"), "x").unwrap();
            fs::write(folder.join("z"), "12345").unwrap();
        };
        fill(&root.join("t/a"));
        fs::write(root.join("t/a.b"), "1").unwrap();
        fs::write(root.join("one"), "").unwrap();
        let has_link = symlink("/nowhere", root.join("t/link"));
        if !symlink("t/a", root.join("alias")) {
            fill(&root.join("alias"));
        }
        let has_socket = make_socket(root.join("t/sock"));
        let mut expected = vec![
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
            "left out sock Special",
            "end true",
        ];
        expected.retain(|line| {
            (has_link || !line.contains("link")) && (has_socket || !line.contains("sock"))
        });
        assert_eq!(
            steps(&[root.join("t"), root.join("one"), root.join("alias")]),
            expected
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
        if !symlink("../a", root.join("d/link")) {
            return;
        }
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
        assert_eq!(count(&roots), (0, 0));
        let through = RelPath::new("t/d/link/deep/large").unwrap();
        let file = roots.reader().open(&through).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 7);
    }

    #[test]
    fn a_folder_is_incomplete_whose_place_something_else_has() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("t");
        // So deep that the root is not kept open.
        fs::create_dir_all(root.join("a/1/2/3/4/5/6/7/8/9/last")).unwrap();
        for name in ["b", "c"] {
            fs::write(root.join(name), name).unwrap();
        }
        let roots = Roots::new(std::slice::from_ref(&root), &Filter::default()).unwrap();
        let (mut vanished, mut ends) = (0, Vec::new());
        for step in Walk::new(&roots, &WalkedFolders::default()) {
            match step {
                WalkStep::Found { path, .. } if path.file_name() == b"last" => {
                    fs::rename(&root, dir.path().join("elsewhere")).unwrap();
                    fs::create_dir(&root).unwrap();
                }
                WalkStep::Skipped { why, .. } => vanished += u32::from(why == Why::Vanished),
                WalkStep::DirEnd { complete } => ends.push(complete),
                _ => {}
            }
        }
        assert_eq!(vanished, 2);
        assert_eq!(ends.pop(), Some(false), "the root");
    }
}

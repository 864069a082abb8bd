//! `WalkBelow`: the walk below one root, by open handles.
//!
//! Must not read contents, nor stop: what cannot be read is reported and left out. Names come from
//! walkdir; everything is examined and entered by open handles alone.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::model::entry::{Kind, Mode};
use crate::model::outcome::{LeftOut, Why};
use crate::model::reason::ReadError;
use crate::model::relpath::{PathError, RelPath, is_reserved};
use crate::sys::fs::{Dir, Stat};
use crate::sys::name::from_path;

use super::extent::WalkExtent;
use super::filter::{CompiledFilter, IgnorePatterns, Links, PatternWeight, is_ignored};
use super::found::{ListedFolder, NameKind, NotAnnounced, describe, unreadable};
use super::selection::Selected;
use super::step::WalkStep;
use super::tree::{Root, TreeReader, is_key, is_own_now, mtime_of, stat_at};
use super::walked::WalkedFolders;

/// A walk below one root.
#[derive(Debug)]
pub(super) struct WalkBelow {
    pub(super) reader: TreeReader,
    /// The file system that the root is on, where the walk is to stay on it.
    pub(super) device: Option<u64>,
    /// The folders that have not ended.
    pub(super) open: Vec<WalkedFolder>,
    pub(super) walked: WalkedFolders,
    pub(super) ready: VecDeque<WalkStep>,
    pub(super) extent: WalkExtent,
}

#[derive(Debug)]
pub(super) struct WalkedFolder {
    path: RelPath,
    /// Whether all that is in it is sent.
    is_selected: bool,
    stat: Stat,
    /// Where it really is, where links are followed: numbers of folders may be made up.
    real: Option<PathBuf>,
    /// Whether what is in it is known: then it must be the same one whenever it is opened again.
    is_listed: bool,
    /// The names in it that are still to be looked at, the last one first.
    pub(super) names: Vec<DirEntry>,
    /// See [`WalkStep::DirEnd`]; so far.
    complete: bool,
    ignores: Option<IgnorePatterns>,
}

impl WalkBelow {
    /// Comes to a root.
    pub(super) fn begin(&mut self, root: &Root, filter: &CompiledFilter) {
        let selected = self.reader.roots().selection().of(&root.name);
        if selected == Selected::Outside || !self.extent.has_root(&root.name) {
            return;
        }
        match self.look_at_root(root, filter) {
            Ok((stat, kind)) => {
                self.announce(root, filter, (root.name.clone(), selected), &stat, kind);
            }
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
    pub(super) fn visit(&mut self, root: &Root, filter: &CompiledFilter, entry: &DirEntry) {
        let Some(folder) = self.open.last() else {
            return;
        };
        let path = folder.path.join(&from_path(entry.file_name()));
        let selected = match (&path, folder.is_selected) {
            (Ok(path), false) => self.reader.roots().selection().of(path),
            (Err(_), false) => Selected::Outside,
            (_, true) => Selected::Inside,
        };
        if selected == Selected::Outside {
            return;
        }
        match (self.look(root, filter, entry, &path), path) {
            (Ok((stat, kind)), Ok(path)) => {
                self.announce(root, filter, (path, selected), &stat, kind);
            }
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
        (path, selected): (RelPath, Selected),
        stat: &Stat,
        kind: Kind,
    ) {
        let is_dir = matches!(kind, Kind::Dir);
        let is_selected = selected == Selected::Inside;
        // Nothing is in it that could be meant.
        if !is_dir && !is_selected {
            return;
        }
        let placed = match self.reader.roots().placed(path.clone()) {
            Ok(placed) => placed,
            Err(why) => {
                return self.not_announced(path.below(&root.path), Why::Name(why).into());
            }
        };
        let is_entered = is_dir && self.extent.enters(&path);
        let folder = is_entered.then_some(path);
        self.ready.push_back(match is_selected {
            true => WalkStep::Found {
                path: placed,
                kind,
                mtime: mtime_of(stat),
                mode: Mode::from_stat(stat.mode),
                allocated: stat.allocated,
            },
            false => WalkStep::Way { path: placed },
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
            is_selected,
            stat: *stat,
            real: None,
            is_listed: false,
            names: Vec::new(),
            complete: is_selected && !mounted,
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
        for entry in WalkDir::new(&at).min_depth(1).max_depth(1) {
            // A file system may find a name by another spelling, which no filter would know.
            match (entry, way_on) {
                (Ok(entry), Some(name)) if *from_path(entry.file_name()) != *name => {}
                (Ok(entry), _) => names.push(entry),
                (Err(e), _) => error = e.into_io_error(),
            }
            if is_partial && !names.is_empty() {
                break;
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
    pub(super) fn end(&mut self) {
        if let Some(folder) = self.open.pop() {
            self.ready.push_back(WalkStep::DirEnd {
                complete: folder.complete,
            });
        }
    }
}

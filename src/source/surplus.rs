//! Decides, for a mirror, what happens to something that the receiver has and this side did not
//! announce.
//!
//! Must not follow a link out of the tree, unless links are followed: that would tell the receiver
//! what is elsewhere on this machine.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::relpath::RelPath;
use crate::model::surplus::{Decision, Surplus, SurplusKind};
use crate::sys::fs::{Dir, Stat};
use crate::sys::name::from_path;

use super::filter::{CompiledFilter, IgnorePatterns, Links, PatternWeight, is_ignored};
use super::tree::{Roots, TreeReader, stat_at};
use super::walked::WalkedFolders;

/// How many folders' ignore files are remembered.
const MAX_KNOWN: usize = 1024;

/// Decides what a mirror does with items that were not announced.
#[derive(Debug)]
pub struct SurplusDecider {
    roots: Roots,
    reader: TreeReader,
    walked: WalkedFolders,
    /// The patterns of the ignore files, by folder.
    known: HashMap<PathBuf, Option<Arc<IgnorePatterns>>>,
}

impl SurplusDecider {
    /// Decides about what is below `roots`, as far as `walked` covers it.
    #[must_use]
    pub fn new(roots: &Roots, walked: &WalkedFolders) -> Self {
        Self {
            roots: roots.clone(),
            reader: roots.reader(),
            walked: walked.clone(),
            known: HashMap::new(),
        }
    }

    /// The decision about each item, in order. An item is deleted only if it is certain that this
    /// machine does not have it, and would send it if it did.
    pub fn decide(&mut self, surplus: &[Surplus]) -> Vec<Decision> {
        // What is here now decides.
        self.reader.close();
        let roots = self.roots.clone();
        let decide = |one: &Surplus| {
            let path = roots.unplaced(&one.path);
            match path.map(|path| self.decide_one(&path, one.kind)) {
                Some(Ok(Some(decision))) => decision,
                Some(Ok(None) | Err(_)) | None => Decision::Keep,
            }
        };
        surplus.iter().map(decide).collect()
    }

    /// `None` for an item that is below no root.
    fn decide_one(&mut self, path: &RelPath, kind: SurplusKind) -> io::Result<Option<Decision>> {
        let Some(root) = self.roots.of(path.as_bytes()) else {
            return Ok(None);
        };
        let filter = self.roots.filter();
        let is_dir = kind == SurplusKind::Dir;
        let hidden = match kind {
            SurplusKind::Dir => false,
            SurplusKind::Symlink => filter.links == Links::Skip,
            SurplusKind::File(size) => filter.is_too_large(size),
        };
        if hidden {
            return Ok(Some(Decision::Keep));
        }
        // From the root down: everything in a folder that is left out is left out.
        let mut chain: Vec<Arc<IgnorePatterns>> = Vec::new();
        let mut here = root.path.clone();
        let mut below = PathBuf::new();
        // Where the path of the current folder ends, and whether that folder is on this machine.
        let mut end = root.name.as_bytes().len();
        let mut is_here = true;
        let whole = path.as_path();
        let mut components = whole.iter().skip(1).peekable();
        if components.peek().is_none() {
            return Ok(Some(Decision::Keep));
        }
        while let Some(component) = components.next() {
            let dir = match is_here.then(|| self.reader.folder(&path.as_bytes()[..end])) {
                Some(Ok((dir, _))) => Some(dir),
                // It was there a moment ago, but is gone or something else now.
                Some(Err(e))
                    if e.kind() == ErrorKind::NotFound && !below.as_os_str().is_empty() =>
                {
                    None
                }
                Some(Err(e)) => return Err(e),
                None => None,
            };
            is_here = dir.is_some();
            // What is hidden by a mount, or was unmounted with its disk, is not deleted.
            match (self.walked.of(&path.as_bytes()[..end]), dir) {
                (Some(walked), Some(dir)) if dir.is_still(&dir.stat()?, &walked) => {}
                (None, _) if !below.as_os_str().is_empty() => {}
                _ => return Ok(Some(Decision::Keep)),
            }
            if let Some(dir) = dir {
                chain.extend(ignores(&mut self.known, filter, dir, &here)?);
                PatternWeight::of_all(chain.iter().map(|ignores| &**ignores))?;
            }
            below.push(component);
            here.push(component);
            let name = &*from_path(component);
            end += 1 + name.len();
            let last = components.peek().is_none();
            let is_left_out = |is_dir| {
                let nearest_first = chain.iter().rev().map(|ignores| &**ignores);
                is_ignored(filter, nearest_first, &root.given, &below, &here, is_dir)
            };
            if is_left_out(!last || is_dir) {
                return Ok(Some(Decision::Keep));
            }
            let Some(dir) = dir else {
                continue;
            };
            match (look(dir, name, filter.links)?, last) {
                (None, _) => is_here = false,
                (Some(stat), false) => is_here = stat.is_dir(),
                // The folder must make way for the file or link that is announced by its name.
                (Some(stat), true) if is_dir && is_sent(filter, &stat) => {
                    is_here = false;
                    if is_left_out(false) {
                        return Ok(Some(Decision::Keep));
                    }
                }
                (Some(_), true) => return Ok(Some(Decision::Keep)),
            }
        }
        let ask_inside = is_dir && (filter.may_hide() || !chain.is_empty());
        Ok(Some(match ask_inside {
            true => Decision::AskInside,
            false => Decision::Remove,
        }))
    }
}

/// The patterns of the ignore files in a folder, remembered.
fn ignores(
    known: &mut HashMap<PathBuf, Option<Arc<IgnorePatterns>>>,
    filter: &CompiledFilter,
    folder: &Dir,
    path: &Path,
) -> io::Result<Option<Arc<IgnorePatterns>>> {
    if let Some(known) = known.get(path) {
        return Ok(known.clone());
    }
    let ignores = filter.ignores(folder, path).map_err(|(_, error)| error)?;
    let ignores = ignores.map(Arc::new);
    let is_too_much = {
        let all = known.values().chain([&ignores]).flatten();
        PatternWeight::of_all(all.map(|one| &**one)).is_err()
    };
    if known.len() == MAX_KNOWN || is_too_much {
        known.clear();
    }
    known.insert(path.to_path_buf(), ignores.clone());
    Ok(ignores)
}

/// Whether something is a file or link that is announced, patterns aside.
fn is_sent(filter: &CompiledFilter, stat: &Stat) -> bool {
    match stat.is_link() {
        true => filter.links != Links::Skip,
        false => stat.is_file() && !filter.is_too_large(stat.size),
    }
}

/// What has a name in a folder; `None` if nothing does.
fn look(dir: &Dir, name: &[u8], links: Links) -> io::Result<Option<Stat>> {
    match stat_at(dir, name, links) {
        Ok(Some(stat)) => Ok(Some(stat)),
        // A link to nothing is still something.
        Ok(None) | Err(_) => dir.stat_at(name),
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::Filter;
    use super::super::walk::Walk;
    use super::*;
    use crate::sys::tests::symlink;
    use std::fs;

    const DIR: SurplusKind = SurplusKind::Dir;
    const FILE: SurplusKind = SurplusKind::File(5);
    const LINK: SurplusKind = SurplusKind::Symlink;

    fn check(root: &Path, filter: &Filter, expected: &[(&str, SurplusKind, Decision)]) {
        let roots = Roots::new(&[root.to_path_buf()], filter).unwrap();
        let walked = WalkedFolders::default();
        assert!(Walk::new(&roots, &walked).count() > 0);
        let mut decider = SurplusDecider::new(&roots, &walked);
        for &(path, kind, expected) in expected {
            let path = RelPath::new(path).unwrap();
            let surplus = Surplus { path, kind };
            let decisions = decider.decide(std::slice::from_ref(&surplus));
            assert_eq!(decisions, [expected], "{surplus:?}");
        }
    }

    #[test]
    fn only_what_is_neither_here_nor_hidden_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("t");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(dir.path().join("elsewhere/secret")).unwrap();
        fs::write(root.join("here"), "").unwrap();
        let has_links =
            symlink("../elsewhere", root.join("link")) && symlink("nowhere", root.join("dangling"));
        check(
            &root,
            &Filter::default(),
            &[
                ("t", DIR, Decision::Keep),
                ("other/x", FILE, Decision::Keep),
                ("t/here", FILE, Decision::Keep),
                // The folder is in the way of the file.
                ("t/here", DIR, Decision::Remove),
                ("t/here/deep", DIR, Decision::Remove),
                ("t/a/b", DIR, Decision::Keep),
                ("t/gone", FILE, Decision::Remove),
                ("t/gone", DIR, Decision::Remove),
                ("t/a/gone/deep", LINK, Decision::Remove),
                ("t/here/in a file", FILE, Decision::Remove),
            ],
        );
        if has_links {
            check(
                &root,
                &Filter::default(),
                &[
                    ("t/dangling", DIR, Decision::Remove),
                    ("t/dangling", LINK, Decision::Keep),
                    // The receiver may not learn what a link leads to.
                    ("t/link", LINK, Decision::Keep),
                    ("t/link/secret", DIR, Decision::Remove),
                ],
            );
        }
        fs::write(root.join("a/.xferignore"), "*.o\n!keep.o\n/b/\n").unwrap();
        let filter = Filter {
            exclude: vec!["*.log".into(), "/cache/".into()],
            max_size: Some(10),
            links: Links::Skip,
            ..Filter::default()
        };
        check(
            &root,
            &filter,
            &[
                ("t/x.log", FILE, Decision::Keep),
                ("t/gone/x.log", FILE, Decision::Keep),
                ("t/x.log/in it", FILE, Decision::Keep),
                ("t/cache", DIR, Decision::Keep),
                ("t/cache", FILE, Decision::Remove),
                ("t/cache/x", FILE, Decision::Keep),
                ("t/x", FILE, Decision::Remove),
                ("t/x", SurplusKind::File(11), Decision::Keep),
                ("t/x", LINK, Decision::Keep),
                ("t/x", DIR, Decision::AskInside),
                ("t/x.o", FILE, Decision::Remove),
                ("t/a/x.o", FILE, Decision::Keep),
                ("t/a/gone/x.o", FILE, Decision::Keep),
                ("t/a/gone/keep.o", FILE, Decision::Remove),
                ("t/a/b/x", FILE, Decision::Keep),
            ],
        );
        let ignores_only = Filter::default();
        check(
            &root,
            &ignores_only,
            &[
                ("t/gone", DIR, Decision::Remove),
                ("t/a/gone", DIR, Decision::AskInside),
            ],
        );
        let follow = Filter {
            links: Links::Follow,
            ..Filter::default()
        };
        if has_links {
            check(&root, &follow, &[("t/link/secret", DIR, Decision::Keep)]);
        }
        // The patterns are invalid.
        fs::write(root.join("a/.xferignore"), "[z-a]\n").unwrap();
        check(&root, &ignores_only, &[("t/a/gone", FILE, Decision::Keep)]);
    }

    #[test]
    fn nothing_goes_where_something_else_has_the_place_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("t");
        fs::create_dir_all(root.join("a")).unwrap();
        let roots = Roots::new(std::slice::from_ref(&root), &Filter::default()).unwrap();
        let walked = WalkedFolders::default();
        assert!(Walk::new(&roots, &walked).count() > 0);
        let mut decider = SurplusDecider::new(&roots, &walked);
        let mut decide = |path| {
            let path = RelPath::new(path).unwrap();
            decider.decide(&[Surplus { path, kind: FILE }])
        };
        assert_eq!(decide("t/a/gone"), [Decision::Remove]);
        fs::rename(&root, dir.path().join("elsewhere")).unwrap();
        fs::create_dir(&root).unwrap();
        assert_eq!(decide("t/a/gone"), [Decision::Keep]);
        assert_eq!(decide("t/gone"), [Decision::Keep]);
    }
}

//! What is to become of something that a mirror's receiver has and the walk did not come upon.
//!
//! Must not follow a link out of what is sent, unless links are followed: that would tell the
//! receiver what is elsewhere on this machine.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::relpath::RelPath;
use crate::model::surplus::{Decision, Surplus, SurplusKind};

use super::filter::{Ignores, Links, Rules, is_ignored};
use super::walk::Roots;

/// How many folders' ignore files are remembered.
const MAX_KNOWN: usize = 1024;

/// Says what is to become of what was not announced.
#[derive(Debug)]
pub struct SurplusDecider<'a> {
    roots: &'a Roots,
    /// What the ignore files in folders say.
    known: HashMap<PathBuf, Option<Arc<Ignores>>>,
}

impl<'a> SurplusDecider<'a> {
    /// For what is below `roots`.
    #[must_use]
    pub fn new(roots: &'a Roots) -> Self {
        Self {
            roots,
            known: HashMap::new(),
        }
    }

    /// What is to become of one. It goes only where it is certain that this machine does not have
    /// it, and would send it if it had.
    pub fn of(&mut self, surplus: &Surplus) -> Decision {
        match self.stays(&surplus.path, surplus.kind) {
            Ok(Some(decision)) => decision,
            Ok(None) | Err(_) => Decision::Keep,
        }
    }

    /// None for what is below no root, or cannot be known.
    fn stays(&mut self, path: &RelPath, kind: SurplusKind) -> io::Result<Option<Decision>> {
        let Some((name, root)) = self.roots.root_of(path) else {
            return Ok(None);
        };
        let rules = self.roots.rules();
        let is_dir = kind == SurplusKind::Dir;
        let hidden = match kind {
            SurplusKind::Dir => false,
            SurplusKind::Symlink => rules.links == Links::Skip,
            SurplusKind::File(size) => rules.is_too_large(size),
        };
        if hidden {
            return Ok(Some(Decision::Keep));
        }
        // From the root down: what is in a folder that is left out is left out.
        let mut chain: Vec<Arc<Ignores>> = Vec::new();
        let mut here = root.to_path_buf();
        let mut below = PathBuf::new();
        // Whether the folder that is looked at is on this machine.
        let mut is_here = true;
        let mut components = path.components().skip(1).peekable();
        if components.peek().is_none() {
            return Ok(Some(Decision::Keep));
        }
        while let Some(component) = components.next() {
            if is_here {
                chain.extend(self.ignores(rules, &here)?);
            }
            let component = Path::new(std::ffi::OsStr::from_bytes(component));
            below.push(component);
            here.push(component);
            let last = components.peek().is_none();
            let nearest_first = chain.iter().rev().map(|ignores| &**ignores);
            if is_ignored(
                rules,
                nearest_first.clone(),
                name,
                &below,
                &here,
                !last || is_dir,
            ) {
                return Ok(Some(Decision::Keep));
            }
            if is_here {
                match (look(&here, rules.links)?, last) {
                    (None, _) => is_here = false,
                    (Some(meta), false) => is_here = meta.is_dir(),
                    // A folder makes way for the file or link that is announced by its name.
                    (Some(meta), true) if is_dir && is_sent(rules, &meta) => {
                        is_here = false;
                        if is_ignored(rules, nearest_first, name, &below, &here, false) {
                            return Ok(Some(Decision::Keep));
                        }
                    }
                    (Some(_), true) => return Ok(Some(Decision::Keep)),
                }
            }
        }
        let looks = is_dir && (rules.may_hide() || !chain.is_empty());
        Ok(Some(if looks {
            Decision::AskInside
        } else {
            Decision::Remove
        }))
    }

    fn ignores(&mut self, rules: &Rules, folder: &Path) -> io::Result<Option<Arc<Ignores>>> {
        if let Some(known) = self.known.get(folder) {
            return Ok(known.clone());
        }
        let ignores = rules.ignores(folder).map_err(|(_, error)| error)?;
        let ignores = ignores.map(Arc::new);
        if self.known.len() == MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(folder.to_path_buf(), ignores.clone());
        Ok(ignores)
    }
}

/// Whether something is a file or link that is announced, patterns aside.
fn is_sent(rules: &Rules, meta: &Metadata) -> bool {
    match meta.is_symlink() {
        true => rules.links != Links::Skip,
        false => meta.is_file() && !rules.is_too_large(meta.len()),
    }
}

/// What has a name on this machine; none where nothing has.
fn look(path: &Path, links: Links) -> io::Result<Option<Metadata>> {
    let found = match links {
        Links::Follow => path.metadata().or_else(|_| path.symlink_metadata()),
        Links::Keep | Links::Skip => path.symlink_metadata(),
    };
    match found {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::filter::Filter;
    use super::*;

    const DIR: SurplusKind = SurplusKind::Dir;
    const FILE: SurplusKind = SurplusKind::File(5);
    const LINK: SurplusKind = SurplusKind::Symlink;

    fn check(root: &Path, filter: &Filter, expected: &[(&str, SurplusKind, Decision)]) {
        let roots = Roots::new(&[root.to_path_buf()], filter).unwrap();
        let mut decider = SurplusDecider::new(&roots);
        for &(path, kind, expected) in expected {
            let path = RelPath::new(path).unwrap();
            let surplus = Surplus { path, kind };
            assert_eq!(decider.of(&surplus), expected, "{surplus:?}");
        }
    }

    #[test]
    fn only_what_is_neither_here_nor_hidden_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("t");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(dir.path().join("elsewhere/secret")).unwrap();
        fs::write(root.join("here"), "").unwrap();
        symlink("../elsewhere", root.join("link")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        check(
            &root,
            &Filter::default(),
            &[
                ("t", DIR, Decision::Keep),
                ("other/x", FILE, Decision::Keep),
                ("t/here", FILE, Decision::Keep),
                // It is in the way of that.
                ("t/here", DIR, Decision::Remove),
                ("t/here/deep", DIR, Decision::Remove),
                ("t/dangling", DIR, Decision::Remove),
                ("t/dangling", LINK, Decision::Keep),
                ("t/a/b", DIR, Decision::Keep),
                ("t/gone", FILE, Decision::Remove),
                ("t/gone", DIR, Decision::Remove),
                ("t/a/gone/deep", LINK, Decision::Remove),
                ("t/here/in a file", FILE, Decision::Remove),
                // What a link leads to is none of the receiver's business.
                ("t/link", LINK, Decision::Keep),
                ("t/link/secret", DIR, Decision::Remove),
            ],
        );
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
        check(&root, &follow, &[("t/link/secret", DIR, Decision::Keep)]);
        // What the patterns are cannot be known.
        fs::write(root.join("a/.xferignore"), "[z-a]\n").unwrap();
        check(&root, &ignores_only, &[("t/a/gone", FILE, Decision::Keep)]);
    }
}

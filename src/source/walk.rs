//! Walks the tree in the manifest's order, without ever holding all of it.
//!
//! Must not read contents, and must not stop: what cannot be read is reported and left out. `tree`
//! explains how links are not followed.

use std::collections::VecDeque;

use crate::model::relpath::RelPath;

use super::extent::WalkExtent;
use super::step::WalkStep;
use super::tree::Roots;
use super::walk_below::WalkBelow;
use super::walked::WalkedFolders;

/// A walk over some roots: an iterator of [`WalkStep`]s in the manifest's order.
#[derive(Debug)]
pub struct Walk {
    roots: Roots,
    /// How many roots it has come to.
    begun: usize,
    below: WalkBelow,
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

#[cfg(test)]
mod tests {
    use super::super::count::count;
    use super::super::filter::{Filter, Links};
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    use crate::model::entry::{Entry, Kind};
    use crate::model::order::Order;
    use crate::model::outcome::Why;
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

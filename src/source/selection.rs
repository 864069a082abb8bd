//! `Selection`: the part of what is named that is sent or fetched, where that is not all of it.
//!
//! Must not look at a file system: what a path leads to, the walk finds out.

use crate::model::entry::{Entry, Kind};
use crate::model::relpath::RelPath;

/// The paths that are sent, with everything below them.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// In order, none of them in another one; empty where everything is sent.
    paths: Vec<RelPath>,
}

/// What a path is to a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selected {
    /// It is sent.
    Inside,
    /// It is a folder that only leads to what is sent.
    Leads,
    /// It is not sent.
    Outside,
}

impl Selection {
    /// Of these paths; of everything where there is none.
    #[must_use]
    pub fn new(paths: &[RelPath]) -> Self {
        let mut paths = paths.to_vec();
        paths.sort();
        paths.dedup_by(|next, kept| next == kept || is_below(next, kept));
        Self { paths }
    }

    /// Whether something belongs to it that another machine announces. Of the folders that lead to
    /// what is fetched nothing else may come, nor is what else is in them to go.
    #[must_use]
    pub fn takes(&self, entry: &Entry) -> bool {
        match self.of_any(&entry.path) {
            Selected::Inside => true,
            Selected::Leads => matches!(entry.kind, Kind::Dir) && entry.is_way(),
            Selected::Outside => false,
        }
    }

    /// What something is to it.
    fn of_any(&self, path: &RelPath) -> Selected {
        let at = self.paths.partition_point(|selected| selected <= path);
        let before = at.checked_sub(1).and_then(|at| self.paths.get(at));
        match before {
            Some(selected) if selected == path || is_below(path, selected) => Selected::Inside,
            _ => self.of(path),
        }
    }

    /// What something is to it that lies in no folder which is sent as a whole.
    pub(super) fn of(&self, path: &RelPath) -> Selected {
        if self.paths.is_empty() {
            return Selected::Inside;
        }
        // A folder sorts right before what is in it.
        let at = self.paths.partition_point(|selected| selected < path);
        match self.paths.get(at) {
            Some(selected) if selected == path => Selected::Inside,
            Some(selected) if is_below(selected, path) => Selected::Leads,
            _ => Selected::Outside,
        }
    }
}

fn is_below(path: &RelPath, folder: &RelPath) -> bool {
    let rest = path.as_bytes().strip_prefix(folder.as_bytes());
    rest.is_some_and(|rest| rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_on_the_way_lead_and_their_other_contents_are_outside() {
        let path = |text: &str| RelPath::new(text).unwrap();
        let all = ["a/b/c", "a/b!", "x", "a/b/c", "é/z"].map(path);
        let selection = Selection::new(&all);
        for (text, expected) in [
            ("a", Selected::Leads),
            ("a/b", Selected::Leads),
            ("a/b/c", Selected::Inside),
            ("a/b/cc", Selected::Outside),
            ("a/b/b", Selected::Outside),
            ("a/b!", Selected::Inside),
            ("a/b!!", Selected::Outside),
            ("aa", Selected::Outside),
            ("x", Selected::Inside),
            ("é", Selected::Leads),
            ("z", Selected::Outside),
        ] {
            assert_eq!(selection.of(&path(text)), expected, "{text}");
            assert_eq!(selection.of_any(&path(text)), expected, "{text}");
        }
        for (text, expected) in [
            ("a/b/c/d", Selected::Inside),
            ("a/b/c/d/e", Selected::Inside),
            ("a/b!/d", Selected::Inside),
            ("a/b/c!/d", Selected::Outside),
            ("x/y", Selected::Inside),
            ("xx/y", Selected::Outside),
            ("A/b/c", Selected::Outside),
            (".ssh/authorized_keys", Selected::Outside),
        ] {
            assert_eq!(selection.of_any(&path(text)), expected, "{text}");
        }
        let nested = Selection::new(&["a/b", "a", "a/b/c"].map(path));
        assert_eq!(nested.of_any(&path("a/z")), Selected::Inside);
        let everything = Selection::default();
        assert_eq!(everything.of(&path("a/b")), Selected::Inside);
    }
}

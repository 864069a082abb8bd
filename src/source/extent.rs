//! `WalkExtent`: how much of what is below the roots a walk comes to.
//!
//! Must not touch a file system.

use crate::model::relpath::RelPath;

/// How much of what is below the roots a walk comes to.
#[derive(Debug, Clone, Default)]
pub(super) struct WalkExtent {
    /// Only this, and the folders on the way to it.
    only: Option<RelPath>,
    /// Whether it comes to the names in folders, and not to what is in these.
    is_shallow: bool,
}

impl WalkExtent {
    /// One thing, and all that is in it.
    pub(super) fn all_of(only: &RelPath) -> Self {
        Self {
            only: Some(only.clone()),
            is_shallow: false,
        }
    }

    /// The names in one folder, or the roots.
    pub(super) fn names_in(folder: Option<&RelPath>) -> Self {
        Self {
            only: folder.cloned(),
            is_shallow: true,
        }
    }

    /// Whether it comes to the root of this name.
    pub(super) fn has_root(&self, name: &RelPath) -> bool {
        let only = self.only.as_ref();
        let first = only.and_then(|only| only.as_bytes().split(|&b| b == b'/').next());
        first.is_none_or(|first| first == name.as_bytes())
    }

    /// The name in a folder that alone leads on, where not all of them do.
    pub(super) fn way_on(&self, folder: &RelPath) -> Option<&[u8]> {
        let only = self.only.as_ref()?.as_bytes();
        let rest = only.strip_prefix(folder.as_bytes())?.strip_prefix(b"/")?;
        rest.split(|&b| b == b'/').next()
    }

    /// Whether it comes to what is in a folder.
    pub(super) fn enters(&self, folder: &RelPath) -> bool {
        let is_end = self.only.as_ref() == Some(folder);
        !self.is_shallow || is_end || self.way_on(folder).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_to_one_thing_passes_by_all_others() {
        let path = |text: &str| RelPath::new(text).unwrap();
        let extent = WalkExtent::all_of(&path("a/b/c"));
        assert!(extent.has_root(&path("a")) && !extent.has_root(&path("ab")));
        assert_eq!(extent.way_on(&path("a")), Some(&b"b"[..]));
        assert_eq!(extent.way_on(&path("a/b")), Some(&b"c"[..]));
        for beyond in ["a/b/c", "a/b/c/d", "a/bc"] {
            assert_eq!(extent.way_on(&path(beyond)), None);
        }
        let names = WalkExtent::names_in(Some(&path("a/b")));
        assert!(names.enters(&path("a")) && names.enters(&path("a/b")));
        assert!(!names.enters(&path("a/b/c")));
        let roots = WalkExtent::names_in(None);
        assert!(roots.has_root(&path("x")) && !roots.enters(&path("x")));
        assert!(WalkExtent::default().enters(&path("x")));
    }
}

//! The order that a manifest must keep, checked in constant memory.
//!
//! Must not touch a file system. The receiver checks the order so that a peer cannot name a path
//! twice or use a file as a folder; the sender checks that it never does.

use std::fmt;

use crate::model::entry::{Entry, EntryId, Kind};
use crate::model::relpath::RelPath;

/// How a manifest broke its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderError {
    /// Entries are numbered 0, 1, 2 and so on.
    Number,
    /// A path does not come behind the one before it.
    NotAscending,
    /// The folder of an entry has not been announced, or has ended.
    NoFolder,
    /// A folder that is not the innermost open one ends.
    WrongEnd,
    /// The manifest ends while a folder is open.
    Open,
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "an entry out of number",
            Self::NotAscending => "an entry out of order",
            Self::NoFolder => "an entry whose folder is not open",
            Self::WrongEnd => "the end of a folder that is not the innermost",
            Self::Open => "the end of a manifest in the middle of a folder",
        })
    }
}

impl std::error::Error for OrderError {}

/// Watches over the order of one manifest: numbers count up, paths ascend strictly, component by
/// component, and every entry lies in the innermost folder that has not ended.
#[derive(Debug, Default)]
pub struct Order {
    next: EntryId,
    last: Option<RelPath>,
    open: Vec<(EntryId, RelPath)>,
}

impl Order {
    /// For a manifest that has no entry yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), OrderError> {
        if entry.id != self.next {
            return Err(OrderError::Number);
        }
        if self.last.as_ref().is_some_and(|last| entry.path <= *last) {
            return Err(OrderError::NotAscending);
        }
        let folder = self.open.last().map(|(_, path)| path.as_bytes());
        if entry.path.parent_bytes() != folder {
            return Err(OrderError::NoFolder);
        }
        self.next += 1;
        self.last = Some(entry.path.clone());
        if matches!(entry.kind, Kind::Dir) {
            self.open.push((entry.id, entry.path.clone()));
        }
        Ok(())
    }

    /// Takes the end of a folder.
    pub fn dir_end(&mut self, entry: EntryId) -> Result<(), OrderError> {
        match self.open.pop() {
            Some((id, _)) if id == entry => Ok(()),
            _ => Err(OrderError::WrongEnd),
        }
    }

    /// Takes the end of the manifest.
    pub fn end(&self) -> Result<(), OrderError> {
        if self.open.is_empty() {
            Ok(())
        } else {
            Err(OrderError::Open)
        }
    }

    /// How many entries there have been.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::{FileSize, Mode, Time};

    fn entry(id: EntryId, path: &str, dir: bool) -> Entry {
        Entry {
            id,
            path: RelPath::new(path).unwrap(),
            kind: if dir {
                Kind::Dir
            } else {
                Kind::File {
                    size: FileSize::try_from(0).unwrap(),
                }
            },
            mtime: Time::try_from((0, 0)).unwrap(),
            mode: Mode::try_from(0o644).unwrap(),
            extras: vec![],
        }
    }

    #[test]
    fn a_walk_in_order_passes() {
        let mut order = Order::new();
        order.entry(&entry(0, "a", true)).unwrap();
        order.entry(&entry(1, "a/b", true)).unwrap();
        order.entry(&entry(2, "a/b/c", false)).unwrap();
        order.dir_end(1).unwrap();
        order.entry(&entry(3, "a/c", false)).unwrap();
        assert_eq!(order.end(), Err(OrderError::Open));
        order.dir_end(0).unwrap();
        order.entry(&entry(4, "b", false)).unwrap();
        order.end().unwrap();
    }

    #[test]
    fn everything_else_does_not() {
        let mut order = Order::new();
        assert_eq!(order.entry(&entry(1, "a", true)), Err(OrderError::Number));
        assert_eq!(
            order.entry(&entry(0, "a/b", false)),
            Err(OrderError::NoFolder)
        );
        order.entry(&entry(0, "a", true)).unwrap();
        assert_eq!(
            order.entry(&entry(1, "a", true)),
            Err(OrderError::NotAscending)
        );
        assert_eq!(
            order.entry(&entry(1, "b", false)),
            Err(OrderError::NoFolder)
        );
        order.entry(&entry(1, "a/x", false)).unwrap();
        // A file is no folder, and a name comes once.
        assert_eq!(
            order.entry(&entry(2, "a/x/y", false)),
            Err(OrderError::NoFolder)
        );
        assert_eq!(
            order.entry(&entry(2, "a/x", false)),
            Err(OrderError::NotAscending)
        );
        assert_eq!(order.dir_end(1), Err(OrderError::WrongEnd));
    }
}

//! Clashes of names: two entries of one folder whose names are one name to this file system, as
//! `A` and `a` are where case does not count.
//!
//! Must not decide by the names alone, which each file system compares in its own way: it is the
//! same thing being found under both that makes a clash.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::model::outcome::Why;
use crate::model::reason::Obstacle;
use crate::model::relpath::STATE_DIR;
use crate::model::text::Text;
use crate::sys::fs::{Dir, Stat};

/// How many names of one folder are remembered. Whatever has more is not guarded beyond that.
const MAX_NAMES: usize = 1 << 20;

/// Where names can clash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folding {
    /// On the receive directory's file system.
    here: bool,
    device: u64,
}

impl Folding {
    /// As it is in a receive directory, where the state directory is at the moment.
    pub(super) fn of(root: &Dir) -> io::Result<Self> {
        let known = root.stat_at(STATE_DIR.as_bytes())?;
        let other = root.stat_at(STATE_DIR.to_uppercase().as_bytes())?;
        let id = |found: Option<Stat>| found.map(|found| found.id);
        Ok(Self {
            here: known.is_some() && id(known) == id(other),
            device: root.stat()?.id.device,
        })
    }

    /// Keeps account of the names in a folder, if they can clash.
    pub(super) fn names(&self, dir: &Dir, found: &Stat) -> Option<EntryNames> {
        // Of another file system nothing is known.
        let can_clash = self.here || found.id.device != self.device || dir.folds_case();
        can_clash.then(EntryNames::default)
    }

    /// Keeps account of the names in the receive directory itself, if they can clash.
    pub(super) fn root_names(&self, dir: &Dir) -> Option<EntryNames> {
        (self.here || dir.folds_case()).then(EntryNames::default)
    }
}

/// The names that entries of a folder have, by what has them.
#[derive(Debug, Default)]
pub(super) struct EntryNames(Mutex<HashMap<u64, Box<[u8]>>>);

impl EntryNames {
    /// Takes note that something has `name`, or will have it in a moment.
    pub(super) fn note(&self, name: &[u8], found: &Stat) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MAX_NAMES {
            names.insert(found.id.inode, name.into());
        }
    }

    /// Takes note that something was found under `name`, unless another entry has it.
    pub(super) fn claim(&self, name: &[u8], found: &Stat) -> Result<(), Why> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let other = names.get(&found.id.inode);
        if let Some(other) = other.filter(|other| is_clash(name, other, found)) {
            let other = String::from_utf8_lossy(other);
            return Err(Why::InTheWay(Obstacle::SameName(Text::new(other))));
        }
        drop(names);
        self.note(name, found);
        Ok(())
    }
}

/// Whether two names of one thing clash: it may have both of them, as a hard link.
fn is_clash(name: &[u8], other: &[u8], found: &Stat) -> bool {
    let folded = |name| String::from_utf8_lossy(name).to_lowercase();
    let is_dir = found.is_dir();
    name != other && (is_dir || found.links == 1 || folded(name) == folded(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_under_two_names_is_a_clash() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let at = |name: &str| temp.path().join(name);
        let found = |name: &str| dir.stat_at(name.as_bytes()).unwrap().unwrap();
        std::fs::write(at("A"), "").unwrap();
        let names = EntryNames::default();
        let only = found("A");
        names.claim(b"A", &only).unwrap();
        names.claim(b"A", &only).unwrap();
        let why = names.claim(b"a", &only).unwrap_err();
        assert_eq!(why, Why::InTheWay(Obstacle::SameName("A".into())));
        // One with two names may be there under both of them.
        for name in ["a", "b"] {
            std::fs::hard_link(at("A"), at(name)).unwrap();
        }
        names.claim(b"a", &found("a")).unwrap_err();
        names.claim(b"b", &found("b")).unwrap();
        // What was made just now is nobody else's.
        std::fs::write(at("c"), "").unwrap();
        names.note(b"d", &found("c"));
        names.note(b"c", &found("c"));
        names.claim(b"c", &found("c")).unwrap();
    }
}

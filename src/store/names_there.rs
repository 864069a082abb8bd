//! The names in a folder when a mirror entered it, and which of them are surplus.
//!
//! Must not access the folder, nor delete anything, nor take a different spelling of an announced
//! name for surplus.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io;

use crate::sys::fs::{self, Stat};

use super::clash::folded;

/// How many similar announced names are remembered for each listed one.
const MAX_ALIKE: usize = 1024;

/// What was found under a name: its inode number, and a hash of its other attributes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    inode: u64,
    state: u64,
}

impl Seen {
    /// Whether it is what was found `before`. Some file systems invent inode numbers; then
    /// unchanged attributes show that it is the same.
    fn is_still(self, before: Self) -> bool {
        self.inode == before.inode || self.state == before.state
    }
}

/// The names in a folder when a mirror entered it, and which of them are surplus.
#[derive(Debug)]
pub(super) struct NamesThere {
    hasher: RandomState,
    unannounced: HashMap<u64, Seen>,
    /// The names that folding changes, by their folded form.
    by_folded: HashMap<u64, Vec<u64>>,
    /// Listed names that differ from announced ones only in ways that some file systems ignore, and
    /// those announced names.
    alike: HashMap<u64, Vec<u64>>,
    /// Names in the way of announced entries.
    obstacles: HashSet<u64>,
    in_doubt: bool,
}

impl NamesThere {
    pub(super) fn new(hasher: &RandomState, listed: &[(Vec<u8>, Seen)]) -> Self {
        let mut names = Self {
            hasher: hasher.clone(),
            unannounced: HashMap::with_capacity(listed.len()),
            by_folded: HashMap::new(),
            alike: HashMap::new(),
            obstacles: HashSet::new(),
            in_doubt: false,
        };
        for (name, seen) in listed {
            let hash = names.hash(name);
            names.unannounced.insert(hash, *seen);
            let folded = names.hash(&folded(name));
            if folded != hash {
                names.by_folded.entry(folded).or_default().push(hash);
            }
        }
        names
    }

    fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    /// How many are surplus so far.
    pub(super) fn len(&self) -> usize {
        self.unannounced.len()
    }

    /// Whether it is uncertain which of them are other spellings of announced names.
    pub(super) fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Notes that the sender has `name`. `find` looks the name up: what it finds under a name that
    /// was not listed was listed with another spelling. `comes` says whether the entry will be
    /// there when surplus is looked for.
    pub(super) fn announced(
        &mut self,
        name: &[u8],
        comes: bool,
        find: impl FnOnce() -> io::Result<Option<Stat>>,
    ) {
        let hash = self.hash(name);
        if self.unannounced.remove(&hash).is_some() || self.unannounced.is_empty() {
            return;
        }
        let folded = self.hash(&folded(name));
        let mut spellings = self.by_folded.get(&folded).cloned().unwrap_or_default();
        if folded != hash && self.unannounced.contains_key(&folded) {
            spellings.push(folded);
        }
        match find() {
            Ok(None) if !comes => {}
            Ok(None) => {
                for spelling in spellings {
                    let alike = self.alike.entry(spelling).or_default();
                    match alike.len() < MAX_ALIKE {
                        true => alike.push(hash),
                        false => self.in_doubt = true,
                    }
                }
            }
            Err(e) if fs::is_name_too_long(&e) || fs::is_name_impossible(&e) => {}
            Ok(Some(_)) if !spellings.is_empty() => {
                for spelling in spellings {
                    self.unannounced.remove(&spelling);
                }
            }
            Ok(Some(found)) => {
                let before = self.unannounced.len();
                let here = found.id.inode;
                self.unannounced.retain(|_, seen| seen.inode != here);
                self.in_doubt |= self.unannounced.len() == before;
            }
            Err(_) => self.in_doubt = true,
        }
    }

    /// Notes that what has `name` is not what the sender has by that name.
    pub(super) fn add(&mut self, name: &[u8], seen: Seen) {
        let hash = self.hash(name);
        self.unannounced.insert(hash, seen);
        self.obstacles.insert(hash);
    }

    /// Forgets what is surplus, except what is in an entry's way. Returns how many names that were.
    pub(super) fn keep_but_obstacles(&mut self) -> usize {
        let before = self.len();
        let obstacles = &self.obstacles;
        self.unannounced.retain(|hash, _| obstacles.contains(hash));
        before - self.len()
    }

    /// Picks the surplus from what is there now, if it is unchanged. An announced name that is not
    /// listed may be listed with another spelling.
    pub(super) fn surplus(&self, mut there: Vec<(Vec<u8>, Seen)>) -> Vec<(Vec<u8>, Seen)> {
        let listed: HashSet<u64> = match self.alike.is_empty() {
            true => HashSet::new(),
            false => there.iter().map(|(name, _)| self.hash(name)).collect(),
        };
        there.retain(|(name, seen)| {
            let hash = self.hash(name);
            let before = self.unannounced.get(&hash);
            let alike = self.alike.get(&hash).into_iter().flatten();
            before.is_some_and(|before| seen.is_still(*before))
                && alike.copied().all(|other| listed.contains(&other))
        });
        there
    }
}

/// The part of `found` that is remembered.
pub(super) fn seen(hasher: &RandomState, found: &Stat) -> Seen {
    let (mtime, ctime) = (found.mtime, found.ctime);
    Seen {
        inode: found.id.inode,
        state: hasher.hash_one((found.is_dir(), found.is_link(), found.size, mtime, ctime)),
    }
}

/// Whether `found` is what was seen before.
pub(super) fn is_still(hasher: &RandomState, found: &Stat, before: Seen) -> bool {
    seen(hasher, found).is_still(before)
}

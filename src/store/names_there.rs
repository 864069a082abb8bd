//! The names in a folder when a mirror entered it, and which of them are surplus.
//!
//! Must not look at the folder, nor delete anything, nor take a different spelling of an announced
//! name for surplus.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io;

use crate::sys::fs::{self, Stat};

use super::clash::folded;

/// How many announced names that are alike in this way are remembered for one that was listed.
const MAX_ALIKE: usize = 1024;

/// What was found under a name: its number, and a hash of what else tells it from others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    inode: u64,
    state: u64,
}

impl Seen {
    /// Whether it is what was seen `before`. Some file systems make their numbers up, and then what
    /// has not changed is the same.
    fn is_still(self, before: Self) -> bool {
        self.inode == before.inode || self.state == before.state
    }
}

/// The names in a folder when a mirror entered it, and which of them are surplus.
#[derive(Debug)]
pub(super) struct NamesThere {
    hasher: RandomState,
    unannounced: HashMap<u64, Seen>,
    /// By what they are with case and composition folded: all names that are not so by themselves.
    by_folded: HashMap<u64, Vec<u64>>,
    /// The names that differ from announced ones only in what some file systems do not tell apart,
    /// with these.
    alike: HashMap<u64, Vec<u64>>,
    /// Those that are in the way of what was announced.
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

    /// Whether it cannot be told which of them are names of what was announced.
    pub(super) fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Takes note that the sender has `name`. `find` looks what has it. What is found under a name
    /// that was not listed was listed by another spelling. Where it `comes`, it is to be there when
    /// surplus is looked for.
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

    /// Takes note that what has `name` is not what the sender has by it.
    pub(super) fn add(&mut self, name: &[u8], seen: Seen) {
        let hash = self.hash(name);
        self.unannounced.insert(hash, seen);
        self.obstacles.insert(hash);
    }

    /// Forgets what is surplus, but for what is in the way of something. Says how many that were.
    pub(super) fn keep_but_obstacles(&mut self) -> usize {
        let before = self.len();
        let obstacles = &self.obstacles;
        self.unannounced.retain(|hash, _| obstacles.contains(hash));
        before - self.len()
    }

    /// What is surplus of what is there now, and still what it was. What was announced and is not
    /// listed may be listed by another spelling.
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

/// What is remembered of what was found.
pub(super) fn seen(hasher: &RandomState, found: &Stat) -> Seen {
    let (mtime, ctime) = (found.mtime, found.ctime);
    Seen {
        inode: found.id.inode,
        state: hasher.hash_one((found.is_dir(), found.is_link(), found.size, mtime, ctime)),
    }
}

/// Whether something found is what was seen.
pub(super) fn is_still(hasher: &RandomState, found: &Stat, before: Seen) -> bool {
    seen(hasher, found).is_still(before)
}

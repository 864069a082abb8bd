//! A session's turn at a file: sessions of one sender share its partial, so they take turns.
//!
//! Must not wait: a session without a turn asks again. Locks on partials exclude sessions of other
//! processes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which session has which file, by the ID of its partial.
#[derive(Debug, Default)]
pub(super) struct FileTurns {
    holders: Mutex<HashMap<String, TurnHolder>>,
    sessions: AtomicU64,
}

/// A session that has a file.
#[derive(Debug)]
struct TurnHolder {
    session: u64,
    /// How many turns it has: two while a file is started over.
    turns: usize,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct FileTurn {
    turns: Arc<FileTurns>,
    id: String,
}

/// A file that another session of the same sender is receiving.
#[derive(Debug)]
pub struct FileInUse {
    turns: Arc<FileTurns>,
    id: String,
}

impl FileTurns {
    /// A number for one more session.
    pub(super) fn session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    fn holders(&self) -> MutexGuard<'_, HashMap<String, TurnHolder>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a session its turn at the file whose partial is `id`.
    pub(super) fn take(self: &Arc<Self>, session: u64, id: String) -> Result<FileTurn, FileInUse> {
        let new = || TurnHolder { session, turns: 0 };
        let mut holders = self.holders();
        let holder = holders.entry(id.clone()).or_insert_with(new);
        let turns = self.clone();
        if holder.session != session {
            return Err(FileInUse { turns, id });
        }
        holder.turns += 1;
        Ok(FileTurn { turns, id })
    }
}

impl Drop for FileTurn {
    fn drop(&mut self) {
        let mut holders = self.turns.holders();
        if let Some(holder) = holders.get_mut(&self.id) {
            holder.turns -= 1;
            if holder.turns == 0 {
                holders.remove(&self.id);
            }
        }
    }
}

impl FileInUse {
    /// Whether no session has it any more.
    #[must_use]
    pub fn is_free(&self) -> bool {
        !self.turns.holders().contains_key(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_one_sessions_until_that_has_let_go_of_all_of_it() {
        let turns = Arc::new(FileTurns::default());
        let [one, two] = [turns.session(), turns.session()];
        let take = |session, id: &str| turns.take(session, id.to_owned());
        let first = take(one, "a").unwrap();
        let second = take(one, "a").unwrap();
        let beside = take(two, "b").unwrap();
        let other = take(two, "a").unwrap_err();
        drop(first);
        assert!(!other.is_free());
        drop(second);
        assert!(other.is_free());
        drop((take(two, "a").unwrap(), beside));
        assert!(turns.holders().is_empty());
    }
}

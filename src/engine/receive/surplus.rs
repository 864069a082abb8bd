//! The end of a mirror: what its sender does not have is removed, once it has said so.
//!
//! Must not remove anything after a failure: what was moved may not be in its new place yet.

use std::sync::atomic::Ordering;

use crate::error::{Error, Result};
use crate::progress::Event;
use crate::relpath::RelPath;
use crate::store::StoreSession;
use crate::surplus::{Fate, Surplus};
use crate::wire::{MayRemove, Message, Removed, limits};

use super::planner::Task;
use super::session::{MAX_OUTBOX_BYTES, Receiving};

/// How many bytes of paths travel in a message, about.
const MAX_PATHS_BYTES: usize = 64 << 10;

impl Receiving {
    /// Removes what the sender of a mirror does not have, unless something failed.
    pub(super) fn remove_surplus(&self, store: &StoreSession) -> Result<()> {
        if self.has_failed() {
            store.keep_surplus();
            return Ok(());
        }
        let (mut list, mut bytes) = (Vec::new(), 0);
        let send = |list: &mut Vec<RelPath>| {
            self.link.outbox.wait_below(MAX_OUTBOX_BYTES);
            let list = std::mem::take(list);
            self.link.outbox.push(Message::Removed(Removed(list)));
        };
        let tell = |path: RelPath| {
            self.progress.event(&Event::Removed {
                session: self.session,
                path: &path,
            });
            bytes += path.as_bytes().len();
            list.push(path);
            if list.len() == limits::MAX_LIST || bytes > MAX_PATHS_BYTES {
                send(&mut list);
                bytes = 0;
            }
        };
        let removed = store
            .remove_surplus(|surplus| self.fates(surplus), || self.link.is_over(), tell)
            .map_err(|e| Error::file("write into", &self.dir, e))?;
        if !list.is_empty() {
            send(&mut list);
        }
        self.count_removed(removed);
        Ok(())
    }

    /// Asks the sender what is to become of things. Once the session is over everything stays.
    fn fates(&self, surplus: Vec<Surplus>) -> Vec<Fate> {
        let mut fates = Vec::with_capacity(surplus.len());
        let (mut question, mut bytes) = (Vec::new(), 0);
        let mut left = surplus.into_iter().peekable();
        while let Some(one) = left.next() {
            bytes += one.path.as_bytes().len();
            question.push(one);
            let full = question.len() == limits::MAX_LIST || bytes > MAX_PATHS_BYTES;
            if full || left.peek().is_none() {
                fates.extend(self.ask_for_fates(std::mem::take(&mut question)));
                bytes = 0;
            }
        }
        fates
    }

    fn ask_for_fates(&self, question: Vec<Surplus>) -> Vec<Fate> {
        let count = question.len();
        let stay = vec![Fate::Stays; count];
        self.asked.store(true, Ordering::Release);
        self.link
            .outbox
            .push(Message::MayRemove(MayRemove(question)));
        while let Some(task) = self.tasks.pop() {
            match task {
                Task::Fates(fates) if fates.len() == count => return fates,
                Task::Fates(_) => {
                    self.link.fail(self.broken("an answer to something else"));
                    return stay;
                }
                // Nothing is left to be done but this.
                _ => {}
            }
        }
        stay
    }
}

//! What a receiver does for batches of uploads: whether one may begin, its place among the sessions,
//! and what follows its end.
//!
//! Must not know HTTP, nor what becomes of a file.

use std::sync::{Arc, PoisonError};

use crate::model::error::Result;
use crate::model::outcome::{Decline, Summary, Wish};
use crate::model::progress::{Event, Peer, Progress, Trust};
use crate::model::prompt::{AlwaysTime, Answer, Proposal};
use crate::model::reason::{StoreFault, SystemError};
use crate::net::{LeastEntries, Network, PoolHolder, SessionSize};
use crate::wire::{Contents, limits};

use super::super::next_session;
use super::super::receive::OfferBound;
use super::super::web::{AskedBatch, BatchPlace, BatchSetup, UploadMeans};
use super::grant;
use super::on_done::StoredList;
use super::shared::ReceiverShared;

/// What a receiver has for uploads.
pub(super) struct ReceiverMeans<'a> {
    pub(super) shared: &'a Arc<ReceiverShared>,
    pub(super) progress: &'a Arc<dyn Progress>,
}

impl UploadMeans for ReceiverMeans<'_> {
    fn ends_with_first(&self) -> bool {
        self.shared.options.once
    }

    fn begin(
        &self,
        asked: &AskedBatch,
        gone: &dyn Fn() -> bool,
    ) -> std::result::Result<BatchSetup, Decline> {
        let shared = self.shared;
        let store = shared.store.as_ref();
        let store = store.ok_or(Decline::Store(StoreFault::FolderRemoved))?;
        let (owner, wish) = (asked.owner, Wish::default());
        // As a sender that may be anybody.
        let access = grant::access(owner, Trust::Link, wish, None, &shared.options)?;
        // Nobody is asked about what then finds no place.
        let mut place = self.place(PoolHolder::Stranger(Network::from(asked.peer.addr)))?;
        let bound = self.ask(asked, gone)?;
        let opened = store.session(access, shared.options.sync);
        let store = opened.map_err(|e| {
            Decline::Store(match e.kind() {
                std::io::ErrorKind::NotFound => StoreFault::FolderRemoved,
                _ => SystemError::from(&e).into(),
            })
        })?;
        let number = next_session();
        let list = shared.on_done.as_ref().and_then(|on_done| {
            let list = on_done.list(self.progress, store.path());
            let told = list.map_err(|error| {
                let (session, error) = (number, &error);
                self.progress.event(&Event::Warning { session, error });
            });
            told.ok()
        });
        (place.number, place.list) = (number, list.clone());
        let progress: Arc<dyn Progress> = match &list {
            Some(list) => list.clone(),
            None => self.progress.clone(),
        };
        Ok(BatchSetup {
            number,
            store,
            progress,
            sums: shared.sums.clone(),
            bound,
            place: Box::new(place),
        })
    }
}

impl ReceiverMeans<'_> {
    /// Asks the user about a batch, if they want to be asked. What they say yes to this time is the
    /// most that is taken.
    fn ask(
        &self,
        asked: &AskedBatch,
        gone: &dyn Fn() -> bool,
    ) -> std::result::Result<Option<OfferBound>, Decline> {
        let shared = self.shared;
        let unasked = || {
            shared
                .unasked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if !shared.options.ask || unasked().contains(&asked.owner) {
            return Ok(None);
        }
        if !shared.prompt.can_decide() {
            return Err(Decline::Unattended);
        }
        let (contents, store) = (&asked.contents, shared.store.as_ref());
        let known = |count: u64| Some(count).filter(|&count| count != Contents::UNKNOWN);
        let proposal = Proposal {
            caller: asked.peer.caller(),
            files: known(contents.files),
            bytes: known(contents.bytes),
            first: contents.first.to_string(),
            named: known(contents.named),
            wish: Wish::default(),
            dir: store
                .map(|store| store.path().to_path_buf())
                .unwrap_or_default(),
            free: store.and_then(|store| store.free()),
            always: asked.comes_back.then_some(AlwaysTime::UntilEnd),
        };
        let holder = PoolHolder::Stranger(Network::from(asked.peer.addr));
        let Some(_asked) = shared.asking.add(holder) else {
            return Err(Decline::Crowded);
        };
        let decided = shared.prompt.decide(&proposal, gone);
        // What was said while they left is said to nobody.
        if gone() {
            return Err(Decline::Unattended);
        }
        match decided {
            Some(Answer::Yes) => Ok(Some(OfferBound::new(contents))),
            Some(Answer::Always) => {
                unasked().insert(asked.owner);
                Ok(None)
            }
            Some(Answer::No) => Err(Decline::Refused),
            None => Err(Decline::Unattended),
        }
    }

    /// Takes a place for a batch of `holder`.
    fn place(&self, holder: PoolHolder) -> std::result::Result<UploadPlace, Decline> {
        let shared = self.shared;
        let wish = SessionSize {
            lanes: 1,
            window: *limits::WINDOW.start(),
        };
        let slot = shared.take_slot(holder, wish, LeastEntries::Few);
        let (slot, _) = slot.ok_or(Decline::TooManySessions)?;
        Ok(UploadPlace {
            shared: shared.clone(),
            slot,
            number: 0,
            list: None,
        })
    }
}

/// The place of a batch among the sessions that run.
struct UploadPlace {
    shared: Arc<ReceiverShared>,
    slot: u64,
    number: u64,
    /// What it stored, where that is told to what runs behind it.
    list: Option<Arc<StoredList>>,
}

impl BatchPlace for UploadPlace {
    fn ended(&mut self, peer: &Peer, ended: Result<Summary>, sums: Result<()>) {
        let shared = &self.shared;
        if let (Some(on_done), Some(list)) = (&shared.on_done, &self.list) {
            on_done.add(list, self.number, peer, &ended);
        }
        if !shared.options.once {
            return;
        }
        let ended = ended.and_then(|summary| sums.map(|()| summary));
        let mut sessions = shared.sessions();
        match ended {
            // Its browser may come back, with a batch of its own.
            Err(error) if error.is_lost_connection() => {}
            ended => sessions.first = sessions.first.take().or(Some(ended)),
        }
    }
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        self.shared.sessions().running.release(self.slot);
        self.shared.changed.notify_all();
        self.shared.wake_up.raise();
    }
}

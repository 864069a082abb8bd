//! `UploadMeans`: what a receiver does for batches of uploads, and what a batch is given.
//!
//! Must not know HTTP, nor what becomes of a file.

use std::fmt;
use std::sync::Arc;

use crate::model::error::Result;
use crate::model::outcome::{Decline, Summary};
use crate::model::progress::{Peer, Progress};
use crate::net::Fingerprint;
use crate::store::StoreSession;
use crate::transfer::receive::{OfferBound, Sums};
use crate::wire::Contents;

/// A batch that is to begin.
#[derive(Debug)]
pub(in crate::transfer) struct AskedBatch {
    /// Who resumes what is left of it.
    pub(in crate::transfer) owner: Fingerprint,
    /// The browser.
    pub(in crate::transfer) peer: Peer,
    /// What it says is in it.
    pub(in crate::transfer) contents: Contents,
    /// Whether its owner is the same next time.
    pub(in crate::transfer) comes_back: bool,
}

/// What a batch works with.
pub(in crate::transfer) struct BatchSetup {
    /// Its number among the sessions of this process.
    pub(in crate::transfer) number: u64,
    pub(in crate::transfer) store: Arc<StoreSession>,
    pub(in crate::transfer) progress: Arc<dyn Progress>,
    pub(in crate::transfer) sums: Option<Arc<Sums>>,
    /// What the user said yes to, if they were asked.
    pub(in crate::transfer) bound: Option<OfferBound>,
    pub(in crate::transfer) place: Box<dyn BatchPlace>,
}

impl fmt::Debug for BatchSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BatchSetup").field(&self.number).finish()
    }
}

/// The place of a batch among the sessions of a receiver, until it is dropped.
pub(in crate::transfer) trait BatchPlace: Send {
    /// The batch has ended so, and its events were told. `sums` fails where the list of sums lacks
    /// something.
    fn ended(&mut self, peer: &Peer, ended: Result<Summary>, sums: Result<()>);
}

/// What a receiver does for uploads.
pub(in crate::transfer) trait UploadMeans {
    /// Whether it ends with its first session, so that the answer to that is to be sent before.
    fn ends_with_first(&self) -> bool;

    /// Lets a batch begin. The user may be asked; `gone` says whether nobody waits for the answer
    /// any more.
    fn begin(
        &self,
        asked: &AskedBatch,
        gone: &dyn Fn() -> bool,
    ) -> std::result::Result<BatchSetup, Decline>;
}

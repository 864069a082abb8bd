//! What is settled when a receiving session begins.
//!
//! Must not do anything with it.

use std::sync::Arc;

use super::super::link::Link;
use crate::model::digest::Algorithm;
use crate::model::progress::{Counters, Progress};
use crate::source::Selection;
use crate::store::StoreSession;

use super::bound::OfferBound;
use super::budgets::SessionBudget;
use super::hasher::EndSilent;
use super::output::Output;
use super::removal::RemovalTerms;
use super::sums::Sums;

/// Where what is received goes.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// Below a folder.
    Folder(Arc<StoreSession>),
    /// To a stream.
    Output(Arc<Output>),
}

/// What is settled when a session begins.
pub(crate) struct SessionSetup {
    pub(crate) number: u64,
    pub(crate) link: Arc<Link>,
    pub(crate) algorithm: Algorithm,
    pub(crate) destination: Destination,
    /// Whether what goes to an output is brought to disk.
    pub(crate) sync: bool,
    pub(crate) sums: Option<Arc<Sums>>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) window: u32,
    /// Ends sessions of the same sender that seem to be dead.
    pub(crate) end_silent: EndSilent,
    /// How many lanes the sender may open.
    pub(crate) lanes: u16,
    /// What it can have in memory, and open.
    pub(crate) budget: Arc<SessionBudget>,
    /// What the user said yes to, if they were asked.
    pub(crate) bound: Option<OfferBound>,
    /// What this side asked for, where it did.
    pub(crate) selection: Option<Selection>,
    /// What a mirror may remove.
    pub(crate) removal: RemovalTerms,
}

//! `Serving`: what a connection is served with.
//!
//! Must not serve it.

use std::sync::Arc;

use crate::model::progress::Progress;
use crate::net::Candidate;

use super::super::cancel::Cancel;
use super::shared::ReceiverShared;

/// What a connection is served with.
#[derive(Clone, Copy)]
pub(super) struct Serving<'a> {
    pub(super) shared: &'a Arc<ReceiverShared>,
    pub(super) candidate: &'a Candidate,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) cancel: &'a Cancel,
}

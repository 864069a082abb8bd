//! `SearchMeans`: what it takes to search for a machine.
//!
//! Must not search.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::progress::Progress;
use crate::model::prompt::Prompt;
use crate::net::{Service, Tls};

use super::super::cancel::Cancel;
use super::super::options::DialTarget;
use super::attempt::Packets;
use super::whom::Whom;

/// What it takes to search.
pub(super) struct SearchMeans<'a> {
    pub(super) tls: &'a Tls,
    pub(super) packets: &'a Packets,
    pub(super) prompt: &'a Arc<dyn Prompt>,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) cancel: &'a Cancel,
    /// What the machine is to offer.
    pub(super) service: Service,
    /// Where it was a moment ago.
    pub(super) last: Option<SocketAddr>,
    /// Whether it is waited for until it is there.
    pub(super) waits: bool,
}

impl SearchMeans<'_> {
    /// Where the machine was last.
    pub(super) fn last_of(&self, target: &DialTarget, whom: &Whom) -> Vec<SocketAddr> {
        match (target, self.service) {
            // That of its receiver, perhaps; its room or share is where it has said.
            (DialTarget::Announced(_), Service::Room | Service::Share) => Vec::new(),
            // At the usual port another receiver with its key may be.
            _ if self.last.is_some() => self.last.into_iter().collect(),
            _ => whom.last_known(),
        }
    }
}

/// Whether the resolver can be asked about it.
pub(super) fn is_host_name(name: &str) -> bool {
    let is_of_one = |c: char| c.is_alphanumeric() || "-._".contains(c);
    !name.is_empty() && name.chars().all(is_of_one)
}

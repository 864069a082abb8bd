//! `FutileSearch`: what a search comes to that has found nobody.
//!
//! Must not search.

use std::io;
use std::net::SocketAddr;

use crate::model::error::{Error, FoundMachine, NotFound, Tried};

use super::super::options::DialTarget;
use super::whom::Whom;

/// From how much of it a name that was typed is like another.
const NEAR: f64 = 0.6;

/// How many addresses are told of at the end.
const MAX_TOLD: usize = 16;

/// All that was done in vain.
pub(super) struct FutileSearch<'a> {
    pub(super) whom: &'a Whom,
    pub(super) tried: Vec<Tried>,
    /// Those who have another key.
    pub(super) passed: Vec<Error>,
    /// What the resolver said, where that was no address.
    pub(super) resolver: Option<io::Error>,
    /// Why there was nobody to listen to.
    pub(super) deaf: Option<Error>,
    pub(super) found: Vec<FoundMachine>,
}

impl FutileSearch<'_> {
    /// What there is to say of it. Of a host whose addresses are known, they are what matters.
    pub(super) fn error(mut self, target: &DialTarget) -> Error {
        let leads_nowhere = self.tried.is_empty() && self.passed.is_empty();
        match target {
            DialTarget::Name(name) if leads_nowhere => self.not_found(name),
            DialTarget::Host { host, .. } if leads_nowhere && target.given_name().is_some() => {
                self.not_found(host)
            }
            DialTarget::Name(name) | DialTarget::Host { host: name, .. } if self.whom.is_one() => {
                self.not_found(name)
            }
            DialTarget::Announced(beacon) => self.not_found(&beacon.name),
            DialTarget::Host { host, .. } | DialTarget::Name(host) => {
                if !self.passed.is_empty() {
                    return self.passed.swap_remove(0);
                }
                let host = host.clone();
                match self.tried.len() {
                    0 => Error::Resolve {
                        host,
                        source: (self.resolver).unwrap_or_else(|| io::ErrorKind::NotFound.into()),
                    },
                    1 => self.tried.swap_remove(0).error,
                    _ => Error::Unreachable {
                        host,
                        tried: self.tried,
                    },
                }
            }
        }
    }

    fn not_found(self, name: &str) -> Error {
        let known = self.whom.known();
        let last = known.and_then(|known| {
            let at = known.address.as_ref()?;
            Some((at.to_string(), known.seen))
        });
        let lower = name.to_lowercase();
        let likeness =
            |other: &str| strsim::normalized_damerau_levenshtein(&other.to_lowercase(), &lower);
        let is_near = |other: &&str| other.to_lowercase() != lower && likeness(other) >= NEAR;
        let found = self.found.iter().map(|machine| machine.name.as_str());
        let mut near = Vec::new();
        for other in self.whom.receivers().chain(found).filter(is_near) {
            if !near.iter().any(|name| name == other) {
                near.push(other.to_owned());
            }
        }
        let mut paired: Vec<_> = self.whom.receivers().map(str::to_owned).collect();
        for names in [&mut near, &mut paired] {
            names.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)).then_with(|| a.cmp(b)));
        }
        if known.is_some() {
            // It is one of them: the name is not what is wrong.
            (near, paired) = (Vec::new(), Vec::new());
        }
        Error::NotFound(Box::new(NotFound {
            name: known.map_or_else(|| name.to_owned(), |known| known.name.clone()),
            last,
            tried: self.tried,
            passed: self.passed,
            resolver: self.resolver,
            deaf: self.deaf.map(Box::new),
            found: self.found,
            near,
            paired,
        }))
    }
}

/// Notes what came of the last attempt at an address.
pub(super) fn note_tried(tried: &mut Vec<Tried>, addr: SocketAddr, error: Error) {
    tried.retain(|tried| tried.addr != addr);
    if tried.len() < MAX_TOLD {
        tried.push(Tried { addr, error });
    }
}

/// Whether nobody is there, who may come to be.
pub(super) fn is_absent(tried: &Tried) -> bool {
    matches!(
        tried.error,
        Error::Connect { .. } | Error::Lost { .. } | Error::Silent { .. } | Error::Mute { .. }
    )
}

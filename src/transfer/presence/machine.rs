//! `Machine`: a machine on the network, and who it is.
//!
//! Must not be made from an announcement alone if that claims to be a known machine.

use std::net::SocketAddr;

use crate::net::{FingerprintStart, Known, Service};

/// Who a machine is, as far as this one can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    /// This one, or another one with its key: it has shown it.
    Own,
    /// A known one: it has shown its key.
    Known(Known),
    /// One that is not known.
    New,
    /// One that is not known, and calls itself what a known one is called.
    Namesake(Known),
    /// It claims to be a known one, or this one, and did not show the key.
    Unproven {
        /// What that one is called here.
        claims: String,
        /// Whether somebody answered, and had another key.
        is_other: bool,
    },
}

/// A machine that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// What it is called here, where it is known and has shown that; else what it calls itself,
    /// made fit to be shown.
    pub name: String,
    /// Who it is.
    pub relation: Relation,
    /// What it offers.
    pub service: Service,
    /// How its fingerprint begins, by its own word where it has not shown its key.
    pub fingerprint: FingerprintStart,
    /// The version of the protocol that it speaks.
    pub version: u16,
    /// Where it listens, the best first; at least one.
    pub addresses: Vec<SocketAddr>,
}

/// What is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// One is there, or is told of anew.
    Here(Machine),
    /// One is not there any more, as it was told of last.
    Gone(Machine),
    /// A known one is not there.
    Missing(Known),
}

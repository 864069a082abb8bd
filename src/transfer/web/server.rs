//! `WebServer`: what all connections of browsers share.
//!
//! Must not know a connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::attempts::WrongAttempts;
use super::guard::Guard;
use super::limits::{
    MAX_CONNECTIONS, MAX_PER_ADDRESS, MAX_WRONG_WAITS, MAX_WRONG_WAITS_PER_NETWORK,
    MIN_CONNECTIONS, PART_OF_DESCRIPTORS,
};
use super::means::UploadMeans;
use super::options::WebOptions;
use super::pin::PinAttempts;
use super::site::WebSite;
use super::uploads::Uploads;
use crate::model::progress::Progress;
use crate::net::{Pool, PoolBounds};
use crate::sys::host;

/// The pages of a listener.
pub(in crate::transfer) struct WebServer {
    pub(super) options: WebOptions,
    pub(super) site: WebSite,
    /// The name of this machine.
    pub(super) machine: Arc<str>,
    pub(super) guard: Guard,
    pub(super) attempts: WrongAttempts,
    pub(super) pins: PinAttempts,
    /// The connections that have shown that they know the secret, by address. Others count among
    /// those that wait to be let in.
    pub(super) places: Pool,
    /// The requests without the secret that wait for their answers, by network.
    pub(super) wrong_waits: Pool,
}

/// Whom a connection is of, and what it may use of the listener.
pub(in crate::transfer) struct WebCaller<'a> {
    pub(in crate::transfer) peer: SocketAddr,
    pub(in crate::transfer) progress: &'a Arc<dyn Progress>,
    /// Called when it has shown that it knows the secret.
    pub(in crate::transfer) let_in: &'a dyn Fn(),
    /// What the receiver does for uploads.
    pub(in crate::transfer) means: &'a dyn UploadMeans,
}

impl fmt::Debug for WebServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebServer").finish_non_exhaustive()
    }
}

impl WebServer {
    /// Whether downloads run.
    pub(in crate::transfer) fn is_at_work(&self) -> bool {
        match &self.site {
            WebSite::Downloads(downloads) => downloads.watch.is_at_work(),
            WebSite::Uploads(_) => false,
        }
    }

    /// Serves `site` under the secret address.
    pub(in crate::transfer) fn new(options: WebOptions, site: WebSite) -> Self {
        let all = MAX_CONNECTIONS.min(host::limit_of_open() / PART_OF_DESCRIPTORS);
        let all = all.max(MIN_CONNECTIONS);
        let is_certified = options.certificate.is_some();
        Self {
            options,
            site,
            machine: host::name().into(),
            guard: Guard::new(&host::name(), is_certified),
            attempts: WrongAttempts::default(),
            pins: PinAttempts::default(),
            places: Pool::new(PoolBounds {
                all,
                strangers: all,
                each: MAX_PER_ADDRESS.min(all.div_ceil(2)),
            }),
            wrong_waits: Pool::new(PoolBounds {
                all: MAX_WRONG_WAITS,
                strangers: MAX_WRONG_WAITS,
                each: MAX_WRONG_WAITS_PER_NETWORK,
            }),
        }
    }

    /// What takes uploads, where something does.
    pub(in crate::transfer) fn uploads(&self) -> Option<&Uploads> {
        match &self.site {
            WebSite::Uploads(uploads) => Some(uploads),
            WebSite::Downloads(_) => None,
        }
    }
}

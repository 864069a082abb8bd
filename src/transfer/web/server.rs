//! `WebServer`: what all connections of browsers share.
//!
//! Must not know a connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::attempts::WrongAttempts;
use super::guard::Guard;
use super::limits::{MAX_CONNECTIONS, MAX_PER_NETWORK, MIN_CONNECTIONS, PART_OF_DESCRIPTORS};
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
    /// The connections of browsers.
    pub(super) places: Pool,
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

    /// How many bytes a download of everything had that has ended well since the last call.
    pub(in crate::transfer) fn take_complete(&self) -> Option<u64> {
        match &self.site {
            WebSite::Downloads(downloads) => downloads.watch.take_complete(),
            WebSite::Uploads(_) => None,
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
                each: MAX_PER_NETWORK.min(all.div_ceil(2)),
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

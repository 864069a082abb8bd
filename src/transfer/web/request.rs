//! `WebRequest`: a request whose address has the secret in it, and its body, read within bounds.
//!
//! Must not answer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use hyper::Method;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ACCEPT_LANGUAGE, HeaderMap, USER_AGENT};
use tokio::time::timeout;

use super::language::Language;
use super::limits::STALL_TIME;
use super::page::PageView;
use super::respond::Nonce;
use super::watch::HandedOver;
use crate::model::progress::Progress;

/// A request that was let in.
#[derive(Debug)]
pub(super) struct WebRequest {
    /// Hears what comes of it.
    pub(super) progress: Arc<dyn Progress>,
    /// From where.
    pub(super) peer: SocketAddr,
    pub(super) method: Method,
    /// What all paths begin with: the secret between slashes.
    pub(super) base: String,
    /// Its path behind the secret, without the slash before it, as it came: percent-encoded.
    pub(super) path: String,
    /// What stands behind the question mark.
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: RequestBody,
    /// The name of this machine.
    pub(super) machine: Arc<str>,
    /// For the page that is the answer.
    pub(super) nonce: Nonce,
    /// Whether nobody on the way can read along.
    pub(super) is_encrypted: bool,
    /// What its connection brings of all that is shared.
    pub(super) handed_over: HandedOver,
}

impl WebRequest {
    /// Whether it only wants to see something.
    pub(super) fn only_reads(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// What the page that is the answer needs to know.
    pub(super) fn view(&self) -> PageView<'_> {
        PageView {
            language: Language::of(Some(self.languages())),
            nonce: self.nonce.as_str(),
            base: &self.base,
            machine: &self.machine,
            encrypted: self.is_encrypted,
        }
    }

    /// The languages that the browser asks for, as it says it.
    pub(super) fn languages(&self) -> &str {
        self.text(ACCEPT_LANGUAGE)
    }

    /// What the browser says it is.
    pub(super) fn agent(&self) -> &str {
        self.text(USER_AGENT)
    }

    fn text(&self, name: hyper::header::HeaderName) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Why a body did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It is longer than it may be.
    TooLong,
    /// Nothing came for a minute.
    Stalled,
    /// The connection is lost, or what came is not as HTTP wants it.
    Broken,
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct RequestBody(Incoming);

impl RequestBody {
    pub(super) fn new(body: Incoming) -> Self {
        Self(body)
    }

    /// How many bytes it has, where its head says that.
    pub(super) fn declared(&self) -> Option<u64> {
        self.0.size_hint().exact()
    }

    /// The next bytes; none at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BodyFault> {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut self.0).poll_frame(cx));
            let frame = timeout(STALL_TIME, frame).await;
            match frame.map_err(|_| BodyFault::Stalled)? {
                None => return Ok(None),
                Some(Err(_)) => return Err(BodyFault::Broken),
                // What follows a body says nothing here.
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// All of it, where that is no more than `most` bytes.
    pub(super) async fn all(mut self, most: usize) -> Result<Vec<u8>, BodyFault> {
        if self.declared().is_some_and(|bytes| bytes > most as u64) {
            return Err(BodyFault::TooLong);
        }
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await? {
            if all.len() + bytes.len() > most {
                return Err(BodyFault::TooLong);
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}

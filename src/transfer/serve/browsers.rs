//! Connections of browsers, where the listener has pages for them.
//!
//! Must not know HTTP.

use std::net::TcpStream;
use std::sync::Arc;

use crate::model::error::Result;
use crate::model::outcome::Summary;
use crate::model::progress::Progress;
use crate::net::{Candidate, plain};

use super::super::web::{self, FirstByte, WebCaller, first_byte};
use super::shared::ReceiverShared;
use super::uploads::ReceiverMeans;

/// Serves a connection that a browser has made, to its end; none where it is of a peer. It counts
/// among those that wait to be let in until it has shown that it knows the secret.
pub(super) fn serve_browser(
    (shared, candidate, progress): (&Arc<ReceiverShared>, &Candidate, &Arc<dyn Progress>),
    stream: &TcpStream,
) -> Option<Result<()>> {
    let pages = shared.web.as_ref()?;
    let first = first_byte(stream);
    if first == FirstByte::Other {
        return None;
    }
    let peer = stream.peer_addr().map(plain);
    let (Ok(peer), FirstByte::Http | FirstByte::Tls) = (peer, first) else {
        return Some(Ok(()));
    };
    let caller = WebCaller {
        peer,
        progress,
        let_in: &|| candidate.let_in(),
        means: &ReceiverMeans { shared, progress },
    };
    let served = web::serve_browser(pages, &caller, stream, first);
    if let Ok(Some(bytes)) = served
        && shared.options.once
    {
        let summary = Summary {
            bytes,
            ..Summary::default()
        };
        shared.sessions().first.get_or_insert(Ok(summary));
    }
    // Whoever waits for downloads to end looks again.
    shared.wake_up.raise();
    Some(served.map(drop))
}

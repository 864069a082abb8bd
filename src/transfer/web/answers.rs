//! What requests that upload share: who asks, and how they are answered.
//!
//! Must not know what is asked for.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use serde::Serialize;

use super::codes;
use super::means::{AskedBatch, BatchPlace, UploadMeans};
use super::request::RequestBody;
use super::respond::{self, WebAnswer};
use super::upload::UploadStatus;
use crate::model::digest::sha256;
use crate::model::entry::Time;
use crate::model::outcome::Outcome;
use crate::model::progress::{Peer, Trust};
use crate::model::relpath::RelPath;
use crate::net::Fingerprint;
use crate::wire::Contents;

/// What separates the hash that a client's partials belong to from every other use.
const OWNER_DOMAIN: &[u8] = b"xfer upload client v1\0";
/// How many bytes a page sends in one request. With a digest, it has them in memory.
const PIECE: u64 = 16 << 20;
/// How much of a body that is not taken is read all the same, so that a browser hears why.
const MAX_DRAINED: u64 = PIECE;

/// What a request has of its receiver and its connection.
#[derive(Clone, Copy)]
pub(in crate::transfer) struct UploadCaller<'a> {
    pub(in crate::transfer) means: &'a dyn UploadMeans,
    /// Whether nobody waits for the answer any more.
    pub(in crate::transfer) gone: &'a dyn Fn() -> bool,
    /// Keeps the place of a batch until the answer is sent.
    pub(in crate::transfer) keep: &'a dyn Fn(Box<dyn BatchPlace>),
}

impl UploadCaller<'_> {
    /// The answer that ends a batch, whose place is free once it may be.
    pub(super) fn last(&self, place: Option<Box<dyn BatchPlace>>, answer: WebAnswer) -> WebAnswer {
        match place {
            Some(place) if self.means.ends_with_first() => {
                (self.keep)(place);
                respond::closing(answer)
            }
            _ => answer,
        }
    }
}

#[derive(Serialize)]
struct StatusAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    piece: Option<u64>,
    offset: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Reads a part of what is not taken, so that a browser reads the answer.
pub(super) async fn drain(body: &mut RequestBody) {
    let mut read = 0;
    while read < MAX_DRAINED {
        match body.next().await {
            Ok(Some(bytes)) => read += bytes.len() as u64,
            _ => return,
        }
    }
}

/// A batch of a client, which says who it is by these bytes.
pub(super) fn asked_batch(
    client: &[u8],
    (addr, name): (SocketAddr, String),
    contents: Contents,
    comes_back: bool,
) -> AskedBatch {
    let owner = Fingerprint(sha256(&[OWNER_DOMAIN, client]).0);
    AskedBatch {
        owner,
        peer: Peer {
            name,
            addr,
            fingerprint: owner.to_string(),
            trust: Trust::Link,
            is_new: false,
        },
        contents,
        comes_back,
    }
}

/// The answer to a request for a batch that did not begin.
pub(super) fn not_begun(code: &'static str) -> WebAnswer {
    respond::error(status_not_begun(code), code)
}

/// The status that says why no batch began.
pub(super) fn status_not_begun(code: &str) -> StatusCode {
    match code {
        "declined" | "no_answer" => StatusCode::FORBIDDEN,
        "busy" | "closing" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub(super) fn bad_request() -> WebAnswer {
    respond::error(StatusCode::BAD_REQUEST, "bad_request")
}

/// Why something was not stored, if it was not.
pub(super) fn code_of(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Failed(why) => Some(codes::of_why(why)),
        Outcome::Kept => Some("exists"),
        _ => None,
    }
}

/// The path that something has which was announced as `path`; none where it was not stored.
pub(super) fn stored_at<'a>(path: &'a RelPath, outcome: &'a Outcome) -> Option<&'a RelPath> {
    match outcome {
        Outcome::Stored(other) | Outcome::Have(other) => Some(other.as_ref().unwrap_or(path)),
        Outcome::Replaced => Some(path),
        Outcome::Failed(_) | Outcome::Kept => None,
    }
}

/// A client that nobody else is, and that never comes back.
pub(super) fn random_client() -> Result<[u8; 16], ()> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ())?;
    Ok(bytes)
}

pub(super) fn answer_status(
    code: StatusCode,
    upload: Option<String>,
    path: &RelPath,
    status: &UploadStatus,
) -> WebAnswer {
    let ended = status.ended.as_ref();
    let at = ended.and_then(|outcome| stored_at(path, outcome));
    let name = at.map(|at| String::from_utf8_lossy(at.file_name()));
    let error = ended.and_then(code_of);
    let answer = StatusAnswer {
        piece: upload.is_some().then_some(PIECE),
        upload,
        offset: status.offset,
        state: match (ended, error) {
            (None, _) => "receiving",
            (Some(_), None) => "stored",
            (Some(_), Some(_)) => "failed",
        },
        name: name.as_deref(),
        error,
        message: error.map(codes::message),
    };
    respond::json(code, &answer)
}

/// A value in what stands behind the question mark.
pub(super) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let mut all = query?.split('&');
    all.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// The time that it is.
pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Time::try_from((seconds, since.subsec_nanos())).unwrap_or(Time::from_seconds(seconds))
}

pub(super) fn from_millis(millis: i64) -> Time {
    let (seconds, rest) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    let nanos = u32::try_from(rest).unwrap_or(0) * 1_000_000;
    Time::try_from((seconds, nanos)).unwrap_or(Time::from_seconds(seconds))
}

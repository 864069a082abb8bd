//! `Uploads`: takes what browsers upload, by requests of the page's script.
//!
//! Must not store anything by itself: a batch does.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{HeaderMap, HeaderName};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::answers::{
    UploadCaller, answer_status, asked_batch, bad_request, code_of, drain, from_millis, not_begun,
    now, parameter,
};
use super::batch::UploadBatch;
use super::batch_files::AnnouncedUpload;
use super::batches::Batches;
use super::browser;
use super::codes;
use super::form;
use super::request::{BodyFault, RequestBody, WebRequest};
use super::respond::{self, WebAnswer};
use super::upload::{PieceCheck, PieceFault, UploadStatus};
use super::whole;
use crate::model::entry::FileSize;
use crate::model::outcome::{Outcome, Why};
use crate::model::relpath::RelPath;
use crate::model::text::Text;
use crate::wire::Contents;

/// How many bytes the JSON of a request can have: the longest path, each byte of it escaped.
const MAX_JSON: usize = 64 << 10;

/// How many files a batch can announce.
const MAX_ANNOUNCED_FILES: u64 = 100_000_000;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// What takes the files that browsers upload.
#[derive(Debug, Default)]
pub(in crate::transfer) struct Uploads {
    batches: Batches,
}

#[derive(Deserialize)]
struct BatchRequest {
    client: String,
    #[serde(default)]
    key: Option<String>,
    files: FileSize,
    bytes: FileSize,
    /// The folder or file that comes first.
    #[serde(default)]
    first: String,
    /// How many files and folders are in no other folder.
    #[serde(default)]
    named: Option<FileSize>,
}

#[derive(Deserialize)]
struct UploadRequest {
    batch: String,
    path: String,
    size: FileSize,
    /// In milliseconds since 1970 UTC.
    #[serde(default)]
    mtime: Option<i64>,
}

impl Uploads {
    /// Ends batches that nobody comes back to, who may be silent for `idle`. Says when to look again.
    pub(in crate::transfer) fn look_after(&self, idle: Duration) -> Option<Duration> {
        self.batches.look_after(idle)
    }

    /// Ends the batch that has been left alone for longest, if that is long enough.
    pub(in crate::transfer) fn end_idle(&self, patience: Duration) -> bool {
        self.batches.end_idle(patience)
    }

    /// Ends all batches. Says whether there was one.
    pub(in crate::transfer) fn stop(&self) -> bool {
        self.batches.stop()
    }

    /// Answers a request below the secret, but for that of the page itself.
    pub(super) async fn answer(&self, request: WebRequest, caller: UploadCaller<'_>) -> WebAnswer {
        let path = request.path.clone();
        let parts: Vec<_> = path.split('/').collect();
        match (&request.method, parts.as_slice()) {
            (&Method::POST, ["form"]) => form::answer(&self.batches, request, caller).await,
            (&Method::POST, ["batches"]) => self.begin(request, caller).await,
            (&Method::POST, ["batches", id, "end"]) => self.end(id, caller),
            (&Method::POST, ["uploads"]) => self.announce(request).await,
            (&Method::GET, ["uploads", id]) => self.look(id, false),
            (&Method::DELETE, ["uploads", id]) => self.cancel(id),
            (&Method::PUT, ["uploads", id]) => self.piece(id, request).await,
            (&Method::PUT, _) => whole::answer(&self.batches, request, caller).await,
            _ => respond::error(StatusCode::NOT_FOUND, "not_found"),
        }
    }

    async fn begin(&self, request: WebRequest, caller: UploadCaller<'_>) -> WebAnswer {
        let peer = (request.peer, browser::name(request.agent()));
        let asked: BatchRequest = match from_json(request.body).await {
            Ok(asked) => asked,
            Err(answer) => return answer,
        };
        let key = match asked.key.as_deref().map(sixteen_bytes) {
            Some(None) => return bad_request(),
            key => key.flatten(),
        };
        let named = asked.named.unwrap_or(asked.files);
        if asked.files.get().max(named.get()) > MAX_ANNOUNCED_FILES {
            return bad_request();
        }
        if asked.client.len() > 256 || asked.client.len() < 16 {
            return bad_request();
        }
        let contents = Contents {
            files: asked.files.get(),
            bytes: asked.bytes.get(),
            named: named.get(),
            first: Text::new(asked.first.split('/').next().unwrap_or_default()),
        };
        let asked = asked_batch(asked.client.as_bytes(), peer, contents, true);
        match self.batches.begin(caller.means, asked, key, caller.gone) {
            Ok(batch) => respond::json(StatusCode::CREATED, &json!({ "batch": batch.id })),
            Err(code) => not_begun(code),
        }
    }

    fn end(&self, id: &str, caller: UploadCaller<'_>) -> WebAnswer {
        let (ended, place) = match self.batches.find(id) {
            Some(batch) => {
                let (ended, place) = batch.end();
                self.batches.ended(&batch, ended);
                (ended, place)
            }
            None => match self.batches.find_ended(id) {
                Some(ended) => (ended, None),
                None => return respond::error(StatusCode::NOT_FOUND, "no_batch"),
            },
        };
        let answer = match ended {
            Some(summary) => {
                let numbers = json!({
                    "stored": summary.files,
                    "failed": summary.failed,
                    "have": summary.have_files,
                    "kept": summary.kept,
                    "renamed": summary.renamed,
                    "bytes": summary.bytes,
                });
                respond::json(StatusCode::OK, &numbers)
            }
            None => respond::error(StatusCode::INTERNAL_SERVER_ERROR, "io"),
        };
        caller.last(place, answer)
    }

    async fn announce(&self, request: WebRequest) -> WebAnswer {
        let asked: UploadRequest = match from_json(request.body).await {
            Ok(asked) => asked,
            Err(answer) => return answer,
        };
        let Some(batch) = self.batches.find(&asked.batch).filter(|b| !b.is_over()) else {
            return respond::error(StatusCode::NOT_FOUND, "no_batch");
        };
        let path = match RelPath::new(asked.path.as_bytes()) {
            Ok(path) => path,
            Err(e) => {
                let why = Why::Name(e);
                let code = codes::of_why(&why);
                batch.refuse(&Text::new(asked.path.as_str()).to_string(), why);
                return respond::error(StatusCode::UNPROCESSABLE_ENTITY, code);
            }
        };
        let size = asked.size.get();
        let mtime = asked.mtime.map_or_else(now, from_millis);
        let mut announced = batch.announce(&path, size, mtime, false);
        if matches!(announced, AnnouncedUpload::InUse) && self.batches.let_go(&batch, &path) {
            announced = batch.announce(&path, size, mtime, false);
        }
        let (number, status) = match announced {
            AnnouncedUpload::Upload(upload) => (upload.number, upload.stop_writer()),
            AnnouncedUpload::Ended(_, status)
                if matches!(status.ended, Some(Outcome::Failed(_))) =>
            {
                let code = status.ended.as_ref().and_then(code_of).unwrap_or("io");
                return respond::error(StatusCode::UNPROCESSABLE_ENTITY, code);
            }
            AnnouncedUpload::Ended(number, status) => (number, status),
            AnnouncedUpload::InUse => return respond::error(StatusCode::CONFLICT, "in_use"),
            AnnouncedUpload::TooMany => {
                return respond::error(StatusCode::TOO_MANY_REQUESTS, "busy");
            }
            AnnouncedUpload::Over => return respond::error(StatusCode::NOT_FOUND, "no_batch"),
        };
        let id = format!("{}.{number}", batch.id);
        answer_status(StatusCode::CREATED, Some(id), &path, &status)
    }

    fn look(&self, id: &str, cancels: bool) -> WebAnswer {
        let Some((batch, number)) = self.batch_of(id) else {
            return respond::error(StatusCode::NOT_FOUND, "no_upload");
        };
        match batch.find(number) {
            None => respond::error(StatusCode::NOT_FOUND, "no_upload"),
            Some(Ok(upload)) => {
                if cancels {
                    upload.fail(Why::Ended, true);
                    return respond::empty(StatusCode::NO_CONTENT);
                }
                answer_status(StatusCode::OK, None, &upload.path, &upload.stop_writer())
            }
            Some(Err(_)) if cancels => respond::empty(StatusCode::NO_CONTENT),
            Some(Err((path, status))) => answer_status(StatusCode::OK, None, &path, &status),
        }
    }

    fn cancel(&self, id: &str) -> WebAnswer {
        self.look(id, true)
    }

    /// The batch of an upload, and its number there.
    fn batch_of(&self, id: &str) -> Option<(Arc<UploadBatch>, u64)> {
        let (batch, number) = id.split_once('.')?;
        Some((self.batches.find(batch)?, number.parse().ok()?))
    }

    async fn piece(&self, id: &str, request: WebRequest) -> WebAnswer {
        let found = self.batch_of(id);
        let found = found.and_then(|(batch, number)| batch.find(number));
        let mut body = request.body;
        let upload = match found {
            None => {
                drain(&mut body).await;
                return respond::error(StatusCode::NOT_FOUND, "no_upload");
            }
            Some(Err((path, status))) => {
                drain(&mut body).await;
                return answer_status(StatusCode::OK, None, &path, &status);
            }
            Some(Ok(upload)) => upload,
        };
        let offset = parameter(request.query.as_deref(), "offset");
        let offset = offset.and_then(|offset| offset.parse::<u64>().ok());
        let check = digest_of(&request.headers);
        let (Some(offset), Ok(check)) = (offset, check) else {
            drain(&mut body).await;
            return bad_request();
        };
        let taken = match upload.piece(Some(offset), check.map(PieceCheck::new)) {
            Ok(piece) if body.declared().is_some_and(|bytes| bytes > piece.room()) => {
                Err(PieceFault::TooLong)
            }
            Ok(piece) => take(piece, &mut body).await,
            Err(fault) => Err(fault),
        };
        if taken.is_err() {
            drain(&mut body).await;
        }
        match taken {
            Ok(status) | Err(PieceFault::Ended(status)) => {
                answer_status(StatusCode::OK, None, &upload.path, &status)
            }
            Err(PieceFault::Offset(offset)) => at_offset(offset),
            Err(PieceFault::Displaced) => at_offset(upload.stop_writer().offset),
            Err(PieceFault::TooLong) => bad_request(),
            Err(PieceFault::Digest) => respond::error(StatusCode::BAD_REQUEST, "digest"),
            Err(PieceFault::Cut) => respond::error(StatusCode::REQUEST_TIMEOUT, "cut"),
        }
    }
}

/// Takes a piece from a body, to its end.
pub(super) async fn take(
    mut piece: super::upload::UploadPiece,
    body: &mut RequestBody,
) -> Result<UploadStatus, PieceFault> {
    loop {
        match body.next().await {
            Ok(Some(bytes)) => piece.push(bytes)?,
            Ok(None) => return piece.finish(),
            // What has come of it counts.
            Err(_) => return Err(PieceFault::Cut),
        }
    }
}

fn at_offset(offset: u64) -> WebAnswer {
    let answer = json!({ "error": "offset", "offset": offset });
    respond::json(StatusCode::CONFLICT, &answer)
}

async fn from_json<T: for<'a> Deserialize<'a>>(body: RequestBody) -> Result<T, WebAnswer> {
    let bytes = body.all(MAX_JSON).await.map_err(|fault| match fault {
        BodyFault::TooLong => {
            respond::closing(respond::error(StatusCode::PAYLOAD_TOO_LARGE, "bad_request"))
        }
        _ => respond::closing(bad_request()),
    })?;
    serde_json::from_slice(&bytes).map_err(|_| bad_request())
}

/// The SHA-256 that a body should have, if it is said. Fails where that cannot be one.
fn digest_of(headers: &HeaderMap) -> Result<Option<[u8; 32]>, ()> {
    let Some(value) = headers.get(CONTENT_DIGEST) else {
        return Ok(None);
    };
    let value = value.to_str().map_err(|_| ())?;
    let mut all = value.split(',').map(str::trim);
    // Others are not looked at.
    let Some(text) = all.find_map(|one| one.strip_prefix("sha-256=:")) else {
        return Ok(None);
    };
    let text = text.strip_suffix(':').ok_or(())?;
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| ())?;
    bytes.try_into().map(Some).map_err(|_| ())
}

fn sixteen_bytes(text: &str) -> Option<[u8; 16]> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_DIGEST, value.parse().unwrap());
            digest_of(&headers)
        };
        let all = format!("sha-512=:AAAA:, sha-256=:{}=:", "A".repeat(43));
        assert_eq!(digest(&all), Ok(Some([0; 32])));
        assert_eq!(digest("sha-256=:AAAA:"), Err(()));
        assert_eq!(digest("sha-256=:AAAA"), Err(()));
        assert_eq!(digest(&all.replace('=', "-")), Ok(None));
        assert_eq!(digest(&format!("sha-256=:{}:", "A".repeat(43))), Err(()));
        assert_eq!(digest("md5=:AAAA:"), Ok(None));
    }
}

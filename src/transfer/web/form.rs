//! A form with files in it, as a page without a script sends it: one request, and one answer.
//!
//! Must not have a file in memory, but for one of a chunk: the size of any other shows at its end.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};

use super::answers::{
    UploadCaller, asked_batch, bad_request, code_of, drain, now, random_client, status_not_begun,
    stored_at,
};
use super::batch::UploadBatch;
use super::batch_files::AnnouncedUpload;
use super::batches::Batches;
use super::browser;
use super::codes;
use super::means::BatchPlace;
use super::multipart::{Multipart, boundary};
use super::page::{self, FormResult, PageError};
use super::request::{BodyFault, RequestBody, WebRequest};
use super::respond::{self, WebAnswer};
use super::upload::PieceFault;

use super::whole::{RequestBatch, WholeUpload};
use crate::model::digest::CHUNK_SIZE;
use crate::model::outcome::{Outcome, Why};
use crate::model::relpath::RelPath;
use crate::model::text::Text;
use crate::store::STREAM;
use crate::wire::Contents;

/// Of how many files an answer says what became of them.
const MAX_RESULTS: usize = 10_000;

/// What became of a file of a form.
struct FormFile {
    name: Vec<u8>,
    size: u64,
    stored: Option<Vec<u8>>,
    error: Option<&'static str>,
}

/// Why a form came to nothing.
enum FormFault {
    /// It did not come whole, or is none.
    Body,
    /// No batch began for it.
    NotBegun(&'static str),
}

/// How that is answered.
struct FormFailure {
    status: StatusCode,
    code: &'static str,
    /// Kept until the answer is out.
    place: Option<Box<dyn BatchPlace>>,
}

/// What a page says of a form that came to nothing.
fn page_error(status: StatusCode) -> PageError {
    match status {
        StatusCode::FORBIDDEN => PageError::Declined,
        StatusCode::SERVICE_UNAVAILABLE => PageError::Crowded,
        StatusCode::BAD_REQUEST => PageError::BadRequest,
        _ => PageError::Internal,
    }
}

impl From<BodyFault> for FormFault {
    fn from(_: BodyFault) -> Self {
        Self::Body
    }
}

/// Stores the files of a form.
pub(super) async fn answer(
    batches: &Batches,
    mut request: WebRequest,
    caller: UploadCaller<'_>,
) -> WebAnswer {
    let text = |name| {
        request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let wants_page = text(ACCEPT).is_some_and(|kinds| kinds.contains("text/html"));
    let Some(boundary) = text(CONTENT_TYPE).and_then(boundary).map(str::to_owned) else {
        return respond::closing(bad_request());
    };
    let Some(bytes) = request.body.declared() else {
        return respond::closing(respond::error(StatusCode::LENGTH_REQUIRED, "bad_request"));
    };
    let who = (request.peer, browser::name(request.agent()));
    let mut form = Form {
        batches,
        caller,
        who: Some(who),
        bytes,
        parts: Multipart::new(&mut request.body, &boundary),
        batch: None,
        files: Vec::new(),
        failed: 0,
    };
    let stored = form.stored().await;
    let (files, failed) = (std::mem::take(&mut form.files), form.failed);
    drop(form);
    let place = match stored {
        Ok(place) => place,
        Err(FormFailure {
            status,
            code,
            place,
        }) => {
            let answer = match wants_page {
                true => {
                    let page = page::error(&request.view(), page_error(status));
                    respond::html(status, page, &request.nonce)
                }
                false => respond::error(status, code),
            };
            let answer = match status {
                StatusCode::BAD_REQUEST => respond::closing(answer),
                _ => answer,
            };
            return caller.last(place, answer);
        }
    };
    let status = match failed {
        0 => StatusCode::OK,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let answer = match wants_page {
        true => {
            let results: Vec<_> = files.iter().map(FormFile::result).collect();
            let page = page::results(&request.view(), &results);
            respond::html(status, page, &request.nonce)
        }
        false => {
            let files: Vec<_> = files.iter().map(FormFile::told).collect();
            respond::json(status, &json!({ "files": files, "failed": failed }))
        }
    };
    caller.last(place, answer)
}

struct Form<'a> {
    batches: &'a Batches,
    caller: UploadCaller<'a>,
    /// Where it is from; none once a batch has begun.
    who: Option<(std::net::SocketAddr, String)>,
    bytes: u64,
    parts: Multipart<&'a mut RequestBody>,
    batch: Option<(RequestBatch<'a>, Arc<UploadBatch>)>,
    files: Vec<FormFile>,
    failed: u64,
}

impl Form<'_> {
    /// Stores all files of it.
    async fn stored(&mut self) -> Result<Option<Box<dyn BatchPlace>>, FormFailure> {
        let failed = |status, code| FormFailure {
            status,
            code,
            place: None,
        };
        match self.store().await {
            Ok(()) => {}
            Err(FormFault::NotBegun(code)) => {
                drain(self.parts.source()).await;
                return Err(failed(status_not_begun(code), code));
            }
            Err(FormFault::Body) => return Err(failed(StatusCode::BAD_REQUEST, "bad_request")),
        }
        let Some((ends, _)) = self.batch.take() else {
            return Ok(None);
        };
        match ends.end() {
            (Some(_), place) => Ok(place),
            (None, place) => Err(FormFailure {
                place,
                ..failed(StatusCode::INTERNAL_SERVER_ERROR, "io")
            }),
        }
    }

    async fn store(&mut self) -> Result<(), FormFault> {
        while let Some(part) = self.parts.next_part().await? {
            let Some(name) = part.file.filter(|name| !name.is_empty()) else {
                continue;
            };
            let batch = self.begin(&name)?;
            let file = self.file(&batch, name).await?;
            self.failed += u64::from(file.error.is_some());
            if self.files.len() < MAX_RESULTS {
                self.files.push(file);
            }
        }
        drain(self.parts.source()).await;
        Ok(())
    }

    /// The batch of the form, which begins with its first file.
    fn begin(&mut self, name: &[u8]) -> Result<Arc<UploadBatch>, FormFault> {
        if let Some((_, batch)) = &self.batch {
            return Ok(batch.clone());
        }
        let top = name.split(|&byte| byte == b'/').next().unwrap_or_default();
        let contents = Contents {
            // Nobody has counted them.
            files: Contents::UNKNOWN,
            bytes: self.bytes,
            named: Contents::UNKNOWN,
            first: Text::new(String::from_utf8_lossy(top)),
        };
        let client = random_client().map_err(|()| FormFault::NotBegun("internal"))?;
        let who = self.who.take().ok_or(FormFault::NotBegun("internal"))?;
        let asked = asked_batch(&client, who, contents, false);
        let begun = self
            .batches
            .begin(self.caller.means, asked, None, self.caller.gone);
        let batch = begun.map_err(FormFault::NotBegun)?;
        let ends = RequestBatch::new(self.batches, batch.clone());
        self.batch = Some((ends, batch.clone()));
        Ok(batch)
    }

    async fn file(
        &mut self,
        batch: &Arc<UploadBatch>,
        name: Vec<u8>,
    ) -> Result<FormFile, BodyFault> {
        let mut file = FormFile {
            name,
            size: 0,
            stored: None,
            error: None,
        };
        let path = match RelPath::new(file.name.clone()) {
            Ok(path) => path,
            Err(e) => {
                let why = Why::Name(e);
                file.error = Some(codes::of_why(&why));
                let shown = Text::new(String::from_utf8_lossy(&file.name));
                batch.refuse(&shown.to_string(), why);
                return Ok(file);
            }
        };
        // Most files end within a chunk, and then their size is known before they are planned.
        let (mut first, mut size, mut ended) = (Vec::<Bytes>::new(), 0, false);
        while size <= u64::from(CHUNK_SIZE) {
            let Some(bytes) = self.parts.next_bytes().await? else {
                ended = true;
                break;
            };
            size += bytes.len() as u64;
            first.push(bytes);
        }
        let known = if ended { size } else { STREAM };
        let upload = match batch.announce(&path, known, now(), true) {
            AnnouncedUpload::Upload(upload) => WholeUpload(upload),
            AnnouncedUpload::Ended(_, status) => {
                file.ended(&path, size, status.ended.as_ref());
                return Ok(file);
            }
            AnnouncedUpload::InUse => {
                file.error = Some("in_use");
                return Ok(file);
            }
            AnnouncedUpload::TooMany => {
                file.error = Some("busy");
                return Ok(file);
            }
            AnnouncedUpload::Over => {
                file.error = Some("closing");
                return Ok(file);
            }
        };
        let Ok(mut piece) = upload.0.piece(None, None) else {
            file.error = Some("io");
            return Ok(file);
        };
        let mut pushed = first.into_iter().try_for_each(|bytes| piece.push(bytes));
        while let (Ok(()), false) = (&pushed, ended) {
            match self.parts.next_bytes().await? {
                Some(bytes) => {
                    size += bytes.len() as u64;
                    pushed = piece.push(bytes);
                }
                None => ended = true,
            }
        }
        let status = match pushed {
            Ok(()) if known == STREAM => piece.finish_stream(),
            Ok(()) => piece.finish(),
            Err(fault) => Err(fault),
        };
        match status {
            Ok(status) | Err(PieceFault::Ended(status)) => {
                file.ended(&path, size, status.ended.as_ref());
            }
            Err(_) => file.error = Some("io"),
        }
        Ok(file)
    }
}

impl FormFile {
    fn result(&self) -> FormResult<'_> {
        FormResult {
            name: &self.name,
            size: self.size,
            stored: self.stored.as_deref(),
            error: self.error,
        }
    }

    fn told(&self) -> Value {
        json!({
            "name": String::from_utf8_lossy(&self.name),
            "size": self.size,
            "stored": self.stored.as_deref().map(String::from_utf8_lossy),
            "error": self.error,
            "message": self.error.map(codes::message),
        })
    }

    fn ended(&mut self, path: &RelPath, size: u64, outcome: Option<&Outcome>) {
        self.size = size;
        self.error = outcome.map_or(Some("io"), code_of);
        let at = outcome.and_then(|outcome| stored_at(path, outcome));
        self.stored = at.map(|at| at.as_bytes().to_vec());
    }
}

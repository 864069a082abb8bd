//! A whole file in one request, for programs such as curl: `PUT` with a name.
//!
//! Must not keep anything of a file that did not come whole: nobody goes on with it.

use std::sync::Arc;

use hyper::StatusCode;

use super::answers::{
    UploadCaller, answer_status, asked_batch, bad_request, code_of, drain, from_millis, not_begun,
    now, parameter, random_client,
};
use super::batch::{EndedBatch, UploadBatch};
use super::batch_files::AnnouncedUpload;
use super::batches::Batches;
use super::browser;
use super::codes;
use super::means::BatchPlace;
use super::paths::decoded;
use super::request::{RequestBody, WebRequest};
use super::respond::{self, WebAnswer};
use super::upload::{PieceFault, Upload, UploadStatus};
use crate::model::outcome::Why;
use crate::model::relpath::RelPath;
use crate::model::text::Text;
use crate::store::STREAM;
use crate::wire::Contents;

/// A batch of one request: it ends with that.
pub(super) struct RequestBatch<'a> {
    batches: &'a Batches,
    batch: Option<Arc<UploadBatch>>,
}

impl<'a> RequestBatch<'a> {
    pub(super) fn new(batches: &'a Batches, batch: Arc<UploadBatch>) -> Self {
        let batch = Some(batch);
        Self { batches, batch }
    }

    /// Ends it in order.
    pub(super) fn end(mut self) -> (EndedBatch, Option<Box<dyn BatchPlace>>) {
        let Some(batch) = self.batch.take() else {
            return (None, None);
        };
        let ended = batch.end();
        self.batches.ended(&batch, ended.0);
        ended
    }
}

impl Drop for RequestBatch<'_> {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.batches.lost(&batch);
        }
    }
}

/// A file of one request, of which nothing stays unless all of it comes.
pub(super) struct WholeUpload(pub(super) Arc<Upload>);

impl Drop for WholeUpload {
    fn drop(&mut self) {
        self.0.fail(Why::Ended, true);
    }
}

/// Stores the file that the path of a request names.
pub(super) async fn answer(
    batches: &Batches,
    request: WebRequest,
    caller: UploadCaller<'_>,
) -> WebAnswer {
    let agent = browser::name(request.agent());
    let mut body = request.body;
    let name = request.path.strip_prefix("files/").unwrap_or(&request.path);
    let Some(name) = decoded(name) else {
        drain(&mut body).await;
        return bad_request();
    };
    let path = match RelPath::new(name) {
        Ok(path) => path,
        Err(e) => {
            drain(&mut body).await;
            let code = codes::of_why(&Why::Name(e));
            return respond::error(StatusCode::UNPROCESSABLE_ENTITY, code);
        }
    };
    let mtime = parameter(request.query.as_deref(), "mtime");
    let mtime = mtime.and_then(|mtime| mtime.parse().ok());
    let size = body.declared();
    let top = path.components().next().unwrap_or_default();
    let contents = Contents {
        files: 1,
        bytes: size.unwrap_or(Contents::UNKNOWN),
        named: 1,
        first: Text::new(String::from_utf8_lossy(top)),
    };
    let Ok(client) = random_client() else {
        return respond::error(StatusCode::INTERNAL_SERVER_ERROR, "internal");
    };
    let asked = asked_batch(&client, (request.peer, agent), contents, false);
    let batch = match batches.begin(caller.means, asked, None, caller.gone) {
        Ok(batch) => batch,
        Err(code) => {
            drain(&mut body).await;
            return not_begun(code);
        }
    };
    let ends = RequestBatch::new(batches, batch.clone());
    let mtime = mtime.map_or_else(now, from_millis);
    let announced = batch.announce(&path, size.unwrap_or(STREAM), mtime, true);
    let status = match announced {
        AnnouncedUpload::Upload(upload) => {
            let whole = WholeUpload(upload);
            match store(&whole, size.is_none(), &mut body).await {
                Ok(status) => status,
                // It is lost, and the file with it.
                Err(()) => return respond::closing(bad_request()),
            }
        }
        AnnouncedUpload::Ended(_, status) => status,
        AnnouncedUpload::InUse | AnnouncedUpload::TooMany | AnnouncedUpload::Over => {
            drain(&mut body).await;
            return not_begun("busy");
        }
    };
    // What was not wanted is read, so that its sender hears why.
    drain(&mut body).await;
    let (ended, place) = ends.end();
    if ended.is_none() {
        let failed = respond::error(StatusCode::INTERNAL_SERVER_ERROR, "io");
        return caller.last(place, failed);
    }
    let code = match status.ended.as_ref().map(code_of) {
        Some(None) => StatusCode::CREATED,
        Some(Some("quota" | "no_space")) => StatusCode::INSUFFICIENT_STORAGE,
        Some(Some("exists" | "clash" | "in_use")) => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    caller.last(place, answer_status(code, None, &path, &status))
}

async fn store(
    whole: &WholeUpload,
    is_stream: bool,
    body: &mut RequestBody,
) -> Result<UploadStatus, ()> {
    let mut piece = match whole.0.piece(None, None) {
        Ok(piece) => piece,
        Err(PieceFault::Ended(status)) => return Ok(status),
        Err(_) => return Err(()),
    };
    let taken = loop {
        match body.next().await {
            Ok(Some(bytes)) => {
                if let Err(fault) = piece.push(bytes) {
                    break Err(fault);
                }
            }
            Ok(None) if is_stream => break piece.finish_stream(),
            Ok(None) => break piece.finish(),
            Err(_) => return Err(()),
        }
    };
    match taken {
        Ok(status) | Err(PieceFault::Ended(status)) => Ok(status),
        Err(_) => Err(()),
    }
}

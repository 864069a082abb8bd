//! `Uploads`: takes what browsers upload.
//!
//! Must not store anything by itself: the store does.

use std::sync::Arc;

use hyper::StatusCode;

use super::request::WebRequest;
use super::respond::{self, WebAnswer};
use crate::model::progress::Progress;

/// What takes the files that browsers upload.
#[derive(Debug)]
pub(in crate::transfer) struct Uploads {}

impl Uploads {
    /// Answers a request below the secret, but for that of the page itself.
    pub(super) async fn answer(
        &self,
        _request: WebRequest,
        _progress: &Arc<dyn Progress>,
    ) -> WebAnswer {
        respond::error(StatusCode::NOT_FOUND, "not_found")
    }
}

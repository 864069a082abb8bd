//! `WebSite`: what there is behind the secret, by path.
//!
//! Must not know who may see it.

use hyper::StatusCode;

use super::answers::UploadCaller;
use super::downloads::Downloads;
use super::page;
use super::request::WebRequest;
use super::respond::{self, WebAnswer};
use super::uploads::Uploads;

/// What there is behind the secret.
#[derive(Debug)]
pub(in crate::transfer) enum WebSite {
    /// A page that takes files.
    Uploads(Uploads),
    /// Pages of what is shared.
    Downloads(Downloads),
}

impl WebSite {
    /// The methods of all that it has, as the header `Allow` lists them.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Uploads(_) => "GET, HEAD, POST, PUT, DELETE",
            Self::Downloads(_) => "GET, HEAD",
        }
    }

    /// Answers a request of somebody who knows the secret.
    pub(super) async fn answer(&self, request: WebRequest, caller: UploadCaller<'_>) -> WebAnswer {
        match self {
            Self::Uploads(_) if request.path.is_empty() && request.only_reads() => respond::html(
                StatusCode::OK,
                page::upload(&request.view()),
                &request.nonce,
            ),
            Self::Downloads(downloads) => downloads.answer(&request),
            Self::Uploads(uploads) => uploads.answer(request, caller).await,
        }
    }
}

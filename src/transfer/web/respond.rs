//! Answers: their bodies, and the headers that every one of them has.
//!
//! Must not decide what is answered.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::{codes, page};
use crate::model::error::{CryptoFault, Error, Result};

/// What is sent back.
pub(super) type WebAnswer = Response<WebBody>;

/// For what shows nothing and runs nothing.
const NOTHING_POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; \
                              frame-ancestors 'none'; sandbox";

/// What is told without the secret.
const NOTHING_HERE: &str = "Nothing here. Is the address complete?\n";

/// The body of an answer.
pub(super) enum WebBody {
    /// All of it; none once it is sent.
    Whole(Option<Bytes>),
    /// What comes bit by bit.
    Parts(Pin<Box<dyn Body<Data = Bytes, Error = io::Error>>>),
}

impl WebBody {
    pub(super) fn empty() -> Self {
        Self::Whole(None)
    }

    pub(super) fn parts(body: impl Body<Data = Bytes, Error = io::Error> + 'static) -> Self {
        Self::Parts(Box::pin(body))
    }
}

impl Body for WebBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(Frame::data).map(Ok)),
            Self::Parts(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Parts(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Parts(body) => body.size_hint(),
        }
    }
}

/// The number that lets a page's own script and style be used, and nothing else.
#[derive(Debug, Clone)]
pub(super) struct Nonce(String);

impl Nonce {
    /// One that nobody can know before.
    pub(super) fn new() -> Result<Self> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Crypto {
            fault: CryptoFault::Random,
        })?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bytes))))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> WebAnswer {
    with(status, WebBody::empty(), None)
}

/// An answer for whoever may be anybody: it is the same whatever is asked for.
pub(super) fn nothing_here(status: StatusCode) -> WebAnswer {
    let words = NOTHING_HERE.as_bytes().to_vec();
    with(status, whole(words), Some("text/plain; charset=utf-8"))
}

/// What is asked for is elsewhere on this machine.
pub(super) fn moved(path: &str) -> WebAnswer {
    let mut answer = empty(StatusCode::PERMANENT_REDIRECT);
    if let Ok(path) = HeaderValue::try_from(path) {
        answer.headers_mut().insert(LOCATION, path);
    }
    answer
}

/// A page whose one script and one style have the nonce.
pub(super) fn html(status: StatusCode, page: String, nonce: &Nonce) -> WebAnswer {
    page_of(status, whole(page.into_bytes()), nonce)
}

/// The same, of a page in any form.
pub(super) fn page_of(status: StatusCode, page: WebBody, nonce: &Nonce) -> WebAnswer {
    let mut answer = with(status, page, Some("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::try_from(page::policy(nonce.as_str())) {
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

/// Something that a page's script reads.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> WebAnswer {
    match serde_json::to_vec(value) {
        Ok(bytes) => with(status, whole(bytes), Some("application/json")),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// What went wrong, by a word that the page translates, and in English for whoever has no page.
pub(super) fn error(status: StatusCode, code: &str) -> WebAnswer {
    let message = codes::message(code);
    json(
        status,
        &serde_json::json!({ "error": code, "message": message }),
    )
}

/// The same, and nothing more is read from this connection.
pub(super) fn closing(mut answer: WebAnswer) -> WebAnswer {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(CONNECTION, close);
    answer
}

fn whole(bytes: Vec<u8>) -> WebBody {
    WebBody::Whole(Some(bytes.into()))
}

fn with(status: StatusCode, body: WebBody, kind: Option<&'static str>) -> WebAnswer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    if let Some(kind) = kind {
        let kind = HeaderValue::from_static(kind);
        answer.headers_mut().insert(CONTENT_TYPE, kind);
    }
    answer
}

/// Adds what every answer says: nothing guesses what it is, keeps it, embeds it, or passes on where
/// it came from.
pub(super) fn finished(
    mut answer: WebAnswer,
    is_encrypted: bool,
) -> std::result::Result<WebAnswer, Infallible> {
    const ALL: [(HeaderName, &str); 4] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address has the secret in it. Without it, a plain form would not say where it is from.
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    let headers: &mut HeaderMap = answer.headers_mut();
    for (name, value) in ALL {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Browsers complain of it where nothing is encrypted.
    if is_encrypted {
        let name = HeaderName::from_static("cross-origin-opener-policy");
        headers.insert(name, HeaderValue::from_static("same-origin"));
    }
    let policy = HeaderValue::from_static(NOTHING_POLICY);
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(policy);
    Ok(answer)
}

//! One connection of a browser, from its first byte: HTTP, in the thread that the connection has.
//!
//! Must not know what is behind the secret, nor hold up another connection.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::answers::UploadCaller;
use super::limits::{BUFFER_BYTES, HEAD_TIME, MAX_HEAD_BYTES, MAX_HEADERS};
use super::page::{self, PageError};
use super::patient::Patient;
use super::pin::PinAnswer;
use super::request::{RequestBody, WebRequest};
use super::respond::{self, Nonce, WebAnswer};
use super::server::{WebCaller, WebServer};
use crate::model::error::{Error, Result};
use crate::model::progress::Event;
use crate::model::web::WebEvent;
use crate::net::{Network, PoolHolder};

/// The first byte of a TLS record that is part of a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum FirstByte {
    /// A request: every method begins with a letter.
    Http,
    /// A handshake of TLS.
    Tls,
    /// Something else, which is not for this.
    Other,
    /// Nothing, before the time was over or it was closed: browsers connect before they know what
    /// for.
    Nothing,
}

/// Looks at the first byte of a connection, and leaves it there.
pub(in crate::transfer) fn first_byte(stream: &TcpStream) -> FirstByte {
    let end = Instant::now() + HEAD_TIME;
    let mut byte = [0];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return FirstByte::Nothing;
        }
        let peeked = stream.peek(&mut byte);
        match peeked {
            Ok(0) => return FirstByte::Nothing,
            Ok(_) if byte[0].is_ascii_alphabetic() => return FirstByte::Http,
            Ok(_) if byte[0] == TLS_HANDSHAKE => return FirstByte::Tls,
            Ok(_) => return FirstByte::Other,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return FirstByte::Nothing,
        }
    }
}

/// A connection that counts, until it is dropped.
struct TakenPlace<'a>(&'a WebServer, PoolHolder);

impl Drop for TakenPlace<'_> {
    fn drop(&mut self) {
        self.0.places.give_back(self.1, 1);
    }
}

/// Serves a connection that begins as HTTP or TLS does, to its end.
pub(in crate::transfer) fn serve(
    server: &WebServer,
    caller: &WebCaller<'_>,
    stream: &TcpStream,
    first: FirstByte,
) -> Result<()> {
    let peer = caller.peer;
    let certificate = server.options.certificate.as_ref();
    if certificate.is_some() != (first == FirstByte::Tls) {
        // Whoever has a certificate does not want the secret to be sent in the clear.
        refuse(stream, NOT_ENCRYPTED);
        return Ok(());
    }
    let holder = PoolHolder::Stranger(Network::from(peer));
    if !server.places.take(holder, 1) {
        debug!(%peer, "as many connections of browsers as may be");
        refuse(stream, FULL);
        return Ok(());
    }
    let _place = TakenPlace(server, holder);
    let lost = |source| Error::Lost { peer, source };
    let runtime = runtime().map_err(|source| Error::Thread { source })?;
    let (ours, theirs) = (stream.try_clone().map_err(lost)?, stream);
    let _ = ours.set_nodelay(true);
    ours.set_nonblocking(true).map_err(lost)?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(ours).map_err(lost)?;
        let gone = || has_gone(theirs);
        match certificate {
            None => http(server, caller, &gone, stream).await,
            Some(certificate) => {
                let acceptor = TlsAcceptor::from(certificate.0.clone());
                // One that fails is that of somebody who does not trust the certificate.
                if let Ok(Ok(stream)) = timeout(HEAD_TIME, acceptor.accept(stream)).await {
                    http(server, caller, &gone, stream).await;
                }
            }
        }
        Ok(())
    })
}

/// Whether a browser has closed its connection, as far as that shows behind what is not read yet.
fn has_gone(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(e) => e.kind() != io::ErrorKind::WouldBlock,
    }
}

/// One that this thread alone runs.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
}

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n";
const NOT_ENCRYPTED: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\
                               Connection: close\r\n\r\n";

/// Says why it is not served, without reading anything.
fn refuse(mut stream: &TcpStream, answer: &[u8]) {
    // Whoever does not read it hears nothing.
    let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
    let _ = stream.write_all(answer);
}

async fn http(
    server: &WebServer,
    caller: &WebCaller<'_>,
    gone: &dyn Fn() -> bool,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) {
    // A receiver that ends with its first session does so once the answer is sent.
    let kept = RefCell::new(Vec::new());
    let uploads = UploadCaller {
        means: caller.means,
        gone,
        keep: &|place| kept.borrow_mut().push(place),
    };
    let answer =
        |request| async { respond::finished(answer(server, caller, uploads, request).await) };
    let answer = service_fn(answer);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream)), answer)
        .await;
    if let Err(error) = served {
        debug!(peer = %caller.peer, "connection of a browser: {error}");
    }
}

async fn answer(
    server: &WebServer,
    caller: &WebCaller<'_>,
    uploads: UploadCaller<'_>,
    request: Request<Incoming>,
) -> WebAnswer {
    if let Some(status) = server.guard.refusal(&request) {
        debug!(peer = %caller.peer, %status, "a request that is not looked at");
        return respond::closing(respond::empty(status));
    }
    let (token, rest) = split(request.uri().path());
    if !server.options.token.is(token.as_bytes()) {
        return wrong(server, caller, request.uri().path()).await;
    }
    (caller.let_in)();
    let Some(rest) = rest else {
        // With the slash, what a page links to is below the secret.
        return respond::moved(&format!("/{token}/"));
    };
    let Ok(nonce) = Nonce::new() else {
        return respond::empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let (base, path) = (format!("/{token}/"), rest.to_owned());
    let (head, body) = request.into_parts();
    let request = WebRequest {
        progress: caller.progress.clone(),
        peer: caller.peer,
        method: head.method,
        base,
        path,
        query: head.uri.query().map(str::to_owned),
        headers: head.headers,
        body: RequestBody::new(body),
        machine: server.machine.clone(),
        nonce,
        is_encrypted: server.options.certificate.is_some(),
    };
    if let Some(answer) = without_pin(server, caller, &request).await {
        return answer;
    }
    server.site.answer(request, uploads).await
}

/// What is answered to whoever has not given the PIN, where there is one.
async fn without_pin(
    server: &WebServer,
    caller: &WebCaller<'_>,
    request: &WebRequest,
) -> Option<WebAnswer> {
    let pin = server.options.pin.as_ref()?;
    let given = request.headers.get(AUTHORIZATION);
    let given = given.map(|value| value.to_str().unwrap_or_default());
    let (status, error) = match server.pins.answer(pin, given) {
        PinAnswer::Right => return None,
        PinAnswer::Missing => (StatusCode::UNAUTHORIZED, PageError::Pin),
        PinAnswer::Wrong(pause) => {
            sleep(pause).await;
            (StatusCode::UNAUTHORIZED, PageError::Pin)
        }
        answer @ (PinAnswer::LastWrong | PinAnswer::Locked) => {
            if answer == PinAnswer::LastWrong {
                let event = WebEvent::PinLocked { peer: caller.peer };
                caller.progress.event(&Event::Web(event));
            }
            (StatusCode::FORBIDDEN, PageError::PinLocked)
        }
    };
    let page = page::error(&request.view(), error);
    let mut answer = respond::html(status, page, &request.nonce);
    if status == StatusCode::UNAUTHORIZED {
        let asks = HeaderValue::from_static("Basic realm=\"xfer\", charset=\"UTF-8\"");
        answer.headers_mut().insert(WWW_AUTHENTICATE, asks);
    }
    Some(respond::closing(answer))
}

/// What the path of a request begins with, and what comes behind the slash after that.
fn split(path: &str) -> (&str, Option<&str>) {
    let path = path.strip_prefix('/').unwrap_or(path);
    match path.split_once('/') {
        Some((token, rest)) => (token, Some(rest)),
        None => (path, None),
    }
}

/// Tells nothing to whoever does not know the secret, and not at once.
async fn wrong(server: &WebServer, caller: &WebCaller<'_>, path: &str) -> WebAnswer {
    let wrong = server.attempts.add(caller.peer);
    if wrong.tells {
        let event = WebEvent::ManyWrong { peer: caller.peer };
        caller.progress.event(&Event::Web(event));
    }
    debug!(peer = %caller.peer, bytes = path.len(), "a request without the secret");
    sleep(wrong.pause).await;
    respond::empty(StatusCode::NOT_FOUND)
}

//! One connection of a browser, from its first byte: HTTP, in the thread that the connection has.
//!
//! Must not know what is behind the secret, nor hold up another connection.

use std::cell::RefCell;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
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
use super::limits::{
    BUFFER_BYTES, HEAD_TIME, LINGER_TIME, MAX_HEAD_BYTES, MAX_HEADERS, STALL_TIME,
};
use super::means::BatchPlace;
use super::page::{self, PageError};
use super::patient::Patient;
use super::pin::PinAnswer;
use super::request::{RequestBody, WebRequest};
use super::respond::{self, Nonce, WebAnswer};
use super::server::{WebCaller, WebServer};
use super::watch::HandedOver;
use crate::model::error::{Error, Result};
use crate::model::progress::Event;
use crate::model::web::WebEvent;
use crate::net::{Network, Pool, PoolHolder};
use crate::sys::socket;

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

/// What counts in a pool, until it is dropped.
struct TakenPlace<'a>(&'a Pool, PoolHolder);

impl<'a> TakenPlace<'a> {
    fn take(pool: &'a Pool, holder: PoolHolder) -> Option<Self> {
        pool.take(holder, 1).then(|| Self(pool, holder))
    }
}

impl Drop for TakenPlace<'_> {
    fn drop(&mut self) {
        self.0.give_back(self.1, 1);
    }
}

/// What the requests of a connection have in common.
struct Shared<'a> {
    server: &'a WebServer,
    caller: &'a WebCaller<'a>,
    gone: &'a dyn Fn() -> bool,
    /// Its place, once it has shown that it knows the secret.
    place: RefCell<Option<TakenPlace<'a>>>,
    /// The places of batches: a receiver that ends with its first session does so once the answer is
    /// sent.
    kept: RefCell<Vec<Box<dyn BatchPlace>>>,
    handed_over: HandedOver,
}

impl Shared<'_> {
    /// Whether it has a place, if need be from now on.
    fn has_place(&self) -> bool {
        let mut place = self.place.borrow_mut();
        if place.is_none() {
            let holder = PoolHolder::Stranger(Network::alone(self.caller.peer));
            *place = TakenPlace::take(&self.server.places, holder);
        }
        place.is_some()
    }
}

/// Serves a connection that begins as HTTP or TLS does, to its end. Where the listener ends with its
/// first session, it gives how many bytes of all that is shared have come through.
pub(in crate::transfer) fn serve(
    server: &WebServer,
    caller: &WebCaller<'_>,
    stream: &TcpStream,
    first: FirstByte,
) -> Result<Option<u64>> {
    let peer = caller.peer;
    let certificate = server.options.certificate.as_ref();
    if certificate.is_some() != (first == FirstByte::Tls) {
        // Whoever has a certificate does not want the secret to be sent in the clear.
        refuse(stream, NOT_ENCRYPTED);
        return Ok(None);
    }
    let lost = |source| Error::Lost { peer, source };
    let runtime = runtime().map_err(|source| Error::Thread { source })?;
    let (ours, theirs) = (stream.try_clone().map_err(lost)?, stream);
    let _ = ours.set_nodelay(true);
    ours.set_nonblocking(true).map_err(lost)?;
    let gone = || socket::has_gone(theirs);
    let shared = Shared {
        server,
        caller,
        gone: &gone,
        place: RefCell::default(),
        kept: RefCell::default(),
        handed_over: HandedOver::default(),
    };
    let has_ended_well = runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(ours).map_err(lost)?;
        Ok::<_, Error>(match certificate {
            None => http(&shared, stream).await,
            Some(certificate) => {
                let acceptor = TlsAcceptor::from(certificate.config.clone());
                match timeout(HEAD_TIME, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => http(&shared, stream).await,
                    // It is that of somebody who does not trust the certificate.
                    _ => false,
                }
            }
        })
    })?;
    // What kept it open is dropped with it.
    drop(runtime);
    shared.kept.take();
    if !has_ended_well {
        return Ok(None);
    }
    let all = shared.handed_over.take();
    Ok(match all.filter(|_| caller.means.ends_with_first()) {
        // What is left in the system's buffers comes through, or the browser resets it.
        Some(bytes) => linger(stream, STALL_TIME).then_some(bytes),
        None => {
            linger(stream, LINGER_TIME);
            None
        }
    })
}

/// Reads what a browser still sends, for some time, after the connection was ended here: closed with
/// bytes unread it would be reset, and the answer be lost. Gives whether the browser has closed it
/// too.
fn linger(mut stream: &TcpStream, time: Duration) -> bool {
    let end = Instant::now() + time;
    let mut bytes = [0; 8192];
    if stream.set_nonblocking(false).is_err() || stream.shutdown(Shutdown::Write).is_err() {
        return false;
    }
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

/// One that this thread alone runs.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
}

const NOT_ENCRYPTED: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\
                               Connection: close\r\n\r\n";

/// Says why it is not served, without reading anything.
fn refuse(mut stream: &TcpStream, answer: &[u8]) {
    // Whoever does not read it hears nothing.
    let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
    let _ = stream.write_all(answer);
    linger(stream, LINGER_TIME);
}

/// Gives whether it has ended as HTTP says.
async fn http(shared: &Shared<'_>, stream: impl AsyncRead + AsyncWrite + Unpin) -> bool {
    let answer = service_fn(|request| async {
        let mut answer = answer(shared, request).await;
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            let methods = HeaderValue::from_static(shared.server.site.methods());
            answer.headers_mut().insert(ALLOW, methods);
        }
        respond::finished(answer, shared.server.options.certificate.is_some())
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream)), answer)
        .await;
    if let Err(error) = &served {
        debug!(peer = %shared.caller.peer, "connection of a browser: {error}");
    }
    served.is_ok()
}

async fn answer(shared: &Shared<'_>, request: Request<Incoming>) -> WebAnswer {
    let (server, caller) = (shared.server, shared.caller);
    let refused = |status| {
        debug!(peer = %caller.peer, %status, "a request that is not looked at");
        respond::closing(match status {
            StatusCode::MISDIRECTED_REQUEST => respond::nothing_here(status),
            status => respond::empty(status),
        })
    };
    let refusal = server.guard.refusal(&request);
    let (token, rest) = split(request.uri().path());
    if let Some(refusal) = refusal.filter(|refusal| refusal.is_of_form) {
        return refused(refusal.status);
    }
    if !server.options.token.is(token.as_bytes()) {
        return wrong(server, caller, request.uri().path()).await;
    }
    // Which names this machine has is told to nobody else.
    if let Some(refusal) = refusal {
        return refused(refusal.status);
    }
    if !shared.has_place() {
        debug!(peer = %caller.peer, "as many connections of browsers as may be");
        let mut answer = respond::empty(StatusCode::SERVICE_UNAVAILABLE);
        let later = HeaderValue::from_static("5");
        answer.headers_mut().insert(RETRY_AFTER, later);
        return respond::closing(answer);
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
        handed_over: shared.handed_over.clone(),
    };
    if let Some(answer) = without_pin(server, caller, &request).await {
        return answer;
    }
    let keep = |place| shared.kept.borrow_mut().push(place);
    let uploads = UploadCaller {
        means: caller.means,
        gone: shared.gone,
        keep: &keep,
    };
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
    let address = caller.peer.ip().to_canonical();
    let (status, error) = match server.pins.answer(pin, address, given) {
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
        // Browsers give the PIN that they know of a realm by themselves: each run has its own.
        let realm = server.options.token.realm();
        let asks = format!("Basic realm=\"xfer {realm}\", charset=\"UTF-8\"");
        if let Ok(asks) = HeaderValue::try_from(asks) {
            answer.headers_mut().insert(WWW_AUTHENTICATE, asks);
        }
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
    if is_icon(path) {
        return respond::empty(StatusCode::NOT_FOUND);
    }
    let wrong = server.attempts.add(caller.peer);
    if wrong.tells {
        let event = WebEvent::ManyWrong { peer: caller.peer };
        caller.progress.event(&Event::Web(event));
    }
    debug!(peer = %caller.peer, bytes = path.len(), "a request without the secret");
    let holder = PoolHolder::Stranger(Network::from(caller.peer));
    // Those that wait are few, whoever sends however many.
    if let Some(_waits) = TakenPlace::take(&server.wrong_waits, holder) {
        sleep(wrong.pause).await;
    }
    respond::closing(respond::nothing_here(StatusCode::NOT_FOUND))
}

/// Whether a browser asks for this by itself, beside each page: that is no guess.
fn is_icon(path: &str) -> bool {
    path == "/favicon.ico" || path.starts_with("/apple-touch-icon")
}

//! What browsers do: sentences for people, and lines of JSON as described in
//! `assets/events.schema.json`.
//!
//! Must not print, and must not make names fit for a terminal: the screen does, for all lines.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use xfer::model::web::{DownloadEnd, WebEvent};
use xfer::net::PeerAddress;

use super::events::{self, Failure, odd_bytes, seconds, text};
use super::line::Line::{self, Talk, Trouble};
use super::options::OutputOptions;
use super::safe::safe;
use super::{sentences, words};

/// An event.
#[derive(Debug, Serialize)]
#[serde(tag = "event")]
enum WebJson<'a> {
    #[cfg(feature = "web")]
    #[serde(rename = "page")]
    Page { url: &'a str },
    #[serde(rename = "page_attempts")]
    Attempts { address: SocketAddr },
    #[serde(rename = "page_locked")]
    Locked { address: SocketAddr },
    #[serde(rename = "download_start")]
    DownloadStart {
        download: u64,
        address: SocketAddr,
        path: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path_bytes: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    #[serde(rename = "download_end")]
    DownloadEnd {
        download: u64,
        address: SocketAddr,
        path: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path_bytes: Option<String>,
        bytes: u64,
        seconds: f64,
        outcome: &'static str,
        #[serde(flatten)]
        error: Option<Failure>,
    },
}

/// What tells programs where a page is.
#[cfg(feature = "web")]
pub(super) fn page(url: &str) -> Vec<Line> {
    let line = events::line(&WebJson::Page { url });
    line.map(Line::Event).into_iter().collect()
}

/// What tells people who want no other words.
#[cfg(feature = "web")]
pub(super) fn quiet_page(url: &str, pin: Option<&str>) -> Vec<Line> {
    let pin = pin.map(|pin| format!("PIN: {pin}"));
    let lines = std::iter::once(url.to_owned()).chain(pin);
    lines.map(Line::Answer).collect()
}

/// The line for an event.
pub(super) fn line(event: &WebEvent<'_>) -> Option<String> {
    events::line(&match *event {
        WebEvent::ManyWrong { peer } => WebJson::Attempts { address: peer },
        WebEvent::PinLocked { peer } => WebJson::Locked { address: peer },
        WebEvent::DownloadStarted {
            download,
            peer,
            path,
            bytes,
        } => WebJson::DownloadStart {
            download,
            address: peer,
            path: text(path),
            path_bytes: odd_bytes(path),
            bytes,
        },
        WebEvent::DownloadEnded {
            download,
            peer,
            path,
            bytes,
            time,
            end,
            ..
        } => WebJson::DownloadEnd {
            download,
            address: peer,
            path: text(path),
            path_bytes: odd_bytes(path),
            bytes,
            seconds: seconds(time),
            outcome: match end {
                DownloadEnd::Complete => "complete",
                DownloadEnd::Left => "stopped",
                DownloadEnd::Failed(_) => "failed",
            },
            error: match end {
                DownloadEnd::Failed(error) => Some(Failure::new(error, |_| None)),
                _ => None,
            },
        },
        _ => return None,
    })
}

/// The sentence for an event.
pub(super) fn sentence(event: &WebEvent<'_>, options: &OutputOptions) -> Option<Line> {
    match *event {
        WebEvent::ManyWrong { peer } => {
            let ip = ip(peer);
            Some(Trouble(format!(
                "Warning: {ip} keeps asking for pages without the secret in their address."
            )))
        }
        WebEvent::PinLocked { peer } => {
            let ip = ip(peer);
            Some(Trouble(format!(
                "Warning: 10 wrong PINs, the last from {ip}. The page is locked; start xfer again \
                 to unlock it."
            )))
        }
        WebEvent::DownloadStarted {
            peer, path, bytes, ..
        } if options.verbose => {
            let size =
                bytes.map_or_else(String::new, |bytes| format!(" ({})", words::bytes(bytes)));
            let (ip, path) = (ip(peer), safe(path));
            Some(Talk(format!("{ip} downloads {path}{size}")))
        }
        WebEvent::DownloadEnded {
            peer,
            path,
            bytes,
            to_end,
            time,
            end,
            ..
        } => {
            // Players fetch many parts, and so does whatever fetches several at once.
            let is_told = to_end || options.verbose || matches!(end, DownloadEnd::Failed(_));
            is_told.then(|| ended(&ip(peer), (path, to_end), bytes, time, end))
        }
        _ => None,
    }
}

fn ended(
    ip: &str,
    (path, to_end): (&Path, bool),
    bytes: u64,
    time: Duration,
    end: DownloadEnd<'_>,
) -> Line {
    let (path, size) = (safe(path), words::bytes(bytes));
    match end {
        DownloadEnd::Complete if !to_end => {
            Talk(format!("{ip} downloaded a part of {path} ({size})"))
        }
        DownloadEnd::Complete => {
            let time = words::duration(time);
            Line::Result(format!("{ip} downloaded {path} ({size} in {time})"))
        }
        DownloadEnd::Left => Talk(format!("{ip} stopped downloading {path} after {size}")),
        DownloadEnd::Failed(error) => {
            let why = sentences::error(error);
            Trouble(format!("Failed: {path}, for {ip}: {why}"))
        }
    }
}

fn ip(peer: SocketAddr) -> String {
    PeerAddress::from(peer).host()
}

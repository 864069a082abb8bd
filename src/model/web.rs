//! What browsers do, for whatever displays it.
//!
//! Must not make sentences.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::model::error::Error;

/// Something that a browser did.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum WebEvent<'a> {
    /// Somebody has asked many times without the secret that the address of a page carries. Said
    /// once for each network.
    ManyWrong {
        /// From where.
        peer: SocketAddr,
    },
    /// So many wrong PINs were given that none is taken any more.
    PinLocked {
        /// From where the last one came.
        peer: SocketAddr,
    },
    /// Somebody begins to download something.
    DownloadStarted {
        /// A number for it, unique in this process.
        download: u64,
        /// From where.
        peer: SocketAddr,
        /// What.
        path: &'a Path,
        /// How many bytes, where that is known.
        bytes: Option<u64>,
    },
    /// A download has ended.
    DownloadEnded {
        /// Its number.
        download: u64,
        /// From where.
        peer: SocketAddr,
        /// What.
        path: &'a Path,
        /// How many bytes were sent.
        bytes: u64,
        /// Whether it was to reach the end of what it is of.
        to_end: bool,
        /// How long it took.
        time: Duration,
        /// How it ended.
        end: DownloadEnd<'a>,
    },
}

/// How a download ended.
#[derive(Debug, Clone, Copy)]
pub enum DownloadEnd<'a> {
    /// All that was asked for is sent.
    Complete,
    /// The browser went away, or nothing came through any more.
    Left,
    /// It could not be read to its end, or changed meanwhile.
    Failed(&'a Error),
}

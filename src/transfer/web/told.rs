//! `ToldDownload`: tells of a download as it begins, and how it ended.
//!
//! Must not know what is sent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::watch::{HandedOver, RunningDownload};
use crate::model::error::{Action, Error};
use crate::model::progress::{Event, Progress};
use crate::model::web::{DownloadEnd, WebEvent};

/// A download, until it is dropped: then it has ended.
pub(super) struct ToldDownload {
    number: u64,
    peer: SocketAddr,
    path: PathBuf,
    began: Instant,
    progress: Arc<dyn Progress>,
    /// How many bytes were handed over to be sent.
    pub(super) bytes: u64,
    to_end: bool,
    is_complete: bool,
    failed: Option<Error>,
    _running: RunningDownload,
    /// Where it is said that all that is shared was handed over, if it is of all.
    all: Option<HandedOver>,
}

impl ToldDownload {
    /// Tells that a download begins, of so many bytes where that is known. If it is of all that is
    /// shared, `all` hears when that is handed over.
    pub(super) fn begin(
        progress: &Arc<dyn Progress>,
        peer: SocketAddr,
        path: PathBuf,
        bytes: Option<u64>,
        (running, all): (RunningDownload, Option<HandedOver>),
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        progress.event(&Event::Web(WebEvent::DownloadStarted {
            download: number,
            peer,
            path: &path,
            bytes,
        }));
        Self {
            number,
            peer,
            path,
            began: Instant::now(),
            progress: progress.clone(),
            bytes: 0,
            to_end: true,
            is_complete: false,
            failed: None,
            _running: running,
            all,
        }
    }

    /// It is of a part of a file, which ends before the file does.
    pub(super) fn ends_early(&mut self) {
        self.to_end = false;
    }

    /// All of it was handed over.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }

    /// Something is missing in it, so it is not all that is shared.
    pub(super) fn leaves_out(&mut self) {
        self.all = None;
    }

    /// It cannot go on. Gives what ends the connection.
    pub(super) fn fail(&mut self, path: PathBuf, error: std::io::Error) -> std::io::Error {
        let kind = error.kind();
        self.failed = Some(Error::file(Action::Read, path, error));
        kind.into()
    }
}

impl Drop for ToldDownload {
    fn drop(&mut self) {
        let end = match &self.failed {
            Some(error) => DownloadEnd::Failed(error),
            None if self.is_complete => DownloadEnd::Complete,
            None => DownloadEnd::Left,
        };
        if let (Some(all), DownloadEnd::Complete) = (&self.all, end) {
            all.put(self.bytes);
        }
        self.progress.event(&Event::Web(WebEvent::DownloadEnded {
            download: self.number,
            peer: self.peer,
            path: &self.path,
            bytes: self.bytes,
            to_end: self.to_end,
            time: self.began.elapsed(),
            end,
        }));
    }
}

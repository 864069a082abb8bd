//! `ListBody`: the page of a folder, made as it is sent.
//!
//! Must not hold more of it than a piece, and what there is in the folder.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hyper::body::{Body, Bytes, Frame};

use super::language::Language;
use super::limits::READ_BYTES;
use super::page::{self, PageView, SharedFolder, SharedItem};
use super::request::WebRequest;
use super::respond::Nonce;

/// Something in a folder.
pub(super) struct ListedItem {
    pub(super) name: Box<[u8]>,
    /// None for a folder.
    pub(super) size: Option<u64>,
    /// Seconds since 1970 UTC.
    pub(super) modified: i64,
}

/// The page of a folder.
pub(super) struct ListBody {
    language: Language,
    nonce: Nonce,
    base: String,
    machine: Arc<str>,
    encrypted: bool,
    /// The folder's path.
    path: Vec<u8>,
    items: vec::IntoIter<ListedItem>,
    /// What comes before the items, until it is sent.
    head: String,
    /// What comes behind them, until it is sent.
    foot: String,
}

impl ListBody {
    /// The page of the folder at `path`, for whoever made the request.
    pub(super) fn new(request: &WebRequest, path: &[u8], items: Vec<ListedItem>) -> Self {
        let view = request.view();
        let folders = items.iter().filter(|item| item.size.is_none()).count() as u64;
        let bytes = items.iter().filter_map(|item| item.size);
        let bytes = bytes.fold(0, u64::saturating_add);
        let folder = SharedFolder {
            path,
            files: items.len() as u64 - folders,
            folders,
            bytes: (folders == 0).then_some(bytes),
        };
        Self {
            language: view.language,
            nonce: request.nonce.clone(),
            base: request.base.clone(),
            machine: request.machine.clone(),
            encrypted: request.is_encrypted,
            path: path.to_vec(),
            items: items.into_iter(),
            head: page::listing_head(&view, &folder),
            foot: page::listing_foot(&view, &folder),
        }
    }
}

impl Body for ListBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let mut text = std::mem::take(&mut this.head);
        let view = PageView {
            language: this.language,
            nonce: this.nonce.as_str(),
            base: &this.base,
            machine: &this.machine,
            encrypted: this.encrypted,
        };
        let folder = SharedFolder {
            path: &this.path,
            ..SharedFolder::default()
        };
        while text.len() < READ_BYTES {
            let Some(item) = this.items.next() else {
                text += &std::mem::take(&mut this.foot);
                break;
            };
            let item = SharedItem {
                name: &item.name,
                size: item.size,
                modified: Some(item.modified),
            };
            text += &page::listing_row(&view, &folder, &item);
        }
        match text.is_empty() {
            true => Poll::Ready(None),
            false => Poll::Ready(Some(Ok(Frame::data(text.into())))),
        }
    }
}

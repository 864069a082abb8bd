//! `Downloads`: lists of what is shared, its files, and archives of it.
//!
//! Must not read anything but by way of the roots, which let no name and no link lead out, and must
//! not show what the filter of the share leaves out: each path is walked to as a transfer does.

use std::ops::Range;
use std::path::PathBuf;

use hyper::Method;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
    RANGE,
};

use super::by_number::by_number;
use super::file_body::{FileBody, tag};
use super::list_body::{ListBody, ListedItem};
use super::page::{self, PageError};
use super::paths;
use super::ranges::{self, AskedRange};
use super::request::WebRequest;
use super::respond::{self, WebAnswer, WebBody};
use super::told::ToldDownload;
use super::watch::DownloadWatch;
use super::zip_body::ZipBody;
use crate::model::entry::{Kind, Time};
use crate::model::relpath::RelPath;
use crate::source::{Roots, Walk, WalkStep};
use crate::sys::fs::{self, Stat};

/// What an archive of several things is called.
const ARCHIVE: &str = "xfer";

/// What browsers can download.
#[derive(Debug)]
pub(in crate::transfer) struct Downloads {
    roots: Roots,
    pub(super) watch: DownloadWatch,
}

/// A thing that is shared.
struct FoundItem {
    path: RelPath,
    kind: Kind,
    mtime: Time,
}

impl Downloads {
    /// What is below these roots.
    pub(in crate::transfer) fn new(roots: Roots) -> Self {
        let watch = DownloadWatch::default();
        Self { roots, watch }
    }

    /// Answers a request below the secret.
    pub(super) fn answer(&self, request: &WebRequest) -> WebAnswer {
        if !request.only_reads() {
            return respond::error(StatusCode::METHOD_NOT_ALLOWED, "bad_request");
        }
        let path = request.path.as_str();
        let (what, rest) = path.split_once('/').unwrap_or((path, ""));
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let answer = match (what, rest) {
            ("", "") | ("list", "") => self.list(request, None),
            ("zip", "") => self.archive(request, None),
            ("list" | "files" | "zip", rest) => match paths::path(rest) {
                Some(path) => match what {
                    "list" => self.list(request, Some(&path)),
                    "files" => self.file(request, &path),
                    _ => self.archive(request, Some(path)),
                },
                None => Err(PageError::NotFound),
            },
            _ => Err(PageError::NotFound),
        };
        answer.unwrap_or_else(|error| failed(request, error))
    }

    /// What is at a path.
    fn find(&self, path: &RelPath) -> Result<FoundItem, PageError> {
        let mut steps = Walk::in_folder(&self.roots, Some(path)).filter_map(found);
        let it = steps.find(|item| item.path == *path);
        it.ok_or(PageError::NotFound)
    }

    /// The page of a folder, or of all that is shared.
    fn list(&self, request: &WebRequest, folder: Option<&RelPath>) -> Result<WebAnswer, PageError> {
        let above = folder.map_or(0, |folder| folder.as_bytes().len());
        let mut is_there = folder.is_none();
        let mut items = Vec::new();
        for item in Walk::in_folder(&self.roots, folder).filter_map(found) {
            if item.path.as_bytes().len() > above {
                items.extend(item.listed());
            } else if Some(&item.path) == folder {
                is_there = matches!(item.kind, Kind::Dir);
            }
        }
        if !is_there {
            return Err(PageError::NotFound);
        }
        items.sort_by(|a, b| {
            let folders_first = a.size.is_some().cmp(&b.size.is_some());
            folders_first.then_with(|| by_number(&a.name, &b.name))
        });
        let path = folder.map(RelPath::as_bytes).unwrap_or_default();
        let page = WebBody::parts(ListBody::new(request, path, items));
        Ok(respond::page_of(StatusCode::OK, page, &request.nonce))
    }

    fn file(&self, request: &WebRequest, path: &RelPath) -> Result<WebAnswer, PageError> {
        let item = self.find(path)?;
        if !matches!(item.kind, Kind::File { .. }) {
            return Err(PageError::NotFound);
        }
        let unreadable = |_| PageError::Unreadable;
        let file = self.roots.reader().open(path).map_err(unreadable)?;
        let stat = fs::stat(&file).map_err(unreadable)?;
        if !stat.is_file() {
            return Err(PageError::NotFound);
        }
        let tag = tag(&stat);
        if is_other_version(&request.headers, item.mtime, &tag) {
            return Ok(respond::empty(StatusCode::PRECONDITION_FAILED));
        }
        let asked = asked(request, &stat, &tag);
        let range = match asked.clone() {
            AskedRange::Beyond => {
                let mut answer = respond::empty(StatusCode::RANGE_NOT_SATISFIABLE);
                put(&mut answer, CONTENT_RANGE, format!("bytes */{}", stat.size));
                return Ok(answer);
            }
            AskedRange::Whole => 0..stat.size,
            AskedRange::Part(range) => range,
        };
        let Range { start, end } = range;
        // What is asked for by its only name.
        let is_all = asked == AskedRange::Whole && path.parent_bytes().is_none() && self.is_one();
        let here = path.as_path().into_owned();
        let body = match request.method == Method::HEAD {
            true => WebBody::empty(),
            false => {
                let mut told = self.tell(request, here.clone(), Some(end - start), is_all);
                if end < stat.size {
                    told.ends_early();
                }
                let body = FileBody::new(file, stat, here, range, told).map_err(unreadable)?;
                WebBody::parts(body)
            }
        };
        let mut answer = WebAnswer::new(body);
        if let AskedRange::Part(_) = asked {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let value = format!("bytes {start}-{}/{}", end - 1, stat.size);
            put(&mut answer, CONTENT_RANGE, value);
        }
        put(
            &mut answer,
            CONTENT_TYPE,
            "application/octet-stream".to_owned(),
        );
        put(&mut answer, CONTENT_LENGTH, (end - start).to_string());
        put(&mut answer, ACCEPT_RANGES, "bytes".to_owned());
        put(&mut answer, ETAG, tag);
        put(
            &mut answer,
            CONTENT_DISPOSITION,
            paths::disposition(path.file_name()),
        );
        if let Some(date) = http_date(item.mtime) {
            put(&mut answer, LAST_MODIFIED, date);
        }
        Ok(ending(answer, is_all))
    }

    /// An archive of one thing, or of all. How long it is shows when it is made.
    fn archive(&self, request: &WebRequest, only: Option<RelPath>) -> Result<WebAnswer, PageError> {
        if let Some(path) = &only {
            self.find(path)?;
        }
        let one = only.as_ref().map(|path| path.file_name().to_vec());
        let name = one.unwrap_or_else(|| match self.roots.names() {
            (1, name) => name.as_str().as_bytes().to_vec(),
            _ => ARCHIVE.as_bytes().to_vec(),
        });
        let name = [&name[..], b".zip"].concat();
        let top = only
            .as_ref()
            .is_none_or(|only| only.parent_bytes().is_none() && self.is_one());
        let body = match request.method == Method::HEAD {
            true => WebBody::empty(),
            false => {
                let shown = crate::sys::name::to_system(&name).into_owned();
                let told = self.tell(request, shown, None, top);
                WebBody::parts(ZipBody::new(&self.roots, only, told))
            }
        };
        let mut answer = WebAnswer::new(body);
        put(&mut answer, CONTENT_TYPE, "application/zip".to_owned());
        put(&mut answer, CONTENT_DISPOSITION, paths::disposition(&name));
        Ok(ending(answer, top))
    }

    /// Whether one file or folder is shared.
    fn is_one(&self) -> bool {
        self.roots.names().0 == 1
    }

    fn tell(
        &self,
        request: &WebRequest,
        path: PathBuf,
        bytes: Option<u64>,
        is_all: bool,
    ) -> ToldDownload {
        let all = is_all.then(|| request.handed_over.clone());
        let running = (self.watch.begin(), all);
        ToldDownload::begin(&request.progress, request.peer, path, bytes, running)
    }
}

impl FoundItem {
    /// As it is listed; not at all where it is a link: what it leads to may not be shared.
    fn listed(&self) -> Option<ListedItem> {
        let size = match self.kind {
            Kind::Dir => None,
            Kind::File { size } => Some(size.get()),
            _ => return None,
        };
        Some(ListedItem {
            name: self.path.file_name().into(),
            size,
            modified: self.mtime.seconds(),
        })
    }
}

fn found(step: WalkStep) -> Option<FoundItem> {
    match step {
        WalkStep::Found {
            path, kind, mtime, ..
        } => Some(FoundItem { path, kind, mtime }),
        _ => None,
    }
}

/// With all that is shared the connection ends, so that a share that ends with that does so soon.
fn ending(answer: WebAnswer, is_all: bool) -> WebAnswer {
    match is_all {
        true => respond::closing(answer),
        false => answer,
    }
}

fn failed(request: &WebRequest, error: PageError) -> WebAnswer {
    let status = match error {
        PageError::NotFound => StatusCode::NOT_FOUND,
        PageError::Unreadable => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    };
    let page = page::error(&request.view(), error);
    respond::html(status, page, &request.nonce)
}

/// Which part of a file is asked for. With `If-Range`, of that version alone: of another one all is
/// sent. A date there names no version here, since two can have the same. Only GET asks for a part.
fn asked(request: &WebRequest, stat: &Stat, tag: &str) -> AskedRange {
    let text = |name| only(&request.headers, &name);
    let is_other = request.headers.contains_key(IF_RANGE) && text(IF_RANGE) != Some(tag);
    match text(RANGE) {
        Some(range) if !is_other && request.method == Method::GET => {
            ranges::asked(range, stat.size)
        }
        _ => AskedRange::Whole,
    }
}

/// Whether only another version of a file is asked for. With names of versions, no date is looked
/// at (RFC 9110, section 13.2.2); a date that is none says nothing.
fn is_other_version(headers: &HeaderMap, mtime: Time, tag: &str) -> bool {
    if headers.contains_key(IF_MATCH) {
        let mut all = headers.get_all(IF_MATCH).iter();
        return !all.any(|tags| {
            let tags = tags.to_str().unwrap_or_default();
            tags.split(',')
                .map(str::trim)
                .any(|one| one == tag || one == "*")
        });
    }
    let since = only(headers, &IF_UNMODIFIED_SINCE);
    let since = since.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    since.is_some_and(|since| mtime.seconds() > since.timestamp().as_second())
}

/// The one value of a header; none where there are several.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}

fn http_date(time: Time) -> Option<String> {
    let moment = jiff::Timestamp::from_second(time.seconds()).ok()?;
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    printer.timestamp_to_rfc9110_string(&moment).ok()
}

fn put(answer: &mut WebAnswer, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        answer.headers_mut().insert(name, value);
    }
}

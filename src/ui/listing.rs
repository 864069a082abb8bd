//! What another machine shares, as lines for people and for programs.
//!
//! Must not print.

use xfer::model::entry::{Entry, Kind};

use super::events::{JsonEvent, line, odd_bytes, text};
use super::safe::safe;
use super::words::bytes;

/// The width of the column for sizes.
const SIZE_COLUMNS: usize = 9;

/// The line for people: the size of a file, and the path.
pub(crate) fn shared_line(entry: &Entry) -> String {
    let path = entry.path.as_path();
    let path = safe(&*path);
    let (size, name) = match &entry.kind {
        Kind::File { size } => (bytes(size.get()), path.to_string()),
        Kind::Dir => (String::new(), format!("{path}/")),
        Kind::Symlink { target } => {
            let target = target.as_path();
            (String::new(), format!("{path} -> {}", safe(&*target)))
        }
        _ => (String::new(), path.to_string()),
    };
    format!("{size:>SIZE_COLUMNS$}  {name}")
}

/// The line for programs.
pub(crate) fn shared_event(entry: &Entry) -> Option<String> {
    let path = entry.path.as_path();
    let (kind, size) = match &entry.kind {
        Kind::File { size } => ("file", Some(size.get())),
        Kind::Dir => ("folder", None),
        Kind::Symlink { .. } => ("link", None),
        _ => ("file", None),
    };
    line(&JsonEvent::Shared {
        path: text(&path),
        path_bytes: odd_bytes(&path),
        kind,
        size,
    })
}

//! `OfferBound`: what the receiver's user said yes to, which is the most that is taken.
//!
//! Must not decide what becomes of what is taken.

use std::path::Path;

use crate::model::entry::{Entry, Kind};
use crate::model::outcome::Why;
use crate::model::reason::Limit;
use crate::model::text::Text;
use crate::wire::Contents;

/// Why something is not taken.
const OVER: Why = Why::Limit(Limit::Offered);

/// What is left of what the user was shown.
#[derive(Debug, Clone)]
pub(crate) struct OfferBound {
    files: u64,
    /// None of a stream, which nobody has counted: that alone has no end.
    bytes: Option<u64>,
    /// What was named to be sent: files, folders and links.
    named: u64,
    /// The name of the only one of these.
    only: Option<Text>,
}

impl OfferBound {
    /// The bound of an offer of these.
    pub(crate) fn new(contents: &Contents) -> Self {
        Self {
            files: contents.files,
            bytes: Some(contents.bytes).filter(|&bytes| bytes != Contents::UNKNOWN),
            named: contents.named,
            only: (contents.named == 1).then(|| contents.first.clone()),
        }
    }

    /// Takes an entry; fails where it is more than was offered.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<(), Why> {
        if entry.path.depth() == 1 {
            let named = self.named.checked_sub(1).ok_or(OVER)?;
            let name = || shown(entry.path.as_path());
            if self.only.as_ref().is_some_and(|only| *only != name()) {
                return Err(OVER);
            }
            self.named = named;
        }
        let size = match &entry.kind {
            Kind::Dir | Kind::Symlink { .. } => return Ok(()),
            Kind::Stream if self.bytes.is_some() => return Err(OVER),
            Kind::Stream => 0,
            Kind::File { size } => size.get(),
        };
        let files = self.files.checked_sub(1).ok_or(OVER)?;
        self.grow(size)?;
        self.files = files;
        Ok(())
    }

    /// Takes more of a file that was taken.
    pub(super) fn grow(&mut self, more: u64) -> Result<(), Why> {
        if let Some(bytes) = &mut self.bytes {
            *bytes = bytes.checked_sub(more).ok_or(OVER)?;
        }
        Ok(())
    }
}

/// A name as an offer has it.
fn shown(name: &Path) -> Text {
    Text::new(name.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::{FileSize, Mode, Time};
    use crate::model::relpath::RelPath;

    fn file(path: &str, size: u64) -> Entry {
        Entry {
            id: 0,
            path: RelPath::new(path).unwrap(),
            kind: Kind::File {
                size: FileSize::try_from(size).unwrap(),
            },
            mtime: Time::from_seconds(0),
            mode: Mode::from_stat(0o644),
            extras: Vec::new(),
        }
    }

    fn folder(path: &str) -> Entry {
        Entry {
            kind: Kind::Dir,
            ..file(path, 0)
        }
    }

    #[test]
    fn no_more_is_taken_than_was_offered() {
        let mut bound = OfferBound::new(&Contents {
            files: 2,
            bytes: 10,
            named: 1,
            first: "a".into(),
        });
        assert_eq!(bound.take(&folder("b")), Err(OVER));
        assert_eq!(bound.take(&folder("a")), Ok(()));
        assert_eq!(bound.take(&file("a/1", 11)), Err(OVER));
        assert_eq!(bound.take(&file("a/2", 6)), Ok(()));
        assert_eq!(bound.grow(5), Err(OVER));
        assert_eq!(bound.grow(1), Ok(()));
        assert_eq!(bound.take(&file("a/3", 3)), Ok(()));
        assert_eq!(bound.take(&file("a/4", 0)), Err(OVER));
        assert_eq!(bound.take(&folder("a/sub")), Ok(()));
        assert_eq!(bound.take(&folder("a")), Err(OVER));
    }
}

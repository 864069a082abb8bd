//! `OfferBound`: what the receiver's user agreed to, which limits what is accepted.
//!
//! Must not decide what happens to what is accepted.

use std::path::Path;

use crate::model::entry::{Entry, Kind};
use crate::model::outcome::Why;
use crate::model::reason::Limit;
use crate::model::text::Text;
use crate::wire::Contents;

/// How many folders and links come with an offer at most, for each file of it, and besides: nobody
/// has counted them.
const UNCOUNTED_OF_FILE: u64 = 16;
const UNCOUNTED: u64 = 10_000;
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
    /// The name of one of these, as long as it has not come.
    first: Option<Text>,
    /// Folders and links.
    uncounted: u64,
}

impl OfferBound {
    /// The bound of an offer of these.
    pub(crate) fn new(contents: &Contents) -> Self {
        let bytes = Some(contents.bytes).filter(|&bytes| bytes != Contents::UNKNOWN);
        let files = match bytes {
            Some(_) => contents.files,
            None => contents.files.min(1),
        };
        Self {
            files,
            bytes,
            named: contents.named,
            first: Some(contents.first.clone()),
            uncounted: UNCOUNTED.saturating_add(files.saturating_mul(UNCOUNTED_OF_FILE)),
        }
    }

    /// Takes an entry; fails where it is more than was offered.
    pub(crate) fn take(&mut self, entry: &Entry) -> Result<(), Why> {
        if entry.path.depth() == 1 {
            let named = self.named.checked_sub(1).ok_or(OVER)?;
            let is_it = |first: &Text| *first == shown(&entry.path.as_path());
            let is_first = self.first.as_ref().is_some_and(is_it);
            // Its place is kept for it.
            if self.first.is_some() && !is_first && named == 0 {
                return Err(OVER);
            }
            if is_first {
                self.first = None;
            }
            self.named = named;
        }
        let size = match &entry.kind {
            Kind::Dir | Kind::Symlink { .. } => {
                self.uncounted = self.uncounted.checked_sub(1).ok_or(OVER)?;
                return Ok(());
            }
            Kind::Stream if self.bytes.is_some() => return Err(OVER),
            Kind::Stream => 0,
            Kind::File { .. } if self.bytes.is_none() => return Err(OVER),
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

    #[test]
    fn what_was_shown_is_among_what_is_taken() {
        let several = Contents {
            files: 1,
            bytes: 10,
            named: 2,
            first: "a".into(),
        };
        let mut bound = OfferBound::new(&several);
        assert_eq!(bound.take(&file("b", 1)), Ok(()));
        assert_eq!(bound.take(&folder("c")), Err(OVER));
        assert_eq!(bound.take(&folder("a")), Ok(()));
        let folders = (0..).map(|n| bound.take(&folder(&format!("a/{n}"))));
        let most = UNCOUNTED + UNCOUNTED_OF_FILE - 1;
        assert_eq!(folders.take_while(Result::is_ok).count() as u64, most);

        let mut bound = OfferBound::new(&Contents {
            files: 9,
            bytes: Contents::UNKNOWN,
            named: 9,
            first: "a".into(),
        });
        assert_eq!(bound.take(&file("a", 1)), Err(OVER));
        let stream = |path| Entry {
            kind: Kind::Stream,
            ..file(path, 0)
        };
        assert_eq!(bound.take(&stream("b")), Ok(()));
        assert_eq!(bound.take(&stream("c")), Err(OVER));
    }
}

//! What a walk found, and why it is not announced.
//!
//! Must not examine anything, except where a link leads.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use walkdir::DirEntry;

use crate::model::entry::{FileSize, Kind, Target};
use crate::model::outcome::{LeftOut, Why};
use crate::model::reason::ReadError;
use crate::sys::fs::{FileKind, Stat};

use super::filter::CompiledFilter;

/// What filters need to know about an item before deciding whether to send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameKind {
    pub(super) is_dir: bool,
    pub(super) is_link: bool,
}

impl NameKind {
    pub(super) fn listed(entry: &DirEntry) -> Self {
        Self {
            is_dir: entry.file_type().is_dir(),
            is_link: entry.file_type().is_symlink(),
        }
    }

    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            is_dir: stat.is_dir(),
            is_link: stat.is_link(),
        }
    }
}

/// The walkdir listing of a folder.
pub(super) struct ListedFolder {
    /// The path that was listed.
    pub(super) at: PathBuf,
    /// The names in it, in reverse order.
    pub(super) names: Vec<DirEntry>,
    /// Whether other names were not looked for.
    pub(super) is_partial: bool,
    /// Why the listing is incomplete.
    pub(super) error: Option<io::Error>,
}

impl ListedFolder {
    /// Whether the folder has a name, as far as is known.
    pub(super) fn may_have(&self, name: &str) -> bool {
        self.is_partial || self.has(name)
    }

    fn has(&self, name: &str) -> bool {
        let path = self.at.join(name);
        let order = |entry: &DirEntry| path.as_os_str().cmp(entry.path().as_os_str());
        self.names.binary_search_by(order).is_ok()
    }
}

/// Why something is not announced.
pub(super) enum NotAnnounced {
    LeftOut(LeftOut),
    Skipped(Why),
}

impl From<Why> for NotAnnounced {
    fn from(why: Why) -> Self {
        Self::Skipped(why)
    }
}

impl From<LeftOut> for NotAnnounced {
    fn from(why: LeftOut) -> Self {
        Self::LeftOut(why)
    }
}

pub(super) fn unreadable(error: &io::Error) -> Why {
    match error.kind() {
        ErrorKind::NotFound => Why::Vanished,
        _ => Why::unreadable(error),
    }
}

/// What kind of entry an item becomes, if it can be sent.
pub(super) fn describe(
    stat: &Stat,
    filter: &CompiledFilter,
    read_link: impl FnOnce() -> io::Result<Vec<u8>>,
) -> Result<Kind, NotAnnounced> {
    match stat.kind {
        FileKind::Dir => Ok(Kind::Dir),
        FileKind::File if filter.is_too_large(stat.size) => Err(LeftOut::Size.into()),
        FileKind::File => {
            let size =
                FileSize::try_from(stat.size).map_err(|_| Why::Unreadable(ReadError::TooLarge))?;
            Ok(Kind::File { size })
        }
        FileKind::Link => {
            let target = read_link().map_err(|e| unreadable(&e))?;
            let target = Target::new(target).map_err(|_| Why::Unreadable(ReadError::LinkTarget))?;
            Ok(Kind::Symlink { target })
        }
        FileKind::Special => Err(Why::Special.into()),
    }
}

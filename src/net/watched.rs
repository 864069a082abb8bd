//! `WatchedPeers`: the current list of known machines, read again only when its file changes.
//!
//! Must not decide what happens to machines that are no longer known.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Fingerprint, Known, Peers};
use crate::sys::private::{self, FileVersion};

/// How long after a change the file's version is reliable: another change at the same moment could
/// look the same.
const SETTLED: Duration = Duration::from_secs(2);

/// The list of known machines as it was last read.
#[derive(Debug)]
pub(crate) struct WatchedPeers {
    peers: Peers,
    read: Mutex<ReadPeers>,
}

#[derive(Debug, Default)]
struct ReadPeers {
    /// The version of the file that was read; `None` if another could look the same.
    version: Option<FileVersion>,
    all: Option<Arc<[Known]>>,
}

impl WatchedPeers {
    pub(crate) fn new(peers: Peers) -> Self {
        Self {
            peers,
            read: Mutex::default(),
        }
    }

    /// All known machines; `None` if their file cannot be read.
    pub(crate) fn all(&self) -> Option<Arc<[Known]>> {
        // Taken first, so that a later change is noticed next time.
        let version = private::version(&self.peers.path()).ok();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if version.is_some() && read.version == version {
            return read.all.clone();
        }
        let all: Arc<[Known]> = self.peers.list().ok()?.into();
        let settled = |version: &FileVersion| {
            let age = SystemTime::now().duration_since(version.changed());
            age.is_ok_and(|age| age > SETTLED)
        };
        *read = ReadPeers {
            version: version.filter(settled),
            all: Some(all.clone()),
        };
        Some(all)
    }

    /// The machine with this fingerprint, if it is let in here. If the file cannot be read, for
    /// example because too many files are open, the last list that was read decides.
    pub(crate) fn let_in(&self, fingerprint: Fingerprint) -> Option<Known> {
        let last = || {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.all.clone()
        };
        let all = self.all().or_else(last)?;
        let mut all = all.iter();
        all.find(|known| known.fingerprint == fingerprint && known.is_let_in())
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_cannot_be_read_is_as_it_was_last() {
        let root = tempfile::tempdir().unwrap();
        let peers = Peers::in_dir(root.path());
        let (one, other) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        let known = Known {
            may_send: true,
            ..Known::new("one", one)
        };
        let add = |list: &mut Vec<Known>| {
            list.push(known);
            Ok(())
        };
        peers.update(add).unwrap();
        let watched = WatchedPeers::new(peers.clone());
        assert!(watched.let_in(one).is_some());
        let path = peers.path();
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(watched.all().is_none());
        assert!(watched.let_in(one).is_some());
        assert!(watched.let_in(other).is_none());
        // A list without a file is empty.
        std::fs::remove_dir(&path).unwrap();
        assert!(watched.let_in(one).is_none());
    }
}

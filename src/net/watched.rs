//! `WatchedPeers`: the machines that are known at this moment, read only when their file has changed.
//!
//! Must not decide what becomes of those that are not known any more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Fingerprint, Known, Peers};
use crate::sys::private::{self, FileVersion};

/// How old a change of the file must be, so that no other change of the same moment can look the
/// same.
const SETTLED: Duration = Duration::from_secs(2);

/// The list of known machines as it was read last, and which version of its file that was.
#[derive(Debug)]
pub(crate) struct WatchedPeers {
    peers: Peers,
    read: Mutex<Option<(FileVersion, Arc<[Known]>)>>,
}

impl WatchedPeers {
    pub(crate) fn new(peers: Peers) -> Self {
        Self {
            peers,
            read: Mutex::default(),
        }
    }

    /// All of them; none where their file cannot be read.
    pub(crate) fn all(&self) -> Option<Arc<[Known]>> {
        // Looked at first: what changes after that is seen the next time.
        let version = private::version(&self.peers.path()).ok();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some((before, all)), Some(version)) = (&*read, &version)
            && before == version
        {
            return Some(all.clone());
        }
        let all: Arc<[Known]> = self.peers.list().ok()?.into();
        let settled = |version: &FileVersion| {
            let age = SystemTime::now().duration_since(version.changed());
            age.is_ok_and(|age| age > SETTLED)
        };
        *read = version
            .filter(settled)
            .map(|version| (version, all.clone()));
        Some(all)
    }

    /// The one with this fingerprint that may send here. None where there is none, or the file
    /// cannot be read.
    pub(crate) fn sender(&self, fingerprint: Fingerprint) -> Option<Known> {
        let all = self.all()?;
        let mut all = all.iter();
        all.find(|known| known.fingerprint == fingerprint && known.may_send)
            .cloned()
    }
}

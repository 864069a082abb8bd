//! `ServedSession`: a session that lanes can join, whatever this side does in it.
//!
//! Must not know what travels on its lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::model::progress::Counters;
use crate::net::{Channel, Fingerprint};

use super::super::lane_source::ArrivingLanes;
use super::super::link::Link;
use super::super::receive::ReceiveSession;

/// A session that lanes can join.
#[derive(Clone)]
pub(super) enum ServedSession {
    Receiving(Arc<ReceiveSession>),
    Sending(Arc<FetchSession>),
}

/// A session in which somebody fetches what is shared.
pub(super) struct FetchSession {
    pub(super) number: u64,
    /// Who fetches.
    pub(super) owner: Fingerprint,
    pub(super) link: Arc<Link>,
    pub(super) counters: Arc<Counters>,
    pub(super) lanes: Arc<ArrivingLanes>,
    /// How many more lanes may join.
    pub(super) left: AtomicU16,
}

impl ServedSession {
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Receiving(session) => session.number,
            Self::Sending(session) => session.number,
        }
    }

    /// Whose session it is.
    pub(super) fn owner(&self) -> Fingerprint {
        match self {
            Self::Receiving(session) => session.owner,
            Self::Sending(session) => session.owner,
        }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        match self {
            Self::Receiving(session) => &session.link,
            Self::Sending(session) => &session.link,
        }
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        match self {
            Self::Receiving(session) => &session.counters,
            Self::Sending(session) => &session.counters,
        }
    }

    /// Whether one more lane may join, which then counts.
    pub(super) fn take_lane(&self) -> bool {
        match self {
            Self::Receiving(session) => session.take_lane(),
            Self::Sending(session) => {
                let less = |left: u16| left.checked_sub(1);
                let left = &session.left;
                left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
                    .is_ok()
            }
        }
    }

    /// Runs a lane that has joined, to its end.
    pub(super) fn lane(&self, channel: Channel) {
        match self {
            Self::Receiving(session) => session.lane(channel),
            Self::Sending(session) => session.lanes.arrive(channel),
        }
    }

    /// How far it is, as a number that changes whenever it gets on; none while this side has work to
    /// do, for which its peer may have to wait.
    pub(super) fn progress(&self) -> Option<u64> {
        match self {
            Self::Receiving(session) => session.progress(),
            Self::Sending(session) => Some(session.moved()),
        }
    }

    /// Whether this side has work to do that takes as long as it does.
    pub(super) fn is_at_work(&self) -> bool {
        match self {
            Self::Receiving(session) => session.is_at_work(),
            Self::Sending(_) => false,
        }
    }

    /// What grows with everything that moves in it.
    pub(super) fn moved(&self) -> u64 {
        match self {
            Self::Receiving(session) => session.moved(),
            Self::Sending(session) => session.moved(),
        }
    }
}

impl FetchSession {
    fn moved(&self) -> u64 {
        let Counters {
            entries_done,
            bytes_done,
            deleted,
            ..
        } = &*self.counters;
        let all = [entries_done, bytes_done, deleted].map(Counters::get);
        all.iter().fold(0, |sum, &n| sum.wrapping_add(n))
    }
}

//! Dials for session after session, until one completes or another is not worth starting.
//!
//! Must not know what goes on in a session, nor which side sends.

use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::model::outcome::{Decline, Summary};
use crate::model::progress::{Event, Progress};

use super::cancel::Cancel;
use super::dial::Packets;
use super::link::Ailment;

/// How many bytes of files a session must have moved to count as one that got on: more than can
/// be on the way.
const MOVED: u64 = 16 << 20;
/// The same for each of its lanes, where what they were given may not have arrived.
const MOVED_PER_LANE: u64 = 8 << 20;
/// How long it is waited before it is tried again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// How a session ended.
pub(super) struct Ending {
    pub(super) session: u64,
    /// Whether both sides agreed on it.
    pub(super) began: bool,
    /// How many bytes of files were moved.
    pub(super) moved: u64,
    /// What was stored, and what failed, as far as this side knows.
    pub(super) stored: Summary,
    /// What the next one is better off with.
    pub(super) ailment: Ailment,
    /// The summary of this and all sessions before it.
    pub(super) result: Result<Summary>,
}

impl Ending {
    /// Of a session that has not begun.
    pub(super) fn of(session: u64) -> Self {
        Self {
            session,
            began: false,
            moved: 0,
            stored: Summary::default(),
            ailment: Ailment::default(),
            result: Ok(Summary::default()),
        }
    }
}

/// What sessions are dialed with.
pub(super) struct RetryTerms<'a> {
    /// How many lanes a session has at most.
    pub(super) lanes: u16,
    pub(super) packets: Packets,
    /// For how long it is tried again after a connection is lost.
    pub(super) retry: Duration,
    pub(super) dry_run: bool,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a Cancel,
}

/// Has sessions run, each of so many lanes, with what was done before it, until one completes. A
/// lost connection is made anew for as long as the terms say.
pub(super) fn until_done(
    terms: &RetryTerms<'_>,
    mut run: impl FnMut(&Summary, u16) -> Ending,
) -> Result<Summary> {
    let RetryTerms {
        progress, cancel, ..
    } = terms;
    let mut before = Summary::default();
    let mut lost: Option<Instant> = None;
    let mut wait = BACKOFF.0;
    let mut worked = false;
    let mut means = Means::new(terms.lanes, terms.packets.clone());
    loop {
        let Ending {
            session,
            began,
            moved,
            stored,
            ailment,
            result,
        } = run(&before, means.lanes);
        let error = match result {
            Ok(all) => return Ok(all),
            Err(error) => error,
        };
        if cancel.is_cancelled() {
            return Err(cancel.reason(error));
        }
        if stored.stored > 0 || moved > MOVED {
            lost = None;
            wait = BACKOFF.0;
        }
        if !terms.dry_run {
            before = before.plus(&stored);
        }
        means.fit(ailment, moved);
        // Only what worked once is tried again: a wrong address is said at once.
        worked |= began;
        let again = error.is_lost_connection() || is_unreachable(&error);
        debug!(session, worked, again, moved, "session failed: {error}");
        // What it takes to notice that nothing arrives is no time in which it was tried.
        if let (Error::Undelivered { seconds, .. }, Some(since)) = (&error, &mut lost) {
            *since += Duration::from_secs(*seconds);
        }
        let since = *lost.get_or_insert_with(Instant::now);
        if !worked || !again || since.elapsed() + wait > terms.retry {
            return Err(error);
        }
        progress.event(&Event::Retrying {
            session,
            error: &error,
            wait,
        });
        if cancel.wait(wait) {
            return Err(Error::Cancelled);
        }
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// The last session's summary, with what earlier ones stored counted as stored: the last one
/// found it there.
pub(super) fn all_sessions(before: &Summary, last: &Summary) -> Summary {
    Summary {
        // What failed before was tried again.
        failed: last.failed,
        have: last.have.saturating_sub(before.stored),
        have_files: last.have_files.saturating_sub(before.files),
        have_bytes: last.have_bytes.saturating_sub(before.bytes),
        ..last.plus(before)
    }
}

/// What the next session is made with, by what ailed those before.
struct Means {
    most: u16,
    lanes: u16,
    packets: Packets,
}

impl Means {
    fn new(lanes: u16, packets: Packets) -> Self {
        Self {
            most: lanes,
            lanes,
            packets,
        }
    }

    /// Takes what ailed a session that sent `moved` bytes. One that sent many, and ended for another
    /// reason, shows that what ailed those before it is over, or was a mistake.
    fn fit(&mut self, ailment: Ailment, moved: u64) {
        let got_on = moved > u64::from(self.lanes) * MOVED_PER_LANE;
        if got_on && !ailment.lane {
            self.lanes = self.most;
        }
        // One that leads nowhere may do so again and again: which way a connection takes, its
        // number tells.
        if ailment.lane {
            self.lanes = self.lanes.div_ceil(2);
        }
        match got_on {
            true => self.packets.grow(),
            false if ailment.packets => self.packets.shrink(),
            false => {}
        }
    }
}

/// Whether the other machine may just be about to come back.
fn is_unreachable(error: &Error) -> bool {
    matches!(
        error,
        Error::Connect { .. }
            | Error::Unreachable { .. }
            | Error::Resolve { .. }
            | Error::NotFound(_)
            | Error::NotXfer { .. }
            | Error::Declined {
                reason: Decline::TooManySessions,
                ..
            }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ailed_a_session_is_forgotten_when_another_gets_on() {
        const WELL: Ailment = Ailment {
            lane: false,
            packets: false,
        };
        const LANE: Ailment = Ailment { lane: true, ..WELL };
        const PACKETS: Ailment = Ailment {
            packets: true,
            ..WELL
        };
        let mut means = Means::new(8, Packets::default());
        for (ailment, moved, lanes, are_small) in [
            (WELL, 0, 8, false),
            (LANE, 1 << 20, 4, false),
            (LANE, 1 << 30, 2, false),
            (PACKETS, 1 << 20, 2, true),
            (WELL, 1 << 20, 2, true),
            (WELL, 1 << 30, 8, false),
            // Packets of ordinary size have passed.
            (PACKETS, 1 << 30, 8, false),
        ] {
            means.fit(ailment, moved);
            assert_eq!(
                (means.lanes, means.packets.are_small()),
                (lanes, are_small),
                "{ailment:?}, {moved}"
            );
        }
    }
}

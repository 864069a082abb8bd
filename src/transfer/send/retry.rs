//! Sends in session after session, until one completes or another is not worth starting.
//!
//! Must not know what goes on in a session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::model::outcome::{Decline, Summary};
use crate::model::progress::{Event, Progress};
use crate::model::prompt::Prompt;
use crate::net::Pace;
use crate::source::Roots;

use super::super::cancel::Cancel;
use super::super::dial::{Connector, Packets};
use super::super::link::Ailment;
use super::super::options::{Device, SendOptions};
use super::session::{Ending, Sessions};

/// How many bytes of files a session must have sent to count as one that got on: more than can
/// be on the way.
const MOVED: u64 = 16 << 20;
/// The same for each of its lanes, where what they were given may not have arrived.
const MOVED_PER_LANE: u64 = 8 << 20;
/// How long the sender waits before it tries again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Sends files and folders, and returns when all of them are there, or it is known which are
/// not. A lost connection is made anew for as long as [`SendOptions::retry`] says; what is there
/// already does not travel again.
///
/// A receiver that does not know this machine is paired with first: `prompt` is asked for its
/// code. One that is not who it was is never told anything.
pub fn send(
    device: &Device,
    options: &SendOptions,
    prompt: &Arc<dyn Prompt>,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<Summary> {
    let roots = Roots::except(
        &options.paths,
        &options.naming,
        &options.filter,
        device.own.clone(),
    )?;
    let mut connector = Connector::new(device, prompt, progress, cancel)?;
    connector.waits = options.wait;
    let sessions = Sessions {
        connector,
        roots,
        options,
        pace: options.limit.map(|limit| Arc::new(Pace::new(limit))),
        progress,
        cancel,
    };
    let mut before = Summary::default();
    let mut lost: Option<Instant> = None;
    let mut wait = BACKOFF.0;
    let mut worked = false;
    let mut means = Means::new(options.lanes, sessions.connector.packets.clone());
    loop {
        let Ending {
            session,
            began,
            moved,
            stored,
            ailment,
            result,
        } = sessions.run(&before, means.lanes);
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
        if !options.wish.dry_run {
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
        if !worked || !again || since.elapsed() + wait > options.retry {
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

/// Whether the receiver may just be about to come back.
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

//! `Refusals`: which of the refused connections are told.
//!
//! Must not make sentences. A stranger could go on for ever, and must neither fill the log nor
//! silence what is said of others.

use std::collections::HashSet;
use std::mem::discriminant;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use xfer::Error;
use xfer::model::outcome::Decline;

/// How long it is until what was told is told again.
const PERIOD: Duration = Duration::from_secs(600);
/// How many refused strangers are told in that time, at most.
const MAX_STRANGERS: usize = 20;
/// How many others are: those who come close to somebody who is known here.
const MAX_OTHERS: usize = 200;

/// Whether to tell of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tell {
    No,
    Yes,
    /// And that it is the last one for a while.
    Last,
}

/// What was told lately.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    since: Option<Instant>,
    strangers: HashSet<String>,
    others: HashSet<String>,
}

impl Refusals {
    /// Notes that somebody was refused. The same is told once in a while: the port is another one
    /// each time, and makes no difference.
    pub(super) fn tell(&mut self, peer: IpAddr, error: &Error, now: Instant) -> Tell {
        let age = |since| now.saturating_duration_since(since);
        if self.since.is_none_or(|since| age(since) >= PERIOD) {
            *self = Self {
                since: Some(now),
                ..Self::default()
            };
        }
        let kind = discriminant(error);
        let (told, most, key) = match error {
            Error::Impostor { name, .. }
            | Error::OtherPeer { name, .. }
            | Error::TurnedAway {
                name,
                reason: Decline::NameTaken,
                ..
            } => (
                &mut self.others,
                MAX_OTHERS,
                format!("{peer} {kind:?} {name}"),
            ),
            Error::TurnedAway { reason, .. } if !is_of_strangers(reason) => {
                let reason = discriminant(reason);
                (&mut self.others, MAX_OTHERS, format!("{peer} {reason:?}"))
            }
            _ => (
                &mut self.strangers,
                MAX_STRANGERS,
                format!("{peer} {kind:?}"),
            ),
        };
        if told.len() >= most || !told.insert(key) {
            Tell::No
        } else if told.len() == most {
            Tell::Last
        } else {
            Tell::Yes
        }
    }
}

/// Whether anybody can be told this, without being let in.
fn is_of_strangers(reason: &Decline) -> bool {
    matches!(
        reason,
        Decline::Unknown | Decline::NotOpen | Decline::Locked | Decline::Crowded
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn turned_away(peer: SocketAddr, reason: Decline) -> Error {
        Error::TurnedAway {
            peer,
            name: "laptop".to_owned(),
            reason,
        }
    }

    #[test]
    fn strangers_are_told_a_few_times_and_silence_nobody() {
        let mut refusals = Refusals::default();
        let now = Instant::now();
        let mut told = |peer: SocketAddr, error: &Error, after: Duration| {
            refusals.tell(peer.ip(), error, now + after)
        };
        let zero = Duration::ZERO;
        let addr = |n| SocketAddr::from(([10, 0, 0, n], 1));
        let not_xfer = |n| Error::NotXfer { peer: addr(n) };
        let mut lines = Vec::new();
        for n in 0..=255 {
            for port in 0..3 {
                lines.push(told((addr(n).ip(), port).into(), &not_xfer(n), zero));
            }
        }
        let count = |what| lines.iter().filter(|tell| **tell == what).count();
        assert_eq!(count(Tell::Yes), MAX_STRANGERS - 1);
        assert_eq!(count(Tell::Last), 1);

        for reason in [Decline::NameTaken, Decline::NoMirror] {
            let error = turned_away(addr(7), reason);
            assert_eq!(told(addr(7), &error, zero), Tell::Yes);
            assert_eq!(told(addr(7), &error, zero), Tell::No);
            assert_eq!(told(addr(8), &error, zero), Tell::Yes);
        }
        let unknown = turned_away(addr(9), Decline::Unknown);
        assert_eq!(told(addr(9), &unknown, zero), Tell::No);
        assert_eq!(told(addr(9), &unknown, PERIOD), Tell::Yes);
        assert_eq!(told(addr(0), &not_xfer(0), PERIOD), Tell::Yes);
    }
}

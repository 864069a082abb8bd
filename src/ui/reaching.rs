//! `Reaching`: whom this machine tries to reach, and what it waits for.
//!
//! Must not reach anybody, nor draw.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use xfer::model::progress::Event;
use xfer::net::PeerAddress;

use super::safe::safe;

/// After how long a person is told what is waited for.
const SLOW: Duration = Duration::from_secs(2);
/// How many addresses are named.
const MAX_ADDRESSES: usize = 3;

/// Somebody whom this machine tries to reach.
#[derive(Debug)]
pub(crate) struct Reaching {
    /// The name that is looked for; none where there is an address.
    name: Option<String>,
    /// Where it has tried to connect, as far as that is worth showing.
    tried: Vec<SocketAddr>,
    since: Instant,
}

impl Reaching {
    /// Takes note of what an event says of it. Says whether it is about nothing else.
    pub(super) fn hear(this: &mut Option<Self>, event: &Event<'_>, now: Instant) -> bool {
        match event {
            Event::Connecting { addr } => {
                let reaching = this.get_or_insert_with(|| Self::begin(now));
                reaching.tried.retain(|tried| tried != addr);
                reaching.tried.push(*addr);
                true
            }
            Event::Searching { name } => {
                let reaching = this.get_or_insert_with(|| Self::begin(now));
                reaching.name = Some(safe(name).to_string());
                true
            }
            Event::Waiting { .. }
            | Event::Awaiting { .. }
            | Event::Paired { .. }
            | Event::Shown { .. } => {
                *this = None;
                true
            }
            Event::Started { .. }
            | Event::Retrying { .. }
            | Event::Finished { .. }
            | Event::Failed { .. } => {
                *this = None;
                false
            }
            _ => false,
        }
    }

    fn begin(now: Instant) -> Self {
        Self {
            name: None,
            tried: Vec::new(),
            since: now,
        }
    }

    /// What it does, and what it waits for once that takes a while.
    pub(crate) fn words(&self, now: Instant) -> String {
        let is_slow = now.saturating_duration_since(self.since) >= SLOW;
        let last = self.tried.iter().rev().take(MAX_ADDRESSES);
        let tried: Vec<_> = last
            .map(|addr| PeerAddress::from(*addr).to_string())
            .collect();
        let tried = tried.join(", ");
        match &self.name {
            Some(name) if is_slow && !self.tried.is_empty() => {
                format!("Looking for {name}: no answer at {tried} …")
            }
            Some(name) if is_slow => {
                format!("Looking for {name}: nobody on this network answers to that name yet …")
            }
            Some(name) => format!("Looking for {name} …"),
            None if is_slow => format!("Connecting: no answer yet from {tried} …"),
            None => match self.tried.last() {
                Some(addr) => format!("Connecting to {} …", PeerAddress::from(*addr)),
                None => "Connecting …".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slow_says_what_it_waits_for() {
        let now = Instant::now();
        let mut reaching = None;
        let mut hear = |event: &Event<'_>| assert!(Reaching::hear(&mut reaching, event, now));
        hear(&Event::Connecting {
            addr: ([10, 0, 0, 7], 9090).into(),
        });
        hear(&Event::Connecting {
            addr: ([10, 0, 0, 8], 9091).into(),
        });
        let words = reaching.as_ref().unwrap().words(now);
        assert_eq!(words, "Connecting to 10.0.0.8:9091 …");
        let words = reaching.as_ref().unwrap().words(now + SLOW);
        assert_eq!(
            words,
            "Connecting: no answer yet from 10.0.0.8:9091, 10.0.0.7:9090 …"
        );
        let mut hear = |event: &Event<'_>| assert!(Reaching::hear(&mut reaching, event, now));
        hear(&Event::Searching { name: "lap\x1b" });
        let words = reaching.as_ref().unwrap().words(now + SLOW);
        assert_eq!(
            words,
            "Looking for lap\\x1b: no answer at 10.0.0.8:9091, 10.0.0.7:9090 …"
        );
    }
}

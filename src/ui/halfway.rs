//! `Halfway`: how much had arrived when a session ended too early.
//!
//! Must not say why it ended.

use std::sync::atomic::Ordering;

use xfer::model::progress::Counters;

use super::words::bytes;

/// How far a transfer got.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Halfway {
    /// The bytes that the receiver has, of these sessions the most.
    pub(crate) moved: u64,
    /// All bytes; none where they are not known.
    total: Option<u64>,
}

impl Halfway {
    /// How far a session got.
    pub(crate) fn of(counters: &Counters) -> Self {
        let is_known = counters.scanned.load(Ordering::Acquire);
        let is_known = is_known && !counters.is_stream.load(Ordering::Relaxed);
        Self {
            moved: Counters::get(&counters.bytes_done),
            total: is_known.then(|| Counters::get(&counters.bytes_total)),
        }
    }

    /// Takes note of a session that ended. One that came less far found as much as before, and had
    /// no time to tell.
    pub(crate) fn note(&mut self, counters: &Counters) {
        let ended = Self::of(counters);
        self.moved = self.moved.max(ended.moved);
        self.total = ended.total.or(self.total);
    }

    /// In words: `134 MB of 315 MB`. Nothing where nothing arrived.
    pub(crate) fn words(&self) -> Option<String> {
        match self.total {
            _ if self.moved == 0 => None,
            Some(total) if total >= self.moved => {
                Some(format!("{} of {}", bytes(self.moved), bytes(total)))
            }
            _ => Some(bytes(self.moved)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_said_of_what_is_known() {
        let counters = Counters::default();
        let mut halfway = Halfway::default();
        halfway.note(&counters);
        assert_eq!(halfway.words(), None);
        Counters::add(&counters.bytes_done, 134_000_000);
        Counters::add(&counters.bytes_total, 315_000_000);
        halfway.note(&counters);
        assert_eq!(halfway.words().as_deref(), Some("134 MB"));
        counters.scanned.store(true, Ordering::Relaxed);
        halfway.note(&counters);
        // Another one, which did not get so far.
        halfway.note(&Counters::default());
        assert_eq!(halfway.words().as_deref(), Some("134 MB of 315 MB"));
    }
}

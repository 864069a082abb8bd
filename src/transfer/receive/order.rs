//! The order of a session's messages on the receiver: what a sender may say when, and when it is
//! time for what waits for removals.
//!
//! Must not do anything about what is said: a message that passes makes sense where it stands. No
//! files, sockets, locks or clocks.

use super::super::message_order::OrderViolation;
use crate::model::entry::{EntryId, Kind};
use crate::model::order::Order;
use crate::wire::Message;

/// Watches over one session, from the offer to its end.
#[derive(Debug)]
pub(super) struct ReceivingOrder {
    order: Order,
    window: u64,
    scanned: bool,
    ended: bool,
    has_stream: bool,
    /// How many entries have had their outcome.
    outcomes: u64,
    /// How many wait for removals.
    deferred: u64,
    /// Whether the one who decides about entries has seen the last of them.
    all_decided: bool,
    /// Whether the sender has been asked what may be removed, and has not answered.
    asked: bool,
}

impl ReceivingOrder {
    /// For a sender that may have `window` entries without an outcome.
    pub(super) fn new(window: u32) -> Self {
        Self {
            order: Order::new(),
            window: window.into(),
            scanned: false,
            ended: false,
            has_stream: false,
            outcomes: 0,
            deferred: 0,
            all_decided: false,
            asked: false,
        }
    }

    /// The sender says something.
    pub(super) fn hear(&mut self, message: &Message) -> Result<(), OrderViolation> {
        let out_of_turn = Err(OrderViolation::OutOfTurn(message.name()));
        match message {
            Message::Ping(()) => {}
            Message::Decisions(_) | Message::RemovalAnswer(_) if self.asked => self.asked = false,
            _ if self.ended => return Err(OrderViolation::BehindEnd),
            Message::Entries(_) | Message::DirEnd(_) if self.scanned => return out_of_turn,
            Message::Entries(entries) => {
                for entry in &entries.0 {
                    self.order.entry(entry)?;
                    self.has_stream |= matches!(entry.kind, Kind::Stream);
                }
                if self.order.count().saturating_sub(self.outcomes) > self.window {
                    return Err(OrderViolation::Window);
                }
            }
            Message::DirEnd(end) => self.order.dir_end(end.entry)?,
            Message::Scanned(scanned) => {
                if self.scanned {
                    return out_of_turn;
                }
                if scanned.complete {
                    self.order.end()?;
                    self.scanned = true;
                }
            }
            Message::End(end) => {
                let all = self.order.count();
                if !self.scanned || end.entries != all || self.outcomes != all {
                    return Err(OrderViolation::Unfinished);
                }
                self.ended = true;
            }
            Message::Done(_) | Message::Skipped(_) | Message::Changed(_) => {}
            _ => return out_of_turn,
        }
        Ok(())
    }

    /// Whether there is a stream, so that nobody knows how much there is to come.
    pub(super) fn has_stream(&self) -> bool {
        self.has_stream
    }

    /// How many entries were announced.
    pub(super) fn announced(&self) -> u64 {
        self.order.count()
    }

    /// Whether there is, or was, such an entry.
    pub(super) fn was_announced(&self, entry: EntryId) -> bool {
        entry < self.order.count()
    }

    /// An entry has its outcome. Says whether it is time for those that wait for removals.
    pub(super) fn outcome(&mut self) -> bool {
        self.outcomes += 1;
        self.is_time_for_deferred()
    }

    /// An entry waits for removals.
    pub(super) fn defer(&mut self) {
        self.deferred += 1;
    }

    /// All that was announced has been decided about. Says whether it is time for those that wait
    /// for removals.
    pub(super) fn all_decided(&mut self) -> bool {
        self.all_decided = true;
        self.is_time_for_deferred()
    }

    /// Entries that waited for removals are as any others from here on.
    pub(super) fn resume_deferred(&mut self) {
        self.deferred = 0;
    }

    /// The sender is asked what may be removed.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    fn is_time_for_deferred(&self) -> bool {
        let all = self.order.count();
        self.deferred > 0 && self.all_decided && self.outcomes + self.deferred == all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::{Entry, Kind, Mode, Time};
    use crate::model::order::OrderError;
    use crate::model::relpath::RelPath;
    use crate::wire::{DirEnd, End, Entries, Scanned};

    fn dir(id: u64, path: &str) -> Message {
        Message::Entries(Entries(vec![Entry {
            id,
            path: RelPath::new(path).unwrap(),
            kind: Kind::Dir,
            mtime: Time::from_seconds(0),
            mode: Mode::try_from(0o755).unwrap(),
            extras: vec![],
        }]))
    }

    fn end(entry: u64) -> Message {
        Message::DirEnd(DirEnd {
            entry,
            complete: true,
        })
    }

    fn scanned(complete: bool) -> Message {
        Message::Scanned(Scanned {
            entries: 0,
            bytes: 0,
            complete,
        })
    }

    #[test]
    fn the_window_bounds_what_has_no_outcome() {
        let mut session = ReceivingOrder::new(2);
        for i in 0..2 {
            session.hear(&dir(i, &format!("{i}"))).unwrap();
            session.hear(&end(i)).unwrap();
        }
        assert!(!session.outcome());
        session.hear(&dir(2, "2")).unwrap();
        session.hear(&end(2)).unwrap();
        assert_eq!(session.hear(&dir(3, "3")), Err(OrderViolation::Window));
    }

    #[test]
    fn an_end_comes_when_all_has_its_outcome() {
        let done = Message::End(End {
            entries: 1,
            unannounced: 0,
        });
        let mut session = ReceivingOrder::new(16);
        session.hear(&scanned(false)).unwrap();
        session.hear(&dir(0, "a")).unwrap();
        let open = Err(OrderViolation::Manifest(OrderError::Open));
        assert_eq!(session.hear(&scanned(true)), open);
        session.hear(&end(0)).unwrap();
        assert_eq!(session.hear(&done), Err(OrderViolation::Unfinished));
        session.hear(&scanned(true)).unwrap();
        let late = session.hear(&dir(1, "b"));
        assert!(matches!(late, Err(OrderViolation::OutOfTurn(_))));
        assert_eq!(session.hear(&done), Err(OrderViolation::Unfinished));
        session.outcome();
        session.hear(&done).unwrap();
        // Behind it nothing comes but signs of life, and answers.
        session.hear(&Message::Ping(())).unwrap();
        assert_eq!(session.hear(&done), Err(OrderViolation::BehindEnd));
        let answer = Message::Decisions(crate::wire::Decisions(vec![]));
        assert_eq!(session.hear(&answer), Err(OrderViolation::BehindEnd));
        session.ask();
        session.hear(&answer).unwrap();
        assert_eq!(session.hear(&answer), Err(OrderViolation::BehindEnd));
    }

    #[test]
    fn what_waits_for_removals_comes_when_all_else_is_done() {
        let mut session = ReceivingOrder::new(16);
        for i in 0..3 {
            session.hear(&dir(i, &format!("{i}"))).unwrap();
            session.hear(&end(i)).unwrap();
        }
        session.defer();
        assert!(!session.outcome());
        assert!(!session.outcome());
        // Nobody knows yet that these were all.
        assert!(session.all_decided());
        session.resume_deferred();
        assert!(!session.outcome());
    }

    #[test]
    fn a_sender_cannot_speak_as_a_receiver() {
        let wants = Message::Wants(crate::wire::Wants::default());
        assert!(matches!(
            ReceivingOrder::new(16).hear(&wants),
            Err(OrderViolation::OutOfTurn("Wants"))
        ));
    }
}

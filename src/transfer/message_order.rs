//! What a receiver may say when, as its sender checks it, and how either side can break the order.
//! `receive/order.rs` checks the sender.
//!
//! Must not do anything about what is said: events in, actions out. A message that passes makes
//! sense where it stands.

use std::fmt;

use crate::model::order::OrderError;
use crate::model::outcome::{Summary, Wish};
use crate::wire::{End, Message};

/// How a peer broke the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OrderViolation {
    /// The manifest makes no sense.
    Manifest(OrderError),
    /// More entries at once than were allowed.
    Window,
    /// A message of this name cannot be said now, or not by this side.
    OutOfTurn(&'static str),
    /// An end before everything had its outcome.
    Unfinished,
    /// Anything but a sign of life, or an answer, behind the end.
    BehindEnd,
    /// A want, where nothing is to be sent.
    WantInDryRun,
    /// A summary too early, or of other entries than there were.
    Summary,
}

impl fmt::Display for OrderViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(e) => e.fmt(f),
            Self::Window => f.write_str("more entries at once than were allowed"),
            Self::OutOfTurn(name) => write!(f, "a message {name} out of turn"),
            Self::Unfinished => f.write_str("an end before everything had its outcome"),
            Self::BehindEnd => f.write_str("a message behind the end"),
            Self::WantInDryRun => f.write_str("a want in a dry run"),
            Self::Summary => f.write_str("a summary that does not add up"),
        }
    }
}

impl From<OrderError> for OrderViolation {
    fn from(error: OrderError) -> Self {
        Self::Manifest(error)
    }
}

/// How far a sender has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SendingPhase {
    /// It finds what to send.
    Walking,
    /// It has found everything: its receiver may ask what to do about what is not there.
    Walked,
    /// It has announced everything, and waits for outcomes.
    Announced,
    /// Its last lane has ended, and it has said so. What comes is the summary.
    Ended,
}

/// A session as its sender sees it.
#[derive(Debug)]
pub(crate) struct SendingOrder {
    wish: Wish,
    phase: SendingPhase,
    /// How many lanes are at work.
    lanes: u16,
    /// How many entries there are, once that is known.
    entries: u64,
    /// How many of them have their outcome.
    settled: u64,
    /// How much that was meant could not be announced.
    unannounced: u64,
}

/// What happens in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendingEvent {
    /// Something that was meant cannot be announced.
    Unannounced,
    /// The walk is at its end, which the receiver is told next: so many entries.
    Walked { entries: u64 },
    /// The receiver has been told.
    Announced,
    /// So many entries have their outcome.
    Settled { entries: u64 },
    /// A lane has ended in order.
    LaneEnded,
}

/// What is to be done then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendingAction {
    /// Nothing.
    Nothing,
    /// Let the lanes end: there is nothing more for them.
    EndLanes,
    /// Say the last message.
    Say(End),
}

impl SendingOrder {
    /// For so many lanes.
    pub(crate) fn new(wish: Wish, lanes: u16) -> Self {
        Self {
            wish,
            phase: SendingPhase::Walking,
            lanes,
            entries: 0,
            settled: 0,
            unannounced: 0,
        }
    }

    /// Takes an event, and says what follows.
    pub(crate) fn on(&mut self, event: SendingEvent) -> SendingAction {
        match event {
            SendingEvent::Unannounced => self.unannounced += 1,
            SendingEvent::Walked { entries } => {
                self.phase = SendingPhase::Walked;
                self.entries = entries;
            }
            SendingEvent::Announced => {
                self.phase = SendingPhase::Announced;
                return self.end_lanes_if_settled();
            }
            SendingEvent::Settled { entries } => {
                self.settled += entries;
                return self.end_lanes_if_settled();
            }
            SendingEvent::LaneEnded => {
                self.lanes = self.lanes.saturating_sub(1);
                if self.lanes == 0 {
                    self.phase = SendingPhase::Ended;
                    return SendingAction::Say(End {
                        entries: self.entries,
                        unannounced: self.unannounced,
                    });
                }
            }
        }
        SendingAction::Nothing
    }

    fn end_lanes_if_settled(&self) -> SendingAction {
        match self.phase == SendingPhase::Announced && self.settled == self.entries {
            true => SendingAction::EndLanes,
            false => SendingAction::Nothing,
        }
    }

    /// Whether the receiver may say this now. `failed` is how many entries have, by their
    /// outcomes.
    pub(crate) fn check(&self, message: &Message, failed: u64) -> Result<(), OrderViolation> {
        let passes = match message {
            Message::Wants(_) if self.wish.dry_run => return Err(OrderViolation::WantInDryRun),
            Message::Wants(_)
            | Message::Held(_)
            | Message::Outcomes(_)
            | Message::Verified(_)
            | Message::FolderFailed(_)
            | Message::Ping(())
            | Message::Abort(_)
            | Message::AbortText(_) => true,
            Message::Removed(_) => self.wish.mirror,
            Message::MayRemove(_) | Message::RemovalQuestion(_) => {
                self.wish.mirror && self.phase != SendingPhase::Walking
            }
            // Once for each, but it is only words: nothing depends on how often.
            Message::NotKept(_) => self.phase == SendingPhase::Ended,
            Message::Summary(summary) => return self.check_summary(summary, failed),
            _ => false,
        };
        match passes {
            true => Ok(()),
            false => Err(OrderViolation::OutOfTurn(message.name())),
        }
    }

    /// The summary must come at the end, and count every entry. What has failed may only become
    /// more: a folder that was there, and whose time or mode could not be set.
    fn check_summary(&self, summary: &Summary, failed: u64) -> Result<(), OrderViolation> {
        let all = self.entries + self.unannounced;
        let counted = [summary.stored, summary.have, summary.failed, summary.kept];
        let counted = counted.iter().try_fold(0u64, |sum, &n| sum.checked_add(n));
        let parts = [
            summary.files,
            summary.have_files,
            summary.renamed,
            summary.replaced,
        ];
        let adds_up = counted == Some(all)
            && summary.failed >= self.unannounced.saturating_add(failed)
            && parts.iter().all(|&part| part <= all);
        match self.phase == SendingPhase::Ended && adds_up {
            true => Ok(()),
            false => Err(OrderViolation::Summary),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::{Entry, Kind, Mode, Time};
    use crate::model::reason::AbortReason;
    use crate::model::relpath::RelPath;
    use crate::model::text::Text;
    use crate::wire::{
        DirEnd, Entries, Held, MayRemove, Outcomes, Removed, Scanned, Verified, Wants,
    };

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

    fn sending(wish: Wish, events: &[SendingEvent]) -> SendingOrder {
        let mut order = SendingOrder::new(wish, 2);
        for event in events {
            order.on(*event);
        }
        order
    }

    const WALKED: SendingEvent = SendingEvent::Walked { entries: 3 };
    const SETTLED: SendingEvent = SendingEvent::Settled { entries: 3 };
    /// All that happens in a session of three entries and one that could not be announced.
    const ALL: [SendingEvent; 6] = [
        SendingEvent::Unannounced,
        WALKED,
        SendingEvent::Announced,
        SETTLED,
        SendingEvent::LaneEnded,
        SendingEvent::LaneEnded,
    ];

    #[test]
    fn lanes_end_when_all_is_announced_and_settled_and_the_end_is_said_after_the_last() {
        use SendingAction::{EndLanes, Nothing, Say};
        let end = Say(End {
            entries: 3,
            unannounced: 1,
        });
        let part = |entries| SendingEvent::Settled { entries };
        let table: [&[(SendingEvent, SendingAction)]; 3] = [
            &[
                (ALL[0], Nothing),
                (WALKED, Nothing),
                (SendingEvent::Announced, Nothing),
                (part(2), Nothing),
                (part(1), EndLanes),
                (SendingEvent::LaneEnded, Nothing),
                (SendingEvent::LaneEnded, end),
            ],
            // All outcomes may come before the receiver has been told that this is all.
            &[
                (ALL[0], Nothing),
                (part(3), Nothing),
                (WALKED, Nothing),
                (SendingEvent::Announced, EndLanes),
                (SendingEvent::LaneEnded, Nothing),
                (SendingEvent::LaneEnded, end),
            ],
            &[
                (ALL[0], Nothing),
                (WALKED, Nothing),
                (part(3), Nothing),
                (SendingEvent::Announced, EndLanes),
                (SendingEvent::LaneEnded, Nothing),
                (SendingEvent::LaneEnded, end),
            ],
        ];
        for steps in table {
            let mut order = SendingOrder::new(Wish::default(), 2);
            for (event, action) in steps {
                assert_eq!(order.on(*event), *action, "{event:?} of {steps:?}");
            }
        }
    }

    #[test]
    fn a_receiver_says_each_message_where_it_makes_sense() {
        let plain = Wish::default();
        let mirror = Wish {
            mirror: true,
            ..plain
        };
        let dry = Wish {
            dry_run: true,
            ..plain
        };
        let wants = || Message::Wants(Wants::default());
        let held = Message::Held(Held {
            entry: 0,
            attempt: 0,
            first: 0,
            digests: vec![],
            last: true,
        });
        let removed = Message::Removed(Removed(vec![]));
        let may_remove = Message::MayRemove(MayRemove(vec![]));
        let any_time = [
            wants(),
            held,
            Message::Outcomes(Outcomes(vec![])),
            Message::Verified(Verified(vec![])),
            Message::Ping(()),
            Message::AbortText(Text::new("enough")),
            Message::Abort(AbortReason::Stopped),
        ];
        let never = [dir(0, "a"), end(0), scanned(true), Message::LaneEnd(())];
        for phase in 0..=ALL.len() {
            let order = |wish| sending(wish, &ALL[..phase]);
            let out_of_turn = |message: &Message| Err(OrderViolation::OutOfTurn(message.name()));
            for message in &any_time {
                assert_eq!(order(plain).check(message, 0), Ok(()), "{message:?}");
            }
            for message in &never {
                assert_eq!(order(mirror).check(message, 0), out_of_turn(message));
            }
            let in_dry_run = order(dry).check(&wants(), 0);
            assert_eq!(in_dry_run, Err(OrderViolation::WantInDryRun));
            assert_eq!(order(plain).check(&removed, 0), out_of_turn(&removed));
            assert_eq!(order(mirror).check(&removed, 0), Ok(()));
            assert_eq!(order(plain).check(&may_remove, 0), out_of_turn(&may_remove));
            let asked = order(mirror).check(&may_remove, 0);
            match phase {
                0 | 1 => assert_eq!(asked, out_of_turn(&may_remove)),
                _ => assert_eq!(asked, Ok(())),
            }
            let summary = Summary {
                stored: 3,
                failed: 1,
                ..Summary::default()
            };
            let ended = order(plain).check(&Message::Summary(summary), 0);
            match phase == ALL.len() {
                true => assert_eq!(ended, Ok(())),
                false => assert_eq!(ended, Err(OrderViolation::Summary)),
            }
        }
    }

    #[test]
    fn a_summary_counts_every_entry_and_no_failure_less() {
        let all = sending(Wish::default(), &ALL);
        let summary = |stored, have, failed, kept, files| Summary {
            stored,
            have,
            failed,
            kept,
            files,
            ..Summary::default()
        };
        let table = [
            (summary(3, 0, 1, 0, 3), 0, true),
            (summary(0, 1, 1, 2, 0), 0, true),
            (summary(2, 0, 2, 0, 2), 1, true),
            (summary(2, 0, 2, 0, 2), 0, true),
            (summary(3, 0, 1, 0, 3), 1, false),
            (summary(4, 0, 0, 0, 3), 0, false),
            (summary(3, 0, 2, 0, 3), 0, false),
            (summary(2, 0, 1, 0, 3), 0, false),
            (summary(3, 0, 1, 0, 5), 0, false),
            (summary(u64::MAX, 3, 2, 0, 0), 0, false),
        ];
        for (summary, failed, passes) in table {
            let checked = all.check(&Message::Summary(summary), failed);
            assert_eq!(checked.is_ok(), passes, "{summary:?}, {failed} failed");
        }
    }
}

//! What a sender may say when, as its receiver sees it.
//!
//! Must not do anything about what is said: a message that passes makes sense where it stands.

use crate::model::order::{Order, OrderError};
use crate::wire::Message;

/// Watches over one sender's messages on the control connection, from the offer to its `End`.
#[derive(Debug)]
pub(crate) struct SenderRules {
    order: Order,
    window: u64,
    scanned: bool,
}

/// How a sender broke the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuleError {
    Order(OrderError),
    Window,
    OutOfTurn(&'static str),
    Unfinished,
}

impl std::fmt::Display for RuleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Order(e) => e.fmt(f),
            Self::Window => f.write_str("more entries at once than were allowed"),
            Self::OutOfTurn(name) => write!(f, "a message {name} out of turn"),
            Self::Unfinished => f.write_str("an end before everything had its outcome"),
        }
    }
}

impl From<OrderError> for RuleError {
    fn from(error: OrderError) -> Self {
        Self::Order(error)
    }
}

impl SenderRules {
    /// For a sender that may have `window` entries without an outcome.
    pub(crate) fn new(window: u32) -> Self {
        Self {
            order: Order::new(),
            window: window.into(),
            scanned: false,
        }
    }

    /// Takes the next message. `outcomes` is how many entries have had theirs.
    pub(crate) fn check(&mut self, message: &Message, outcomes: u64) -> Result<(), RuleError> {
        let out_of_turn = Err(RuleError::OutOfTurn(message.name()));
        match message {
            Message::Entries(_) | Message::DirEnd(_) if self.scanned => return out_of_turn,
            Message::Entries(entries) => {
                for entry in &entries.0 {
                    self.order.entry(entry)?;
                }
                if self.order.count().saturating_sub(outcomes) > self.window {
                    return Err(RuleError::Window);
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
                if !self.scanned || end.entries != self.order.count() || outcomes != end.entries {
                    return Err(RuleError::Unfinished);
                }
            }
            Message::Done(_)
            | Message::Skipped(_)
            | Message::Changed(_)
            | Message::Decisions(_)
            | Message::Ping(()) => {}
            _ => return out_of_turn,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::{Entry, Kind, Mode, Time};
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
        let mut rules = SenderRules::new(2);
        for i in 0..2 {
            rules.check(&dir(i, &format!("{i}")), 0).unwrap();
            rules.check(&end(i), 0).unwrap();
        }
        rules.check(&dir(2, "2"), 1).unwrap();
        rules.check(&end(2), 1).unwrap();
        assert_eq!(rules.check(&dir(3, "3"), 1), Err(RuleError::Window));
    }

    #[test]
    fn an_end_comes_when_all_has_its_outcome() {
        let done = Message::End(End {
            entries: 1,
            unannounced: 0,
        });
        let mut rules = SenderRules::new(16);
        rules.check(&scanned(false), 0).unwrap();
        rules.check(&dir(0, "a"), 0).unwrap();
        assert_eq!(
            rules.check(&scanned(true), 1),
            Err(RuleError::Order(OrderError::Open))
        );
        rules.check(&end(0), 0).unwrap();
        assert_eq!(rules.check(&done, 1), Err(RuleError::Unfinished));
        rules.check(&scanned(true), 0).unwrap();
        assert!(matches!(
            rules.check(&dir(1, "b"), 1),
            Err(RuleError::OutOfTurn(_))
        ));
        assert_eq!(rules.check(&done, 0), Err(RuleError::Unfinished));
        rules.check(&done, 1).unwrap();
    }

    #[test]
    fn a_sender_cannot_speak_as_a_receiver() {
        let wants = Message::Wants(crate::wire::Wants::default());
        assert!(matches!(
            SenderRules::new(16).check(&wants, 0),
            Err(RuleError::OutOfTurn("Wants"))
        ));
    }
}

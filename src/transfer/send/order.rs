//! The order of a sending session, which its workers share: what one of them brings about, and
//! what follows for the others.
//!
//! Must not decide what follows: [`SendingOrder`] does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::outcome::Wish;
use crate::wire::Message;

use super::super::lane_source::LaneSource;
use super::super::link::Link;
use super::super::message_order::{OrderViolation, SendingAction, SendingEvent, SendingOrder};
use super::queue::Queue;

/// What has happened in a session, and who is told.
pub(super) struct SharedOrder<'a> {
    order: Mutex<SendingOrder>,
    queue: &'a Queue,
    source: &'a LaneSource<'a>,
    link: &'a Link,
}

impl<'a> SharedOrder<'a> {
    /// For a session of so many lanes.
    pub(super) fn new(
        wish: Wish,
        lanes: u16,
        (queue, source): (&'a Queue, &'a LaneSource<'a>),
        link: &'a Link,
    ) -> Self {
        Self {
            order: Mutex::new(SendingOrder::new(wish, lanes)),
            queue,
            source,
            link,
        }
    }

    fn order(&self) -> MutexGuard<'_, SendingOrder> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event, and does what follows.
    pub(super) fn on(&self, event: SendingEvent) {
        let action = self.order().on(event);
        match action {
            SendingAction::Nothing => {}
            SendingAction::EndLanes => {
                self.link.lanes_are_done();
                self.queue.close();
                self.source.close();
            }
            SendingAction::Say(end) => self.link.outbox.push(Message::End(end)),
        }
    }

    /// Whether the receiver may say this now. `failed` is how many entries have, by their
    /// outcomes.
    pub(super) fn check(&self, message: &Message, failed: u64) -> Result<(), OrderViolation> {
        self.order().check(message, failed)
    }
}

//! A session: its first words, what may be said when, and the link that carries and ends it.
//!
//! Must not touch files: the engines do.

mod hello;
mod link;
mod outbox;
mod rules;

pub(crate) use hello::{
    FIRST_WORDS, Opening, Ours, hear_offer, join, offer, opening, say, say_last,
};
pub(crate) use link::{LAST_WORDS, Link, SILENCE, Stop};
pub(crate) use outbox::PING_INTERVAL;
pub(crate) use rules::SenderRules;

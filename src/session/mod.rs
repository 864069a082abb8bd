//! A session: its first words, what may be said when, and the link that carries and ends it.
//!
//! Must not touch files: the engines do.

mod desk;
mod hello;
mod link;
mod outbox;
mod pair;
mod rules;

pub(crate) use desk::Desk;
pub(crate) use hello::{
    FIRST_WORDS, Greeted, LetIn, Opening, Ours, greet, hear_offer, join, let_in, offer, opening,
    say, say_last,
};
pub(crate) use link::{LAST_WORDS, Link, SILENCE, Stop};
pub(crate) use outbox::PING_INTERVAL;
pub(crate) use pair::turn_away;
pub(crate) use rules::SenderRules;

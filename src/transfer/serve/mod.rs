//! The listening receiver: who connects, who is let in and for what, and which sessions there are.
//!
//! Must not know what becomes of the files of a session.
//!
//! The `listener` gives each connection a thread. A `connection` is a lane of a session, or begins
//! one: for that `approval` has the sender let in and hears its offer, and `grant` says what
//! it may do. All of them share what is in `shared`.

mod approval;
mod asked;
#[cfg(feature = "web")]
mod browsers;
mod commands;
mod connection;
mod ended;
mod fetched;
mod grant;
mod listener;
mod on_done;
mod purpose;
mod registry;
mod running;
mod served;
mod serving;
mod shared;
#[cfg(feature = "web")]
mod uploads;

pub use listener::Receiver;

//! What a hostile peer can do: raw bytes, and the real protocol in the wrong order, with lies.
//! Whatever comes, it ends with an error that has a name, nothing outside the receive directory
//! changes, and the next honest sender is served.
//!
//! Must not use anything of the library that other programs could not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod budgets;
mod chunks;
mod client;
mod commands;
mod existing;
mod fetching;
mod floods;
mod lanes;
mod messages;
mod metadata;
mod middle;
mod mirror;
mod names;
mod pairing;
mod places;
mod raw;
mod receiver;
mod rooms;
mod sharing;
mod streams;
mod swapped;
mod talk;
mod terminal;
#[cfg(feature = "web")]
mod web;

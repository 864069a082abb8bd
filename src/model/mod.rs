//! The vocabulary of all layers above: entries, paths, outcomes, reasons, digests, prompts,
//! progress, errors.
//!
//! Must not touch files, sockets or threads.

mod action;
pub mod command;
pub mod digest;
pub mod entry;
pub mod error;
mod fault;
pub mod order;
pub mod outcome;
pub mod progress;
pub mod prompt;
pub mod reason;
pub mod relpath;
pub mod room;
pub mod surplus;
pub mod talk;
pub mod text;
pub mod web;

//! Starting commands for others, from a process of its own: the starter.
//!
//! Must not start anything outside the list that the starter received when it began: before its
//! parent is confined and listens.
//!
//! Three kinds of processes take part. The parent, a receiver, launches one **starter**
//! ([`CommandStarter`]), and asks it by names. For each command the starter launches a
//! **supervisor**, which sees that nothing of the command is left behind. Both are this same
//! program, by words that no user types. The parent holds one end of a socket to each: when that
//! ends, for whatever reason, so do they, and the commands.

mod descriptors;
mod parent;
mod process;
mod starter;
mod supervisor;

pub use parent::{CommandKill, CommandStarter, RunningCommand};
pub use supervisor::ENDS_WITHIN;

use std::ffi::OsString;

use process::{STARTER, SUPERVISOR};

/// Does the work of a starter or supervisor, to its end, if that is what these arguments of this
/// process mean, and nothing else is on its standard input.
pub fn serve(mut arguments: impl Iterator<Item = OsString>) -> bool {
    let _program = arguments.next();
    match arguments.next() {
        Some(word) if word == STARTER => starter::serve(),
        Some(word) if word == SUPERVISOR => supervisor::serve(arguments),
        _ => false,
    }
}

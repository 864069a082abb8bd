//! Commands that are started for others: what may be started, and what becomes of it.
//!
//! Must not start anything: each system does that in its own way.

pub(in crate::sys) mod ended;
pub(in crate::sys) mod list;

pub use super::system::commands::{
    CommandKill, CommandStarter, ENDS_WITHIN, RunningCommand, serve,
};
pub use ended::{HowEnded, RunningNews, WhichOutput};
pub use list::{CommandList, ListedCommand, MAX_TOGETHER, ToldValues};

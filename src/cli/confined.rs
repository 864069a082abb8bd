//! What is said of the confinement that a listener has put itself under.
//!
//! Must not confine anything.

use std::path::Path;

use xfer::sys::confine::Confined;

/// Describes the confinement, with the folders that can be written.
pub(super) fn describe(confined: &Confined, folders: &[&Path]) -> String {
    let folders = folders.iter().map(|dir| dir.display().to_string());
    let only = folders.collect::<Vec<_>>().join(" and ");
    match confined {
        Confined::Fully => {
            format!("Confined: xfer can write only to {only}, and cannot open connections.")
        }
        Confined::Partly(what) => {
            format!("Confined in part: xfer can write only to {only}, but {what}.")
        }
        Confined::Not(why) => format!("Not confined: {why}."),
    }
}

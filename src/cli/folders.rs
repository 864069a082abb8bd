//! Chooses the receive folder: the one named, or the Downloads folder. Refuses folders that the
//! system needs.
//!
//! Must not look inside them.

use std::fs;
use std::path::{Path, PathBuf};

use xfer::Error;
use xfer::model::error::Action;
use xfer::sys::name::canonical;
use xfer::sys::places::{OfSystem, is_home, of_system};

use super::arguments::Wrong;
use super::machine;
use crate::ui::quoted;

/// The Downloads folder, created if missing. Failing to create it is an error; having none is wrong
/// usage.
pub(super) fn downloads() -> Result<xfer::Result<PathBuf>, Wrong> {
    let wrong = |why: String| Wrong(format!("{why}; choose a folder to receive into: --dir DIR"));
    let Some(dir) = machine::downloads() else {
        return Err(wrong("you have no home folder".to_owned()));
    };
    let shown = quoted(&dir.display().to_string());
    // Does not create a missing home.
    match fs::create_dir(&dir) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            return Ok(Err(Error::file(Action::ReceiveInto, &dir, e)));
        }
        _ => {}
    }
    let home = machine::home();
    if let Ok(path) = canonical(&dir) {
        if is_home(&path, home.as_deref()) {
            return Err(wrong(format!("{shown} is a home folder")));
        }
        if of_system(&path).is_some() {
            return Err(wrong(format!("{shown} belongs to the system")));
        }
    }
    Ok(Ok(dir))
}

/// Who decides what comes into a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoredBy {
    /// `xfer recv`: whoever is let in.
    Senders,
    /// `xfer get`: only the machine that it names, once.
    Get,
}

/// Whether a folder is this user's home folder.
pub(super) fn is_own_home(dir: &Path) -> bool {
    let home = machine::home().and_then(|home| canonical(&home).ok());
    home.is_some_and(|home| canonical(dir).is_ok_and(|dir| dir == home))
}

/// What to say before everything that `machine` shares is stored into the home folder.
pub(super) fn fetched_into_home(machine: &str) -> String {
    format!(
        "Storing into your home folder. {machine} can add files anywhere in it, even in .ssh; \
         --dir names another folder."
    )
}

/// Checks a receive folder that `source` names, and returns a warning if one is due. Errors in its
/// path are reported elsewhere.
pub(super) fn check(dir: &Path, source: &str, by: StoredBy) -> Result<Option<String>, Wrong> {
    let Ok(path) = canonical(dir) else {
        return Ok(None);
    };
    let shown = path.display();
    let of_system = of_system(&path);
    if of_system == Some(OfSystem::Core) {
        let path = shown.to_string();
        return Err(Wrong(format!(
            "{source}: {} belongs to the system; choose another folder",
            quoted(&path)
        )));
    }
    // What is fetched, and from where, its user has said.
    if by == StoredBy::Get {
        return Ok(None);
    }
    let home = machine::home().and_then(|home| canonical(&home).ok());
    Ok(match home {
        Some(home) if home == path => Some(
            "Receiving into your home folder: senders can add files to all of it, even to .ssh and \
             .config."
                .to_owned(),
        ),
        Some(home) if home.starts_with(&path) => Some(format!(
            "Receiving into {shown}, which holds your home folder: senders can add files to all of \
             it, even to .ssh and .config."
        )),
        home if is_home(&path, home.as_deref()) => Some(format!(
            "Receiving into {shown}, somebody's home folder: senders can add files to all of it, \
             even to .ssh and .config."
        )),
        _ if of_system.is_some() => Some(format!(
            "Receiving into {shown}, which belongs to the system: senders can add files there."
        )),
        _ => None,
    })
}

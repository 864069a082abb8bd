//! Which folders are received into: those that were named, else where downloads go. What belongs to
//! the system is refused.
//!
//! Must not look at what is in them.

use std::fs;
use std::path::{Path, PathBuf};

use xfer::sys::places::is_of_system;

use super::arguments::Wrong;
use super::machine;
use crate::ui::{io_error, quoted};

/// Where downloads go, made where it is missing.
pub(super) fn downloads() -> Result<PathBuf, Wrong> {
    let wrong = |why: String| {
        Wrong(format!(
            "{why}; say which folder to receive into: --dir DIR"
        ))
    };
    let Some(dir) = machine::downloads() else {
        return Err(wrong("you have no home folder here".to_owned()));
    };
    let shown = quoted(&dir.display().to_string());
    // A home that is missing is none to be made.
    let made = match fs::create_dir(&dir) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    made.map_err(|e| wrong(format!("cannot make {shown}: {}", io_error(&e))))?;
    if machine::home().and_then(|home| home.canonicalize().ok()) == dir.canonicalize().ok() {
        return Err(wrong(format!("{shown} is your home folder")));
    }
    Ok(dir)
}

/// Looks at a folder that is to be received into; says what there is to be said about it before.
/// What is wrong with its path is for others to say.
pub(super) fn check(dir: &Path) -> Result<Option<String>, Wrong> {
    let Ok(path) = dir.canonicalize() else {
        return Ok(None);
    };
    if is_of_system(&path) {
        let path = path.display().to_string();
        return Err(Wrong(format!(
            "{} belongs to the system; choose another folder to receive into: --dir DIR",
            quoted(&path)
        )));
    }
    let home = machine::home().and_then(|home| home.canonicalize().ok());
    Ok(match home {
        Some(home) if home == path => Some(
            "Receiving into your home folder: what others send can land beside .bashrc and .ssh."
                .to_owned(),
        ),
        Some(home) if home.starts_with(&path) => Some(format!(
            "Your home folder is in {}: what others send can land in it, beside .bashrc and .ssh.",
            path.display()
        )),
        _ => None,
    })
}

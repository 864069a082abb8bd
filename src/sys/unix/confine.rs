//! The rights that a receiver gives up once it listens, so that an exploit gains little.
//!
//! Must not be what keeps a peer's paths below the receive folder: the store does, on every system.
//! This is a second wall, where the system offers one: Landlock on Linux.

use std::path::Path;

pub use crate::sys::told::Confined;

#[cfg(target_os = "linux")]
use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, make_bitflags,
};

/// Gives up changing files anywhere but below `folders`, and opening TCP connections and
/// listeners. It holds for the thread that calls it and those that it starts afterwards, for good.
///
/// Below `folders`, files, folders and symbolic links can be made, written, renamed and removed;
/// devices, sockets and fifos cannot be made. What is open can be used as before, everything can
/// be read, and the terminal can be opened. Modes, owners and times of files elsewhere are not
/// guarded.
#[must_use]
pub fn confine(folders: &[&Path]) -> Confined {
    restrict(folders, true).unwrap_or_else(Confined::Not)
}

/// The same, but for connections: those can be opened as before.
#[must_use]
pub fn confine_writing(folders: &[&Path]) -> Confined {
    restrict(folders, false).unwrap_or_else(Confined::Not)
}

#[cfg(target_os = "linux")]
fn restrict(folders: &[&Path], connections_too: bool) -> Result<Confined, String> {
    /// The version of Landlock that can do all of it.
    const WHOLE: ABI = ABI::V4;
    /// The first one that guards against cutting files short.
    const TRUNCATE: ABI = ABI::V3;

    let inside = make_bitflags!(AccessFs::{
        WriteFile | Truncate | RemoveFile | RemoveDir | MakeReg | MakeDir | MakeSym | Refer
    });
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_write(WHOLE))
        .and_then(|rules| match connections_too {
            true => rules.handle_access(AccessNet::from_all(WHOLE)),
            false => Ok(rules),
        })
        .and_then(Ruleset::create);
    let mut ruleset = ruleset.map_err(|e| e.to_string())?;
    for folder in folders {
        let folder = PathFd::new(folder).map_err(|e| e.to_string())?;
        let rule = PathBeneath::new(folder, inside);
        ruleset = ruleset.add_rule(rule).map_err(|e| e.to_string())?;
    }
    if let Ok(terminal) = PathFd::new("/dev/tty") {
        let rule = PathBeneath::new(terminal, AccessFs::WriteFile);
        ruleset = ruleset.add_rule(rule).map_err(|e| e.to_string())?;
    }
    let status = ruleset.restrict_self().map_err(|e| e.to_string())?;
    let (partly, not) = (
        |what: &str| Confined::Partly(what.to_owned()),
        |why: &str| Confined::Not(why.to_owned()),
    );
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Confined::Fully,
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. })
            if effective_abi < TRUNCATE =>
        {
            partly("it can truncate other files and open connections")
        }
        (RulesetStatus::PartiallyEnforced, _) => partly("it can open connections"),
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
            not("Landlock is switched off on this system")
        }
        (RulesetStatus::NotEnforced, _) => not("this system's kernel has no Landlock"),
    })
}

#[cfg(not(target_os = "linux"))]
fn restrict(_: &[&Path], _: bool) -> Result<Confined, String> {
    Err("this system has no Landlock".to_owned())
}

//! Folders that belong to the system, or are somebody's home.
//!
//! Must not change anything.

use std::env;
use std::path::{Path, PathBuf};

use crate::sys::fs::stat_of_path;
pub use crate::sys::told::OfSystem;

/// What is here runs whenever this user logs on.
const STARTUP: &str = r"Microsoft\Windows\Start Menu\Programs\Startup";

/// Whether a folder, of which this is the canonical path, belongs to the system.
#[must_use]
pub fn of_system(folder: &Path) -> Option<OfSystem> {
    let windows = from_environment("SystemRoot")?;
    // The drive that Windows is on; any other may be all for receiving.
    let is_root = windows.parent().is_some_and(|root| is_same(root, folder));
    if is_root || is_below(folder, &windows) {
        return Some(OfSystem::Core);
    }
    let starts = from_environment("APPDATA").map(|data| data.join(STARTUP));
    if starts.is_some_and(|starts| is_below(folder, &starts)) {
        return Some(OfSystem::Core);
    }
    let rather = [
        "APPDATA",
        "ProgramFiles",
        "ProgramFiles(x86)",
        "ProgramW6432",
        "ProgramData",
    ];
    let mut rather = rather.into_iter().filter_map(from_environment);
    rather
        .any(|tree| is_below(folder, &tree))
        .then_some(OfSystem::Rather)
}

/// Whether a folder is somebody's home, or where homes are; `home` is that of this user, as far as
/// their environment says.
#[must_use]
pub fn is_home(folder: &Path, home: Option<&Path>) -> bool {
    let own = from_environment("USERPROFILE");
    let mut homes = own.iter().map(PathBuf::as_path).chain(home);
    // They are side by side.
    let are_in = own
        .as_deref()
        .and_then(Path::parent)
        .filter(|all| all.parent().is_some());
    homes.any(|home| is_same(folder, home))
        || are_in.is_some_and(|all| {
            is_same(folder, all) || folder.parent().is_some_and(|parent| is_same(parent, all))
        })
}

fn from_environment(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

fn is_below(folder: &Path, tree: &Path) -> bool {
    folder.ancestors().any(|above| is_same(above, tree))
}

fn is_same(a: &Path, b: &Path) -> bool {
    let id = |path| stat_of_path(path).ok().map(|stat| stat.id);
    a == b || id(a).is_some_and(|a| id(b) == Some(a))
}

//! Folders that belong to the system, or are somebody's home, on any system.
//!
//! Must not change anything.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sys::fs::{effective_user, stat_of_path};

pub use crate::sys::told::OfSystem;

/// Folders without which nothing runs, with all that is in them; and how the names of more begin.
const CORE: [&str; 16] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libexec",
    "/libx32",
    "/proc",
    "/rescue",
    "/sbin",
    "/sys",
    "/System",
    "/private/etc",
    "/usr/bin",
];
const CORE_OF_USR: [&str; 6] = [
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/libx32",
    "/usr/sbin",
];
/// What in those is others', but for these folders themselves.
const NOT_CORE: [&str; 1] = ["/dev/shm"];
/// More folders of the system, with all that is in them.
const TREES: [&str; 10] = [
    "/run",
    "/usr",
    "/var/cache",
    "/var/cron",
    "/var/db",
    "/var/log",
    "/var/spool",
    "/Library",
    "/Applications",
    "/private/var/db",
];
/// Folders of the system, in which there are also those of others.
const ALONE: [&str; 8] = [
    "/var",
    "/var/lib",
    "/var/local",
    "/var/opt",
    "/opt",
    "/private",
    "/private/var",
    "/private/var/root/Library",
];
/// What in those trees is not the system's, but for these folders themselves.
const OTHERS: [&str; 4] = ["/run/media", "/run/mount", "/run/user", "/usr/home"];
/// Where homes are, and the homes of who is in none of these.
const HOMES: [&str; 2] = ["/home", "/Users"];
const ROOTS: [&str; 2] = ["/root", "/var/root"];

/// Whether a folder, of which this is the canonical path, belongs to the system.
#[must_use]
pub fn of_system(folder: &Path) -> Option<OfSystem> {
    let is_one = |all: &[&str]| all.iter().any(|path| folder == canonical(path));
    let is_below = |all: &[&str]| {
        let mut all = all.iter().map(|path| canonical(path));
        // Of a system without such a folder, its link may lead to where all are.
        all.any(|path| path.parent().is_some() && folder.starts_with(path))
    };
    let is_in = |all: &[&str]| is_below(all) && !is_one(all);
    let is_core = (is_below(&CORE) || is_below(&CORE_OF_USR)) && !is_in(&NOT_CORE);
    if folder.parent().is_none() || is_core {
        return Some(OfSystem::Core);
    }
    let is_rather = is_one(&ALONE) || (is_below(&TREES) && !is_in(&OTHERS));
    is_rather.then_some(OfSystem::Rather)
}

/// Whether a folder is somebody's home, or where homes are; `home` is that of this user, as far as
/// their environment says.
#[must_use]
pub fn is_home(folder: &Path, home: Option<&Path>) -> bool {
    let mut homes: Vec<PathBuf> = HOMES.iter().chain(&ROOTS).map(PathBuf::from).collect();
    homes.extend(home.map(Path::to_path_buf));
    homes.extend(homes_of_user());
    let is_one = homes.iter().any(|home| is_same(folder, home));
    let is_below = || {
        let is_it = |home: &&str| folder.parent().is_some_and(|p| is_same(p, Path::new(home)));
        HOMES.iter().any(is_it)
    };
    is_one || is_below()
}

fn canonical(path: &str) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path))
}

fn is_same(a: &Path, b: &Path) -> bool {
    let id = |path: &Path| Some(stat_of_path(path).ok()?.id);
    a == b || id(a).is_some_and(|a| id(b) == Some(a))
}

/// The homes of whom this process works for, as the system has them: `HOME` may say something
/// else, as under sudo.
fn homes_of_user() -> Vec<PathBuf> {
    let users = fs::read("/etc/passwd").unwrap_or_default();
    let users = String::from_utf8_lossy(&users);
    let mut numbers = vec![effective_user().to_string()];
    numbers.extend(std::env::var("SUDO_UID"));
    let name = std::env::var("SUDO_USER").unwrap_or_default();
    let homes = users.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [user, _, number, _, _, home, _] = fields[..] else {
            return None;
        };
        let is_it = user == name || numbers.iter().any(|it| it == number);
        is_it.then(|| PathBuf::from(home))
    });
    // Those who have none get the root of everything.
    homes.filter(|home| home.parent().is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_systems_is_told_from_what_is_not() {
        for (path, wanted) in [
            ("/", Some(OfSystem::Core)),
            ("/etc", Some(OfSystem::Core)),
            ("/etc/cron.d", Some(OfSystem::Core)),
            ("/usr/bin", Some(OfSystem::Core)),
            ("/usr/lib/systemd", Some(OfSystem::Core)),
            ("/dev", Some(OfSystem::Core)),
            ("/dev/shm", Some(OfSystem::Core)),
            ("/proc/1", Some(OfSystem::Core)),
            ("/boot/efi", Some(OfSystem::Core)),
            ("/usr", Some(OfSystem::Rather)),
            ("/usr/local/bin", Some(OfSystem::Rather)),
            ("/usr/src/app", Some(OfSystem::Rather)),
            ("/run/user", Some(OfSystem::Rather)),
            ("/var", Some(OfSystem::Rather)),
            ("/var/lib", Some(OfSystem::Rather)),
            ("/var/log/remote", Some(OfSystem::Rather)),
            ("/var/spool/incoming", Some(OfSystem::Rather)),
            ("/home/me", None),
            ("/srv", None),
            ("/srv/files", None),
            ("/tmp", None),
            ("/var/tmp", None),
            ("/var/lib/x", None),
            ("/var/www/x", None),
            ("/mnt/disk", None),
            ("/media/me/disk", None),
            ("/dev/shm/x", None),
            ("/run/media/me/disk", None),
            ("/run/user/1000/x", None),
            ("/root/Downloads", None),
            ("/opt/x", None),
            ("/etcetera", None),
            ("/Users/me", None),
            ("/private/var/folders/x", None),
        ] {
            let path = Path::new(path);
            let canonical = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
            assert_eq!(of_system(&canonical), wanted, "{}", path.display());
        }
    }

    #[test]
    fn homes_are_told_from_what_is_in_them() {
        let mine = Some(Path::new("/some/where"));
        for path in ["/home", "/home/anna", "/Users/anna", "/root", "/some/where"] {
            assert!(is_home(Path::new(path), mine), "{path}");
        }
        for path in ["/", "/home/anna/Downloads", "/some/where/else", "/srv/anna"] {
            assert!(!is_home(Path::new(path), mine), "{path}");
        }
    }
}

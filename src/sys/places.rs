//! Folders that belong to the system, on whichever system this is.
//!
//! Must not open or change anything.

use std::path::{Path, PathBuf};

/// Folders of the system, with all that is in them.
const TREES: [&str; 25] = [
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
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/cache",
    "/var/cron",
    "/var/db",
    "/var/log",
    "/var/spool",
    "/System",
    "/Library",
    "/Applications",
    "/private/etc",
    "/private/var/db",
];
/// Folders of the system, in which there are also those of others.
const ALONE: [&str; 9] = [
    "/",
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
const OTHERS: [&str; 5] = [
    "/dev/shm",
    "/run/media",
    "/run/mount",
    "/run/user",
    "/usr/home",
];

/// Whether a folder, of which this is the canonical path, belongs to the system: others' files have
/// no place in it.
#[must_use]
pub fn is_of_system(folder: &Path) -> bool {
    let canonical =
        |path: &str| std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let is_one = |all: &[&str]| all.iter().any(|path| folder == canonical(path));
    let is_below = |all: &[&str]| {
        let mut all = all.iter().map(|path| canonical(path));
        // Of a system without such a folder, its link may lead to where all are.
        all.any(|path| path.parent().is_some() && folder.starts_with(path))
    };
    let is_others = is_below(&OTHERS) && !is_one(&OTHERS);
    is_one(&ALONE) || (is_below(&TREES) && !is_others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_systems_is_told_from_what_is_not() {
        for path in [
            "/",
            "/etc",
            "/etc/cron.d",
            "/usr/bin",
            "/usr/local/bin",
            "/dev",
            "/dev/shm",
            "/proc/1",
            "/run/user",
            "/var",
            "/var/lib",
            "/var/spool/cron",
            "/boot/efi",
        ] {
            let path = Path::new(path);
            let canonical = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
            assert!(is_of_system(&canonical), "{}", path.display());
        }
        for path in [
            "/home/me",
            "/srv",
            "/srv/files",
            "/tmp",
            "/var/tmp",
            "/var/lib/x",
            "/var/www/x",
            "/mnt/disk",
            "/media/me/disk",
            "/dev/shm/x",
            "/run/media/me/disk",
            "/run/user/1000/x",
            "/root/Downloads",
            "/opt/x",
            "/etcetera",
            "/Users/me",
            "/private/var/folders/x",
        ] {
            assert!(!is_of_system(Path::new(path)), "{path}");
        }
    }
}

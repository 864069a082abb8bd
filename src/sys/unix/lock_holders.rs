//! Who holds the locks on a file or folder: this user, or others.
//!
//! Must not take or release any. An unknown holder counts as this user.

/// Whether all who have locks on the file or folder of this number are other users, as far as this
/// process can see them, and there is one.
#[cfg(target_os = "linux")]
#[must_use]
pub fn are_all_others(inode: u64) -> bool {
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else {
        return false;
    };
    let mut any = false;
    for process in locks.lines().filter_map(|line| holder(line, inode)) {
        if is_ours(process) {
            return false;
        }
        any = true;
    }
    any
}

/// Nothing tells.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn are_all_others(_: u64) -> bool {
    false
}

/// The process that has a lock, as in `1: FLOCK  ADVISORY  WRITE 1234 08:02:5678 0 EOF`. Not where
/// it only waits for it, which an arrow says. Devices have other numbers there than elsewhere.
#[cfg(any(target_os = "linux", test))]
fn holder(line: &str, inode: u64) -> Option<u32> {
    let mut words = line.split_ascii_whitespace().skip(1);
    if words.next()? != "FLOCK" {
        return None;
    }
    let process = words.nth(2)?.parse().ok()?;
    let of: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
    (of == inode).then_some(process)
}

/// Whether a process was started by this user, whatever it may do meanwhile: another user's that
/// has become root for a moment is that user's. One that is no more has left its lock to others:
/// those of this program are not inherited.
#[cfg(target_os = "linux")]
fn is_ours(process: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{process}/status")) else {
        return false;
    };
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let user = users.and_then(|users| users.split_ascii_whitespace().next());
    user.is_none_or(|user| user == rustix::process::getuid().as_raw().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_lock_and_who_waits() {
        let line = "1: FLOCK  ADVISORY  WRITE 1234 08:02:5678 0 EOF";
        assert_eq!(holder(line, 5678), Some(1234));
        assert_eq!(holder(line, 567), None);
        let waits = "1: -> FLOCK  ADVISORY  WRITE 1234 08:02:5678 0 EOF";
        assert_eq!(holder(waits, 5678), None);
        assert_eq!(
            holder("2: POSIX  ADVISORY  READ 1 08:02:5678 0 EOF", 5678),
            None
        );
    }

    #[test]
    fn what_this_process_has_is_no_others() {
        let temp = tempfile::tempdir().unwrap();
        let dir = crate::sys::fs::Dir::open(temp.path()).unwrap();
        let inode = dir.stat().unwrap().id.inode;
        assert!(!are_all_others(inode));
        crate::sys::fs::try_lock(&dir, crate::sys::fs::Lock::Shared).unwrap();
        assert!(!are_all_others(inode));
    }
}

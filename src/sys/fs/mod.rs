//! Files and folders, each reached by an open handle and one name at a time.
//!
//! Must not follow a link that was not asked for, must not wait for a fifo, and must not know what
//! is stored or read. Names are bytes; a name is one component, never a path.
//!
//! The folders of the systems do what is promised here, each in its own way. Errors are
//! `io::Error`s with the system's own code in them, which nobody above this folder looks at.

pub(in crate::sys) mod types;

pub use std::fs::File;

pub use super::system::dir::Dir;
pub use super::system::file_errors::{
    cannot_be_unnamed, is_denied, is_full, is_name_impossible, is_name_too_long, is_no_file,
    is_not_a_dir, is_not_empty, is_refused, is_unsupported, of_new_name,
};
pub use super::system::files::{
    allocated, drop_cached, effective_user, end_growing, is_hole, keeps_mode, read_through,
    set_mode, set_mtime, set_size, start_writeback, stat, stat_of_path, try_lock, umask,
};
pub use types::{FileId, FileKind, FreeSpace, ListedName, Lock, LockState, Stat, Timestamp};

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::sys::tests::{mode, symlink};

    fn folder() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        (temp, dir)
    }

    #[test]
    fn nothing_is_reached_through_a_link() {
        let (temp, dir) = folder();
        dir.make_dir(b"real", 0o700).unwrap();
        std::fs::write(temp.path().join("real/file"), "x").unwrap();
        let has_links = symlink("real", temp.path().join("to dir"))
            && symlink("real/file", temp.path().join("to file"));
        let links = [&b"to dir"[..], b"to file"];
        for name in links.iter().filter(|_| has_links) {
            let failed = dir.open_dir(name).unwrap_err();
            assert!(is_not_a_dir(&failed), "{failed}");
            assert!(is_no_file(&dir.open_file(name).unwrap_err()));
            assert!(is_no_file(&dir.open_file_rw(name).unwrap_err()));
            assert!(dir.stat_at(name).unwrap().unwrap().is_link());
        }
        if has_links {
            assert_eq!(dir.read_link(b"to dir").unwrap(), b"real");
        }
        let real = dir.open_dir(b"real").unwrap();
        assert_eq!(real.stat().unwrap(), dir.stat_at(b"real").unwrap().unwrap());
        assert_eq!(real.stat_at(b"file").unwrap().unwrap().size, 1);
        assert_eq!(dir.stat_at(b"none").unwrap(), None);
    }

    #[test]
    fn a_taken_name_stays_with_who_has_it() {
        let (temp, dir) = folder();
        for name in [&b"a"[..], b"b"] {
            let mut file = dir.create_file(name, 0o600).unwrap();
            file.write_all(name).unwrap();
        }
        let read = |name| std::fs::read(temp.path().join(name)).unwrap();
        let taken = std::io::ErrorKind::AlreadyExists;
        assert_eq!(dir.create_file(b"a", 0o600).unwrap_err().kind(), taken);
        assert_eq!(dir.rename_new(b"a", b"b").unwrap_err().kind(), taken);
        assert_eq!(read("b"), b"b");
        dir.rename_over(b"a", b"b").unwrap();
        assert_eq!(read("b"), b"a");
        dir.rename_new(b"b", b"c").unwrap();
        let names: Vec<_> = dir.list().unwrap().map(|l| l.unwrap().name).collect();
        assert_eq!(names, [b"c"]);
    }

    #[test]
    fn a_file_without_a_name_gets_one_that_is_free() {
        let (temp, dir) = folder();
        let Ok(mut file) = dir.create_unnamed(0o600) else {
            return;
        };
        file.write_all(b"new").unwrap();
        std::fs::write(temp.path().join("taken"), "old").unwrap();
        let failed = dir.name_unnamed(&file, b"taken").unwrap_err();
        assert_eq!(failed.kind(), std::io::ErrorKind::AlreadyExists);
        dir.name_unnamed(&file, b"free").unwrap();
        assert_eq!(std::fs::read(temp.path().join("free")).unwrap(), b"new");
        assert_eq!(std::fs::read(temp.path().join("taken")).unwrap(), b"old");
    }

    #[test]
    fn times_and_modes_are_set_as_they_are_told() {
        let (temp, dir) = folder();
        let file = dir.create_file(b"f", 0o600).unwrap();
        let before = stat(&file).unwrap();
        let mtime = Timestamp {
            seconds: -5,
            nanos: 500,
        };
        set_mode(&file, 0o640).unwrap();
        set_mtime(&file, mtime).unwrap();
        let after = stat(&file).unwrap();
        assert_eq!(after.mtime, mtime);
        assert_eq!(after.id, before.id);
        // What a system does not keep shows as what most files have.
        let keeps_modes = mode(temp.path().join("f")).is_some();
        assert_eq!(after.mode, if keeps_modes { 0o640 } else { 0o644 });
        set_mode(&file, 0o444).unwrap();
        assert_eq!(stat(&file).unwrap().mode, 0o444);
        set_mode(&file, 0o644).unwrap();
        assert_eq!(
            stat(&file).unwrap(),
            Stat {
                ctime: stat(&file).unwrap().ctime,
                mode: 0o644,
                ..after
            }
        );
        dir.make_dir(b"d", 0o700).unwrap();
        for name in [&b"d"[..], b"l"] {
            if name == b"l" && !symlink("nowhere", temp.path().join("l")) {
                continue;
            }
            dir.set_mtime_at(name, mtime).unwrap();
            assert_eq!(dir.stat_at(name).unwrap().unwrap().mtime, mtime);
        }
        // The time alone was set.
        assert!(dir.stat_at(b"f").unwrap().unwrap().is_file());
    }

    #[test]
    fn a_lock_keeps_other_handles_out() {
        let (_temp, dir) = folder();
        let first = dir.create_file(b"f", 0o600).unwrap();
        let second = dir.open_file(b"f").unwrap();
        assert_eq!(try_lock(&first, Lock::Exclusive).unwrap(), LockState::Ours);
        assert_eq!(try_lock(&second, Lock::Shared).unwrap(), LockState::Theirs);
        drop(first);
        assert_eq!(try_lock(&second, Lock::Shared).unwrap(), LockState::Ours);
    }

    #[test]
    fn a_lock_on_a_folder_keeps_other_handles_out() {
        let (temp, first) = folder();
        let [second, third] = [(); 2].map(|()| Dir::open(temp.path()).unwrap());
        for dir in [&first, &second] {
            assert_eq!(try_lock(dir, Lock::Shared).unwrap(), LockState::Ours);
        }
        assert_eq!(
            try_lock(&third, Lock::Exclusive).unwrap(),
            LockState::Theirs
        );
        // Each folder has its own, however alike their numbers are.
        let others = [&b"another"[..], b"b", b"c", b"d"].map(|name| {
            first.make_dir(name, 0o700).unwrap();
            first.open_dir(name).unwrap()
        });
        for other in &others {
            assert_eq!(try_lock(other, Lock::Exclusive).unwrap(), LockState::Ours);
        }
        // It lasts as long as any copy of the handle.
        let copy = second.try_clone().unwrap();
        drop((first, second));
        assert_eq!(
            try_lock(&third, Lock::Exclusive).unwrap(),
            LockState::Theirs
        );
        drop(copy);
        assert_eq!(try_lock(&third, Lock::Exclusive).unwrap(), LockState::Ours);
        // Who has it alone can remove it.
        third.remove_dir(b"another").unwrap();
        drop(others);
        assert_eq!(third.stat_at(b"another").unwrap(), None);
    }
}

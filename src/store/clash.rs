//! Clashes of names: two entries of one folder whose names are the same to this file system, such
//! as `A` and `a` where case does not count.
//!
//! Must not decide by the names alone: each file system compares them in its own way, so it is
//! asked. Must not trust inode numbers alone: some file systems invent them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unicode_normalization::UnicodeNormalization;

use crate::model::outcome::Why;
use crate::model::reason::Obstacle;
use crate::model::relpath::is_reserved;
use crate::model::text::Text;
use crate::sys::fs::{Dir, Stat, Timestamp};

use super::name::passing_name;

/// How many names of one folder are remembered. Further names are not checked.
const MAX_NAMES: usize = 1 << 20;

/// The age, in seconds, after which a try has certainly ended or was cut off.
const MAX_TRY: i64 = 3600;

/// Where names can clash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folding {
    /// On the receive folder's file system.
    here: bool,
    device: u64,
}

impl Folding {
    /// Finds out by a try in `place`, a folder in the receive folder. Deletes what earlier tries
    /// left there when they were cut off.
    pub(super) fn of(root: &Dir, place: &Dir) -> io::Result<Self> {
        // What cannot be deleted now waits until next time.
        let _ = remove_left(place);
        // A file system stacked on others may contain folders of either kind.
        let here = !root.syncs_whole_file_system()
            || is_one_name(place, b"a", b"A")
            || is_one_name(place, "\u{e9}".as_bytes(), "e\u{301}".as_bytes());
        Ok(Self {
            here,
            device: root.stat()?.id.device,
        })
    }

    /// Tracks the names in a folder, if they can clash.
    pub(super) fn names(&self, dir: &Dir, found: &Stat) -> Option<EntryNames> {
        // Other file systems have not been tried.
        let can_clash = self.here || found.id.device != self.device || dir.folds_case();
        can_clash.then(EntryNames::default)
    }

    /// Tracks the names in the receive folder itself, if they can clash.
    pub(super) fn root_names(&self, dir: &Dir) -> Option<EntryNames> {
        (self.here || dir.folds_case()).then(EntryNames::default)
    }
}

/// A name without the differences that common file systems may ignore: case, how characters are
/// composed, and dots and spaces at the end. It treats more names as equal than any one of them.
pub(super) fn folded(name: &[u8]) -> Cow<'_, [u8]> {
    if name.is_ascii() || std::str::from_utf8(name).is_err() {
        let name = without_end(name);
        return match name.iter().any(u8::is_ascii_uppercase) {
            true => Cow::Owned(name.to_ascii_lowercase()),
            false => Cow::Borrowed(name),
        };
    }
    let text = String::from_utf8_lossy(name);
    let upper = text.nfkd().flat_map(char::to_uppercase);
    let folded: String = upper.flat_map(char::to_lowercase).nfkd().collect();
    Cow::Owned(without_end(folded.as_bytes()).to_vec())
}

fn without_end(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|byte| !matches!(byte, b'.' | b' '));
    end.map_or(name, |end| &name[..=end])
}

/// Whether two names are one in a folder: tries it with a file that nobody else sees. True if that
/// fails.
pub(super) fn is_one_name(dir: &Dir, one: &[u8], other: &[u8]) -> bool {
    let hidden = passing_name();
    let hidden = hidden.as_bytes();
    let tried = dir
        .make_dir(hidden, 0o700)
        .and_then(|()| dir.open_dir(hidden))
        .and_then(|place| {
            place.create_file(one, 0o600)?;
            let found = place.stat_at(other);
            let removed = place.remove_file(one);
            removed.and(found)
        });
    let _ = dir.remove_dir(hidden);
    tried.map_or(true, |found| found.is_some())
}

/// Deletes what tries that were cut off left in a folder.
fn remove_left(place: &Dir) -> io::Result<()> {
    let then = Timestamp::now().seconds.saturating_sub(MAX_TRY);
    for entry in place.list()? {
        let name = entry?.name;
        let is_left = |found: Stat| found.is_dir() && found.mtime.seconds < then;
        if is_reserved(&name) && place.stat_at(&name)?.is_some_and(is_left) {
            let left = place.open_dir(&name)?;
            for entry in left.list()? {
                left.remove_file(&entry?.name)?;
            }
            place.remove_dir(&name)?;
        }
    }
    Ok(())
}

/// Whether a folder lists a name exactly as it is spelled.
pub(super) fn is_listed(dir: &Dir, name: &[u8]) -> io::Result<bool> {
    for entry in dir.list()? {
        if entry?.name == name {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The names that entries of a folder have.
#[derive(Debug, Default)]
pub(super) struct EntryNames(Mutex<KnownNames>);

#[derive(Debug, Default)]
struct KnownNames {
    /// By inode number.
    by_inode: HashMap<u64, Arc<[u8]>>,
    /// By their [`folded`] form.
    by_folded: HashMap<Box<[u8]>, Vec<Arc<[u8]>>>,
}

impl EntryNames {
    fn known(&self) -> MutexGuard<'_, KnownNames> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an entry has `name`, before anything is looked up or created under it. Fails if
    /// the name `is_one` with that of another entry.
    pub(super) fn reserve(&self, name: &[u8], is_one: impl Fn(&[u8]) -> bool) -> Result<(), Why> {
        let mut known = self.known();
        let full = known.by_folded.len() >= MAX_NAMES;
        let folded = folded(name);
        let others = known.by_folded.get(&*folded).cloned().unwrap_or_default();
        if others.iter().any(|other| **other == *name) {
            return Ok(());
        }
        if !others.is_empty() {
            drop(known);
            if let Some(other) = others.iter().find(|other| is_one(other)) {
                return Err(same_name(other));
            }
            known = self.known();
        }
        if !full {
            let names = known.by_folded.entry(folded.into()).or_default();
            names.push(name.into());
        }
        Ok(())
    }

    /// Notes that something has `name`, or is about to get it.
    pub(super) fn note(&self, name: &[u8], found: &Stat) {
        let mut known = self.known();
        if known.by_inode.len() < MAX_NAMES {
            known.by_inode.insert(found.id.inode, name.into());
        }
    }

    /// Notes that something was found under `name`. Fails if another entry has it, which the same
    /// inode number shows, unless `is_listed` for both names.
    pub(super) fn claim(
        &self,
        name: &[u8],
        found: &Stat,
        is_listed: impl Fn(&[u8]) -> bool,
    ) -> Result<(), Why> {
        let other = self.known().by_inode.get(&found.id.inode).cloned();
        if let Some(other) = other.filter(|other| is_clash(name, other, found))
            && !(is_listed(name) && is_listed(&other))
        {
            return Err(same_name(&other));
        }
        self.note(name, found);
        Ok(())
    }
}

fn same_name(other: &[u8]) -> Why {
    let other = String::from_utf8_lossy(other);
    Why::InTheWay(Obstacle::SameName(Text::new(other)))
}

/// Whether two names of one thing clash. They do not if it is a hard link with both names.
fn is_clash(name: &[u8], other: &[u8], found: &Stat) -> bool {
    let is_dir = found.is_dir();
    name != other && (is_dir || found.links <= 1 || folded(name) == folded(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_under_two_names_is_a_clash() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let at = |name: &str| temp.path().join(name);
        let found = |name: &str| dir.stat_at(name.as_bytes()).unwrap().unwrap();
        std::fs::write(at("A"), "").unwrap();
        let names = EntryNames::default();
        let unlisted = |_: &[u8]| false;
        let only = found("A");
        names.claim(b"A", &only, unlisted).unwrap();
        names.claim(b"A", &only, unlisted).unwrap();
        let why = names.claim(b"a", &only, unlisted).unwrap_err();
        assert_eq!(why, Why::InTheWay(Obstacle::SameName("A".into())));
        // A file with two names may be listed under both.
        for name in ["a", "b"] {
            match std::fs::hard_link(at("A"), at(name)) {
                // It has that name already.
                Err(_) if name == "a" && is_one_name(&dir, b"A", b"a") => {}
                linked => linked.unwrap(),
            }
        }
        names.claim(b"a", &found("a"), unlisted).unwrap_err();
        names.claim(b"b", &found("b"), unlisted).unwrap();
        // A file that was just created belongs to no other entry.
        std::fs::write(at("c"), "").unwrap();
        names.note(b"d", &found("c"));
        names.note(b"c", &found("c"));
        names.claim(b"c", &found("c"), unlisted).unwrap();
    }

    #[test]
    fn one_number_is_not_one_thing_where_both_names_are_listed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        std::fs::write(temp.path().join("a"), "").unwrap();
        let found = dir.stat_at(b"a").unwrap().unwrap();
        let names = EntryNames::default();
        names.note(b"b", &found);
        names.claim(b"a", &found, |_| true).unwrap();
    }

    #[test]
    fn a_name_is_kept_for_the_first_that_has_it_by_any_spelling() {
        let names = EntryNames::default();
        for name in ["NAME", "\u{e9}.txt", "Stra\u{df}e", "unlike"] {
            names.reserve(name.as_bytes(), |_| true).unwrap();
            names.reserve(name.as_bytes(), |_| true).unwrap();
        }
        for name in ["name", "name.", "e\u{301}.TXT", "STRASSE"] {
            names.reserve(name.as_bytes(), |_| true).unwrap_err();
            names.reserve(name.as_bytes(), |_| false).unwrap();
        }
    }

    #[test]
    fn what_a_try_left_that_was_cut_off_goes_in_time() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let [old, new] = [passing_name(), passing_name()];
        for name in [&old, &new] {
            std::fs::create_dir(temp.path().join(name)).unwrap();
            std::fs::write(temp.path().join(name).join("a"), "").unwrap();
        }
        let left = dir.open_dir(old.as_bytes()).unwrap();
        let now = Timestamp::now();
        let seconds = now.seconds - MAX_TRY - 1;
        left.set_mtime(Timestamp { seconds, ..now }).unwrap();
        drop(left);
        Folding::of(&dir, &dir).unwrap();
        let there: Vec<_> = dir.list().unwrap().map(|one| one.unwrap().name).collect();
        assert_eq!(there, [new.into_bytes()]);
    }

    #[test]
    fn a_file_system_is_asked_which_names_are_one() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        assert!(is_one_name(&dir, b"a", b"a"));
        // If the try fails, they count as one.
        assert!(is_one_name(&dir, &[b'a'; 4096], b"b"));
        assert!(dir.list().unwrap().next().is_none());
    }
}

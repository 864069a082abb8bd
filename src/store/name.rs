//! Names that the store chooses: for partials, and for files whose own name is taken.
//!
//! Must not touch a file system.

use std::hash::{BuildHasher, RandomState};

use crate::model::digest::sha256;
use crate::model::relpath::{PARTIAL_PREFIX, PARTIAL_SUFFIX, RelPath};
use crate::sys::fs;

/// The longest name to choose, in bytes: the limit of common file systems.
const MAX_MADE_NAME: usize = 255;
/// The longest extension to recognize, in bytes, with its dot.
const MAX_EXTENSION: usize = 16;

/// The ID of one sender's partial of one path: its name without prefix and suffix. It is a hash of
/// both, so that finding a partial needs no search, and senders never share one.
pub(super) fn partial_id(owner: &[u8; 32], path: &RelPath) -> String {
    let digest = sha256(&[b"xfer partial\0", owner, path.as_bytes()]);
    digest.to_string()[..32].to_owned()
}

/// The possible IDs of one sender's partial of one path. The second is used if another user, who
/// receives into the same folder or is in the way, has the first.
pub(super) fn partial_ids(owner: &[u8; 32], path: &RelPath) -> [String; 2] {
    let user = fs::effective_user().to_le_bytes();
    let digest = sha256(&[b"xfer partial of a user\0", &user, owner, path.as_bytes()]);
    [partial_id(owner, path), digest.to_string()[..32].to_owned()]
}

/// The name of a partial's file.
pub(super) fn partial_name(id: &str) -> String {
    format!("{PARTIAL_PREFIX}{id}{PARTIAL_SUFFIX}")
}

/// A random name for something short-lived, so that nobody stumbles over what a killed process has
/// left.
pub(super) fn passing_name() -> String {
    let random = || RandomState::new().hash_one(0);
    partial_name(&format!("{:016x}{:016x}", random(), random()))
}

/// The `n`-th name for a file whose own is taken: `photo.jpg`, `photo (2).jpg` and so on. It is
/// shortened if it would be too long.
pub(super) fn nth_name(name: &[u8], n: u32) -> Vec<u8> {
    if n <= 1 {
        return name.to_vec();
    }
    let (stem, extension) = split_extension(name);
    let number = format!(" ({n})");
    let room = MAX_MADE_NAME.saturating_sub(number.len() + extension.len());
    let mut stem = stem;
    if stem.len() > room {
        let mut end = room;
        // Not in the middle of a character, if the name is UTF-8.
        while end > 0 && stem[end] & 0xc0 == 0x80 {
            end -= 1;
        }
        stem = &stem[..end];
    }
    [stem, number.as_bytes(), extension].concat()
}

/// The path of what is stored as `name`, if that is not its own name.
pub(super) fn other_name(path: &RelPath, name: &[u8]) -> Option<RelPath> {
    match name == path.file_name() {
        true => None,
        false => path.with_file_name(name).ok(),
    }
}

fn split_extension(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|&b| b == b'.') {
        Some(at) if at > 0 && is_extension(&name[at + 1..]) => name.split_at(at),
        _ => (name, &[]),
    }
}

fn is_extension(ending: &[u8]) -> bool {
    !ending.is_empty() && ending.len() < MAX_EXTENSION && !ending.contains(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stands_before_the_extension() {
        for (name, beside) in [
            ("a.txt", "a (2).txt"),
            ("a", "a (2)"),
            (".profile", ".profile (2)"),
            ("a.", "a. (2)"),
            ("a.tar.gz", "a.tar (2).gz"),
            (
                "notes of today. All of them",
                "notes of today. All of them (2)",
            ),
        ] {
            assert_eq!(nth_name(name.as_bytes(), 2), beside.as_bytes());
        }
        assert_eq!(nth_name(b"a.txt", 1), b"a.txt");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let name = "ä".repeat(125) + ".jpeg";
        let beside = nth_name(name.as_bytes(), 10);
        assert!(beside.len() <= 255);
        let beside = String::from_utf8(beside).unwrap();
        assert!(beside.ends_with("ä (10).jpeg"), "{beside}");
    }

    #[test]
    fn partials_of_different_senders_and_paths_differ() {
        let (a, b) = (RelPath::new("a").unwrap(), RelPath::new("b").unwrap());
        let id = partial_id(&[1; 32], &a);
        assert_eq!(id.len(), 32);
        assert_ne!(id, partial_id(&[2; 32], &a));
        assert_ne!(id, partial_id(&[1; 32], &b));
        assert!(crate::model::relpath::is_reserved(
            partial_name(&id).as_bytes()
        ));
    }
}

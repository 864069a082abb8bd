//! `RelPath`: the only kind of path that a peer can name. An unsafe path cannot become one.
//!
//! Must not touch a file system: the store decides what a name means there, and whether the file
//! system can hold it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::model::text::is_ignorable;

/// The longest path on the wire, in bytes.
pub const MAX_PATH_BYTES: usize = 32 * 1024;
/// The longest component of a path, in bytes. (The longest name of the common file systems is
/// 255 UTF-16 units, at most 765 bytes of UTF-8.)
pub const MAX_NAME_BYTES: usize = 1024;
/// The deepest path, in components.
pub const MAX_DEPTH: usize = 512;

/// The folder in which a receive directory keeps this program's own records.
pub const STATE_DIR: &str = ".xfer";
/// How the names of such folders begin where that one is another user's; the number of this one's
/// user follows.
pub const STATE_DIR_PREFIX: &str = ".xfer-";
/// How many digits the number of a user has at most.
const MAX_USER_DIGITS: usize = 10;
/// How the names of partials begin.
pub const PARTIAL_PREFIX: &str = ".xfer-";
/// How the names of partials end.
pub const PARTIAL_SUFFIX: &str = ".partial";

/// A relative path of one or more components, as bytes with '/' between them.
///
/// Every component is non-empty, is neither `.` nor `..`, holds neither '/' nor NUL, and is no
/// name that this program keeps for itself ([`is_reserved`]). It compares component by
/// component, byte by byte, so that a folder sorts right before what is in it. Clones share the
/// bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelPath(Arc<[u8]>);

/// Why some bytes are no [`RelPath`]. It travels: variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PathError {
    /// It has no component, or an empty one (so also: it begins or ends with '/').
    #[error("a path with an empty component")]
    Empty,
    /// It has a component `.` or `..`.
    #[error("a path with a component '.' or '..'")]
    Dots,
    /// It has a NUL byte.
    #[error("a path with a NUL byte")]
    Nul,
    /// It is longer than [`MAX_PATH_BYTES`].
    #[error("a path that is too long")]
    Long,
    /// A component is longer than [`MAX_NAME_BYTES`].
    #[error("a name that is too long")]
    LongName,
    /// It has more than [`MAX_DEPTH`] components.
    #[error("a path that is too deep")]
    Deep,
    /// A component is a name that xfer keeps for itself.
    #[error("a name that xfer keeps for itself")]
    Reserved,
}

/// How many hexadecimal digits the name of a partial has in its middle.
pub const PARTIAL_DIGITS: usize = 32;

/// Whether a name is one that this program keeps for its own records and partials, in any case
/// of letters and with whatever does not show, because some file systems do not tell these apart.
#[must_use]
pub fn is_reserved(name: &[u8]) -> bool {
    let name = &*without_ignorable(name);
    let (prefix, suffix) = (PARTIAL_PREFIX.len(), PARTIAL_SUFFIX.len());
    name.eq_ignore_ascii_case(STATE_DIR.as_bytes())
        || is_state_of_a_user(name)
        || (name.len() == prefix + PARTIAL_DIGITS + suffix
            && name[..prefix].eq_ignore_ascii_case(PARTIAL_PREFIX.as_bytes())
            && name[prefix..prefix + PARTIAL_DIGITS]
                .iter()
                .all(u8::is_ascii_hexdigit)
            && name[prefix + PARTIAL_DIGITS..].eq_ignore_ascii_case(PARTIAL_SUFFIX.as_bytes()))
}

fn is_state_of_a_user(name: &[u8]) -> bool {
    let Some((prefix, digits)) = name.split_at_checked(STATE_DIR_PREFIX.len()) else {
        return false;
    };
    prefix.eq_ignore_ascii_case(STATE_DIR_PREFIX.as_bytes())
        && (1..=MAX_USER_DIGITS).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
}

/// A name as a file system has it that ignores [`is_ignorable`] characters.
fn without_ignorable(name: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(name) {
        Ok(text) if text.contains(is_ignorable) => {
            Cow::Owned(text.replace(is_ignorable, "").into_bytes())
        }
        _ => Cow::Borrowed(name),
    }
}

fn check_name(name: &[u8]) -> Result<(), PathError> {
    if name.is_empty() {
        Err(PathError::Empty)
    } else if matches!(&*without_ignorable(name), b"." | b"..") {
        Err(PathError::Dots)
    } else if name.len() > MAX_NAME_BYTES {
        Err(PathError::LongName)
    } else if is_reserved(name) {
        Err(PathError::Reserved)
    } else {
        Ok(())
    }
}

fn check(bytes: &[u8]) -> Result<(), PathError> {
    if bytes.len() > MAX_PATH_BYTES {
        return Err(PathError::Long);
    }
    if bytes.contains(&0) {
        return Err(PathError::Nul);
    }
    let mut depth = 0;
    for name in bytes.split(|&b| b == b'/') {
        check_name(name)?;
        depth += 1;
    }
    if depth > MAX_DEPTH {
        return Err(PathError::Deep);
    }
    Ok(())
}

impl RelPath {
    /// Checks some bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, PathError> {
        let bytes = bytes.into();
        check(&bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The path of `name` in the folder that is this path.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        bytes.push(b'/');
        bytes.extend_from_slice(name);
        Self::new(bytes)
    }

    /// This path in the folder `place`.
    pub fn in_folder(&self, place: &Self) -> Result<Self, PathError> {
        place.join(&self.0)
    }

    /// What of this path comes behind that of the folder `place`; none where it is not in it.
    #[must_use]
    pub fn within(&self, place: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&*place.0)?.strip_prefix(b"/")?;
        Self::new(rest).ok()
    }

    /// The folder that it is in; none where it has one component.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        Self::new(self.parent_bytes()?).ok()
    }

    /// The same path with another last component.
    pub fn with_file_name(&self, name: &[u8]) -> Result<Self, PathError> {
        match self.parent_bytes() {
            Some(parent) => {
                let mut bytes = parent.to_vec();
                bytes.push(b'/');
                bytes.extend_from_slice(name);
                Self::new(bytes)
            }
            None => Self::new(name),
        }
    }

    /// The bytes, '/' between components.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a path of this system. Joined to a folder it stays below it, but for links: whoever
    /// opens it must not follow them.
    #[must_use]
    pub fn as_path(&self) -> Cow<'_, Path> {
        crate::sys::name::path_to_system(&self.0)
    }

    /// The path of this below `root`, which takes the place of the first component.
    #[must_use]
    pub fn below(&self, root: &Path) -> PathBuf {
        match self.0.iter().position(|&b| b == b'/') {
            Some(at) => root.join(crate::sys::name::path_to_system(&self.0[at + 1..])),
            None => root.to_path_buf(),
        }
    }

    /// The components, first to last.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/')
    }

    /// How many components there are; at least 1.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        let start = self.last_slash().map_or(0, |at| at + 1);
        &self.0[start..]
    }

    /// The bytes of all but the last component; none where there is only one.
    #[must_use]
    pub fn parent_bytes(&self) -> Option<&[u8]> {
        self.last_slash().map(|at| &self.0[..at])
    }

    fn last_slash(&self) -> Option<usize> {
        self.0.iter().rposition(|&b| b == b'/')
    }
}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RelPath {
    fn cmp(&self, other: &Self) -> Ordering {
        // NUL is in no path, so a '/' that counts as NUL ends its component before any other
        // byte could continue it.
        let key = |&b: &u8| if b == b'/' { 0 } else { b };
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_path())
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathVisitor;
        impl Visitor<'_> for PathVisitor {
            type Value = RelPath;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a relative path")
            }
            fn visit_bytes<E: serde::de::Error>(self, v: &[u8]) -> Result<RelPath, E> {
                check(v).map_err(E::custom)?;
                Ok(RelPath(v.into()))
            }
            fn visit_byte_buf<E: serde::de::Error>(self, v: Vec<u8>) -> Result<RelPath, E> {
                RelPath::new(v).map_err(E::custom)
            }
        }
        deserializer
            .deserialize_bytes(PathVisitor)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(s: &str) -> RelPath {
        RelPath::new(s).unwrap()
    }

    #[test]
    fn unsafe_bytes_are_no_path() {
        for (bytes, error) in [
            ("", PathError::Empty),
            ("/", PathError::Empty),
            ("/etc/passwd", PathError::Empty),
            ("a//b", PathError::Empty),
            ("a/", PathError::Empty),
            (".", PathError::Dots),
            ("..", PathError::Dots),
            ("../a", PathError::Dots),
            ("a/../b", PathError::Dots),
            ("a/..", PathError::Dots),
            ("a/./b", PathError::Dots),
            ("a\0b", PathError::Nul),
            (".xfer", PathError::Reserved),
            (".XFER/index", PathError::Reserved),
            (".xf\u{200d}er", PathError::Reserved),
            ("a/.xfer-0", PathError::Reserved),
            (".Xfer-429496\u{ad}7295/index", PathError::Reserved),
            ("a/\u{ad}.Xfer\u{feff}/index", PathError::Reserved),
            (".\u{200c}.", PathError::Dots),
            (
                "a/.xfer-00112233445566778899AABBccddeeff.partial",
                PathError::Reserved,
            ),
        ] {
            assert_eq!(RelPath::new(bytes), Err(error), "{bytes:?}");
        }
        assert_eq!(RelPath::new(vec![b'a'; 1025]), Err(PathError::LongName));
        assert_eq!(
            RelPath::new("abc/".repeat(9000) + "a"),
            Err(PathError::Long)
        );
        assert_eq!(RelPath::new("a/".repeat(512) + "a"), Err(PathError::Deep));
    }

    #[test]
    fn odd_names_are_names() {
        for name in [
            "...",
            "a..b",
            "C:\\x",
            "a\\..\\b",
            "aux.c",
            "x\n\x1b[31m",
            " ",
            "-rf",
            ".xfers",
            "ünï/😀",
            ".xfer-a",
            ".xfer-",
            ".xfer-1a",
            ".xfer-12345678901",
            ".xfer-0011.partial",
            "\u{200d}",
            "a\u{200d}b",
        ] {
            assert!(RelPath::new(name).is_ok(), "{name:?}");
        }
        assert!(RelPath::new(vec![0xff, 0xfe]).is_ok());
    }

    #[test]
    fn a_folder_sorts_right_before_what_is_in_it() {
        let mut paths: Vec<_> = ["a.b", "a/c", "a", "a/b/z", "a/b", "a b", "b"]
            .map(path)
            .into();
        paths.sort();
        let sorted: Vec<_> = paths
            .iter()
            .map(|p| String::from_utf8_lossy(p.as_bytes()).into_owned())
            .collect();
        assert_eq!(sorted, ["a", "a/b", "a/b/z", "a/c", "a b", "a.b", "b"]);
    }

    #[test]
    fn below_replaces_the_first_component() {
        assert_eq!(path("x/y/z").below(Path::new("/r")), Path::new("/r/y/z"));
        assert_eq!(path("x").below(Path::new("/r")), Path::new("/r"));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_below_its_folder(
            bytes in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..40)
        ) {
            if let Ok(p) = RelPath::new(bytes.clone()) {
                prop_assert_eq!(p.as_bytes(), &bytes[..]);
                prop_assert!(p.as_path().components().all(|c| matches!(c, std::path::Component::Normal(_))));
                prop_assert_eq!(p.as_path().components().count(), p.depth());
                prop_assert!(!bytes.contains(&0));
            }
        }

        #[test]
        fn order_is_the_order_of_component_lists(a in "[a-c./]{1,9}", b in "[a-c./]{1,9}") {
            if let (Ok(a), Ok(b)) = (RelPath::new(a), RelPath::new(b)) {
                let by_component = a.components().cmp(b.components());
                prop_assert_eq!(a.cmp(&b), by_component);
            }
        }
    }
}

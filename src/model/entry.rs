//! One entry of a manifest: what is known of a file, folder or link before its bytes come.
//!
//! Must not touch a file system. A decoded value is valid in itself; [`crate::model::order::Order`]
//! checks whether it may stand where it does.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::model::relpath::RelPath;

/// The largest file, in bytes: what a signed 64-bit file offset can address.
pub const MAX_FILE_BYTES: u64 = i64::MAX as u64;
/// The longest link target, in bytes.
pub const MAX_TARGET_BYTES: usize = 4095;
/// How many extras an entry can have.
pub const MAX_EXTRAS: usize = 16;
/// The longest value of an extra, in bytes.
pub const MAX_EXTRA_BYTES: usize = 4096;

/// An entry's number: counts from 0 in the order in which entries are announced in a session.
pub type EntryId = u64;

/// A file, folder or link to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// Where it belongs, below the receive directory.
    pub path: RelPath,
    /// What it is.
    pub kind: Kind,
    /// When it was last modified.
    pub mtime: Time,
    /// Its permissions.
    pub mode: Mode,
    /// What later versions add; a receiver ignores tags that it does not know.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_EXTRAS>")]
    pub extras: Vec<Extra>,
}

impl Entry {
    /// How many bytes its path, its target and its extras have.
    #[must_use]
    pub fn variable_bytes(&self) -> usize {
        let target = match &self.kind {
            Kind::Symlink { target } => target.as_bytes().len(),
            _ => 0,
        };
        let extras = self.extras.iter();
        let extras = extras.map(|extra| size_of::<Extra>() + extra.value.len());
        self.path.as_bytes().len() + target + extras.sum::<usize>()
    }

    /// Its size in bytes; 0 for what has none, or none yet.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.kind {
            Kind::File { size } => size.get(),
            _ => 0,
        }
    }

    /// Whether it is a folder that only leads to what is sent.
    #[must_use]
    pub fn is_way(&self) -> bool {
        matches!(self.kind, Kind::Dir) && self.extras.iter().any(|extra| extra.tag == Extra::WAY)
    }

    /// How many bytes of the sender's disk a file takes up, where its sender says that it is less
    /// than its size.
    #[must_use]
    pub fn allocated(&self) -> Option<u64> {
        let mut said = self.extras.iter().filter(|e| e.tag == Extra::ALLOCATED);
        let bytes = said.next()?.value.as_slice().try_into().ok()?;
        Some(u64::from_le_bytes(bytes)).filter(|&bytes| bytes < self.size())
    }

    /// Forgets the extras that this version does not know.
    pub fn forget_unknown_extras(&mut self) {
        let way = self.is_way().then(Extra::way);
        let known = self.allocated().map(Extra::allocated);
        self.extras = known.into_iter().chain(way).collect();
    }
}

/// What an entry is. Variants are appended, never reordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// A regular file.
    File {
        /// Its size in bytes, when it was announced.
        size: FileSize,
    },
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink {
        /// What it points to; kept as it is, never followed.
        target: Target,
    },
    /// A regular file that is made of a stream, whose size only its end tells.
    Stream,
}

/// Something that later versions add to an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// What it is.
    pub tag: u16,
    /// Its value.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_EXTRA_BYTES>")]
    pub value: Vec<u8>,
}

impl Extra {
    /// How many bytes of its disk a file takes up, where that is less than its size.
    const ALLOCATED: u16 = 1;

    /// A folder that only leads to what is sent.
    const WAY: u16 = 2;

    /// Says of a folder that it only leads to what is sent. Where there is one, it stays as it is.
    #[must_use]
    pub fn way() -> Self {
        Self {
            tag: Self::WAY,
            value: Vec::new(),
        }
    }

    /// Says that a file takes up so many bytes of its disk, which is less than its size.
    #[must_use]
    pub fn allocated(bytes: u64) -> Self {
        Self {
            tag: Self::ALLOCATED,
            value: bytes.to_le_bytes().to_vec(),
        }
    }
}

/// A size in bytes, at most [`MAX_FILE_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct FileSize(u64);

impl FileSize {
    /// The number of bytes.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for FileSize {
    type Error = &'static str;
    fn try_from(bytes: u64) -> Result<Self, Self::Error> {
        if bytes > MAX_FILE_BYTES {
            return Err("a file that is too large");
        }
        Ok(Self(bytes))
    }
}

/// A point in time: seconds since 1970 UTC, negative before it, and nanoseconds after that
/// second, below 1,000,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "(i64, u32)", into = "(i64, u32)")]
pub struct Time {
    seconds: i64,
    nanos: u32,
}

impl Time {
    /// A whole second.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Seconds since 1970 UTC.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after that second.
    #[must_use]
    pub fn nanos(self) -> u32 {
        self.nanos
    }
}

impl TryFrom<(i64, u32)> for Time {
    type Error = &'static str;
    fn try_from((seconds, nanos): (i64, u32)) -> Result<Self, Self::Error> {
        if nanos >= 1_000_000_000 {
            return Err("a time with a second or more in its nanoseconds");
        }
        Ok(Self { seconds, nanos })
    }
}

impl From<Time> for (i64, u32) {
    fn from(time: Time) -> Self {
        (time.seconds, time.nanos)
    }
}

/// Permission bits, 0o7777 at most. Whether setuid, setgid and sticky are kept is the
/// receiver's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32")]
pub struct Mode(u32);

impl Mode {
    /// The bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Those of a file's `st_mode` that are permissions.
    #[must_use]
    pub fn from_stat(st_mode: u32) -> Self {
        Self(st_mode & 0o7777)
    }
}

impl TryFrom<u32> for Mode {
    type Error = &'static str;
    fn try_from(bits: u32) -> Result<Self, Self::Error> {
        if bits > 0o7777 {
            return Err("a mode with bits that are no permissions");
        }
        Ok(Self(bits))
    }
}

/// What a symbolic link points to: 1 to [`MAX_TARGET_BYTES`] bytes without NUL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target(Box<[u8]>);

impl Target {
    /// Checks some bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, &'static str> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > MAX_TARGET_BYTES || bytes.contains(&0) {
            return Err("a link target that no link can have");
        }
        Ok(Self(bytes.into_boxed_slice()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a path. It can lead anywhere.
    #[must_use]
    pub fn as_path(&self) -> Cow<'_, Path> {
        crate::sys::name::to_system(&self.0)
    }

    /// Whether a link at `link` that points here stays below the folder that `link` is relative
    /// to, as far as its bytes tell. It climbs only in front, out of real folders: a name may be
    /// that of a link, and what is above that is anywhere.
    #[must_use]
    pub fn stays_below(&self, link: &RelPath) -> bool {
        if self.0.starts_with(b"/") {
            return false;
        }
        let mut above = link.depth() - 1;
        let mut named = false;
        for name in self.0.split(|&b| b == b'/') {
            match name {
                b"" | b"." => {}
                b".." if named || above == 0 => return false,
                b".." => above -= 1,
                _ => named = true,
            }
        }
        true
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_path())
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TargetVisitor;
        impl Visitor<'_> for TargetVisitor {
            type Value = Target;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a link target")
            }
            fn visit_bytes<E: serde::de::Error>(self, v: &[u8]) -> Result<Target, E> {
                Target::new(v).map_err(E::custom)
            }
        }
        deserializer
            .deserialize_bytes(TargetVisitor)
            .map_err(D::Error::custom)
    }
}

/// Decodes a list of at most `MAX` elements; a longer one fails before memory is taken for it.
pub(crate) fn bounded_list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct ListVisitor<T, const MAX: usize>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX}")
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            if let Some(n) = seq.size_hint()
                && n > MAX
            {
                return Err(A::Error::invalid_length(n, &self));
            }
            // The count is only what the peer says: grow with what really comes.
            let mut list = Vec::new();
            while let Some(item) = seq.next_element()? {
                if list.len() == MAX {
                    return Err(A::Error::invalid_length(MAX + 1, &self));
                }
                list.push(item);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(ListVisitor::<T, MAX>(std::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_stays_below_or_does_not() {
        for (link, target, stays) in [
            ("l", "file", true),
            ("l", "./a//b/.", true),
            ("l", ".", true),
            ("l", "...", true),
            ("l", "..", false),
            ("l", "./../a", false),
            ("l", "/", false),
            ("l", "/a", false),
            ("l", "//a", false),
            ("a/l", "..", true),
            ("a/l", "../b", true),
            ("a/l", ".././b/c", true),
            ("a/l", "../..", false),
            ("a/b/l", "../../x", true),
            ("a/b/l", "..//..//..", false),
            // `x` may be a link to the top.
            ("a/b/l", "x/..", false),
            ("a/b/l", "../x/../y", false),
        ] {
            let (path, target) = (RelPath::new(link).unwrap(), Target::new(target).unwrap());
            assert_eq!(target.stays_below(&path), stays, "{link} -> {target:?}");
        }
    }
}

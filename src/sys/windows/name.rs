//! Names of files as Windows has them, and as the bytes that travel: UTF-8, or WTF-8 where UTF-16
//! that is none has to be kept (<https://simonsapin.github.io/wtf-8/>).
//!
//! Must not judge a name: [`check_new`] says which names Windows cannot hold, and whoever makes one
//! asks it. `escaped` says which name on disk stands for each that travels.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation::{
    ERROR_FILENAME_EXCED_RANGE, ERROR_INVALID_FUNCTION, ERROR_INVALID_NAME,
};

use super::nt::{error_with, is_code};
use crate::sys::escaped::{from_disk, to_disk};
use crate::sys::name_rules::{self, BadName, Piece, pieces};

/// Whether programs can have files of any name.
pub const HOLDS_ALL: bool = false;
/// Whether shells replace patterns by the names that match.
pub const SHELLS_EXPAND: bool = false;
/// The longest name, in units of UTF-16.
const MAX_UNITS: usize = 255;
/// The longest path that programs can have that know no longer ones, in units of UTF-16.
const MAX_PLAIN_UNITS: usize = 259;

/// The bytes of a text, as they travel.
#[must_use]
pub fn from_system(text: &(impl AsRef<OsStr> + ?Sized)) -> &[u8] {
    // It is WTF-8 on Windows, and has been since there is this call.
    text.as_ref().as_encoded_bytes()
}

/// The bytes of a name or a path on disk, as they travel. The separators of a path stay what they
/// are.
#[must_use]
pub fn from_path(path: &(impl AsRef<OsStr> + ?Sized)) -> Cow<'_, [u8]> {
    let bytes = from_system(path);
    // What begins a character that stands for a byte.
    if !bytes
        .windows(2)
        .any(|two| matches!(two, [0xef, 0x80..=0x83]))
    {
        return Cow::Borrowed(bytes);
    }
    let units: Vec<u16> = path.as_ref().encode_wide().collect();
    let is_separator = |unit: &u16| [u16::from(b'\\'), u16::from(b'/')].contains(unit);
    let names = units.split_inclusive(is_separator);
    Cow::Owned(names.flat_map(from_disk_with_end).collect())
}

fn from_disk_with_end(name: &[u16]) -> Vec<u8> {
    match name.split_last() {
        Some((end @ (0x2f | 0x5c), name)) => {
            let mut bytes = from_disk(name);
            bytes.push(end.to_le_bytes()[0]);
            bytes
        }
        _ => from_disk(name),
    }
}

/// The text that the bytes stand for. What is no WTF-8 is shown as well as can be.
#[must_use]
pub fn to_system(bytes: &[u8]) -> Cow<'_, Path> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(Path::new(text));
    }
    let units: Option<Vec<u16>> = pieces(bytes)
        .into_iter()
        .map(|piece| match piece {
            Piece::Unit(unit) => Some(unit),
            Piece::Byte(_) => None,
        })
        .collect();
    Cow::Owned(match units {
        Some(units) => PathBuf::from(OsString::from_wide(&units)),
        None => PathBuf::from(String::from_utf8_lossy(bytes).into_owned()),
    })
}

/// The path on disk that the bytes stand for, which have '/' between names.
#[must_use]
pub fn path_to_system(bytes: &[u8]) -> Cow<'_, Path> {
    let mut path = OsString::with_capacity(bytes.len());
    for (n, name) in bytes.split(|byte| *byte == b'/').enumerate() {
        if n > 0 {
            path.push("\\");
        }
        match to_disk(name) {
            Some(units) => path.push(OsString::from_wide(&units)),
            // It leads nowhere, and `RelPath` has none.
            None => path.push("\u{fffd}"),
        }
    }
    Cow::Owned(path.into())
}

/// The UTF-16 of a name to look up or to make. It is one name, whatever the bytes are.
pub(super) fn to_units(name: &[u8]) -> io::Result<Vec<u16>> {
    let units = to_disk(name).ok_or_else(|| error_with(ERROR_INVALID_NAME))?;
    match units.len() > MAX_UNITS {
        true => Err(error_with(ERROR_FILENAME_EXCED_RANGE)),
        false => Ok(units),
    }
}

/// The bytes of a name in UTF-16.
pub(super) fn from_units(units: &[u16]) -> Vec<u8> {
    from_disk(units)
}

/// Checks whether Windows lets programs have a file of this name. One that it does not is stored
/// under another name.
pub fn check_new(name: &[u8]) -> Result<(), BadName> {
    name_rules::check(name)
}

/// The absolute path without links, as people know it: without `\\?\`, where the path means the
/// same without that.
pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        // Some drives cannot say where something on them is, such as those in memory.
        Err(e) if is_code(&e, ERROR_INVALID_FUNCTION) => {
            path.metadata()?;
            std::path::absolute(path)
        }
        found => found.map(|path| plain(&path).unwrap_or(path)),
    }
}

fn plain(path: &Path) -> Option<PathBuf> {
    let text = path.to_str()?;
    if text.encode_utf16().count() > MAX_PLAIN_UNITS {
        return None;
    }
    let rest = text.strip_prefix(r"\\?\")?;
    let (shown, names) = match rest.strip_prefix(r"UNC\") {
        Some(rest) => (format!(r"\\{rest}"), rest),
        None => match rest.as_bytes() {
            [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic() => {
                (rest.to_owned(), &rest[3..])
            }
            _ => return None,
        },
    };
    let mut names = names.split('\\').filter(|name| !name.is_empty());
    names
        .all(|name| name_rules::check(name.as_bytes()).is_ok())
        .then(|| shown.into())
}

/// Whether a text can only be a path here: one with a drive, or with '\\'.
#[must_use]
pub fn is_only_a_path(text: &str) -> bool {
    let has_drive = matches!(text.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic());
    has_drive || text.starts_with('\\') || text.starts_with(r".\") || text.starts_with(r"..\")
}

/// A path that people typed, with '/' between names.
#[must_use]
pub fn with_slashes(text: &str) -> Cow<'_, str> {
    match text.contains('\\') {
        true => Cow::Owned(text.replace('\\', "/")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_on_disk_is_below_its_folder_and_comes_back() {
        for (bytes, path, back) in [
            (
                "photos/2024/a.jpg",
                r"photos\2024\a.jpg",
                r"photos\2024\a.jpg",
            ),
            (
                "a/C:\\x/nul",
                "a\\C\u{f03a}\u{f05c}x\\\u{f06e}ul",
                r"a\C:\x\nul",
            ),
            ("C:", "C\u{f03a}", "C:"),
            ("CONOUT$ .txt", "\u{f043}ONOUT$ .txt", "CONOUT$ .txt"),
        ] {
            let found = path_to_system(bytes.as_bytes());
            assert_eq!(found, Path::new(path), "{bytes}");
            assert_eq!(&*from_path(&*found), back.as_bytes());
        }
        assert_eq!(&*from_path("a\\b\u{f03a}c\\d"), b"a\\b:c\\d");
    }

    #[test]
    fn a_path_is_told_from_a_machine() {
        for path in [
            r"C:\Users\me",
            "C:x",
            "d:",
            r"\\nas\films",
            r"\x",
            r".\x",
            r"..\x",
        ] {
            assert!(is_only_a_path(path), "{path}");
        }
        for machine in [
            "laptop",
            "laptop:photos",
            "10.0.0.1:9090",
            "::1",
            "[::1]:9090",
        ] {
            assert!(!is_only_a_path(machine), "{machine}");
        }
    }

    #[test]
    fn a_path_is_shown_plain_where_it_means_the_same() {
        for (path, shown) in [
            (r"\\?\C:\Users\me", Some(r"C:\Users\me")),
            (r"\\?\C:\", Some(r"C:\")),
            (r"\\?\UNC\nas\films", Some(r"\\nas\films")),
            (r"\\?\C:\dot.", None),
            (r"\\?\C:\nul", None),
            (r"\\?\Volume{1}\x", None),
            (r"C:\x", None),
        ] {
            assert_eq!(plain(Path::new(path)), shown.map(PathBuf::from), "{path}");
        }
        let long = format!(r"\\?\C:\{}", "x\\".repeat(200));
        assert_eq!(plain(Path::new(&long)), None);
    }
}

//! Names of files as Windows has them, and as the bytes that travel: UTF-8, or WTF-8 where UTF-16
//! that is none has to be kept (<https://simonsapin.github.io/wtf-8/>).
//!
//! Must not judge a name: [`check_new`] says which names Windows cannot hold, and whoever makes one
//! asks it.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation::{ERROR_FILENAME_EXCED_RANGE, ERROR_INVALID_NAME};

use super::nt::error_with;

/// The longest name, in units of UTF-16.
const MAX_UNITS: usize = 255;

/// The bytes of a name or a path, as they travel. The separators of a path stay what they are.
#[must_use]
pub fn from_system(name: &(impl AsRef<OsStr> + ?Sized)) -> &[u8] {
    // It is WTF-8 on Windows, and has been since there is this call.
    name.as_ref().as_encoded_bytes()
}

/// The name or path that the bytes stand for. What is no WTF-8 is shown as well as can be: no file
/// has such a name here.
#[must_use]
pub fn to_system(bytes: &[u8]) -> Cow<'_, Path> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(Path::new(text)),
        Err(_) => Cow::Owned(match units(bytes) {
            Some(units) => PathBuf::from(OsString::from_wide(&units)),
            None => PathBuf::from(String::from_utf8_lossy(bytes).into_owned()),
        }),
    }
}

/// The path that the bytes stand for, which have '/' between names. What would make two names of one,
/// or lead to another drive or a stream, is shown as what cannot be shown.
#[must_use]
pub fn path_to_system(bytes: &[u8]) -> Cow<'_, Path> {
    if !bytes.iter().any(|b| b"/\\:".contains(b)) {
        return to_system(bytes);
    }
    let names = bytes.split(|b| *b == b'/').map(|name| {
        let name = to_system(name).into_owned().into_os_string();
        match name.to_str() {
            Some(text) if text.contains(['\\', ':']) => {
                PathBuf::from(text.replace(['\\', ':'], "\u{fffd}"))
            }
            _ => PathBuf::from(name),
        }
    });
    Cow::Owned(names.collect())
}

/// The UTF-16 of a name to look up. What would make a path of it, or reach a stream, is no name.
pub(super) fn to_units(name: &[u8]) -> io::Result<Vec<u16>> {
    let units = units(name).ok_or_else(|| error_with(ERROR_INVALID_NAME))?;
    if units.len() > MAX_UNITS {
        return Err(error_with(ERROR_FILENAME_EXCED_RANGE));
    }
    let divides =
        |unit: &u16| [u16::from(b'\\'), u16::from(b'/'), u16::from(b':'), 0].contains(unit);
    match units.iter().any(divides) {
        true => Err(error_with(ERROR_INVALID_NAME)),
        false => Ok(units),
    }
}

/// The bytes of a name in UTF-16.
pub(super) fn from_units(units: &[u16]) -> Vec<u8> {
    OsString::from_wide(units).into_encoded_bytes()
}

/// The UTF-16 of a name that is to be made. NT makes any; but programs could not open these, or
/// would open something else.
pub(super) fn to_new_units(name: &[u8]) -> io::Result<Vec<u16>> {
    match check_new(name) {
        Ok(()) => to_units(name),
        Err(_) => Err(error_with(ERROR_INVALID_NAME)),
    }
}

/// Why Windows does not let programs have a file of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadName {
    /// It stands for no UTF-16.
    Encoding,
    /// It has a character that names cannot have.
    Character(char),
    /// It ends with a dot or a blank.
    End,
    /// It is a device, whatever follows its first dot.
    Device,
}

/// Whether Windows lets programs have a file of this name
/// (<https://learn.microsoft.com/windows/win32/fileio/naming-a-file>).
pub fn check_new(name: &[u8]) -> Result<(), BadName> {
    let units = units(name).ok_or(BadName::Encoding)?;
    let chars: Vec<char> = char::decode_utf16(units)
        // What is no character has no rule.
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    let is_bad = |c: &char| *c < ' ' || "<>:\"/\\|?*".contains(*c);
    if let Some(bad) = chars.iter().copied().find(is_bad) {
        return Err(BadName::Character(bad));
    }
    if chars.last().is_some_and(|c| matches!(c, '.' | ' ')) {
        return Err(BadName::End);
    }
    let stem: String = chars.into_iter().take_while(|c| *c != '.').collect();
    match is_device(stem.trim_end_matches(' ')) {
        true => Err(BadName::Device),
        false => Ok(()),
    }
}

fn is_device(stem: &str) -> bool {
    let is = |name: &str| stem.eq_ignore_ascii_case(name);
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
        .into_iter()
        .any(is)
    {
        return true;
    }
    let Some((port, number)) = stem.split_at_checked(3) else {
        return false;
    };
    let is_port = port.eq_ignore_ascii_case("COM") || port.eq_ignore_ascii_case("LPT");
    let mut number = number.chars();
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³');
    is_port && number.next().is_some_and(is_number) && number.next().is_none()
}

/// WTF-8 as UTF-16; none where it is no WTF-8.
fn units(bytes: &[u8]) -> Option<Vec<u16>> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(text.encode_utf16().collect());
    }
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let valid = match std::str::from_utf8(rest) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).ok()?,
        };
        units.extend(valid.encode_utf16());
        rest = &rest[valid.len()..];
        // Half of a pair: U+D800 to U+DFFF, in three bytes. Two halves that make a pair are UTF-8
        // of four bytes instead, so that a name has one form only.
        if let [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, after @ ..] = rest {
            let unit = 0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f);
            let makes_pair = (0xdc00..0xe000).contains(&unit)
                && valid.is_empty()
                && units
                    .last()
                    .is_some_and(|last| (0xd800..0xdc00).contains(last));
            if makes_pair {
                return None;
            }
            units.push(unit);
            rest = after;
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_windows_cannot_hold_is_refused() {
        for (name, wanted) in [
            (&b"film.mkv"[..], Ok(())),
            ("é ü 日本.txt".as_bytes(), Ok(())),
            (b".hidden", Ok(())),
            (b"console", Ok(())),
            (b"COM10", Ok(())),
            (b"com", Ok(())),
            (b"a:b", Err(BadName::Character(':'))),
            (b"a\\b", Err(BadName::Character('\\'))),
            (b"what?", Err(BadName::Character('?'))),
            (b"tab\t", Err(BadName::Character('\t'))),
            (b"dot.", Err(BadName::End)),
            (b"blank ", Err(BadName::End)),
            (b"NUL", Err(BadName::Device)),
            (b"nul.tar.gz", Err(BadName::Device)),
            (b"con .txt", Err(BadName::Device)),
            (b"Com1", Err(BadName::Device)),
            ("lpt¹.x".as_bytes(), Err(BadName::Device)),
            (b"\xff", Err(BadName::Encoding)),
        ] {
            assert_eq!(check_new(name), wanted, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn halves_of_pairs_are_kept() {
        let odd = [u16::from(b'a'), 0xd800, u16::from(b'b'), 0xdc00];
        let bytes = from_units(&odd);
        assert_eq!(units(&bytes).unwrap(), odd);
        assert_eq!(from_system(&to_system(&bytes).into_owned()), bytes);
        // A pair that is written as two halves is no WTF-8.
        assert_eq!(units(b"\xed\xa0\x80\xed\xb0\x80"), None);
        assert_eq!(units(b"\xed\xa0"), None);
    }
}

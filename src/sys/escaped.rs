//! Names as a disk of Windows has them, each for one name that travels, and back.
//!
//! Must not judge a name (`name_rules` does), nor touch a file system: whatever a peer calls an
//! entry, what comes out of here is one name, which reaches no device, no stream and no other
//! folder.
//!
//! What Windows does not allow in a name goes to U+F000 and its byte, as with Samba, Cygwin and WSL:
//! characters of ASCII that it forbids, a dot or blank at the end, the first letter of a device,
//! and bytes that are no UTF-8. Those characters are for private use, and may be in a name as well.
//! A name that would be taken for an escaped one then has the bytes of such a character escaped;
//! any other is left as it is. So no two names are one on disk, and each comes back as it went.
//! Names that are on disk but break a rule, as other programs can make them, have no name here that
//! leads to them.

use std::ops::RangeInclusive;

use super::name_rules::{Piece, check_units, forbidden, is_bad_end, is_device, pieces};

/// What stands for bytes.
const PRIVATE: RangeInclusive<u16> = 0xf001..=0xf0ff;

/// The name on disk, in UTF-16; none of what is no name of one thing in a folder.
pub(super) fn to_disk(name: &[u8]) -> Option<Vec<u16>> {
    if !is_name(name) {
        return None;
    }
    let pieces = pieces(name);
    let is_private = |piece: &Piece| matches!(piece, Piece::Unit(unit) if PRIVATE.contains(unit));
    if pieces.iter().any(is_private) {
        let literal: Option<Vec<u16>> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Unit(unit) => Some(*unit),
                Piece::Byte(_) => None,
            })
            .collect();
        if let Some(literal) = literal
            && check_units(&literal).is_ok()
            && escaped(&literal).is_none()
        {
            return Some(literal);
        }
    }
    Some(escape(&pieces))
}

/// The name that travels for one on disk.
pub(super) fn from_disk(units: &[u16]) -> Vec<u8> {
    match units.iter().any(|unit| PRIVATE.contains(unit)) {
        true => escaped(units).unwrap_or_else(|| wtf8(units)),
        false => wtf8(units),
    }
}

/// Whether this is the name of one thing in a folder.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// The name for which these are the escaped form; none where they are that of no name.
fn escaped(units: &[u16]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(units.len());
    for run in units.chunk_by(|a, b| PRIVATE.contains(a) == PRIVATE.contains(b)) {
        match run.first().is_some_and(|unit| PRIVATE.contains(unit)) {
            true => name.extend(run.iter().map(|unit| unit.to_le_bytes()[0])),
            false => name.extend(wtf8(run)),
        }
    }
    (is_name(&name) && escape(&pieces(&name)) == units).then_some(name)
}

fn escape(pieces: &[Piece]) -> Vec<u16> {
    let private = |byte: u8| PRIVATE.start() - 1 + u16::from(byte);
    let mut units = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match *piece {
            Piece::Byte(byte) => units.push(private(byte)),
            Piece::Unit(unit) if PRIVATE.contains(&unit) => {
                units.extend(wtf8(&[unit]).into_iter().map(private));
            }
            Piece::Unit(unit) => units.push(forbidden(unit).map_or(unit, private)),
        }
    }
    if let Some(last) = units.last_mut()
        && is_bad_end(*last)
    {
        *last += private(0);
    }
    if is_device(&units)
        && let Some(first) = units.first_mut()
    {
        *first += private(0);
    }
    units
}

/// UTF-16 in bytes.
fn wtf8(units: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(units.len());
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit {
            Ok(c) => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(half) => {
                let [low, high] = half.unpaired_surrogate().to_le_bytes();
                bytes.extend([
                    0xe0 | high >> 4,
                    0x80 | (high & 0xf) << 2 | low >> 6,
                    0x80 | low & 0x3f,
                ]);
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn on_disk(name: &[u8]) -> String {
        String::from_utf16_lossy(&to_disk(name).unwrap())
    }

    #[test]
    fn what_windows_does_not_allow_is_escaped_and_comes_back() {
        for (name, disk) in [
            (&b"film.mkv"[..], "film.mkv"),
            (
                "\u{e9} \u{65e5}\u{1f600}".as_bytes(),
                "\u{e9} \u{65e5}\u{1f600}",
            ),
            (b"a:b", "a\u{f03a}b"),
            (b"C:\\x", "C\u{f03a}\u{f05c}x"),
            (b"..\\..\\x", "..\u{f05c}..\u{f05c}x"),
            (b"\\\\?\\C:", "\u{f05c}\u{f05c}\u{f03f}\u{f05c}C\u{f03a}"),
            (b"a?\t", "a\u{f03f}\u{f009}"),
            (b"dot.", "dot\u{f02e}"),
            (b"...", "..\u{f02e}"),
            (b" ", "\u{f020}"),
            (b"NUL", "\u{f04e}UL"),
            (b"nul.tar.gz", "\u{f06e}ul.tar.gz"),
            (b"com1.", "com1\u{f02e}"),
            (b"\xff\xc3", "\u{f0ff}\u{f0c3}"),
            // What looks escaped.
            ("a\u{f03a}b".as_bytes(), "a\u{f0ef}\u{f080}\u{f0ba}b"),
            // What does not: U+F062 would be a 'b', which needs no escape.
            ("a\u{f062}".as_bytes(), "a\u{f062}"),
            (".\u{f02e}".as_bytes(), ".\u{f02e}"),
            ("a\u{f02f}b".as_bytes(), "a\u{f02f}b"),
            (".\u{f078}fer".as_bytes(), ".\u{f078}fer"),
            // It breaks a rule as well.
            ("\u{f062}:".as_bytes(), "\u{f0ef}\u{f081}\u{f0a2}\u{f03a}"),
        ] {
            let shown = name.escape_ascii();
            assert_eq!(on_disk(name), disk, "{shown}");
            assert_eq!(from_disk(&to_disk(name).unwrap()), name, "{shown}");
        }
    }

    #[test]
    fn what_is_no_name_is_none() {
        for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0"] {
            assert_eq!(to_disk(name), None, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn halves_of_pairs_are_kept() {
        let odd = [u16::from(b'a'), 0xd800, u16::from(b'b'), 0xdc00];
        let bytes = from_disk(&odd);
        assert_eq!(to_disk(&bytes).unwrap(), odd);
        // A pair that is written as two halves is not the pair.
        let halves = b"\xed\xa0\x80\xed\xb0\x80";
        let disk = to_disk(halves).unwrap();
        assert_ne!(Some(&disk), to_disk("\u{10000}".as_bytes()).as_ref());
        assert_eq!(from_disk(&disk), halves);
    }

    /// Names with much in them that matters.
    fn names() -> impl Strategy<Value = Vec<u8>> {
        let parts = prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            (0xf000_u32..0xf101).prop_map(|c| {
                char::from_u32(c)
                    .unwrap_or_default()
                    .to_string()
                    .into_bytes()
            }),
            (0xd800_u16..0xe000).prop_map(|half| wtf8(&[half])),
            prop::sample::select(vec![
                "con",
                "NUL",
                "Lpt1",
                "com\u{b9}",
                ".",
                " ",
                ":",
                "\\",
                "*",
                "\u{1f600}"
            ])
            .prop_map(|part| part.as_bytes().to_vec()),
        ];
        prop::collection::vec(parts, 0..6).prop_map(|parts| parts.concat())
    }

    /// The same for names on disk.
    fn disk_names() -> impl Strategy<Value = Vec<u16>> {
        let units = prop_oneof![
            any::<u16>(),
            0xf000_u16..0xf101,
            0xd800_u16..0xe000,
            prop::sample::select("conulCOM1. :\\/".encode_utf16().collect::<Vec<_>>()),
        ];
        prop::collection::vec(units, 1..8)
    }

    proptest! {
        #[test]
        fn any_name_is_one_on_disk_that_breaks_no_rule_and_comes_back(name in names()) {
            let Some(disk) = to_disk(&name) else {
                prop_assert!(!is_name(&name));
                return Ok(());
            };
            prop_assert_eq!(check_units(&disk), Ok(()));
            prop_assert!(!disk.contains(&0));
            prop_assert_eq!(from_disk(&disk), name);
        }

        #[test]
        fn any_name_on_disk_that_breaks_no_rule_is_found_again(disk in disk_names()) {
            prop_assume!(check_units(&disk).is_ok());
            let name = from_disk(&disk);
            prop_assert!(is_name(&name));
            prop_assert_eq!(to_disk(&name), Some(disk));
        }
    }
}

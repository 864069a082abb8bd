//! Which names Windows does not let programs have, and names in UTF-16
//! (<https://learn.microsoft.com/windows/win32/fileio/naming-a-file>).
//!
//! Must not refuse anything: every system compiles this, to say which rule a name breaks elsewhere.

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

/// A piece of a name: of UTF-16, or a byte that stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Unit(u16),
    Byte(u8),
}

/// Checks whether Windows lets programs have a file of this name, whatever its length.
pub fn check(name: &[u8]) -> Result<(), BadName> {
    let units = pieces(name).into_iter().map(|piece| match piece {
        Piece::Unit(unit) => Ok(unit),
        Piece::Byte(_) => Err(BadName::Encoding),
    });
    check_units(&units.collect::<Result<Vec<_>, _>>()?)
}

/// The same of a name in UTF-16.
pub(super) fn check_units(units: &[u16]) -> Result<(), BadName> {
    if let Some(bad) = units.iter().find_map(|unit| forbidden(*unit)) {
        return Err(BadName::Character(bad.into()));
    }
    if units.last().is_some_and(|unit| is_bad_end(*unit)) {
        return Err(BadName::End);
    }
    match is_device(units) {
        true => Err(BadName::Device),
        false => Ok(()),
    }
}

/// The ASCII of a unit that no name can have; none of any other.
pub(super) fn forbidden(unit: u16) -> Option<u8> {
    let byte = u8::try_from(unit).ok()?;
    (byte < b' ' || b"<>:\"/\\|?*".contains(&byte)).then_some(byte)
}

/// Whether no name can end with a unit.
pub(super) fn is_bad_end(unit: u16) -> bool {
    [u16::from(b'.'), u16::from(b' ')].contains(&unit)
}

/// Whether a name is that of a device, whatever follows its first dot.
pub(super) fn is_device(name: &[u16]) -> bool {
    // The longest is `CONOUT$`.
    let stem = name.split(|unit| *unit == u16::from(b'.')).next();
    let mut stem = String::from_utf16_lossy(stem.unwrap_or_default());
    stem.truncate(stem.trim_end_matches(' ').len());
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

/// A name in UTF-16, from UTF-8, or from WTF-8 where it has halves of pairs
/// (<https://simonsapin.github.io/wtf-8/>).
pub(super) fn pieces(name: &[u8]) -> Vec<Piece> {
    let units = |text: &str| text.encode_utf16().map(Piece::Unit).collect::<Vec<_>>();
    if let Ok(text) = std::str::from_utf8(name) {
        return units(text);
    }
    let mut pieces = Vec::with_capacity(name.len());
    let mut rest = name;
    while !rest.is_empty() {
        let valid = match std::str::from_utf8(rest) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(),
        };
        pieces.extend(units(valid));
        rest = &rest[valid.len()..];
        // Half of a pair: U+D800 to U+DFFF, in three bytes.
        if let [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, after @ ..] = rest {
            let unit = 0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f);
            // Two halves that make a pair are UTF-8 of four bytes instead, so that a name has one
            // form only.
            let ends_pair = (0xdc00..0xe000).contains(&unit)
                && matches!(pieces.last(), Some(Piece::Unit(0xd800..0xdc00)));
            if !ends_pair {
                pieces.push(Piece::Unit(unit));
                rest = after;
                continue;
            }
        }
        if let [byte, after @ ..] = rest {
            pieces.push(Piece::Byte(*byte));
            rest = after;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_windows_cannot_hold_is_told_by_the_rule_that_it_breaks() {
        for (name, wanted) in [
            (&b"film.mkv"[..], Ok(())),
            ("é ü 日本.txt".as_bytes(), Ok(())),
            (b".hidden", Ok(())),
            (b"console", Ok(())),
            (b"COM10", Ok(())),
            (b"com", Ok(())),
            ("\u{f03a}".as_bytes(), Ok(())),
            (b"a\xed\xa0\x80", Ok(())),
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
            (b"CONOUT$", Err(BadName::Device)),
            ("lpt¹.x".as_bytes(), Err(BadName::Device)),
            (b"\xff", Err(BadName::Encoding)),
            (b"\xed\xa0", Err(BadName::Encoding)),
            (b"\xed\xa0\x80\xed\xb0\x80", Err(BadName::Encoding)),
        ] {
            assert_eq!(check(name), wanted, "{}", name.escape_ascii());
        }
    }
}

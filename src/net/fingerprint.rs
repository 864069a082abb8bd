//! `Fingerprint`: the identity of a device.
//!
//! Must not know keys: it turns the bytes of a public key into a name for it.

use std::fmt;

use crate::model::digest::sha256;

/// How many groups are shown: enough that nobody finds a second key with the same text.
const SHOWN_GROUPS: usize = 8;
/// How many characters are between two dashes.
const GROUP_CHARS: usize = 4;
/// How many bits a group has.
const GROUP_BITS: usize = GROUP_CHARS * 5;
/// RFC 4648's base 32, in lower case: no character of it is easily taken for another.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The SHA-256 of a device's public key, encoded as a SubjectPublicKeyInfo.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a public key.
    #[must_use]
    pub(super) fn of(public_key: &[u8]) -> Self {
        Self(sha256(&[public_key]).0)
    }

    /// All 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Parses 64 lower-case hexadecimal digits; `None` for anything else.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let (pairs, []) = hex.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let bytes: Vec<u8> = pairs
            .iter()
            .map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?))
            .collect::<Option<_>>()?;
        bytes.try_into().ok().map(Self)
    }
}

/// The first 160 bits, as eight groups of four characters.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_groups(f, &self.0, SHOWN_GROUPS)
    }
}

/// Writes the first bits of `bytes` as this many groups of four characters. `bytes` must be long
/// enough.
pub(super) fn write_groups(f: &mut fmt::Formatter<'_>, bytes: &[u8], groups: usize) -> fmt::Result {
    let bit = |n: usize| (bytes[n / 8] >> (7 - n % 8)) & 1;
    for (i, first) in (0..groups * GROUP_BITS).step_by(5).enumerate() {
        if i > 0 && i % GROUP_CHARS == 0 {
            f.write_str("-")?;
        }
        let value = (first..first + 5).fold(0, |value, n| value << 1 | bit(n));
        write!(f, "{}", char::from(ALPHABET[usize::from(value)]))?;
    }
    Ok(())
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_comes_back() {
        let print = Fingerprint::of(b"key");
        assert_eq!(Fingerprint::from_hex(&print.to_hex()), Some(print));
        for bad in ["", "00", &"0".repeat(63), &"G".repeat(64), &"A".repeat(64)] {
            assert_eq!(Fingerprint::from_hex(bad), None);
        }
    }

    #[test]
    fn it_reads_as_base_32_in_groups() {
        // RFC 4648, section 10: "foobar" is MZXW6YTBOI.
        let mut bytes = [0; 32];
        bytes[..6].copy_from_slice(b"foobar");
        assert_eq!(
            Fingerprint(bytes).to_string(),
            "mzxw-6ytb-oiaa-aaaa-aaaa-aaaa-aaaa-aaaa"
        );
    }
}

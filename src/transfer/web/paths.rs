//! Paths in addresses: percent-encoded bytes of names, and what a browser is to call a file.
//!
//! Must not look anything up: what comes of it is a path that may not exist.

use std::fmt::Write as _;

use crate::model::relpath::RelPath;

/// The bytes that a percent-encoded text stands for; none where it is not one.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(rest.next())? * 16 + digit(rest.next())?;
                u8::try_from(value).ok()?
            }
            other => other,
        });
    }
    Some(bytes)
}

/// The path that an address names; none where no path is like that. Once decoded it has to be one:
/// a name with an encoded slash in it is two names, and `..` is none, however it is written.
pub(super) fn path(text: &str) -> Option<RelPath> {
    RelPath::new(decoded(text)?).ok()
}

/// The text, with all bytes percent-encoded that mean something in a header's value (RFC 8187).
fn encoded(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                all.push(char::from(byte));
            }
            _ => drop(write!(all, "%{byte:02X}")),
        }
    }
    all
}

/// Has a browser save what comes under a name (RFC 6266). Of bytes that are not UTF-8 it gets what
/// can be shown.
pub(super) fn disposition(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let plain = |c: char| match c {
        '"' | '\\' | '%' | '/' => '_',
        c if c.is_ascii() && !c.is_ascii_control() => c,
        _ => '_',
    };
    let plain: String = name.chars().map(plain).collect();
    let encoded = encoded(&name);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_a_path_that_leads_out() {
        for (text, bytes) in [
            ("a/b%20c", &b"a/b c"[..]),
            ("%C3%A4", "ä".as_bytes()),
            ("%ff%FE", b"\xff\xfe"),
            ("a+b", b"a+b"),
            ("a%25b", b"a%b"),
            ("a%2525", b"a%25"),
        ] {
            assert_eq!(path(text).unwrap().as_bytes(), bytes, "{text}");
        }
        for text in [
            "",
            "/",
            "a//b",
            "a/",
            "..",
            "a/..",
            "%2e%2e",
            "%2E./a",
            "a/%2e%2E/b",
            ".",
            "a%00b",
            "%2Fetc",
            "%2e%2e%2fetc",
            "%",
            "%2",
            "%zz",
            "%+1",
            "a/.xfer/x",
            ".XFER",
        ] {
            assert_eq!(path(text), None, "{text}");
        }
        assert_eq!(path(&"a/".repeat(600)), None);
        assert_eq!(path(&"%61".repeat(40_000)), None);
    }

    #[test]
    fn a_name_is_kept_whatever_it_is() {
        for (name, said) in [
            (&b"a.txt"[..], "filename=\"a.txt\"; filename*=UTF-8''a.txt"),
            (
                b"a\"\r\nb",
                "filename=\"a___b\"; filename*=UTF-8''a%22%0D%0Ab",
            ),
            (
                "日".as_bytes(),
                "filename=\"_\"; filename*=UTF-8''%E6%97%A5",
            ),
            (b"\xff", "filename=\"_\"; filename*=UTF-8''%EF%BF%BD"),
        ] {
            assert_eq!(disposition(name), format!("attachment; {said}"));
        }
    }
}

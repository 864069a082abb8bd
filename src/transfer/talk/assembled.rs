//! `Assembled`: a message that comes in pieces.
//!
//! Must not let anything out before all of it is there.

use crate::model::talk::MAX_SAID_BYTES;
use crate::wire::{Say, SayPart};

/// A message of which so much has come.
#[derive(Debug)]
pub(super) struct Assembled {
    announced: usize,
    bytes: Vec<u8>,
}

impl Assembled {
    /// One of which nothing has come. What cannot be one is said in words.
    pub(super) fn new(say: Say) -> Result<Self, &'static str> {
        match say.bytes {
            0 => Err("an empty message"),
            bytes if bytes > MAX_SAID_BYTES => Err("a message that is too long"),
            bytes => Ok(Self {
                announced: bytes as usize,
                bytes: Vec::new(),
            }),
        }
    }

    /// Takes a piece.
    pub(super) fn push(&mut self, part: &SayPart) -> Result<(), &'static str> {
        let SayPart(bytes) = part;
        if bytes.is_empty() {
            return Err("an empty piece of a message");
        }
        if bytes.len() > self.announced - self.bytes.len() {
            return Err("more of a message than was announced");
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.bytes.len() == self.announced
    }

    /// The message.
    pub(super) fn into_text(self) -> Result<String, &'static str> {
        String::from_utf8(self.bytes).map_err(|_| "a message that is no UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembled(bytes: u32, parts: &[&[u8]]) -> Result<String, &'static str> {
        let mut all = Assembled::new(Say { bytes, asks: false })?;
        for part in parts {
            all.push(&SayPart(part.to_vec()))?;
        }
        assert!(all.is_whole());
        all.into_text()
    }

    #[test]
    fn only_a_whole_message_of_utf8_comes_out() {
        // A letter may be cut in two between pieces.
        assert_eq!(assembled(3, &[b"a\xc3", b"\xa4"]), Ok("aä".to_owned()));
        for (bytes, parts) in [
            (0, &[][..]),
            (MAX_SAID_BYTES + 1, &[]),
            (u32::MAX, &[]),
            (2, &[&b""[..]]),
            (2, &[b"abc"]),
            (2, &[b"ab", b"c"]),
            (2, &[b"a\xc3"]),
            (1, &[b"\xff"]),
        ] {
            assert!(assembled(bytes, parts).is_err(), "{bytes} {parts:?}");
        }
    }
}

//! What people write to each other: a message, a line of a reply, a line in a room.
//!
//! Must not make text safe for a terminal: the code that prints does. It may be any UTF-8.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest message that `xfer say` sends, in bytes.
pub const MAX_SAID_BYTES: u32 = 1024 * 1024;
/// The longest line of a reply or of a room, in bytes.
pub const MAX_LINE_BYTES: usize = 16 * 1024;
/// How many members a room has at most, its host among them.
pub const MAX_ROOM_MEMBERS: usize = 64;

/// Why a member left a room. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RoomGone {
    /// It wanted to go.
    Left,
    /// Its connection was lost.
    Lost,
    /// It did not read what was said.
    NotReading,
    /// It said too much at once, for too long.
    Flooding,
    /// It may not be here any more.
    NotLetIn,
    /// It broke the protocol.
    Broken,
}

/// A typed line: at most [`MAX_LINE_BYTES`] bytes, without a line break.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TalkLine(String);

/// Why a text is not a [`TalkLine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTalkLine {
    /// It is too long.
    #[error("a line of more than {MAX_LINE_BYTES} bytes")]
    Long,
    /// It is more than one.
    #[error("more than one line")]
    Several,
}

impl TalkLine {
    /// Takes a line.
    pub fn new(text: impl Into<String>) -> Result<Self, NoTalkLine> {
        let text = text.into();
        if text.len() > MAX_LINE_BYTES {
            Err(NoTalkLine::Long)
        } else if text.contains(['\n', '\r']) {
            Err(NoTalkLine::Several)
        } else {
            Ok(Self(text))
        }
    }

    /// The line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TalkLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for TalkLine {
    type Error = NoTalkLine;

    fn try_from(text: String) -> Result<Self, NoTalkLine> {
        Self::new(text)
    }
}

impl From<TalkLine> for String {
    fn from(line: TalkLine) -> Self {
        line.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_and_not_too_long() {
        assert!(TalkLine::new("").is_ok());
        assert!(TalkLine::new("ä".repeat(MAX_LINE_BYTES / 2)).is_ok());
        let long = TalkLine::new("ä".repeat(MAX_LINE_BYTES / 2 + 1));
        assert_eq!(long, Err(NoTalkLine::Long));
        for text in ["a\nb", "a\r", "\n"] {
            assert_eq!(TalkLine::new(text), Err(NoTalkLine::Several));
        }
    }
}

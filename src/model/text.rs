//! Text of bounded length from a peer, and which characters are invisible.
//!
//! Must not make text safe for a terminal: the code that prints does, which knows where it goes. It
//! may be any UTF-8.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::{Serialize, Serializer};

/// The longest text on the wire, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024;

/// A string of at most [`MAX_TEXT_BYTES`] bytes.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text(String);

impl Text {
    /// Takes a string, and cuts it where it is too long.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() > MAX_TEXT_BYTES {
            let mut end = MAX_TEXT_BYTES;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
        Self(text)
    }

    /// The string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a character does not show, and is nothing to file systems that ignore what Unicode calls
/// default ignorable.
#[must_use]
pub fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'                       // soft hyphen
        | '\u{34f}'                    // grapheme joiner
        | '\u{61c}'                    // Arabic letter mark
        | '\u{115f}'..='\u{1160}'      // Hangul fillers
        | '\u{17b4}'..='\u{17b5}'      // Khmer inherent vowels
        | '\u{180b}'..='\u{180f}'      // Mongolian variation selectors, vowel separator
        | '\u{200b}'..='\u{200f}'      // zero width, left and right marks
        | '\u{202a}'..='\u{202e}'      // embeddings, overrides
        | '\u{2060}'..='\u{206f}'      // invisible operators, isolates
        | '\u{3164}'                   // Hangul filler
        | '\u{fe00}'..='\u{fe0f}'      // variation selectors
        | '\u{feff}'                   // byte order mark
        | '\u{ffa0}'                   // Hangul filler, half as wide
        | '\u{fff0}'..='\u{fff8}'      // nothing yet
        | '\u{1bca0}'..='\u{1bca3}'    // shorthand format controls
        | '\u{1d173}'..='\u{1d17a}'    // musical format controls
        | '\u{e0000}'..='\u{e0fff}'    // tags, further variation selectors
    )
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text of at most {MAX_TEXT_BYTES} bytes")
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Text, E> {
                if v.len() > MAX_TEXT_BYTES {
                    return Err(E::invalid_length(v.len(), &self));
                }
                Ok(Text(v.to_owned()))
            }
        }
        deserializer
            .deserialize_str(TextVisitor)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = Text::new("ä".repeat(MAX_TEXT_BYTES));
        assert_eq!(text.as_str().len(), MAX_TEXT_BYTES);
        let text = Text::new(format!("a{}", "ä".repeat(MAX_TEXT_BYTES)));
        assert_eq!(text.as_str().len(), MAX_TEXT_BYTES - 1);
    }
}

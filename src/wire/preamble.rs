//! The fixed first bytes of a connection: 16 of them, from both sides, before anything else.
//!
//! Must not be changed in shape, ever: it is what lets the oldest and the newest version tell
//! each other apart.

/// The length of a preamble, in bytes.
pub const PREAMBLE_BYTES: usize = 16;
/// What every preamble begins with. The bytes that are no text tell a terminal, a web server
/// and a line-oriented protocol at once that this is none of theirs.
pub const MAGIC: [u8; 8] = *b"\x89XFER\r\n\x1a";
/// The version of the protocol that this program speaks.
pub const VERSION: u16 = 1;

/// What a peer says first: magic (8 bytes), version (u16), zero (u16), features (u32), all
/// little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// The version that the peer speaks.
    pub version: u16,
    /// Features that it has beyond that version; each side uses those that both have.
    pub features: u32,
}

/// Abilities beyond the version, one bit each. A peer may set bits that mean nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(pub u32);

impl Features {
    /// None.
    pub const NONE: Self = Self(0);
    /// Reasons are typed: [`super::Message::Abort`], and the reasons of declines and failed
    /// entries that are no words.
    pub const REASONS: Self = Self(1);
    /// The reasons are understood that came after those of [`Self::REASONS`]; `older.rs` says
    /// which.
    pub const MORE_REASONS: Self = Self(2);
    /// People can talk: [`super::Say`], rooms, and the reasons not to.
    pub const MESSAGES: Self = Self(4);
    /// Commands can be run: [`super::RunCommand`], and the reasons not to.
    pub const COMMANDS: Self = Self(8);
    /// Folders that lead to what is sent stay as they are.
    pub const WAYS: Self = Self(16);
    /// All that this program has.
    pub const OURS: Self = Self(
        Self::REASONS.0 | Self::MORE_REASONS.0 | Self::MESSAGES.0 | Self::COMMANDS.0 | Self::WAYS.0,
    );

    /// Whether all of `wanted` are among these.
    #[must_use]
    pub fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

impl Preamble {
    /// This program's own.
    pub const OURS: Self = Self {
        version: VERSION,
        features: Features::OURS.0,
    };

    /// As bytes.
    #[must_use]
    pub fn encode(self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..].copy_from_slice(&self.features.to_le_bytes());
        bytes
    }

    /// From bytes; none where they are no preamble.
    #[must_use]
    pub fn decode(bytes: &[u8; PREAMBLE_BYTES]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<2>()?;
        let (_reserved, rest) = rest.split_first_chunk::<2>()?;
        let (features, _) = rest.split_first_chunk::<4>()?;
        (*magic == MAGIC).then(|| Self {
            version: u16::from_le_bytes(*version),
            features: u32::from_le_bytes(*features),
        })
    }

    /// Whether some first bytes could still become a preamble. A peer that fails this needs not
    /// be waited for.
    #[must_use]
    pub fn may_begin_with(bytes: &[u8]) -> bool {
        let n = bytes.len().min(MAGIC.len());
        bytes[..n] == MAGIC[..n]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_went() {
        let p = Preamble {
            version: 7,
            features: 0x8000_0001,
        };
        assert_eq!(Preamble::decode(&p.encode()), Some(p));
    }

    #[test]
    fn others_are_told_apart_at_their_first_wrong_byte() {
        assert!(Preamble::may_begin_with(b"\x89XF"));
        assert!(!Preamble::may_begin_with(b"G"));
        assert!(!Preamble::may_begin_with(b"\x16\x03\x01"));
        assert_eq!(Preamble::decode(b"GET / HTTP/1.1\r\n"), None);
    }
}

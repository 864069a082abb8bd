//! The fixed first bytes of a connection: 16 of them, from both sides, before anything else.
//!
//! Must not be changed in shape, ever: it is what lets the oldest and the newest version tell
//! each other apart.

/// The length of a preamble, in bytes.
pub const PREAMBLE_BYTES: usize = 16;
/// The first bytes of every preamble. The non-text bytes among them tell a terminal, a web server
/// or a line-oriented protocol at once that this is not theirs.
pub const MAGIC: [u8; 8] = *b"\x89XFER\r\n\x1a";
/// The version of the protocol that this program speaks.
pub const VERSION: u16 = 1;

/// What a peer sends first: magic (8 bytes), version (u16), zero (u16), features (u32), all
/// little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// The protocol version of the peer.
    pub version: u16,
    /// Its features beyond that version; both sides use those that they share.
    pub features: u32,
}

/// Abilities beyond the version, one bit each. A peer may set bits that are unknown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(pub u32);

impl Features {
    /// None.
    pub const NONE: Self = Self(0);
    /// Reasons are typed: [`super::Message::Abort`], and the reasons of declines and failed entries
    /// that are not plain words.
    pub const REASONS: Self = Self(1);
    /// Also understands the reasons that came after [`Self::REASONS`]; `older.rs` lists them.
    pub const MORE_REASONS: Self = Self(2);
    /// Messages and rooms: [`super::Say`] and the rest, and the reasons to decline them.
    pub const MESSAGES: Self = Self(4);
    /// Commands: [`super::RunCommand`] and the rest, and the reasons to decline them.
    pub const COMMANDS: Self = Self(8);
    /// Folders that lead to what is sent stay as they are.
    pub const WAYS: Self = Self(16);
    /// Shared files can be fetched.
    pub const FETCH: Self = Self(32);
    /// All features of this program.
    pub const OURS: Self = Self(
        Self::REASONS.0
            | Self::MORE_REASONS.0
            | Self::MESSAGES.0
            | Self::COMMANDS.0
            | Self::WAYS.0
            | Self::FETCH.0,
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

    /// From bytes; `None` if they are not a preamble.
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

    /// Whether the first bytes received could still become a preamble. If not, there is no need to
    /// wait for the rest.
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

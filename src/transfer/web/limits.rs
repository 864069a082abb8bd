//! The limits of everything that a browser sends, each by its name.
//!
//! Must not know what they are for beyond that.

use std::time::Duration;

/// How many connections of browsers there can be at once: far fewer than other connections, which
/// have their own places. Each has a thread, and about six descriptors.
pub(super) const MAX_CONNECTIONS: usize = 96;
/// How many of these can be from one address. A browser opens six, and several can be behind one.
pub(super) const MAX_PER_ADDRESS: usize = 48;
/// How many requests without the secret can wait for their answers at once; others are answered
/// without a pause.
pub(super) const MAX_WRONG_WAITS: usize = 16;
/// How many of these can be from one network.
pub(super) const MAX_WRONG_WAITS_PER_NETWORK: usize = 4;
/// What part of the descriptors that this process may have counts as connections of browsers.
pub(super) const PART_OF_DESCRIPTORS: usize = 24;
/// How many there can be at the very least.
pub(super) const MIN_CONNECTIONS: usize = 8;
/// How many bytes the head of a request can have: the longest path, percent-encoded.
pub(super) const MAX_HEAD_BYTES: usize = 112 << 10;
/// How many header fields a request can have.
pub(super) const MAX_HEADERS: usize = 64;
/// How many bytes of a body are read at once.
pub(super) const BUFFER_BYTES: usize = 512 << 10;
/// How long a connection can take to say what it wants: its first byte, a TLS handshake, the head
/// of a request, also of the next one.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a body can stand still, and how long whoever reads an answer.
pub(super) const STALL_TIME: Duration = Duration::from_secs(60);
/// How long a browser can take to close a connection that has ended here.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);
/// How long an answer waits that tells nothing. It grows with each one of the same network.
pub(super) const WRONG_PAUSE: Duration = Duration::from_secs(1);
/// The longest that it waits.
pub(super) const MAX_WRONG_PAUSE: Duration = Duration::from_secs(8);
/// After how many wrong addresses in a network the user is told.
pub(super) const MANY_WRONG: u32 = 10;
/// How many networks are told apart there.
pub(super) const MAX_COUNTED_NETWORKS: usize = 256;
/// How many bytes of a file are read at once.
pub(super) const READ_BYTES: usize = 256 << 10;
/// After how many wrong PINs none is taken any more, but from addresses that gave the right one.
pub(super) const MAX_WRONG_PINS: u32 = 10;
/// How many of these addresses are kept.
pub(super) const MAX_PIN_ADDRESSES: usize = 256;

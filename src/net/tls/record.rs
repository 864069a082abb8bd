//! TLS 1.3's record layer (RFC 8446, section 5): the keys of one direction, and sealing and opening
//! records in place.
//!
//! Must not touch sockets, nor allocate.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{
    AES_128_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use rustls::ConnectionTrafficSecrets;
use rustls::kernel::KernelConnection;

/// The length of a record's header, in bytes: type, version, length.
pub(super) const HEADER_BYTES: usize = 5;
/// The most plaintext in a record, in bytes.
pub(super) const MAX_PLAIN_BYTES: usize = 1 << 14;
/// The longest body of a record, in bytes.
pub(super) const MAX_BODY_BYTES: usize = MAX_PLAIN_BYTES + 256;
/// The longest record of a peer, in bytes.
pub(super) const MAX_RECORD_BYTES: usize = HEADER_BYTES + MAX_BODY_BYTES;
/// The length of the tag that ends a record, in bytes.
const TAG_BYTES: usize = 16;
/// How much longer than its plaintext a record made here is, in bytes: header, content type, tag.
pub(super) const OVERHEAD_BYTES: usize = HEADER_BYTES + 1 + TAG_BYTES;

/// The type that every sealed record shows; the actual type is inside.
const OUTER_TYPE: u8 = 23;
/// The version that every record shows, for the sake of old middleboxes.
const VERSION: [u8; 2] = [3, 3];

/// What a record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// The channel's data.
    Data,
    /// A handshake message; after the handshake, a key update.
    Handshake,
    /// The end, in order or not.
    Alert,
}

impl Content {
    fn code(self) -> u8 {
        match self {
            Self::Data => 23,
            Self::Handshake => 22,
            Self::Alert => 21,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            23 => Some(Self::Data),
            22 => Some(Self::Handshake),
            21 => Some(Self::Alert),
            _ => None,
        }
    }
}

/// The keys of one direction.
pub(super) struct Keys {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    records: u64,
}

impl Keys {
    /// From the secrets that the handshake or a key update produced, with the number of the next
    /// record.
    pub(super) fn new((records, secrets): (u64, ConnectionTrafficSecrets)) -> io::Result<Self> {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(io::Error::other("a cipher that was not offered")),
        };
        let key = UnboundKey::new(algorithm, key.as_ref())
            .map_err(|_| io::Error::other("unusable keys"))?;
        let iv = iv
            .as_ref()
            .try_into()
            .map_err(|_| io::Error::other("unusable keys"))?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv,
            records,
        })
    }

    /// How many records these keys were used for.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Never returns the same nonce twice: that would reveal the key.
    fn next_nonce(&mut self) -> io::Result<Nonce> {
        let number = self.records;
        self.records = number
            .checked_add(1)
            .ok_or_else(|| io::Error::other("too many records under one key"))?;
        let mut nonce = self.iv;
        for (byte, n) in nonce[NONCE_LEN - 8..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= n;
        }
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// Seals the record at the start of `buf`, whose `len` bytes of plaintext follow the room for
    /// its header. Returns the length of the whole record.
    pub(super) fn seal(
        &mut self,
        buf: &mut [u8],
        len: usize,
        content: Content,
    ) -> io::Result<usize> {
        let too_long = || io::Error::other("too much for one record");
        let total = len + OVERHEAD_BYTES;
        let body = match u16::try_from(total - HEADER_BYTES) {
            Ok(body) if len <= MAX_PLAIN_BYTES => body,
            _ => return Err(too_long()),
        };
        let (header, rest) = buf
            .split_first_chunk_mut::<HEADER_BYTES>()
            .ok_or_else(too_long)?;
        let (inner, rest) = rest.split_at_mut_checked(len + 1).ok_or_else(too_long)?;
        let (tag, _) = rest
            .split_first_chunk_mut::<TAG_BYTES>()
            .ok_or_else(too_long)?;

        let [high, low] = body.to_be_bytes();
        *header = [OUTER_TYPE, VERSION[0], VERSION[1], high, low];
        inner[len] = content.code();
        let nonce = self.next_nonce()?;
        let sealed = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(*header), inner)
            .map_err(|_| io::Error::other("a record could not be sealed"))?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(total)
    }

    /// Opens `record` in place. Its plaintext then follows its header; returns the plaintext's
    /// length.
    pub(super) fn open(&mut self, record: &mut [u8]) -> io::Result<(Content, usize)> {
        let (header, body) = record
            .split_first_chunk_mut::<HEADER_BYTES>()
            .ok_or_else(|| broken("a record without a header"))?;
        let nonce = self.next_nonce()?;
        let inner = self
            .key
            .open_in_place(nonce, Aad::from(*header), body)
            .map_err(|_| broken("a record was damaged or forged"))?;
        // Zeros may follow the content type, to hide the length.
        let len = inner
            .iter()
            .rposition(|b| *b != 0)
            .ok_or_else(|| broken("a record of no type"))?;
        let content =
            Content::from_code(inner[len]).ok_or_else(|| broken("a record of unknown type"))?;
        // Padding counts too, so that it cannot make a record longer than any buffer.
        if inner.len() > MAX_PLAIN_BYTES + 1 {
            return Err(broken("a record is too long"));
        }
        Ok((content, len))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// The length of the record that `bytes` begin with; `None` while its header is incomplete.
pub(super) fn record_len(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let [_, _, _, high, low] = *header;
    let body = usize::from(u16::from_be_bytes([high, low]));
    if body > MAX_BODY_BYTES {
        return Err(broken("a record is too long"));
    }
    Ok(Some(HEADER_BYTES + body))
}

/// Like [`record_len`], for a record that must be sealed.
pub(super) fn sealed_record_len(bytes: &[u8]) -> io::Result<Option<usize>> {
    match bytes.first() {
        Some(&first) if first != OUTER_TYPE => Err(broken("a record that is not encrypted")),
        _ => record_len(bytes),
    }
}

/// The error if the peer, or somebody in between, broke the rules of TLS.
pub(super) fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Derives the next keys of either direction.
pub(super) trait Rekey: Send {
    /// The next keys to seal with.
    fn next_tx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>;
    /// The next keys to open with.
    fn next_rx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>;
}

impl<Side: Send> Rekey for KernelConnection<Side> {
    fn next_tx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        self.update_tx_secret()
    }

    fn next_rx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        self.update_rx_secret()
    }
}

/// What the two halves share. The lock is taken only when keys change, every 2^23 records.
pub(super) struct KeySchedule {
    rekey: Mutex<Box<dyn Rekey>>,
    asked: AtomicBool,
}

impl KeySchedule {
    pub(super) fn new(rekey: Box<dyn Rekey>) -> Self {
        Self {
            rekey: Mutex::new(rekey),
            asked: AtomicBool::new(false),
        }
    }

    /// Derives the next keys of one direction with `next`.
    pub(super) fn rekey(
        &self,
        next: impl FnOnce(&mut dyn Rekey) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>,
    ) -> io::Result<(u64, ConnectionTrafficSecrets)> {
        let mut rekey = self.rekey.lock().unwrap_or_else(PoisonError::into_inner);
        next(&mut **rekey).map_err(io::Error::other)
    }

    /// Notes that the peer asks for new keys.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// Whether the peer has asked since the last call.
    pub(super) fn take_asked(&self) -> bool {
        // Read first: a swap for each record would make both halves fight for the cache line.
        self.asked.load(Ordering::Relaxed) && self.asked.swap(false, Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::cipher::{AeadKey, Iv};

    fn keys() -> Keys {
        let key = AeadKey::from([7; 32]);
        let iv = Iv::from([9; 12]);
        Keys::new((0, ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv })).unwrap()
    }

    fn sealed(keys: &mut Keys, plain: &[u8], content: Content) -> Vec<u8> {
        let mut buf = vec![0; plain.len() + OVERHEAD_BYTES];
        buf[HEADER_BYTES..HEADER_BYTES + plain.len()].copy_from_slice(plain);
        let len = keys.seal(&mut buf, plain.len(), content).unwrap();
        assert_eq!(len, buf.len());
        assert_eq!(sealed_record_len(&buf).unwrap(), Some(len));
        buf
    }

    #[test]
    fn what_is_sealed_opens_in_order_only() {
        let (mut tx, mut rx) = (keys(), keys());
        let mut first = sealed(&mut tx, b"one", Content::Data);
        let mut second = sealed(&mut tx, b"", Content::Alert);
        let mut swapped = second.clone();
        assert!(keys().open(&mut swapped).is_err());
        assert_eq!(rx.open(&mut first).unwrap(), (Content::Data, 3));
        assert_eq!(&first[HEADER_BYTES..HEADER_BYTES + 3], b"one");
        assert_eq!(rx.open(&mut second).unwrap(), (Content::Alert, 0));
        assert_eq!((tx.records(), rx.records()), (2, 2));
    }

    #[test]
    fn every_flipped_bit_shows() {
        let good = sealed(&mut keys(), b"some bytes", Content::Data);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let e = keys().open(&mut bad).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::InvalidData, "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(keys().open(&mut good[..len].to_vec()).is_err());
        }
    }

    #[test]
    fn padding_is_taken_off_and_nothing_but_padding_refused() {
        // A padded record, made by hand: plaintext, type, zeros.
        let padded = |inner: &[u8]| {
            let mut buf = vec![0; inner.len() - 1 + OVERHEAD_BYTES];
            let body = u16::try_from(buf.len() - HEADER_BYTES)
                .unwrap()
                .to_be_bytes();
            buf[..HEADER_BYTES].copy_from_slice(&[23, 3, 3, body[0], body[1]]);
            let header: [u8; HEADER_BYTES] = buf[..HEADER_BYTES].try_into().unwrap();
            let (keys, end) = (&mut keys(), HEADER_BYTES + inner.len());
            buf[HEADER_BYTES..end].copy_from_slice(inner);
            let nonce = keys.next_nonce().unwrap();
            let tag = keys
                .key
                .seal_in_place_separate_tag(nonce, Aad::from(header), &mut buf[HEADER_BYTES..end])
                .unwrap();
            buf[end..].copy_from_slice(tag.as_ref());
            buf
        };
        let opened = |inner: &[u8]| keys().open(&mut padded(inner)).ok();
        assert_eq!(opened(b"ab\x17\0\0\0"), Some((Content::Data, 2)));
        assert_eq!(opened(b"\x17\0"), Some((Content::Data, 0)));
        assert_eq!(opened(b"\0\0\0"), None);
        assert_eq!(opened(b"ab\x18"), None);
        let mut long = vec![0; MAX_PLAIN_BYTES + 1];
        long[0] = 23;
        assert_eq!(opened(&long), Some((Content::Data, 0)));
        long.push(0);
        assert_eq!(opened(&long), None);
    }

    #[test]
    fn a_length_is_checked_before_it_is_waited_for() {
        assert_eq!(record_len(b"\x17\x03\x03\x00").unwrap(), None);
        assert_eq!(record_len(b"\x17\x03\x03\x41\x00").unwrap(), Some(16_645));
        assert!(record_len(b"\x17\x03\x03\x41\x01").is_err());
        assert!(sealed_record_len(b"\x15").is_err());
    }

    #[test]
    fn keys_are_not_used_past_their_last_number() {
        let mut keys = keys();
        keys.records = u64::MAX;
        let mut buf = [0; OVERHEAD_BYTES];
        assert!(keys.seal(&mut buf, 0, Content::Data).is_err());
        assert!(keys.open(&mut buf).is_err());
    }
}

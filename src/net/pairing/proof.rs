//! The proof of pairing: two machines that were told the same short code prove it to each other,
//! and nobody between them learns anything about it.
//!
//! Must not send anything or ask anyone. SPAKE2 (RFC 9382, in the form of the `spake2` crate)
//! makes a key of the code; its identities, and what is proven with the key, cover both
//! fingerprints and the channel, so that a machine that ends one channel and opens another gets
//! two different keys.

use aws_lc_rs::{constant_time, hmac, rand};
use spake2::{Ed25519Group, Identity, Password, Spake2};

use super::super::{Channel, Fingerprint};
use crate::model::error::{CryptoFault, Error, Result};
use crate::model::outcome::Role;
use crate::model::prompt::PairingCode;
use crate::wire::{PROOF_BYTES, SHARE_BYTES};

const LABEL: &[u8] = b"xfer pairing 1";

/// One attempt, of one side.
pub(crate) struct Attempt {
    spake: Spake2<Ed25519Group>,
    context: Context,
    role: Role,
}

/// What both sides must see alike.
struct Context {
    sender: Fingerprint,
    receiver: Fingerprint,
    binding: [u8; 32],
}

/// What proves that both sides have the same code.
pub(crate) struct Proofs {
    /// What this side shows.
    pub(crate) ours: [u8; PROOF_BYTES],
    theirs: [u8; PROOF_BYTES],
}

/// A new code, which nobody can guess.
pub(crate) fn new_code() -> Result<PairingCode> {
    /// The largest multiple of a million below 2^32: beyond it some codes would come more often.
    const EVEN: u32 = u32::MAX - u32::MAX % 1_000_000;
    loop {
        let mut bytes = [0; 4];
        rand::fill(&mut bytes).map_err(|_| Error::Crypto {
            fault: CryptoFault::Random,
        })?;
        let number = u32::from_le_bytes(bytes);
        if number < EVEN {
            return Ok(PairingCode::of_number(number));
        }
    }
}

impl Attempt {
    /// Begins an attempt on `channel` as the side with `role` and the fingerprint `ours`. Gives
    /// what is to be sent to the other side.
    pub(crate) fn new(
        code: &PairingCode,
        role: Role,
        ours: Fingerprint,
        channel: &Channel,
    ) -> (Self, [u8; SHARE_BYTES]) {
        let theirs = channel.fingerprint;
        let (sender, receiver) = match role {
            Role::Sender => (ours, theirs),
            Role::Receiver => (theirs, ours),
        };
        let context = Context {
            sender,
            receiver,
            binding: channel.binding,
        };
        let password = Password::new(code.digits());
        let sender = context.identity(b"sender", sender);
        let receiver = context.identity(b"receiver", receiver);
        let (spake, message) = match role {
            Role::Sender => Spake2::start_a(&password, &sender, &receiver),
            Role::Receiver => Spake2::start_b(&password, &sender, &receiver),
        };
        let mut share = [0; SHARE_BYTES];
        // The first byte says which side it is of; the other side knows.
        for (to, from) in share.iter_mut().zip(message.into_iter().skip(1)) {
            *to = from;
        }
        let attempt = Self {
            spake,
            context,
            role,
        };
        (attempt, share)
    }

    /// Takes what the other side has sent. None where that is nothing that an honest one sends.
    pub(crate) fn finish(self, share: &[u8; SHARE_BYTES]) -> Option<Proofs> {
        let side = match self.role {
            Role::Sender => b'B',
            Role::Receiver => b'A',
        };
        let key = self
            .spake
            .finish(&[&[side], share.as_slice()].concat())
            .ok()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let of_sender = self.context.proof(&key, b"sender");
        let of_receiver = self.context.proof(&key, b"receiver");
        let (ours, theirs) = match self.role {
            Role::Sender => (of_sender, of_receiver),
            Role::Receiver => (of_receiver, of_sender),
        };
        Some(Proofs { ours, theirs })
    }
}

impl Context {
    fn identity(&self, who: &[u8], fingerprint: Fingerprint) -> Identity {
        let parts = [LABEL, b" ", who, &fingerprint.0, &self.binding];
        Identity::new(&parts.concat())
    }

    fn proof(&self, key: &hmac::Key, who: &[u8]) -> [u8; PROOF_BYTES] {
        let mut context = hmac::Context::with_key(key);
        for part in [
            LABEL,
            b" proof of ",
            who,
            &self.sender.0,
            &self.receiver.0,
            &self.binding,
        ] {
            context.update(part);
        }
        let mut proof = [0; PROOF_BYTES];
        for (to, from) in proof.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        proof
    }
}

impl Proofs {
    /// Whether the other side has shown that it has the same code, key and channel.
    pub(crate) fn accept(&self, theirs: &[u8; PROOF_BYTES]) -> bool {
        constant_time::verify_slices_are_equal(&self.theirs, theirs).is_ok()
    }
}

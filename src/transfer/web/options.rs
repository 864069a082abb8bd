//! `WebOptions`: what the user decides about the pages, and the secret in their address.
//!
//! Must not print the secret, but where it is asked for.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::certificate::WebCertificate;
use super::pin::WebPin;
use crate::model::digest::sha256;
use crate::model::error::{CryptoFault, Error, Result};

/// How many random bytes a token stands for.
const TOKEN_BYTES: usize = 16;
/// The digits of a token: they are the same in all fonts, and need no encoding in an address.
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// How the pages are served.
#[derive(Debug, Clone)]
pub struct WebOptions {
    /// What all paths begin with.
    pub token: WebToken,
    /// What browsers are asked for, too.
    pub pin: Option<WebPin>,
    /// Who this machine is to browsers; without one, nothing is encrypted.
    pub certificate: Option<WebCertificate>,
}

impl WebOptions {
    /// Pages under an address that nobody can guess.
    pub fn new() -> Result<Self> {
        Ok(Self {
            token: WebToken::random()?,
            pin: None,
            certificate: None,
        })
    }
}

/// The secret that the address of a page carries: 128 random bits, as 26 letters and digits.
#[derive(Clone)]
pub struct WebToken(String);

impl WebToken {
    fn random() -> Result<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Crypto {
            fault: CryptoFault::Random,
        })?;
        Ok(Self::of(u128::from_be_bytes(bytes)))
    }

    fn of(number: u128) -> Self {
        let mut text = String::new();
        let mut shift = u128::BITS.next_multiple_of(5);
        while shift > 0 {
            shift -= 5;
            let digit = (number >> shift) & 31;
            let digit = usize::try_from(digit).unwrap_or_default();
            text.push(DIGITS[digit].into());
        }
        Self(text)
    }

    /// As it is in an address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A word for what it opens, that tells nothing of it.
    pub(super) fn realm(&self) -> String {
        let digest = sha256(&[b"xfer realm 1", self.0.as_bytes()]);
        digest
            .0
            .iter()
            .take(4)
            .map(|b| format!("{b:02x}"))
            .collect()
    }

    /// Whether this is it. It takes as long whatever is wrong.
    pub(super) fn is(&self, text: &[u8]) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), text).is_ok()
    }
}

impl fmt::Debug for WebToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_all_128_bits() {
        assert_eq!(WebToken::of(0).0, "a".repeat(26));
        assert_eq!(WebToken::of(u128::MAX).0, format!("h{}", "7".repeat(25)));
        let one = WebToken::of(1);
        assert!(one.0.ends_with('b') && one.is(one.0.as_bytes()));
        assert!(!one.is(b"") && !one.is(WebToken::of(2).0.as_bytes()));
        let [first, second] = [(); 2].map(|()| WebToken::random().unwrap());
        assert_ne!(first.0, second.0);
        assert_eq!(format!("{first:?}"), "WebToken(..)");
    }
}

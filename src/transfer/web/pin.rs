//! `WebPin`: the PIN that browsers are asked for on top of the secret address, and how often a wrong
//! one was given.
//!
//! Must not wait, nor answer.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::limits::{MAX_WRONG_PAUSE, MAX_WRONG_PINS, WRONG_PAUSE};
use crate::model::error::{CryptoFault, Error, Result};

/// How many digits a PIN has.
const DIGITS: usize = 6;
/// From how many numbers one is chosen.
const NUMBERS: u32 = 1_000_000;

/// Six digits that a person reads from the terminal and types into a browser.
#[derive(Clone)]
pub struct WebPin(String);

impl WebPin {
    /// A random one.
    pub fn random() -> Result<Self> {
        loop {
            let mut bytes = [0; 4];
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Crypto {
                fault: CryptoFault::Random,
            })?;
            let number = u32::from_be_bytes(bytes);
            // Each is as likely as all others.
            if number < u32::MAX - u32::MAX % NUMBERS {
                return Ok(Self(format!("{:06}", number % NUMBERS)));
            }
        }
    }

    /// As it is shown to a person.
    #[must_use]
    pub fn shown(&self) -> String {
        let (first, second) = self.0.split_at(DIGITS / 2);
        format!("{first} {second}")
    }

    /// Whether it is what somebody typed, with spaces and dashes wherever they like.
    fn is(&self, typed: &str) -> bool {
        let digits = typed.chars().filter(|c| !matches!(c, ' ' | '-'));
        let digits: String = digits.collect();
        verify_slices_are_equal(self.0.as_bytes(), digits.as_bytes()).is_ok()
    }
}

impl fmt::Debug for WebPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebPin(..)")
    }
}

/// What becomes of somebody who gives a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PinAnswer {
    Right,
    /// They gave none.
    Missing,
    /// Another one, and how long the answer waits.
    Wrong(Duration),
    /// The last wrong one that there may be.
    LastWrong,
    /// There were too many wrong ones.
    Locked,
}

/// Counts wrong PINs. They count together, whoever gives them: whoever knows the address may have
/// many addresses of their own.
#[derive(Debug, Default)]
pub(super) struct PinAttempts(AtomicU32);

impl PinAttempts {
    /// Looks at what stands in the header `Authorization`.
    pub(super) fn answer(&self, pin: &WebPin, authorization: Option<&str>) -> PinAnswer {
        if self.0.load(Ordering::Acquire) >= MAX_WRONG_PINS {
            return PinAnswer::Locked;
        }
        let Some(authorization) = authorization else {
            return PinAnswer::Missing;
        };
        if password(authorization).is_some_and(|typed| pin.is(&typed)) {
            return PinAnswer::Right;
        }
        let wrong = self.0.fetch_add(1, Ordering::AcqRel) + 1;
        match wrong {
            MAX_WRONG_PINS => PinAnswer::LastWrong,
            wrong if wrong > MAX_WRONG_PINS => PinAnswer::Locked,
            wrong => PinAnswer::Wrong(WRONG_PAUSE.saturating_mul(wrong).min(MAX_WRONG_PAUSE)),
        }
    }
}

/// The password of HTTP Basic authentication (RFC 7617), whoever the user is.
fn password(authorization: &str) -> Option<String> {
    let (scheme, given) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let given = String::from_utf8(base64(given.trim())?).ok()?;
    given
        .split_once(':')
        .map(|(_, password)| password.to_owned())
}

/// The bytes that a text in base64 stands for.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_pin_is_slower_each_time_until_none_is_taken() {
        let (attempts, pin) = (PinAttempts::default(), WebPin("012345".to_owned()));
        assert_eq!(pin.shown(), "012 345");
        assert_eq!(attempts.answer(&pin, None), PinAnswer::Missing);
        // "me:012 345", ":012345", "x:y:012345", "me:012346"
        let right = ["Basic bWU6MDEyIDM0NQ==", "basic OjAxMjM0NQ=="];
        for given in right {
            assert_eq!(attempts.answer(&pin, Some(given)), PinAnswer::Right);
        }
        let mut last = Duration::ZERO;
        let others = [
            "Basic eDp5OjAxMjM0NQ==",
            "Basic bWU6MDEyMzQ2",
            "Bearer x",
            "Basic !",
            "",
        ];
        for given in others.iter().cycle().take(9) {
            let PinAnswer::Wrong(pause) = attempts.answer(&pin, Some(given)) else {
                panic!("{given}");
            };
            assert!(pause >= last);
            last = pause;
        }
        assert_eq!(attempts.answer(&pin, Some(right[0])), PinAnswer::Right);
        assert_eq!(attempts.answer(&pin, Some("")), PinAnswer::LastWrong);
        assert_eq!(attempts.answer(&pin, Some(right[0])), PinAnswer::Locked);
        let random = WebPin::random().unwrap().0;
        assert!(random.len() == 6 && random.bytes().all(|b| b.is_ascii_digit()));
    }
}

//! `WebPin`: the PIN that browsers are asked for on top of the secret address, and how often a wrong
//! one was given.
//!
//! Must not wait, nor answer.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::limits::{MAX_PIN_ADDRESSES, MAX_WRONG_PAUSE, MAX_WRONG_PINS, WRONG_PAUSE};
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
/// many addresses of their own. Those who gave the right one before are not locked out by others.
#[derive(Debug, Default)]
pub(super) struct PinAttempts(Mutex<CountedPins>);

#[derive(Debug, Default)]
struct CountedPins {
    wrong: u32,
    /// The addresses that gave the right one, and no wrong one since nobody else may try.
    right: HashSet<IpAddr>,
}

impl PinAttempts {
    /// Looks at what stands in the header `Authorization` of a request from `address`.
    pub(super) fn answer(
        &self,
        pin: &WebPin,
        address: IpAddr,
        authorization: Option<&str>,
    ) -> PinAnswer {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_locked = counted.wrong >= MAX_WRONG_PINS;
        if is_locked && !counted.right.contains(&address) {
            return PinAnswer::Locked;
        }
        let Some(authorization) = authorization else {
            return PinAnswer::Missing;
        };
        if password(authorization).is_some_and(|typed| pin.is(&typed)) {
            if counted.right.len() < MAX_PIN_ADDRESSES {
                counted.right.insert(address);
            }
            return PinAnswer::Right;
        }
        if is_locked {
            // Somebody else can be at the same address.
            counted.right.remove(&address);
            return PinAnswer::Locked;
        }
        counted.wrong += 1;
        match counted.wrong {
            MAX_WRONG_PINS => PinAnswer::LastWrong,
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
    let given = BASE64_STANDARD.decode(given.trim()).ok()?;
    let given = String::from_utf8(given).ok()?;
    given
        .split_once(':')
        .map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_pin_is_slower_each_time_until_none_is_taken() {
        let (attempts, pin) = (PinAttempts::default(), WebPin("012345".to_owned()));
        let [here, there, third] = [1, 2, 3].map(|n| IpAddr::from([10, 0, 0, n]));
        assert_eq!(pin.shown(), "012 345");
        assert_eq!(attempts.answer(&pin, here, None), PinAnswer::Missing);
        // "me:012 345", ":012345", "x:y:012345", "me:012346"
        let right = ["Basic bWU6MDEyIDM0NQ==", "basic OjAxMjM0NQ=="];
        for given in right {
            assert_eq!(attempts.answer(&pin, here, Some(given)), PinAnswer::Right);
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
            let PinAnswer::Wrong(pause) = attempts.answer(&pin, here, Some(given)) else {
                panic!("{given}");
            };
            assert!(pause >= last);
            last = pause;
        }
        let answer = |address, given| attempts.answer(&pin, address, Some(given));
        assert_eq!(answer(here, right[0]), PinAnswer::Right);
        assert_eq!(answer(there, ""), PinAnswer::LastWrong);
        // Who has come in before stays in, until a guess comes from the same address.
        assert_eq!(answer(there, right[0]), PinAnswer::Locked);
        assert_eq!(answer(third, right[0]), PinAnswer::Locked);
        assert_eq!(answer(here, right[0]), PinAnswer::Right);
        assert_eq!(attempts.answer(&pin, here, None), PinAnswer::Missing);
        assert_eq!(answer(here, ""), PinAnswer::Locked);
        assert_eq!(answer(here, right[0]), PinAnswer::Locked);
        let random = WebPin::random().unwrap().0;
        assert!(random.len() == 6 && random.bytes().all(|b| b.is_ascii_digit()));
    }
}

//! `PassedOver`: those who were not the one that is looked for, while it is looked for.
//!
//! Must not grow with how many say that they are it.

use crate::model::error::Error;

/// How many are remembered and told of: more are a flood.
const MAX_PASSED: usize = 8;

/// Why each of them is not the one.
#[derive(Debug, Default)]
pub(super) struct PassedOver {
    errors: Vec<Error>,
    is_wary: bool,
}

impl PassedOver {
    /// Takes note of one. Says whether it is to be told of: it is new, and there are not too many.
    pub(super) fn note(&mut self, error: Error) -> bool {
        let text = error.to_string();
        let is_new = self.errors.len() < MAX_PASSED
            && !self.errors.iter().any(|told| told.to_string() == text);
        if is_new {
            self.errors.push(error);
        }
        is_new
    }

    /// Somebody had the name of one who is known: from now on no stranger is taken for it.
    pub(super) fn be_wary(&mut self) {
        self.is_wary = true;
    }

    pub(super) fn is_wary(&self) -> bool {
        self.is_wary
    }

    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn into_errors(self) -> Vec<Error> {
        self.errors
    }
}

/// What the one that is looked for is called, and what the one that was passed over is, if it is
/// known.
pub(super) fn names(error: &Error) -> Option<(String, Option<String>)> {
    match error {
        Error::OtherPeer { name, is, .. } => Some((name.clone(), Some(is.clone()))),
        Error::Impostor { name, .. } => Some((name.clone(), None)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_of_a_few_times() {
        let mut passed = PassedOver::default();
        let one = |port| Error::NotXfer {
            peer: ([10, 0, 0, 1], port).into(),
        };
        assert!(passed.note(one(1)) && !passed.note(one(1)));
        let told = (1..1000).filter(|&port| passed.note(one(port))).count();
        assert_eq!(told, MAX_PASSED - 1);
        assert_eq!(passed.into_errors().len(), MAX_PASSED);
    }
}

//! Questions for a person: reading a code aloud, entering one, saying yes or no.
//!
//! Must not know a terminal: implementations of [`Prompt`] may have one, or nobody in front of it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::model::error::FoundMachine;
use crate::model::outcome::{Role, Wish};
use crate::model::surplus::RemovalCount;
use crate::model::talk::TalkLine;

/// How many digits a code has.
pub const CODE_DIGITS: usize = 6;

/// How long a user has to say whether a mirror may remove so much. What it would remove it from is
/// kept from all others until then.
pub const REMOVAL_TIME: Duration = Duration::from_secs(600);

/// The short secret for one pairing: six digits. It does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingCode([u8; CODE_DIGITS]);

impl PairingCode {
    /// The code of a number, of which only the last six digits count.
    #[must_use]
    pub fn of_number(number: u32) -> Self {
        let mut rest = number;
        let mut digits = [b'0'; CODE_DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        Self(digits)
    }

    /// What somebody typed: six digits, with spaces and dashes wherever they like; else none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let separator = |c: &char| !c.is_whitespace() && *c != '-';
        let digits: Vec<u8> = text
            .chars()
            .filter(separator)
            .map(|c| u8::try_from(c).ok().filter(u8::is_ascii_digit))
            .collect::<Option<_>>()?;
        digits.try_into().ok().map(Self)
    }

    /// As it is shown to a person: in two groups, which are easy to read aloud.
    #[must_use]
    pub fn shown(&self) -> String {
        let digits = String::from_utf8_lossy(&self.0);
        let (first, second) = digits.split_at(CODE_DIGITS / 2);
        format!("{first} {second}")
    }

    /// Its digits.
    pub(crate) fn digits(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingCode(..)")
    }
}

/// A machine at the other end that is not let in yet.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What it calls itself, made fit to be shown. It proves nothing.
    pub name: String,
    /// Its address.
    pub addr: SocketAddr,
    /// The fingerprint of its key.
    pub fingerprint: String,
}

/// What a sender offers.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Who.
    pub caller: Caller,
    /// How many files, if somebody has counted them.
    pub files: Option<u64>,
    /// How many bytes they have; none of a stream, which nobody has counted.
    pub bytes: Option<u64>,
    /// The name of the first of the files and folders that were named.
    pub first: String,
    /// How many were named, if somebody has counted them.
    pub named: Option<u64>,
    /// What it would do with what is there.
    pub wish: Wish,
    /// Where it would go.
    pub dir: std::path::PathBuf,
    /// How many bytes are free there, where that is known.
    pub free: Option<u64>,
    /// For how long [`Answer::Always`] is; none where whoever asks cannot be known again.
    pub always: Option<AlwaysTime>,
}

/// For how long somebody is let in without a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlwaysTime {
    /// Until the receiver ends.
    UntilEnd,
    /// For good.
    ForGood,
}

/// How much a mirror would remove.
#[derive(Debug, Clone)]
pub struct ProposedRemoval {
    /// What this side does in the session.
    pub role: Role,
    /// Whether this side's user asked for the mirror.
    pub is_wished_here: bool,
    /// What the other side is called.
    pub peer: String,
    /// What would go, of how many.
    pub count: RemovalCount,
}

/// What a person says to a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This time.
    Yes,
    /// No.
    No,
    /// This time, and without a question from now on.
    Always,
}

/// What comes of asking for a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeEntry {
    /// This one.
    Code(PairingCode),
    /// The user does not want to enter one.
    Left,
    /// Nobody can enter one.
    Nobody,
}

/// How an attempt to pair ended for which a code was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairingEnd {
    /// The two are paired.
    Paired,
    /// The other side has gone, or its connection.
    Left,
    /// The other side took too long to enter a code.
    TimedOut,
    /// The other side has entered too many wrong codes.
    Wrong,
    /// Something else has failed.
    Failed,
}

/// A message.
#[derive(Clone)]
pub struct SaidMessage {
    /// Who.
    pub caller: Caller,
    /// What: anything that is UTF-8.
    pub text: String,
    /// Whether they wait for a reply.
    pub asks: bool,
}

impl fmt::Debug for SaidMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SaidMessage").field(&self.caller).finish()
    }
}

/// A person, if there is one. Called from several threads; a call may take as long as people do,
/// and ends early when the program does.
pub trait Prompt: Send + Sync + fmt::Debug {
    /// Whether somebody would see a code now.
    fn can_show_codes(&self) -> bool {
        false
    }

    /// Shows the code that `caller` needs to be let in, and nobody else; `after_wrong` in the place
    /// of one that it has entered wrong. False where nobody would see it.
    fn show_code(&self, _caller: &Caller, _code: &PairingCode, _after_wrong: bool) -> bool {
        false
    }

    /// Says how it ended with a caller that was shown a code.
    fn pairing_ended(&self, _caller: &Caller, _end: PairingEnd) {}

    /// Asks for the code that the receiver `caller` shows, for as long as that is not `gone`; `again`
    /// where the last one was wrong.
    fn enter_code(&self, _caller: &Caller, _again: bool, _gone: &dyn Fn() -> bool) -> CodeEntry {
        CodeEntry::Nobody
    }

    /// Asks whether something may be received, for as long as it is not `gone`. None where nobody
    /// can answer, or does.
    fn decide(&self, _proposal: &Proposal, _gone: &dyn Fn() -> bool) -> Option<Answer> {
        None
    }

    /// Whether there is anybody for [`Prompt::decide`] at all.
    fn can_decide(&self) -> bool {
        false
    }

    /// Asks whether a mirror may remove so much, for as long as the session is not `gone`. None
    /// where nobody can answer, or does.
    fn confirm_removal(
        &self,
        _removal: &ProposedRemoval,
        _gone: &dyn Fn() -> bool,
    ) -> Option<bool> {
        None
    }

    /// Asks which of several machines of the same name is meant: its place among them. None where
    /// nobody can answer, or does.
    fn choose(&self, _name: &str, _found: &[FoundMachine]) -> Option<usize> {
        None
    }

    /// Shows what somebody has said, and returns once it is written. False where that cannot be.
    fn show(&self, _said: &SaidMessage) -> bool {
        false
    }

    /// Asks for a line of reply to what was shown, for as long as whoever waits for it is not
    /// `gone`, which is to be looked at every second at least. None where nobody can answer, or
    /// wants to.
    fn reply(&self, _said: &SaidMessage, _gone: &dyn Fn() -> bool) -> Option<TalkLine> {
        None
    }

    /// After too many wrong codes: returns once the user asks for pairing to go on. False where
    /// that will not happen.
    fn resume_pairing(&self) -> bool {
        false
    }
}

/// Nobody is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Prompt for Nobody {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_six_digits_however_they_are_typed() {
        let code = PairingCode::of_number(12_345);
        assert_eq!(code.shown(), "012 345");
        for text in ["012345", "012 345", " 0-1-2 3 4 5\n", "012-345"] {
            assert_eq!(PairingCode::parse(text).as_ref(), Some(&code), "{text:?}");
        }
        for text in ["", "12345", "0123456", "01234a", "012.345", "０12345"] {
            assert_eq!(PairingCode::parse(text), None, "{text:?}");
        }
        assert_eq!(PairingCode::of_number(7_654_321).shown(), "654 321");
        assert_eq!(format!("{code:?}"), "PairingCode(..)");
    }
}

//! What peers are told that have no typed reasons: the same in words, as they expect it.
//!
//! Must not be asked by anybody but those who write messages: nobody else knows which reasons a
//! peer understands.

use std::borrow::Cow;

use super::message::{FolderFailed, Message, Outcomes, Skipped};
use super::preamble::Features;
use crate::model::outcome::{Decline, Outcome, Why};
use crate::model::text::Text;

impl Message {
    /// This message as a peer understands it that has `features` in common with this side.
    #[must_use]
    pub fn for_peer(&self, features: Features) -> Cow<'_, Self> {
        if features.has(Features::REASONS) {
            return Cow::Borrowed(self);
        }
        Cow::Owned(match self {
            Self::Abort(reason) => Self::AbortText(Text::new(reason.to_string())),
            Self::Declined(reason) => match decline(reason) {
                Some(reason) => Self::Declined(reason),
                None => return Cow::Borrowed(self),
            },
            Self::Skipped(skipped) => Self::Skipped(Skipped {
                why: in_words(&skipped.why),
                ..*skipped
            }),
            Self::FolderFailed(failed) => Self::FolderFailed(FolderFailed {
                path: failed.path.clone(),
                why: in_words(&failed.why),
            }),
            Self::Outcomes(outcomes) => {
                let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
                if !outcomes.0.iter().any(|ended| failed(&ended.outcome)) {
                    return Cow::Borrowed(self);
                }
                let mut outcomes = outcomes.0.clone();
                for ended in &mut outcomes {
                    if let Outcome::Failed(why) = &mut ended.outcome {
                        *why = in_words(why);
                    }
                }
                Self::Outcomes(Outcomes(outcomes))
            }
            _ => return Cow::Borrowed(self),
        })
    }
}

fn decline(reason: &Decline) -> Option<Decline> {
    Some(match reason {
        Decline::Unsupported(what) => Decline::UnsupportedText(Text::new(what.to_string())),
        Decline::Store(fault) => Decline::StoreText(Text::new(fault.to_string())),
        _ => return None,
    })
}

fn in_words(why: &Why) -> Why {
    let text = |words: &dyn std::fmt::Display| Text::new(words.to_string());
    match why {
        Why::Unreadable(error) => Why::UnreadableText(text(error)),
        Why::Name(error) => Why::NameText(text(error)),
        Why::InTheWay(obstacle) => Why::InTheWayText(text(obstacle)),
        Why::System(error) => Why::SystemText(text(error)),
        Why::NotRemoved(error) => Why::NotRemovedText(text(error)),
        Why::Limit(limit) => Why::SystemText(text(limit)),
        Why::ChangedThere => Why::SystemText("a file here changed meanwhile".into()),
        Why::Ended => Why::SystemText("the session is over".into()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reason::{AbortReason, SystemError, Unsupported};
    use crate::wire::EntryOutcome;

    #[test]
    fn reasons_are_words_to_a_peer_without_them() {
        let ended = |why| {
            Message::Outcomes(Outcomes(vec![EntryOutcome {
                entry: 3,
                outcome: Outcome::Failed(why),
            }]))
        };
        let typed = [
            ended(Why::System(SystemError::PermissionDenied)),
            Message::Abort(AbortReason::NotOneFile),
            Message::Declined(Decline::Unsupported(Unsupported::NoLanes)),
        ];
        let words = [
            ended(Why::SystemText("permission denied".into())),
            Message::AbortText("only a single file, and no folder, goes to standard output".into()),
            Message::Declined(Decline::UnsupportedText("an offer without a lane".into())),
        ];
        for (typed, words) in typed.iter().zip(&words) {
            assert_eq!(&*typed.for_peer(Features::NONE), words);
            assert_eq!(&*typed.for_peer(Features::OURS), typed);
            assert_eq!(&*words.for_peer(Features::NONE), words);
        }
        let [_, _, plain] = &words;
        assert!(matches!(plain.for_peer(Features::NONE), Cow::Borrowed(_)));
    }
}

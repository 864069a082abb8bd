//! Translates reasons into words for peers that do not know the typed ones.
//!
//! Must be used only where messages are written: no other code knows which reasons a peer
//! understands.

use std::borrow::Cow;

use super::message::{FolderFailed, Message, Outcomes, Skipped};
use super::preamble::Features;
use crate::model::outcome::{Ability, Decline, Outcome, Why};
use crate::model::reason::{AbortReason, Limit, StoreFault, SystemError};
use crate::model::text::Text;

impl Message {
    /// This message in the form that a peer understands with which this side shares `features`.
    #[must_use]
    pub fn for_peer(&self, features: Features) -> Cow<'_, Self> {
        if features.has(Features::OURS) {
            return Cow::Borrowed(self);
        }
        let has_reasons = features.has(Features::REASONS);
        let has_more = features.has(Features::MORE_REASONS);
        let why = |why: &Why| match has_more {
            true => why.clone(),
            false if has_reasons => without_newer(why),
            false => in_words(&without_newer(why)),
        };
        Cow::Owned(match self {
            Self::Abort(reason) if !has_reasons => Self::AbortText(Text::new(reason.to_string())),
            Self::Abort(reason @ (AbortReason::Unpaired | AbortReason::Idle)) if !has_more => {
                Self::Abort(AbortReason::Other(Text::new(reason.to_string())))
            }
            Self::Declined(reason) => {
                let reason = decline_without_newer(reason, features);
                Self::Declined(if has_reasons {
                    reason
                } else {
                    decline_in_words(reason)
                })
            }
            Self::Skipped(skipped) => Self::Skipped(Skipped {
                why: why(&skipped.why),
                ..*skipped
            }),
            Self::FolderFailed(failed) => Self::FolderFailed(FolderFailed {
                path: failed.path.clone(),
                why: why(&failed.why),
            }),
            Self::Outcomes(outcomes) => {
                let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
                if !outcomes.0.iter().any(|ended| failed(&ended.outcome)) {
                    return Cow::Borrowed(self);
                }
                let mut outcomes = outcomes.0.clone();
                for ended in &mut outcomes {
                    if let Outcome::Failed(failed) = &mut ended.outcome {
                        *failed = why(failed);
                    }
                }
                Self::Outcomes(Outcomes(outcomes))
            }
            _ => return Cow::Borrowed(self),
        })
    }
}

/// The closest reason that a peer without the newer features knows.
fn decline_without_newer(reason: &Decline, features: Features) -> Decline {
    let is_new = match reason {
        Decline::NoUpdate => !features.has(Features::MORE_REASONS),
        // A peer with either feature may send requests that these reasons decline.
        Decline::NotShared(_) | Decline::OnlyShare | Decline::NoShare => {
            !features.has(Features::FETCH)
        }
        Decline::NotGranted(Ability::Fetch) => !features.has(Features::FETCH),
        Decline::NotGranted(_)
        | Decline::NoRoom
        | Decline::OnlyRoom
        | Decline::Full
        | Decline::NoCommand
        | Decline::NoArguments => {
            !features.has(Features::MESSAGES) && !features.has(Features::COMMANDS)
        }
        _ => false,
    };
    match reason {
        _ if is_new => {
            let words = Text::new(reason.to_string());
            Decline::Store(StoreFault::System(SystemError::Other(words)))
        }
        other => other.clone(),
    }
}

/// The closest reason that a peer without [`Features::MORE_REASONS`] knows.
fn without_newer(why: &Why) -> Why {
    match *why {
        Why::Quota { needed, left } => Why::Space { needed, free: left },
        Why::Limit(limit @ Limit::Offered) => {
            Why::System(SystemError::Other(Text::new(limit.to_string())))
        }
        Why::TooManyRemovals { .. } => {
            Why::NotRemoved(SystemError::Other(Text::new(why.to_string())))
        }
        _ => why.clone(),
    }
}

/// The reason in words, for peers without [`Features::REASONS`].
fn decline_in_words(reason: Decline) -> Decline {
    match reason {
        Decline::Unsupported(what) => Decline::UnsupportedText(Text::new(what.to_string())),
        Decline::Store(fault) => Decline::StoreText(Text::new(fault.to_string())),
        other => other,
    }
}

/// The reason in words, for peers without [`Features::REASONS`].
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
    use crate::model::reason::Unsupported;
    use crate::model::relpath::RelPath;
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
    }

    #[test]
    fn newer_reasons_are_the_nearest_older_ones_to_a_peer_without_them() {
        let (needed, left) = (5, 3);
        let newer = Why::Quota { needed, left };
        let older = Why::Space { needed, free: left };
        let failed = |why| {
            Message::FolderFailed(FolderFailed {
                path: RelPath::new("a").unwrap(),
                why,
            })
        };
        for features in [Features::NONE, Features::REASONS] {
            assert_eq!(
                *failed(newer.clone()).for_peer(features),
                failed(older.clone())
            );
        }
        let declined = Message::Declined(Decline::NoUpdate);
        let at = |features| match &*declined.for_peer(features) {
            Message::Declined(reason) => reason.clone(),
            _ => panic!(),
        };
        assert!(matches!(at(Features::NONE), Decline::StoreText(_)));
        assert!(matches!(at(Features::REASONS), Decline::Store(_)));
        assert_eq!(at(Features::OURS), Decline::NoUpdate);
        for reason in [AbortReason::Unpaired, AbortReason::Idle] {
            let words = Text::new(reason.to_string());
            let other = Message::Abort(AbortReason::Other(words.clone()));
            let ends = Message::Abort(reason);
            assert_eq!(*ends.for_peer(Features::NONE), Message::AbortText(words));
            assert_eq!(*ends.for_peer(Features::REASONS), other);
            assert_eq!(*ends.for_peer(Features::OURS), ends);
        }
    }
}

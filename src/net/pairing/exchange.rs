//! The exchange of pairing messages, on both sides.
//!
//! Must not decide who may try when: `PairingAttempts` does. The code itself is never sent.

use std::sync::Arc;
use std::time::Duration;

use super::proof::Attempt;
use crate::model::error::{Error, Result};
use crate::model::outcome::{Decline, Role};
use crate::model::prompt::{Caller, CodeEntry, PairingEnd, Prompt};
use crate::model::reason::{AbortReason, StoreFault};
use crate::net::{Channel, Fingerprint, Known, Peers};
use crate::wire::{Message, Proof, Share};

use super::super::messages::{
    FIRST_WORDS, declined_or, hear_within, say, say_last, turn_away, unexpected,
};
use super::super::peers::{be_alone_at, namesake};
use super::super::trust::Ours;
use super::attempts::{PairingAttempts, TYPING, Waiter};

/// How long the sender waits for its attempt to be taken: others may be before it, and wrong.
const TURN: Duration = Duration::from_secs(180);
/// How long an attempt may take that has begun. Nobody else can make one meanwhile.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How often one connection can try.
const TRIES: usize = 3;

/// The sender's side: gets the code from its user, and proves it. Returns once both sides know
/// each other.
pub(in super::super) fn as_sender(
    channel: &mut Channel,
    ours: Ours<'_>,
    caller: &mut Caller,
    prompt: &Arc<dyn Prompt>,
) -> Result<()> {
    match hear_within(channel, FIRST_WORDS)? {
        Message::Pairing(()) => {}
        other => return Err(declined_or(channel, other)),
    }
    let (peer, name) = (channel.peer, caller.name.clone());
    let wrong = Error::WrongCode {
        peer,
        name: name.clone(),
        role: Role::Sender,
    };
    let closer = channel.closer.clone();
    for again in [false, true, true] {
        // It has nothing to say before it hears a code, but that it waits no longer.
        let entry = prompt.enter_code(caller, again, &|| closer.has_news());
        let code = match entry {
            CodeEntry::Code(code) => code,
            CodeEntry::Nobody if closer.has_news() => {
                let heard = hear_within(channel, FIRST_WORDS)?;
                return Err(declined_or(channel, heard));
            }
            entry => {
                // Where the user has ended all, it hears that its connection has.
                let _ = say_last(channel, &Message::Leave(()));
                return Err(match entry {
                    CodeEntry::Left => Error::CodeNotEntered { peer, name },
                    _ if again => wrong,
                    _ => Error::CodeNeeded { peer, name },
                });
            }
        };
        let (attempt, share) = Attempt::new(&code, Role::Sender, ours.fingerprint, channel);
        say(channel, &Message::PairStart(Share(share)))?;
        let theirs = match hear_within(channel, TURN)? {
            Message::PairAnswer(Share(theirs)) => theirs,
            other => return Err(declined_or(channel, other)),
        };
        let Some(proofs) = attempt.finish(&theirs) else {
            return Err(Error::protocol(peer, "a share that is none"));
        };
        say(channel, &Message::PairProof(Proof(proofs.ours)))?;
        match hear_within(channel, FIRST_WORDS)? {
            Message::PairProof(Proof(theirs)) if proofs.accept(&theirs) => {
                let told = caller.name.clone();
                return remember(ours.peers, caller, channel.fingerprint, |known| {
                    match ours.role {
                        Role::Sender => known.may_receive = true,
                        Role::Receiver => known.shared_at(peer),
                    }
                    known.calls_itself(&told);
                    if ours.keeps_address {
                        known.received_at(peer, ours.port_is_typed);
                    }
                });
            }
            Message::PairProof(_) => break,
            Message::PairWrong(()) => {}
            other => return Err(declined_or(channel, other)),
        }
    }
    Err(wrong)
}

/// The receiver's side: shows a code, and lets the sender prove it. Returns once both sides know
/// each other.
pub(in super::super) fn as_receiver(
    channel: &mut Channel,
    ours: Ours<'_>,
    caller: &mut Caller,
    (attempts, prompt): (&Arc<PairingAttempts>, &Arc<dyn Prompt>),
    stays: impl FnOnce(),
) -> Result<()> {
    let mut waiter = match attempts.wait_in_line(caller.clone(), channel.fingerprint) {
        Ok(waiter) => waiter,
        Err(reason) => return turn_away(channel, caller, reason),
    };
    stays();
    if let Err(reason) = waiter.show(prompt, false)? {
        let reason = match reason {
            Decline::Unknown if ours.open => Decline::NotOpen,
            reason => reason,
        };
        return turn_away(channel, caller, reason);
    }
    let proven = prove(channel, ours, caller, (&mut waiter, prompt));
    prompt.pairing_ended(
        caller,
        match &proven {
            Ok(()) => PairingEnd::Paired,
            Err(Error::NoCode {
                timed_out: false, ..
            }) => PairingEnd::Left,
            Err(Error::NoCode { .. }) => PairingEnd::TimedOut,
            Err(Error::WrongCode { .. }) => PairingEnd::Wrong,
            Err(_) => PairingEnd::Failed,
        },
    );
    proven
}

/// Lets the sender prove the code that is shown for it; and another one where that was wrong.
fn prove(
    channel: &mut Channel,
    ours: Ours<'_>,
    caller: &mut Caller,
    (waiter, prompt): (&mut Waiter, &Arc<dyn Prompt>),
) -> Result<()> {
    say(channel, &Message::Pairing(())).map_err(|error| lost(error, channel, caller))?;
    for n in 1..=TRIES {
        let theirs = match hear_within(channel, TYPING) {
            Ok(Message::PairStart(Share(theirs))) => theirs,
            Ok(Message::Leave(())) => return Err(no_code(channel, caller, false)),
            Ok(other) => return Err(unexpected(channel, &other)),
            Err(Error::Silent { .. }) => {
                let _ = say_last(channel, &Message::Abort(AbortReason::CodeTimeout));
                return Err(no_code(channel, caller, true));
            }
            Err(error) => return Err(lost(error, channel, caller)),
        };
        let Some(current) = waiter.begin(prompt)? else {
            return turn_away(channel, caller, Decline::Locked);
        };
        let (attempt, share) =
            Attempt::new(&current.code, Role::Receiver, ours.fingerprint, channel);
        say(channel, &Message::PairAnswer(Share(share)))?;
        let proof = match hear_within(channel, ATTEMPT)? {
            Message::PairProof(Proof(proof)) => proof,
            other => return Err(unexpected(channel, &other)),
        };
        // The sender, who typed the code, proves it first: a guess is found wrong here, and
        // counted, before anything was proven to whoever made it.
        match attempt.finish(&theirs) {
            Some(proofs) if !current.is_stale && proofs.accept(&proof) => {
                let fingerprint = channel.fingerprint;
                let kept = remember(ours.peers, caller, fingerprint, |known| match ours.role {
                    Role::Receiver => (known.may_send, known.may_message) = (true, true),
                    Role::Sender => known.may_fetch = true,
                });
                current.right();
                if let Err(error) = kept {
                    let reason = match &error {
                        Error::TurnedAway { reason, .. } => reason.clone(),
                        _ => Decline::Store(StoreFault::PeersUnwritable),
                    };
                    say_last(channel, &Message::Declined(reason))?;
                    return Err(error);
                }
                return say(channel, &Message::PairProof(Proof(proofs.ours)));
            }
            _ => drop(current),
        }
        if n == TRIES {
            break;
        }
        // Its user is sent to look at what is shown.
        if let Err(reason) = waiter.show(prompt, true)? {
            return turn_away(channel, caller, reason);
        }
        say(channel, &Message::PairWrong(())).map_err(|error| lost(error, channel, caller))?;
    }
    // Whether it hears it changes nothing.
    let _ = say_last(channel, &Message::PairWrong(()));
    Err(Error::WrongCode {
        peer: channel.peer,
        name: caller.name.clone(),
        role: Role::Receiver,
    })
}

/// The sender has gone without typing a code, or took too long.
fn no_code(channel: &Channel, caller: &Caller, timed_out: bool) -> Error {
    Error::NoCode {
        peer: channel.peer,
        name: caller.name.clone(),
        timed_out,
    }
}

/// A sender whose user leaves may be gone before it says so.
fn lost(error: Error, channel: &Channel, caller: &Caller) -> Error {
    match error {
        Error::Lost { .. } => no_code(channel, caller, false),
        other => other,
    }
}

/// Remembers the other side, with what `grant` gives it. Says what it is called here: as before,
/// where it was known. Another machine may have got to be known by its name in the meantime.
fn remember(
    peers: &Peers,
    caller: &mut Caller,
    fingerprint: Fingerprint,
    grant: impl FnOnce(&mut Known),
) -> Result<()> {
    peers.update(|all| {
        let at = match all.iter().position(|k| k.fingerprint == fingerprint) {
            Some(at) => at,
            None if namesake(all, fingerprint, &caller.name).is_some() => {
                return Err(Error::TurnedAway {
                    peer: caller.addr,
                    name: caller.name.clone(),
                    reason: Decline::NameTaken,
                });
            }
            None => {
                all.push(Known::new(&caller.name, fingerprint));
                all.len() - 1
            }
        };
        caller.name.clone_from(&all[at].name);
        grant(&mut all[at]);
        be_alone_at(all, at);
        Ok(())
    })
}

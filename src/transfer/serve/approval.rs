//! What a sender proposes, and whether it is let in with it: by what is known of it, and by the
//! user where they want to be asked.
//!
//! Must not wait for an answer that cannot come.

use std::sync::{Arc, PoisonError};

use crate::model::error::{Error, Result};
use crate::model::outcome::{Decline, OnConflict, Wish};
use crate::model::progress::{Event, Peer, Progress, Trust};
use crate::model::prompt::{AlwaysTime, Answer, Caller, Proposal};
use crate::model::reason::StoreFault;
use crate::net::{
    Candidate, Channel, Fingerprint, Known, LetIn, Ours, Request, hear_request, let_in, turn_away,
};
use crate::store::{Access, Store};
use crate::wire::{Contents, Hello, Offer};

use super::super::receive::{NAME, OfferBound};
use super::grant;
use super::purpose::Purpose;
use super::shared::ReceiverShared;

/// An offer of a sender that was let in with it.
pub(super) struct Proposed<'a> {
    pub(super) peer: Peer,
    pub(super) offer: Offer,
    /// What the sender may do.
    pub(super) access: Access,
    /// Where what it sends goes; none where nothing is stored.
    pub(super) store: Option<&'a Arc<Store>>,
    /// What the user said yes to, if they were asked.
    pub(super) bound: Option<OfferBound>,
}

/// What a peer that was let in came for.
pub(super) enum Admitted<'a> {
    /// To send files.
    Proposed(Proposed<'a>),
    /// To say something, to be in a room, or to run something, for which it was let in.
    Other(Peer, Request),
}

/// Lets the peer in, and hears what it wants. None where it came to be let in, and no more.
pub(super) fn admitted<'a>(
    shared: &'a ReceiverShared,
    channel: &mut Channel,
    candidate: &Candidate,
    hello: &Hello,
    progress: &Arc<dyn Progress>,
) -> Result<Option<Admitted<'a>>> {
    let asks = shared.options.ask && !is_unasked(shared, channel.fingerprint);
    // Where nobody can be asked, an offer need not say what is in it: it is declined at once.
    let can_ask = shared.prompt.can_decide();
    let ours = Ours {
        fingerprint: shared.fingerprint,
        name: &shared.options.name,
        open: shared.options.open,
        asks: asks && can_ask,
        peers: &shared.peers,
        keeps_address: false,
        port_is_typed: false,
        role: shared.purpose.role(),
    };
    let pairing = (&shared.pairing, &shared.prompt);
    // Few can wait for a person, and those need not hurry.
    let let_in = let_in(channel, hello, ours, pairing, || candidate.let_in())?;
    let LetIn { peer, unasked, .. } = &let_in;
    let unasked = *unasked;
    if peer.is_new {
        progress.event(&Event::Paired {
            caller: &peer.caller(),
            role: shared.purpose.role(),
            ability: shared.purpose.ability(),
        });
    }
    let asks = asks && !unasked;
    let caller = peer.caller();
    // They fail where the list of known machines does.
    let Ok(terms) = shared.terms(peer.trust, channel.fingerprint) else {
        let reason = Decline::Store(StoreFault::PeersUnreadable);
        return turn_away(channel, &caller, reason);
    };
    let Some(request) = hear_request(channel, asks && can_ask)? else {
        return Ok(None);
    };
    if !let_in.may(request.ability()) {
        return turn_away(channel, &caller, Decline::NotGranted(request.ability()));
    }
    // Nothing else is done where a room is open.
    if shared.purpose.room().is_some() && !matches!(request, Request::JoinRoom) {
        return turn_away(channel, &caller, Decline::OnlyRoom);
    }
    // Likewise where files are shared, and they are fetched nowhere else.
    match (&shared.purpose, &request) {
        (Purpose::Share(_), Request::Fetch(_)) => {}
        (Purpose::Share(_), _) => return turn_away(channel, &caller, Decline::OnlyShare),
        (_, Request::Fetch(_)) => return turn_away(channel, &caller, Decline::NoShare),
        _ => {}
    }
    let peer = let_in.peer;
    let offer = match request {
        Request::Offer(offer) => offer,
        other => return Ok(Some(Admitted::Other(peer, other))),
    };
    if asks && !can_ask {
        return turn_away(channel, &caller, Decline::Unattended);
    }
    let (owner, wish) = (channel.fingerprint, offer.wish);
    let access = match grant::access(owner, peer.trust, wish, terms.grant, &shared.options) {
        Ok(access) => access,
        Err(decline) => return turn_away(channel, &caller, decline),
    };
    let mut bound = None;
    if asks {
        candidate.let_in();
        let (trust, store, conflict) = (peer.trust, terms.store, access.conflict);
        bound = ask(shared, channel, caller, trust, &offer, conflict, store)?;
    }
    Ok(Some(Admitted::Proposed(Proposed {
        peer,
        offer,
        access,
        store: terms.store,
        bound,
    })))
}

/// Asks the user about an offer. What they say yes to this time is the most that is taken.
fn ask(
    shared: &ReceiverShared,
    channel: &mut Channel,
    caller: Caller,
    trust: Trust,
    offer: &Offer,
    conflict: OnConflict,
    store: Option<&Arc<Store>>,
) -> Result<Option<OfferBound>> {
    let Some(contents) = &offer.contents else {
        return Err(Error::protocol(caller.addr, "an offer that says nothing"));
    };
    let proposal = Proposal {
        caller,
        files: Some(contents.files),
        bytes: Some(contents.bytes).filter(|&bytes| bytes != Contents::UNKNOWN),
        first: contents.first.to_string(),
        named: Some(contents.named),
        // Nobody decides about what is not done.
        wish: Wish {
            update: conflict == OnConflict::Replace,
            ..offer.wish
        },
        dir: store.map_or_else(|| NAME.into(), |store| store.path().to_path_buf()),
        free: store.and_then(|store| store.free()),
        always: Some(match trust {
            Trust::Paired => AlwaysTime::ForGood,
            _ => AlwaysTime::UntilEnd,
        }),
    };
    let Some(_asked) = shared.asking.add(shared.holder(channel, trust)) else {
        return turn_away(channel, &proposal.caller, Decline::Crowded);
    };
    // Until it is answered it has nothing to say.
    let closer = channel.closer.clone();
    match shared.prompt.decide(&proposal, &|| closer.has_news()) {
        Some(Answer::Yes) => return Ok(Some(OfferBound::new(contents))),
        Some(Answer::Always) => {
            let fingerprint = channel.fingerprint;
            let keep = |all: &mut Vec<Known>| {
                if let Some(known) = all.iter_mut().find(|k| k.fingerprint == fingerprint) {
                    known.unasked = true;
                }
                Ok(())
            };
            // Where it cannot be kept, it holds for as long as this runs.
            if trust != Trust::Paired || shared.peers.update(keep).is_err() {
                let mut unasked = shared
                    .unasked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                unasked.insert(fingerprint);
            }
        }
        Some(Answer::No) => {
            return turn_away(channel, &proposal.caller, Decline::Refused);
        }
        None if closer.has_news() => {
            return Err(Error::Lost {
                peer: channel.peer,
                source: std::io::ErrorKind::UnexpectedEof.into(),
            });
        }
        None => return turn_away(channel, &proposal.caller, Decline::Unattended),
    }
    Ok(None)
}

fn is_unasked(shared: &ReceiverShared, fingerprint: Fingerprint) -> bool {
    let unasked = shared
        .unasked
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    unasked.contains(&fingerprint)
}

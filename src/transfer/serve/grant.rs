//! What a sender may do to existing files: the only place that decides it.
//!
//! Must not touch anything: the store does what it is told may be done.

use crate::model::outcome::{Decline, OnConflict, Wish};
use crate::model::progress::Trust;
use crate::net::Fingerprint;
use crate::store::Access;

use super::super::options::{Grant, ReceiveOptions};

/// What a sender may do that is trusted so, and would like that. The strictest wins: what it
/// would like, what all may do, or what this one may.
pub(super) fn access(
    owner: Fingerprint,
    trust: Trust,
    wish: Wish,
    grant: Option<&Grant>,
    options: &ReceiveOptions,
) -> Result<Access, Decline> {
    // Whoever may remove may replace.
    let mirror = (grant.and_then(|grant| grant.may_mirror)).unwrap_or(options.mirror);
    let may_replace = match trust {
        Trust::SameUser => true,
        Trust::Paired => {
            let all_may = options.update || options.mirror || mirror;
            (grant.and_then(|grant| grant.may_update)).unwrap_or(all_may)
        }
        // Whoever may be anybody replaces nothing, whatever is allowed otherwise.
        Trust::Open | Trust::Link => false,
    };
    let most = options.on_conflict.unwrap_or(OnConflict::Replace);
    let wanted = match wish.update || wish.mirror {
        true => OnConflict::Replace,
        false => OnConflict::Beside,
    };
    let allowed = match may_replace {
        true => OnConflict::Replace,
        false => OnConflict::Beside,
    };
    let conflict = most.max(wanted).max(allowed);
    // What a file contains is told to those who may read it anyway, or may replace it.
    let existing = trust == Trust::SameUser || conflict == OnConflict::Replace;
    // Said at once, and not after everything has travelled. Beside each other, the old and the new
    // would make no mirror.
    if wish.mirror && !(mirror && conflict == OnConflict::Replace) {
        return Err(Decline::NoMirror);
    }
    // Where the user has said what is done instead, that is done; and nothing is replaced where
    // nothing is stored.
    let is_refused = wish.update && !may_replace;
    if is_refused && most == OnConflict::Replace && options.output.is_none() {
        return Err(Decline::NoUpdate);
    }
    Ok(Access {
        owner: owner.0,
        existing,
        conflict,
        checksum: wish.checksum && existing,
        mirror: wish.mirror,
        dry_run: wish.dry_run,
        links_outside: options.links_outside,
        rename_unsafe: options.rename_unsafe,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Fingerprint = Fingerprint([1; 32]);

    #[test]
    fn the_stricter_side_wins_and_anybody_replaces_nothing() {
        use OnConflict::{Beside, Fail, Replace, Skip};
        for (trust, update, allowed, conflict) in [
            (Trust::SameUser, true, None, Replace),
            (Trust::SameUser, false, None, Beside),
            (Trust::SameUser, false, Some(Replace), Beside),
            (Trust::Paired, true, None, Replace),
            (Trust::Paired, true, Some(Beside), Beside),
            (Trust::Paired, false, Some(Skip), Skip),
            (Trust::Paired, true, Some(Fail), Fail),
            (Trust::Open, true, None, Beside),
            (Trust::Open, true, Some(Replace), Beside),
            (Trust::Open, true, Some(Fail), Fail),
            (Trust::Open, false, None, Beside),
            (Trust::Open, false, Some(Replace), Beside),
        ] {
            let wish = Wish {
                update,
                checksum: true,
                ..Wish::default()
            };
            let mut options = ReceiveOptions {
                on_conflict: allowed,
                update: true,
                ..ReceiveOptions::default()
            };
            let decide = |wish, options: &_| access(OWNER, trust, wish, None, options);
            let decided = decide(wish, &options);
            if trust == Trust::Open && update && matches!(allowed, None | Some(Replace)) {
                assert_eq!(decided, Err(Decline::NoUpdate), "{allowed:?}");
                continue;
            }
            let access = decided.unwrap();
            assert_eq!(access.conflict, conflict, "{trust:?} {allowed:?}");
            let may_compare = trust == Trust::SameUser || conflict == Replace;
            assert_eq!(access.existing, may_compare);
            assert_eq!(access.checksum, may_compare);
            let mirror = Wish {
                mirror: true,
                ..wish
            };
            assert_eq!(decide(mirror, &options), Err(Decline::NoMirror));
            options.mirror = true;
            let may = trust != Trust::Open && matches!(allowed, None | Some(Replace));
            assert_eq!(decide(mirror, &options).is_ok(), may);
        }
    }

    #[test]
    fn other_machines_replace_what_they_were_given_leave_to() {
        use OnConflict::{Beside, Replace};
        let update = Wish {
            update: true,
            checksum: true,
            ..Wish::default()
        };
        let options = |update, mirror| ReceiveOptions {
            update,
            mirror,
            ..ReceiveOptions::default()
        };
        let closed = options(false, false);
        let decide = |trust, wish, options: &_| access(OWNER, trust, wish, None, options);
        let conflict = |decided: Result<Access, _>| decided.map(|access| access.conflict);
        let of_paired = |options: &_| conflict(decide(Trust::Paired, update, options));
        assert_eq!(of_paired(&closed), Err(Decline::NoUpdate));
        let dry = Wish {
            dry_run: true,
            ..update
        };
        let dry = decide(Trust::Paired, dry, &closed);
        assert_eq!(dry, Err(Decline::NoUpdate));
        assert_eq!(of_paired(&options(true, false)), Ok(Replace));
        assert_eq!(of_paired(&options(false, true)), Ok(Replace));
        // What the user says is to be done instead is done.
        for most in [Beside, OnConflict::Skip, OnConflict::Fail] {
            let told = ReceiveOptions {
                on_conflict: Some(most),
                ..ReceiveOptions::default()
            };
            assert_eq!(of_paired(&told), Ok(most));
        }
        // The most that may be done is not leave to do it.
        let most = ReceiveOptions {
            on_conflict: Some(Replace),
            ..ReceiveOptions::default()
        };
        assert_eq!(of_paired(&most), Err(Decline::NoUpdate));
        // Whoever replaces nothing is not told what is there.
        let plain = Wish {
            update: false,
            ..update
        };
        let plain = decide(Trust::Paired, plain, &closed).unwrap();
        assert!(plain.conflict == Beside && !plain.existing && !plain.checksum);
        let of_mine = conflict(decide(Trust::SameUser, update, &closed));
        assert_eq!(of_mine, Ok(Replace));
    }

    #[test]
    fn a_senders_own_grant_comes_before_what_all_may() {
        let options = |update, mirror| ReceiveOptions {
            update,
            mirror,
            ..ReceiveOptions::default()
        };
        let wish = |mirror| Wish {
            update: true,
            mirror,
            ..Wish::default()
        };
        let grant = |may_update, may_mirror| Grant {
            may_update,
            may_mirror,
            ..Grant::default()
        };
        let decide = |mirror, grant: &Grant, options: &_| {
            let access = access(OWNER, Trust::Paired, wish(mirror), Some(grant), options);
            access.map(|access| access.conflict)
        };
        let replaced = Ok(OnConflict::Replace);
        let (all, none) = (grant(None, None), grant(Some(false), None));
        let mirror = options(false, true);
        assert_eq!(decide(true, &all, &mirror), replaced);
        assert_eq!(decide(false, &none, &mirror), Err(Decline::NoUpdate));
        assert_eq!(decide(true, &none, &mirror), Err(Decline::NoMirror));
        assert_eq!(
            decide(false, &none, &options(true, false)),
            Err(Decline::NoUpdate)
        );
        let none = grant(None, Some(false));
        assert_eq!(decide(false, &none, &mirror), replaced);
        assert_eq!(decide(true, &none, &mirror), Err(Decline::NoMirror));
        // It may without the others' leave, and whoever may remove may replace.
        let more = grant(None, Some(true));
        assert_eq!(decide(false, &more, &options(false, false)), replaced);
        assert_eq!(decide(true, &more, &options(false, false)), replaced);
        let odd = grant(Some(false), Some(true));
        assert_eq!(
            decide(true, &odd, &options(false, false)),
            Err(Decline::NoMirror)
        );
        // And never what is done for nobody.
        let options = ReceiveOptions {
            on_conflict: Some(OnConflict::Skip),
            mirror: true,
            ..ReceiveOptions::default()
        };
        assert_eq!(decide(false, &more, &options), Ok(OnConflict::Skip));
        assert_eq!(decide(true, &more, &options), Err(Decline::NoMirror));
    }
}

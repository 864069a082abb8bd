//! What a sender may do with what is here: the one place where that is decided.
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
    let mut allowed = options.on_conflict.unwrap_or(OnConflict::Replace);
    // Whoever may be anybody replaces nothing, whatever is allowed otherwise.
    if trust == Trust::Open || grant.is_some_and(|grant| grant.may_update == Some(false)) {
        allowed = allowed.max(OnConflict::Beside);
    }
    let mirror = options.mirror && grant.is_none_or(|grant| grant.may_mirror != Some(false));
    let wanted = match wish.update || wish.mirror {
        true => OnConflict::Replace,
        false => OnConflict::Beside,
    };
    let conflict = allowed.max(wanted);
    // What a file contains is told to those who may read it anyway, or may replace it.
    let existing = trust == Trust::SameUser || conflict == OnConflict::Replace;
    // Said at once, and not after everything has travelled. Beside each other, the old and the new
    // would make no mirror.
    if wish.mirror && !(mirror && conflict == OnConflict::Replace) {
        return Err(Decline::NoMirror);
    }
    Ok(Access {
        owner: owner.0,
        existing,
        conflict,
        checksum: wish.checksum && existing,
        mirror: wish.mirror,
        dry_run: wish.dry_run,
        links_outside: options.links_outside,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            let wish = Wish {
                update,
                checksum: true,
                ..Wish::default()
            };
            let mut options = ReceiveOptions {
                on_conflict: allowed,
                ..ReceiveOptions::default()
            };
            let decide =
                |wish, options: &_| access(Fingerprint([1; 32]), trust, wish, None, options);
            let access = decide(wish, &options).unwrap();
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
    fn one_sender_may_less_than_all() {
        let options = ReceiveOptions {
            mirror: true,
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
            let owner = Fingerprint([1; 32]);
            let access = access(owner, Trust::Paired, wish(mirror), Some(grant), options);
            access.map(|access| access.conflict)
        };
        let (all, none) = (grant(None, None), grant(Some(false), None));
        assert_eq!(decide(true, &all, &options), Ok(OnConflict::Replace));
        assert_eq!(decide(false, &none, &options), Ok(OnConflict::Beside));
        assert_eq!(decide(true, &none, &options), Err(Decline::NoMirror));
        let none = grant(None, Some(false));
        assert_eq!(decide(false, &none, &options), Ok(OnConflict::Replace));
        assert_eq!(decide(true, &none, &options), Err(Decline::NoMirror));
        // And never more.
        let more = grant(Some(true), Some(true));
        let options = ReceiveOptions {
            on_conflict: Some(OnConflict::Skip),
            ..ReceiveOptions::default()
        };
        assert_eq!(decide(false, &more, &options), Ok(OnConflict::Skip));
        assert_eq!(decide(true, &more, &options), Err(Decline::NoMirror));
    }
}

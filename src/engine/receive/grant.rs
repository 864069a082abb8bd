//! What a sender may do with what is here: the one place where that is decided.
//!
//! Must not touch anything: the store does what it is told may be done.

use crate::outcome::{Decline, OnConflict, Wish};
use crate::progress::Trust;
use crate::secure::Fingerprint;
use crate::store::Access;

use super::super::options::ReceiveOptions;

/// What a sender may do that is trusted so, and would like that. The stricter side wins.
pub(super) fn access(
    owner: Fingerprint,
    trust: Trust,
    wish: Wish,
    options: &ReceiveOptions,
) -> Result<Access, Decline> {
    let allowed = options.on_conflict.unwrap_or(OnConflict::Replace);
    // Whoever may be anybody replaces nothing, whatever is allowed otherwise.
    let allowed = match trust {
        Trust::SameUser | Trust::Paired => allowed,
        Trust::Open => allowed.max(OnConflict::Beside),
    };
    let wanted = match wish.update || wish.mirror {
        true => OnConflict::Replace,
        false => OnConflict::Beside,
    };
    let conflict = allowed.max(wanted);
    // What a file contains is told to those who may read it anyway, or may replace it.
    let existing = trust == Trust::SameUser || conflict == OnConflict::Replace;
    // Said at once, and not after everything has travelled. Beside each other, the old and the new
    // would make no mirror.
    if wish.mirror && !(options.mirror && conflict == OnConflict::Replace) {
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
            let decide = |wish, options: &_| access(Fingerprint([1; 32]), trust, wish, options);
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
}

//! Which of those that announce themselves may be the one that is meant, one for each receiver: all
//! receivers of one user on one machine have the same key.
//!
//! Must not search.

use crate::model::error::{Error, Result};
use crate::net::Beacon;

use super::super::options::DialTarget;
use super::heard::{Heard, is_named, machine, port};
use super::means::SearchMeans;
use super::whom::{Match, Whom};

/// Those that have the name, or else the key; where one of a key is at the usual port, not those at
/// others.
pub(super) fn of<'a>(heard: &'a Heard, whom: &Whom, target: &DialTarget) -> Vec<&'a Beacon> {
    let of = |wanted: Match| {
        let is_it = |b: &&Beacon| whom.matches(b, target) == wanted;
        heard.all().iter().filter(is_it).collect::<Vec<_>>()
    };
    let whole = match whom.is_one() {
        true => of(Match::Whole),
        false => {
            let mut named = heard.named(target.name());
            named.retain(|beacon| whom.may_be(beacon));
            named
        }
    };
    match target {
        // The port is known.
        DialTarget::Host { .. } => one_for_each(whole, |beacon| (beacon.fingerprint, 0)),
        // The port says nothing of which one is meant.
        _ if whole.is_empty() => one_for_each_port(of(Match::KeyOnly)),
        _ => prefer_port(one_for_each_port(whole), |beacon| whom.is_usual(beacon)),
    }
}

/// Asks the user which of several is meant.
pub(super) fn choose(several: &[&Beacon], name: &str, means: &SearchMeans<'_>) -> Result<Beacon> {
    let machines: Vec<_> = several.iter().filter_map(|b| machine(b)).collect();
    let choice = means.prompt.choose(name, &machines);
    match choice.and_then(|at| several.get(at)) {
        Some(chosen) => Ok((*chosen).clone()),
        None if means.cancel.is_cancelled() => Err(Error::Cancelled),
        None => Err(Error::Ambiguous {
            name: name.to_owned(),
            found: machines,
        }),
    }
}

/// All that the chosen one announces, a part of it on each network. Others may say that they have
/// its key: whoever has it, and its name, is taken.
pub(super) fn announcements_of(
    chosen: &Beacon,
    heard: &Heard,
    whom: &Whom,
    target: &DialTarget,
) -> Vec<Beacon> {
    let is_place = matches!(target, DialTarget::Host { .. });
    let same = heard.all().iter().filter(|b| {
        b.fingerprint == chosen.fingerprint
            && (is_place || port(b) == port(chosen))
            && (is_named(b, &chosen.name) || whom.matches(b, target) == Match::KeyOnly)
    });
    same.cloned().collect()
}

/// The first for each key and port: announcements that have both are of one receiver.
pub(super) fn one_for_each_port(found: Vec<&Beacon>) -> Vec<&Beacon> {
    one_for_each(found, |beacon| (beacon.fingerprint, port(beacon)))
}

fn one_for_each<K: PartialEq>(mut found: Vec<&Beacon>, key: impl Fn(&Beacon) -> K) -> Vec<&Beacon> {
    found.sort_by(|a, b| a.instance.cmp(&b.instance));
    let mut seen = Vec::new();
    found.retain(|beacon| {
        let it = key(beacon);
        let is_new = !seen.contains(&it);
        seen.push(it);
        is_new
    });
    found
}

/// Leaves out those at other ports than the `usual` one, where one with their key is at that.
fn prefer_port(found: Vec<&Beacon>, usual: impl Fn(&Beacon) -> bool) -> Vec<&Beacon> {
    let keys: Vec<_> = found
        .iter()
        .filter(|beacon| usual(beacon))
        .map(|beacon| beacon.fingerprint)
        .collect();
    let is_left = |beacon: &&Beacon| usual(beacon) || !keys.contains(&beacon.fingerprint);
    found.into_iter().filter(is_left).collect()
}

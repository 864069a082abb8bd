//! Receivers that have the same key: all of one user on one machine. Their names, then their ports,
//! say which of them is meant.
//!
//! Must not believe an announcement where it would be asked about: only a proven key counts.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::model::error::{Error, Result};
use crate::net::Beacon;

use super::candidates::one_for_each_port;
use super::heard::{BeaconFeed, Heard, is_named, port};
use super::means::SearchMeans;
use super::news::News;
use super::reached::Reached;

/// How long others have to say that they have the name.
const LISTEN: Duration = Duration::from_millis(1500);

/// What others with the same key there are.
#[derive(Debug)]
pub(super) enum Others {
    /// One that has the name that is meant.
    Named(Beacon),
    /// At other ports, and none of them has that name.
    Unnamed(Vec<Beacon>),
}

/// Listens for others that have the key of the one that was reached, as that has another name. Fails
/// only where no thread can be started; a network that cannot be listened to has none.
pub(super) fn others(means: &SearchMeans<'_>, reached: &Reached, name: &str) -> Result<Others> {
    let (tell, news) = mpsc::channel();
    let raised = tell.clone();
    let _cancel = means.cancel.on_cancel(move || {
        let _ = raised.send(News::Cancelled);
    });
    let mut heard = Heard::new(means.service);
    let Ok(feed) = BeaconFeed::start(&[reached.key], tell) else {
        return Ok(Others::Unnamed(Vec::new()));
    };
    let until = Instant::now() + LISTEN;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match news.recv_timeout(left) {
            Ok(News::Heard(sighting)) => {
                feed.looked_at_one();
                let beacon = heard.note(sighting);
                let found = beacon.filter(|b| b.may_be(&reached.key) && is_named(b, name));
                match found {
                    // It is the announcement that has the name.
                    Some(beacon) if port(&beacon) == reached.addr.port() => {
                        return Ok(Others::Unnamed(Vec::new()));
                    }
                    Some(beacon) => return Ok(Others::Named(beacon)),
                    None => {}
                }
            }
            Ok(News::Cancelled) => return Err(Error::Cancelled),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    let other_port = |beacon: &&Beacon| port(beacon) != reached.addr.port();
    let others = heard.all().iter().filter(|b| b.may_be(&reached.key));
    let others = one_for_each_port(others.filter(other_port).collect());
    Ok(Others::Unnamed(others.into_iter().cloned().collect()))
}

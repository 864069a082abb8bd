//! Who is on the network: what is announced, and which machines are known.
//!
//! Must not believe an announcement that names a known machine: it has to prove its key. Nothing
//! else is sent to anyone.

mod asker;
mod machine;
mod view;

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::options::Device;
use crate::model::error::{Error, Result};
use crate::net::{Browser, Tls};
use crate::sys::worker::{Worker, spawn_detached};

use asker::{Asker, PresenceNews};
use view::PresenceView;

pub use machine::{Change, Machine, Relation};

/// How long others have to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How many sightings and answers wait to be looked at.
const MAX_NEWS: usize = 256;

/// Says who is there, each one as soon as that is known, for about two seconds; with `watch` until
/// it is cancelled, and then also who goes. Whom this machine knows is asked at its last address,
/// too. Each known one that is not there is told of when the two seconds are over.
pub fn look_around(
    device: &Device,
    watch: bool,
    cancel: &Cancel,
    mut tell: impl FnMut(&Change),
) -> Result<()> {
    let known = device.peers.list()?;
    let own = device.identity.fingerprint();
    let fingerprints: Vec<_> = known.iter().map(|k| k.fingerprint).chain([own]).collect();
    let (news_in, news) = mpsc::sync_channel(MAX_NEWS);
    let stopped = news_in.clone();
    let _cancel = cancel.on_cancel(move || {
        // Where there is no room, there is something to hear.
        let _ = stopped.try_send(PresenceNews::Stop);
    });
    let end = Instant::now() + ANSWER;
    let asker = Asker::new(Tls::new(&device.identity)?, news_in.clone());
    let mut view = PresenceView::new(asker, own, known, watch);
    view.ask_known();
    // Whom this machine knows is asked all the same.
    let heard = Browser::start(&fingerprints).and_then(|browser| {
        let closer = browser.closer();
        hear(browser, news_in, (!watch).then_some(end)).map(|()| closer)
    });
    let (closer, mut failed) = match heard {
        Ok(closer) => (Some(closer), None),
        Err(error) => (None, Some(error)),
    };
    let mut is_over = false;
    while !cancel.is_cancelled() {
        view.settled(&mut tell);
        view.ask_again();
        if !is_over && Instant::now() >= end {
            is_over = true;
            view.time_is_over(&mut tell);
        }
        if is_over && (!watch || failed.is_some()) {
            break;
        }
        let end = (!is_over).then_some(end);
        match next(&news, end.into_iter().chain(view.due()).min()) {
            Ok(PresenceNews::Sighting(sighting)) => view.sighted(sighting, &mut tell),
            Ok(PresenceNews::Answer(answer)) => view.answered(answer, &mut tell),
            Ok(PresenceNews::Stop) => {
                let source = std::io::ErrorKind::BrokenPipe.into();
                failed.get_or_insert(Error::Discovery { source });
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    if let Some(closer) = closer {
        closer.close();
    }
    match failed {
        Some(error) if !cancel.is_cancelled() => Err(error),
        _ => Ok(()),
    }
}

fn next(
    news: &Receiver<PresenceNews>,
    end: Option<Instant>,
) -> Result<PresenceNews, RecvTimeoutError> {
    match end {
        Some(end) => news.recv_timeout(end.saturating_duration_since(Instant::now())),
        None => news.recv().map_err(Into::into),
    }
}

/// Has what is seen handed on, in a thread of its own.
fn hear(browser: Browser, news: SyncSender<PresenceNews>, end: Option<Instant>) -> Result<()> {
    /// Longer than anybody watches without a word, and no harm if not.
    const LONG: Duration = Duration::from_secs(3600);
    let hear = move || {
        loop {
            let deadline = end.unwrap_or_else(|| Instant::now() + LONG);
            let sighting = match browser.next(deadline) {
                Some(sighting) => sighting,
                None if browser.is_closed() => {
                    let _ = news.send(PresenceNews::Stop);
                    return;
                }
                None if end.is_none() => continue,
                None => return,
            };
            if news.send(PresenceNews::Sighting(sighting)).is_err() {
                return;
            }
        }
    };
    // Nobody is seen any more then, which the user sees.
    spawn_detached(Worker::Discovery, hear, drop)
        .map(drop)
        .map_err(|source| Error::Thread { source })
}

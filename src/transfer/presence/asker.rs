//! `Asker`: asks machines to prove their keys.
//!
//! Must not tell them anything beyond what that takes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;

use tracing::debug;

use super::super::dial::{Packets, dial};
use crate::net::{Fingerprint, Sighting, Tls};
use crate::sys::worker::{Worker, spawn_detached};

/// How many addresses are asked for their keys at once.
const MAX_ASKED: usize = 64;
/// How many wait for that at most, or to be told of. Those of known machines come first of all.
pub(super) const MAX_WAITING: usize = 1024;

/// What there is to look at.
pub(super) enum PresenceNews {
    /// Somebody is there, or gone.
    Sighting(Sighting),
    /// Somebody was asked for a key.
    Answer(KeyAnswer),
    /// The user wants to stop, or nothing more is heard.
    Stop,
}

/// What came of asking at an address.
pub(super) struct KeyAnswer {
    pub(super) of: Origin,
    pub(super) addr: SocketAddr,
    /// Whose key was shown there.
    pub(super) seen: Option<Fingerprint>,
}

/// From where it is known that somebody may be at an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// What is announced under this name.
    Instance(String),
    /// Where this one was last.
    LastAddress(Fingerprint),
}

/// Asks for keys, at not too many addresses at once.
pub(super) struct Asker {
    tls: Tls,
    news: SyncSender<PresenceNews>,
    asked: usize,
    waiting: VecDeque<(Origin, SocketAddr)>,
}

impl Asker {
    /// One that tells `news` what was answered.
    pub(super) fn new(tls: Tls, news: SyncSender<PresenceNews>) -> Self {
        Self {
            tls,
            news,
            asked: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Whether it will.
    pub(super) fn ask(&mut self, of: &Origin, addr: SocketAddr) -> bool {
        let has_room = self.waiting.len() < MAX_WAITING;
        if has_room {
            self.waiting.push_back((of.clone(), addr));
            self.go_on();
        }
        has_room
    }

    fn go_on(&mut self) {
        while self.asked < MAX_ASKED
            && let Some((of, addr)) = self.waiting.pop_front()
        {
            self.asked += 1;
            let (tls, news) = (self.tls.clone(), self.news.clone());
            let failed = (news.clone(), of.clone());
            let tell = move |seen, of, news: &SyncSender<PresenceNews>| {
                // Nobody listens any more at the end.
                let _ = news.send(PresenceNews::Answer(KeyAnswer { of, addr, seen }));
            };
            let ask = move || {
                let channel = dial(&tls, addr, &Packets::default(), |_| ());
                debug!(%addr, ?channel, "asked for a key");
                let seen = channel.ok().map(|channel| channel.fingerprint);
                tell(seen, of, &news);
            };
            // Not started or panicked, it is as good as no answer.
            let on_panic = move |_| tell(None, failed.1, &failed.0);
            let _ = spawn_detached(Worker::Connect, ask, on_panic);
        }
    }

    /// One of them has answered, or not.
    pub(super) fn answered(&mut self) {
        self.asked = self.asked.saturating_sub(1);
        self.go_on();
    }
}

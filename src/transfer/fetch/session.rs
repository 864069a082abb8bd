//! A session that fetches: it dials, says what it wants, and receives.
//!
//! Must not know of sessions before it but what they have done.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tracing::debug;

use crate::model::digest::CHUNK_SIZE;
use crate::model::error::{Action, Error, Result};
use crate::model::outcome::{Ability, OnConflict, Role, Summary};
use crate::model::progress::{Counters, Event, Progress, Trust};
use crate::model::text::Text;
use crate::net::{Channel, PoolHolder, broken, fetch, say};
use crate::source::Selection;
use crate::store::{Access, Store};
use crate::sys::worker::Worker;
use crate::wire::{Accept, Fetch, FetchPatterns, Message, Offer, limits};

use super::super::dial::{Connector, Dialed};
use super::super::lane_source::LaneDialer;
use super::super::link::{Ailment, Link};
use super::super::options::DEFAULT_WINDOW;
use super::super::receive::{Budgets, Destination, ReceiveSession, RemovalTerms, SessionSetup};
use super::super::retry::{Ending, all_sessions};
use super::super::{new_secret, next_session};
use super::options::FetchOptions;

/// How long the other machine has to find what is wanted.
pub(super) const FINDING: Duration = Duration::from_secs(60);

/// Hears of every entry, as what a dry run would do is made of them.
#[derive(Debug)]
struct EveryEntry(Arc<dyn Progress>);

impl Progress for EveryEntry {
    fn event(&self, event: &Event<'_>) {
        self.0.event(event);
    }

    fn wants_every_entry(&self) -> bool {
        true
    }
}

/// What all sessions of one `fetch` have in common.
pub(super) struct FetchSessions<'a> {
    pub(super) connector: Connector<'a>,
    pub(super) store: Arc<Store>,
    pub(super) options: &'a FetchOptions,
    pub(super) budgets: Arc<Budgets>,
}

/// What the other machine is asked for.
pub(super) fn wanted(options: &FetchOptions, lanes: u16) -> Fetch {
    let filter = &options.filter;
    let lines = filter.lines.iter();
    Fetch {
        algorithm: options.algorithm,
        lanes,
        wish: options.wish,
        paths: options.paths.clone(),
        filter: FetchPatterns {
            lines: lines.map(|line| Text::new(line.as_str())).collect(),
            gitignore: filter.gitignore,
            max_size: filter.max_size,
        },
        limit: options.limit,
    }
}

impl FetchSessions<'_> {
    /// One session of so many lanes, to its end. Its summary is given with what was done `before`
    /// it.
    pub(super) fn run(&self, before: &Summary, lanes: u16) -> Ending {
        let mut ending = Ending::of(next_session());
        ending.result = self.ask_and_receive(before, lanes, &mut ending);
        ending
    }

    fn ask_and_receive(
        &self,
        before: &Summary,
        lanes: u16,
        ending: &mut Ending,
    ) -> Result<Summary> {
        let FetchOptions { to, name, open, .. } = self.options;
        let dialed = self.connector.dial_for(to, name, *open, Ability::Fetch)?;
        let Dialed {
            mut channel,
            addr,
            greeted,
            cancel: until_it_runs,
        } = dialed;
        let (peer, number) = (&greeted.peer, ending.session);
        let counters = Arc::new(Counters::default());
        channel.carry(counters.clone());
        let offer = fetch(&mut channel, wanted(self.options, lanes), FINDING)?;
        self.check(&mut channel, &offer)?;
        let access = self.access(&channel, peer.trust);
        let conflict = access.conflict;
        let store = self.store.session(access, self.options.sync);
        let path = self.store.path();
        let store = store.map_err(|e| Error::file(Action::ReceiveInto, path, e))?;
        let accept = Accept {
            lanes: offer.lanes.min(lanes).min(limits::MAX_LANES),
            secret: new_secret()?,
            window: DEFAULT_WINDOW,
            conflict,
        };
        let link = Arc::new(Link::new(&channel));
        let holder = PoolHolder::Known(channel.fingerprint);
        let session = ReceiveSession::new(
            channel.fingerprint,
            SessionSetup {
                number,
                link: link.clone(),
                algorithm: offer.algorithm,
                destination: Destination::Folder(store),
                sync: self.options.sync,
                sums: None,
                progress: match offer.wish.dry_run {
                    true => Arc::new(EveryEntry(self.connector.progress.clone())),
                    false => self.connector.progress.clone(),
                },
                counters: counters.clone(),
                window: accept.window,
                // There is no other one here.
                end_silent: Box::new(|| Some(0)),
                lanes: accept.lanes,
                budget: self.budgets.session(holder),
                bound: None,
                selection: Some(Selection::new(&self.options.paths)),
                removal: RemovalTerms {
                    is_wished_here: true,
                    max_delete: self.options.max_delete,
                    prompt: self.connector.prompt.clone(),
                    peer: peer.name.clone(),
                },
            },
        );
        ending.began = true;
        debug!(
            session = number,
            peer = %channel.peer,
            lanes = accept.lanes,
            algorithm = ?offer.algorithm,
            wish = ?offer.wish,
            conflict = ?accept.conflict,
            "session begins, as receiver that has dialed"
        );
        let cancelled = link.clone();
        let cancel = self.connector.cancel;
        let _cancel = cancel.on_cancel(move || cancelled.fail(Error::Cancelled));
        drop(until_it_runs);
        let progress = self.connector.progress;
        progress.event(&Event::Started {
            session: number,
            role: Role::Receiver,
            dialed: true,
            peer,
            wish: offer.wish,
            conflict,
            dir: session.stores_into(),
            counters: &counters,
        });
        let result = self.receive(&session, channel, accept, addr);
        ending.moved =
            Counters::get(&counters.bytes_done).saturating_sub(Counters::get(&counters.bytes_kept));
        ending.stored = session.so_far();
        ending.ailment = match &result {
            // Only the other side sees whether what it sends arrives, and may be unable to say so.
            Err(error) if error.is_lost_connection() && ending.moved == 0 => Ailment {
                lane: true,
                packets: true,
            },
            _ => link.ailment(),
        };
        match &result {
            Ok(summary) => progress.event(&Event::Finished {
                session: number,
                summary,
                all: &all_sessions(before, summary),
            }),
            Err(error) => progress.event(&Event::Failed {
                session: number,
                error,
            }),
        }
        result.map(|summary| all_sessions(before, &summary))
    }

    fn receive(
        &self,
        session: &Arc<ReceiveSession>,
        mut channel: Channel,
        accept: Accept,
        addr: std::net::SocketAddr,
    ) -> Result<Summary> {
        let Connector { tls, packets, .. } = &self.connector;
        let there = (addr, channel.fingerprint);
        let lanes = (accept.lanes, accept.secret);
        let dialer = &LaneDialer::new(tls, packets, there, lanes);
        say(&mut channel, &Message::Accept(accept))?;
        thread::scope(|scope| {
            let link = &session.link;
            let run = |number| {
                move || match dialer.lane(number, link) {
                    Ok(Some(mut lane)) => {
                        lane.carry(session.counters.clone());
                        debug!(session = session.number, "lane joined");
                        session.lane(lane);
                    }
                    Ok(None) => {}
                    Err(error) => link.fail(error),
                }
            };
            let mut numbers = 0..lanes.0;
            let spawned = numbers.try_for_each(|n| link.spawn(scope, Worker::Lane, run(n)));
            if let Err(error) = spawned {
                link.fail(error);
            }
            session.run(channel)
        })
    }

    /// What is offered must be what was asked for.
    fn check(&self, channel: &mut Channel, offer: &Offer) -> Result<()> {
        let what = if offer.chunk_size != CHUNK_SIZE {
            "an offer with chunks of another size"
        } else if offer.lanes == 0 {
            "an offer without a lane"
        } else if offer.wish != self.options.wish {
            // Nobody but this side's user says what is deleted here.
            "an offer that asks for something else than this side did"
        } else {
            return Ok(());
        };
        Err(broken(channel, what))
    }

    /// What may be done to existing files: what this side's user has asked for.
    fn access(&self, channel: &Channel, trust: Trust) -> Access {
        let wish = self.options.wish;
        let conflict = match wish.update || wish.mirror {
            true => OnConflict::Replace,
            false => OnConflict::Beside,
        };
        // What a file contains is told to those who may read it anyway, or whose version replaces
        // it.
        let existing = trust == Trust::SameUser || conflict == OnConflict::Replace;
        Access {
            owner: channel.fingerprint.0,
            existing,
            conflict,
            checksum: wish.checksum && existing,
            mirror: wish.mirror,
            dry_run: wish.dry_run,
            links_outside: self.options.links_outside,
            rename_unsafe: self.options.rename_unsafe,
        }
    }
}

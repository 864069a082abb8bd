//! `Search`: from a target to a channel to a machine that may be the one that is meant.
//!
//! Must not say anything to it: who answers with another key is left at once.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use tracing::debug;

use crate::model::error::{Error, Result, Tried};
use crate::model::progress::Progress;
use crate::net::{Channel, Tls};
use crate::sys::worker::{self, Worker};

use super::super::cancel::Cancel;
use super::super::options::{DEFAULT_PORT, DialTarget};
use super::attempt::Packets;
use super::news::News;
use super::race::Race;
use super::whom::{Verdict, Whom};

/// What it takes to search.
pub(super) struct SearchMeans<'a> {
    pub(super) tls: &'a Tls,
    pub(super) packets: &'a Packets,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) cancel: &'a Cancel,
}

/// One search, for one target.
pub(super) struct Search<'a> {
    means: SearchMeans<'a>,
    target: &'a DialTarget,
    whom: Whom,
    race: Race<'a>,
    tell: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    /// How many questions the resolver has not answered yet.
    lookups: u32,
    /// What the resolver said last, where that was no address.
    unresolved: Option<std::io::Error>,
    tried: Vec<Tried>,
    /// Those who have another key.
    passed: Vec<Error>,
}

impl<'a> Search<'a> {
    pub(super) fn new(means: SearchMeans<'a>, target: &'a DialTarget, whom: Whom) -> Self {
        let (tell, news) = mpsc::channel();
        let race = Race::new(means.tls, means.packets, means.progress, tell.clone());
        Self {
            means,
            target,
            whom,
            race,
            tell,
            news,
            lookups: 0,
            unresolved: None,
            tried: Vec::new(),
            passed: Vec::new(),
        }
    }

    /// Searches, and connects to the first one that answers and may be the one.
    pub(super) fn run(mut self) -> Result<(Channel, SocketAddr)> {
        let raised = self.tell.clone();
        let _cancel = self.means.cancel.on_cancel(move || {
            // Nobody listens any more where it is done.
            let _ = raised.send(News::Cancelled);
        });
        self.begin()?;
        loop {
            self.race.go_on()?;
            if self.lookups == 0 && self.race.is_over() {
                return Err(self.failure());
            }
            match self.wait() {
                None => {}
                Some(News::Resolved(found)) => self.resolved(found),
                Some(News::Tried { addr, result }) => {
                    if let Some(channel) = self.judge(addr, *result)? {
                        return Ok((channel, addr));
                    }
                }
                Some(News::Cancelled) => return Err(Error::Cancelled),
            }
        }
    }

    fn begin(&mut self) -> Result<()> {
        match self.target {
            DialTarget::Host { host, port } => self.resolve(host, *port),
            DialTarget::Name(name) => {
                if let Some(at) = self.whom.known().and_then(|known| known.address.clone()) {
                    // It is one already, which nobody has to be asked for.
                    let found = (at.host().as_str(), at.port()).to_socket_addrs();
                    found
                        .into_iter()
                        .flatten()
                        .for_each(|addr| self.race.add(addr));
                }
                self.resolve(name, DEFAULT_PORT)
            }
        }
    }

    /// The next thing that happens; none where it is time for another attempt.
    fn wait(&self) -> Option<News> {
        let Some(due) = self.race.due() else {
            // It holds a sender itself.
            return self.news.recv().ok();
        };
        let left = due.saturating_duration_since(Instant::now());
        self.news.recv_timeout(left).ok()
    }

    /// Asks the system's resolver, which nobody can interrupt.
    fn resolve(&mut self, host: &str, port: u16) -> Result<()> {
        let (name, tell) = ((host.to_owned(), port), self.tell.clone());
        let panicked = tell.clone();
        let resolve = move || {
            let found = name.to_socket_addrs().map(Iterator::collect);
            let _ = tell.send(News::Resolved(found));
        };
        let spawned = worker::spawn_detached(Worker::Connect, resolve, move |_| {
            let _ = panicked.send(News::Resolved(Ok(Vec::new())));
        });
        spawned.map_err(|source| Error::Thread { source })?;
        self.lookups += 1;
        Ok(())
    }

    fn resolved(&mut self, found: std::io::Result<Vec<SocketAddr>>) {
        self.lookups -= 1;
        match found {
            Ok(found) => found.into_iter().for_each(|addr| self.race.add(addr)),
            Err(error) => self.unresolved = Some(error),
        }
    }

    /// Takes a connection, or what became of it instead.
    fn judge(&mut self, addr: SocketAddr, result: Result<Channel>) -> Result<Option<Channel>> {
        self.race.ended(addr);
        let channel = match result {
            Ok(channel) => channel,
            Err(error @ (Error::Panicked { .. } | Error::Thread { .. })) => return Err(error),
            Err(error) => {
                debug!(%addr, "not connected: {error}");
                self.tried.push(Tried { addr, error });
                return Ok(None);
            }
        };
        let wary = !self.passed.is_empty();
        match self.whom.judge(channel.peer, channel.fingerprint, wary) {
            Verdict::Take => return Ok(Some(channel)),
            Verdict::PassOver(error) => {
                debug!(%addr, "passed over: {error}");
                self.passed.push(error);
            }
            Verdict::Unknown => debug!(%addr, "passed over, as nobody knows it"),
        }
        channel.closer.close();
        Ok(None)
    }

    /// What came of it, where nobody was found.
    fn failure(self) -> Error {
        let Self {
            target,
            mut tried,
            passed,
            unresolved,
            ..
        } = self;
        if let Some(impostor) = passed.into_iter().next() {
            return impostor;
        }
        let (DialTarget::Host { host, .. } | DialTarget::Name(host)) = target;
        let host = host.clone();
        match tried.pop() {
            Some(only) if tried.is_empty() => only.error,
            Some(last) => {
                tried.push(last);
                Error::Unreachable { host, tried }
            }
            None => Error::Resolve {
                host,
                source: unresolved.unwrap_or_else(|| std::io::ErrorKind::NotFound.into()),
            },
        }
    }
}

//! `Search`: from a target to a channel to a machine that may be the one that is meant.
//!
//! Must not say anything to it: who answers with another key is left at once.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::error::{Error, Result, Tried};
use crate::model::progress::{Event, Mistaken};
use crate::net::{Beacon, Channel, FingerprintStart, Service, Sighting};
use crate::sys::worker::{self, Worker};

use super::super::options::{DEFAULT_PORT, DialTarget};
use super::futile::FutileSearch;
use super::heard::{BeaconFeed, Heard, is_named, machine};
use super::means::{SearchMeans, is_host_name};
use super::news::News;
use super::race::Race;
use super::whom::{Verdict, Whom};

/// How long a machine has to answer where it was last before anybody else is asked about it. On
/// one network it takes a hundredth of that.
const HEAD_START: Duration = Duration::from_millis(100);
/// How long a room has to say where it is, before it is looked for where its machine receives.
const ROOM_FIRST: Duration = Duration::from_millis(1500);
/// How long others have to say that they are there.
const LISTEN: Duration = Duration::from_secs(2);
/// How long the resolver has for a name that nobody on the network has either.
const RESOLVE: Duration = Duration::from_secs(5);
/// How often a receiver that is waited for is tried where it may be.
const AGAIN: Duration = Duration::from_secs(2);

/// One search, for one target.
pub(super) struct Search<'a> {
    means: SearchMeans<'a>,
    target: &'a DialTarget,
    whom: Whom,
    race: Race<'a>,
    tell: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    heard: Heard,
    listening: Option<BeaconFeed>,
    /// Why there is nobody to listen to.
    deaf: Option<Error>,
    /// When others are to be asked, if they have not been.
    asks: Option<Instant>,
    /// Until when others may answer.
    listens_until: Instant,
    /// When it is decided who of those of that name is meant.
    settles: Option<Instant>,
    /// The keys that those who were chosen say they have.
    chosen: HashMap<SocketAddr, FingerprintStart>,
    /// When what is tried without being announced is tried, for the first time or again.
    again: Option<Instant>,
    has_said_that_it_waits: bool,
    /// How many questions the resolver has not answered yet.
    lookups: u32,
    /// What the resolver said, where that was no address.
    unresolved: Option<io::Error>,
    tried: Vec<Tried>,
    /// Those who have another key.
    passed: Vec<Error>,
}

impl<'a> Search<'a> {
    pub(super) fn new(means: SearchMeans<'a>, target: &'a DialTarget, whom: Whom) -> Self {
        let (tell, news) = mpsc::channel();
        Self {
            race: Race::new(means.tls, means.packets, means.progress, tell.clone()),
            heard: Heard::new(means.service),
            means,
            target,
            whom,
            tell,
            news,
            listening: None,
            deaf: None,
            asks: None,
            listens_until: Instant::now(),
            settles: None,
            chosen: HashMap::new(),
            again: None,
            has_said_that_it_waits: false,
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
            self.do_what_is_due()?;
            self.race.go_on()?;
            if self.is_at_its_end() {
                if !self.may_wait() {
                    return Err(self.failure());
                }
                self.wait_for_it();
            }
            match self.wait() {
                None => {}
                Some(News::Resolved(found)) => self.resolved(found),
                Some(News::Heard(sighting)) => self.hear(sighting),
                Some(News::Tried { addr, result }) => {
                    if let Some(channel) = self.judge(addr, *result)? {
                        return Ok((channel, addr));
                    }
                }
                Some(News::Cancelled) => return Err(Error::Cancelled),
            }
        }
    }

    /// Begins with what nobody has to be asked about.
    fn begin(&mut self) -> Result<()> {
        let now = Instant::now();
        match self.target {
            DialTarget::Host { host, port } => self.resolve(host, *port),
            DialTarget::Name(_) if self.means.service == Service::Room => {
                // Where the machine was last it received: that is another program of it.
                self.again = Some(now + ROOM_FIRST);
                self.asks = Some(now);
                Ok(())
            }
            DialTarget::Name(_) | DialTarget::Announced(_) => {
                self.asks = Some(match self.add_last() {
                    true => now + HEAD_START,
                    false => now,
                });
                Ok(())
            }
        }
    }

    /// Has the machine looked for where it was last; says whether that is anywhere.
    fn add_last(&mut self) -> bool {
        let mut last: Vec<_> = self.means.last.into_iter().collect();
        last.extend(self.last_known());
        if let DialTarget::Announced(beacon) = self.target {
            let start = beacon.fingerprint;
            last.extend(&beacon.addresses);
            (self.chosen).extend(beacon.addresses.iter().map(|addr| (*addr, start)));
        }
        last.iter().for_each(|addr| self.race.add_again(*addr));
        !last.is_empty()
    }

    fn last_known(&self) -> Option<SocketAddr> {
        // It is an address already, which the resolver has nobody to ask about.
        let at = self.whom.known()?.address.as_ref()?;
        (at.host().as_str(), at.port())
            .to_socket_addrs()
            .ok()?
            .next()
    }

    fn do_what_is_due(&mut self) -> Result<()> {
        let now = Instant::now();
        let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if is_due(&mut self.asks) {
            self.ask()?;
        }
        if is_due(&mut self.settles) {
            self.settle()?;
        }
        if is_due(&mut self.again) {
            self.tried.clear();
            self.unresolved = None;
            self.add_last();
            self.resolve_target()?;
        }
        Ok(())
    }

    /// Asks the network and the resolver.
    fn ask(&mut self) -> Result<()> {
        let name = self.target.name();
        self.means.progress.event(&Event::Searching { name });
        // RFC 6761: that is this machine, and nobody else's name.
        if !name.eq_ignore_ascii_case("localhost") {
            self.listen();
            self.listens_until = Instant::now() + LISTEN;
        }
        match self.again {
            Some(_) => Ok(()),
            None => self.resolve_target(),
        }
    }

    fn resolve_target(&mut self) -> Result<()> {
        match self.target {
            DialTarget::Host { host, port } => self.resolve(host, *port),
            DialTarget::Name(name) if is_host_name(name) => {
                // It listens on the port that it had, if on no other one.
                let known = self.whom.known().and_then(|known| known.address.as_ref());
                let port = known.map_or(DEFAULT_PORT, |at| at.port());
                if !name.contains('.') && !name.eq_ignore_ascii_case("localhost") {
                    self.resolve(&format!("{name}.local"), port)?;
                }
                self.resolve(name, port)
            }
            DialTarget::Name(_) | DialTarget::Announced(_) => Ok(()),
        }
    }

    fn listen(&mut self) {
        match BeaconFeed::start(&self.whom.keys(), self.tell.clone()) {
            Ok(listening) => self.listening = Some(listening),
            Err(error) => self.deaf = Some(error),
        }
    }

    /// The next thing that happens; none where it is time for something.
    fn wait(&self) -> Option<News> {
        let now = Instant::now();
        let over = |at: Instant| (at > now).then_some(at);
        let due = [
            self.race.due(),
            self.asks,
            self.settles,
            self.again,
            over(self.listens_until),
            over(self.listens_until.max(now) + RESOLVE).filter(|_| self.lookups > 0),
        ];
        match due.into_iter().flatten().min() {
            Some(due) => {
                let left = due.saturating_duration_since(now);
                self.news.recv_timeout(left).ok()
            }
            // It holds a sender itself.
            None => self.news.recv().ok(),
        }
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

    fn resolved(&mut self, found: io::Result<Vec<SocketAddr>>) {
        self.lookups = self.lookups.saturating_sub(1);
        match found {
            Ok(found) if self.has_said_that_it_waits => {
                found.into_iter().for_each(|addr| self.race.add_again(addr));
            }
            Ok(found) => found.into_iter().for_each(|addr| self.race.add(addr)),
            Err(error) => self.unresolved = Some(error),
        }
    }

    /// Somebody says that they are there, or not any more.
    fn hear(&mut self, sighting: Sighting) {
        let Some(beacon) = self.heard.note(sighting) else {
            return;
        };
        let name = self.target.name();
        let may_be = self.whom.may_be(&beacon);
        if self.whom.is_one() && may_be {
            debug!(?beacon, "it may be there");
            for addr in beacon.addresses {
                self.race.add_again(addr);
            }
        } else if is_named(&beacon, name) {
            match may_be {
                true => self.settles = Some(self.heard.settles()),
                false => self.pass_over(&beacon, name),
            }
        }
    }

    /// One has the name of a machine that is known here, and says itself that it is another one.
    fn pass_over(&mut self, beacon: &Beacon, name: &str) {
        let Some(error) = self.whom.pretender(beacon) else {
            return;
        };
        if self
            .passed
            .iter()
            .any(|told| told.to_string() == error.to_string())
        {
            return;
        }
        debug!(?beacon, "passed over");
        if let Some(machine) = machine(beacon) {
            self.means.progress.event(&Event::PassedOver {
                name,
                addr: machine.addr,
                why: Mistaken::Name,
                is: None,
            });
        }
        self.passed.push(error);
    }

    /// All that have the name have said so: if it is one, that is it.
    fn settle(&mut self) -> Result<()> {
        let DialTarget::Name(name) = self.target else {
            return Ok(());
        };
        let mut found = self.heard.named(name);
        found.retain(|beacon| self.whom.may_be(beacon));
        let chosen = match found.as_slice() {
            [] => return Ok(()),
            [only] => *only,
            // Whom the resolver knows by that name, nobody has to be asked about.
            _ if self.lookups > 0 || !self.race.is_over() => {
                self.settles = Some(self.heard.settles());
                return Ok(());
            }
            several => {
                let machines: Vec<_> = several.iter().filter_map(|b| machine(b)).collect();
                let choice = self.means.prompt.choose(name, &machines);
                match choice.and_then(|at| several.get(at)) {
                    Some(chosen) => *chosen,
                    None if self.means.cancel.is_cancelled() => return Err(Error::Cancelled),
                    None => {
                        return Err(Error::Ambiguous {
                            name: name.clone(),
                            found: machines,
                        });
                    }
                }
            }
        };
        for addr in chosen.addresses.clone() {
            self.chosen.insert(addr, chosen.fingerprint);
            self.race.add_again(addr);
        }
        Ok(())
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
                self.ask_at_once();
                return Ok(None);
            }
        };
        let (peer, seen) = (channel.peer, channel.fingerprint);
        let wary = !self.passed.is_empty();
        let verdict = match self.chosen.get(&addr) {
            Some(start) if FingerprintStart::of(&seen) != *start => {
                Verdict::PassOver(self.whom.other_key(peer, self.target, *start, seen))
            }
            _ => self.whom.judge(peer, seen, wary),
        };
        match verdict {
            Verdict::Take => return Ok(Some(channel)),
            Verdict::PassOver(error) => {
                debug!(%addr, "passed over: {error}");
                self.tell_of_passed(addr, &error);
                let text = error.to_string();
                if !self.passed.iter().any(|told| told.to_string() == text) {
                    self.passed.push(error);
                }
            }
            Verdict::Unknown => debug!(%addr, "passed over, as nobody knows it"),
        }
        channel.closer.close();
        self.ask_at_once();
        Ok(None)
    }

    /// Says that somebody else is where the one that is looked for was.
    fn tell_of_passed(&self, addr: SocketAddr, error: &Error) {
        let is_told = || {
            self.passed
                .iter()
                .any(|told| told.to_string() == error.to_string())
        };
        if !self.whom.is_one() || is_told() {
            return;
        }
        let (name, is) = match error {
            Error::OtherPeer { name, is, .. } => (name, Some(is.as_str())),
            Error::Impostor { name, .. } => (name, None),
            _ => return,
        };
        let why = match [self.means.last, self.last_known()].contains(&Some(addr)) {
            true => Mistaken::Place,
            false => Mistaken::Name,
        };
        let progress = self.means.progress;
        progress.event(&Event::PassedOver {
            name,
            addr,
            why,
            is,
        });
    }

    /// It is not where it was: nobody has to be waited for before others are asked.
    fn ask_at_once(&mut self) {
        if let Some(asks) = &mut self.asks {
            *asks = Instant::now();
        }
    }

    /// Whether all has been done, in vain.
    fn is_at_its_end(&self) -> bool {
        let now = Instant::now();
        let is_name = !matches!(self.target, DialTarget::Host { .. });
        let resolved = self.lookups == 0 || is_name && now >= self.listens_until + RESOLVE;
        let waits = self.asks.is_some() || self.settles.is_some() || self.again.is_some();
        let listens = self.listening.is_some() && now < self.listens_until;
        resolved && !waits && !listens && self.race.is_over()
    }

    /// Whether it may come to be there, and is to be waited for.
    fn may_wait(&self) -> bool {
        let is_absent = |tried: &Tried| {
            matches!(
                tried.error,
                Error::Connect { .. }
                    | Error::Lost { .. }
                    | Error::Silent { .. }
                    | Error::Mute { .. }
            )
        };
        let is_one = self.whom.is_one();
        self.means.waits && (is_one || self.passed.is_empty() && self.tried.iter().all(is_absent))
    }

    fn wait_for_it(&mut self) {
        if !self.has_said_that_it_waits {
            self.has_said_that_it_waits = true;
            let name = self.target.name();
            self.means.progress.event(&Event::Awaiting { name });
        }
        self.again = Some(Instant::now() + AGAIN);
    }

    /// What came of it, where nobody was found.
    fn failure(self) -> Error {
        let Self {
            target,
            whom,
            tried,
            passed,
            deaf,
            heard,
            ..
        } = self;
        // The resolver was not asked about what is no host's name.
        let resolver = match (self.unresolved, self.lookups) {
            (None, 1..) => Some(io::ErrorKind::TimedOut.into()),
            (unresolved, _) => unresolved,
        };
        let futile = FutileSearch {
            whom: &whom,
            tried,
            passed,
            resolver,
            deaf,
            found: heard.machines(),
        };
        futile.error(target)
    }
}

//! `Search`: from a target to a channel to a machine that may be the one that is meant.
//!
//! Must not say anything to it: who answers with another key is left at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::error::{Error, Result, Tried};
use crate::model::progress::{Event, Mistaken};
use crate::net::{Beacon, Channel, FingerprintStart, Service, Sighting};

use super::super::options::DialTarget;
use super::candidates;
use super::futile::{FutileSearch, is_absent, note_tried};
use super::heard::{BeaconFeed, Heard, is_named, machine};
use super::lookups::Lookups;
use super::means::SearchMeans;
use super::news::News;
use super::passed::{PassedOver, names};
use super::race::Race;
use super::whom::{Match, Verdict, Whom};

/// How long a machine has to answer where it was last before anybody else is asked about it. On
/// one network it takes a hundredth of that.
const HEAD_START: Duration = Duration::from_millis(100);
/// How long a room has to say where it is, before it is looked for where its machine receives.
const ROOM_FIRST: Duration = Duration::from_millis(1500);
/// How long others have to say that they are there.
const LISTEN: Duration = Duration::from_secs(2);
/// How long it can take at most to be decided who of those of a name is meant.
const SETTLED: Duration = Duration::from_secs(3);
/// How often a receiver is tried where it was a moment ago, while others are asked.
const LAST_AGAIN: Duration = Duration::from_millis(400);
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
    /// When it is decided who of those of that name is meant, and by when at the latest.
    settles: Option<Instant>,
    settles_by: Option<Instant>,
    /// When a receiver is tried again where it was a moment ago.
    last_again: Option<Instant>,
    /// The keys that those who were chosen say they have.
    chosen: HashMap<SocketAddr, FingerprintStart>,
    /// When what is tried without being announced is tried, for the first time or again.
    again: Option<Instant>,
    has_said_that_it_waits: bool,
    lookups: Lookups,
    tried: Vec<Tried>,
    /// Those who have another key.
    passed: PassedOver,
}

impl<'a> Search<'a> {
    pub(super) fn new(means: SearchMeans<'a>, target: &'a DialTarget, whom: Whom) -> Self {
        let (tell, news) = mpsc::channel();
        Self {
            race: Race::new(means.tls, means.packets, means.progress, tell.clone()),
            heard: Heard::new(means.service),
            lookups: Lookups::new(tell.clone()),
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
            settles_by: None,
            last_again: None,
            chosen: HashMap::new(),
            again: None,
            has_said_that_it_waits: false,
            tried: Vec::new(),
            passed: PassedOver::default(),
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
            // What was heard before that may be much.
            if self.means.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
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
                Some(News::Resolved { found, as_typed }) => {
                    let found = self.lookups.answered(found, as_typed);
                    self.resolved(found, as_typed);
                }
                Some(News::Heard(sighting)) => {
                    if let Some(listening) = &self.listening {
                        listening.looked_at_one();
                    }
                    self.hear(sighting);
                }
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
            DialTarget::Host { .. } if !self.whom.is_one() => {
                // Most often the resolver knows it; or else the network may.
                let name = self.target.given_name();
                if name.is_some_and(|name| !name.eq_ignore_ascii_case("localhost")) {
                    self.asks = Some(now + HEAD_START);
                }
                self.lookups.begin();
                self.lookups.ask_about(self.target, &self.whom)
            }
            DialTarget::Name(_) if self.means.service != Service::Receiver => {
                // Where the machine was last it received: that is another program of it.
                self.again = Some(now + ROOM_FIRST);
                self.asks = Some(now);
                Ok(())
            }
            _ => {
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
        let mut last = self.means.last_of(self.target, &self.whom);
        if let DialTarget::Announced(beacon) = self.target {
            let start = beacon.fingerprint;
            last.extend(&beacon.addresses);
            (self.chosen).extend(beacon.addresses.iter().map(|addr| (*addr, start)));
        }
        last.iter().for_each(|addr| self.race.add_again(*addr));
        !last.is_empty()
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
        if is_due(&mut self.last_again)
            && let Some(last) = self.means.last
        {
            self.race.add_again(last);
        }
        if is_due(&mut self.again) {
            self.tried.clear();
            self.add_last();
            self.add_heard();
            if self.lookups.is_empty() {
                self.lookups.begin();
                self.lookups.ask_about(self.target, &self.whom)?;
            }
        }
        Ok(())
    }

    /// Has those looked at again who said that they may be it: their network may only now let
    /// anybody through.
    fn add_heard(&mut self) {
        if !candidates::of(&self.heard, &self.whom, self.target).is_empty() {
            self.settles = Some(Instant::now());
        }
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
        match self.target {
            _ if self.again.is_some() => Ok(()),
            DialTarget::Host { .. } if !self.whom.is_one() => Ok(()),
            _ => {
                self.lookups.begin();
                self.lookups.ask_about(self.target, &self.whom)
            }
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
            self.last_again,
            over(self.listens_until),
            self.lookups.waits_until(self.listens_until).and_then(over),
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

    fn resolved(&mut self, found: Vec<SocketAddr>, as_typed: bool) {
        if matches!(self.target, DialTarget::Host { .. }) && !self.whom.is_one() {
            match found.is_empty() {
                // Its addresses are known: nobody else is asked.
                false => self.asks = None,
                true if as_typed => self.ask_at_once(),
                true => {}
            }
        }
        for addr in found {
            match self.has_said_that_it_waits {
                true => self.race.add_again(addr),
                false => self.race.add(addr),
            }
        }
    }

    /// Somebody says that they are there, or not any more.
    fn hear(&mut self, sighting: Sighting) {
        let Some(beacon) = self.heard.note(sighting) else {
            return;
        };
        // Or whoever says so again and again would keep the search from its end.
        if !self.means.waits && Instant::now() >= self.listens_until {
            return;
        }
        let name = self.target.name();
        let is_place = matches!(self.target, DialTarget::Host { .. });
        match self.whom.matches(&beacon, self.target) {
            Match::Whole if is_place || self.whom.is_usual(&beacon) => {
                debug!(?beacon, "it may be there");
                self.add_places_of(&[beacon]);
            }
            Match::Whole | Match::KeyOnly => self.settle_later(),
            Match::No if !is_named(&beacon, name) => {}
            Match::No if !self.whom.may_be(&beacon) => self.pass_over(&beacon, name),
            Match::No if !self.whom.is_one() => self.settle_later(),
            // Another receiver of that machine.
            Match::No => {}
        }
    }

    /// One has the name of a machine that is known here, and says itself that it is another one.
    fn pass_over(&mut self, beacon: &Beacon, name: &str) {
        let Some(error) = self.whom.pretender(beacon) else {
            return;
        };
        self.passed.be_wary();
        if !self.passed.note(error) {
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
    }

    /// All that have the name are given the time to say so; but not for ever, whoever says it.
    fn settle_later(&mut self) {
        let by = Instant::now() + SETTLED;
        let by = *self.settles_by.get_or_insert(by);
        self.settles = Some(self.heard.settles().min(by));
    }

    /// All that have the name have said so: if it is one, that is it.
    fn settle(&mut self) -> Result<()> {
        let is_late = self.settles_by.is_none_or(|by| by <= Instant::now());
        let name = self.target.name();
        let is_key_only = |b: &Beacon| self.whom.matches(b, self.target) == Match::KeyOnly;
        let found = candidates::of(&self.heard, &self.whom, self.target);
        let chosen = match found.as_slice() {
            [] => return Ok(()),
            [only] => (*only).clone(),
            // Each says what it is called once it has shown that it has the key.
            several if several.iter().all(|b| is_key_only(b)) => {
                let several: Vec<_> = several.iter().map(|beacon| (*beacon).clone()).collect();
                self.add_places_of(&several);
                return Ok(());
            }
            // Whom the resolver knows by that name, nobody has to be asked about.
            _ if !(is_late || self.lookups.is_empty() && self.race.is_over()) => {
                self.settle_later();
                return Ok(());
            }
            several => candidates::choose(several, name, &self.means)?,
        };
        self.settles_by = None;
        let same = candidates::announcements_of(&chosen, &self.heard, &self.whom, self.target);
        // At a port of its own another user may receive.
        if !self.whom.is_one() && !matches!(self.target, DialTarget::Host { .. }) {
            let start = chosen.fingerprint;
            let addresses = same.iter().flat_map(|beacon| &beacon.addresses);
            self.chosen.extend(addresses.map(|addr| (*addr, start)));
        }
        self.add_places_of(&same);
        Ok(())
    }

    fn add_places_of(&mut self, beacons: &[Beacon]) {
        for beacon in beacons {
            for addr in &beacon.addresses {
                if let DialTarget::Announced(_) = self.target {
                    self.chosen.insert(*addr, beacon.fingerprint);
                }
                self.race.add_again(self.whom.place(*addr));
            }
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
                note_tried(&mut self.tried, addr, error);
                // It may only be about to come back.
                if self.means.last == Some(addr) && Instant::now() < self.listens_until {
                    self.last_again = Some(Instant::now() + LAST_AGAIN);
                }
                self.ask_at_once();
                return Ok(None);
            }
        };
        let (peer, seen) = (channel.peer, channel.fingerprint);
        let wary = self.passed.is_wary();
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
                if !self.chosen.contains_key(&addr) {
                    self.passed.be_wary();
                }
                self.pass_over_peer(addr, error);
            }
            Verdict::Unknown => debug!(%addr, "passed over, as nobody knows it"),
        }
        channel.closer.close();
        self.ask_at_once();
        Ok(None)
    }

    /// Notes that somebody else is where the one that is looked for was, and says so once.
    fn pass_over_peer(&mut self, addr: SocketAddr, error: Error) {
        let names = names(&error);
        let is_told = self.passed.note(error) && self.whom.is_one();
        let Some((name, is)) = names.filter(|_| is_told) else {
            return;
        };
        let was_there = self.means.last == Some(addr) || self.whom.last_known().contains(&addr);
        let why = match was_there {
            true => Mistaken::Place,
            false => Mistaken::Name,
        };
        let progress = self.means.progress;
        progress.event(&Event::PassedOver {
            name: &name,
            addr,
            why,
            is: is.as_deref(),
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
        let is_name = self.whom.is_one() || self.target.given_name().is_some();
        let until = self.lookups.waits_until(self.listens_until);
        let resolved = until.is_none_or(|until| is_name && now >= until);
        let waits = self.asks.is_some() || self.settles.is_some() || self.again.is_some();
        let listens = self.listening.is_some() && now < self.listens_until;
        resolved && !waits && !listens && self.race.is_over()
    }

    /// Whether it may come to be there, and is to be waited for.
    fn may_wait(&self) -> bool {
        let may_come = || self.passed.is_empty() && self.tried.iter().all(is_absent);
        self.means.waits && (self.whom.is_one() || may_come())
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
        let resolver = self.lookups.into_error();
        let futile = FutileSearch {
            whom: &whom,
            tried,
            passed: passed.into_errors(),
            resolver,
            deaf,
            found: heard.machines(),
        };
        futile.error(target)
    }
}

//! `Lookups`: the questions to the system's resolver, and for how long they are waited for.
//!
//! Must not wait itself: nobody can interrupt a question, which has a thread of its own.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::model::error::{Error, Result};
use crate::sys::worker::{self, Worker};

use super::super::options::DialTarget;
use super::means::is_host_name;
use super::news::News;
use super::whom::Whom;

/// How long the resolver has for a name as it was typed that nobody on the network has either.
const RESOLVE: Duration = Duration::from_secs(5);

/// What the resolver was asked, and has not answered yet.
pub(super) struct Lookups {
    tell: mpsc::Sender<News>,
    /// Names as they were typed.
    typed: u32,
    /// What was made of them.
    others: u32,
    until: Instant,
    /// What it said, where that was no address.
    unresolved: Option<io::Error>,
}

impl Lookups {
    /// None yet. What comes of each is told to `tell`.
    pub(super) fn new(tell: mpsc::Sender<News>) -> Self {
        Self {
            tell,
            typed: 0,
            others: 0,
            until: Instant::now(),
            unresolved: None,
        }
    }

    /// From now on they have so much time, all told.
    pub(super) fn begin(&mut self) {
        self.until = Instant::now() + RESOLVE;
        self.unresolved = None;
    }

    /// Asks for the addresses of a target, if its name can be a host's.
    pub(super) fn ask_about(&mut self, target: &DialTarget, whom: &Whom) -> Result<()> {
        let (name, port) = match target {
            DialTarget::Host { host, port } if target.given_name().is_none() => {
                return self.ask(host, *port, true);
            }
            DialTarget::Host { host, port } => (host, *port),
            // It listens on the port that it had, if on no other one.
            DialTarget::Name(name) => (name, whom.usual_port()),
            DialTarget::Announced(_) => return Ok(()),
        };
        if !is_host_name(name) {
            return Ok(());
        }
        if !name.contains('.') && !name.eq_ignore_ascii_case("localhost") {
            self.ask(&format!("{name}.local"), port, false)?;
        }
        self.ask(name, port, true)
    }

    /// Asks for a host's addresses.
    fn ask(&mut self, host: &str, port: u16, as_typed: bool) -> Result<()> {
        let (name, tell) = ((host.to_owned(), port), self.tell.clone());
        let panicked = tell.clone();
        let resolve = move || {
            let found = name.to_socket_addrs().map(Iterator::collect);
            let _ = tell.send(News::Resolved { found, as_typed });
        };
        let spawned = worker::spawn_detached(Worker::Connect, resolve, move |_| {
            let found = Ok(Vec::new());
            let _ = panicked.send(News::Resolved { found, as_typed });
        });
        spawned.map_err(|source| Error::Thread { source })?;
        *self.count(as_typed) += 1;
        Ok(())
    }

    fn count(&mut self, as_typed: bool) -> &mut u32 {
        match as_typed {
            true => &mut self.typed,
            false => &mut self.others,
        }
    }

    /// One was answered: with these.
    pub(super) fn answered(
        &mut self,
        found: io::Result<Vec<SocketAddr>>,
        as_typed: bool,
    ) -> Vec<SocketAddr> {
        let count = self.count(as_typed);
        *count = count.saturating_sub(1);
        found.unwrap_or_else(|error| {
            self.unresolved = Some(error);
            Vec::new()
        })
    }

    /// Whether all have been answered.
    pub(super) fn is_empty(&self) -> bool {
        self.typed == 0 && self.others == 0
    }

    /// Until when what is open is waited for, where others are listened to until `listened`: no
    /// longer than that for what nobody has typed.
    pub(super) fn waits_until(&self, listened: Instant) -> Option<Instant> {
        match (self.typed, self.others) {
            (1.., _) => Some(self.until.max(listened)),
            (0, 1..) => Some(listened),
            (0, 0) => None,
        }
    }

    /// Whether a question as it was typed has had no answer.
    pub(super) fn is_open(&self) -> bool {
        self.typed > 0
    }

    /// What the resolver has said that helps nobody.
    pub(super) fn into_error(self) -> Option<io::Error> {
        match self.unresolved {
            None if self.is_open() => Some(io::ErrorKind::TimedOut.into()),
            unresolved => unresolved,
        }
    }
}

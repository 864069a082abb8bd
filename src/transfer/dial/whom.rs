//! `Whom`: whose key is taken for the machine that is meant.
//!
//! Must not talk to anybody: a key in, a verdict out.

use std::net::SocketAddr;

use crate::model::error::{Error, Result};
use crate::net::{Fingerprint, Known, Peers};

use super::super::options::DialTarget;

/// Who is meant, and who is known here.
#[derive(Debug)]
pub(super) struct Whom {
    /// This machine's own key.
    ours: Fingerprint,
    all: Vec<Known>,
    /// What the one that is meant is called, and the key that it must have.
    meant: Option<(String, Fingerprint)>,
    /// Whether another machine where a known one was is an alarm.
    alarm: bool,
}

/// What is to be done with a machine that has proven its key.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It may be the one.
    Take,
    /// It is not, for this reason. Others may be.
    PassOver(Error),
    /// It may be one of those that were passed over, as nobody here knows it.
    Unknown,
}

impl Whom {
    /// By what the user said, or by the key that it turned out to have `before`.
    pub(super) fn new(
        target: &DialTarget,
        before: Option<Fingerprint>,
        ours: Fingerprint,
        peers: &Peers,
        alarm: bool,
    ) -> Result<Self> {
        let all = peers.list()?;
        let meant = match target {
            DialTarget::Host { .. } => None,
            DialTarget::Name(name) => match before {
                Some(key) => Some((name.clone(), key)),
                None => receiver(&all, name).map(|k| (k.name.clone(), k.fingerprint)),
            },
        };
        Ok(Self {
            ours,
            all,
            meant,
            alarm,
        })
    }

    /// The known machine that is meant.
    pub(super) fn known(&self) -> Option<&Known> {
        let (_, key) = self.meant.as_ref()?;
        self.all.iter().find(|known| known.fingerprint == *key)
    }

    /// What to do with a machine that has shown a key. Where one was passed over, only those that
    /// are known are taken.
    pub(super) fn judge(&self, peer: SocketAddr, seen: Fingerprint, wary: bool) -> Verdict {
        let is = self.all.iter().find(|known| known.fingerprint == seen);
        let impostor = |name: &str, known: Fingerprint| {
            let name = name.to_owned();
            Verdict::PassOver(match is {
                Some(other) => Error::OtherPeer {
                    peer,
                    name,
                    is: other.name.clone(),
                },
                None => Error::Impostor {
                    peer,
                    name,
                    known: known.to_string(),
                    seen: seen.to_string(),
                },
            })
        };
        if let Some((name, key)) = &self.meant {
            return match *key == seen {
                true => Verdict::Take,
                false => impostor(name, *key),
            };
        }
        let at = Some(peer.into());
        match self.all.iter().find(|known| known.address == at) {
            Some(was) if self.alarm && was.fingerprint != seen && seen != self.ours => {
                impostor(&was.name, was.fingerprint)
            }
            _ if wary && is.is_none() => Verdict::Unknown,
            _ => Verdict::Take,
        }
    }
}

/// The machine that is known as a receiver by this name.
fn receiver<'a>(all: &'a [Known], name: &str) -> Option<&'a Known> {
    let mut receivers = all.iter().filter(|known| known.may_receive);
    receivers.find(|known| known.name == name)
}

//! Lists what another machine shares: its manifest is read, and nothing of it is wanted.
//!
//! Must not store anything.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tracing::debug;

use crate::model::digest::CHUNK_SIZE;
use crate::model::entry::Entry;
use crate::model::error::{Error, Result};
use crate::model::order::Order;
use crate::model::outcome::{Ability, OnConflict, Outcome, Summary, Wish};
use crate::model::progress::Progress;
use crate::model::prompt::Prompt;
use crate::net::{Channel, LAST_WORDS, Reader, Service, aborted, broken, fetch, say};
use crate::source::Selection;
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{Accept, EntryOutcome, Frame, Message, read_frame};

use super::super::cancel::Cancel;
use super::super::dial::{Connector, Dialed};
use super::super::link::{Link, SILENCE};
use super::super::new_secret;
use super::super::options::{DEFAULT_WINDOW, Device};
use super::super::outbox::PING_INTERVAL;
use super::options::FetchOptions;
use super::session::{FINDING, wanted};

/// How many bytes may wait to be written before no more is read.
const MOST_WAITING: usize = 1 << 20;

/// Lists what a machine shares, of what the options name. Each entry is given as it is heard of.
/// Returns how many more things there are that the machine could not read.
pub fn list_shared(
    device: &Device,
    options: &FetchOptions,
    prompt: &Arc<dyn Prompt>,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
    found: &mut dyn FnMut(&Entry),
) -> Result<u64> {
    let mut connector = Connector::new(device, prompt, progress, cancel)?;
    connector.service = Service::Share;
    connector.waits = options.wait;
    list(&connector, options, found).map_err(|error| cancel.reason(error))
}

fn list(
    connector: &Connector<'_>,
    options: &FetchOptions,
    found: &mut dyn FnMut(&Entry),
) -> Result<u64> {
    let FetchOptions { to, name, open, .. } = options;
    let Dialed {
        mut channel,
        cancel: _until_it_ends,
        ..
    } = connector.dial_for(to, name, *open, Ability::Fetch)?;
    let mut wanted = wanted(options, 1);
    // So nothing is ever wanted, and no lane is needed.
    wanted.wish = Wish {
        dry_run: true,
        ..Wish::default()
    };
    let offer = fetch(&mut channel, wanted, FINDING)?;
    if offer.chunk_size != CHUNK_SIZE || !offer.wish.dry_run {
        return Err(broken(&mut channel, "an offer of something else"));
    }
    let accept = Accept {
        lanes: 1,
        secret: new_secret()?,
        window: DEFAULT_WINDOW,
        conflict: OnConflict::Skip,
    };
    say(&mut channel, &Message::Accept(accept))?;
    let link = Arc::new(Link::new(&channel));
    let Channel {
        mut reader,
        mut writer,
        ..
    } = channel;
    let _ = writer.set_timeout(Some(SILENCE));
    let mut unannounced = 0;
    thread::scope(|scope| {
        let write = || link.write(&mut writer, PING_INTERVAL, || None);
        if let Err(error) = link.spawn(scope, Worker::Writer, write) {
            link.fail(error);
        }
        let mut lister = Lister {
            link: &link,
            asked: Selection::new(&options.paths),
            order: Order::new(),
            is_complete: false,
            listed: 0,
            unannounced: 0,
            found,
        };
        link.listen(&mut reader, |reader| lister.listen(reader));
        link.close_all();
        unannounced = lister.unannounced;
    });
    link.result().map(|()| unannounced)
}

/// Reads a manifest.
struct Lister<'a> {
    link: &'a Arc<Link>,
    asked: Selection,
    order: Order,
    is_complete: bool,
    listed: u64,
    /// How many things the other side could not read.
    unannounced: u64,
    found: &'a mut dyn FnMut(&Entry),
}

impl Lister<'_> {
    fn listen(&mut self, reader: &mut Reader) {
        match self.read(reader) {
            Ok(()) => {
                self.link.complete();
                reader.set_deadline(Some(Instant::now() + SILENCE));
            }
            Err(error) => {
                debug!("the list ends: {error}");
                self.link.fail(error);
                reader.set_deadline(Some(Instant::now() + LAST_WORDS));
            }
        }
        let _ = reader.drain();
        self.link.heard_end();
    }

    /// Reads to the end of the manifest.
    fn read(&mut self, reader: &mut Reader) -> Result<()> {
        let mut buffer = Vec::new();
        loop {
            reader.set_deadline(Some(Instant::now() + SILENCE));
            let message = match read_frame(reader, &mut buffer) {
                Ok(Frame::Message(message)) => message,
                Ok(Frame::Chunk(_)) => return Err(self.broken("a chunk in a list")),
                Err(error) => return Err(self.link.wire_error(error)),
            };
            checkpoint(Worker::Control);
            self.link.heard();
            match aborted(self.link.peer, message) {
                Ok(error) => return Err(error),
                Err(Message::Entries(entries)) => {
                    for entry in &entries.0 {
                        let ordered = self.order.entry(entry);
                        ordered.map_err(|what| self.broken(what))?;
                        if !self.asked.takes(entry) {
                            return Err(self.broken("an entry that was not asked for"));
                        }
                        // A folder that only leads to what was asked for says nothing.
                        if !entry.is_way() {
                            (self.found)(entry);
                        }
                        self.listed += 1;
                        let (entry, outcome) = (entry.id, Outcome::Kept);
                        let outcome = EntryOutcome { entry, outcome };
                        self.link.outbox.push_outcome(outcome);
                    }
                    self.link.outbox.wait_below(MOST_WAITING);
                }
                Err(Message::DirEnd(end)) => {
                    let ended = self.order.dir_end(end.entry);
                    ended.map_err(|what| self.broken(what))?;
                }
                Err(Message::Scanned(scanned)) => {
                    if scanned.complete {
                        let ended = self.order.end();
                        ended.map_err(|what| self.broken(what))?;
                        self.is_complete = true;
                    }
                }
                Err(Message::Ping(())) => {}
                Err(Message::End(end)) => {
                    if !self.is_complete || end.entries != self.listed {
                        return Err(self.broken("an end before all is listed"));
                    }
                    self.unannounced = end.unannounced;
                    let summary = Summary {
                        kept: self.listed,
                        failed: end.unannounced,
                        ..Summary::default()
                    };
                    self.link.outbox.push(Message::Summary(summary));
                    self.link.outbox.close();
                    return Ok(());
                }
                Err(other) => {
                    let what = format!("a message {} in a list", other.name());
                    return Err(self.broken(what));
                }
            }
        }
    }

    fn broken(&self, what: impl std::fmt::Display) -> Error {
        Error::protocol(self.link.peer, what)
    }
}

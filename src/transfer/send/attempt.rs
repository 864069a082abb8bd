//! How an attempt to send a file ends: done, changed (another begins), or skipped.
//!
//! Must not read what is sent, but to see what a file is now.

use tracing::debug;

use crate::model::digest::Digest;
use crate::model::outcome::Why;
use crate::source::TreeReader;
use crate::wire::limits::MAX_ATTEMPTS;
use crate::wire::{Changed, Done, Message, Skipped};

use super::super::outbox::Outbox;
use super::entries::UnsettledEntries;
use super::file::{Announced, ReadFailure, SendFile};

/// Where the ends of attempts are told.
#[derive(Clone, Copy)]
pub(super) struct Attempts<'a> {
    pub(super) entries: &'a UnsettledEntries,
    pub(super) outbox: &'a Outbox,
}

impl Attempts<'_> {
    /// All of a file was sent.
    pub(super) fn done(&self, file: &SendFile, digest: Digest) {
        if file.end() {
            self.outbox.push(Message::Done(Done {
                entry: file.entry,
                attempt: file.attempt,
                digest,
            }));
        }
    }

    /// An attempt came to nothing: another one begins, or the file is given up. Only the first
    /// lane that finds so says it.
    pub(super) fn failed(&self, file: &SendFile, failure: ReadFailure, tree: &mut TreeReader) {
        if !file.end() {
            return;
        }
        let entry = file.entry;
        debug!(entry, attempt = file.attempt, ?failure, "attempt failed");
        let attempt = file.attempt + 1;
        let next = match failure {
            ReadFailure::Skip(why) => Err(why),
            ReadFailure::Changed if attempt >= MAX_ATTEMPTS => Err(Why::Changed),
            ReadFailure::Changed => file.look_again(tree),
        };
        let message = match next {
            Err(why) => Message::Skipped(Skipped { entry, why }),
            Ok(now) => {
                let announced = Announced {
                    size: now.size.get(),
                    mtime: now.mtime,
                };
                self.entries.changed(entry, attempt, announced);
                Message::Changed(Changed {
                    entry,
                    attempt,
                    size: now.size,
                    mtime: now.mtime,
                    mode: now.mode,
                })
            }
        };
        self.outbox.push(message);
    }
}

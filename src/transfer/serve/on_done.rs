//! What runs behind a session that stored something: the list of that, and one run after the other.
//!
//! Must not change anything about the session: it has ended, whatever becomes of this.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use crate::model::command::{CommandEnd, MAX_OUTPUT_PART};
use crate::model::error::{Action, Error, Result};
use crate::model::outcome::{Outcome, Summary};
use crate::model::progress::{Event, Peer, Progress};
use crate::model::reason::SystemError;
use crate::model::relpath::RelPath;
use crate::model::text::Text;
use crate::sys::commands::{CommandKill, CommandStarter, RunningNews, ToldValues, WhichOutput};
use crate::sys::name::from_system;
use crate::sys::private;
use crate::sys::worker::{self, Worker};

use super::ended::command_end;

/// How many sessions wait for theirs at most; of more it is said that theirs does not run.
const MAX_WAITING: usize = 64;
/// How much of the end of what it says of an error is kept, in bytes.
const KEPT_BYTES: usize = 2048;
/// How often it is looked whether it has ended, at least.
const LOOK: Duration = Duration::from_secs(60);

/// What is to run behind sessions, one after the other.
#[derive(Debug)]
pub(super) struct OnDone {
    starter: Arc<CommandStarter>,
    /// Where lists are kept while they grow, without a name.
    dir: PathBuf,
    queue: Mutex<OnDoneQueue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct OnDoneQueue {
    waiting: VecDeque<DoneSession>,
    running: Option<CommandKill>,
    /// No more sessions come.
    closed: bool,
    /// Nothing more is to run.
    stopped: bool,
}

/// A session that stored something.
#[derive(Debug)]
struct DoneSession {
    peer: String,
    told: ToldValues,
    list: File,
}

impl OnDone {
    /// None where nothing is to run.
    pub(super) fn new(starter: Option<&Arc<CommandStarter>>, dir: &Path) -> Option<Arc<Self>> {
        let starter = starter.filter(|starter| starter.list().on_done.is_some())?;
        Some(Arc::new(Self {
            starter: starter.clone(),
            dir: dir.to_path_buf(),
            queue: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    fn queue(&self) -> MutexGuard<'_, OnDoneQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, OnDoneQueue>) -> MutexGuard<'a, OnDoneQueue> {
        let queue = self.changed.wait(queue);
        queue.unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to run what sessions give rise to, until it is closed or stopped.
    pub(super) fn begin(self: &Arc<Self>, progress: &Arc<dyn Progress>) -> Result<JoinHandle<()>> {
        let (this, progress) = (self.clone(), progress.clone());
        let panicked = self.clone();
        let run = move || {
            while let Some(next) = this.next() {
                worker::checkpoint(Worker::OnDone);
                let (end, said) = this.run(&next);
                progress.event(&Event::OnDoneEnded {
                    peer: &next.peer,
                    end: &end,
                    said: &said,
                });
            }
        };
        // Nobody is to wait for what does not come.
        let thread = worker::spawn_detached(Worker::OnDone, run, move |_| panicked.stop());
        thread.map_err(|source| Error::Thread { source })
    }

    /// No more sessions come.
    pub(super) fn close(&self) {
        self.queue().closed = true;
        self.changed.notify_all();
    }

    /// Ends what runs, and begins nothing more.
    pub(super) fn stop(&self) {
        let mut queue = self.queue();
        queue.stopped = true;
        if let Some(running) = &queue.running {
            running.end();
        }
        drop(queue);
        self.changed.notify_all();
    }

    fn next(&self) -> Option<DoneSession> {
        let mut queue = self.queue();
        loop {
            if let Some(next) = queue.waiting.pop_front() {
                return Some(next);
            }
            if queue.closed || queue.stopped {
                return None;
            }
            queue = self.wait(queue);
        }
    }

    /// Runs it, to its end. Gives how it ended, and the end of what it said to standard error.
    fn run(&self, session: &DoneSession) -> (CommandEnd, String) {
        let failed = |e: &io::Error| (CommandEnd::NotStarted(SystemError::from(e)), String::new());
        let mut running = {
            let mut queue = self.queue();
            if queue.stopped {
                return (CommandEnd::Stopped, String::new());
            }
            let started = self
                .starter
                .start_on_done(session.told.clone(), &session.list);
            let started = started.and_then(|started| Ok((started.kill()?, started)));
            match started {
                Ok((kill, started)) => {
                    queue.running = Some(kill);
                    started
                }
                Err(e) => return failed(&e),
            }
        };
        let mut buffer = vec![0; MAX_OUTPUT_PART];
        let mut said = Vec::new();
        let end = loop {
            match running.next(&mut buffer, LOOK) {
                Ok(RunningNews::Wrote(WhichOutput::Error, n)) => {
                    said.extend_from_slice(&buffer[..n]);
                    let over = said.len().saturating_sub(KEPT_BYTES);
                    said.drain(..over);
                }
                Ok(RunningNews::Wrote(..) | RunningNews::Nothing) => {}
                Ok(RunningNews::Ended(ended)) => break command_end(&ended),
                Err(e) => break CommandEnd::NotStarted(SystemError::from(&e)),
            }
        };
        self.queue().running = None;
        (end, String::from_utf8_lossy(&said).into_owned())
    }

    /// The list of a session that begins, into this folder. What happens in it goes on to
    /// `progress`.
    pub(super) fn list(&self, progress: &Arc<dyn Progress>, dir: &Path) -> Result<Arc<StoredList>> {
        let file = private::unnamed_in(&self.dir);
        let file = file.map_err(|e| Error::file(Action::Write, &self.dir, e))?;
        Ok(Arc::new(StoredList {
            progress: progress.clone(),
            dir: dir.to_path_buf(),
            noted: Mutex::new(NotedEntries {
                file: BufWriter::new(file),
                stored: 0,
                failed: 0,
                bytes: 0,
                broken: None,
            }),
        }))
    }

    /// A session has ended: where it stored something, that is told when it is its turn.
    pub(super) fn add(
        &self,
        list: &StoredList,
        session: u64,
        peer: &Peer,
        ended: &Result<Summary>,
    ) {
        let mut noted = list.noted();
        if noted.stored == 0 {
            return;
        }
        let flushed = noted.file.flush();
        if let Some(source) = noted.broken.take().or(flushed.err()) {
            let error = Error::file(Action::Write, &self.dir, source);
            list.progress.event(&Event::Warning {
                session,
                error: &error,
            });
        }
        let never = |end: CommandEnd| {
            list.progress.event(&Event::OnDoneEnded {
                peer: &peer.name,
                end: &end,
                said: "",
            });
        };
        let rewound = noted.file.get_mut().rewind();
        let file = rewound.and_then(|()| noted.file.get_ref().try_clone());
        let file = match file {
            Ok(file) => file,
            Err(e) => return never(CommandEnd::NotStarted(SystemError::from(&e))),
        };
        let (outcome, stored, failed, bytes) = match ended {
            Ok(summary) => {
                let outcome = match summary.is_complete() {
                    true => "complete",
                    false => "partial",
                };
                (outcome, summary.stored, summary.failed, summary.bytes)
            }
            Err(_) => ("failed", noted.stored, noted.failed, noted.bytes),
        };
        let numbers = [
            ("XFER_STORED", stored),
            ("XFER_FAILED", failed),
            ("XFER_BYTES", bytes),
        ];
        let numbers = numbers.map(|(name, n)| (name, n.to_string().into_bytes()));
        let words = [
            ("XFER_PEER", peer.name.clone().into_bytes()),
            (
                "XFER_PEER_FINGERPRINT",
                peer.fingerprint.clone().into_bytes(),
            ),
            ("XFER_INTO", from_system(&list.dir).to_vec()),
            ("XFER_OUTCOME", outcome.into()),
        ];
        let told = numbers.into_iter().chain(words);
        let done = DoneSession {
            peer: peer.name.clone(),
            told: told.map(|(name, value)| (name.to_owned(), value)).collect(),
            list: file,
        };
        let mut queue = self.queue();
        if queue.stopped || queue.closed {
            drop(queue);
            return never(CommandEnd::Stopped);
        }
        // The session has its slot still: it waits for nothing.
        if queue.waiting.len() >= MAX_WAITING {
            drop(queue);
            let words = format!("{MAX_WAITING} others wait for their turn");
            let why = SystemError::Other(Text::new(words.as_str()));
            return never(CommandEnd::NotStarted(why));
        }
        queue.waiting.push_back(done);
        drop(queue);
        self.changed.notify_all();
    }
}

/// Notes what a session stores, and passes on what happens.
#[derive(Debug)]
pub(super) struct StoredList {
    progress: Arc<dyn Progress>,
    dir: PathBuf,
    noted: Mutex<NotedEntries>,
}

#[derive(Debug)]
struct NotedEntries {
    file: BufWriter<File>,
    stored: u64,
    failed: u64,
    bytes: u64,
    /// What went wrong first with the list.
    broken: Option<io::Error>,
}

/// A line of the list.
#[derive(Serialize)]
struct StoredLine<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    kind: &'static str,
    size: u64,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_as: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_as_bytes: Option<String>,
}

impl StoredList {
    fn noted(&self) -> MutexGuard<'_, NotedEntries> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, path: &Path, outcome: &Outcome) {
        let (name, at) = match outcome {
            Outcome::Stored(at) => ("stored", at.as_ref().map(RelPath::as_path)),
            Outcome::Replaced => ("replaced", None),
            Outcome::Failed(_) => {
                self.noted().failed += 1;
                return;
            }
            _ => return,
        };
        // What it is now; only the list depends on it.
        let meta = self
            .dir
            .join(at.as_deref().unwrap_or(path))
            .symlink_metadata();
        let (kind, size) = match meta {
            Ok(meta) if meta.is_dir() => ("folder", 0),
            Ok(meta) if meta.is_symlink() => ("link", 0),
            Ok(meta) => ("file", meta.len()),
            Err(_) => ("file", 0),
        };
        let shown = path.to_string_lossy();
        let shown_at = at.as_deref().map(Path::to_string_lossy);
        let line = StoredLine {
            path: &shown,
            path_bytes: odd_bytes(path),
            kind,
            size,
            outcome: name,
            stored_as: shown_at.as_deref(),
            stored_as_bytes: at.as_deref().and_then(odd_bytes),
        };
        let mut noted = self.noted();
        noted.stored += 1;
        noted.bytes += size;
        if noted.broken.is_none() {
            let text = serde_json::to_string(&line).map_err(io::Error::from);
            let written = text.and_then(|text| writeln!(noted.file, "{text}"));
            noted.broken = written.err();
        }
    }
}

/// The bytes of a path that is no UTF-8, in hexadecimal digits, as the events have them.
fn odd_bytes(path: &Path) -> Option<String> {
    let is_odd = path.to_str().is_none();
    let digits = || from_system(path).iter().map(|byte| format!("{byte:02x}"));
    is_odd.then(|| digits().collect())
}

impl Progress for StoredList {
    fn event(&self, event: &Event<'_>) {
        if let Event::Entry { path, outcome, .. } = event {
            self.note(path, outcome);
            if outcome.is_plain() && !self.progress.wants_every_entry() {
                return;
            }
        }
        self.progress.event(event);
    }

    fn wants_every_entry(&self) -> bool {
        true
    }
}

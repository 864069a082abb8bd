//! What a person sees: bars on a terminal, plain lines elsewhere.
//!
//! Must not know the command line, and must not drive anything: it hears what happens.

mod bars;
mod board;
mod layout;
mod person;
mod rate;
mod report;
mod safe;
mod screen;
mod summary;
mod tally;
mod terminal;
mod words;

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use xfer::Error;
use xfer::progress::{Event, Progress};

use board::Board;
use report::Report;
use screen::Screen;

pub(crate) use person::{Given, Person};
pub(crate) use report::Line;
pub(crate) use safe::{quoted, safe};
pub(crate) use words::ago;

/// How often the counters are read and what is new is shown.
const TICK: Duration = Duration::from_millis(100);
/// How many lines wait for the next tick at most.
const MAX_WAITING: usize = 4096;

/// How much is said, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Only what went wrong.
    pub(crate) quiet: bool,
    /// Every entry.
    pub(crate) verbose: bool,
    /// Lines instead of bars.
    pub(crate) plain: bool,
    /// What a person can do about an error.
    pub(crate) hint: fn(&Error) -> Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            quiet: false,
            verbose: false,
            plain: !screen::can_do_bars(),
            hint: |_| None,
        }
    }
}

/// Shows a person what happens. Its thread polls the counters from [`Ui::start`] to
/// [`Ui::finish`].
pub(crate) struct Ui {
    verbose: bool,
    shared: Arc<Shared>,
    ticker: Mutex<Option<(mpsc::Sender<()>, JoinHandle<()>)>>,
}

// Whoever holds both locks took the screen's first. A terminal may block for as long as it likes
// (Ctrl-S does), so nobody writes to it under the state's lock, which the engines' threads take.
#[derive(Debug)]
struct Shared {
    screen: Mutex<Screen>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    report: Report,
    board: Board,
    waiting: Vec<Line>,
    stopping: bool,
    /// The question that waits for its answer, at the bottom of the terminal.
    asking: Option<String>,
}

/// While this lives, a question stands at the bottom of the terminal, and nothing moves there.
#[must_use]
pub(crate) struct Pause<'a>(&'a Ui);

impl Pause<'_> {
    /// What comes next begins in another row.
    pub(crate) fn unanswered(&self) {
        lock(&self.0.shared.screen).end_row();
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        lock(&self.0.shared.state).asking = None;
    }
}

impl Ui {
    /// Shows what it is told to say; what happens only once it is started.
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            verbose: settings.verbose,
            shared: Arc::new(Shared {
                screen: Mutex::new(Screen::new(&settings)),
                state: Mutex::new(State {
                    report: Report::new(settings),
                    board: Board::default(),
                    waiting: Vec::new(),
                    stopping: false,
                    asking: None,
                }),
            }),
            ticker: Mutex::new(None),
        })
    }

    /// Begins to show what happens.
    pub(crate) fn start(&self) {
        let (stop, stopped) = mpsc::channel();
        let ticking = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("ui".to_owned());
        let thread = thread.spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                ticking.tick(Instant::now());
            }
        });
        // Without its thread it shows no progress, and the rest when it is said.
        *lock(&self.ticker) = thread.ok().map(|thread| (stop, thread));
    }

    /// Prints lines at once.
    pub(crate) fn say(&self, lines: impl IntoIterator<Item = Line>) {
        lock(&self.shared.state).waiting.extend(lines);
        self.shared.flush();
    }

    /// Prints lines at once, above a question where one is being asked.
    pub(crate) fn interject(&self, lines: &[Line]) {
        let mut screen = lock(&self.shared.screen);
        let asking = lock(&self.shared.state).asking.clone();
        if asking.is_some() {
            screen.end_row();
        }
        screen.print(lines);
        if let Some(question) = asking {
            screen.ask(&question);
        }
    }

    /// Prints lines and a question, behind which the cursor stays.
    pub(crate) fn pause(&self, lines: Vec<String>, question: &str) -> Pause<'_> {
        let mut screen = lock(&self.shared.screen);
        let mut waiting = {
            let mut state = lock(&self.shared.state);
            state.asking = Some(question.to_owned());
            std::mem::take(&mut state.waiting)
        };
        waiting.extend(lines.into_iter().map(Line::Trouble));
        screen.print(&waiting);
        screen.ask(question);
        Pause(self)
    }

    /// Prints these words soon and shows no more bars, as all is about to end. Never waits for
    /// the terminal.
    pub(crate) fn stopping(&self, words: &str) {
        let mut state = lock(&self.shared.state);
        state.waiting.push(Line::Talk(words.to_owned()));
        state.stopping = true;
    }

    /// Takes the bars away, prints what is to be printed, and ends the thread.
    pub(crate) fn finish(&self) {
        let ticker = lock(&self.ticker).take();
        if let Some((stop, thread)) = ticker {
            drop(stop);
            let _ = thread.join();
        }
        lock(&self.shared.state).asking = None;
        self.shared.flush();
        lock(&self.shared.screen).clear();
    }

    /// Whether any session has begun.
    pub(crate) fn has_begun(&self) -> bool {
        lock(&self.shared.state).report.has_begun()
    }

    /// Whether a session was interrupted by the user.
    pub(crate) fn was_interrupted(&self) -> bool {
        lock(&self.shared.state).report.was_interrupted()
    }

    /// Whether this was told when a session failed of it.
    pub(crate) fn has_said(&self, error: &Error) -> bool {
        lock(&self.shared.state).report.has_said(error)
    }
}

impl Shared {
    fn tick(&self, now: Instant) {
        if lock(&self.state).asking.is_some() {
            return;
        }
        self.flush();
        let mut screen = lock(&self.screen);
        let view = {
            let mut state = lock(&self.state);
            state.board.poll(now);
            if state.asking.is_some() {
                return;
            }
            if state.stopping {
                state.board = Board::default();
            }
            screen.compose(&state.board, now)
        };
        screen.show(&view);
    }

    fn flush(&self) {
        let mut screen = lock(&self.screen);
        let lines = {
            let mut state = lock(&self.state);
            if state.asking.is_some() && state.waiting.len() < MAX_WAITING {
                return;
            }
            std::mem::take(&mut state.waiting)
        };
        screen.print(&lines);
    }
}

impl Progress for Ui {
    fn event(&self, event: &Event<'_>) {
        let now = Instant::now();
        let full = {
            let mut state = lock(&self.shared.state);
            let lines = state.report.hear(event, now);
            state.waiting.extend(lines);
            state.board.hear(event, now);
            state.waiting.len() >= MAX_WAITING
        };
        if full {
            self.shared.flush();
        }
    }

    fn wants_every_entry(&self) -> bool {
        self.verbose
    }
}

impl fmt::Debug for Ui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ui").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What a person sees: bars on a terminal, plain lines elsewhere; and what programs read.
//!
//! Must not know the command line, and must not drive anything: it hears what happens.

mod bar;
mod bars;
mod bottleneck;
mod clock;
mod colour;
mod commands;
mod decline_words;
mod error_names;
mod events;
mod faults;
mod fold;
mod halfway;
mod json;
mod keyboard;
mod layout;
mod line;
mod line_editor;
mod listing;
mod machines;
mod options;
mod outcome_words;
mod overview;
mod pairing_words;
mod peer_name;
#[cfg(feature = "web")]
mod picture;
mod plan;
mod prompt;
mod rate;
mod reaching;
mod refusals;
mod removals;
mod report;
mod room_events;
mod rooms;
mod safe;
mod said;
mod screen;
mod search_words;
mod sentences;
mod summary;
mod system;
mod tally;
mod terminal;
mod told_session;
mod typing;
mod web_events;
mod words;
mod wrap;

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use xfer::Error;
use xfer::model::outcome::Summary;
use xfer::model::progress::{Event, Progress};
use xfer::model::prompt::SaidMessage;
use xfer::sys::worker::{self, Worker};

use json::Json;
use line_editor::TypedRow;
use overview::Overview;
use peer_name::PeerName;
use report::Report;
use screen::Screen;

pub(crate) use colour::{ColourChoice, choose as choose_colours};
pub(crate) use commands::{CommandOutputs, command_end};
pub(crate) use keyboard::{Spoken, hear_lines};
pub(crate) use line::Line;
pub(crate) use listing::{shared_event, shared_line};
pub(crate) use machines::{machine_event, machine_lines};
pub(crate) use options::OutputOptions;
pub(crate) use pairing_words::{CodeFor, code_lines, paired_lines};
#[cfg(feature = "web")]
pub(crate) use picture::Picture;
pub(crate) use prompt::{Given, TerminalPrompt};
pub(crate) use safe::{operand, quoted, safe, width};
pub(crate) use said::is_cut;
pub(crate) use sentences::{error as sentence, lines as sentence_lines};
pub(crate) use system::io_error;
pub(crate) use words::{ago, plural};

/// How often the counters are read and what is new is shown.
const TICK: Duration = Duration::from_millis(100);
/// How long whoever stands still waits for a terminal that blocks.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many lines wait for the next tick at most.
const MAX_WAITING: usize = 4096;

/// Shows a person what happens. Its thread polls the counters from [`Ui::start`] to
/// [`Ui::finish`].
pub(crate) struct Ui {
    every_entry: bool,
    /// Whether standard error is a terminal.
    on_terminal: bool,
    shared: Arc<UiShared>,
    ticker: Mutex<Option<(mpsc::Sender<()>, JoinHandle<()>)>>,
}

// Whoever holds both locks took the screen's first. A terminal may block for as long as it likes
// (Ctrl-S does), so nobody writes to it under the state's lock, which the engines' threads take.
#[derive(Debug)]
struct UiShared {
    screen: Mutex<Screen>,
    state: Mutex<UiState>,
}

#[derive(Debug)]
struct UiState {
    report: Report,
    /// None without `--json`, and once the last event has been told.
    json: Option<Json>,
    overview: Overview,
    peer: PeerName,
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
    pub(crate) fn new(settings: OutputOptions) -> Arc<Self> {
        Arc::new(Self {
            every_entry: settings.verbose || settings.json,
            on_terminal: std::io::stderr().is_terminal(),
            shared: Arc::new(UiShared {
                screen: Mutex::new(Screen::new(&settings)),
                state: Mutex::new(UiState {
                    json: settings.json.then(|| Json::new(settings.hint)),
                    report: Report::new(settings),
                    overview: Overview::default(),
                    peer: PeerName::default(),
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
        let tick = move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                ticking.tick(Instant::now());
            }
        };
        // Without its thread it shows no progress, and the rest when it is said.
        let thread = worker::spawn_detached(Worker::Ui, tick, drop);
        *lock(&self.ticker) = thread.ok().map(|thread| (stop, thread));
    }

    /// Prints lines at once.
    pub(crate) fn say(&self, lines: impl IntoIterator<Item = Line>) {
        lock(&self.shared.state).waiting.extend(lines);
        self.shared.flush();
    }

    /// From now on the end of a session rings the terminal's bell.
    pub(crate) fn ring_at_ends(&self) {
        lock(&self.shared.state).report.ring();
    }

    /// Rings the terminal's bell, where it is to ring at an end.
    pub(crate) fn ring(&self) {
        let ring = lock(&self.shared.state).report.ring_now();
        self.say(ring);
    }

    /// Prints at once that something went wrong, of which nothing fails.
    pub(crate) fn warn(&self, text: &str) {
        let is_json = lock(&self.shared.state).json.is_some();
        let event = is_json.then(|| json::warning(text)).flatten();
        let line = Line::Trouble(text.to_owned());
        self.say(event.map(Line::Event).into_iter().chain([line]));
    }

    /// Tells programs where a page for browsers is; in quiet it tells people, and the PIN: nobody
    /// could open the page without.
    #[cfg(feature = "web")]
    pub(crate) fn page_event(&self, url: &str, pin: Option<&str>) {
        let state = lock(&self.shared.state);
        let lines = match state.report.is_quiet() {
            _ if state.json.is_some() => web_events::page(url),
            true => web_events::quiet_page(url, pin),
            false => Vec::new(),
        };
        drop(state);
        self.say(lines);
    }

    /// Tells programs that everything fails of this.
    pub(crate) fn error_event(&self, error: &Error) {
        let state = lock(&self.shared.state);
        let event = state.json.as_ref().and_then(|json| json.error(error));
        drop(state);
        self.say(event.map(Line::Event));
    }

    /// Tells programs how it ended, and nothing more.
    pub(crate) fn last_event(&self, exit_code: u8, summary: Option<&Summary>) {
        let json = lock(&self.shared.state).json.take();
        let event = json.and_then(|json| json.summary(exit_code, summary));
        self.say(event.map(Line::Event));
    }

    /// From now on, lines that are kept begin with the time.
    pub(crate) fn tell_times(&self) {
        lock(&self.shared.screen).tell_times();
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
            // What was typed so far is not shown again, so that it counts no more.
            xfer::sys::terminal::forget_typed();
            screen.ask(&question);
        }
    }

    /// Prints at once what somebody has said, above a question where one is being asked. Says
    /// whether it is written.
    pub(crate) fn show_said(&self, said: &SaidMessage) -> std::io::Result<()> {
        let mut screen = lock(&self.shared.screen);
        let (asking, waiting, is_json) = {
            let mut state = lock(&self.shared.state);
            let asking = state.asking.clone();
            // What happened before it is told before it.
            let waiting = match asking {
                None => std::mem::take(&mut state.waiting),
                Some(_) => Vec::new(),
            };
            (asking, waiting, state.json.is_some())
        };
        screen.print(&waiting);
        if is_json {
            let event = json::message(said).ok_or(std::io::ErrorKind::InvalidData)?;
            return screen.print_event(&event);
        }
        if asking.is_some() {
            screen.end_row();
        }
        let written = screen.print_said(said);
        if let Some(question) = asking {
            // What was typed so far is not shown again, so that it counts no more.
            xfer::sys::terminal::forget_typed();
            screen.ask(&question);
        }
        written
    }

    /// Whether what somebody says is shown where a question is asked: on a terminal.
    pub(crate) fn shows_on_terminal(&self) -> bool {
        let screen = lock(&self.shared.screen);
        screen.is_on_terminal() && lock(&self.shared.state).json.is_none()
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

    /// Shows a line that is being typed below all others, instead of the one before.
    fn show_typing(&self, row: Option<TypedRow>) {
        lock(&self.shared.screen).show_typing(row);
    }

    /// Prints soon what only a developer understands. Never waits for the terminal: where that does
    /// not keep up, lines are left out.
    pub(crate) fn debug(&self, line: &str) {
        let mut state = lock(&self.shared.state);
        if state.waiting.len() < MAX_WAITING {
            state.waiting.push(Line::Trouble(line.to_owned()));
        }
    }

    /// Prints these words soon and shows no more bars, as all is about to end; where nothing is
    /// going on there is nothing to say. Never waits for the terminal.
    pub(crate) fn stopping(&self, words: &str) {
        let mut state = lock(&self.shared.state);
        if state.asking.is_some() {
            // Whoever leaves a question hears what that means.
        } else if state.overview.is_at_work() {
            state.waiting.push(Line::Talk(words.to_owned()));
        } else if self.on_terminal {
            // The shell's next prompt does not stand behind what Ctrl-C looks like.
            state.waiting.push(Line::Talk(String::new()));
        }
        state.stopping = true;
    }

    /// Gives the terminal back as a shell wants it, and does `away`, during which nothing is shown.
    /// Does not wait for a terminal that blocks.
    pub(crate) fn while_away(&self, away: impl FnOnce()) {
        let begun = Instant::now();
        let mut screen = self.shared.screen.try_lock();
        while screen.is_err() && begun.elapsed() < PATIENCE {
            std::thread::sleep(PATIENCE / 20);
            screen = self.shared.screen.try_lock();
        }
        if let Ok(screen) = &mut screen {
            screen.clear();
        }
        away();
    }

    /// Takes the bars away, prints what is to be printed, and ends the thread.
    pub(crate) fn finish(&self) {
        let ticker = lock(&self.ticker).take();
        if let Some((stop, thread)) = ticker {
            drop(stop);
            let _ = thread.join();
        }
        lock(&self.shared.state).asking = None;
        // Whoever reads what is typed may not have heard that all is over.
        terminal::give_back();
        lock(&self.shared.screen).end_typing();
        self.shared.flush();
        lock(&self.shared.screen).clear();
    }

    /// What went wrong with standard output, if anything did that is not told yet.
    pub(crate) fn take_broken(&self) -> Option<std::io::Error> {
        lock(&self.shared.screen).take_broken()
    }

    /// Whether any session has begun.
    pub(crate) fn has_begun(&self) -> bool {
        lock(&self.shared.state).report.has_begun()
    }

    /// What to call the other machine in errors, where its name is known.
    pub(crate) fn peer_name(&self) -> Option<String> {
        lock(&self.shared.state).peer.get()
    }

    /// How much arrived of what could not be sent, where that is known: `134 MB of 315 MB`.
    pub(crate) fn arrived(&self) -> Option<String> {
        lock(&self.shared.state).report.arrived()
    }

    /// Whether a session was interrupted by the user.
    pub(crate) fn was_interrupted(&self) -> bool {
        lock(&self.shared.state).report.was_interrupted()
    }

    /// Whether a mirror removed nothing because it would have been too much.
    pub(crate) fn keeps_surplus(&self) -> bool {
        lock(&self.shared.state).report.keeps_surplus()
    }

    /// Whether this was told when a session failed of it.
    pub(crate) fn has_said(&self, error: &Error) -> bool {
        lock(&self.shared.state).report.has_said(error)
    }
}

/// Prints the one event of a program that has not even begun.
pub(crate) fn only_summary(exit_code: u8) {
    let ui = Ui::new(OutputOptions {
        json: true,
        ..OutputOptions::default()
    });
    ui.last_event(exit_code, None);
}

impl UiShared {
    fn tick(&self, now: Instant) {
        if lock(&self.state).asking.is_some() {
            return;
        }
        self.flush();
        let mut screen = lock(&self.screen);
        let view = {
            let mut state = lock(&self.state);
            state.tick(now);
            if state.asking.is_some() {
                return;
            }
            if state.stopping {
                state.overview = Overview::default();
            }
            screen.compose(&state.overview, now)
        };
        screen.show(view);
    }

    fn flush(&self) {
        let mut screen = lock(&self.screen);
        let lines = {
            let mut state = lock(&self.state);
            if state.asking.is_some() && state.waiting.len() < MAX_WAITING {
                // Programs do not look at the terminal.
                let is_event = |line: &mut Line| matches!(line, Line::Event(_));
                state.waiting.extract_if(.., is_event).collect()
            } else {
                std::mem::take(&mut state.waiting)
            }
        };
        screen.print(&lines);
    }
}

impl UiState {
    fn hear(&mut self, event: &Event<'_>, now: Instant) {
        let told = self.report.hear(event, now);
        // Strangers are no more told of to programs than to people: they could go on for ever.
        let is_too_much = matches!(event, Event::Refused { .. }) && told.is_empty();
        if let Some(json) = self.json.as_mut().filter(|_| !is_too_much) {
            let lines = json.hear(event, now).into_iter();
            self.waiting.extend(lines.map(Line::Event));
        }
        self.waiting.extend(told);
        self.peer.hear(event);
        self.overview.hear(event, now);
    }

    fn tick(&mut self, now: Instant) {
        self.overview.poll(now);
        if let Some(json) = &mut self.json {
            let lines = json.tick(&self.overview, now).into_iter();
            self.waiting.extend(lines.map(Line::Event));
        }
    }
}

impl Progress for Ui {
    fn event(&self, event: &Event<'_>) {
        let now = Instant::now();
        let full = {
            let mut state = lock(&self.shared.state);
            state.hear(event, now);
            state.waiting.len() >= MAX_WAITING
        };
        if full {
            self.shared.flush();
        }
    }

    fn wants_every_entry(&self) -> bool {
        self.every_entry
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

//! `Screen`: standard output and standard error. The one place that writes to them.
//!
//! Must not make sentences. Every line is made fit for a terminal here, whatever it holds.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use xfer::model::prompt::SaidMessage;
use xfer::sys::stream::stderr_has_times;

use super::bars::Bars;
use super::clock;
use super::colour;
use super::layout::{self, Row};
use super::line::Line;
use super::line_editor::TypedRow;
use super::options::OutputOptions;
use super::overview::{Overview, SessionView};
use super::safe::safe;
use super::said::{self, SaidStyle};
use super::typing::TypingRow;
use super::{fold, terminal, wrap};

/// How often a line about progress is printed at most, where there are no bars.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Standard output and standard error.
#[derive(Debug)]
pub(crate) struct Screen {
    /// Whether only what went wrong is said, and events.
    quiet: bool,
    only_stderr: bool,
    /// Whether each line begins with the time.
    times: bool,
    shows: Shows,
    /// What went wrong first with standard output.
    broken: Option<io::Error>,
    /// The line that is being typed, below all others.
    typing: TypingRow,
    /// Whether names are in colour, on standard output and on standard error.
    colours: [bool; 2],
}

#[derive(Debug)]
enum Shows {
    Nothing,
    /// Bars, and where they have no room a line now and then; when the last one was.
    Bars(Bars, Instant),
    /// A line now and then; when the last one was.
    Lines(Instant),
}

/// What is in motion, as it is to be shown.
#[derive(Debug)]
pub(crate) enum View {
    /// At the bottom of the terminal.
    Rows(Vec<Row>),
    /// As lines like any other.
    Lines(Vec<Line>),
}

impl Screen {
    /// One with nothing on it.
    pub(crate) fn new(settings: &OutputOptions) -> Self {
        let quiet = settings.quiet || settings.json;
        let colours = [
            colour::are_wanted(&io::stdout()),
            colour::are_wanted(&io::stderr()),
        ];
        Self {
            quiet,
            only_stderr: settings.only_stderr,
            times: false,
            shows: if quiet {
                Shows::Nothing
            } else if settings.plain {
                Shows::Lines(Instant::now())
            } else {
                Shows::Bars(Bars::new(colours[1]), Instant::now())
            },
            broken: None,
            typing: TypingRow::default(),
            colours,
        }
    }

    /// Shows a line that is being typed instead of the one before, or none.
    pub(crate) fn show_typing(&mut self, row: Option<TypedRow>) {
        let _ = io::stderr().write_all(self.typing.change(row).as_bytes());
    }

    /// From now on each line begins with the time, unless somebody sees it at once, or whoever
    /// keeps it adds the time anyway.
    pub(crate) fn tell_times(&mut self) {
        self.times = !io::stderr().is_terminal() && !stderr_has_times();
    }

    /// Prints lines.
    pub(crate) fn print(&mut self, lines: &[Line]) {
        let quiet = self.quiet;
        let may_be_quiet = |line: &Line| matches!(line, Line::Result(_) | Line::Talk(_));
        let wanted = |line: &&Line| !quiet || !may_be_quiet(line);
        let mut lines = lines.iter().filter(wanted).peekable();
        if lines.peek().is_none() {
            return;
        }
        let below = match &mut self.shows {
            Shows::Bars(bars, _) => bars.take(),
            _ => Vec::new(),
        };
        // A transfer goes on, whatever becomes of its words.
        let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
        let time = self.times.then(clock::now);
        let (time, space) = time.as_ref().map_or(("", ""), |time| (time, " "));
        let _ = err.write_all(self.typing.hide().as_bytes());
        let [in_colour, err_in_colour] = self.colours;
        let (out_fold, err_fold) = (Fold::to(&out), Fold::to(&err));
        let broken = &mut self.broken;
        let mut note = |written: io::Result<()>| match written {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => drop(broken.get_or_insert(e)),
            _ => {}
        };
        for line in lines {
            match line {
                Line::Ring => {
                    if io::stderr().is_terminal() {
                        let _ = err.write_all(b"\x07");
                    }
                }
                Line::Result(text) if !self.only_stderr => {
                    let text = out_fold.lines(text, time.len() + space.len());
                    let text = shown(text, in_colour);
                    note(writeln!(out, "{time}{space}{text}"));
                }
                #[cfg(feature = "web")]
                Line::Picture(picture) => {
                    let is_seen = !quiet && !self.only_stderr && out.is_terminal();
                    if is_seen && picture.columns() <= columns() {
                        let lines = picture.lines(in_colour).join("\n");
                        note(writeln!(out, "{lines}"));
                    } else if is_seen {
                        let text = "(The terminal is too narrow for the QR code.)";
                        note(writeln!(out, "{}", out_fold.lines(text, 0)));
                    }
                }
                Line::Event(text) => note(writeln!(out, "{text}")),
                Line::InRoom { name, text } => {
                    let to_terminal = io::stdout().is_terminal();
                    let text = spoken(name, text, to_terminal);
                    let name = colour::name(name, in_colour);
                    note(writeln!(out, "{name}: {text}"));
                }
                Line::Own { name, text } => {
                    let text = spoken(name, text, io::stderr().is_terminal());
                    let name = colour::name(name, err_in_colour);
                    let _ = writeln!(err, "{name}: {text}");
                }
                // Whoever reads it from a pipe gets what was typed.
                Line::Reply(text) if !io::stdout().is_terminal() => {
                    note(writeln!(out, "{text}"));
                }
                Line::Reply(text) => note(writeln!(out, "{}", safe(text))),
                Line::Answer(text) => note(writeln!(out, "{}", safe(text))),
                Line::Result(text) | Line::Talk(text) | Line::Trouble(text) => {
                    let text = err_fold.lines(text, time.len() + space.len());
                    let text = shown(text, err_in_colour);
                    let _ = writeln!(err, "{time}{space}{text}");
                }
            }
        }
        note(out.flush());
        let _ = err.write_all(self.typing.show().as_bytes());
        drop((out, err));
        if let Shows::Bars(bars, _) = &mut self.shows {
            bars.show(below);
        }
    }

    /// Whether what somebody says goes to a terminal.
    pub(crate) fn is_on_terminal(&self) -> bool {
        match self.only_stderr {
            true => io::stderr().is_terminal(),
            false => io::stdout().is_terminal(),
        }
    }

    /// Prints what somebody has said, and says whether it is written.
    pub(crate) fn print_said(&mut self, message: &SaidMessage) -> io::Result<()> {
        let is_terminal = self.is_on_terminal();
        if let Shows::Bars(bars, _) = &mut self.shows {
            bars.hide();
        }
        let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
        let style = SaidStyle {
            colour: is_terminal && self.colours[usize::from(self.only_stderr)],
            cut: is_terminal,
            columns: None,
        };
        let time = match self.times {
            true => clock::now(),
            false => clock::on_the_wall(),
        };
        let style = SaidStyle {
            columns: is_terminal.then(|| (columns(), time.len() + 1)),
            ..style
        };
        let out: &mut dyn Write = match self.only_stderr {
            true => &mut err,
            false => &mut out,
        };
        let mut time = Some(time.as_str());
        let times = self.times;
        let mut text = String::new();
        for line in said::lines(message, style) {
            let time = if times { time } else { time.take() };
            text.extend(time.iter().flat_map(|time| [time, " "]));
            text.push_str(&line);
            text.push('\n');
        }
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Prints an event for programs, and says whether it is written.
    pub(crate) fn print_event(&mut self, event: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{event}")?;
        out.flush()
    }

    /// What went wrong with standard output, if anything did. A reader that went away is nothing.
    pub(crate) fn take_broken(&mut self) -> Option<io::Error> {
        self.broken.take()
    }

    /// Prints a question, and leaves the cursor behind it.
    pub(crate) fn ask(&mut self, question: &str) {
        if let Shows::Bars(bars, _) = &mut self.shows {
            bars.hide();
        }
        let mut err = io::stderr().lock();
        let _ = write!(err, "{} ", safe(question.trim_end()));
        let _ = err.flush();
    }

    /// Begins another row, behind a question that nobody answered.
    pub(crate) fn end_row(&mut self) {
        let _ = writeln!(io::stderr());
    }

    /// What to show of what is in motion. Writes nothing.
    pub(crate) fn compose(&mut self, overview: &Overview, now: Instant) -> View {
        match &mut self.shows {
            Shows::Nothing => View::Lines(Vec::new()),
            Shows::Bars(bars, _) if bars.columns() >= layout::LEAST_COLUMNS => {
                View::Rows(layout::rows(overview, bars.columns(), now))
            }
            Shows::Bars(_, last) | Shows::Lines(last) => {
                let due = now.saturating_duration_since(*last) >= LINE_EVERY;
                // The first line of a session comes a while after its beginning.
                if due || overview.sessions.is_empty() {
                    *last = now;
                }
                let sessions = overview.sessions.values().filter(|_| due);
                View::Lines(sessions.map(|session| progress(session, now)).collect())
            }
        }
    }

    /// Shows it.
    pub(crate) fn show(&mut self, view: View) {
        match (view, &mut self.shows) {
            (View::Rows(rows), Shows::Bars(bars, _)) => bars.show(rows),
            (View::Lines(lines), shows) => {
                if let Shows::Bars(bars, _) = shows {
                    bars.hide();
                }
                self.print(&lines);
            }
            (View::Rows(_), _) => {}
        }
    }

    /// Takes the line away that is being typed, for good.
    pub(crate) fn end_typing(&mut self) {
        let _ = io::stderr().write_all(self.typing.end().as_bytes());
    }

    /// Takes the bars away.
    pub(crate) fn clear(&mut self) {
        if let Shows::Bars(bars, _) = &mut self.shows {
            bars.hide();
        }
    }
}

/// A line of this program that is fit for a terminal already, in colour where that is wanted.
fn shown(text: String, in_colour: bool) -> String {
    match in_colour {
        true => colour::line(&text),
        false => text,
    }
}

fn progress(session: &SessionView, now: Instant) -> Line {
    let standing = session.standing(now);
    let details = standing.details().join(", ");
    let (label, bytes) = (session.label(), standing.bytes());
    Line::Talk(format!("{label}: {bytes}, {details}"))
}

/// Makes text safe, and folds it at words where it goes to a terminal.
struct Fold(Option<usize>);

impl Fold {
    fn to(stream: &impl IsTerminal) -> Self {
        Self(stream.is_terminal().then(columns))
    }

    /// The text with line breaks, to be printed behind `before` columns.
    fn lines(&self, text: &str, before: usize) -> String {
        let text = safe(text).to_string();
        match self.0 {
            Some(columns) => fold::folded(&text, before, columns).join("\n"),
            None => text,
        }
    }
}

fn columns() -> usize {
    usize::from(terminal::size().0)
}

/// What somebody says in a room, made safe; on a terminal wrapped, so that none of it stands where
/// another one's name would.
fn spoken(name: &str, text: &str, to_terminal: bool) -> String {
    let text = safe(text).to_string();
    match to_terminal {
        true => wrap::wrapped(&text, wrap::width(name) + 2, columns()).join("\n"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::overview::tests::start;
    use super::*;

    #[test]
    fn lines_come_every_ten_seconds_while_there_is_a_session() {
        let now = Instant::now();
        let mut screen = Screen {
            quiet: false,
            only_stderr: false,
            times: false,
            shows: Shows::Lines(now),
            broken: None,
            typing: TypingRow::default(),
            colours: [false; 2],
        };
        let mut overview = Overview::default();
        let mut lines_at = |seconds, overview: &Overview| match screen
            .compose(overview, now + Duration::from_secs(seconds))
        {
            View::Lines(lines) => lines.len(),
            View::Rows(rows) => panic!("{rows:?}"),
        };
        assert_eq!(lines_at(15, &overview), 0);
        start(&mut overview, 1, "desktop", now);
        assert_eq!(lines_at(16, &overview), 0);
        assert_eq!(lines_at(24, &overview), 0);
        assert_eq!(lines_at(25, &overview), 1);
        assert_eq!(lines_at(26, &overview), 0);
        let line = progress(&overview.sessions[&1], now);
        let text = "to desktop: 0 B, 0/0 items, 0 B/s";
        assert_eq!(line, Line::Talk(text.to_owned()));
    }
}

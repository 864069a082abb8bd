//! `TerminalPrompt`: asks and tells whoever sits at the terminal.
//!
//! Must not wait for somebody who is not there: without a terminal, or in the background of one,
//! the answer is that nobody answers.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use xfer::model::error::FoundMachine;
use xfer::model::prompt::{
    Answer, Caller, PairingCode, Prompt, Proposal, ProposedRemoval, SaidMessage,
};
use xfer::model::talk::{MAX_LINE_BYTES, TalkLine};
use xfer::net::PeerAddress;
use xfer::sys::terminal;
use xfer::transfer::Cancel;

use super::system::io_error;
use super::{Line, Ui, lock, removals, said, words};

/// How often it is looked whether the user wants to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is looked whether pairing is to go on.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 1024;
/// For how many addresses a code is shown.
const MAX_SHOWN: usize = 20;
/// How soon it is shown again for the same one, at first and at most, as that doubles each time: a
/// person who tries once more is to see it, and a stranger could go on for ever.
const SHOW_AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(60)];

/// Where a sender's code comes from, where not from a person. It does not print itself.
#[derive(Clone)]
pub(crate) enum Given {
    /// The first line of a file, read when the code is needed.
    File(PathBuf),
    /// What was in the environment.
    Text(String),
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given(..)")
    }
}

/// What a stranger would like to whom a code is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PromptAbout {
    Receiving,
    /// To be in a room. What is typed is said there, so nothing is asked.
    Room,
}

/// Whoever sits at the terminal.
#[derive(Debug)]
pub(crate) struct TerminalPrompt {
    ui: Arc<Ui>,
    cancel: Cancel,
    given: Option<Given>,
    /// What a stranger would like, and whether anything is asked.
    about: PromptAbout,
    /// Held while somebody is being asked.
    asking: Mutex<()>,
    shown: Mutex<Shown>,
}

/// The code of the moment, and where its callers are.
#[derive(Debug, Default)]
struct Shown {
    code: Option<PairingCode>,
    /// When it was shown last, and how long it is not shown again.
    to: HashMap<IpAddr, (Instant, Duration)>,
}

impl TerminalPrompt {
    /// The one before this terminal. A code that is `given` is not asked for.
    pub(crate) fn at(ui: &Arc<Ui>, cancel: &Cancel, given: Option<Given>) -> Arc<dyn Prompt> {
        Self::about(PromptAbout::Receiving, ui, cancel, given)
    }

    /// The one before a terminal in which lines are typed that go to a room that is open here: it
    /// is told things, and asked nothing.
    pub(crate) fn of_room(ui: &Arc<Ui>, cancel: &Cancel) -> Arc<dyn Prompt> {
        Self::about(PromptAbout::Room, ui, cancel, None)
    }

    fn about(
        about: PromptAbout,
        ui: &Arc<Ui>,
        cancel: &Cancel,
        given: Option<Given>,
    ) -> Arc<dyn Prompt> {
        Arc::new(Self {
            ui: Arc::clone(ui),
            cancel: cancel.clone(),
            given,
            about,
            asking: Mutex::default(),
            shown: Mutex::default(),
        })
    }

    /// Prints `lines` and `question`, and gives the line that is typed, if one is. In the meantime it
    /// calls `look` again and again, which may print more.
    pub(crate) fn ask_while(
        ui: &Arc<Ui>,
        cancel: &Cancel,
        lines: Vec<String>,
        question: &str,
        look: &dyn Fn(),
    ) -> Option<String> {
        let person = Self {
            ui: Arc::clone(ui),
            cancel: cancel.clone(),
            given: None,
            about: PromptAbout::Receiving,
            asking: Mutex::default(),
            shown: Mutex::default(),
        };
        person.ask(lines, question, &|| {
            look();
            false
        })
    }

    /// Prints `lines` and `question`, and gives the line that is typed. None where nobody can
    /// type one, the user wants to stop, or who is to be answered is `gone`.
    fn ask(&self, lines: Vec<String>, question: &str, gone: &dyn Fn() -> bool) -> Option<String> {
        self.ask_for(lines, question, MAX_ANSWER_BYTES, gone)
    }

    /// The same, for an answer of so many bytes at most.
    fn ask_for(
        &self,
        lines: Vec<String>,
        question: &str,
        most: usize,
        gone: &dyn Fn() -> bool,
    ) -> Option<String> {
        let _alone = self.turn(gone)?;
        if !self.can_answer() || self.cancel.is_cancelled() || gone() {
            return None;
        }
        // What was typed before the question is no answer to it.
        terminal::forget_typed();
        let pause = self.ui.pause(lines, question);
        let line = self.read_line(most, gone);
        if line.is_none() {
            pause.unanswered();
        }
        line
    }

    /// Waits for its turn to ask; not for longer than somebody waits for the answer.
    fn turn(&self, gone: &dyn Fn() -> bool) -> Option<MutexGuard<'_, ()>> {
        loop {
            match self.asking.try_lock() {
                Ok(alone) => return Some(alone),
                Err(TryLockError::Poisoned(alone)) => return Some(alone.into_inner()),
                Err(TryLockError::WouldBlock) if gone() => return None,
                Err(TryLockError::WouldBlock) => {}
            }
            if self.cancel.wait(LOOK) {
                return None;
            }
        }
    }

    /// The next line that is typed, up to so many bytes.
    fn read_line(&self, most: usize, gone: &dyn Fn() -> bool) -> Option<String> {
        let mut line = Vec::new();
        loop {
            if self.cancel.is_cancelled() || !self.can_answer() || gone() {
                return None;
            }
            if !terminal::was_typed_within(LOOK) {
                continue;
            }
            match terminal::read_byte() {
                Ok(Some(b'\n')) => return String::from_utf8(line).ok(),
                Ok(Some(byte)) if line.len() < most => line.push(byte),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Whether somebody sees a question and can answer it.
    fn can_answer(&self) -> bool {
        self.about != PromptAbout::Room && is_at_terminal()
    }

    /// Asks for a number from 1 on, and gives the place that it stands for.
    fn number(
        &self,
        mut lines: Vec<String>,
        count: usize,
        gone: &dyn Fn() -> bool,
    ) -> Option<usize> {
        loop {
            let question = format!("Which one? [1-{count}]: ");
            let line = self.ask(std::mem::take(&mut lines), &question, gone)?;
            match line.trim().parse::<usize>() {
                Ok(number) if (1..=count).contains(&number) => return Some(number - 1),
                _ => {}
            }
        }
    }

    fn given_code(&self, given: &Given) -> Option<PairingCode> {
        let (text, from) = match given {
            Given::Text(text) => (Ok(text.clone()), "XFER_CODE".to_owned()),
            Given::File(path) => (fs::read_to_string(path), path.display().to_string()),
        };
        let what = match text {
            Ok(text) => match PairingCode::parse(text.lines().next().unwrap_or_default()) {
                Some(code) => return Some(code),
                None => "it is not six digits".to_owned(),
            },
            Err(error) => io_error(&error),
        };
        let text = format!("xfer: cannot take the code from {from}: {what}");
        self.ui.warn(&text);
        None
    }
}

impl Prompt for TerminalPrompt {
    fn show_code(&self, caller: &Caller, code: &PairingCode) -> bool {
        if !io::stderr().is_terminal() {
            return false;
        }
        let mut shown = lock(&self.shown);
        if shown.code.as_ref() != Some(code) {
            *shown = Shown {
                code: Some(code.clone()),
                to: HashMap::new(),
            };
        }
        let (now, ip) = (Instant::now(), caller.addr.ip());
        let [first, most] = SHOW_AGAIN;
        let (is_due, pause) = match shown.to.get(&ip) {
            Some((last, pause)) => (
                now.saturating_duration_since(*last) >= *pause,
                (*pause * 2).min(most),
            ),
            None => (shown.to.len() < MAX_SHOWN, first),
        };
        if is_due {
            shown.to.insert(ip, (now, pause));
            drop(shown);
            let wish = match self.about {
                PromptAbout::Receiving => "send to this machine",
                PromptAbout::Room => "join this chat",
            };
            self.ui.interject(&[
                Line::Trouble(format!("{} ({ip}) would like to {wish}.", caller.name)),
                Line::Trouble(format!(
                    "    If you expect that, tell the person there this code:  {}",
                    code.shown()
                )),
            ]);
        }
        true
    }

    fn enter_code(&self, caller: &Caller, again: bool) -> Option<PairingCode> {
        if let Some(given) = &self.given {
            return if again { None } else { self.given_code(given) };
        }
        let name = &caller.name;
        let ip = caller.addr.ip();
        let mut lines = vec![if again {
            format!("That is not the code. {name} may show another one now.")
        } else {
            format!(
                "{name} ({ip}) and this machine do not know each other yet. It shows a code now."
            )
        }];
        loop {
            let question = format!("Code on {name}: ");
            let line = self.ask(std::mem::take(&mut lines), &question, &|| false)?;
            match PairingCode::parse(&line) {
                Some(code) => return Some(code),
                None => lines.push("A code has six digits.".to_owned()),
            }
        }
    }

    fn can_decide(&self) -> bool {
        self.can_answer()
    }

    fn decide(&self, proposal: &Proposal, gone: &dyn Fn() -> bool) -> Option<Answer> {
        let mut lines = offered(proposal);
        let name = &proposal.caller.name;
        let question = format!("Take it? [y]es, [n]o, [a]lways from {name}: ");
        loop {
            let line = self.ask(std::mem::take(&mut lines), &question, gone)?;
            match line.trim().to_lowercase().as_str() {
                "y" | "yes" => return Some(Answer::Yes),
                "n" | "no" => return Some(Answer::No),
                "a" | "always" => return Some(Answer::Always),
                _ => {}
            }
        }
    }

    fn confirm_removal(&self, removal: &ProposedRemoval, gone: &dyn Fn() -> bool) -> Option<bool> {
        let mut lines = vec![removals::proposed(removal)];
        loop {
            let line = self.ask(
                std::mem::take(&mut lines),
                "Remove them? [y]es, [n]o: ",
                gone,
            )?;
            match line.trim().to_lowercase().as_str() {
                "y" | "yes" => return Some(true),
                "n" | "no" => return Some(false),
                _ => {}
            }
        }
    }

    fn choose(&self, name: &str, found: &[FoundMachine]) -> Option<usize> {
        let mut lines = vec![format!("{} machines here are called {name}:", found.len())];
        lines.extend((1..).zip(found).map(|(number, machine)| {
            format!(
                "  {number}) {} at {}, whose key begins {}",
                machine.instance,
                PeerAddress::from(machine.addr),
                machine.fingerprint
            )
        }));
        self.number(lines, found.len(), &|| false)
    }

    fn show(&self, said: &SaidMessage) -> bool {
        self.ui.show_said(said).is_ok()
    }

    fn reply(&self, said: &SaidMessage, gone: &dyn Fn() -> bool) -> Option<TalkLine> {
        // Whoever is asked has seen what about.
        let lines = match self.ui.shows_on_terminal() {
            true => Vec::new(),
            false => said::plain_lines(said),
        };
        let name = &said.caller.name;
        let question = format!("Your reply to {name} (just Enter: none): ");
        let line = self.ask_for(lines, &question, MAX_LINE_BYTES, gone);
        if line.is_none() && gone() && !self.cancel.is_cancelled() {
            let text = format!("{name} does not wait for a reply any more.");
            self.ui.say([Line::Talk(text)]);
        }
        // Keys that are no letters type these.
        let typed = line?.replace('\t', " ");
        let typed: String = typed.chars().filter(|c| !c.is_control()).collect();
        let typed = typed.trim();
        TalkLine::new(typed).ok().filter(|_| !typed.is_empty())
    }

    fn resume_pairing(&self) -> bool {
        let can = self.can_answer();
        // What was typed before this was said does not mean it.
        terminal::forget_typed();
        let how = if can {
            "press Enter to go on"
        } else {
            "start this again to go on"
        };
        self.ui.warn(&format!(
            "Ten wrong codes in a row: nobody new is let in; {how}."
        ));
        // Nobody is kept from answering another question in the meantime.
        while can && !self.cancel.wait(LOOK_AGAIN) {
            // Looked at again once nobody else can have read it.
            if self.can_answer()
                && terminal::was_typed_within(LOOK)
                && let Ok(_alone) = self.asking.try_lock()
                && terminal::was_typed_within(LOOK)
            {
                let typed = self.read_line(MAX_ANSWER_BYTES, &|| false).is_some();
                if typed {
                    let text = "New machines are let in again, with a code.";
                    self.ui.say([Line::Talk(text.to_owned())]);
                }
                return typed;
            }
        }
        false
    }
}

fn offered(proposal: &Proposal) -> Vec<String> {
    let Caller { name, addr, .. } = &proposal.caller;
    let more = match proposal.named.saturating_sub(1) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let files = words::plural(proposal.files, "file", "files");
    let free = match proposal.free {
        None => String::new(),
        Some(free) if proposal.bytes.is_some_and(|bytes| free < bytes) => {
            format!(", where only {} are free", words::bytes(free))
        }
        Some(free) => format!(", where {} are free", words::bytes(free)),
    };
    let bytes = proposal
        .bytes
        .map_or_else(|| "nobody knows how large".to_owned(), words::bytes);
    let mut lines = vec![
        format!(
            "{name} ({}) would like to send {files}, {bytes}: '{}'{more}",
            addr.ip(),
            proposal.first,
        ),
        format!("    into {}{free}", proposal.dir.display()),
    ];
    if proposal.wish.update {
        let text = "    replacing what is there in another version";
        lines.push(text.to_owned());
    }
    if proposal.wish.mirror {
        let text = "    and removing what it does not have, in folders that it sends";
        lines.push(text.to_owned());
    }
    lines
}

/// Whether somebody sees what is on this terminal, and can type.
pub(super) fn is_at_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal() && terminal::is_in_foreground()
}

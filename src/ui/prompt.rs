//! `TerminalPrompt`: asks and tells whoever sits at the terminal.
//!
//! Must not wait for somebody who is not there: without a terminal, or in the background of one,
//! the answer is that nobody answers.

use std::fmt;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use xfer::model::error::FoundMachine;
use xfer::model::prompt::{
    AlwaysTime, Answer, Caller, CodeEntry, PairingCode, Prompt, Proposal, ProposedRemoval,
    SaidMessage,
};
use xfer::model::talk::{MAX_LINE_BYTES, TalkLine};
use xfer::sys::terminal;
use xfer::transfer::Cancel;

use super::pairing_words::{CodeFor, code_lines};
use super::safe::operand;
use super::search_words;
use super::system::io_error;
use super::{Line, Ui, removals, said, words};

/// How often it is looked whether the user wants to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is looked whether pairing is to go on.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 1024;

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

/// Whoever sits at the terminal.
#[derive(Debug)]
pub(crate) struct TerminalPrompt {
    ui: Arc<Ui>,
    cancel: Cancel,
    given: Option<Given>,
    /// What a stranger wants. What is typed in a chat is said there, so nothing is asked then.
    about: CodeFor,
    /// Held while somebody is being asked.
    asking: Mutex<()>,
}

impl TerminalPrompt {
    /// The one before this terminal. A code that is `given` is not asked for.
    pub(crate) fn at(ui: &Arc<Ui>, cancel: &Cancel, given: Option<Given>) -> Arc<dyn Prompt> {
        Self::about(CodeFor::Sending, ui, cancel, given)
    }

    /// The one before a terminal in which lines are typed that go to a room that is open here: it
    /// is told things, and asked nothing.
    pub(crate) fn of_room(ui: &Arc<Ui>, cancel: &Cancel) -> Arc<dyn Prompt> {
        Self::about(CodeFor::Chat, ui, cancel, None)
    }

    /// The one before the terminal of a share.
    pub(crate) fn of_share(ui: &Arc<Ui>, cancel: &Cancel) -> Arc<dyn Prompt> {
        Self::about(CodeFor::Fetching, ui, cancel, None)
    }

    fn about(
        about: CodeFor,
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
            about: CodeFor::Sending,
            asking: Mutex::default(),
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
        self.about != CodeFor::Chat && is_at_terminal()
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
                _ => lines.push(format!("Type a number from 1 to {count}.")),
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
                None => "a code is six digits, such as 123 456".to_owned(),
            },
            Err(error) => io_error(&error),
        };
        let text = format!("xfer: cannot read a code from {from}: {what}");
        self.ui.warn(&text);
        None
    }
}

impl Prompt for TerminalPrompt {
    fn can_show_codes(&self) -> bool {
        io::stderr().is_terminal()
    }

    fn show_code(&self, caller: &Caller, code: &PairingCode, after_wrong: bool) -> bool {
        if !self.can_show_codes() {
            return false;
        }
        let lines = code_lines(caller, code, after_wrong, self.about);
        self.ui.interject(&lines.map(Line::Trouble));
        true
    }

    fn enter_code(&self, caller: &Caller, again: bool, gone: &dyn Fn() -> bool) -> CodeEntry {
        if let Some(given) = &self.given {
            // It is the same each time.
            let code = (!again).then(|| self.given_code(given)).flatten();
            return code.map_or(CodeEntry::Nobody, CodeEntry::Code);
        }
        let name = &caller.name;
        let mut lines = vec![if again {
            format!("Wrong code. Check {name}'s screen and try again.")
        } else {
            let ip = caller.addr.ip();
            format!("{name} ({ip}) does not know this machine yet. It shows a code now.")
        }];
        loop {
            let question = format!("Code on {name}: ");
            let line = self.ask(std::mem::take(&mut lines), &question, gone);
            match line
                .as_deref()
                .map(|line| (line.trim(), PairingCode::parse(line)))
            {
                Some((_, Some(code))) => return CodeEntry::Code(code),
                Some(("", None)) => return CodeEntry::Left,
                Some(_) => lines.push("A code is six digits, such as 123 456.".to_owned()),
                None if self.cancel.is_cancelled() => return CodeEntry::Left,
                // Whoever waited for it says why it does not.
                None if gone() || !self.can_answer() => return CodeEntry::Nobody,
                None => return CodeEntry::Left,
            }
        }
    }

    fn can_decide(&self) -> bool {
        self.can_answer()
    }

    fn decide(&self, proposal: &Proposal, gone: &dyn Fn() -> bool) -> Option<Answer> {
        let mut lines = offered(proposal);
        let name = &proposal.caller.name;
        let always = proposal.always.map(|time| match time {
            AlwaysTime::ForGood => format!(
                "    always: let {name} send here without asking. To undo this: xfer unpair {}",
                operand(name)
            ),
            AlwaysTime::UntilEnd => {
                format!("    always: let {name} send here without asking, until this ends.")
            }
        });
        let (question, keys) = match always {
            Some(_) => ("Accept? [y]es, [n]o, [a]lways: ", "Type y, n or a."),
            None => ("Accept? [y]es, [n]o: ", "Type y or n."),
        };
        lines.extend(always);
        loop {
            let line = self.ask(std::mem::take(&mut lines), question, gone)?;
            match line.trim().to_lowercase().as_str() {
                "y" | "yes" => return Some(Answer::Yes),
                "n" | "no" => return Some(Answer::No),
                "a" | "always" if proposal.always.is_some() => return Some(Answer::Always),
                _ => lines.push(keys.to_owned()),
            }
        }
    }

    fn confirm_removal(&self, removal: &ProposedRemoval, gone: &dyn Fn() -> bool) -> Option<bool> {
        let mut lines = vec![removals::proposed(removal)];
        loop {
            let line = self.ask(
                std::mem::take(&mut lines),
                "Delete them? [y]es, [n]o: ",
                gone,
            )?;
            match line.trim().to_lowercase().as_str() {
                "y" | "yes" => return Some(true),
                "n" | "no" => return Some(false),
                _ => lines.push("Type y or n.".to_owned()),
            }
        }
    }

    fn choose(&self, name: &str, found: &[FoundMachine]) -> Option<usize> {
        let mut lines = vec![search_words::several(name, found)];
        lines.extend((1..).zip(found).map(|(number, machine)| {
            let machine = search_words::one_of_several(machine, found);
            format!("  {number}) {machine}")
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
        let question = format!("Reply to {name} (Enter for none): ");
        let line = self.ask_for(lines, &question, MAX_LINE_BYTES, gone);
        if line.is_none() && gone() && !self.cancel.is_cancelled() {
            let text = format!("{name} no longer waits for a reply.");
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
            "Press Enter to let new machines pair again."
        } else {
            "Run `xfer recv --pair` in a terminal, or restart xfer, to let new machines pair again."
        };
        self.ui.warn(&format!(
            "10 wrong codes in a row: no new machine can pair. {how}"
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
                    let text = "New machines can pair again.";
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
    let more = match proposal.named.map(|named| named.saturating_sub(1)) {
        Some(0) => String::new(),
        Some(n) => format!(" and {n} more"),
        None => " and maybe more".to_owned(),
    };
    let files = match proposal.files {
        Some(files) => words::plural(files, "file", "files"),
        None => "some files".to_owned(),
    };
    let free = match proposal.free {
        None => String::new(),
        Some(free) if proposal.bytes.is_some_and(|bytes| free < bytes) => {
            format!(" (only {} free)", words::bytes(free))
        }
        Some(free) => format!(" ({} free)", words::bytes(free)),
    };
    let bytes = proposal
        .bytes
        .map_or_else(|| "size unknown".to_owned(), words::bytes);
    let mut lines = vec![
        format!(
            "{name} ({}) wants to send {files}, {bytes}: '{}'{more}",
            addr.ip(),
            proposal.first,
        ),
        format!("    into {}{free}", proposal.dir.display()),
    ];
    if proposal.wish.update {
        let text = "    Files here that differ are replaced.";
        lines.push(text.to_owned());
    }
    if proposal.wish.mirror {
        let text = format!(
            "    Files here that {name} does not have are deleted, in the folders it sends."
        );
        lines.push(text);
    }
    lines
}

/// Whether somebody sees what is on this terminal, and can type.
pub(super) fn is_at_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal() && terminal::is_in_foreground()
}

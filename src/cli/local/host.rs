//! A receiver's end: it says what it is, and shows its codes to those of its user who want to see
//! them, besides its own terminal.
//!
//! Must not wait for them: one that does not read is hung up on.

use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use xfer::model::error::FoundMachine;
use xfer::model::prompt::{
    Answer, Caller, CodeEntry, PairingCode, PairingEnd, Prompt, Proposal, ProposedRemoval,
    SaidMessage,
};
use xfer::model::talk::TalkLine;
use xfer::sys::local::{LocalListener, LocalStream};
use xfer::sys::worker::{self, Worker};
use xfer::transfer::Cancel;

use super::{FOLDER, LocalAnswer, LocalWish, MAX_WISH_BYTES, ReceiverFacts, hear, name_of, say};
use crate::ui::{CodeFor, code_lines, paired_lines};

/// How long one may take to say what it wants. They are served one after the other.
const WISH: Duration = Duration::from_millis(500);
/// How many can see the codes at once.
const MAX_WATCHERS: usize = 8;
/// How long to wait where nobody can be accepted, and how often it is looked whether somebody new
/// wants to see codes after too many wrong ones.
const PAUSE: Duration = Duration::from_millis(500);

/// Those who want to see the codes.
#[derive(Debug, Default)]
struct Watchers(Mutex<WatcherState>);

#[derive(Debug, Default)]
struct WatcherState {
    streams: Vec<LocalStream>,
    /// What is shown for whom who still waits, by their keys.
    pending: Vec<(String, Vec<String>)>,
    /// How many have come so far.
    came: u64,
}

impl Watchers {
    /// Without those who have gone.
    fn state(&self) -> MutexGuard<'_, WatcherState> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // They have nothing to say: that is their end.
        state.streams.retain(|stream| !stream.has_input());
        state
    }

    fn serve(&self, stream: LocalStream, about: &ReceiverFacts) -> std::io::Result<()> {
        stream.set_timeouts(Some(WISH), None)?;
        let mut writer = stream.try_clone()?;
        let want: LocalWish = hear(&mut BufReader::new(stream), MAX_WISH_BYTES)?;
        // Writes must not wait: whoever pairs would wait too. The system keeps many lines for one
        // that is slow to read.
        writer.set_nonblocking()?;
        say(&mut writer, &LocalAnswer::Facts(about.clone()))?;
        if want == LocalWish::Codes {
            let mut state = self.state();
            if state.streams.len() >= MAX_WATCHERS {
                return say(&mut writer, &LocalAnswer::Full);
            }
            for (_, lines) in &state.pending {
                say(&mut writer, &LocalAnswer::Lines(lines.clone()))?;
            }
            state.streams.push(writer);
            state.came += 1;
        }
        Ok(())
    }
}

impl WatcherState {
    /// Says whether anybody is told.
    fn tell(&mut self, lines: Vec<String>) -> bool {
        let told = LocalAnswer::Lines(lines);
        self.streams.retain_mut(|stream| say(stream, &told).is_ok());
        !self.streams.is_empty()
    }
}

/// Where others of the same user find this receiver, until it is dropped.
#[derive(Debug)]
pub(in super::super) struct LocalHost(Arc<LocalListener>);

impl LocalHost {
    /// Begins to listen; nobody is answered before [`LocalHost::start`]. None where that cannot be, such
    /// as in a home that is not this user's: all else works without.
    pub(in super::super) fn bind(data_dir: &Path, about: &ReceiverFacts) -> Option<Self> {
        let listener = LocalListener::bind(&data_dir.join(FOLDER), &name_of(about.process));
        listener.ok().map(|listener| Self(Arc::new(listener)))
    }

    /// Answers from now on. The threads of a receiver are confined, so this comes after that.
    pub(in super::super) fn start(&self, about: ReceiverFacts, prompt: &AttendedPrompt) {
        let (listener, watchers) = (Arc::clone(&self.0), Arc::clone(&prompt.watchers));
        let cancel = prompt.cancel.clone();
        let answer = move || {
            while !cancel.is_cancelled() {
                match listener.accept() {
                    Ok(stream) => drop(watchers.serve(stream, &about)),
                    Err(_) => drop(cancel.wait(PAUSE)),
                }
            }
        };
        // Without it, nobody sees the codes elsewhere.
        let _ = worker::spawn_detached(Worker::Local, answer, drop);
    }
}

impl Drop for LocalHost {
    fn drop(&mut self) {
        // The thread has the other one.
        self.0.remove_name();
    }
}

/// The person at a receiver's terminal, if there is one, and those who see its codes elsewhere.
#[derive(Debug)]
pub(in super::super) struct AttendedPrompt {
    terminal: Arc<dyn Prompt>,
    watchers: Arc<Watchers>,
    code_for: CodeFor,
    cancel: Cancel,
}

impl AttendedPrompt {
    pub(in super::super) fn new(
        terminal: Arc<dyn Prompt>,
        code_for: CodeFor,
        cancel: &Cancel,
    ) -> Arc<Self> {
        Arc::new(Self {
            terminal,
            watchers: Arc::default(),
            code_for,
            cancel: cancel.clone(),
        })
    }
}

impl Prompt for AttendedPrompt {
    fn can_show_codes(&self) -> bool {
        self.terminal.can_show_codes() || !self.watchers.state().streams.is_empty()
    }

    fn show_code(&self, caller: &Caller, code: &PairingCode, after_wrong: bool) -> bool {
        let shown = self.terminal.show_code(caller, code, after_wrong);
        let lines = code_lines(caller, code, after_wrong, self.code_for).to_vec();
        let mut state = self.watchers.state();
        let told = state.tell(lines.clone());
        state.pending.retain(|(key, _)| *key != caller.fingerprint);
        if shown || told {
            state.pending.push((caller.fingerprint.clone(), lines));
        }
        shown || told
    }

    fn pairing_ended(&self, caller: &Caller, end: PairingEnd) {
        self.terminal.pairing_ended(caller, end);
        let mut state = self.watchers.state();
        let before = state.pending.len();
        state.pending.retain(|(key, _)| *key != caller.fingerprint);
        if state.pending.len() == before {
            return;
        }
        let name = &caller.name;
        state.tell(match end {
            PairingEnd::Paired => paired_lines(name, self.code_for).into(),
            PairingEnd::Left => vec![format!("{name} left without entering the code.")],
            PairingEnd::TimedOut => {
                vec![format!("{name} did not enter the code within 3 minutes.")]
            }
            PairingEnd::Wrong => vec![format!("{name} entered a wrong code 3 times.")],
            PairingEnd::Failed => vec![format!("Could not pair with {name}.")],
        });
    }

    fn resume_pairing(&self) -> bool {
        let before = self.watchers.state().came;
        if self.terminal.resume_pairing() {
            return true;
        }
        let text = "10 wrong codes in a row: no new machine can pair until you run `xfer recv \
                    --pair` again.";
        self.watchers.state().tell(vec![text.to_owned()]);
        while !self.cancel.wait(PAUSE) {
            if self.watchers.state().came > before {
                return true;
            }
        }
        false
    }

    fn enter_code(&self, caller: &Caller, again: bool, gone: &dyn Fn() -> bool) -> CodeEntry {
        self.terminal.enter_code(caller, again, gone)
    }

    fn decide(&self, proposal: &Proposal, gone: &dyn Fn() -> bool) -> Option<Answer> {
        self.terminal.decide(proposal, gone)
    }

    fn can_decide(&self) -> bool {
        self.terminal.can_decide()
    }

    fn confirm_removal(&self, removal: &ProposedRemoval, gone: &dyn Fn() -> bool) -> Option<bool> {
        self.terminal.confirm_removal(removal, gone)
    }

    fn choose(&self, name: &str, found: &[FoundMachine]) -> Option<usize> {
        self.terminal.choose(name, found)
    }

    fn show(&self, said: &SaidMessage) -> bool {
        self.terminal.show(said)
    }

    fn reply(&self, said: &SaidMessage, gone: &dyn Fn() -> bool) -> Option<TalkLine> {
        self.terminal.reply(said, gone)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LocalService, MAX_ANSWER_BYTES};
    use super::*;

    #[test]
    fn whoever_does_not_read_is_hung_up_on_and_holds_nobody_up() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("here");
        let listener = LocalListener::bind(&dir, "name").unwrap();
        let about =
            ReceiverFacts::of_this(([127, 0, 0, 1], 9).into(), None, LocalService::Receiver);
        let watchers = Watchers::default();
        let mut silent = Vec::new();
        for _ in 0..MAX_WATCHERS + 1 {
            let mut stream = LocalStream::connect(&dir.join("name")).unwrap();
            say(&mut stream, &LocalWish::Codes).unwrap();
            watchers.serve(listener.accept().unwrap(), &about).unwrap();
            silent.push(stream);
        }
        assert_eq!(watchers.state().streams.len(), MAX_WATCHERS);
        let mut last = BufReader::new(silent.pop().unwrap());
        let mut hear_last = || hear(&mut last, MAX_ANSWER_BYTES).unwrap();
        assert!(matches!(hear_last(), LocalAnswer::Facts(_)));
        assert!(matches!(hear_last(), LocalAnswer::Full));
        let lines = vec!["a code".repeat(100)];
        let told = (0..10_000).take_while(|_| watchers.state().tell(lines.clone()));
        assert!(told.count() < 10_000);
        assert!(watchers.state().streams.is_empty());
    }
}

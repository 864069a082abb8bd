//! `PairingAttempts`: who may try to pair, and when. Each machine that tries has a code of its own;
//! the receiver takes one attempt at a time over all of them, and counts wrong ones together.
//!
//! Must not talk to the peer: it counts, and has the codes shown to the user.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::Fingerprint;
use super::super::network::Network;
use super::proof::new_code;
use super::showing::{CodeShowings, Showings};
use crate::model::error::Result;
use crate::model::outcome::Decline;
use crate::model::prompt::{Caller, PairingCode, Prompt};
use crate::sys::worker::{self, Worker};

/// How many can wait at once, to type the code or to prove it.
const MAX_WAITING: usize = 8;
/// How many of these can be at one address.
const MAX_WAITING_PER_ADDRESS: usize = 2;
/// How many at the addresses of one network: one host may have as many of these as it likes, but all
/// machines of a household may be in one, too.
const MAX_WAITING_PER_NETWORK: usize = 6;
/// How many codes there are: those of all who wait, and of as many who may come back with theirs.
const MAX_CODES: usize = 2 * MAX_WAITING;
/// After how many wrong attempts in a row there is no pairing any more, whichever codes they were
/// at. That, and nothing else, bounds what a guesser can do: each attempt is one guess in a million.
const MAX_WRONG: u32 = 10;
/// How long a code lives: long enough to start the sender again with it.
const CODE_LIFE: Duration = Duration::from_secs(600);
/// How long a person has to find the code and type it.
pub(super) const TYPING: Duration = Duration::from_secs(180);
/// How long the attempt after the first wrong one is kept waiting; doubled for each further one.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The most that it is doubled to.
const MAX_DELAY: Duration = Duration::from_secs(16);

#[derive(Debug, Default)]
struct AttemptsState {
    /// The oldest first, and no two for one key.
    codes: Vec<ActiveCode>,
    /// Wrong attempts since one was right, or the user asked to go on.
    wrong: u32,
    last_wrong: Option<Instant>,
    /// Those who wait.
    waiting: Vec<(SocketAddr, Fingerprint)>,
    /// Whether an attempt is being made.
    in_progress: bool,
    /// How many new codes were shown lately.
    shown: CodeShowings,
}

/// The code of one machine, which nobody else can use. It is for one attempt.
#[derive(Debug)]
struct ActiveCode {
    key: Fingerprint,
    /// The name that the user was shown with it. It pairs no other.
    name: String,
    code: PairingCode,
    made: Instant,
    shown: Showings,
}

/// Counts those who wait, and what they try.
#[derive(Debug, Default)]
pub(crate) struct PairingAttempts {
    state: Mutex<AttemptsState>,
    changed: Condvar,
}

/// A caller among those who wait, until this is dropped.
#[derive(Debug)]
pub(super) struct Waiter {
    attempts: Arc<PairingAttempts>,
    caller: Caller,
    key: Fingerprint,
    /// The code that was shown for it.
    shown: Option<PairingCode>,
}

/// The one attempt that is being made, until it is dropped. It counts as wrong unless it is said
/// to be right.
#[derive(Debug)]
pub(super) struct CurrentAttempt<'a> {
    waiter: &'a Waiter,
    prompt: &'a Arc<dyn Prompt>,
    /// What is to be proven.
    pub(super) code: PairingCode,
    /// Whether the caller's code is not the one that it was shown any more, so that nothing can be
    /// right. It is no guess then, either.
    pub(super) is_stale: bool,
    right: bool,
}

impl PairingAttempts {
    fn state(&self) -> MutexGuard<'_, AttemptsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `caller`, who has this key, wait, if not too many do.
    pub(super) fn wait_in_line(
        self: &Arc<Self>,
        caller: Caller,
        key: Fingerprint,
    ) -> Result<Waiter, Decline> {
        let mut state = self.state();
        if state.wrong >= MAX_WRONG {
            return Err(Decline::Locked);
        }
        let waiting = &state.waiting;
        let count = |is_meant: &dyn Fn(SocketAddr) -> bool| {
            let all = waiting.iter().map(|(addr, _)| *addr);
            all.filter(|&addr| is_meant(addr)).count()
        };
        let network = Network::from(caller.addr);
        if waiting.len() >= MAX_WAITING
            || count(&|addr| addr.ip() == caller.addr.ip()) >= MAX_WAITING_PER_ADDRESS
            || count(&|addr| Network::from(addr) == network) >= MAX_WAITING_PER_NETWORK
        {
            return Err(Decline::Crowded);
        }
        state.waiting.push((caller.addr, key));
        Ok(Waiter {
            attempts: self.clone(),
            caller,
            key,
            shown: None,
        })
    }
}

impl AttemptsState {
    /// The code of the machine with this key, if it has one that lives.
    fn living(&mut self, key: Fingerprint) -> Option<&mut ActiveCode> {
        let lives = |active: &&mut ActiveCode| {
            active.key == key && active.made.elapsed() + TYPING < CODE_LIFE
        };
        self.codes.iter_mut().find(lives)
    }

    /// The code of the machine with this key, a new one where it has none or calls itself otherwise
    /// than was shown, and whether it is to be shown now. A new one that is not in the place of a
    /// wrong one can be declined: whoever takes another key or name each time could fill the screen.
    fn code(
        &mut self,
        key: Fingerprint,
        caller: &Caller,
        after_wrong: bool,
    ) -> Result<Result<(PairingCode, bool), Decline>> {
        let now = Instant::now();
        let is_other = |active: &mut ActiveCode| active.name != caller.name;
        let is_renamed = self.living(key).is_some_and(is_other);
        if !is_renamed && let Some(active) = self.living(key) {
            // A person who tries once more is to see it.
            let is_due = active.shown.is_due(now);
            if is_due {
                active.shown.note(now);
            }
            return Ok(Ok((active.code.clone(), is_due)));
        }
        if (!after_wrong || is_renamed) && !self.shown.take(caller.addr, now) {
            return Ok(Err(Decline::Crowded));
        }
        self.codes.retain(|active| active.key != key);
        if self.codes.len() >= MAX_CODES {
            let waiting = &self.waiting;
            let waits = |active: &ActiveCode| waiting.iter().any(|(_, key)| *key == active.key);
            // Fewer wait than there are codes.
            if let Some(at) = self.codes.iter().position(|active| !waits(active)) {
                self.codes.remove(at);
            }
        }
        let code = new_code()?;
        let mut shown = Showings::of_a_code();
        shown.note(now);
        self.codes.push(ActiveCode {
            key,
            name: caller.name.clone(),
            code: code.clone(),
            made: now,
            shown,
        });
        Ok(Ok((code, true)))
    }

    /// When the next attempt may be made.
    fn next(&self) -> Option<Instant> {
        let doubled = self.wrong.checked_sub(1)?;
        let delay = FIRST_DELAY.saturating_mul(1 << doubled.min(16));
        Some(self.last_wrong? + delay.min(MAX_DELAY))
    }
}

impl Waiter {
    /// Makes sure that the code is shown that the caller needs, `after_wrong` in the place of one
    /// that it has used up.
    pub(super) fn show(
        &mut self,
        prompt: &Arc<dyn Prompt>,
        after_wrong: bool,
    ) -> Result<Result<(), Decline>> {
        // Before it counts as shown.
        if !prompt.can_show_codes() {
            return Ok(Err(Decline::Unknown));
        }
        let (code, is_due) = {
            let mut state = self.attempts.state();
            if state.wrong >= MAX_WRONG {
                return Ok(Err(Decline::Locked));
            }
            match state.code(self.key, &self.caller, after_wrong)? {
                Ok(code) => code,
                Err(decline) => return Ok(Err(decline)),
            }
        };
        if is_due && !prompt.show_code(&self.caller, &code, after_wrong) {
            return Ok(Err(Decline::Unknown));
        }
        self.shown = Some(code);
        Ok(Ok(()))
    }

    /// Waits for the time of the next attempt. None where there are no more.
    pub(super) fn begin<'a>(
        &'a self,
        prompt: &'a Arc<dyn Prompt>,
    ) -> Result<Option<CurrentAttempt<'a>>> {
        let attempts = &self.attempts;
        let mut state = attempts.state();
        loop {
            if state.wrong >= MAX_WRONG {
                return Ok(None);
            }
            let wait = state.next().map_or(Duration::ZERO, |next| {
                next.saturating_duration_since(Instant::now())
            });
            if !state.in_progress && wait.is_zero() {
                break;
            }
            // The one before says when it is done; a minute is longer than it can take.
            let wait = if state.in_progress {
                Duration::from_secs(60)
            } else {
                wait
            };
            state = attempts
                .changed
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let mut codes = state.codes.iter();
        let is_own =
            |active: &&ActiveCode| active.key == self.key && active.name == self.caller.name;
        let active = codes.find(is_own);
        let active = active.map(|active| active.code.clone());
        let is_stale = active.is_none() || active != self.shown;
        let code = match active {
            Some(code) if !is_stale => code,
            _ => new_code()?,
        };
        state.in_progress = true;
        Ok(Some(CurrentAttempt {
            waiter: self,
            prompt,
            code,
            is_stale,
            right: false,
        }))
    }
}

impl CurrentAttempt<'_> {
    /// The caller has proven that it has the code, which nobody needs any more.
    pub(super) fn right(mut self) {
        self.right = true;
    }
}

impl Drop for CurrentAttempt<'_> {
    fn drop(&mut self) {
        let Waiter {
            attempts,
            caller,
            key,
            ..
        } = self.waiter;
        let locked = {
            let mut state = attempts.state();
            state.in_progress = false;
            if self.is_stale {
                false
            } else {
                // Right or wrong, a code is for one attempt.
                // One with another name may have come meanwhile, which is not this one's.
                let is_used = |active: &ActiveCode| active.key == *key && active.code == self.code;
                state.codes.retain(|active| !is_used(active));
                if self.right {
                    state.wrong = 0;
                    state.last_wrong = None;
                    state.shown.forget(caller.addr);
                } else {
                    state.wrong += 1;
                    state.last_wrong = Some(Instant::now());
                }
                state.wrong == MAX_WRONG
            }
        };
        attempts.changed.notify_all();
        if locked {
            let (attempts, prompt) = (Arc::downgrade(attempts), self.prompt.clone());
            let ask = move || {
                if prompt.resume_pairing()
                    && let Some(attempts) = attempts.upgrade()
                {
                    attempts.state().wrong = 0;
                }
            };
            // Where no thread can be had, or it fails, it takes a restart.
            let _ = worker::spawn_detached(Worker::Pairing, ask, drop);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.attempts.state();
        let mut all = state.waiting.iter();
        if let Some(at) = all.position(|&(addr, _)| addr == self.caller.addr) {
            state.waiting.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Shown(Mutex<Vec<PairingCode>>);

    impl Prompt for Shown {
        fn can_show_codes(&self) -> bool {
            true
        }

        fn show_code(&self, _: &Caller, code: &PairingCode, _: bool) -> bool {
            self.0.lock().unwrap().push(code.clone());
            true
        }
    }

    fn caller(n: u8) -> Caller {
        Caller {
            name: "x".into(),
            addr: ([10, 0, 0, n], 1).into(),
            fingerprint: String::new(),
        }
    }

    fn wait(attempts: &Arc<PairingAttempts>, caller: Caller, key: u8) -> Result<Waiter, Decline> {
        attempts.wait_in_line(caller, Fingerprint([key; 32]))
    }

    /// No test waits for the delays: the last wrong attempt was long ago.
    fn try_once(waiter: &Waiter, prompt: &Arc<dyn Prompt>, right: bool) -> bool {
        waiter.attempts.state().last_wrong = None;
        match waiter.begin(prompt).unwrap() {
            Some(attempt) if right => attempt.right(),
            Some(attempt) => drop(attempt),
            None => return false,
        }
        true
    }

    fn prompt() -> (Arc<Shown>, Arc<dyn Prompt>) {
        let shown = Arc::new(Shown::default());
        (shown.clone(), shown)
    }

    #[test]
    fn a_code_is_for_one_attempt_and_there_are_ten_wrong_ones() {
        let attempts = Arc::new(PairingAttempts::default());
        let (shown, prompt) = prompt();
        let mut waiter = wait(&attempts, caller(1), 1).unwrap();
        for n in 0..10 {
            waiter.show(&prompt, n > 0).unwrap().unwrap();
            assert_eq!(shown.0.lock().unwrap().len(), n + 1);
            assert!(try_once(&waiter, &prompt, false));
        }
        assert_eq!(waiter.show(&prompt, true).unwrap(), Err(Decline::Locked));
        assert!(!try_once(&waiter, &prompt, true));
        assert_eq!(wait(&attempts, caller(2), 2).unwrap_err(), Decline::Locked);
        let codes = shown.0.lock().unwrap();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn each_machine_has_a_code_of_its_own_and_all_have_ten_tries_together() {
        let attempts = Arc::new(PairingAttempts::default());
        let (shown, prompt) = prompt();
        let mut waiters: Vec<_> = (1..=5)
            .map(|n| wait(&attempts, caller(n), n).unwrap())
            .collect();
        for waiter in &mut waiters {
            waiter.show(&prompt, false).unwrap().unwrap();
        }
        let codes = shown.0.lock().unwrap().clone();
        for (n, code) in codes.iter().enumerate() {
            assert!(
                !codes[..n].contains(code),
                "it happens once in 100,000 runs"
            );
            let attempt = waiters[n].begin(&prompt).unwrap().unwrap();
            assert!(attempt.code == *code && !attempt.is_stale);
            forget(attempt);
        }
        let mut tries = 0;
        'all: loop {
            for waiter in &mut waiters {
                if waiter.show(&prompt, true).unwrap().is_err() || !try_once(waiter, &prompt, false)
                {
                    break 'all;
                }
                tries += 1;
            }
        }
        assert_eq!(tries, MAX_WRONG);
    }

    /// As if it had not been made.
    fn forget(attempt: CurrentAttempt<'_>) {
        attempt.waiter.attempts.state().in_progress = false;
        std::mem::forget(attempt);
    }

    #[test]
    fn whoever_comes_back_has_the_same_code_for_a_while() {
        let attempts = Arc::new(PairingAttempts::default());
        let (shown, prompt) = prompt();
        for _ in 0..3 {
            let mut waiter = wait(&attempts, caller(1), 1).unwrap();
            waiter.show(&prompt, false).unwrap().unwrap();
            let attempt = waiter.begin(&prompt).unwrap().unwrap();
            assert!(!attempt.is_stale && attempt.code == shown.0.lock().unwrap()[0]);
            forget(attempt);
        }
        // Nor is it shown again at once.
        assert_eq!(shown.0.lock().unwrap().len(), 1);
        attempts.state().codes[0].made -= CODE_LIFE;
        let mut waiter = wait(&attempts, caller(1), 1).unwrap();
        waiter.show(&prompt, false).unwrap().unwrap();
        assert_eq!(shown.0.lock().unwrap().len(), 2);
    }

    #[test]
    fn two_connections_of_one_machine_have_one_code_and_no_free_guess() {
        let attempts = Arc::new(PairingAttempts::default());
        let (_, prompt) = prompt();
        let mut both = [1, 2].map(|_| wait(&attempts, caller(1), 1).unwrap());
        for waiter in &mut both {
            waiter.show(&prompt, false).unwrap().unwrap();
        }
        assert!(try_once(&both[0], &prompt, false));
        // What the second one was shown is used up: nothing it proves can be right.
        let attempt = both[1].begin(&prompt);
        assert!(attempt.unwrap().unwrap().is_stale);
        assert_eq!(attempts.state().wrong, 1);
    }

    #[test]
    fn a_right_one_takes_the_code_with_it() {
        let attempts = Arc::new(PairingAttempts::default());
        let (shown, prompt) = prompt();
        let mut waiter = wait(&attempts, caller(1), 1).unwrap();
        for _ in 0..20 {
            waiter.show(&prompt, false).unwrap().unwrap();
            assert!(try_once(&waiter, &prompt, true));
        }
        assert_eq!(shown.0.lock().unwrap().len(), 20);
        assert!(attempts.state().codes.is_empty());
    }

    #[test]
    fn whoever_takes_another_key_each_time_does_not_fill_the_screen() {
        let attempts = Arc::new(PairingAttempts::default());
        let (shown, prompt) = prompt();
        let mut crowded = 0;
        for key in 0..100 {
            let mut waiter = wait(&attempts, caller(1), key).unwrap();
            match waiter.show(&prompt, false).unwrap() {
                Ok(()) => {}
                Err(decline) => {
                    assert_eq!(decline, Decline::Crowded);
                    crowded += 1;
                }
            }
        }
        assert_eq!(shown.0.lock().unwrap().len() + crowded, 100);
        assert!(crowded > 90);
        // Neither does it keep a code from somebody else.
        let mut waiter = wait(&attempts, caller(2), 200).unwrap();
        waiter.show(&prompt, false).unwrap().unwrap();
        assert!(attempts.state().codes.len() <= MAX_CODES);
    }

    #[test]
    fn a_code_of_one_who_waits_is_not_lost_to_others() {
        let attempts = Arc::new(PairingAttempts::default());
        let (_, prompt) = prompt();
        let mut honest = wait(&attempts, caller(1), 1).unwrap();
        honest.show(&prompt, false).unwrap().unwrap();
        for key in 2..100 {
            attempts.state().shown = CodeShowings::default();
            let mut waiter = wait(&attempts, caller(2), key).unwrap();
            waiter.show(&prompt, false).unwrap().unwrap();
        }
        assert_eq!(attempts.state().codes.len(), MAX_CODES);
        assert!(!honest.begin(&prompt).unwrap().unwrap().is_stale);
    }

    #[test]
    fn where_nobody_sees_a_code_there_is_none() {
        let attempts = Arc::new(PairingAttempts::default());
        let nobody: Arc<dyn Prompt> = Arc::new(crate::model::prompt::Nobody);
        for key in 0..100 {
            let mut waiter = wait(&attempts, caller(1), key).unwrap();
            assert_eq!(waiter.show(&nobody, false).unwrap(), Err(Decline::Unknown));
        }
        assert!(attempts.state().codes.is_empty());
    }

    #[test]
    fn each_wrong_one_makes_the_next_one_slower() {
        let mut state = AttemptsState::default();
        assert_eq!(state.next(), None);
        let now = Instant::now();
        state.last_wrong = Some(now);
        let mut delays = Vec::new();
        for wrong in 1..8 {
            state.wrong = wrong;
            delays.push((state.next().unwrap() - now).as_secs());
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 16, 16]);
    }

    #[test]
    fn few_can_wait_and_fewer_from_one_address() {
        let attempts = Arc::new(PairingAttempts::default());
        let mut waiters = Vec::new();
        for n in 0..4 {
            for _ in 0..2 {
                waiters.push(wait(&attempts, caller(n), n).unwrap());
            }
            assert_eq!(wait(&attempts, caller(n), n).unwrap_err(), Decline::Crowded);
        }
        assert_eq!(wait(&attempts, caller(9), 9).unwrap_err(), Decline::Crowded);
        waiters.pop();
        wait(&attempts, caller(9), 9).unwrap();
    }

    #[test]
    fn a_host_of_many_addresses_takes_not_all_places_and_its_neighbours_have_some() {
        let at = |network: u16, host: u16| Caller {
            addr: format!("[2001:db8:{network}::{host}]:1").parse().unwrap(),
            ..caller(1)
        };
        let attempts = Arc::new(PairingAttempts::default());
        // Two people in one household, who try twice.
        let tries = [at(1, 1), at(1, 1), at(1, 2), at(1, 2)];
        let honest = tries.map(|caller| wait(&attempts, caller, 1).unwrap());
        drop(honest);
        let many = (1..20).filter_map(|host| wait(&attempts, at(1, host), 2).ok());
        let mut many: Vec<_> = many.collect();
        assert_eq!(many.len(), MAX_WAITING_PER_NETWORK);
        let others = [at(2, 1), caller(1)];
        let _others = others.map(|caller| wait(&attempts, caller, 3).unwrap());
        many.pop();
        wait(&attempts, at(1, 30), 4).unwrap();
    }
}

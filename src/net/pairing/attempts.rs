//! `PairingAttempts`: who may try to pair, and when. One code for the whole receiver, one attempt
//! at a time, however many wait for theirs.
//!
//! Must not talk to the peer: it counts, and has the user shown the code.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::network::Network;
use super::proof::new_code;
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
/// How many wrong attempts a code lives through.
const WRONG_PER_CODE: u32 = 3;
/// After how many wrong attempts in a row there is no pairing any more.
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
    code: Option<ActiveCode>,
    /// Wrong attempts since one was right, or the user asked to go on.
    wrong: u32,
    last_wrong: Option<Instant>,
    /// Where those are who wait.
    waiting: Vec<SocketAddr>,
    /// Whether an attempt is being made.
    in_progress: bool,
}

#[derive(Debug)]
struct ActiveCode {
    code: PairingCode,
    made: Instant,
    wrong: u32,
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
    /// Whether that is another code than the caller was shown, so that it cannot be right. It is
    /// no guess then, either.
    pub(super) is_stale: bool,
    right: bool,
}

impl PairingAttempts {
    fn state(&self) -> MutexGuard<'_, AttemptsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `caller` wait, if not too many do.
    pub(super) fn wait_in_line(self: &Arc<Self>, caller: Caller) -> Result<Waiter, Decline> {
        let mut state = self.state();
        if state.wrong >= MAX_WRONG {
            return Err(Decline::Locked);
        }
        let waiting = &state.waiting;
        let count = |is_meant: &dyn Fn(SocketAddr) -> bool| {
            let all = waiting.iter().copied();
            all.filter(|&addr| is_meant(addr)).count()
        };
        let network = Network::from(caller.addr);
        if waiting.len() >= MAX_WAITING
            || count(&|addr| addr.ip() == caller.addr.ip()) >= MAX_WAITING_PER_ADDRESS
            || count(&|addr| Network::from(addr) == network) >= MAX_WAITING_PER_NETWORK
        {
            return Err(Decline::Crowded);
        }
        state.waiting.push(caller.addr);
        Ok(Waiter {
            attempts: self.clone(),
            caller,
            shown: None,
        })
    }
}

impl AttemptsState {
    /// The code of the moment, a new one where there is none that still lives.
    fn code(&mut self) -> Result<PairingCode> {
        let lives = |active: &ActiveCode| {
            active.wrong < WRONG_PER_CODE && active.made.elapsed() + TYPING < CODE_LIFE
        };
        if let Some(active) = self.code.as_ref().filter(|active| lives(active)) {
            return Ok(active.code.clone());
        }
        let code = new_code()?;
        self.code = Some(ActiveCode {
            code: code.clone(),
            made: Instant::now(),
            wrong: 0,
        });
        Ok(code)
    }

    /// When the next attempt may be made.
    fn next(&self) -> Option<Instant> {
        let doubled = self.wrong.checked_sub(1)?;
        let delay = FIRST_DELAY.saturating_mul(1 << doubled.min(16));
        Some(self.last_wrong? + delay.min(MAX_DELAY))
    }
}

impl Waiter {
    /// Makes sure that the code is shown that the caller needs.
    pub(super) fn show(&mut self, prompt: &Arc<dyn Prompt>) -> Result<Result<(), Decline>> {
        let code = {
            let mut state = self.attempts.state();
            if state.wrong >= MAX_WRONG {
                return Ok(Err(Decline::Locked));
            }
            state.code()?
        };
        if self.shown.as_ref() != Some(&code) {
            if !prompt.show_code(&self.caller, &code) {
                return Ok(Err(Decline::Unknown));
            }
            self.shown = Some(code);
        }
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
        let active = state
            .code
            .as_ref()
            .filter(|active| active.wrong < WRONG_PER_CODE);
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
        let attempts = &self.waiter.attempts;
        let locked = {
            let mut state = attempts.state();
            state.in_progress = false;
            if self.is_stale {
                false
            } else if self.right {
                state.code = None;
                state.wrong = 0;
                state.last_wrong = None;
                false
            } else {
                state.wrong += 1;
                state.last_wrong = Some(Instant::now());
                if let Some(active) = &mut state.code {
                    active.wrong += 1;
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
        if let Some(at) = all.position(|&addr| addr == self.caller.addr) {
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
        fn show_code(&self, _: &Caller, code: &PairingCode) -> bool {
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

    #[test]
    fn a_code_lives_through_three_wrong_ones_and_pairing_through_ten() {
        let attempts = Arc::new(PairingAttempts::default());
        let shown = Arc::new(Shown::default());
        let prompt: Arc<dyn Prompt> = shown.clone();
        let mut waiter = attempts.wait_in_line(caller(1)).unwrap();
        for n in 0..10 {
            waiter.show(&prompt).unwrap().unwrap();
            assert_eq!(shown.0.lock().unwrap().len(), 1 + n / 3);
            assert!(try_once(&waiter, &prompt, false));
        }
        assert_eq!(waiter.show(&prompt).unwrap(), Err(Decline::Locked));
        assert!(!try_once(&waiter, &prompt, true));
        assert_eq!(
            attempts.wait_in_line(caller(2)).unwrap_err(),
            Decline::Locked
        );
        let codes = shown.0.lock().unwrap();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_right_one_takes_the_code_with_it() {
        let attempts = Arc::new(PairingAttempts::default());
        let shown = Arc::new(Shown::default());
        let prompt: Arc<dyn Prompt> = shown.clone();
        let mut waiter = attempts.wait_in_line(caller(1)).unwrap();
        for _ in 0..5 {
            waiter.show(&prompt).unwrap().unwrap();
            assert!(try_once(&waiter, &prompt, false));
            assert!(try_once(&waiter, &prompt, false));
            assert!(try_once(&waiter, &prompt, true));
        }
        assert_eq!(shown.0.lock().unwrap().len(), 5);
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
                waiters.push(attempts.wait_in_line(caller(n)).unwrap());
            }
            assert_eq!(
                attempts.wait_in_line(caller(n)).unwrap_err(),
                Decline::Crowded
            );
        }
        assert_eq!(
            attempts.wait_in_line(caller(9)).unwrap_err(),
            Decline::Crowded
        );
        waiters.pop();
        attempts.wait_in_line(caller(9)).unwrap();
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
        let honest = tries.map(|caller| attempts.wait_in_line(caller).unwrap());
        drop(honest);
        let many = (1..20).filter_map(|host| attempts.wait_in_line(at(1, host)).ok());
        let mut many: Vec<_> = many.collect();
        assert_eq!(many.len(), MAX_WAITING_PER_NETWORK);
        let others = [at(2, 1), caller(1)];
        let _others = others.map(|caller| attempts.wait_in_line(caller).unwrap());
        many.pop();
        attempts.wait_in_line(at(1, 30)).unwrap();
    }
}

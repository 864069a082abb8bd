//! Runs the program: collects what it prints, ends it in every way, and never leaves it behind.

use std::ffi::OsStr;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::Watched;

/// What a shell makes of the signal of Ctrl-C.
const INTERRUPTED: i32 = 130;

/// How a run of the program ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// None where a signal ended it; for that of Ctrl-C, what a shell makes of it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Output {
    /// Everything it printed.
    pub fn text(&self) -> String {
        let both = [self.stdout.as_slice(), self.stderr.as_slice()].concat();
        String::from_utf8_lossy(&both).into_owned()
    }

    /// Fails, and shows what was printed, unless it ended with this code.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Fails if it printed anything that does more than show.
    #[track_caller]
    pub fn assert_harmless(&self) -> &Self {
        for stream in [&self.stdout, &self.stderr] {
            let text = std::str::from_utf8(stream).expect("not even UTF-8");
            let found = text.chars().find(|&c| c != '\n' && is_harmful(c));
            assert_eq!(found, None, "{text:?}");
        }
        self
    }

    /// Fails unless something it printed contains this, in any case of letters.
    #[track_caller]
    pub fn assert_says(&self, words: &str) -> &Self {
        let text = self.text().to_lowercase();
        assert!(
            text.contains(&words.to_lowercase()),
            "no {words:?}:\n{self}"
        );
        self
    }
}

impl Output {
    /// Fails if something it printed contains this, in any case of letters.
    #[track_caller]
    pub fn assert_does_not_say(&self, words: &str) -> &Self {
        let text = self.text().to_lowercase();
        assert!(!text.contains(&words.to_lowercase()), "{words:?}:\n{self}");
        self
    }
}

/// Whether a character does more on a terminal than to be shown: it controls something, turns the
/// direction of writing, or cannot be seen.
fn is_harmful(c: char) -> bool {
    let code = u32::from(c);
    let unseen = [0xad, 0x34f, 0x61c, 0x180e, 0x3164, 0xfeff, 0xffa0];
    c.is_control()
        || unseen.contains(&code)
        || matches!(
            code,
            0x115f..=0x1160
                | 0x17b4..=0x17b5
                | 0x200b..=0x200f
                | 0x2028..=0x202e
                | 0x2060..=0x206f
                | 0xfe00..=0xfe0f
                | 0xfff9..=0xfffb
                | 0x1d173..=0x1d17a
                | 0xe0000..=0xe0fff
        )
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "code {:?}", self.code)?;
        writeln!(f, "stdout:\n{}", String::from_utf8_lossy(&self.stdout))?;
        writeln!(f, "stderr:\n{}", String::from_utf8_lossy(&self.stderr))
    }
}

#[derive(Default)]
struct State {
    /// Standard output and standard error.
    printed: [Vec<u8>; 2],
    /// How many of these two have ended.
    ended: usize,
    /// Its exit code, once it has been reaped; not to be signalled any more then.
    exited: Option<Option<i32>>,
}

impl State {
    fn output(&self) -> Output {
        let [stdout, stderr] = self.printed.clone();
        Output {
            code: self.exited.flatten(),
            stdout,
            stderr,
        }
    }
}

/// A run of the program that has not ended. Killed when dropped.
pub struct Process {
    pid: Pid,
    state: Arc<Watched<State>>,
}

impl Process {
    pub fn spawn(command: Command) -> Self {
        Self::spawn_with_stderr(command, Stdio::piped())
    }

    /// With standard error somewhere else, which is not collected then.
    pub fn spawn_with_stderr(command: Command, stderr: Stdio) -> Self {
        Self::spawn_with(command, Stdio::piped(), stderr)
    }

    /// With both somewhere else.
    pub fn spawn_with(mut command: Command, stdout: Stdio, stderr: Stdio) -> Self {
        let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
        // The other ends of what it was given must not stay open here.
        drop(command);
        let pid = Pid::from_child(&child);
        let state = Arc::new(Watched::new(State::default()));
        match child.stdout.take() {
            Some(stdout) => collect(stdout, 0, &state),
            None => state.update(|s| s.ended += 1),
        }
        match child.stderr.take() {
            Some(stderr) => collect(stderr, 1, &state),
            None => state.update(|s| s.ended += 1),
        }
        let reaped = state.clone();
        thread::spawn(move || reap(child, pid, &reaped));
        Self { pid, state }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until something that it printed so far satisfies `ready`.
    #[track_caller]
    pub fn wait_for<R>(&self, what: &str, mut ready: impl FnMut(&Output) -> Option<R>) -> R {
        let found = self.state.wait(|state| {
            let output = state.output();
            match ready(&output) {
                Some(result) => Some(Ok(result)),
                None if state.ended == 2 && state.exited.is_some() => Some(Err(())),
                None => None,
            }
        });
        match found {
            Some(Ok(result)) => result,
            Some(Err(())) => panic!("it ended without {what}:\n{}", self.printed()),
            None => panic!("no {what} after a long time:\n{}", self.printed()),
        }
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str) {
        self.wait_for(text, |output| output.text().contains(text).then_some(()));
    }

    /// What it has printed so far.
    pub fn printed(&self) -> Output {
        self.state.lock().output()
    }

    /// The most memory that it had so far, in bytes, while it runs; none where the system does
    /// not say.
    pub fn peak_memory(&self) -> Option<u64> {
        let pid = self.pid.as_raw_nonzero();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    }

    fn signal(&self, signal: Signal) {
        let state = self.state.lock();
        if state.exited.is_none() {
            // It may have ended just now, and not be known to have.
            match kill_process(self.pid, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// As `kill -9`, and waits for its end.
    pub fn kill(self) -> Output {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// As Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Has it go on after that.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Stops it for a while, as Ctrl-Z.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.state.lock().exited.is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(self) -> Output {
        self.wait_end()
    }

    #[track_caller]
    pub fn wait_end(&self) -> Output {
        self.wait_end_within(super::PATIENCE)
    }

    /// The same, for longer than others take.
    #[track_caller]
    pub fn wait_end_within(&self, time: Duration) -> Output {
        let output = self.state.wait_for_at_most(time, |state| {
            (state.ended == 2 && state.exited.is_some()).then(|| state.output())
        });
        output.unwrap_or_else(|| panic!("it does not end:\n{}", self.printed()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn collect(mut from: impl Read + Send + 'static, which: usize, state: &Arc<Watched<State>>) {
    let state = state.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match from.read(&mut buffer) {
                Ok(n) if n > 0 => {
                    state.update(|s| s.printed[which].extend_from_slice(&buffer[..n]));
                }
                _ => break,
            }
        }
        state.update(|s| s.ended += 1);
    });
}

fn reap(mut child: Child, pid: Pid, state: &Watched<State>) {
    // Waits without reaping, so that nobody can signal another process of the same number.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while matches!(
        waitid(WaitId::Pid(pid), options),
        Err(rustix::io::Errno::INTR)
    ) {}
    let status = child.wait().unwrap();
    // As a shell says it: one that its user interrupts ends by that signal.
    let interrupted = (status.signal() == Some(Signal::INT.as_raw())).then_some(INTERRUPTED);
    state.update(|s| s.exited = Some(status.code().or(interrupted)));
}

/// The same command, run by another one, which gets its program and arguments behind its own.
/// The environment must have been cleared before it was filled.
pub fn run_by(runner: &str, args: &[&OsStr], command: &Command) -> Command {
    let mut outer = Command::new(runner);
    outer
        .args(args)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .stdin(Stdio::null());
    let envs = command.get_envs();
    outer.envs(envs.filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        outer.current_dir(dir);
    }
    outer
}

/// Waits until a process is gone, whoever started it.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn wait_until_gone(pid: Pid) {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{PidfdFlags, pidfd_open};

    // One that is not there any more cannot be watched.
    let Ok(watched) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    let mut fds = [PollFd::new(&watched, PollFlags::IN)];
    let time = super::PATIENCE.try_into().unwrap();
    assert_eq!(poll(&mut fds, Some(&time)).unwrap(), 1, "{pid:?} is left");
}

/// The same command, run so that permissions count, as they do not for root.
pub fn without_privileges(command: &Command) -> Command {
    let (runner, args) = match rustix::process::geteuid().is_root() {
        true => ("setpriv", &["--inh-caps=-all", "--bounding-set=-all"][..]),
        false => ("env", &[][..]),
    };
    let args: Vec<_> = args.iter().map(OsStr::new).collect();
    run_by(runner, &args, command)
}

/// Waits until a receiver or a share says where it listens.
#[track_caller]
pub fn wait_for_addr(process: &Process) -> SocketAddr {
    process.wait_for("'Listening on'", |output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (line, _) = text.split_once('\n')?;
        let rest = line.strip_prefix("Listening on ")?;
        let told = rest.split_once(", receiving into ");
        let (addr, _) = told.or_else(|| rest.split_once(", sharing "))?;
        Some(addr.parse().unwrap())
    })
}

/// A receiver that listens.
pub struct Recv {
    process: Process,
    addr: SocketAddr,
}

impl Recv {
    /// Starts it, and waits until it says where it listens.
    #[track_caller]
    pub fn start(command: Command) -> Self {
        let process = Process::spawn(command);
        let addr = wait_for_addr(&process);
        Self { process, addr }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens, as an argument of `xfer send`.
    pub fn target(&self) -> String {
        self.addr.to_string()
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// As `kill -9`.
    pub fn kill(self) -> Output {
        self.process.kill()
    }

    /// As Ctrl-C, and waits for its end.
    pub fn interrupt(self) -> Output {
        self.process.interrupt();
        self.process.wait()
    }

    /// Waits for its end.
    pub fn wait(self) -> Output {
        self.process.wait()
    }
}

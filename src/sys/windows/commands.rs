//! Commands that are started for others, each in a job of its own: what it starts ends with it.
//!
//! Must not start anything that is not in the list which was given at the beginning. No shell sees
//! arguments; the standard library refuses those that a batch file would take for more than words.
//!
//! Nothing is given up here before peers are heard, so no other process is needed to start them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeReader, Read as _};
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::os::windows::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JobObjectBasicAccountingInformation, JobObjectExtendedLimitInformation,
    QueryInformationJobObject, SetInformationJobObject, TerminateJobObject,
};
use windows_sys::Win32::System::Pipes::PeekNamedPipe;
use windows_sys::Win32::System::Threading::{
    CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, CREATE_SUSPENDED,
};

use super::name::to_system;
use crate::sys::commands::ended::{HowEnded, RunningNews, WhichOutput};
use crate::sys::commands::list::{CommandList, Start, ToldValues};

/// Within how long a command has ended that is to end.
pub const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether a command has written something, or has ended.
const LOOK: Duration = Duration::from_millis(10);
/// What commands keep of the environment, beside what begins like the second.
const KEPT: [&str; 18] = [
    "PATH",
    "PATHEXT",
    "ComSpec",
    "SystemRoot",
    "SystemDrive",
    "windir",
    "TEMP",
    "TMP",
    "USERNAME",
    "USERPROFILE",
    "HOMEDRIVE",
    "HOMEPATH",
    "APPDATA",
    "LOCALAPPDATA",
    "NUMBER_OF_PROCESSORS",
    "OS",
    "PROCESSOR_ARCHITECTURE",
    "PUBLIC",
];
const KEPT_PREFIX: &str = "Program";
/// What this program itself gets from the environment, which is nobody else's business.
const OUR_OWN: &str = "XFER_";
/// The exit code of what was ended.
const ENDED: u32 = 1;

#[link(name = "ntdll")]
#[allow(unsafe_code)]
unsafe extern "system" {
    /// Lets all threads of a process go on.
    fn NtResumeProcess(process: HANDLE) -> NTSTATUS;
}

/// What starts commands.
#[derive(Debug)]
pub struct CommandStarter(CommandList);

/// A command that runs. Dropped, it ends.
#[derive(Debug)]
pub struct RunningCommand {
    child: Child,
    job: Arc<Job>,
    outputs: [Option<PipeReader>; 2],
    /// When it is to end; never where it may take as long as it likes.
    end: Option<(Instant, u64)>,
    ended: Option<HowEnded>,
    leaves: bool,
}

/// What ends a command from another thread.
#[derive(Debug)]
pub struct CommandKill(Arc<Job>);

/// A process and all that it starts.
#[derive(Debug)]
struct Job {
    handle: OwnedHandle,
    was_ended: AtomicBool,
}

impl CommandStarter {
    /// For what is in the list.
    // On other systems it starts a process.
    #[allow(clippy::unnecessary_wraps)]
    pub fn launch(list: CommandList) -> io::Result<Self> {
        Ok(Self(list))
    }

    /// What may be started.
    #[must_use]
    pub fn list(&self) -> &CommandList {
        &self.0
    }

    /// Starts a command from the list.
    pub fn start(
        &self,
        name: &str,
        arguments: Vec<Vec<u8>>,
        told: ToldValues,
    ) -> io::Result<RunningCommand> {
        let start = Start {
            name: Some(name.to_owned()),
            arguments,
            told,
        };
        self.begin(start, Stdio::null())
    }

    /// Starts what runs behind a session, which reads this.
    pub fn start_on_done(&self, told: ToldValues, input: &File) -> io::Result<RunningCommand> {
        let start = Start {
            name: None,
            arguments: Vec::new(),
            told,
        };
        self.begin(start, input.try_clone()?.into())
    }

    fn begin(&self, start: Start, input: Stdio) -> io::Result<RunningCommand> {
        let checked = self.0.check(&start).ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = match (&start.name, &self.0.on_done) {
            (None, Some(line)) => shell(line),
            _ => {
                let mut words = checked
                    .words
                    .iter()
                    .map(|word| to_system(word).into_owned());
                let mut command = Command::new(words.next().unwrap_or_default());
                command.args(words);
                command
            }
        };
        let (output, output_end) = io::pipe()?;
        let (error, error_end) = io::pipe()?;
        let home = || std::env::var_os("USERPROFILE").map(Into::into);
        if let Some(dir) = checked.dir.or_else(home) {
            command.current_dir(dir);
        }
        let all = start.name.is_none();
        let kept = std::env::vars_os().filter(|(name, _)| keeps(name, all));
        let told = start.told.iter().map(|(name, value)| {
            let value = to_system(value).into_owned().into_os_string();
            // Only what is started without a name goes through the shell.
            let value = if all { as_one_word(&value) } else { value };
            (OsString::from(name), value)
        });
        command
            .env_clear()
            .envs(kept.chain(told))
            .stdin(input)
            .stdout(output_end)
            .stderr(error_end)
            .creation_flags(CREATE_SUSPENDED | CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP);
        let job = Arc::new(Job::new()?);
        let mut child = command.spawn()?;
        // The ends for writing are the command's alone.
        drop(command);
        if let Err(error) = job.take(&child, checked.leaves) {
            let _ = child.kill();
            return Err(error);
        }
        let end = (checked.seconds > 0).then(|| {
            let time = Duration::from_secs(checked.seconds);
            Instant::now()
                .checked_add(time)
                .map(|end| (end, checked.seconds))
        });
        Ok(RunningCommand {
            child,
            job,
            outputs: [Some(output), Some(error)],
            end: end.flatten(),
            ended: None,
            leaves: checked.leaves,
        })
    }
}

/// A line as the shell takes it.
fn shell(line: &str) -> Command {
    let mut command = Command::new(std::env::var_os("ComSpec").unwrap_or("cmd.exe".into()));
    command.raw_arg("/d /s /c \"").raw_arg(line).raw_arg("\"");
    command
}

/// A value that the shell takes for nothing but text: it puts values in before it looks for what is
/// to be done, so that a peer's name could be a command.
fn as_one_word(value: &OsStr) -> OsString {
    const MEANS_MORE: &str = "&|<>^%!\"()";
    let harmless = |c: char| match c.is_control() || MEANS_MORE.contains(c) {
        true => '_',
        false => c,
    };
    value
        .to_string_lossy()
        .chars()
        .map(harmless)
        .collect::<String>()
        .into()
}

/// What is this user's own, such as `on_done`, gets all that the user has.
fn keeps(name: &OsStr, all: bool) -> bool {
    let name = name.to_string_lossy();
    let begins = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    match all {
        true => !begins(OUR_OWN),
        false => begins(KEPT_PREFIX) || KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept)),
    }
}

impl RunningCommand {
    /// What ends it from another thread.
    // On other systems it needs one more descriptor.
    #[allow(clippy::unnecessary_wraps)]
    pub fn kill(&self) -> io::Result<CommandKill> {
        Ok(CommandKill(self.job.clone()))
    }

    /// Waits for what it does next, at most for `time`. What it writes comes into `buffer`.
    pub fn next(&mut self, buffer: &mut [u8], time: Duration) -> io::Result<RunningNews> {
        let until = Instant::now() + time;
        loop {
            // First: what it wrote before its end is there then.
            self.look_for_end()?;
            for (output, which) in self
                .outputs
                .iter_mut()
                .zip([WhichOutput::Output, WhichOutput::Error])
            {
                if let Some(n) = read_some(output, buffer)? {
                    return Ok(RunningNews::Wrote(which, n));
                }
            }
            if let Some(ended) = &self.ended {
                return Ok(RunningNews::Ended(ended.clone()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(RunningNews::Nothing);
            }
            thread::sleep(left.min(LOOK));
        }
    }

    fn look_for_end(&mut self) -> io::Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        let stopped = self.job.was_ended.load(Ordering::Acquire);
        if let Some(status) = self.child.try_wait()? {
            if !self.leaves {
                self.job.end();
            }
            self.ended = Some(match status.code() {
                _ if stopped => HowEnded::Stopped,
                code => HowEnded::Exited(code.unwrap_or(-1)),
            });
        } else if let Some((_, seconds)) = self.end.filter(|(end, _)| Instant::now() >= *end) {
            self.job.end();
            self.ended = Some(HowEnded::TimeLimit(seconds));
        }
        Ok(())
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        if self.ended.is_none() || !self.leaves {
            self.job.end();
        }
    }
}

/// What is there to be read; none where there is nothing, or at the end, which closes it.
fn read_some(output: &mut Option<PipeReader>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let Some(open) = output else {
        return Ok(None);
    };
    let mut waiting = 0;
    // SAFETY: the system writes a number alone.
    #[allow(unsafe_code)]
    let is_open = unsafe {
        PeekNamedPipe(
            open.as_raw_handle(),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            &raw mut waiting,
            ptr::null_mut(),
        )
    };
    if is_open == 0 {
        *output = None;
        return Ok(None);
    }
    match waiting {
        0 => Ok(None),
        _ => open.read(buffer).map(Some),
    }
}

impl CommandKill {
    /// Ends it. What it has written can still be read.
    pub fn end(&self) {
        self.0.was_ended.store(true, Ordering::Release);
        self.0.end();
    }

    /// Whether it has ended, and all that it has started. What it has written may still be unread.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.is_empty()
    }
}

impl Job {
    fn new() -> io::Result<Self> {
        // SAFETY: it makes a job that nobody else has.
        #[allow(unsafe_code)]
        let handle = unsafe {
            let handle = CreateJobObjectW(ptr::null(), ptr::null());
            if handle.is_null() {
                return Err(io::Error::last_os_error());
            }
            OwnedHandle::from_raw_handle(handle)
        };
        Ok(Self {
            handle,
            was_ended: AtomicBool::new(false),
        })
    }

    /// Takes a process that was started and does nothing yet, and lets it go on. What it starts
    /// ends when nobody has the job any more, unless it `leaves` that.
    fn take(&self, child: &Child, leaves: bool) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        if !leaves {
            limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        }
        let bytes = u32::try_from(size_of_val(&limits)).unwrap_or_default();
        let (job, process) = (self.handle.as_raw_handle(), child.as_raw_handle());
        // SAFETY: both handles are open, and the system reads a structure of that size.
        #[allow(unsafe_code)]
        let taken = unsafe {
            let class = JobObjectExtendedLimitInformation;
            SetInformationJobObject(job, class, (&raw const limits).cast(), bytes) != 0
                && AssignProcessToJobObject(job, process) != 0
        };
        if !taken {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is open.
        #[allow(unsafe_code)]
        match unsafe { NtResumeProcess(process) } {
            0.. => Ok(()),
            status => Err(super::nt::error_of(status)),
        }
    }

    fn end(&self) {
        // SAFETY: the handle is open.
        #[allow(unsafe_code)]
        unsafe {
            TerminateJobObject(self.handle.as_raw_handle(), ENDED);
        }
    }

    fn is_empty(&self) -> bool {
        let mut found = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        let bytes = u32::try_from(size_of_val(&found)).unwrap_or_default();
        // SAFETY: the system writes no more than a structure of that size.
        #[allow(unsafe_code)]
        let known = unsafe {
            QueryInformationJobObject(
                self.handle.as_raw_handle(),
                JobObjectBasicAccountingInformation,
                (&raw mut found).cast(),
                bytes,
                ptr::null_mut(),
            )
        };
        known == 0 || found.ActiveProcesses == 0
    }
}

/// Whether this process was started to start others: none is.
pub fn serve(_: impl Iterator<Item = OsString>) -> bool {
    false
}

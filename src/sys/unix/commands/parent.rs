//! The receiver's handles to the starter, and to each command that runs.
//!
//! Must not be more than descriptors: when they are closed, everything ends.

use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use serde::{Deserialize, Serialize};

use super::descriptors::{receive, send};
use super::process;
use crate::sys::commands::ended::{HowEnded, RunningNews, WhichOutput};
use crate::sys::commands::list::{CommandList, Start, ToldValues};

/// What a supervisor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SupervisorSays {
    /// The command runs.
    Started,
    /// It has ended.
    Ended(HowEnded),
}

/// The starter, as the process sees it that has launched it. Dropped, all ends.
#[derive(Debug)]
pub struct CommandStarter {
    list: CommandList,
    socket: Mutex<UnixStream>,
}

/// A command that runs. Dropped, it ends.
#[derive(Debug)]
pub struct RunningCommand {
    control: UnixStream,
    outputs: [Option<PipeReader>; 2],
    started: bool,
    ended: Option<HowEnded>,
}

/// What ends a command from another thread.
#[derive(Debug)]
pub struct CommandKill(UnixStream);

impl CommandStarter {
    /// Launches it, for what is in the list. Whatever its parent gives up afterwards, it has still.
    pub fn launch(list: CommandList) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        // It is reaped by the system when both are gone.
        drop(process::starter(theirs.into())?);
        send(&ours, &list, &[])?;
        Ok(Self {
            list,
            socket: Mutex::new(ours),
        })
    }

    /// What may be started.
    #[must_use]
    pub fn list(&self) -> &CommandList {
        &self.list
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
        self.begin(&start, &File::open("/dev/null")?)
    }

    /// Starts what runs behind a session, which reads this.
    pub fn start_on_done(&self, told: ToldValues, input: &File) -> io::Result<RunningCommand> {
        let start = Start {
            name: None,
            arguments: Vec::new(),
            told,
        };
        self.begin(&start, input)
    }

    fn begin(&self, start: &Start, input: &File) -> io::Result<RunningCommand> {
        let (control, theirs) = UnixStream::pair()?;
        let (output, output_end) = io::pipe()?;
        let (error, error_end) = io::pipe()?;
        ioctl_fionbio(&output, true)?;
        ioctl_fionbio(&error, true)?;
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let descriptors = [
            theirs.as_fd(),
            input.as_fd(),
            output_end.as_fd(),
            error_end.as_fd(),
        ];
        send(&socket, start, &descriptors)?;
        Ok(RunningCommand {
            control,
            outputs: [Some(output), Some(error)],
            started: false,
            ended: None,
        })
    }
}

impl RunningCommand {
    /// What ends it from another thread.
    pub fn kill(&self) -> io::Result<CommandKill> {
        self.control.try_clone().map(CommandKill)
    }

    /// Waits for what it does next, at most for `time`. What it writes comes into `buffer`.
    pub fn next(&mut self, buffer: &mut [u8], time: Duration) -> io::Result<RunningNews> {
        loop {
            let waited = match self.ended {
                // It writes no more: what is there is all.
                Some(_) => Duration::ZERO,
                None => time,
            };
            let readable = self.wait(waited)?;
            for (at, which) in [WhichOutput::Output, WhichOutput::Error]
                .into_iter()
                .enumerate()
            {
                if !readable[at] {
                    continue;
                }
                if let Some(n) = read_some(&mut self.outputs[at], buffer)? {
                    // It can be faster than its supervisor is to say so.
                    self.started = true;
                    return Ok(RunningNews::Wrote(which, n));
                }
            }
            match &self.ended {
                Some(ended) if !readable[0] && !readable[1] => {
                    return Ok(RunningNews::Ended(ended.clone()));
                }
                Some(_) => {}
                None if readable[2] => {
                    let said = receive::<SupervisorSays>(&self.control).ok().flatten();
                    match said.map(|(said, _)| said) {
                        Some(SupervisorSays::Started) => self.started = true,
                        Some(SupervisorSays::Ended(ended)) => self.ended = Some(ended),
                        // It was ended itself, and the command with it.
                        None if self.started => self.ended = Some(HowEnded::Stopped),
                        None => self.ended = Some(HowEnded::NotStarted(0)),
                    }
                }
                None if readable == [false; 3] => return Ok(RunningNews::Nothing),
                None => {}
            }
        }
    }

    /// Which of both outputs and the control connection have something to be read.
    fn wait(&self, time: Duration) -> io::Result<[bool; 3]> {
        let mut fds = vec![PollFd::new(&self.control, PollFlags::IN)];
        let open = self.outputs.iter().flatten();
        fds.extend(open.map(|output| PollFd::new(output, PollFlags::IN)));
        let time = Timespec::try_from(time).ok();
        match poll(&mut fds, time.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok([false; 3]),
            Err(e) => return Err(e.into()),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let control = ready.next().unwrap_or_default();
        let mut next = |output: &Option<_>| output.is_some() && ready.next().unwrap_or_default();
        let [output, error] = &self.outputs;
        Ok([next(output), next(error), control])
    }
}

/// What is there to be read; none at the end, which closes it, or where there is nothing after all.
fn read_some(output: &mut Option<PipeReader>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let Some(open) = output else {
        return Ok(None);
    };
    match open.read(buffer) {
        Ok(0) => {
            *output = None;
            Ok(None)
        }
        Ok(n) => Ok(Some(n)),
        Err(e) => match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(e),
        },
    }
}

impl CommandKill {
    /// Ends it. What it has written can still be read.
    pub fn end(&self) {
        // Where it has ended, nobody hears.
        let _ = (&self.0).write(&[0]);
    }

    /// Whether it has ended, and all that it has started. What it has written may still be unread.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        let polled = poll(&mut fds, Some(&Timespec::default()));
        polled.is_ok() && fds[0].revents().contains(PollFlags::HUP)
    }
}

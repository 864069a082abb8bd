//! The supervisor: starts one command, and makes sure that nothing of it is left behind.
//!
//! Must not outlive the process that asked for the command, nor touch what the command reads and
//! writes: its standard streams are the supervisor's own.

use std::ffi::OsString;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process, kill_process_group,
    wait, waitid, waitpid,
};
use signal_hook::consts::SIGCHLD;

use super::descriptors::send;
use super::parent::SupervisorSays;
use crate::sys::commands::ended::HowEnded;

/// How long a command that is to end may take before it is ended.
const GRACE: Duration = Duration::from_secs(1);
/// How long what is left of one may take to be gone.
const GONE: Duration = Duration::from_secs(5);
/// How long one takes to end at most, once it is to.
pub const ENDS_WITHIN: Duration = GRACE.saturating_add(GONE);
/// How often it is looked for what is left.
const LOOK: Duration = Duration::from_millis(5);

/// Runs a command to its end. Says no where the arguments are none.
pub(super) fn serve(mut arguments: impl Iterator<Item = OsString>) -> bool {
    let mut number = || arguments.next()?.to_str()?.parse::<u64>().ok();
    let (Some(control), Some(seconds), Some(leaves)) = (number(), number(), number()) else {
        return false;
    };
    let leaves = leaves != 0;
    let Some(control) = RawFd::try_from(control).ok().and_then(control_of) else {
        return false;
    };
    let (Some(dir), Some(program)) = (arguments.next(), arguments.next()) else {
        return false;
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).process_group(0);
    end_with_parent(&mut command);
    let ended = run(command, &control, Duration::from_secs(seconds), leaves);
    let ended = ended.unwrap_or_else(|e| HowEnded::NotStarted(e.raw_os_error().unwrap_or(0)));
    // Where nobody is there any more nobody wants to know.
    let _ = send(&control, &SupervisorSays::Ended(ended), &[]);
    drop(control);
    // What goes on by itself is nobody else's to end: it comes to this process, not to the starter.
    while leaves && !matches!(wait(WaitOptions::empty()), Err(e) if e != Errno::INTR) {}
    true
}

/// The socket that the starter has passed on by this number.
#[allow(unsafe_code)]
fn control_of(number: RawFd) -> Option<UnixStream> {
    if number <= 2 {
        return None;
    }
    // SAFETY: the starter leaves this one open for this process, which owns nothing else yet that
    // is no standard stream. A number that is none fails below, and is not closed as it is leaked.
    let control = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
    fcntl_setfd(&*control, FdFlags::CLOEXEC).ok()?;
    let control = UnixStream::from(std::mem::ManuallyDrop::into_inner(control));
    control.peer_addr().ok()?;
    Some(control)
}

/// Where it `leaves`, what a command has started may go on when that ended by itself.
fn run(
    mut command: Command,
    control: &UnixStream,
    limit: Duration,
    leaves: bool,
) -> io::Result<HowEnded> {
    let woken = told_of_children()?;
    keep_orphans();
    let child = command.spawn()?;
    let _ = send(control, &SupervisorSays::Started, &[]);
    let pid = Pid::from_child(&child);
    let end = Instant::now() + limit;
    let early = loop {
        if has_ended(pid) {
            break None;
        }
        let left = match limit.is_zero() {
            true => None,
            false => Some(end.saturating_duration_since(Instant::now())),
        };
        if left.is_some_and(|left| left.is_zero()) {
            break Some(HowEnded::TimeLimit(limit.as_secs()));
        }
        if wait_for(control, &woken, left)? {
            break Some(HowEnded::Stopped);
        }
    };
    if early.is_some() {
        // A chance to put things away.
        let _ = kill_process_group(pid, Signal::TERM);
        let end = Instant::now() + GRACE;
        while !has_ended(pid) && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
    }
    let status = match leaves && early.is_none() {
        true => wait_for_end(pid),
        false => end_all(pid),
    };
    Ok(early.unwrap_or_else(|| how(status)))
}

/// Waits until the other side says something, or is gone, or a child has ended. Says whether it is
/// the first.
fn wait_for(control: &UnixStream, woken: &UnixStream, time: Option<Duration>) -> io::Result<bool> {
    let mut fds = [
        PollFd::new(control, PollFlags::IN),
        PollFd::new(woken, PollFlags::IN),
    ];
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    match poll(&mut fds, time.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(e) => return Err(e.into()),
    }
    if !fds[1].revents().is_empty() {
        let _ = rustix::io::read(woken, &mut [0; 64]);
    }
    Ok(!fds[0].revents().is_empty())
}

/// Whether it has ended. It stays to be reaped, so that its number is nobody else's.
fn has_ended(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

fn wait_for_end(pid: Pid) -> Option<WaitStatus> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(ended) => return ended.map(|(_, status)| status),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// Ends a command and all that it has started, and waits until they are gone. Gives how the command
/// itself ended.
fn end_all(pid: Pid) -> Option<WaitStatus> {
    // While it has not been reaped, its group is no other's.
    let _ = kill_process_group(pid, Signal::KILL);
    let end = Instant::now() + GONE;
    let mut status = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((ended, how))) if ended == pid => status = Some(how),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Err(_) => return status,
            Ok(None) if Instant::now() >= end => return status,
            // What has left the group comes to this process when its parent is gone.
            Ok(None) => {
                children().into_iter().for_each(end_at_once);
                std::thread::sleep(LOOK);
            }
        }
    }
}

fn how(status: Option<WaitStatus>) -> HowEnded {
    let Some(status) = status else {
        return HowEnded::Stopped;
    };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => HowEnded::Exited(code),
        (_, Some(signal)) => HowEnded::Signalled(signal),
        _ => HowEnded::Stopped,
    }
}

pub(super) fn end_at_once(pid: Pid) {
    let _ = kill_process(pid, Signal::KILL);
}

/// Something that can be read from whenever a child has ended.
pub(super) fn told_of_children() -> io::Result<UnixStream> {
    let (woken, wake) = UnixStream::pair()?;
    woken.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(SIGCHLD, wake)?;
    Ok(woken)
}

/// From now on processes whose parents below this one have ended become its children.
pub(super) fn keep_orphans() {
    // Elsewhere what leaves its group is lost sight of.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// The processes whose parent this one is.
#[cfg(target_os = "linux")]
pub(super) fn children() -> Vec<Pid> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let parent = |number: i32| {
        let stat = std::fs::read(format!("/proc/{number}/stat")).ok()?;
        // The name before may hold anything.
        let after = stat.iter().rposition(|&b| b == b')')? + 1;
        let text = std::str::from_utf8(&stat[after..]).ok()?;
        text.split_whitespace().nth(1)?.parse::<i32>().ok()
    };
    let own = numbers.filter(|&number| parent(number) == Some(me));
    own.filter_map(Pid::from_raw).collect()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn children() -> Vec<Pid> {
    Vec::new()
}

/// Has the system end the command with its supervisor, even where that is ended at once.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn end_with_parent(command: &mut Command) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};
    let parent = getpid();
    let ask = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may be gone already.
        match getppid() == Some(parent) {
            true => Ok(()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    };
    // SAFETY: two calls to the system, and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(ask);
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Command) {}

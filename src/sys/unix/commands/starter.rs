//! The starter: starts what is in its list, when its parent asks for it by name.
//!
//! Must not wait for a command: each has its supervisor.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Pid, WaitOptions, setsid, wait};

use super::descriptors::receive;
use super::process;
use super::supervisor::{children, end_at_once, keep_orphans, told_of_children};
use crate::sys::commands::list::{Checked, CommandList, MAX_TOGETHER, Start};

/// What commands keep of the environment, beside what begins like the second list.
const KEPT: [&str; 9] = [
    "HOME", "PATH", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR",
];
const KEPT_PREFIXES: [&str; 2] = ["XDG_", "LC_"];
/// What this program itself gets from the environment, which is nobody else's business.
const OUR_OWN: &str = "XFER_";

/// How long one that is about to be gone is waited for, and how often it is looked.
const ROOM: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// Starts what is asked for until the parent is gone. Says no where standard input is no parent.
pub(super) fn serve() -> bool {
    let Ok(parent) = io::stdin().as_fd().try_clone_to_owned() else {
        return false;
    };
    let parent = UnixStream::from(parent);
    if parent.peer_addr().is_err() {
        return false;
    }
    process::keep_inherited();
    // Nothing of it belongs to a terminal: Ctrl-C there is the parent's business.
    let _ = setsid();
    keep_orphans();
    let Ok(Some((list, _))) = receive::<CommandList>(&parent) else {
        return true;
    };
    let Ok(woken) = told_of_children() else {
        return true;
    };
    let mut starter = Starter {
        list,
        running: HashMap::new(),
    };
    while let Ok(asked) = wait_for(&parent, &woken) {
        starter.reap();
        if !asked {
            continue;
        }
        match receive::<Start>(&parent) {
            // What cannot be started ends the control connection that came with it.
            Ok(Some((start, descriptors))) => drop(starter.start(&start, descriptors)),
            _ => break,
        }
    }
    true
}

/// Waits for the parent, or the end of a child. Says whether it is the parent.
fn wait_for(parent: &UnixStream, woken: &UnixStream) -> io::Result<bool> {
    let mut fds = [
        PollFd::new(parent, PollFlags::IN),
        PollFd::new(woken, PollFlags::IN),
    ];
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(e) => return Err(e.into()),
    }
    let asked = !fds[0].revents().is_empty();
    if !fds[1].revents().is_empty() {
        let _ = rustix::io::read(woken, &mut [0; 64]);
    }
    Ok(asked)
}

struct Starter {
    list: CommandList,
    /// The names of what runs, by the supervisors.
    running: HashMap<Pid, Option<String>>,
}

impl Starter {
    fn start(&mut self, start: &Start, descriptors: Vec<OwnedFd>) -> Option<()> {
        let checked = self.list.check(start)?;
        self.wait_for_room(&start.name, checked.at_once)?;
        let [control, input, output, error] = <[OwnedFd; 4]>::try_from(descriptors).ok()?;
        let output = match start.name {
            Some(_) => output,
            // Nobody reads it, and what goes on may write for as long as it likes.
            None => File::options().write(true).open("/dev/null").ok()?.into(),
        };
        // The one thing that the supervisor gets beside its standard streams.
        fcntl_setfd(&control, FdFlags::empty()).ok()?;
        let Checked {
            words,
            dir,
            seconds,
            leaves,
            ..
        } = checked;
        let mut arguments: Vec<OsString> = vec![
            control.as_raw_fd().to_string().into(),
            seconds.to_string().into(),
            u8::from(leaves).to_string().into(),
            dir.or_else(home).unwrap_or_else(|| "/".into()).into(),
        ];
        arguments.extend(words.into_iter().map(OsString::from_vec));
        let told = start.told.iter();
        let told = told.map(|(name, value)| (name.into(), OsString::from_vec(value.clone())));
        let kept = std::env::vars_os().filter(|(name, _)| keeps(name, start.name.is_none()));
        let streams = [input, output, error];
        let child = process::supervisor(arguments, kept.chain(told), streams).ok()?;
        self.running
            .insert(Pid::from_child(&child), start.name.clone());
        Some(())
    }

    /// The parent counts as well, and hears of an end before the supervisor is gone.
    fn wait_for_room(&mut self, name: &Option<String>, most: usize) -> Option<()> {
        let end = Instant::now() + ROOM;
        loop {
            self.reap();
            let same = self.running.values().filter(|other| *other == name);
            let named = self.running.values().flatten().count();
            if same.count() < most && named <= MAX_TOGETHER {
                return Some(());
            }
            if Instant::now() >= end {
                return None;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Takes note of supervisors that have ended. What one has left behind that was ended itself
    /// ends as well.
    fn reap(&mut self) {
        let mut reaped = false;
        while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
            self.running.remove(&pid);
            reaped = true;
        }
        // What is left of an orphan comes here when that has ended.
        let all = reaped.then(children).into_iter().flatten();
        all.filter(|child| !self.running.contains_key(child))
            .for_each(end_at_once);
    }
}

fn home() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    home.filter(|home| Path::is_dir(home))
}

/// What is this user's own, such as `on_done`, gets all that the user has.
fn keeps(name: &OsStr, all: bool) -> bool {
    let begins = |prefix: &str| name.as_bytes().starts_with(prefix.as_bytes());
    match all {
        true => !begins(OUR_OWN),
        false => {
            KEPT.iter().any(|kept| name == *kept)
                || KEPT_PREFIXES.iter().any(|prefix| begins(prefix))
        }
    }
}

//! What to do about an error, in one line.
//!
//! Must not repeat what happened: the error says that.

mod declines;
mod local;
mod sharing;
mod task;

use std::io::ErrorKind;
use std::net::SocketAddr;

use xfer::Error;
use xfer::model::error::{NotFound, StateFault, StateFile};
use xfer::model::outcome::{Decline, Role};
use xfer::model::reason::AbortReason;
use xfer::model::relpath::is_reserved;
use xfer::net::PeerAddress;
use xfer::sys::name::from_system;
use xfer::sys::shell;

use self::local::{NETWORK, already_receiving, argument, connect, file, listen, next_port, target};
use crate::ui::quoted;

pub(crate) use self::task::Task;

/// How many names of other machines a hint lists.
const MAX_NAMES: usize = 8;
const MTU: &str = "A VPN or tunnel on the way may have too large an MTU. Lower it where the tunnel \
                   begins, for example: ip link set dev wg0 mtu 1280";
const ONE_FILE: &str =
    "To send several files or a folder as one: tar c FILES | xfer send - --as NAME TARGET";

impl Task {
    /// The function that gives hints for this task.
    pub(crate) fn hints(self) -> fn(&Error) -> Option<String> {
        match self {
            Self::Send => |error| for_error(error, Self::Send),
            Self::SendStream => |error| for_error(error, Self::SendStream),
            Self::Say => |error| for_error(error, Self::Say),
            Self::Receive => |error| for_error(error, Self::Receive),
            Self::ReceivedStream => |error| for_error(error, Self::ReceivedStream),
            Self::ReceiveStream => |error| for_error(error, Self::ReceiveStream),
            Self::Run => |error| for_error(error, Self::Run),
            Self::Chat => |error| for_error(error, Self::Chat),
            Self::OpenChat => |error| for_error(error, Self::OpenChat),
            Self::Share => |error| for_error(error, Self::Share),
            Self::Get => |error| for_error(error, Self::Get),
        }
    }
}

/// What the user of this machine can do about an error.
pub(crate) fn for_error(error: &Error, task: Task) -> Option<String> {
    let role = task.role();
    let special = match task {
        Task::Chat => chat(error).map(str::to_owned),
        Task::Share => sharing::share(error),
        Task::Get => sharing::get(error),
        _ => None,
    };
    if let Some(special) = special {
        return Some(special);
    }
    let hint = match error {
        Error::File {
            action,
            path,
            source,
        } => return file(*action, path, source.kind(), role),
        Error::SameName { .. } => "Rename one, or send them one at a time.",
        Error::NoName { path } => match path.file_name() {
            Some(name) if is_reserved(from_system(name)) => "xfer reserves this name for itself.",
            _ => "Name the folder itself, or its contents.",
        },
        Error::Pipe { .. } => "Send its output instead: COMMAND | xfer send - --as NAME TARGET",
        Error::Own { .. } => match role {
            Role::Sender => return None,
            Role::Receiver => "Choose another folder: --dir DIR",
        },
        Error::State {
            path,
            fault: StateFault::Exposed,
            ..
        } => {
            let path = argument(&path.display().to_string());
            return Some(format!(
                "Keep it to yourself: {}",
                shell::make_private(&path)
            ));
        }
        Error::State { file, .. } => match file {
            StateFile::Identity => {
                "Repair or remove it. Without it, this machine gets a new key and has to be paired \
                 again."
            }
            StateFile::Peers => {
                "Repair or remove it. Without it, every other machine has to be paired again."
            }
        },
        Error::NoHome => {
            return Some(format!(
                "Set {} to your home directory.",
                shell::HOME_VARIABLE
            ));
        }
        Error::SharedQuota { .. } => "Give this machine a folder of its own in [peer.NAME].",
        Error::Resolve { .. } => "Check the name. `xfer recv` shows its address when it starts.",
        Error::Connect {
            addr: SocketAddr::V6(addr),
            ..
        } if addr.ip().is_unicast_link_local() && addr.scope_id() == 0 => {
            return Some(format!(
                "This address needs its network interface: {}%eth0. `ip link` lists the interfaces.",
                addr.ip()
            ));
        }
        Error::Connect { addr: _, source } => return Some(connect(source.kind()).to_owned()),
        Error::NotFound(search) => {
            let impostor = |error: &&Error| matches!(error, Error::Impostor { .. });
            if let Some(impostor) = search.passed.iter().find(impostor) {
                return for_error(impostor, task);
            }
            if let Some(names) = other_names(search) {
                return Some(names);
            }
            let waits = match task {
                Task::Send | Task::SendStream => " --wait waits for it.",
                _ => "",
            };
            return Some(format!(
                "Is `xfer recv` running there, on the same network? `xfer list` shows the machines \
                 found.{waits} If the network blocks multicast, use the address that `xfer recv` \
                 shows."
            ));
        }
        Error::Ambiguous { found, .. } => {
            let first = PeerAddress::from(found.first()?.addr).to_string();
            return Some(format!(
                "Use the address of the one you mean, for example {}",
                quoted(&first)
            ));
        }
        Error::Unreachable { tried, .. } => {
            // One hint for all addresses, if it is the same for each.
            let mut hints = tried.iter().map(|tried| for_error(&tried.error, task));
            let first = hints.next()?;
            return match hints.all(|hint| hint == first) {
                true => first,
                false => Some(NETWORK.to_owned()),
            };
        }
        Error::AlreadyReceiving { addr, process, .. } => {
            return Some(already_receiving(*addr, *process, task));
        }
        Error::ReceiverGone { .. } => "Start it again, or run `xfer recv`.",
        Error::Listen { addr, source } => {
            return listen(source.kind(), addr.port(), &next_port(*addr));
        }
        Error::NotXfer { .. } | Error::Mute { .. } if role == Role::Receiver => return None,
        Error::NotXfer { .. } => "Check the address and the port.",
        Error::Mute { .. } => "If `xfer recv` runs there, that machine is very busy. Try again.",
        Error::Version { theirs, ours, .. } => {
            if theirs < ours {
                "Update xfer on the other machine."
            } else {
                "Update xfer on this machine."
            }
        }
        Error::Handshake { .. } => "Compare `xfer --version` on both machines.",
        Error::SameRole { peer, .. } if role == Role::Sender => {
            return Some(format!(
                "To receive there, run `xfer recv`. To fetch what it shares: xfer get {}",
                target(*peer)
            ));
        }
        Error::SameRole { .. } if task == Task::OpenChat => {
            "Run `xfer recv` on one machine and `xfer send` on the other."
        }
        Error::SameRole { .. } => "Run `xfer share PATH` here to share.",
        Error::Declined { reason, .. } => return declines::declined(reason),
        Error::TurnedAway { name, reason, .. } => return declines::turned_away(name, reason),
        Error::TooOld { .. } | Error::NoWays { .. } => "Update xfer on that machine.",
        Error::OtherPeer { name, is, .. } => {
            return Some(format!(
                "Nothing was sent. Use the name of the machine you mean, {} or {}: xfer finds its \
                 address.",
                quoted(name),
                quoted(is)
            ));
        }
        Error::Impostor { name, .. } => {
            return Some(format!(
                "Nothing was sent. If {name} has a new key, run `xfer unpair {}` and pair again. \
                 If another machine has the same name or address, rename it there: xfer recv \
                 --name NAME. Otherwise, someone may be posing as {name}.",
                argument(name)
            ));
        }
        Error::CodeNeeded { .. } => {
            "Run the same command again in a terminal and enter the code, or pass it with \
             --code-file FILE or XFER_CODE."
        }
        Error::WrongCode { .. } => match role {
            Role::Sender => {
                "Check the code on the receiver's screen and try again. If you typed it \
                 correctly, someone on this network is between the two machines: do not send \
                 anything."
            }
            Role::Receiver => {
                "If it was typed correctly, someone on this network is between the two machines."
            }
        },
        Error::NotOneFile
        | Error::Aborted {
            reason: AbortReason::NotOneFile,
            ..
        } => ONE_FILE,
        Error::Undelivered {
            small_only: true, ..
        } => MTU,
        Error::Aborted {
            reason: AbortReason::Unpaired,
            ..
        } => {
            "`xfer peers` on that machine shows what this machine may do. If it is not listed, run \
             the same command again to pair."
        }
        Error::Lost { .. }
        | Error::Silent { .. }
        | Error::Undelivered { .. }
        | Error::Idle { .. }
        | Error::Aborted { .. } => task.again(),
        Error::Spent { .. } => Task::SendStream.again(),
        Error::Protocol { .. } => {
            "Compare `xfer --version` on both machines. If they are the same, please report this \
             as a bug."
        }
        Error::Discovery { .. } => {
            "Another program may be using UDP port 5353. Others can still send to this machine's \
             address."
        }
        Error::Thread { .. } => {
            "The limit on processes and threads is reached (`ulimit -u`). End some, or raise it."
        }
        Error::Sync { source, .. } => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => match task {
                Task::SendStream | Task::ReceivedStream | Task::ReceiveStream => {
                    "Free some space, then send all of it again."
                }
                _ => "Free some space, then send again to resume.",
            },
            _ => "The disk may be failing. Check it, then send again.",
        },
        Error::Panicked { .. } => "Please report this, with the lines above.",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What to do about an error when joining a chat, where it differs.
fn chat(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Connect { source, .. } if source.kind() == ErrorKind::ConnectionRefused => {
            "Open a chat there with `xfer chat`, which shows its address."
        }
        Error::Resolve { .. } => {
            "Check the name. `xfer chat` on the other machine shows its address."
        }
        Error::Declined { reason, .. } => match reason {
            Decline::NoRoom => "Open one there with `xfer chat`.",
            Decline::NotGranted(_) => "To allow it, run there: xfer peers --allow messages NAME",
            Decline::Full => "Try again when someone has left.",
            Decline::Unknown => {
                "Start `xfer chat` in a terminal on that machine, then join again. It shows a \
                 code, only this once."
            }
            _ => return None,
        },
        Error::SameRole { .. } => {
            "Run `xfer chat` on one machine and `xfer chat NAME` on the other."
        }
        _ => return None,
    })
}

/// What else could have been meant by a name that is not paired.
fn other_names(search: &NotFound) -> Option<String> {
    let list = |names: &[String], between: &str| {
        let shown = names.iter().take(MAX_NAMES).map(|name| quoted(name));
        let mut list = shown.collect::<Vec<_>>().join(between);
        if let more @ 1.. = names.len().saturating_sub(MAX_NAMES) {
            list.push_str(&format!(" and {more} more"));
        }
        list
    };
    let near = list(&search.near, " or ");
    let paired = list(&search.paired, ", ");
    let who = "`xfer list` shows who is on the network.";
    match (near.as_str(), paired.as_str()) {
        ("", "") => None,
        (near, "") => Some(format!("Did you mean {near}? {who}")),
        ("", paired) => Some(format!("Paired machines: {paired}. {who}")),
        (near, paired) => Some(format!(
            "Did you mean {near}? Paired machines: {paired}. {who}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use xfer::model::error::Action;

    fn hint(error: &Error, task: Task) -> String {
        for_error(error, task).unwrap_or_default()
    }

    fn peer() -> SocketAddr {
        ([192, 168, 0, 9], 9090).into()
    }

    #[test]
    fn a_refused_connection_asks_for_the_receiver() {
        let connect = |kind: ErrorKind| Error::Connect {
            addr: peer(),
            source: kind.into(),
        };
        let refused = connect(ErrorKind::ConnectionRefused);
        assert!(hint(&refused, Task::Send).contains("`xfer recv`"));
        for kind in [ErrorKind::TimedOut, ErrorKind::HostUnreachable] {
            assert!(hint(&connect(kind), Task::Send).contains("firewall"));
        }
    }

    #[test]
    fn a_port_in_use_suggests_the_next_one() {
        let listen = |port, code| Error::Listen {
            addr: ([0, 0, 0, 0], port).into(),
            source: io::Error::from_raw_os_error(code),
        };
        assert!(hint(&listen(9090, 98), Task::Receive).ends_with("--listen 9091"));
        assert!(hint(&listen(65535, 98), Task::Receive).ends_with("--listen 9090"));
        assert!(hint(&listen(80, 13), Task::Receive).contains("1024"));
        let one_address = Error::Listen {
            addr: ([127, 0, 0, 1], 9090).into(),
            source: io::Error::from_raw_os_error(98),
        };
        assert!(hint(&one_address, Task::Receive).ends_with("--listen 127.0.0.1:9091"));
    }

    #[test]
    fn a_missing_folder_shows_how_to_make_it() {
        let missing = |action, path: &str| Error::file(action, path, ErrorKind::NotFound.into());
        let told = hint(&missing(Action::ReceiveInto, "in/new"), Task::Receive);
        assert_eq!(told, "Create it first: mkdir -p in/new");
        let told = hint(&missing(Action::ReceiveInto, "it's new"), Task::Receive);
        assert_eq!(told, r"Create it first: mkdir -p 'it'\''s new'");
        let told = hint(&missing(Action::AddSums, "no/list"), Task::Receive);
        assert_eq!(told, "Create its folder first: mkdir -p no");
        assert!(hint(&missing(Action::Send, "a"), Task::Send).contains("name"));
    }

    #[test]
    fn the_older_side_should_be_updated() {
        let version = |theirs, ours| Error::Version {
            peer: peer(),
            theirs,
            ours,
        };
        assert!(hint(&version(1, 2), Task::Send).contains("other"));
        assert!(hint(&version(3, 2), Task::Send).contains("this"));
    }
}

//! What to do about an error, in one line.
//!
//! Must not repeat what happened: the error says that.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use xfer::Error;
use xfer::model::error::{Action, StateFile};
use xfer::model::outcome::{Ability, Decline, Role};
use xfer::model::reason::AbortReason;
use xfer::model::relpath::is_reserved;
use xfer::net::PeerAddress;
use xfer::sys::name::from_system;

use crate::ui::quoted;

const NETWORK: &str = "Are both machines on the same network, and does the receiver's firewall \
                       let this port in?";
const MTU: &str = "The MTU of a VPN or tunnel on the way may be too large. Lower it where the \
                   tunnel begins, such as: ip link set dev wg0 mtu 1280";
const ONE_FILE: &str =
    "Send what several files or a folder hold as one: tar c FILES | xfer send - --as NAME.";
const LATER: &str = "Try again when its other sessions are done.";

/// What the program is at. What can be done about an error depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Send,
    /// Standard input, which cannot be read again.
    SendStream,
    /// A message.
    Say,
    Receive,
    /// To standard output, which cannot be taken back.
    ReceiveStream,
    /// A command on another machine.
    Run,
    /// To be in a chat that is open elsewhere.
    Chat,
    /// To have one open here.
    OpenChat,
}

impl Task {
    fn role(self) -> Role {
        match self {
            Self::Send | Self::SendStream | Self::Say | Self::Run | Self::Chat => Role::Sender,
            Self::Receive | Self::ReceiveStream | Self::OpenChat => Role::Receiver,
        }
    }

    /// What says what can be done about an error.
    pub(crate) fn hints(self) -> fn(&Error) -> Option<String> {
        match self {
            Self::Send => |error| for_error(error, Self::Send),
            Self::SendStream => |error| for_error(error, Self::SendStream),
            Self::Say => |error| for_error(error, Self::Say),
            Self::Receive => |error| for_error(error, Self::Receive),
            Self::ReceiveStream => |error| for_error(error, Self::ReceiveStream),
            Self::Run => |error| for_error(error, Self::Run),
            Self::Chat => |error| for_error(error, Self::Chat),
            Self::OpenChat => |error| for_error(error, Self::OpenChat),
        }
    }

    /// What can be done about its having stopped halfway.
    pub(crate) fn again(self) -> &'static str {
        match self {
            Self::Send => "Run the same command again: it goes on where it stopped.",
            Self::SendStream => {
                "Run the whole command again, with what makes the stream. Nothing of it is kept \
                 there."
            }
            Self::Say => "Run the same command again. The message may have been shown already.",
            Self::Receive => {
                "What has arrived is kept: when it is sent again, it goes on from there."
            }
            Self::ReceiveStream => {
                "Nothing of it is kept: receive and send it again, from its beginning."
            }
            Self::Run => "The other machine ends the command; how far it got is not known.",
            Self::Chat | Self::OpenChat => "Run the same command again.",
        }
    }

    /// The last words of one that its user has stopped.
    pub(crate) fn interrupted(self) -> String {
        format!("Interrupted. {}", self.again())
    }
}

/// What a person who is at this can do about an error.
pub(crate) fn for_error(error: &Error, task: Task) -> Option<String> {
    let role = task.role();
    let hint = match error {
        _ if task == Task::Chat && chat(error).is_some() => return chat(error).map(str::to_owned),
        Error::File {
            action,
            path,
            source,
        } => return file(*action, path, source.kind(), role),
        Error::SameName { .. } => "Send them one after the other, or rename one.",
        Error::NoName { path } => match path.file_name() {
            Some(name) if is_reserved(from_system(name)) => "It is what xfer keeps for itself.",
            _ => "Name the folder itself, or what is in it.",
        },
        Error::Pipe { .. } => "Send what comes out of it: COMMAND | xfer send - --as NAME.",
        Error::Own { .. } => match role {
            Role::Sender => return None,
            Role::Receiver => "Choose another folder: --dir DIR.",
        },
        Error::State { file, .. } => match file {
            StateFile::Identity => {
                "Mend or remove it; without it, this machine gets a new identity."
            }
            StateFile::Peers => {
                "Mend or remove it; without it, nobody is known here, and each machine has to be \
                 paired with again."
            }
        },
        Error::Resolve { .. } => {
            "Is the name right? The receiver shows its address when it starts."
        }
        Error::Connect {
            addr: SocketAddr::V6(addr),
            ..
        } if addr.ip().is_unicast_link_local() && addr.scope_id() == 0 => {
            return Some(format!(
                "Such an address needs the network that it is in: {}%eth0, or what that is called \
                 here.",
                addr.ip()
            ));
        }
        Error::Connect { addr: _, source } => return Some(connect(source.kind()).to_owned()),
        Error::NotFound(search) => {
            let impostor = |error: &&Error| matches!(error, Error::Impostor { .. });
            if let Some(impostor) = search.passed.iter().find(impostor) {
                return for_error(impostor, task);
            }
            let near: Vec<_> = search.near.iter().map(|name| quoted(name)).collect();
            if !near.is_empty() {
                return Some(format!("Did you mean {}?", near.join(" or ")));
            }
            let waits = match task {
                Task::Send | Task::SendStream => ", and --wait waits for it",
                _ => "",
            };
            return Some(format!(
                "Is `xfer recv` running there, in the same network? `xfer list` shows who is \
                 here{waits}. Where a network blocks multicast, give the address that `xfer recv` \
                 shows, instead of the name."
            ));
        }
        Error::Ambiguous { found, .. } => {
            let first = found.first()?;
            return Some(format!(
                "Say which one you mean by its address, such as {}, or by a name that only one has.",
                PeerAddress::from(first.addr)
            ));
        }
        Error::Unreachable { tried, .. } => {
            // What is to be done about one is to be done about all, or nothing is sure.
            let mut hints = tried.iter().map(|tried| for_error(&tried.error, task));
            let first = hints.next()?;
            return match hints.all(|hint| hint == first) {
                true => first,
                false => Some(NETWORK.to_owned()),
            };
        }
        Error::Listen { addr, source } => {
            let next = addr.port().checked_add(1).unwrap_or(9090);
            let next = match addr.ip().is_unspecified() {
                true => next.to_string(),
                // Nobody is to listen everywhere who did not want to.
                false => SocketAddr::new(addr.ip(), next).to_string(),
            };
            return listen(source.kind(), addr.port(), &next);
        }
        Error::NotXfer { .. } | Error::Mute { .. } if role == Role::Receiver => return None,
        Error::NotXfer { .. } => "Another program is using that port. Check the address and port.",
        Error::Mute { .. } => {
            "Is it `xfer recv` that listens there? If so, that machine is very busy: try again."
        }
        Error::Version { theirs, ours, .. } => {
            if theirs < ours {
                "Update xfer on the other machine."
            } else {
                "Update xfer on this machine."
            }
        }
        Error::Handshake { .. } => "Are both sides the same version of xfer? See `xfer --version`.",
        Error::SameRole { role, .. } => match role {
            Role::Sender => "One side runs `xfer recv`, the other `xfer send`.",
            Role::Receiver => "One side runs `xfer send`, the other `xfer recv`.",
        },
        Error::Declined { reason, .. } => match reason {
            Decline::Unknown => {
                "Start `xfer recv` in a terminal there, and send again: it shows a code then, \
                 once, and the two know each other from then on."
            }
            Decline::Full => "Try again in a moment.",
            Decline::NotOpen => "Add --open here too, if you trust this network.",
            Decline::TooManySessions | Decline::Crowded => LATER,
            Decline::Unsupported(_) | Decline::UnsupportedText(_) => {
                "Ask for less, or update xfer on the other machine."
            }
            Decline::Store(_) | Decline::StoreText(_) => {
                "Look at the receiver: its folder, its permissions, its space."
            }
            Decline::Locked => {
                "Somebody has tried to guess its code. Press Enter there, or start it again."
            }
            Decline::NameTaken => {
                "If this machine has a new key, remove the old one there with `xfer unpair`; if \
                 it is another machine, give it another name: --name NAME."
            }
            Decline::NoMirror => {
                "There it takes `xfer recv` into a folder with --allow-mirror, no --on-conflict or \
                 may-mirror that speaks against it, and no --open."
            }
            Decline::NoUpdate => {
                "There it takes `xfer recv --allow-update`, or `allow-update = true` in its \
                 settings (and no may-update = false for this machine). Or leave out --update: what \
                 differs is then stored beside what is there. With --open, nothing is ever \
                 replaced: leave out --update, or pair the two."
            }
            Decline::Unattended => "Start `xfer recv` in a terminal there, or without --ask.",
            Decline::NotGranted(ability) => {
                return Some(format!(
                    "To let it, its user runs there: xfer peers --allow {} NAME, with what this \
                     machine is called there.",
                    granted(*ability)
                ));
            }
            Decline::NoCommand => {
                "`xfer run TARGET` lists what it offers. To offer more there, start `xfer recv --run \
                 NAME=COMMAND`, or add [run.NAME] to its settings."
            }
            Decline::NoArguments => {
                "To allow arguments there, set `arguments = true` for the command in [run.NAME] of \
                 its settings, and `options = true` for those that begin with -."
            }
            _ => return None,
        },
        Error::TurnedAway { name, reason, .. } => match reason {
            Decline::Unknown => {
                "To let it in, start `xfer recv` in a terminal, and have it send again; or pair \
                 the two there first, with `xfer pair`."
            }
            Decline::NotOpen => {
                "Have it send with --open, or start this in a terminal, so that it can show a \
                 code."
            }
            Decline::NoUpdate => {
                "To let it, set may-update = true for it (see `xfer config --help`), or start \
                 `xfer recv --allow-update`. Whoever is let in with --open never may."
            }
            Decline::NoMirror => {
                "To let it, receive into a folder with --allow-mirror, without an --on-conflict or \
                 may-mirror that speaks against it. Whoever is let in with --open never may."
            }
            Decline::NameTaken => {
                "Either somebody pretends to be it, or it has a new key. If you are sure that \
                 it is the same machine: `xfer unpair` it here, and have it send again."
            }
            Decline::NotGranted(ability) => {
                return Some(format!(
                    "To let it: xfer peers --allow {} -- {}",
                    granted(*ability),
                    quoted(name)
                ));
            }
            _ => return None,
        },
        Error::TooOld { .. } => "Update xfer on that machine.",
        Error::OtherPeer { name, is, .. } => {
            return Some(format!(
                "Nothing was told to it. Name the one that you mean, {} or {}: xfer finds it where \
                 it is now.",
                quoted(name),
                quoted(is)
            ));
        }
        Error::Impostor { name, .. } => {
            return Some(format!(
                "Nothing was told to it. Either somebody pretends to be {name}, or {name} has a \
                 new key, or another machine has its address or its name now. If you are sure that \
                 it is no attack: `xfer unpair -- {}`, and pair the two anew; or, where two \
                 machines have one name, start `xfer recv` there with another one: --name NAME.",
                quoted(name)
            ));
        }
        Error::CodeNeeded { .. } => {
            "Run the same command again, in a terminal, and type the code that the receiver shows; \
             or give it the code: XFER_CODE, or --code-file FILE."
        }
        Error::WrongCode { .. } => match role {
            Role::Sender => {
                "If you are sure that you typed it right, somebody in this network is between \
                 the two machines: do not send anything here."
            }
            Role::Receiver => {
                "If it was typed right, somebody in this network is between the two machines."
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
            "There, `xfer peers` shows what this machine may do. If it is not listed any more, run \
             the same command again to pair the two anew."
        }
        Error::Lost { .. }
        | Error::Silent { .. }
        | Error::Undelivered { .. }
        | Error::Idle { .. }
        | Error::Aborted { .. } => task.again(),
        Error::Spent { .. } => Task::SendStream.again(),
        Error::Protocol { .. } => {
            "Are both sides the same version of xfer? If so, this is a bug worth reporting."
        }
        Error::Discovery { .. } => {
            "Another program may keep UDP port 5353 to itself. What is sent to this machine's \
             address arrives all the same."
        }
        Error::Thread { .. } => {
            "This user or machine has as many processes and threads as it may (`ulimit -u`): end \
             some, or raise the limit."
        }
        Error::Sync { source, .. } => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "Make space there, then send again: it goes on where it stopped."
            }
            _ => "The disk may be failing: check it, then send again.",
        },
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What `xfer peers` calls it.
fn granted(ability: Ability) -> &'static str {
    match ability {
        Ability::Files => "files",
        Ability::Messages => "messages",
        _ => "run",
    }
}

fn file(action: Action, path: &Path, kind: ErrorKind, role: Role) -> Option<String> {
    let make = |dir: &Path| format!("mkdir -p {}", quoted(&dir.display().to_string()));
    let hint = match (kind, action) {
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, Action::WriteOutput) => return None,
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, _) => {
            "Make space, then run the same command again: it goes on where it stopped."
        }
        (ErrorKind::NotFound, Action::Send) => "Check its name; the last argument is the receiver.",
        (
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem,
            Action::Create | Action::Write,
        ) => {
            "This machine's key, and whom it knows, are kept there: xfer has to write it. HOME, \
             XDG_CONFIG_HOME and XDG_DATA_HOME say where it is."
        }
        (ErrorKind::PermissionDenied, _) if role == Role::Sender => "Are you allowed to read it?",
        (ErrorKind::NotFound, Action::ReceiveInto) => {
            return Some(format!("Make it first: {}", make(path)));
        }
        (ErrorKind::NotFound, Action::AddSums) => {
            let folder = path.parent()?;
            return Some(format!("Make its folder first: {}", make(folder)));
        }
        (ErrorKind::PermissionDenied, Action::ReceiveInto | Action::WriteInto) => {
            "Choose a folder that you may write to: --dir DIR."
        }
        (ErrorKind::NotADirectory, Action::ReceiveInto) => "Choose a folder: --dir DIR.",
        (ErrorKind::ReadOnlyFilesystem, Action::ReceiveInto | Action::WriteInto) => {
            "Choose a folder that can be written to: --dir DIR."
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What is to be done in another way than about a receiver.
fn chat(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Connect { source, .. } if source.kind() == ErrorKind::ConnectionRefused => {
            "Is a chat open there? `xfer chat` on that machine opens one, and shows its address."
        }
        Error::Resolve { .. } => {
            "Is the name right? `xfer chat` on the other machine shows its address."
        }
        Error::Declined { reason, .. } => match reason {
            Decline::NoRoom => "`xfer chat` on that machine opens one.",
            Decline::NotGranted(_) => "Ask its user to: `xfer peers --allow messages` there.",
            Decline::Full => "Try again when somebody has left.",
            Decline::Unknown => {
                "Start `xfer chat` in a terminal there, and join again: it shows a code then, \
                 once, and the two know each other from then on."
            }
            _ => return None,
        },
        Error::SameRole { .. } => "One side runs `xfer chat`, the other `xfer chat NAME`.",
        _ => return None,
    })
}

fn connect(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ConnectionRefused => {
            "Is `xfer recv` running there? Start it, or check the address and port."
        }
        ErrorKind::PermissionDenied => "A firewall on this machine does not let it out.",
        _ => NETWORK,
    }
}

fn listen(kind: ErrorKind, port: u16, next: &str) -> Option<String> {
    let hint = match kind {
        ErrorKind::AddrInUse => {
            return Some(format!(
                "Is another `xfer recv` running? Stop it, or choose another port: --listen {next}"
            ));
        }
        ErrorKind::PermissionDenied if port < 1024 => {
            "Ports below 1024 are for the system: leave --listen away, or choose a higher one."
        }
        ErrorKind::AddrNotAvailable => {
            "This machine has no such address. Without IPv6: --listen 0.0.0.0:9090"
        }
        ErrorKind::Unsupported => "Without IPv6: --listen 0.0.0.0:9090",
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

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
        assert_eq!(told, "Make it first: mkdir -p in/new");
        let told = hint(&missing(Action::ReceiveInto, "it's new"), Task::Receive);
        assert_eq!(told, r"Make it first: mkdir -p 'it'\''s new'");
        let told = hint(&missing(Action::AddSums, "no/list"), Task::Receive);
        assert_eq!(told, "Make its folder first: mkdir -p no");
        assert!(hint(&missing(Action::Send, "a"), Task::Send).contains("name"));
    }

    #[test]
    fn the_older_side_is_to_be_updated() {
        let version = |theirs, ours| Error::Version {
            peer: peer(),
            theirs,
            ours,
        };
        assert!(hint(&version(1, 2), Task::Send).contains("other"));
        assert!(hint(&version(3, 2), Task::Send).contains("this"));
    }
}

//! What to do about files, ports and connections.
//!
//! Must not repeat what happened: the error says that.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use xfer::model::error::Action;
use xfer::model::outcome::Role;
use xfer::net::PeerAddress;
use xfer::sys::shell;
use xfer::transfer::DEFAULT_PORT;

use super::Task;
use crate::ui::quoted;

pub(super) const NETWORK: &str = "Check that both machines are on the same network, and that the \
                                  receiver's firewall lets this port in.";

/// A name as an argument, with `--` in front if it looks like an option.
pub(super) fn argument(name: &str) -> String {
    let dashes = if name.starts_with('-') { "-- " } else { "" };
    format!("{dashes}{}", quoted(name))
}

/// The address of another machine as an argument.
pub(super) fn target(peer: SocketAddr) -> String {
    match peer {
        SocketAddr::V4(addr) if addr.port() == DEFAULT_PORT => addr.ip().to_string(),
        peer => quoted(&PeerAddress::from(peer).to_string()),
    }
}

/// A path as an argument.
fn path_argument(path: &Path) -> String {
    argument(&path.display().to_string())
}

pub(super) fn file(action: Action, path: &Path, kind: ErrorKind, role: Role) -> Option<String> {
    let hint = match (kind, action) {
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, Action::WriteOutput) => return None,
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, _) => {
            "Free some space, then run the same command again to resume."
        }
        (ErrorKind::NotFound, Action::Send) => "Check the name. The last argument is the receiver.",
        (
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem,
            Action::Create | Action::Write,
        ) => {
            return Some(format!(
                "xfer keeps its key and the paired machines there, and must be able to write it. \
                 {} set the place.",
                shell::STATE_VARIABLES
            ));
        }
        (ErrorKind::PermissionDenied, _) if role == Role::Sender => {
            let command = shell::show_permissions(&path_argument(path));
            return Some(format!("Check its permissions: {command}"));
        }
        (ErrorKind::NotFound, Action::ReceiveInto) => {
            return Some(format!(
                "Create it first: {}",
                shell::make_dir(&path_argument(path))
            ));
        }
        (ErrorKind::NotFound, Action::AddSums) => {
            let command = shell::make_dir(&path_argument(path.parent()?));
            return Some(format!("Create its folder first: {command}"));
        }
        (ErrorKind::PermissionDenied, Action::ReceiveInto | Action::WriteInto) => {
            "Choose a folder that you can write to: --dir DIR"
        }
        (ErrorKind::NotADirectory, Action::ReceiveInto) => "Choose a folder: --dir DIR",
        (ErrorKind::ReadOnlyFilesystem, Action::ReceiveInto | Action::WriteInto) => {
            "Choose a folder that can be written to: --dir DIR"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

pub(super) fn connect(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ConnectionRefused => {
            "Start `xfer recv` there, or check the address and the port."
        }
        ErrorKind::PermissionDenied => "A firewall on this machine blocks the connection.",
        _ => NETWORK,
    }
}

/// `next` is another address to listen on.
pub(super) fn listen(kind: ErrorKind, port: u16, next: &str) -> Option<String> {
    let hint = match kind {
        ErrorKind::AddrInUse => {
            return Some(format!(
                "Another `xfer recv` may be running. Stop it, or choose another port: --listen {}",
                quoted(next)
            ));
        }
        ErrorKind::PermissionDenied if port < 1024 => {
            "Ports below 1024 are reserved for the system. Choose a higher one: --listen 9090"
        }
        ErrorKind::AddrNotAvailable => {
            "This machine does not have that address. Without IPv6: --listen 0.0.0.0:9090"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The address to listen on where this one is taken, as an argument.
pub(super) fn next_port(addr: SocketAddr) -> String {
    let next = addr.port().checked_add(1).unwrap_or(9090);
    match addr.ip().is_unspecified() {
        true => next.to_string(),
        // The user chose not to listen everywhere.
        false => SocketAddr::new(addr.ip(), next).to_string(),
    }
}

/// What to do about another receiver of this user that has the address.
pub(super) fn already_receiving(addr: SocketAddr, process: u32, task: Task) -> String {
    let command = match task {
        Task::OpenChat => "chat",
        Task::Share => "share PATH",
        _ => "recv",
    };
    let next = quoted(&next_port(addr));
    format!(
        "To pair a new machine with it: xfer recv --pair. To stop it: kill {process}. To start \
         another one: xfer {command} --listen {next}"
    )
}

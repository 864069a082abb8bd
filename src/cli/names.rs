//! What can stand for an argument that names a machine, for completion in a shell.
//!
//! Must not make anything, nor ask the network: it is looked at while somebody types.

use std::ffi::OsStr;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use xfer::net::Known;
use xfer::transfer::DialTarget;

use super::machine;
use super::target::target;

/// Marks what is for the shell to complete: files.
pub(super) const FILES: &str = "\u{1}files";
/// Likewise, folders.
pub(super) const DIRS: &str = "\u{1}dirs";
/// The tag of candidates that are machines.
pub(super) const MACHINES: &str = "machines";

/// Receivers that this machine is paired with.
pub(super) fn receivers() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| names(typed, is_receiver))
}

/// Files, and receivers that this machine is paired with.
pub(super) fn files_and_receivers() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let mut all = names(typed, is_receiver);
        all.push(CompletionCandidate::new(FILES));
        all
    })
}

/// All machines that this one is paired with.
pub(super) fn machines() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| names(typed, |_| true))
}

/// Files or folders, which the shell itself completes.
pub(super) fn paths(marker: &'static str) -> ArgValueCompleter {
    ArgValueCompleter::new(move |_: &OsStr| vec![CompletionCandidate::new(marker)])
}

// A name that looks like an address cannot be meant by itself.
fn is_receiver(known: &Known) -> bool {
    known.may_receive && matches!(target(&known.name), Ok(DialTarget::Name(_)))
}

fn names(typed: &OsStr, wanted: fn(&Known) -> bool) -> Vec<CompletionCandidate> {
    let all = machine::peers().and_then(|peers| peers.list());
    let mut all = all.unwrap_or_default();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let typed = typed.to_string_lossy();
    let fitting = all.into_iter().filter(|known| {
        wanted(known) && known.name.starts_with(&*typed) && !known.name.starts_with('-')
    });
    fitting
        .map(|known| {
            CompletionCandidate::new(known.name)
                .help(Some("paired machine".into()))
                .tag(Some(MACHINES.into()))
        })
        .collect()
}

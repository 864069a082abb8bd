//! `JsonEvent`: events as lines of JSON, as described in `assets/events.schema.json`.
//!
//! Must not print. Events and fields may be added; existing ones keep their meaning while
//! [`VERSION`] stays the same.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use xfer::Error;
use xfer::model::outcome::{Attribute, LeftOut, NotKept, Outcome, Role, Summary, Why};
use xfer::model::progress::{Peer, Trust};
use xfer::model::prompt::Caller;
use xfer::model::reason::ReadError;
use xfer::model::relpath::RelPath;
use xfer::sys::name::from_path;

use super::clock;
use super::commands::CommandEnding;
use super::error_names::{error_cause, error_name};
use super::safe::is_unsafe;
use super::sentences;
use super::system::system_code;

/// The version in every line.
const VERSION: u8 = 1;

/// A line.
#[derive(Debug, Serialize)]
struct Versioned<'a, T: Serialize> {
    v: u8,
    time: String,
    #[serde(flatten)]
    said: &'a T,
}

/// An event.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum JsonEvent<'a> {
    Listening {
        address: SocketAddr,
        dir: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        dir_bytes: Option<String>,
    },
    Sharing {
        address: SocketAddr,
        named: u64,
        first: &'a str,
    },
    Shared {
        path: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path_bytes: Option<String>,
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    Connecting {
        address: SocketAddr,
    },
    Searching {
        name: &'a str,
    },
    PassedOver {
        name: &'a str,
        address: SocketAddr,
        why: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        is: Option<&'a str>,
    },
    Awaiting {
        name: &'a str,
    },
    Waiting {
        #[serde(flatten)]
        peer: Who<'a>,
    },
    Paired {
        role: &'static str,
        #[serde(flatten)]
        peer: Who<'a>,
    },
    Message {
        #[serde(flatten)]
        peer: Who<'a>,
        text: &'a str,
        asks: bool,
    },
    Shown {
        #[serde(flatten)]
        peer: Who<'a>,
    },
    Reply {
        #[serde(flatten)]
        peer: Who<'a>,
        text: &'a str,
    },
    Start {
        session: u64,
        role: &'static str,
        #[serde(flatten)]
        peer: Who<'a>,
        trust: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        dry_run: Option<bool>,
    },
    Totals {
        session: u64,
        entries: u64,
        bytes: u64,
    },
    Progress {
        session: u64,
        entries_done: u64,
        entries_total: u64,
        bytes_done: u64,
        bytes_total: u64,
        scanned: bool,
        wire_bytes: u64,
        bytes_per_second: u64,
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds_left: Option<u64>,
    },
    Entry {
        session: u64,
        path: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path_bytes: Option<String>,
        outcome: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        stored_as: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        stored_as_bytes: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    Removed {
        session: u64,
        path: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path_bytes: Option<String>,
    },
    LeftOut {
        session: u64,
        path: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path_bytes: Option<String>,
        reason: &'static str,
    },
    NotKept {
        session: u64,
        what: &'static str,
        entries: u64,
        cause: &'static str,
        message: String,
    },
    CommandStart {
        run: u64,
        command: &'a str,
        #[serde(flatten)]
        peer: Who<'a>,
    },
    CommandEnd {
        run: u64,
        command: &'a str,
        #[serde(flatten)]
        peer: Who<'a>,
        #[serde(flatten)]
        end: CommandEnding,
        bytes: u64,
        seconds: f64,
    },
    OnDone {
        name: &'a str,
        #[serde(flatten)]
        end: CommandEnding,
        stderr: &'a str,
    },
    Retrying {
        session: u64,
        seconds: f64,
        #[serde(flatten)]
        error: Failure,
    },
    Warning {
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<SocketAddr>,
        #[serde(flatten)]
        error: Failure,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
        #[serde(flatten)]
        error: Failure,
    },
    Finished {
        session: u64,
        #[serde(flatten)]
        counts: Counts,
    },
    Summary {
        exit_code: u8,
        sessions: u64,
        #[serde(flatten)]
        counts: Counts,
    },
}

/// The other side.
#[derive(Debug, Serialize)]
pub(super) struct Who<'a> {
    pub(super) name: &'a str,
    pub(super) address: SocketAddr,
    pub(super) fingerprint: &'a str,
}

impl<'a> From<&'a Caller> for Who<'a> {
    fn from(caller: &'a Caller) -> Self {
        Self {
            name: &caller.name,
            address: caller.addr,
            fingerprint: &caller.fingerprint,
        }
    }
}

impl<'a> From<&'a Peer> for Who<'a> {
    fn from(peer: &'a Peer) -> Self {
        Self {
            name: &peer.name,
            address: peer.addr,
            fingerprint: &peer.fingerprint,
        }
    }
}

/// What went wrong.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// How a session ended, or all sessions together.
#[derive(Debug, Serialize)]
pub(super) struct Counts {
    stored: u64,
    have: u64,
    failed: u64,
    renamed: u64,
    replaced: u64,
    kept: u64,
    removed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<u64>,
    files: u64,
    bytes: u64,
    held_bytes: u64,
    have_files: u64,
    have_bytes: u64,
    wire_bytes: u64,
    seconds: f64,
}

impl Failure {
    /// For an error, with its hint.
    pub(super) fn new(error: &Error, hint: fn(&Error) -> Option<String>) -> Self {
        Self {
            kind: error_name(error),
            cause: error_cause(error),
            message: sentences::error(error),
            hint: hint(error),
        }
    }

    /// For plain words.
    pub(super) fn other(message: &str) -> Self {
        Self {
            kind: "other",
            cause: None,
            message: message.to_owned(),
            hint: None,
        }
    }
}

impl Counts {
    /// For a session, or all of them, with the time taken. Only a sender knows what was left out.
    pub(super) fn new(
        summary: &Summary,
        left_out: Option<u64>,
        wire_bytes: u64,
        time: Duration,
    ) -> Self {
        Self {
            stored: summary.stored,
            have: summary.have,
            failed: summary.failed,
            renamed: summary.renamed,
            replaced: summary.replaced,
            kept: summary.kept,
            removed: summary.removed,
            left_out,
            free: summary.free,
            files: summary.files,
            bytes: summary.bytes,
            held_bytes: summary.held_bytes,
            have_files: summary.have_files,
            have_bytes: summary.have_bytes,
            wire_bytes,
            seconds: seconds(time),
        }
    }
}

/// The event for an entry.
pub(super) fn entry<'a>(session: u64, path: &'a Path, outcome: &'a Outcome) -> JsonEvent<'a> {
    let (name, at, why) = match outcome {
        Outcome::Stored(at) => ("stored", at.as_ref(), None),
        Outcome::Have(at) => ("have", at.as_ref(), None),
        Outcome::Failed(why) => ("failed", None, Some(why)),
        Outcome::Replaced => ("replaced", None, None),
        Outcome::Kept => ("kept", None, None),
    };
    let at = at.map(RelPath::as_path);
    JsonEvent::Entry {
        session,
        path: text(path),
        path_bytes: odd_bytes(path),
        outcome: name,
        stored_as: at.as_deref().map(|at| text(at).into_owned().into()),
        stored_as_bytes: at.as_deref().and_then(odd_bytes),
        reason: why.map(reason_name),
        cause: why.and_then(reason_cause),
        message: why.map(|why| sentences::why(path, why)),
    }
}

/// The event for attributes that could not be kept.
pub(super) fn not_kept<'a>(session: u64, not_kept: &NotKept) -> JsonEvent<'a> {
    JsonEvent::NotKept {
        session,
        what: match not_kept.what {
            Attribute::Mode => "permissions",
            Attribute::Time => "time",
            Attribute::Sync => "sync",
        },
        entries: not_kept.entries,
        cause: system_code(&not_kept.why),
        message: sentences::not_kept(not_kept),
    }
}

/// A whole line, without its line break. It is safe to print on a terminal.
pub(super) fn line(said: &impl Serialize) -> Option<String> {
    let line = Versioned {
        v: VERSION,
        time: clock::now(),
        said,
    };
    harmless(&line)
}

/// Any value as a line of JSON that is safe to print on a terminal.
pub(super) fn harmless(said: &impl Serialize) -> Option<String> {
    let text = serde_json::to_string(said).ok()?;
    if !text.contains(is_unsafe) {
        return Some(text);
    }
    // Odd characters occur only in strings, where an escape can stand for them.
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if !is_unsafe(c) {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    Some(escaped)
}

/// A path as text, as well as can be.
pub(super) fn text(path: &Path) -> Cow<'_, str> {
    match from_path(path) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

/// The bytes of a path that is not UTF-8, in hexadecimal.
pub(super) fn odd_bytes(path: &Path) -> Option<String> {
    let bytes = from_path(path);
    if std::str::from_utf8(&bytes).is_ok() {
        return None;
    }
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in &*bytes {
        let _ = write!(digits, "{byte:02x}");
    }
    Some(digits)
}

/// To the millisecond.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// The name of a role.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Sender => "sender",
        Role::Receiver => "receiver",
    }
}

/// Why a peer is trusted.
pub(super) fn trust_name(trust: Trust) -> &'static str {
    match trust {
        Trust::SameUser => "same_user",
        Trust::Paired => "paired",
        Trust::Open => "open",
        Trust::Link => "link",
        _ => "other",
    }
}

fn reason_name(why: &Why) -> &'static str {
    match why {
        Why::Unreadable(_) | Why::UnreadableText(_) => "unreadable",
        Why::Vanished => "vanished",
        Why::Changed => "changed",
        Why::Special => "special",
        Why::Name(_) | Why::NameText(_) => "name",
        Why::Parent => "parent",
        Why::InTheWay(_) | Why::InTheWayText(_) => "in_the_way",
        Why::Space { .. } => "space",
        Why::Quota { .. } => "quota",
        Why::InUse => "busy",
        Why::System(_) | Why::SystemText(_) | Why::ChangedThere | Why::Ended | Why::Limit(_) => {
            "system"
        }
        Why::Damaged => "damaged",
        Why::Outside => "outside",
        Why::NotRemoved(_) | Why::NotRemovedText(_) => "not_removed",
        Why::TooManyRemovals { .. } => "max_delete",
    }
}

/// Why something was left out on purpose.
pub(super) fn left_out_name(why: LeftOut) -> &'static str {
    match why {
        LeftOut::Pattern => "pattern",
        LeftOut::Size => "size",
        LeftOut::Link => "link",
        LeftOut::Mounted => "mounted",
        LeftOut::Own => "own",
        LeftOut::Special => "special",
    }
}

/// The code of the system's error, if the system refused.
fn reason_cause(why: &Why) -> Option<&'static str> {
    match why {
        Why::System(error) | Why::NotRemoved(error) | Why::Unreadable(ReadError::System(error)) => {
            Some(system_code(error))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use xfer::sys::name::to_system;

    #[test]
    fn odd_names_survive_and_harm_no_terminal() {
        let names: [&[u8]; 4] = [
            b"plain",
            "\u{202e}\u{e0041}\x7f\u{9b}\n\"\\".as_bytes(),
            // Half of a pair.
            b"caf\xed\xa0\x80",
            "日本\u{1f600}".as_bytes(),
        ];
        for name in names {
            let name = to_system(name);
            let text = line(&entry(7, &name, &Outcome::Have(None))).unwrap();
            assert!(!text.contains(|c: char| is_unsafe(c)), "{text:?}");
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["path"], *name.to_string_lossy());
            match value.get("path_bytes") {
                None => assert!(name.to_str().is_some()),
                Some(digits) => assert_eq!(digits, "636166eda080"),
            }
        }
    }
}

//! Pairing by fingerprints that a user has brought from one machine to the other: `xfer pair
//! --fingerprint`.
//!
//! Must not talk to the other machine: what is entered here is believed, as a code is.

use anyhow::{Result, anyhow};
use xfer::model::text::Text;
use xfer::net::{Fingerprint, Known, device_name};
use xfer::transfer::{Cancel, DialTarget};

use super::arguments::{Loudness, Wrong};
use super::exit::{Code, conclude};
use super::hints::Task;
use super::machine;
use super::target::target;
use crate::ui::{Line, Ui, operand, safe};

/// The other machine, and what is entered about it.
pub(super) enum OtherMachine {
    /// It receives what this one sends.
    Receiver(String),
    /// It sends to this one.
    Sender(String),
}

impl OtherMachine {
    fn name(&self) -> &str {
        match self {
            Self::Receiver(name) | Self::Sender(name) => name,
        }
    }
}

/// What came of entering it.
enum Entered {
    /// It is known by this name.
    As(String),
    /// Another machine has the name.
    Taken,
    /// It is this machine's own fingerprint.
    Own,
}

/// Reads a whole fingerprint. Part of one would let others in who have the same part.
pub(super) fn whole(text: &str) -> Result<Fingerprint> {
    Fingerprint::from_hex(&text.trim().to_ascii_lowercase()).ok_or_else(|| {
        anyhow!(
            "not a whole fingerprint: run `xfer id --full` on that machine and copy its 64 digits"
        )
    })
}

/// Which machine is meant, of these arguments.
pub(super) fn other(to: Option<String>, from: Option<String>) -> Result<OtherMachine, Wrong> {
    let other = match (to, from) {
        (_, Some(name)) => OtherMachine::Sender(name),
        (Some(name), None) => match target(&name) {
            Ok(DialTarget::Name(name)) => OtherMachine::Receiver(name),
            _ => {
                return Err(Wrong(format!(
                    "with --fingerprint, give the receiver a name, such as laptop, instead of '{}'",
                    safe(&name)
                )));
            }
        },
        (None, None) => {
            return Err(Wrong(
                "--fingerprint needs the name of a receiver, such as laptop; or, on the receiver, \
                 --from NAME"
                    .to_owned(),
            ));
        }
    };
    let name = other.name();
    match device_name(&Text::new(name)) == name {
        true => Ok(other),
        false => Err(Wrong(format!("not a valid name: '{}'", safe(name)))),
    }
}

/// Enters it in the list of known machines, and says what is left to do on that machine.
pub(super) fn pair(
    other: &OtherMachine,
    fingerprint: Fingerprint,
    own_name: &str,
    loudness: &Loudness,
) -> Code {
    let ui = Ui::new(loudness.settings(Task::Receive.hints()));
    ui.start();
    let result = machine::device().and_then(|device| {
        let own = device.identity.fingerprint();
        if own == fingerprint {
            return Ok((own, Entered::Own));
        }
        let entered = device
            .peers
            .update(|all| Ok(enter(all, other, fingerprint)))?;
        Ok((own, entered))
    });
    let (own, entered) = match result {
        Ok(done) => done,
        Err(error) => return conclude(&ui, Task::Receive, Err(error), &Cancel::new()),
    };
    let name = other.name();
    let code = match entered {
        Entered::As(name) => {
            ui.say(done(other, &name, own_name, own).map(Line::Result));
            Code::Done
        }
        Entered::Taken => {
            ui.say([
                Line::Trouble(format!(
                    "xfer: {name} is already known with another fingerprint"
                )),
                Line::Trouble(format!(
                    "      To replace it, run this first: xfer unpair {}",
                    operand(name)
                )),
            ]);
            Code::Failed
        }
        Entered::Own => {
            ui.say([
                Line::Trouble("xfer: this is the fingerprint of this machine itself".to_owned()),
                Line::Trouble(format!(
                    "      Run `xfer id --full` on {}, and use what it prints.",
                    safe(name)
                )),
            ]);
            Code::Failed
        }
    };
    ui.finish();
    code
}

fn enter(all: &mut Vec<Known>, other: &OtherMachine, fingerprint: Fingerprint) -> Entered {
    let name = other.name();
    let at = match all
        .iter()
        .position(|known| known.fingerprint == fingerprint)
    {
        Some(at) => at,
        None if all.iter().any(|known| known.name == name) => return Entered::Taken,
        None => {
            all.push(Known::new(name, fingerprint));
            all.len() - 1
        }
    };
    let known = &mut all[at];
    match other {
        OtherMachine::Receiver(_) => known.may_receive = true,
        // As much as a code gives.
        OtherMachine::Sender(_) => (known.may_send, known.may_message) = (true, true),
    }
    Entered::As(known.name.clone())
}

fn done(other: &OtherMachine, name: &str, own_name: &str, own: Fingerprint) -> [String; 3] {
    let own = own.to_hex();
    let own_name = operand(own_name);
    let (done, there) = match other {
        OtherMachine::Receiver(_) => (
            format!("You can send to {name} once {name} knows this machine."),
            format!("    xfer pair --fingerprint {own} --from {own_name}"),
        ),
        OtherMachine::Sender(_) => (
            format!("{name} can send to this machine once it knows this machine."),
            format!("    xfer pair --fingerprint {own} {own_name}"),
        ),
    };
    [done, format!("Run this on {name}, unless you did:"), there]
}

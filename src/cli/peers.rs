//! `xfer peers`, `xfer unpair`, `xfer id`: who is known here, and who this is.
//!
//! Must not talk to anyone: what is known stands in a file.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use xfer::model::outcome::Ability;
use xfer::net::Known;

use super::arguments::{Loudness, Wrong};
use super::exit::{Code, conclude, written};
use super::hints::Task;
use super::settings::Settings;
use super::{machine, names};
use crate::ui::{Line, Ui, ago};

const EXAMPLES: &str = "\
Examples:
  xfer peers                              list paired machines and what they may do
  xfer peers --allow run laptop           let laptop run the commands that you offer
  xfer peers --deny messages,run laptop   take that back, and stop what it runs

Pairing lets a machine send files and messages. A machine that may do nothing
stays known; `xfer unpair` forgets it.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KnownMachines {
    /// Allow NAME to do this; separate several with commas
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        value_delimiter = ',',
        requires = "name"
    )]
    allow: Vec<Granted>,

    /// Stop allowing NAME to do this
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        value_delimiter = ',',
        requires = "name"
    )]
    deny: Vec<Granted>,

    /// Show or change one machine: its name or fingerprint
    #[arg(value_name = "NAME", add = names::machines())]
    name: Option<String>,
}

/// What a machine may do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Granted {
    /// Send files
    Files,
    /// Send messages and join chats
    Messages,
    /// Run the commands that you offer
    Run,
}

impl From<Granted> for Ability {
    fn from(granted: Granted) -> Self {
        match granted {
            Granted::Files => Self::Files,
            Granted::Messages => Self::Messages,
            Granted::Run => Self::Commands,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Unpair {
    /// The machine: its name or fingerprint, as `xfer peers` shows them
    #[arg(value_name = "NAME", add = names::machines())]
    name: String,
}

/// Lists who is known here, or changes what one of them may do here and shows that.
pub(crate) fn list(args: &KnownMachines, loudness: &Loudness) -> Result<Code, Wrong> {
    let allow: BTreeSet<_> = args.allow.iter().copied().collect();
    let deny: BTreeSet<_> = args.deny.iter().copied().collect();
    if let Some(both) = allow.intersection(&deny).next() {
        let both = both.to_possible_value();
        let both = both.as_ref().map_or("it", |value| value.get_name());
        return Err(Wrong(format!("--allow and --deny both name {both}")));
    }
    Ok(say(loudness, |ui| match &args.name {
        None => {
            list_all(ui)?;
            Ok(true)
        }
        Some(name) if allow.is_empty() && deny.is_empty() => {
            let all = machine::peers()?.list()?;
            Ok(show(ui, name, position(&all, name).map(|at| &all[at])))
        }
        Some(name) => {
            let changed = machine::peers()?.update(|all| {
                let Some(at) = position(all, name) else {
                    return Ok(None);
                };
                let known = &mut all[at];
                allow
                    .iter()
                    .for_each(|&what| known.grant(what.into(), true));
                deny.iter()
                    .for_each(|&what| known.grant(what.into(), false));
                Ok(Some(known.clone()))
            })?;
            Ok(show(ui, name, changed.as_ref()))
        }
    }))
}

fn list_all(ui: &Ui) -> xfer::Result<()> {
    let mut all = machine::peers()?.list()?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if all.is_empty() {
        let text = "No machines are known here. A receiver gets to know a sender when that one \
                    sends for the first time.";
        ui.say([Line::Talk(text.to_owned())]);
    }
    ui.say(all.iter().flat_map(lines).map(Line::Answer));
    Ok(())
}

/// Shows one of them, or that nobody is known by that name; says which.
fn show(ui: &Ui, name: &str, known: Option<&Known>) -> bool {
    match known {
        Some(known) => ui.say(lines(known).map(Line::Answer)),
        None => ui.say([nobody(name)]),
    }
    known.is_some()
}

fn nobody(name: &str) -> Line {
    Line::Trouble(format!(
        "xfer: nobody is known here as {name}; `xfer peers` shows who is"
    ))
}

/// Which of them is meant. No machine can hide another one by calling itself what that one is
/// known by.
fn position(all: &[Known], name: &str) -> Option<usize> {
    let by_key = |k: &Known| k.fingerprint.to_string() == name;
    let by_name = |k: &Known| k.name == name;
    let at = all.iter().position(by_key);
    at.or_else(|| all.iter().position(by_name))
}

/// Forgets one of them.
pub(crate) fn unpair(args: &Unpair, loudness: &Loudness) -> Code {
    say(loudness, |ui| {
        let gone = machine::peers()?
            .update(|all| Ok(position(all, &args.name).map(|at| all.remove(at))))?;
        ui.say([match &gone {
            Some(known) => Line::Result(format!(
                "{} is not known here any more. On that machine, `xfer unpair` forgets this one.",
                known.name
            )),
            None => nobody(&args.name),
        }]);
        Ok(gone.is_some())
    })
}

/// Shows who this is.
pub(crate) fn id(loudness: &Loudness, settings: &Settings) -> Code {
    say(loudness, |ui| {
        let device = machine::device()?;
        let text = format!("{}  {}", settings.name(), device.identity.fingerprint());
        ui.say([Line::Answer(text)]);
        Ok(true)
    })
}

/// What a machine may do here, and whether this one may do something there.
fn may(known: &Known) -> String {
    let sends = [(known.may_send, "files"), (known.may_message, "messages")];
    let sends: Vec<_> = sends.iter().filter(|(may, _)| *may).collect();
    let sends = match sends[..] {
        [] => None,
        [(_, one)] => Some(format!("send {one}")),
        _ => Some("send files and messages".to_owned()),
    };
    let runs = known.may_run.then(|| "run commands".to_owned());
    let all: Vec<_> = [sends, runs].into_iter().flatten().collect();
    let here = match all.is_empty() {
        false => Some(format!("may {} here", all.join(" and "))),
        true if known.may_receive => None,
        true => Some("may do nothing here".to_owned()),
    };
    let there = known.may_receive.then(|| "receives from here".to_owned());
    let both: Vec<_> = [here, there].into_iter().flatten().collect();
    both.join(", and ")
}

fn lines(known: &Known) -> [String; 2] {
    let may = may(known);
    let unasked = if known.unasked && known.may_send {
        "; its files without a question"
    } else {
        ""
    };
    let seen = UNIX_EPOCH + Duration::from_secs(known.seen);
    // A clock that was set back makes it now.
    let since = SystemTime::now().duration_since(seen).unwrap_or_default();
    let at = known.address.as_ref().map(|at| format!(" at {at}"));
    [
        format!("{}  {}", known.name, known.fingerprint),
        format!(
            "    {may}{unasked}; last seen {}{}",
            ago(since),
            at.unwrap_or_default()
        ),
    ]
}

/// Does something that ends well or not.
fn say(loudness: &Loudness, what: impl FnOnce(&Ui) -> xfer::Result<bool>) -> Code {
    let ui = Ui::new(loudness.settings(Task::Receive.hints()));
    ui.start();
    let result = what(&ui);
    match result {
        Ok(done) => {
            ui.finish();
            written(&ui, if done { Code::Done } else { Code::Failed })
        }
        Err(error) => conclude(
            &ui,
            Task::Receive,
            Err(error),
            &xfer::transfer::Cancel::new(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xfer::net::Fingerprint;

    #[test]
    fn what_a_machine_may_do_is_said_in_plain_words() {
        let said = |files, messages, run, receives| {
            let mut known = Known::new("laptop", Fingerprint([1; 32]));
            known.may_send = files;
            known.may_message = messages;
            known.may_run = run;
            known.may_receive = receives;
            may(&known)
        };
        for (files, messages, run, receives, words) in [
            (true, true, false, false, "may send files and messages here"),
            (true, false, false, false, "may send files here"),
            (
                false,
                true,
                true,
                false,
                "may send messages and run commands here",
            ),
            (
                true,
                true,
                true,
                true,
                "may send files and messages and run commands here, and receives from here",
            ),
            (false, false, false, true, "receives from here"),
            (false, false, false, false, "may do nothing here"),
        ] {
            assert_eq!(said(files, messages, run, receives), words);
        }
    }
}

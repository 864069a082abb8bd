//! `xfer peers`, `xfer unpair`, `xfer id`: the paired machines, and this one.
//!
//! Must not talk to other machines: the list of paired machines is a file.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use xfer::model::outcome::Ability;
use xfer::model::text::Text;
use xfer::net::{Known, device_name};
use xfer::transfer::DialTarget;

use super::arguments::{Loudness, Wrong, parse_name};
use super::exit::{Code, conclude, written};
use super::hints::Task;
use super::settings::Settings;
use super::target::target;
use super::{config, machine, names};
use crate::ui::{Line, Ui, ago, quoted, width};

/// Longer names push the fingerprint to the right.
const MAX_NAME_COLUMNS: usize = 32;

const EXAMPLES: &str = "\
Examples:
  xfer peers                              list paired machines and what they may do
  xfer peers --allow run laptop           let laptop run the commands that you offer
  xfer peers --deny messages,run laptop   take that back, and stop what it runs
  xfer peers --rename laptop lap          give laptop another name on this machine

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

    /// Give a machine another name on this machine
    ///
    /// OLD is its name or fingerprint. Its key and what it may do stay the same.
    #[arg(
        long,
        num_args = 2,
        value_names = ["OLD", "NEW"],
        conflicts_with_all = ["allow", "deny", "name"],
        add = names::machines()
    )]
    rename: Vec<String>,

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
    /// Fetch what you share
    Fetch,
}

impl From<Granted> for Ability {
    fn from(granted: Granted) -> Self {
        match granted {
            Granted::Files => Self::Files,
            Granted::Messages => Self::Messages,
            Granted::Run => Self::Commands,
            Granted::Fetch => Self::Fetch,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Unpair {
    /// The machine: its name or fingerprint, as `xfer peers` shows them
    #[arg(value_name = "NAME", add = names::machines())]
    name: String,
}

/// Lists the paired machines, or changes one of them and shows that.
pub(crate) fn list(
    args: &KnownMachines,
    loudness: &Loudness,
    settings: Option<&Settings>,
) -> Result<Code, Wrong> {
    let allow: BTreeSet<_> = args.allow.iter().copied().collect();
    let deny: BTreeSet<_> = args.deny.iter().copied().collect();
    if let Some(both) = allow.intersection(&deny).next() {
        let both = both.to_possible_value();
        let both = both.as_ref().map_or("it", |value| value.get_name());
        return Err(Wrong(format!("--allow and --deny both name {both}")));
    }
    if let [old, new] = &args.rename[..] {
        check_new_name(new).map_err(|why| Wrong(format!("invalid name '{new}': {why}")))?;
        return Ok(say(loudness, |ui| rename(ui, old, new, settings)));
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
            let allow = allow.iter().map(|&what| (what, true));
            let deny = deny.iter().map(|&what| (what, false));
            let wanted: Vec<_> = allow.chain(deny).collect();
            let changed = machine::peers()?.update(|all| {
                let Some(at) = position(all, name) else {
                    return Ok(None);
                };
                let known = &mut all[at];
                let mut said = Vec::new();
                for &(what, may) in &wanted {
                    said.push(change(known, what, may));
                    known.grant(what.into(), may);
                }
                Ok(Some((known.clone(), said)))
            })?;
            if let Some((_, said)) = &changed {
                ui.say(said.iter().cloned().map(Line::Result));
            }
            Ok(show(ui, name, changed.as_ref().map(|(known, _)| known)))
        }
    }))
}

/// What allowing or denying this changes, in words.
fn change(known: &Known, granted: Granted, may: bool) -> String {
    let name = &known.name;
    let what = match granted {
        Granted::Files => "send files to this machine",
        Granted::Messages => "send messages to this machine",
        Granted::Run => "run commands on this machine",
        Granted::Fetch => "fetch what this machine shares",
    };
    let only_receives = known.may_receive && !known.is_let_in();
    match (known.may(granted.into()), may) {
        (false, true) => format!("{name} may now {what}."),
        (true, false) => format!("{name} may no longer {what}."),
        (true, true) => format!("Nothing changed: {name} may already {what}."),
        (false, false) if only_receives => format!(
            "Nothing changed: {name} only receives from this machine. To forget it, run: \
             xfer unpair {}",
            quoted(name)
        ),
        (false, false) => format!("Nothing changed: {name} may not {what} anyway."),
    }
}

/// Checks a name that the user gives a machine: people must be able to type it as a target.
fn check_new_name(name: &str) -> Result<(), String> {
    parse_name(name).map_err(|why| why.to_string())?;
    if device_name(&Text::new(name)) != name {
        return Err(
            "a name cannot begin or end with a space, or have invisible characters".to_owned(),
        );
    }
    match target(name) {
        Ok(DialTarget::Name(_)) if !name.starts_with('-') => Ok(()),
        _ => Err("xfer would read it as something else than a machine's name".to_owned()),
    }
}

/// Gives one of them another name; says whether it did.
fn rename(ui: &Ui, old: &str, new: &str, settings: Option<&Settings>) -> xfer::Result<bool> {
    let renamed = machine::peers()?.update(|all| {
        let Some(at) = position(all, old) else {
            return Ok(Err(nobody(old)));
        };
        let other = all.iter().enumerate().find(|(n, known)| {
            let is_same = known.name.to_lowercase() == new.to_lowercase();
            *n != at && (is_same || known.fingerprint.to_string() == new)
        });
        if let Some((_, other)) = other {
            return Ok(Err(vec![
                format!("xfer: another paired machine is called '{}'", other.name),
                format!(
                    "Choose another name, or forget that machine: xfer unpair {}",
                    quoted(&other.name)
                ),
            ]));
        }
        let before = std::mem::replace(&mut all[at].name, new.to_owned());
        let told = all[at].announced.clone();
        all[at].calls_itself(&told.unwrap_or_else(|| before.clone()));
        Ok(Ok(before))
    })?;
    let before = match renamed {
        Ok(before) => before,
        Err(lines) => {
            ui.say(lines.into_iter().map(Line::Trouble));
            return Ok(false);
        }
    };
    ui.say([Line::Result(match before == new {
        true => format!("Nothing changed: {new} already has this name."),
        false => format!("Renamed {before} to {new} on this machine."),
    })]);
    let tables = settings.map_or(&[][..], |settings| &settings.peers[..]);
    let has_table = |name: &str| tables.iter().any(|table| table.name == name);
    if before != new && has_table(&before) {
        ui.warn(&format!(
            "The settings for {before} no longer apply. In the settings file, rename {} to {}.",
            config::header(&before),
            config::header(new)
        ));
    }
    if before != new && has_table(new) {
        ui.warn(&format!(
            "The settings in {} now apply to it.",
            config::header(new)
        ));
    }
    Ok(true)
}

fn list_all(ui: &Ui) -> xfer::Result<()> {
    let mut all = machine::peers()?.list()?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if all.is_empty() {
        let text = "No paired machines. To pair, send something to a receiver: xfer send FILE HOST";
        ui.say([Line::Talk(text.to_owned())]);
    }
    let columns = all.iter().map(|known| width(&known.name));
    let columns = columns.filter(|&columns| columns <= MAX_NAME_COLUMNS);
    let columns = columns.max().unwrap_or(0);
    let rows = all.iter().flat_map(|known| lines(known, columns));
    ui.say(rows.map(Line::Answer));
    Ok(())
}

/// Shows one of them, or that no machine has that name; says which.
fn show(ui: &Ui, name: &str, known: Option<&Known>) -> bool {
    match known {
        Some(known) => ui.say(lines(known, 0).map(Line::Answer)),
        None => ui.say(nobody(name).into_iter().map(Line::Trouble)),
    }
    known.is_some()
}

fn nobody(name: &str) -> Vec<String> {
    vec![
        format!("xfer: no paired machine is called '{name}'"),
        "To list the paired machines, run: xfer peers".to_owned(),
    ]
}

/// Which of them is meant. Fingerprints come first, so that no machine can hide another one by
/// taking its fingerprint as a name.
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
        ui.say(match &gone {
            Some(known) => vec![Line::Result(format!(
                "Forgot {}. On that machine, `xfer unpair` forgets this one.",
                known.name
            ))],
            None => nobody(&args.name).into_iter().map(Line::Trouble).collect(),
        });
        Ok(gone.is_some())
    })
}

#[derive(Debug, Args)]
pub(crate) struct Id {
    /// Print the whole fingerprint and nothing else, for `xfer pair --fingerprint`
    #[arg(long)]
    full: bool,
}

/// Shows who this is.
pub(crate) fn id(args: &Id, loudness: &Loudness, settings: &Settings) -> Code {
    say(loudness, |ui| {
        let device = machine::device()?;
        let fingerprint = device.identity.fingerprint();
        let text = match args.full {
            true => fingerprint.to_hex(),
            false => format!("{}  {fingerprint}", settings.name()),
        };
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
    let fetches = known.may_fetch.then(|| "fetch files".to_owned());
    let all: Vec<_> = [sends, fetches, runs].into_iter().flatten().collect();
    let here = match all.is_empty() {
        false => Some(format!("may {} here", all.join(" and "))),
        true if known.may_receive || known.shares => None,
        true => Some("may do nothing here".to_owned()),
    };
    let there = match (known.may_receive, known.shares) {
        (false, false) => None,
        (true, false) => Some("receives from here".to_owned()),
        (false, true) => Some("shares with this machine".to_owned()),
        (true, true) => Some("receives from here and shares with this machine".to_owned()),
    };
    let both: Vec<_> = [here, there].into_iter().flatten().collect();
    both.join(", and ")
}

/// Two lines: who it is, with so many columns for the name, and what it may do.
fn lines(known: &Known, columns: usize) -> [String; 2] {
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
    let pad = " ".repeat(columns.saturating_sub(width(&known.name)));
    [
        format!("{}{pad}  {}", known.name, known.fingerprint),
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

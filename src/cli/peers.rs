//! `xfer peers`, `xfer unpair`, `xfer id`: who is known here, and who this is.
//!
//! Must not talk to anyone: what is known stands in a file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use xfer::net::Known;

use super::arguments::Loudness;
use super::exit::{Code, conclude, written};
use super::hints::Task;
use super::machine;
use super::settings::Settings;
use crate::ui::{Line, Ui, ago};

#[derive(Debug, Args)]
pub(crate) struct Unpair {
    /// Its name, or its fingerprint, as `xfer peers` shows them
    #[arg(value_name = "NAME")]
    name: String,
}

/// Lists who is known here.
pub(crate) fn list(loudness: &Loudness) -> Code {
    say(loudness, |ui| {
        let mut all = machine::peers()?.list()?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        if all.is_empty() {
            let text = "No machines are known here. A receiver gets to know a sender when that \
                        one sends for the first time.";
            ui.say([Line::Talk(text.to_owned())]);
        }
        ui.say(all.iter().flat_map(lines).map(Line::Answer));
        Ok(true)
    })
}

/// Forgets one of them.
pub(crate) fn unpair(args: &Unpair, loudness: &Loudness) -> Code {
    say(loudness, |ui| {
        let gone = machine::peers()?.update(|all| {
            // No machine can hide another one by calling itself what that one is known by.
            let by_key = |k: &Known| k.fingerprint.to_string() == args.name;
            let by_name = |k: &Known| k.name == args.name;
            let at = all.iter().position(by_key);
            let at = at.or_else(|| all.iter().position(by_name));
            Ok(at.map(|at| all.remove(at)))
        })?;
        ui.say([match &gone {
            Some(known) => Line::Result(format!(
                "{} is not known here any more. On that machine, `xfer unpair` forgets this one.",
                known.name
            )),
            None => Line::Trouble(format!(
                "xfer: nobody is known here as {}; `xfer peers` shows who is",
                args.name
            )),
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

fn lines(known: &Known) -> [String; 2] {
    let may = match (known.may_send, known.may_receive) {
        (true, true) => "may send here, and receives from here",
        (true, false) => "may send here",
        (false, true) => "receives from here",
        (false, false) => "may do nothing",
    };
    let unasked = if known.unasked {
        ", without a question"
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

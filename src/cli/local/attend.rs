//! `xfer recv --pair`: shows the codes of a receiver that runs already, such as a service without a
//! terminal.
//!
//! Must not receive, nor change anything but who sees the codes.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use xfer::Error;
use xfer::transfer::Cancel;

use super::super::arguments::{Loudness, Wrong};
use super::super::exit::{Code, conclude};
use super::super::hints::Task;
use super::super::{machine, signals};
use super::{
    FOLDER, LocalAnswer, LocalWish, MAX_ANSWER_BYTES, ReceiverFacts, all, hear, name_of, open,
};
use crate::ui::{Line, Ui, quoted};

/// Shows them until Ctrl-C, or until the receiver ends. Where there are several, `port` says which.
pub(in super::super) fn attend(port: Option<u16>, loudness: &Loudness) -> Result<Code, Wrong> {
    if !std::io::stderr().is_terminal() {
        return Err(Wrong("--pair shows codes: run it in a terminal".to_owned()));
    }
    let Some(data_dir) = machine::data_dir() else {
        return Err(Wrong("cannot find your home directory".to_owned()));
    };
    let ui = Ui::new(loudness.settings(Task::Receive.hints()));
    let found = all(&data_dir);
    let about = match &found[..] {
        [] => {
            ui.say([
                trouble("xfer: you have no receiver running on this machine"),
                trouble("      Start one: xfer recv"),
            ]);
            return Ok(Code::Failed);
        }
        [only] => only,
        several => {
            let mut at_port = several
                .iter()
                .filter(|about| Some(about.listens.port()) == port);
            match at_port.next() {
                Some(about) => about,
                None => {
                    ui.say(choices(several));
                    return Ok(Code::Failed);
                }
            }
        }
    };
    let cancel = Cancel::new();
    let watched = signals::watch(&ui, &cancel);
    ui.start();
    let result = watched.and_then(|()| watch(&ui, &data_dir, about, &cancel));
    let full = matches!(result, Ok(Attended::Full));
    if full {
        ui.say([
            trouble("xfer: too many terminals show the codes of this receiver already"),
            trouble("      Stop `xfer recv --pair` in one of them."),
        ]);
    }
    let code = conclude(&ui, Task::Receive, result.map(|_| None), &cancel);
    Ok(if full { Code::Failed } else { code })
}

/// How it ended, while the receiver goes on.
enum Attended {
    /// The user stopped it.
    Stopped,
    /// The receiver shows its codes to no more terminals.
    Full,
}

fn choices(several: &[ReceiverFacts]) -> Vec<Line> {
    let count = several.len();
    let head = format!("xfer: you have {count} receivers running on this machine; choose one:");
    let each = several.iter().map(|about| {
        let port = about.listens.port();
        let what = what(about);
        trouble(&format!("      xfer recv --pair --listen {port}   {what}"))
    });
    [trouble(&head)].into_iter().chain(each).collect()
}

/// Which receiver it is.
fn what(about: &ReceiverFacts) -> String {
    let process = about.process;
    match (&about.into, about.is_chat) {
        _ if about.is_share => format!("process {process}, sharing files"),
        (_, true) => format!("process {process}, a chat"),
        (Some(into), _) => format!("process {process}, into {}", into.display()),
        (None, _) => format!("process {process}, to standard output"),
    }
}

fn watch(
    ui: &Arc<Ui>,
    data_dir: &Path,
    about: &ReceiverFacts,
    cancel: &Cancel,
) -> xfer::Result<Attended> {
    let gone = || Error::ReceiverGone {
        process: about.process,
    };
    let path = data_dir.join(FOLDER).join(name_of(about.process));
    let (mut reader, _) = open(&path, LocalWish::Codes).map_err(|_| gone())?;
    let stream = reader.get_ref();
    // Until it has something to say.
    let waits = stream.set_timeouts(None, None);
    let closer = waits
        .and_then(|()| stream.try_clone())
        .map_err(|_| gone())?;
    let _cancel = cancel.on_cancel(move || closer.close());
    ui.say([
        Line::Talk(format!(
            "Pairing for the receiver on this machine ({}).",
            what(about)
        )),
        Line::Talk("On the other machine, run:".to_owned()),
    ]);
    let command = match about.is_chat {
        _ if about.is_share => "xfer get",
        true => "xfer chat",
        false => "xfer pair",
    };
    ui.say(machine::addresses(about.listens).into_iter().map(|ip| {
        let at = std::net::SocketAddr::new(ip, about.listens.port());
        Line::Talk(format!("    {command} {}", quoted(&at.to_string())))
    }));
    ui.say([Line::Talk(
        "Codes are shown here. Press Ctrl-C to stop; the receiver goes on.".to_owned(),
    )]);
    loop {
        match hear(&mut reader, MAX_ANSWER_BYTES) {
            Ok(LocalAnswer::Lines(lines)) => ui.say(lines.into_iter().map(Line::Trouble)),
            Ok(LocalAnswer::Facts(_)) => {}
            Ok(LocalAnswer::Full) => return Ok(Attended::Full),
            Err(_) if cancel.is_cancelled() => return Ok(Attended::Stopped),
            Err(_) => return Err(gone()),
        }
    }
}

fn trouble(text: &str) -> Line {
    Line::Trouble(text.to_owned())
}

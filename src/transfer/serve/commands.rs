//! Commands that peers run here: who runs which, and what passes between a command and its peer.
//!
//! Must not start anything itself: the starter does, a process that is not confined as this one is,
//! and looks at each name and argument once more.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use tracing::debug;

use crate::model::command::{CommandEnd, MAX_COMMANDS, MAX_OUTPUT_PART, OutputStream};
use crate::model::error::{Error, Result};
use crate::model::outcome::Decline;
use crate::model::progress::{Event, Peer, Progress};
use crate::model::reason::{AbortReason, SystemError};
use crate::model::text::Text;
use crate::net::{Channel, LAST_WORDS, Writer, say_last, turn_away};
use crate::sys::commands::{
    HowEnded, ListedCommand, RunningCommand, RunningNews, ToldValues, WhichOutput,
};
use crate::sys::worker::{self, Worker};
use crate::wire::limits::MAX_FIRST_MESSAGE_BYTES;
use crate::wire::{CommandOutput, Commands, Message, OfferedCommand, RunCommand};

use super::super::cancel::Cancel;
use super::super::outbox::PING_INTERVAL;
use super::super::tell::{next_told, tell};
use super::ended::command_end;
use super::running::{EndReason, PeerCommand};
use super::shared::ReceiverShared;

/// Tells a peer what it may run here.
pub(super) fn list(shared: &ReceiverShared, channel: &mut Channel) -> Result<()> {
    let starter = shared.options.starter.as_ref();
    let all = starter.map(|starter| starter.list().commands.iter());
    let offered = all.into_iter().flatten().take(MAX_COMMANDS);
    let offered = offered.map(|(name, command)| OfferedCommand {
        name: Text::new(name.as_str()),
        arguments: command.arguments,
    });
    say_last(channel, &Message::Commands(Commands(offered.collect())))
}

/// Runs a command for a peer, to its end.
pub(super) fn run(
    shared: &ReceiverShared,
    (progress, cancel): (&Arc<dyn Progress>, &Cancel),
    mut channel: Channel,
    peer: &Peer,
    request: RunCommand,
) -> Result<()> {
    let caller = peer.caller();
    let name = request.name.as_str().to_owned();
    let starter = shared.options.starter.as_ref();
    let Some((starter, listed)) =
        starter.and_then(|starter| Some((starter, starter.list().commands.get(&name)?)))
    else {
        return turn_away(&mut channel, &caller, Decline::NoCommand);
    };
    let arguments: Vec<_> = request.arguments.into_iter().map(|a| a.0).collect();
    if !listed.takes(&arguments) {
        return turn_away(&mut channel, &caller, Decline::NoArguments);
    }
    let start = || starter.start(&name, arguments, told(peer));
    let Some(begun) = shared
        .commands
        .begin((&name, listed), peer, &channel, start)
    else {
        return turn_away(&mut channel, &caller, Decline::Full);
    };
    let (placed, command) = match begun {
        Ok(begun) => begun,
        Err(e) => {
            let end = CommandEnd::NotStarted(SystemError::from(&e));
            return say_last(&mut channel, &Message::CommandEnded(end));
        }
    };
    let one = placed.one.clone();
    // From now on it is looked after.
    shared.wake_up.raise();
    if cancel.is_cancelled() {
        one.end(EndReason::Stopped);
    }
    debug!(number = one.number, command = one.command, peer = %channel.peer, "command runs");
    let began = Instant::now();
    progress.event(&Event::CommandStarted {
        run: one.number,
        peer,
        name: &one.command,
    });
    let (end, bytes) = pass_on(&mut channel, &one, command, listed);
    drop(placed);
    progress.event(&Event::CommandEnded {
        run: one.number,
        peer,
        name: &one.command,
        end: &end,
        bytes,
        time: began.elapsed(),
    });
    Ok(())
}

/// What a command is told of who has it run.
fn told(peer: &Peer) -> ToldValues {
    let values = [
        ("XFER_PEER", &peer.name),
        ("XFER_PEER_FINGERPRINT", &peer.fingerprint),
    ];
    let values = values.into_iter();
    values
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// Passes on what a command writes, until both it and its peer are done. Gives how it ended, and how
/// many bytes were passed on.
fn pass_on(
    channel: &mut Channel,
    one: &Arc<PeerCommand>,
    command: RunningCommand,
    listed: &ListedCommand,
) -> (CommandEnd, u64) {
    let (peer, features) = (channel.peer, channel.preambles.features());
    let closer = channel.closer.clone();
    // A peer that is slow makes the command wait; that it is there, its pings say.
    let _ = channel.writer.set_timeout(None);
    let (writer, reader) = (&mut channel.writer, &mut channel.reader);
    let (heard, heard_end) = mpsc::channel::<()>();
    let ended = Mutex::new(None);
    let told_end = &ended;
    thread::scope(|scope| {
        let tell_peer = move || {
            let mut say = |message: &Message| tell(writer, peer, features, message);
            let (end, bytes) = to_its_end(one, command, listed, &mut say);
            // As soon as its peer hears that, it may ask for it again.
            one.has_its_end();
            let last = match one.why() {
                Some(EndReason::NotLetIn) => Message::Abort(AbortReason::Unpaired),
                Some(EndReason::Broken(what)) => {
                    Message::Abort(AbortReason::Protocol(Text::new(what)))
                }
                _ => Message::CommandEnded(end.clone()),
            };
            *told_end.lock().unwrap_or_else(PoisonError::into_inner) = Some((end, bytes));
            if say(&last).is_ok() && finish(writer) {
                // It hears all of it before the connection is closed.
                let _ = heard_end.recv_timeout(LAST_WORDS);
            }
            closer.close();
        };
        let on_panic = {
            let (one, closer) = (one.clone(), channel.closer.clone());
            move |_| {
                one.end(EndReason::Stopped);
                closer.close();
            }
        };
        if worker::spawn_scoped(scope, Worker::Command, tell_peer, on_panic).is_err() {
            one.end(EndReason::Stopped);
            channel.closer.close();
            return;
        }
        let why = match next_told(reader, peer, MAX_FIRST_MESSAGE_BYTES) {
            Ok(message) => {
                Error::protocol(peer, format!("a message {} out of turn", message.name()))
            }
            Err(error) => error,
        };
        debug!(number = one.number, "the peer of a command is gone: {why}");
        let is_over = ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some();
        match why {
            _ if is_over => {}
            // It is told that, when the command has ended.
            Error::Protocol { what, .. } => {
                one.end(EndReason::Broken(what));
                let _ = reader.drain();
            }
            _ => {
                one.end(EndReason::Stopped);
                channel.closer.close();
            }
        }
        let _ = heard.send(());
    });
    let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    ended.unwrap_or((CommandEnd::Stopped, 0))
}

fn finish(writer: &mut Writer) -> bool {
    writer.finish().is_ok()
}

/// Says what a command writes, until it has ended.
fn to_its_end(
    one: &PeerCommand,
    mut command: RunningCommand,
    listed: &ListedCommand,
    say: &mut impl FnMut(&Message) -> Result<()>,
) -> (CommandEnd, u64) {
    let mut buffer = vec![0; MAX_OUTPUT_PART];
    let mut bytes = 0;
    let mut listens = true;
    let ended = loop {
        worker::checkpoint(Worker::Command);
        let message = match command.next(&mut buffer, PING_INTERVAL) {
            Ok(RunningNews::Wrote(which, n)) => {
                let left = usize::try_from(listed.output - bytes).unwrap_or(usize::MAX);
                let n = match n > left {
                    true => {
                        one.end(EndReason::Output(listed.output));
                        left
                    }
                    false => n,
                };
                bytes += n as u64;
                if n == 0 {
                    continue;
                }
                Message::CommandOutput(CommandOutput {
                    stream: match which {
                        WhichOutput::Output => OutputStream::Output,
                        WhichOutput::Error => OutputStream::Error,
                    },
                    bytes: buffer[..n].to_vec(),
                })
            }
            Ok(RunningNews::Nothing) => Message::Ping(()),
            Ok(RunningNews::Ended(ended)) => break ended,
            Err(e) => {
                debug!("the output of a command cannot be read: {e}");
                break HowEnded::Stopped;
            }
        };
        if listens && say(&message).is_err() {
            listens = false;
            one.end(EndReason::Stopped);
        }
    };
    let end = match one.why() {
        Some(EndReason::Output(most)) => CommandEnd::OutputLimit(most),
        _ => command_end(&ended),
    };
    (end, bytes)
}

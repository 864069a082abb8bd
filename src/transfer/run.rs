//! Runs a command on another machine, and passes on its output as it is produced.
//!
//! Must not know where that goes: whoever calls says.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::model::command::{CommandEnd, OutputStream};
use crate::model::error::{Action, Error, Result};
use crate::model::outcome::Ability;
use crate::model::progress::Progress;
use crate::model::prompt::Prompt;
use crate::model::text::Text;
use crate::net::{Channel, Writer};
use crate::sys::wake::{Awaited, WakeUp};
use crate::sys::worker::{self, Worker};
use crate::wire::limits::MAX_MESSAGE_BYTES;
use crate::wire::{Argument, Message, OfferedCommand, RunCommand};

use super::cancel::Cancel;
use super::dial::{Connector, Dialed};
use super::options::{Device, DialTarget};
use super::outbox::PING_INTERVAL;
use super::tell::{next_told, tell};

/// Where what a command puts out goes.
pub trait CommandSink: Sync + fmt::Debug {
    /// Takes what it has written to one of its outputs, however long that takes.
    fn write(&self, stream: OutputStream, bytes: &[u8]) -> io::Result<()>;

    /// What tells that nobody reads its standard output any more.
    fn output(&self) -> &File;
}

/// A command to run, and where.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The machine.
    pub to: DialTarget,
    /// What this side calls itself.
    pub name: String,
    /// The name of the command there.
    pub command: String,
    /// What it is given, each as one argument.
    pub arguments: Vec<Vec<u8>>,
}

/// How the other machine is got to know.
#[derive(Clone, Copy)]
pub struct RunFrom<'a> {
    /// This machine.
    pub device: &'a Device,
    /// What only a person can do.
    pub prompt: &'a Arc<dyn Prompt>,
    /// Hears what happens.
    pub progress: &'a Arc<dyn Progress>,
    /// The user's wish to stop, which ends the command there.
    pub cancel: &'a Cancel,
}

impl fmt::Debug for RunFrom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunFrom").finish_non_exhaustive()
    }
}

impl RunFrom<'_> {
    fn ask(self, to: &DialTarget, name: &str, message: &Message) -> Result<Dialed> {
        let connector = Connector::new(self.device, self.prompt, self.progress, self.cancel)?;
        let mut dialed = connector.dial_for(to, name, false, Ability::Commands)?;
        let Channel {
            writer,
            peer,
            preambles,
            ..
        } = &mut dialed.channel;
        tell(writer, *peer, preambles.features(), message)?;
        Ok(dialed)
    }

    fn unless_cancelled<T>(self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.cancel.reason(error))
    }
}

/// What a machine would run for this one.
pub fn list_commands(
    from: RunFrom<'_>,
    to: &DialTarget,
    name: &str,
) -> Result<Vec<OfferedCommand>> {
    let listed = from
        .ask(to, name, &Message::ListCommands(()))
        .and_then(|mut dialed| {
            let channel = &mut dialed.channel;
            match next_told(&mut channel.reader, channel.peer, MAX_MESSAGE_BYTES)? {
                Message::Commands(all) => Ok(all.0),
                other => Err(declined(channel, other)),
            }
        });
    from.unless_cancelled(listed)
}

/// Runs a command on another machine. Says how it ended; none where nobody reads its output any
/// more, of which it was ended.
pub fn run(
    from: RunFrom<'_>,
    options: &RunOptions,
    sink: &dyn CommandSink,
) -> Result<Option<CommandEnd>> {
    let arguments = options.arguments.iter().cloned().map(Argument);
    let message = Message::RunCommand(RunCommand {
        name: Text::new(options.command.as_str()),
        arguments: arguments.collect(),
    });
    let asked = from.ask(&options.to, &options.name, &message);
    let ended = asked.and_then(|mut dialed| follow(&mut dialed.channel, sink));
    from.unless_cancelled(ended)
}

fn declined(channel: &Channel, message: Message) -> Error {
    let peer = channel.peer;
    match message {
        Message::Declined(reason) => Error::Declined { peer, reason },
        other => Error::protocol(peer, format!("a message {} out of turn", other.name())),
    }
}

/// Takes what the command puts out, until it has ended.
fn follow(channel: &mut Channel, sink: &dyn CommandSink) -> Result<Option<CommandEnd>> {
    let (peer, features) = (channel.peer, channel.preambles.features());
    let done = WakeUp::new().map_err(|source| Error::Thread { source })?;
    let unread = AtomicBool::new(false);
    let closer = channel.closer.clone();
    let (writer, reader) = (&mut channel.writer, &mut channel.reader);
    let followed = thread::scope(|scope| {
        let be_there = || {
            let ping = |writer: &mut Writer| tell(writer, peer, features, &Message::Ping(()));
            if watch(&done, sink, || ping(writer).is_ok()) {
                unread.store(true, Ordering::Release);
                closer.close();
            }
        };
        let on_panic = {
            let closer = closer.clone();
            move |_| closer.close()
        };
        worker::spawn_scoped(scope, Worker::Command, be_there, on_panic)
            .map_err(|source| Error::Thread { source })?;
        let ended = loop {
            match next_told(reader, peer, MAX_MESSAGE_BYTES) {
                Ok(Message::CommandOutput(part)) => match sink.write(part.stream, &part.bytes) {
                    Ok(()) => {}
                    Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                        unread.store(true, Ordering::Release);
                        break Ok(CommandEnd::Stopped);
                    }
                    Err(e) => break Err(Error::file(Action::WriteOutput, "standard output", e)),
                },
                Ok(Message::CommandEnded(end)) => break Ok(end),
                Ok(Message::Declined(reason)) => break Err(Error::Declined { peer, reason }),
                Ok(other) => {
                    let what = format!("a message {} out of turn", other.name());
                    break Err(Error::protocol(peer, what));
                }
                Err(error) => break Err(error),
            }
        };
        done.raise();
        // Whatever has ended it here, it is to end there as well.
        closer.close();
        ended
    });
    match unread.into_inner() {
        true => Ok(None),
        false => followed.map(Some),
    }
}

/// Pings until it is done. Says whether nobody reads the output any more.
fn watch(done: &WakeUp, sink: &dyn CommandSink, mut ping: impl FnMut() -> bool) -> bool {
    loop {
        match done.wait_for_either(Awaited::Readers(sink.output()), Some(PING_INTERVAL)) {
            Ok((true, _)) | Err(_) => return false,
            Ok((_, true)) => return true,
            Ok(_) if !ping() => return false,
            Ok(_) => {}
        }
    }
}

//! A member of a room on another machine: joins it, and returns after a lost connection.
//!
//! Must not believe what the host says of who is there: `Roster` checks it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tracing::debug;

use super::super::cancel::Cancel;
use super::super::dial::{Connector, Dialed};
use super::super::link::{Link, SILENCE, Stop};
use super::super::options::{DEFAULT_RETRY, Device, DialTarget};
use super::input::{NextLine, RoomInput};
use super::rate::LineRate;
use super::room::SAID;
use super::roster::{HOST, Roster};
use super::unheard::Unheard;
use crate::model::error::{Error, Result};
use crate::model::outcome::{Ability, Decline};
use crate::model::progress::{Event, Progress};
use crate::model::prompt::{Caller, CodeEntry, Prompt};
use crate::model::reason::AbortReason;
use crate::model::room::RoomEvent;
use crate::model::talk::{MAX_LINE_BYTES, RoomGone};
use crate::model::text::Text;
use crate::net::{
    Beacon, Browser, Channel, FIRST_WORDS, Fingerprint, FingerprintStart, LAST_WORDS, Reader,
    Service, Sighting, aborted, join_room as ask, say,
};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{Message, RoomJoined, RoomLeft, read_small_message};

/// How long it waits before it tries to come back, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How long it must have been in the room for that to be a new beginning.
const STAYED: Duration = Duration::from_secs(10);
/// How long a room that a machine has has to be announced.
const ANNOUNCED: Duration = Duration::from_secs(2);
/// How often it is looked whether the user leaves, while what they said waits to be written.
const LOOK: Duration = Duration::from_millis(50);
/// How many bytes that are to be said wait to be written at most.
const MAX_UNSAID: usize = 64 * 1024;
/// The longest payload of what a host says, in bytes.
const MAX_PAYLOAD: usize = MAX_LINE_BYTES + 1024;

/// Which room to join, and how.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// The machine that it is open on.
    pub to: DialTarget,
    /// What this side calls itself.
    pub name: String,
    /// How long to try to come back after a connection is lost.
    pub retry: Duration,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self {
            to: DialTarget::default(),
            name: String::new(),
            retry: DEFAULT_RETRY,
        }
    }
}

/// Joins the room of another machine, and is in it until `input` ends or the host closes it. Where
/// the connection is lost, it comes back for as long as [`JoinOptions::retry`] says.
///
/// A machine that does not know this one is paired with first: `prompt` is asked for its code, and
/// never once this side has been in the room.
pub fn join_room(
    device: &Device,
    options: &JoinOptions,
    input: &Arc<RoomInput>,
    prompt: &Arc<dyn Prompt>,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<()> {
    let closes = Arc::clone(input);
    let _cancel = cancel.on_cancel(move || {
        closes.close();
        closes.left.cancel();
    });
    let ended = stay(device, options, input, prompt, progress, cancel);
    input.close();
    match ended {
        Err(error) if cancel.is_cancelled() => Err(cancel.reason(error)),
        Ok(()) if cancel.is_cancelled() => Err(Error::Cancelled),
        // Whoever leaves at a terminal does not wait to hear that all arrived.
        Err(error) if input.has_left() => {
            debug!("left: {error}");
            Ok(())
        }
        ended => ended,
    }
}

fn stay(
    device: &Device,
    options: &JoinOptions,
    input: &Arc<RoomInput>,
    prompt: &Arc<dyn Prompt>,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<()> {
    let at_first = Arc::new(AtFirst {
        prompt: prompt.clone(),
        is_over: AtomicBool::new(false),
    });
    let prompt: Arc<dyn Prompt> = at_first.clone();
    // Whoever leaves does not wait for an attempt to come back either.
    let mut connector = Connector::new(device, &prompt, progress, &input.left)?;
    connector.service = Service::Room;
    let mut to = options.to.clone();
    let mut was_there = false;
    let mut is_missing = false;
    let mut lost: Option<Instant> = None;
    let mut wait = BACKOFF.0;
    loop {
        let dialed = connector.dial_for(&to, &options.name, false, Ability::Messages);
        let key = dialed
            .as_ref()
            .ok()
            .map(|dialed| dialed.channel.fingerprint);
        let mut unheard = None;
        let error = match dialed.and_then(|dialed| Attendance::begin(dialed, input)) {
            Ok(attendance) => {
                was_there = true;
                at_first.is_over.store(true, Ordering::Relaxed);
                let came = Instant::now();
                let parting = attendance.run(progress, cancel);
                // Joining may work where staying does not.
                if came.elapsed() >= STAYED {
                    (lost, wait) = (None, BACKOFF.0);
                }
                unheard = parting.unheard;
                is_missing = unheard.is_some();
                match parting.ended {
                    // There is nothing left to come back for.
                    ended if ended.is_ok() || parting.has_left => return ended,
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        // It may have a receiver where it was found, and the room on another port.
        if let (Error::Declined { reason, .. }, Some(key)) = (&error, key)
            && (*reason == Decline::NoRoom && matches!(to, DialTarget::Name(_)))
            && let Some(room) = announced_room(key, &input.left)
        {
            to = room;
            continue;
        }
        let since = *lost.get_or_insert_with(Instant::now);
        let again = error.is_lost_connection()
            || matches!(
                error,
                Error::Connect { .. }
                    | Error::Resolve { .. }
                    | Error::Unreachable { .. }
                    | Error::NotFound(_)
                    | Error::NotXfer { .. }
                    // Only its machine's receiver is back; or its host does not know yet that this
                    // side was lost.
                    | Error::Declined {
                        reason: Decline::NoRoom | Decline::Full | Decline::TooManySessions,
                        ..
                    }
            );
        debug!(was_there, again, "not in the room: {error}");
        let is_over = cancel.is_cancelled() || since.elapsed() + wait > options.retry;
        if !was_there || !again || is_over {
            return Err(error);
        }
        let lost = RoomEvent::Lost {
            error: &error,
            wait,
            unheard: unheard.map(|since| since.elapsed()),
        };
        progress.event(&Event::Room(lost));
        if input.wait_to_leave(wait) {
            return match is_missing {
                true => Err(error),
                false => Ok(()),
            };
        }
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// Asks for a code until this side has been in the room: from then on, what is typed is said there.
#[derive(Debug)]
struct AtFirst {
    prompt: Arc<dyn Prompt>,
    is_over: AtomicBool,
}

impl Prompt for AtFirst {
    fn enter_code(&self, caller: &Caller, again: bool, gone: &dyn Fn() -> bool) -> CodeEntry {
        match self.is_over.load(Ordering::Relaxed) {
            true => CodeEntry::Nobody,
            false => self.prompt.enter_code(caller, again, gone),
        }
    }
}

/// Where the machine of this key has announced a room, if it does so soon.
fn announced_room(key: Fingerprint, cancel: &Cancel) -> Option<DialTarget> {
    let browser = Browser::start(&[key]).ok()?;
    let (closer, on_cancel) = (browser.closer(), browser.closer());
    let _cancel = cancel.on_cancel(move || on_cancel.close());
    let end = Instant::now() + ANNOUNCED;
    let is_it = |beacon: &Beacon| {
        beacon.service == Service::Room && beacon.fingerprint == FingerprintStart::of(&key)
    };
    let mut found = None;
    while found.is_none()
        && let Some(sighting) = browser.next(end)
    {
        found = match sighting {
            Sighting::Found(beacon) if is_it(&beacon) => Some(beacon),
            _ => None,
        };
    }
    closer.close();
    found.map(|beacon| DialTarget::Announced(Box::new(beacon)))
}

/// Being in the room on one connection.
struct Attendance<'a> {
    channel: Channel,
    joined: RoomJoined,
    roster: Roster,
    input: &'a Arc<RoomInput>,
}

impl<'a> Attendance<'a> {
    /// Asks to be in the room.
    fn begin(dialed: Dialed, input: &'a Arc<RoomInput>) -> Result<Self> {
        let Dialed {
            mut channel,
            greeted,
            cancel: _cancel,
            ..
        } = dialed;
        let joined = ask(&mut channel)?;
        let roster = match Roster::of(&joined, &greeted.peer.name) {
            Ok(roster) => roster,
            Err(what) => {
                let reason = AbortReason::Protocol(Text::new(what));
                let _ = say(&mut channel, &Message::Abort(reason));
                return Err(Error::protocol(channel.peer, what));
            }
        };
        Ok(Self {
            channel,
            joined,
            roster,
            input,
        })
    }

    /// Is there, until one of the two ends it.
    fn run(mut self, progress: &Arc<dyn Progress>, cancel: &Cancel) -> Parting {
        let speech = Speech::default();
        let link = Arc::new(Link::new(&self.channel));
        let stop: Weak<dyn Stop> = Arc::<RoomInput>::downgrade(self.input);
        link.stop_with(stop);
        let cancelled = link.clone();
        let _cancel = cancel.on_cancel(move || cancelled.fail(Error::Cancelled));
        progress.event(&Event::Room(RoomEvent::Joined {
            you: self.joined.you,
            members: &self.roster.all(),
        }));
        let you = self.roster.get(self.joined.you);
        self.input
            .open(you.map_or_else(String::new, |you| you.name));
        let Channel {
            mut reader,
            mut writer,
            ..
        } = self.channel;
        let _ = writer.set_timeout(Some(SILENCE));
        let (input, you) = (self.input, self.joined.you);
        thread::scope(|scope| {
            let write = || link.write(&mut writer, SILENCE, || None);
            let spawned = link
                .spawn(scope, Worker::Writer, write)
                .and_then(|()| link.spawn(scope, Worker::Speaker, || speak(&link, input, &speech)));
            if let Err(error) = spawned {
                link.fail(error);
            }
            link.listen(&mut reader, |reader| {
                match hear_all(&link, reader, &mut self.roster, you, &speech, progress) {
                    Ok(()) => {
                        link.outbox.close();
                        link.complete();
                    }
                    Err(error) => link.fail(error),
                }
                reader.set_deadline(Some(Instant::now() + LAST_WORDS));
                let _ = reader.drain();
                link.heard_end();
            });
            link.close_all();
        });
        Parting {
            ended: link.result(),
            has_left: speech.has_ended(),
            unheard: speech.unheard.since(),
        }
    }
}

/// How being in the room on one connection ended.
struct Parting {
    ended: Result<()>,
    /// Whether this side had said that it leaves.
    has_left: bool,
    /// Since when what this side has said may not have arrived.
    unheard: Option<Instant>,
}

/// What this side says on one connection.
#[derive(Debug, Default)]
struct Speech {
    unheard: Unheard,
    /// Whether it has said that it leaves.
    ended: AtomicBool,
}

impl Speech {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Says what the user has to say, until the connection or that ends.
fn speak(link: &Arc<Link>, input: &RoomInput, speech: &Speech) {
    let (in_a_second, at_once) = SAID;
    let mut rate = LineRate::new(in_a_second, at_once, Instant::now());
    while let Some(next) = input.next(|| link.is_over()) {
        checkpoint(Worker::Speaker);
        let NextLine::Line(line) = next else {
            // The host has heard it all once it ends its side.
            speech.ended.store(true, Ordering::Relaxed);
            link.outbox.push(Message::Leave(()));
            link.outbox.close();
            if input.has_left() {
                link.close_soon();
            }
            return;
        };
        while link.outbox.waiting() > MAX_UNSAID && !link.is_over() && !input.has_left() {
            link.is_over_within(LOOK);
        }
        if link.is_over() {
            return input.put_back(line);
        }
        let wait = rate.take(line.as_str().len(), Instant::now());
        speech.unheard.say(Instant::now());
        link.outbox.push(Message::RoomSay(line));
        link.is_over_within(wait);
    }
}

/// Hears all that the host says. Ends well where the room is closed, or this side has left it.
fn hear_all(
    link: &Link,
    reader: &mut Reader,
    roster: &mut Roster,
    you: u32,
    speech: &Speech,
    progress: &Arc<dyn Progress>,
) -> Result<()> {
    let broken = |what: &str| Error::protocol(link.peer, what);
    let tell = |event: RoomEvent<'_>| progress.event(&Event::Room(event));
    loop {
        // Only a whole message is a sign of life.
        let time = match speech.has_ended() {
            true => FIRST_WORDS,
            false => SILENCE,
        };
        reader.set_deadline(Some(Instant::now() + time));
        let message = match read_small_message(reader, MAX_PAYLOAD) {
            Ok(message) => message,
            // The host has ended its side in order, having heard that this one leaves.
            Err(_) if speech.has_ended() && reader.drain().is_ok() => return Ok(()),
            Err(error) => return Err(link.wire_error(error)),
        };
        checkpoint(Worker::Control);
        link.heard();
        speech.unheard.hear(Instant::now());
        match message {
            Message::Ping(()) => {}
            Message::RoomCame(member) => {
                let member = roster.came(&member).map_err(broken)?;
                tell(RoomEvent::Came(&member));
            }
            Message::RoomLeft(RoomLeft { number, why }) if number == you => {
                return Err(Error::Aborted {
                    peer: link.peer,
                    reason: put_out(why),
                });
            }
            Message::RoomLeft(RoomLeft { number, why }) => {
                let left = (number != HOST).then(|| roster.left(number)).flatten();
                let member = left.ok_or_else(|| broken("somebody has left who was not there"))?;
                tell(RoomEvent::Left {
                    member: &member,
                    why,
                });
            }
            Message::RoomSaid(said) => {
                let member = (said.number != you).then(|| roster.get(said.number));
                let member = member.flatten();
                let member = member.ok_or_else(|| broken("a line of somebody who is not there"))?;
                tell(RoomEvent::Said {
                    member: &member,
                    line: &said.line,
                });
            }
            Message::Leave(()) => {
                let host = roster.get(HOST).map_or_else(String::new, |host| host.name);
                tell(RoomEvent::Closed { host: &host });
                return Ok(());
            }
            other => {
                return Err(aborted(link.peer, other).unwrap_or_else(|other| {
                    Error::protocol(link.peer, format!("a message {} in a room", other.name()))
                }));
            }
        }
    }
}

/// Why the host has put this side out.
fn put_out(why: RoomGone) -> AbortReason {
    match why {
        RoomGone::NotLetIn => AbortReason::Unpaired,
        RoomGone::Flooding => AbortReason::Other(Text::new("too much was said at once")),
        _ => AbortReason::Other(Text::new("it wants this side out of the room")),
    }
}

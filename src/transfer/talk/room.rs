//! `Room`: a room on this machine. Its host passes on what each member says to all others.
//!
//! Must not wait for a member that does not read: it is put out. What happens is ordered by one
//! lock: all hear it in that order.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::debug;

use super::super::link::{HEARD, Link, SILENCE};
use super::rate::{LineRate, MemberPace, TakenLine};
use super::roster::{HOST, Roster};
use crate::model::error::{Error, Result};
use crate::model::outcome::Decline;
use crate::model::progress::{Event, Peer, Progress, Trust};
use crate::model::room::{NamedMember, RoomEvent};
use crate::model::talk::{MAX_LINE_BYTES, RoomGone, TalkLine};
use crate::net::{Channel, Fingerprint, LAST_WORDS, Reader, aborted, turn_away};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{Message, RoomJoined, RoomLeft, RoomMember, RoomSaid, read_small_message};

/// How many bytes wait for a member at most. One for whom more do is put out.
const MAX_BEHIND: usize = 1 << 20;
/// The longest payload of what a member says, in bytes.
const MAX_PAYLOAD: usize = MAX_LINE_BYTES + 1024;
/// How many lines in a second, and how many at once, the host takes from a member: more than
/// xfer says of its own accord.
const TAKEN: (u32, u32) = (50, 200);
/// How many lines and how many at once xfer itself says: see [`super::member`].
pub(super) const SAID: (u32, u32) = (25, 100);
/// How often whoever has one key can be in the room at once: once in each of some terminals.
const MAX_OF_ONE: usize = 4;
/// How often it is looked whether all may still be here.
const LOOK: Duration = Duration::from_secs(1);

/// A member, and why it is there.
struct JoinedMember {
    link: Arc<Link>,
    fingerprint: Fingerprint,
    trust: Trust,
    /// What it is known by here, whatever it is called in the room.
    known_as: String,
    /// Why it is put out, once it is.
    put_out: Option<RoomGone>,
}

impl JoinedMember {
    /// Puts in a message, unless too much waits.
    fn tell(&mut self, message: Message) {
        let link = &self.link;
        if link.is_over() {
            return;
        }
        if link.outbox.waiting() > MAX_BEHIND {
            self.put_out = Some(RoomGone::NotReading);
            link.fail(Error::Silent {
                peer: link.peer,
                seconds: link.silent_for().as_secs(),
            });
            return;
        }
        link.outbox.push(message);
    }
}

struct RoomState {
    roster: Roster,
    members: HashMap<u32, JoinedMember>,
    /// What the host itself says.
    rate: LineRate,
    /// How fast lines are taken from members, and from those who have left a moment ago.
    paces: HashMap<Fingerprint, MemberPace>,
    looked: Option<Instant>,
    closed: bool,
}

impl RoomState {
    /// Tells all but one of them.
    fn tell_others(&mut self, but: u32, message: &Message) {
        for (_, member) in self.members.iter_mut().filter(|(n, _)| **n != but) {
            member.tell(message.clone());
        }
    }
}

impl RoomState {
    /// Whether one more of this key may come. Coming counts as a line.
    fn lets_come(&mut self, key: Fingerprint, now: Instant) -> bool {
        let members = &self.members;
        let is_there = |key: &Fingerprint| members.values().any(|m| m.fingerprint == *key);
        (self.paces).retain(|key, pace| !pace.is_over(now) || is_there(key));
        let of_it = |member: &&JoinedMember| member.fingerprint == key && !member.link.is_over();
        let few = self.members.values().filter(of_it).count() < MAX_OF_ONE;
        let pace = self.paces.entry(key);
        let pace = pace.or_insert_with(|| MemberPace::new(TAKEN, now));
        few && pace.take(0, now).wait.is_zero()
    }
}

/// A room that is open here.
pub struct Room {
    state: Mutex<RoomState>,
    changed: Condvar,
}

/// A member, until it is dropped.
struct RoomMembership<'a> {
    room: &'a Room,
    member: NamedMember,
    why: RoomGone,
    progress: &'a Arc<dyn Progress>,
}

impl Drop for RoomMembership<'_> {
    fn drop(&mut self) {
        self.room.remove(&self.member, self.why, self.progress);
    }
}

impl Room {
    /// A room with nobody in it but its host, who has this name.
    #[must_use]
    pub fn new(host: &str) -> Self {
        let (in_a_second, at_once) = SAID;
        Self {
            state: Mutex::new(RoomState {
                roster: Roster::new(host),
                members: HashMap::new(),
                rate: LineRate::new(in_a_second, at_once, Instant::now()),
                paces: HashMap::new(),
                looked: None,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, RoomState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its host is called.
    #[must_use]
    pub fn host(&self) -> String {
        self.state()
            .roster
            .get(HOST)
            .map_or_else(String::new, |host| host.name)
    }

    /// Says a line to all members. One that has much to say has to wait. Says whether the room is
    /// still open.
    pub fn say(&self, line: TalkLine) -> bool {
        let mut state = self.state();
        let wait = state.rate.take(line.as_str().len(), Instant::now());
        let said = Message::RoomSaid(RoomSaid { number: HOST, line });
        state.tell_others(HOST, &said);
        drop(state);
        !self.is_closed_within(wait)
    }

    /// Waits so long, unless the room is closed. Says whether it is.
    fn is_closed_within(&self, time: Duration) -> bool {
        let state = self.state();
        if time.is_zero() {
            return state.closed;
        }
        let waited = (self.changed).wait_timeout_while(state, time, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Closes the room: all members are told, and have as long as last words take to hear it.
    pub(in super::super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        for member in state.members.values() {
            let link = &member.link;
            link.outbox.push(Message::Leave(()));
            link.outbox.close();
            link.complete();
            link.close_soon();
        }
        self.changed.notify_all();
        let is_full = |state: &mut RoomState| !state.members.is_empty();
        drop(
            self.changed
                .wait_timeout_while(state, 2 * LAST_WORDS, is_full),
        );
    }

    /// Puts out those who are not `still_let_in`, by their key, why they were, and their name.
    /// Says when to come again; never where nobody is there.
    pub(in super::super) fn look(
        &self,
        still_let_in: impl Fn(Fingerprint, Trust, &str) -> bool,
    ) -> Option<Duration> {
        let mut state = self.state();
        if state.members.is_empty() {
            return None;
        }
        let since = state.looked.map(|looked| looked.elapsed());
        if let Some(since) = since.filter(|&since| since < LOOK) {
            return Some(LOOK.saturating_sub(since));
        }
        state.looked = Some(Instant::now());
        for member in state.members.values_mut() {
            if !still_let_in(member.fingerprint, member.trust, &member.known_as) {
                member.put_out.get_or_insert(RoomGone::NotLetIn);
                member.link.fail(Error::Unpaired {
                    peer: member.link.peer,
                    name: member.known_as.clone(),
                });
            }
        }
        Some(LOOK)
    }

    /// Has a peer in the room until one of the two ends it. `joined` is called once it is there.
    pub(in super::super) fn serve(
        &self,
        mut channel: Channel,
        peer: &Peer,
        progress: &Arc<dyn Progress>,
        joined: impl FnOnce(),
    ) -> Result<()> {
        let link = Arc::new(Link::new(&channel));
        let membership = match self.join(&link, channel.fingerprint, peer, progress) {
            Ok(membership) => membership,
            Err(decline) => return turn_away(&mut channel, &peer.caller(), decline),
        };
        joined();
        self.listen(&link, channel, membership);
        Ok(())
    }

    fn join<'a>(
        &'a self,
        link: &Arc<Link>,
        fingerprint: Fingerprint,
        peer: &Peer,
        progress: &'a Arc<dyn Progress>,
    ) -> Result<RoomMembership<'a>, Decline> {
        let mut state = self.state();
        if state.closed {
            return Err(Decline::NoRoom);
        }
        // It may be its own last connection, of which only this side has not heard the end.
        for member in state.members.values() {
            if member.fingerprint == fingerprint && member.link.silent_for() > HEARD {
                member.link.fail(Error::Silent {
                    peer: member.link.peer,
                    seconds: HEARD.as_secs(),
                });
            }
        }
        if !state.lets_come(fingerprint, Instant::now()) {
            return Err(Decline::Full);
        }
        let member = state.roster.add(&peer.name).ok_or(Decline::Full)?;
        debug!(number = member.number, name = member.name, peer = %link.peer, "joins the room");
        let all = state.roster.all();
        link.outbox.push(Message::RoomJoined(RoomJoined {
            you: member.number,
            members: all.iter().map(RoomMember::from).collect(),
        }));
        let came = Message::RoomCame(RoomMember::from(&member));
        state.tell_others(member.number, &came);
        progress.event(&Event::Room(RoomEvent::Came(&member)));
        state.members.insert(
            member.number,
            JoinedMember {
                link: link.clone(),
                fingerprint,
                trust: peer.trust,
                known_as: peer.name.clone(),
                put_out: None,
            },
        );
        Ok(RoomMembership {
            room: self,
            member,
            why: RoomGone::Lost,
            progress,
        })
    }

    fn remove(&self, member: &NamedMember, why: RoomGone, progress: &Arc<dyn Progress>) {
        let mut state = self.state();
        let joined = state.members.remove(&member.number);
        let why = joined.and_then(|joined| joined.put_out).unwrap_or(why);
        debug!(number = member.number, ?why, "is not in the room any more");
        state.roster.left(member.number);
        let left = RoomLeft {
            number: member.number,
            why,
        };
        state.tell_others(member.number, &Message::RoomLeft(left));
        if !state.closed {
            progress.event(&Event::Room(RoomEvent::Left { member, why }));
        }
        drop(state);
        self.changed.notify_all();
    }

    fn listen(&self, link: &Arc<Link>, channel: Channel, mut membership: RoomMembership<'_>) {
        let Channel {
            mut reader,
            mut writer,
            ..
        } = channel;
        let _ = writer.set_timeout(Some(SILENCE));
        thread::scope(|scope| {
            // Only pings come by themselves.
            let write = || link.write(&mut writer, SILENCE, || None);
            if let Err(error) = link.spawn(scope, Worker::Writer, write) {
                link.fail(error);
            }
            let ended = link.listen(&mut reader, |reader| {
                let why = self.hear_all(link, reader, &membership);
                (why, reader.set_deadline(Some(Instant::now() + LAST_WORDS)))
            });
            membership.why = ended.map_or(RoomGone::Lost, |(why, ())| why);
            // The others hear it now, whatever it still has to say.
            let number = membership.member.number;
            drop(membership);
            debug!(number, "hears the end");
            let _ = reader.drain();
            link.heard_end();
            link.close_all();
        });
    }

    /// Hears all that a member says, and says why it goes.
    fn hear_all(
        &self,
        link: &Arc<Link>,
        reader: &mut Reader,
        membership: &RoomMembership<'_>,
    ) -> RoomGone {
        loop {
            // Only a whole message is a sign of life.
            reader.set_deadline(Some(Instant::now() + SILENCE));
            let message = match read_small_message(reader, MAX_PAYLOAD) {
                Ok(message) => message,
                Err(error) => return fail(link, link.wire_error(error)),
            };
            checkpoint(Worker::Control);
            link.heard();
            match message {
                Message::Ping(()) => {}
                Message::RoomSay(line) => {
                    let Some(taken) = self.hand_on(membership, line) else {
                        continue;
                    };
                    if taken.is_flood {
                        link.outbox.push(Message::RoomLeft(RoomLeft {
                            number: membership.member.number,
                            why: RoomGone::Flooding,
                        }));
                        return end(link, RoomGone::Flooding);
                    }
                    // What it says then waits in its own connection.
                    self.is_closed_within(taken.wait);
                }
                Message::Leave(()) => return end(link, RoomGone::Left),
                other => {
                    let error = aborted(link.peer, other).unwrap_or_else(|other| {
                        let what = format!("a message {} in a room", other.name());
                        Error::protocol(link.peer, what)
                    });
                    return fail(link, error);
                }
            }
        }
    }

    /// Tells all others of a line; none of that where its member is not there any more.
    fn hand_on(&self, membership: &RoomMembership<'_>, line: TalkLine) -> Option<TakenLine> {
        let RoomMembership {
            member, progress, ..
        } = membership;
        let mut state = self.state();
        // It may have been put out while this was on its way.
        let joined = state.members.get(&member.number)?;
        if state.closed || joined.link.is_over() {
            return None;
        }
        let key = joined.fingerprint;
        let taken = state.paces.get_mut(&key)?;
        let taken = taken.take(line.as_str().len(), Instant::now());
        progress.event(&Event::Room(RoomEvent::Said {
            member,
            line: &line,
        }));
        let said = Message::RoomSaid(RoomSaid {
            number: member.number,
            line,
        });
        state.tell_others(member.number, &said);
        Some(taken)
    }
}

/// Ends a member's connection in order.
fn end(link: &Link, why: RoomGone) -> RoomGone {
    link.outbox.close();
    link.complete();
    why
}

/// Ends it out of order.
fn fail(link: &Arc<Link>, error: Error) -> RoomGone {
    let why = match &error {
        Error::Aborted { .. } => RoomGone::Left,
        Error::Protocol { .. } => RoomGone::Broken,
        _ => RoomGone::Lost,
    };
    link.fail(error);
    why
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

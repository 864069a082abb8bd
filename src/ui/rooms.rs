//! Sentences for what happens in a room.
//!
//! Must not make names or lines safe for a terminal: the screen does, for all lines.

use std::time::Duration;

use xfer::model::room::{NamedMember, RoomEvent};
use xfer::model::talk::RoomGone;

use super::sentences;

/// What to print for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RoomWords {
    /// What somebody else said.
    Said { name: String, text: String },
    /// News.
    Talk(String),
    /// What went wrong.
    Trouble(String),
}

/// The words for an event.
pub(super) fn words(event: &RoomEvent<'_>) -> Option<RoomWords> {
    Some(RoomWords::Talk(match event {
        RoomEvent::Joined { you, members } => joined(*you, members),
        RoomEvent::Came(member) => format!("{} joined.", member.name),
        RoomEvent::Left { member, why } => left(&member.name, *why),
        RoomEvent::Said { member, line } => {
            return Some(RoomWords::Said {
                name: member.name.clone(),
                text: line.as_str().to_owned(),
            });
        }
        RoomEvent::Lost { error, unheard, .. } => {
            return Some(RoomWords::Trouble(format!(
                "{}.{} Reconnecting; you miss what is said meanwhile.",
                sentences::error(error),
                unheard.map_or_else(String::new, missing)
            )));
        }
        RoomEvent::Closed { host } => format!("{host} closed the chat."),
        // The command that opens a room says so itself.
        _ => return None,
    }))
}

fn joined(you: u32, members: &[NamedMember]) -> String {
    let named = |member: &NamedMember| member.name.clone();
    let host = members.first().map_or_else(String::new, named);
    let mut others = members.iter().skip(1).filter(|other| other.number != you);
    let mut all = others
        .next()
        .map_or_else(String::new, |first| format!(", with {}", first.name));
    for other in others {
        all = format!("{all}, {}", other.name);
    }
    format!("You are in the chat on {host}{all}.")
}

/// What the other side may have missed when the connection was lost.
fn missing(unheard: Duration) -> String {
    let time = match unheard.as_secs() {
        0 => "second".to_owned(),
        seconds => format!("{} seconds", seconds + 1),
    };
    format!(" The last {time} of what you said may be lost.")
}

fn left(name: &str, why: RoomGone) -> String {
    match why {
        RoomGone::Left => format!("{name} left."),
        RoomGone::Lost => format!("{name} is gone: connection lost."),
        RoomGone::NotReading => format!("{name} was removed: it did not keep up."),
        RoomGone::Flooding => format!("{name} was removed: it sent too much at once."),
        RoomGone::NotLetIn => format!("{name} was removed: it is no longer allowed here."),
        _ => format!("{name} was removed: it broke the protocol."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_joins_hears_who_is_there() {
        let member = |number, name: &str| NamedMember {
            number,
            name: name.to_owned(),
        };
        let all = [
            member(0, "desktop"),
            member(1, "me"),
            member(2, "anna"),
            member(3, "bo"),
        ];
        assert_eq!(joined(1, &all[..2]), "You are in the chat on desktop.");
        assert_eq!(
            joined(1, &all),
            "You are in the chat on desktop, with anna, bo."
        );
    }
}

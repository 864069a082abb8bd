//! `Roster`: who is in a room, under names that tell them apart.
//!
//! Must not believe a host: a number that is not there, or is used again, is an error.

use std::collections::BTreeMap;

use crate::model::room::NamedMember;
use crate::model::talk::MAX_ROOM_MEMBERS;
use crate::model::text::Text;
use crate::net::{MAX_NAME_BYTES, device_name};
use crate::wire::{RoomJoined, RoomMember};

/// The number of a room's host.
pub(super) const HOST: u32 = 0;

/// Who is in a room.
#[derive(Debug)]
pub(super) struct Roster {
    names: BTreeMap<u32, String>,
    /// The next number that was never used, where there is one.
    next: Option<u32>,
}

impl Roster {
    /// The room of a host with nobody else in it.
    pub(super) fn new(host: &str) -> Self {
        Self {
            names: BTreeMap::from([(HOST, device_name(&Text::new(host)))]),
            next: Some(HOST + 1),
        }
    }

    /// What a member is told that has just come. The host is called what it is known by here.
    pub(super) fn of(joined: &RoomJoined, host: &str) -> Result<Self, &'static str> {
        let mut roster = Self::new(host);
        let mut members: Vec<_> = joined.members.iter().collect();
        members.sort_by_key(|member| member.number);
        if members.first().is_none_or(|first| first.number != HOST) {
            return Err("a room without its host");
        }
        for member in members.into_iter().skip(1) {
            roster.came(member)?;
        }
        match joined.you != HOST && roster.names.contains_key(&joined.you) {
            true => Ok(roster),
            false => Err("a room that this side is not in"),
        }
    }

    /// Gives somebody a number; none where there are too many.
    pub(super) fn add(&mut self, name: &str) -> Option<NamedMember> {
        let number = self.next?;
        let came = self.came(&RoomMember {
            number,
            name: Text::new(name),
        });
        came.ok()
    }

    /// Takes in somebody who has come. A number that is not higher than all before is an error.
    pub(super) fn came(&mut self, member: &RoomMember) -> Result<NamedMember, &'static str> {
        let number = member.number;
        if self.next.is_none_or(|next| number < next) {
            return Err("a number in a room that was used before");
        }
        if self.names.len() >= MAX_ROOM_MEMBERS {
            return Err("more members of a room than may be");
        }
        let name = self.distinct(device_name(&member.name));
        self.next = number.checked_add(1);
        self.names.insert(number, name.clone());
        Ok(NamedMember { number, name })
    }

    /// Takes somebody out; none where nobody has that number.
    pub(super) fn left(&mut self, number: u32) -> Option<NamedMember> {
        let name = self.names.remove(&number)?;
        Some(NamedMember { number, name })
    }

    /// Who has this number.
    pub(super) fn get(&self, number: u32) -> Option<NamedMember> {
        let name = self.names.get(&number)?.clone();
        Some(NamedMember { number, name })
    }

    /// All of them, the host first.
    pub(super) fn all(&self) -> Vec<NamedMember> {
        let all = self.names.iter();
        all.map(|(&number, name)| NamedMember {
            number,
            name: name.clone(),
        })
        .collect()
    }

    /// A name that nobody has, in any case of letters: `laptop`, `laptop (2)`.
    fn distinct(&self, name: String) -> String {
        let is_taken = |name: &str| {
            let name = name.to_lowercase();
            self.names
                .values()
                .any(|other| other.to_lowercase() == name)
        };
        if !is_taken(&name) {
            return name;
        }
        let mut numbered = (2..).map(|n: u32| {
            let number = format!(" ({n})");
            let mut end = name.len().min(MAX_NAME_BYTES - number.len());
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            format!("{}{number}", name[..end].trim_end())
        });
        numbered.find(|name| !is_taken(name)).unwrap_or(name)
    }
}

impl From<&NamedMember> for RoomMember {
    fn from(member: &NamedMember) -> Self {
        Self {
            number: member.number,
            name: Text::new(member.name.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u32, name: &str) -> RoomMember {
        RoomMember {
            number,
            name: name.into(),
        }
    }

    fn names(roster: &Roster) -> Vec<String> {
        roster.all().into_iter().map(|m| m.name).collect()
    }

    #[test]
    fn two_of_one_name_are_told_apart() {
        let mut roster = Roster::new("laptop");
        for name in ["laptop", "Laptop", "desktop", "laptop (2)"] {
            roster.add(name).unwrap();
        }
        let expected = [
            "laptop",
            "laptop (2)",
            "Laptop (3)",
            "desktop",
            "laptop (2) (2)",
        ];
        assert_eq!(names(&roster), expected);
        // However long they are, and whatever comes between.
        let long = "ä".repeat(100);
        let (first, second) = (roster.add(&long).unwrap(), roster.add(&long).unwrap());
        assert_ne!(first.name, second.name);
        assert!(second.name.ends_with("ä (2)") && second.name.len() <= MAX_NAME_BYTES);
    }

    #[test]
    fn no_number_comes_twice() {
        let mut roster = Roster::new("host");
        let first = roster.add("a").unwrap();
        assert_eq!(roster.left(first.number).unwrap().name, "a");
        assert_eq!(roster.left(first.number), None);
        assert_eq!(roster.add("a").unwrap().number, 2);
        assert!(roster.came(&member(1, "b")).is_err());
        assert!(roster.came(&member(0, "b")).is_err());
        assert!(roster.came(&member(u32::MAX, "b")).is_ok());
        assert_eq!(roster.add("c"), None);
    }

    #[test]
    fn there_are_never_too_many() {
        let mut roster = Roster::new("host");
        let added = (0..100).filter(|n| roster.add(&format!("{n}")).is_some());
        assert_eq!(added.count(), MAX_ROOM_MEMBERS - 1);
    }

    #[test]
    fn what_a_host_says_of_its_room_is_checked() {
        let joined = |you, members: &[(u32, &str)]| RoomJoined {
            you,
            members: members.iter().map(|&(n, name)| member(n, name)).collect(),
        };
        let of = |joined: &RoomJoined| Roster::of(joined, "desktop").map(|r| names(&r));
        let well = joined(7, &[(7, "\x1b[31mme\u{202e}"), (0, "anna"), (3, "anna")]);
        assert_eq!(of(&well).unwrap(), ["desktop", "anna", "[31mme"]);
        for bad in [
            joined(0, &[(0, "a"), (1, "b")]),
            joined(2, &[(0, "a"), (1, "b")]),
            joined(1, &[(1, "b")]),
            joined(1, &[]),
            joined(1, &[(0, "a"), (1, "b"), (1, "c")]),
            joined(1, &[(0, "a"), (0, "b"), (1, "c")]),
        ] {
            assert!(of(&bad).is_err(), "{bad:?}");
        }
    }
}

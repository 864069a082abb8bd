//! `Purpose`: what a listener is for.
//!
//! Must not decide who is let in.

use std::sync::Arc;

use crate::model::outcome::{Ability, Role};
use crate::net::Service;

use super::super::share::SharedFiles;
use super::super::talk::Room;

/// What a listener is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// To receive files, messages and commands.
    Receive,
    /// To host this room. Nothing is received.
    Room(Arc<Room>),
    /// To let others fetch these files. Nothing is received.
    Share(Arc<SharedFiles>),
}

impl Purpose {
    /// What this side does in a transfer.
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Receive | Self::Room(_) => Role::Receiver,
            Self::Share(_) => Role::Sender,
        }
    }

    /// What pairing with this listener lets the other machine do, first of all.
    pub(super) fn ability(&self) -> Ability {
        match self {
            Self::Receive | Self::Room(_) => Ability::Files,
            Self::Share(_) => Ability::Fetch,
        }
    }

    /// What the network is told.
    pub(super) fn service(&self) -> Service {
        match self {
            Self::Receive => Service::Receiver,
            Self::Room(_) => Service::Room,
            Self::Share(_) => Service::Share,
        }
    }

    /// The room, if it is for that.
    pub(super) fn room(&self) -> Option<&Arc<Room>> {
        match self {
            Self::Room(room) => Some(room),
            Self::Receive | Self::Share(_) => None,
        }
    }
}

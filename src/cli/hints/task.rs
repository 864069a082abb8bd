//! `Task`: what the program is doing. What to do about an error depends on it.
//!
//! Must not look at errors.

use xfer::model::outcome::Role;

/// What the program is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Send,
    /// Sending standard input, which cannot be read twice.
    SendStream,
    /// Sending a message.
    Say,
    Receive,
    /// Receiving a stream that another machine sends.
    ReceivedStream,
    /// Receiving to standard output, which cannot be taken back.
    ReceiveStream,
    /// Running a command on another machine.
    Run,
    /// Joining a chat on another machine.
    Chat,
    /// Opening a chat on this machine.
    OpenChat,
    /// Sharing files.
    Share,
    /// Fetching what another machine shares.
    Get,
}

impl Task {
    pub(super) fn role(self) -> Role {
        match self {
            Self::Send | Self::SendStream | Self::Say | Self::Run | Self::Chat | Self::Share => {
                Role::Sender
            }
            Self::Receive
            | Self::ReceivedStream
            | Self::ReceiveStream
            | Self::OpenChat
            | Self::Get => Role::Receiver,
        }
    }

    /// What to do when it stopped halfway.
    pub(crate) fn again(self) -> &'static str {
        match self {
            Self::Send | Self::Get => "Run the same command again to resume.",
            Self::Share => "What arrived is kept. Run `xfer get` there again to resume.",
            Self::SendStream => {
                "Run the whole pipeline again: the receiver keeps nothing of an unfinished stream."
            }
            Self::Say => "Run the same command again. The message may have been shown already.",
            Self::Receive => "What arrived is kept. Send it again to resume.",
            Self::ReceivedStream => "A stream cannot resume: send all of it again.",
            Self::ReceiveStream => "Nothing is kept. Receive and send it again from the beginning.",
            Self::Run => "The other machine stops the command; how far it got is unknown.",
            Self::Chat | Self::OpenChat => "Run the same command again.",
        }
    }

    /// The same, with how much arrived, where that is known.
    pub(crate) fn again_after(self, arrived: Option<&str>) -> String {
        match (self, arrived) {
            (Self::Send | Self::Get, Some(much)) => {
                format!("{much} arrived; run the same command again to resume.")
            }
            _ => self.again().to_owned(),
        }
    }

    /// The last words when the user stopped it.
    pub(crate) fn interrupted(self, arrived: Option<&str>) -> String {
        format!("Interrupted. {}", self.again_after(arrived))
    }
}

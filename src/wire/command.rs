//! What commands add to the messages.
//!
//! Must not be said to a peer without [`super::Features::COMMANDS`], nor by one that was not let in
//! for it. A command line never travels: only the name that the listener's user gave it.

use serde::{Deserialize, Serialize};

use crate::model::command::{
    MAX_ARGUMENT_BYTES, MAX_ARGUMENTS, MAX_COMMANDS, MAX_OUTPUT_PART, OutputStream,
};
use crate::model::entry::bounded_list;
use crate::model::text::Text;

/// What the dialer may run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Commands(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_COMMANDS>")] pub Vec<OfferedCommand>,
);

/// A command that may be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedCommand {
    /// Its name.
    pub name: Text,
    /// Whether it takes arguments.
    pub arguments: bool,
}

/// The dialer wants a command to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCommand {
    /// Its name.
    pub name: Text,
    /// What it is given, each as one argument.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_ARGUMENTS>")]
    pub arguments: Vec<Argument>,
}

/// An argument: any bytes but NUL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_ARGUMENT_BYTES>")] pub Vec<u8>,
);

/// What a command has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutput {
    /// Where to.
    pub stream: OutputStream,
    /// What, at least a byte.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_OUTPUT_PART>")]
    pub bytes: Vec<u8>,
}

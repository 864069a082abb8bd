//! The messages that commands add.
//!
//! Must not be sent to a peer without [`super::Features::COMMANDS`], nor accepted from one that was
//! not let in for commands. A command line never travels: only the name that the listener's user
//! gave it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::command::{
    MAX_ARGUMENT_BYTES, MAX_ARGUMENTS, MAX_COMMANDS, MAX_OUTPUT_PART, OutputStream,
};
use crate::model::entry::bounded_list;
use crate::model::text::Text;

/// The commands that the dialer may run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Commands(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_COMMANDS>")] pub Vec<OfferedCommand>,
);

/// A command on offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedCommand {
    /// Its name.
    pub name: Text,
    /// Whether it takes arguments.
    pub arguments: bool,
}

/// The dialer asks to run a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCommand {
    /// Its name.
    pub name: Text,
    /// Its arguments.
    #[serde(deserialize_with = "arguments")]
    pub arguments: Vec<Argument>,
}

/// An argument: any bytes except NUL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument(#[serde(deserialize_with = "argument")] pub Vec<u8>);

/// A piece of a command's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutput {
    /// The stream that it was written to.
    pub stream: OutputStream,
    /// The output, at least one byte.
    #[serde(deserialize_with = "output")]
    pub bytes: Vec<u8>,
}

fn argument<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let bytes: Vec<u8> = bounded_list::<_, _, MAX_ARGUMENT_BYTES>(deserializer)?;
    match bytes.contains(&0) {
        true => Err(D::Error::custom("an argument with NUL")),
        false => Ok(bytes),
    }
}

fn arguments<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Argument>, D::Error> {
    let all: Vec<Argument> = bounded_list::<_, _, MAX_ARGUMENTS>(deserializer)?;
    let bytes: usize = all.iter().map(|argument| argument.0.len()).sum();
    match bytes > MAX_ARGUMENT_BYTES {
        true => Err(D::Error::custom("arguments of too many bytes")),
        false => Ok(all),
    }
}

fn output<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let bytes: Vec<u8> = bounded_list::<_, _, MAX_OUTPUT_PART>(deserializer)?;
    match bytes.is_empty() {
        true => Err(D::Error::custom("output of no bytes")),
        false => Ok(bytes),
    }
}

//! `Conflict`: what `--on-conflict` takes.
//!
//! Must not know what each of them does.

use clap::ValueEnum;
use xfer::model::outcome::OnConflict;

/// What to do when a file of that name exists.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Conflict {
    /// Replace it if the sender asks for it (send --update) and may; otherwise keep both
    Replace,
    /// Keep both: store the new file as 'name (2).ext'
    Beside,
    /// Leave out the new file
    Skip,
    /// Report the new file as failed
    Fail,
}

impl From<Conflict> for OnConflict {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Replace => Self::Replace,
            Conflict::Beside => Self::Beside,
            Conflict::Skip => Self::Skip,
            Conflict::Fail => Self::Fail,
        }
    }
}

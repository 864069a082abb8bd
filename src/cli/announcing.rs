//! Whether the network is told that a machine receives or shares.
//!
//! Must not tell it: the library does.

use clap::Args;
use clap::builder::BoolishValueParser;

/// A heading of the help.
const NETWORK: &str = "Network";

#[derive(Debug, Args)]
pub(super) struct Announcing {
    /// Do not announce this machine on the network
    ///
    /// `xfer list` does not show it, and others need its address.
    #[arg(long, help_heading = NETWORK, conflicts_with = "announce")]
    hidden: bool,

    /// Announce this machine on the network [default: true, without --open]
    ///
    /// Others find it by name, and see it in `xfer list`.
    #[arg(
        long,
        help_heading = NETWORK,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        hide_possible_values = true
    )]
    announce: Option<bool>,
}

impl Announcing {
    /// Whether it is told, for a machine that is open to all or not.
    pub(super) fn is_on(&self, open: bool) -> bool {
        self.announce.unwrap_or(!open) && !self.hidden
    }
}

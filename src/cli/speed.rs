//! How fast something is sent or fetched, over how many connections, and for how long it is tried.
//!
//! Must not know which of the two it is.

use std::time::Duration;

use clap::{Args, ValueEnum};
use xfer::model::digest::Algorithm;
use xfer::wire::limits::MAX_LANES;

use super::size;

/// The heading of these arguments in the help.
pub(super) const SPEED: &str = "Speed and connection";

#[derive(Debug, Args)]
pub(super) struct Speed {
    /// Transfer at most this much per second, such as 20MB/s or 800KiB/s [default: no limit]
    ///
    /// K, M and G are powers of 1000; Ki, Mi and Gi are powers of 1024.
    #[arg(long, help_heading = SPEED, value_name = "RATE", value_parser = size::rate)]
    pub(super) limit: Option<u64>,

    /// Number of data connections [default: one per core, at most 4]
    #[arg(long, help_heading = SPEED, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_LANES)))]
    pub(super) lanes: Option<u16>,

    /// Keep trying for this long after the connection is lost [default: 60]
    #[arg(long, help_heading = SPEED, value_name = "SECONDS")]
    retry: Option<u32>,

    /// Hash that verifies content
    /// [default: sha256 if both processors support it, else blake3]
    #[arg(long, help_heading = SPEED, value_name = "HASH", value_enum)]
    hash: Option<Hash>,
}

impl Speed {
    /// The hash that was chosen, if one was.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.hash.map(Algorithm::from)
    }

    /// For how long it is tried, if that was said.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
            .map(|seconds| Duration::from_secs(seconds.into()))
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Hash {
    Sha256,
    Blake3,
}

impl From<Hash> for Algorithm {
    fn from(hash: Hash) -> Self {
        match hash {
            Hash::Sha256 => Self::Sha256,
            Hash::Blake3 => Self::Blake3,
        }
    }
}

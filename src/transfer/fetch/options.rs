//! `FetchOptions`: what to fetch, where from, and how.
//!
//! Must not know the command line: plain values, with defaults.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::digest::Algorithm;
use crate::model::outcome::Wish;
use crate::model::relpath::RelPath;
use crate::model::surplus::MaxDelete;
use crate::source::FetchFilter;

use super::super::options::{DEFAULT_RETRY, DialTarget, default_lanes};

/// What to fetch, where from, and how.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// The machine that shares.
    pub to: DialTarget,
    /// Whether to wait for it until it is there.
    pub wait: bool,
    /// What this side calls itself.
    pub name: String,
    /// Whether to fetch from anyone.
    pub open: bool,
    /// What to fetch, by its path in what is shared; all of it where there are none.
    pub paths: Vec<RelPath>,
    /// What of that to leave out.
    pub filter: FetchFilter,
    /// The folder to store in. It must exist.
    pub dir: PathBuf,
    /// What is to be done with what is there already.
    pub wish: Wish,
    /// How much a mirror may delete. Where none is given, it asks before it deletes much.
    pub max_delete: Option<MaxDelete>,
    /// What digests are made with; where none is given, what suits both machines.
    pub algorithm: Option<Algorithm>,
    /// How many lanes to ask for, 1 to [`crate::wire::limits::MAX_LANES`].
    pub lanes: u16,
    /// How long to keep trying after a connection is lost.
    pub retry: Duration,
    /// How many bytes all lanes may bring in a second.
    pub limit: Option<u64>,
    /// Whether to bring everything to disk before it counts as done.
    pub sync: bool,
    /// Whether to store links that lead out of the folder.
    pub links_outside: bool,
    /// Whether to store entries whose names this system does not let programs have, under others.
    pub rename_unsafe: bool,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            to: DialTarget::default(),
            wait: false,
            name: String::new(),
            open: false,
            paths: Vec::new(),
            filter: FetchFilter::default(),
            dir: PathBuf::from("."),
            wish: Wish::default(),
            max_delete: None,
            algorithm: None,
            lanes: default_lanes(),
            retry: DEFAULT_RETRY,
            limit: None,
            sync: true,
            links_outside: false,
            rename_unsafe: false,
        }
    }
}

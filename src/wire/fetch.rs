//! The message that fetching adds.
//!
//! Must not be sent to a peer without [`super::Features::FETCH`], nor accepted from one that was
//! not let in to fetch. It names only what is shared: no path in it leads anywhere else.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::digest::Algorithm;
use crate::model::entry::bounded_list;
use crate::model::outcome::Wish;
use crate::model::relpath::RelPath;
use crate::model::text::Text;

/// The most paths in one [`Fetch`].
pub const MAX_FETCH_PATHS: usize = 256;
/// The most patterns in one [`Fetch`].
pub const MAX_FETCH_PATTERNS: usize = 512;
/// The most bytes that the paths and patterns of one [`Fetch`] have together.
pub const MAX_FETCH_BYTES: usize = 32 * 1024;

/// What the dialer wants of the files that the listener shares. The answer is an
/// [`super::Offer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The hash for digests; `None` leaves it to the listener.
    pub algorithm: Option<Algorithm>,
    /// How many lanes the dialer wants.
    pub lanes: u16,
    /// What the dialer does with what it already has. The offer repeats it.
    pub wish: Wish,
    /// What to send, with everything below; all of it if there are none.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_FETCH_PATHS>")]
    pub paths: Vec<RelPath>,
    /// What to leave out.
    pub filter: FetchPatterns,
    /// The most bytes that the listener sends in a second; `None` sets no limit.
    pub limit: Option<u64>,
}

/// What to leave out of what is shared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FetchPatterns {
    /// Patterns, as the lines of a `.gitignore` file beside each thing that is shared. The last one
    /// that matches decides, but nothing comes that the listener's user leaves out.
    #[serde(deserialize_with = "patterns")]
    pub lines: Vec<Text>,
    /// Whether `.gitignore` files in shared folders apply too.
    pub gitignore: bool,
    /// The size of the largest file to send, in bytes.
    pub max_size: Option<u64>,
}

impl Fetch {
    /// Whether its paths and patterns are within [`MAX_FETCH_BYTES`].
    #[must_use]
    pub fn is_short(&self) -> bool {
        let paths = self.paths.iter().map(|path| path.as_bytes().len());
        let lines = self.filter.lines.iter().map(|line| line.as_str().len());
        paths.chain(lines).sum::<usize>() <= MAX_FETCH_BYTES
    }
}

fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Text>, D::Error> {
    let all: Vec<Text> = bounded_list::<_, _, MAX_FETCH_PATTERNS>(deserializer)?;
    match all.iter().any(|line| line.as_str().contains(['\n', '\0'])) {
        true => Err(D::Error::custom("a pattern of several lines")),
        false => Ok(all),
    }
}

//! Fetching: receiving from a machine that shares, which this side dials.
//!
//! Must not decide what is sent: the machine that shares does.

mod list;
mod options;
mod session;

use std::sync::Arc;

use crate::model::error::Result;
use crate::model::outcome::Summary;
use crate::model::progress::Progress;
use crate::model::prompt::Prompt;
use crate::net::Service;
use crate::store::Store;

use super::cancel::Cancel;
use super::dial::Connector;
use super::options::Device;
use super::receive::Budgets;
use super::retry::{RetryTerms, until_done};
use session::FetchSessions;

pub use list::list_shared;
pub use options::FetchOptions;

/// Fetches files and folders, and returns when all of them are here, or it is known which are not.
/// A lost connection is made anew for as long as [`FetchOptions::retry`] says; what is here already
/// does not travel again.
///
/// A machine that does not know this one is paired with first: `prompt` is asked for its code.
pub fn fetch(
    device: &Device,
    options: &FetchOptions,
    prompt: &Arc<dyn Prompt>,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<Summary> {
    let store = Store::open(&options.dir, device.own.clone())?;
    let mut connector = Connector::new(device, prompt, progress, cancel)?;
    connector.service = Service::Share;
    connector.waits = options.wait;
    let terms = RetryTerms {
        lanes: options.lanes,
        packets: connector.packets.clone(),
        retry: options.retry,
        dry_run: options.wish.dry_run,
        progress: &**progress,
        cancel,
    };
    let sessions = FetchSessions {
        connector,
        store,
        options,
        budgets: Budgets::new(),
    };
    until_done(&terms, |before, lanes| sessions.run(before, lanes))
}

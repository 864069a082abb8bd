//! `SharedFiles`: the files and folders that `xfer share` offers, held open to be read.
//!
//! Must not know who asks for them, nor how they travel.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::error::Result;
use crate::source::{Filter, Roots, SentNames};

use super::options::Device;

/// What is shared. Everything in it is read only, by way of [`Roots`], which lets no name and no
/// link lead out of what was named.
#[derive(Debug)]
pub struct SharedFiles {
    roots: Roots,
}

impl SharedFiles {
    /// Opens `paths`, of which `filter` may leave something out.
    pub fn open(device: &Device, paths: &[PathBuf], filter: &Filter) -> Result<Arc<Self>> {
        let roots = Roots::except(paths, &SentNames::default(), filter, device.own.clone())?;
        Ok(Arc::new(Self { roots }))
    }

    /// The named files and folders, and the filter that holds below them.
    #[must_use]
    pub fn roots(&self) -> &Roots {
        &self.roots
    }
}

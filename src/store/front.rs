//! The front of a file that comes from its beginning on: how much of it counts.
//!
//! Must not trust more of a partial than was noted: what is behind that may have been rejected.

use crate::model::outcome::Why;

use super::incoming::Incoming;
use super::partial_record;

impl Incoming {
    /// How many bytes from its beginning on an earlier session has noted, since this machine was
    /// started, of a file of this size and time. If there is nothing, all that is there is written
    /// again.
    pub fn held_front(&self) -> Result<u64, Why> {
        if !self.resumes || !self.is_large || self.is_stream() {
            return Ok(0);
        }
        let partial = self.partial()?;
        if partial.fresh {
            return Ok(0);
        }
        let of = (&self.context.access.owner, &self.path);
        let file = (self.file.size, self.file.mtime);
        let found = (self.context.directory)
            .with_records(|records| Ok(partial_record::front(records, &partial.id, of, file)));
        match found.ok().flatten() {
            Some(front) => Ok(front),
            None => {
                // What is noted of another version is so no more.
                self.note_front(0)?;
                Ok(0)
            }
        }
    }

    /// Notes that its first `front` bytes are written, and count.
    pub fn note_front(&self, front: u64) -> Result<(), Why> {
        let partial = self.partial()?;
        let of = (&self.context.access.owner, &self.path);
        let file = (self.file.size, self.file.mtime);
        let noted = (self.context.directory).with_records(|records| {
            partial_record::note_front(records, &partial.id, of, file, front)
        });
        noted.map_err(|e| self.why(&e))
    }
}

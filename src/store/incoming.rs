//! A file being received: what is here of it already, the space promised to it, and its chunks as
//! they arrive. `publish` gives it its name.
//!
//! Must not verify received data: the caller has done that. Only chunks that it copies from an
//! existing file are hashed here, while they are copied.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use crate::model::digest::{
    Algorithm, CHUNK_SIZE, ChunkHasher, Digest, ZEROS, chunk_digest, chunk_len, chunk_offset,
};
use crate::model::outcome::{Outcome, Why};
use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir, File};
use crate::sys::vectored;

use super::context::{LOCK_LOOK, LOCK_WAIT, SessionContext};
use super::folder::Folder;
use super::found::why;
use super::held::{ExistingFile, HeldFile, changed, read_at};
use super::name::other_name;
use super::partial::{self, OpenError, Partial, PartialOf};
use super::plan::{NewFile, Plan, STREAM};
use super::publish::{Publication, Touched};
use super::space::{SpaceShare, why_full};
use super::turn::FileTurn;

/// A file being received. Many threads may write chunks at once, each chunk by one thread.
#[derive(Debug)]
pub struct Incoming {
    pub(super) context: Arc<SessionContext>,
    folder: Arc<Folder>,
    pub(super) path: RelPath,
    pub(super) file: NewFile,
    plan: Plan,
    /// Whether other sessions are told that this file is being received.
    pub(super) is_large: bool,
    pub(super) resumes: bool,
    partial: OnceLock<Arc<Partial>>,
    /// The existing file that may be the same, or an older version.
    existing: ExistingFile,
    /// Whether it has ended. Its partial then is renamed to the final name, or deleted.
    over: AtomicBool,
    opening: Mutex<()>,
    space: SpaceShare,
    /// Held for as long as it is this session's turn at the file.
    _turn: Option<FileTurn>,
}

impl Incoming {
    pub(super) fn new(
        context: &Arc<SessionContext>,
        folder: &Arc<Folder>,
        path: &RelPath,
        file: NewFile,
        (plan, turn): (Plan, Option<FileTurn>),
    ) -> Result<Self, Why> {
        let size = file.size;
        let owner = &context.access.owner;
        let mut allocated = None;
        let is_large = size > u64::from(CHUNK_SIZE);
        // In a new folder too: the partial may be from an earlier attempt. A small file has a
        // partial if it replaces another, or if files cannot be created without a name here.
        if is_large || (size > 0 && context.has_partial(path)) {
            let (own, found) = partial::find(folder, owner, path).map_err(|e| why(&e))?;
            // A stream is never resumed: its partial is emptied.
            if let Some(found) = found.filter(|_| size != STREAM) {
                let doubt = |found: &_| context.durability.doubt(found);
                let resumes = partial::can_resume(folder, &own, &found, doubt);
                let resumes = resumes.map_err(|e| why(&e))?;
                allocated = resumes.then_some(found.allocated);
            }
        }
        if !is_large && allocated.is_none() {
            context.drop_needless_partial(folder, path);
        }
        if is_large && let Some(key) = folder.in_use_key(path) {
            context.directory.in_use.files.add(key);
        }
        let incoming = Self {
            is_large,
            context: context.clone(),
            folder: folder.clone(),
            path: path.clone(),
            file,
            plan,
            resumes: allocated.is_some(),
            partial: OnceLock::new(),
            existing: ExistingFile::default(),
            over: AtomicBool::new(false),
            opening: Mutex::new(()),
            space: SpaceShare::of(
                &context.directory.space,
                file.known_size(),
                file.allocated,
                allocated,
            ),
            _turn: turn,
        };
        if !incoming.plan.may_be_here() || incoming.resumes {
            // An earlier entry may make room by then, so a replacing file asks again later.
            let asked = incoming.ask_for_space();
            let later = matches!(asked, Err(Why::Quota { .. })) && incoming.plan.replaces();
            (!later).then_some(asked).transpose()?;
        }
        Ok(incoming)
    }

    /// Gets the promise of the space that the file needs, unless it has it already.
    fn ask_for_space(&self) -> Result<(), Why> {
        self.space.ask(|bytes| self.promise(bytes))
    }

    fn promise(&self, bytes: u64) -> Result<(), Why> {
        let promised = (self.folder).with(|dir| Ok(self.context.directory.promise(dir, bytes)));
        promised.map_err(|e| why(&e))?
    }

    /// Gives back space that was promised but not used, because nothing more comes.
    pub fn give_back_space(&self) {
        self.space.give_back(&self.context.directory.space);
    }

    /// Its path in the manifest.
    #[must_use]
    pub fn path(&self) -> &RelPath {
        &self.path
    }

    /// Its size, in bytes; [`STREAM`] for a stream.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.file.size
    }

    /// How much space it took up on the sender's disk, if that was less than its size.
    #[must_use]
    pub fn allocated(&self) -> Option<u64> {
        self.file.allocated
    }

    /// Whether it is a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.file.size == STREAM
    }

    /// The folder that it is stored in.
    #[must_use]
    pub fn folder(&self) -> &Arc<Folder> {
        &self.folder
    }

    /// Whether some of its content may be here already.
    #[must_use]
    pub fn has_held(&self) -> bool {
        self.resumes || self.existing_name().is_some()
    }

    /// Whether all of its content may be in an existing file.
    #[must_use]
    pub fn may_be_here(&self) -> bool {
        !self.resumes && !self.is_stream() && self.plan.may_be_here()
    }

    /// The name of the existing file whose chunks may be the same.
    fn existing_name(&self) -> Option<&[u8]> {
        match &self.plan {
            _ if self.is_stream() => None,
            Plan::Compare { existing: name, .. }
            | Plan::Mend { name, .. }
            | Plan::Replace {
                name, held: true, ..
            } => Some(name),
            _ => None,
        }
    }

    /// Opens what is here of it: its partial, and the existing file that may be the same. If
    /// another session has the partial, waits up to [`LOCK_WAIT`], since that session may not have
    /// noticed yet that its connection is lost. Calls `give_up` from time to time.
    pub fn open_held(&self, give_up: impl Fn() -> bool) -> Result<HeldFile, Why> {
        if self.resumes {
            // Each resumed partial stays open until it is complete.
            while !self.context.may_resume() && !give_up() {
                self.context.directory.wait_for_release(LOCK_LOOK);
            }
            let end = Instant::now() + LOCK_WAIT;
            while let Err(why) = self.partial() {
                if why != Why::InUse || give_up() || Instant::now() >= end {
                    return Err(why);
                }
                self.context.directory.wait_for_release(LOCK_LOOK);
            }
        }
        let existing = self.existing_name();
        let existing = existing.and_then(|name| self.existing.open_to_hash(&self.folder, name));
        Ok(HeldFile {
            size: self.file.size,
            // A new partial holds only what this session has received.
            partial: self.partial.get().filter(|_| self.resumes).cloned(),
            existing,
        })
    }

    /// The existing file whose chunks are reused; `None` without one. Fails if it has changed since
    /// it was hashed.
    fn open_existing(&self) -> Result<Option<Arc<File>>, Why> {
        match self.existing_name() {
            Some(name) => self.existing.open_again(&self.folder, name),
            None => Ok(None),
        }
    }

    pub(super) fn partial(&self) -> Result<&Partial, Why> {
        if let Some(partial) = self.partial.get() {
            return Ok(partial);
        }
        let _opening = self.opening.lock();
        if let Some(partial) = self.partial.get() {
            return Ok(partial);
        }
        self.ask_for_space()?;
        self.folder.before_change()?;
        let opened = PartialOf {
            root: &self.context.directory.dir,
            folder: &self.folder,
            owner: &self.context.access.owner,
            path: &self.path,
            size: if self.is_stream() { 0 } else { self.file.size },
            mtime: self.file.mtime,
            mode: self.file.mode,
        };
        match opened.open() {
            Ok(partial) => {
                self.context.partial_opened();
                Ok(self.partial.get_or_init(|| Arc::new(partial)))
            }
            Err(OpenError::InUse) => Err(Why::InUse),
            Err(OpenError::NotOurs(e)) => Err(why(&e)),
            Err(OpenError::Io(e)) => Err(self.why(&e)),
        }
    }

    pub(super) fn why(&self, error: &io::Error) -> Why {
        let needed = self.space.unused();
        let full = || self.folder.with(|dir| Ok(why_full(dir, needed)));
        let full = fs::is_full(error).then(full).and_then(Result::ok).flatten();
        full.unwrap_or_else(|| why(error))
    }

    /// Writes `data` at `offset`: a chunk, or a part of one.
    pub fn write(&self, offset: u64, data: &mut [IoSlice<'_>]) -> Result<(), Why> {
        let partial = self.partial()?;
        let space = &self.context.directory.space;
        let bytes = data.iter().map(|piece| piece.len() as u64).sum();
        let taken = self.space.take(bytes, |more| self.promise(more))?;
        if let Err(e) = vectored::write_all_at(&partial.file, data, offset) {
            self.space.put_back(taken);
            return Err(self.why(&e));
        }
        space.settle(taken);
        self.context.durability.wrote(&partial.file, offset, bytes);
        Ok(())
    }

    /// Fills chunk `index` with zeros.
    pub fn write_hole(&self, index: u64) -> Result<(), Why> {
        let partial = self.partial()?;
        let (at, len) = (chunk_offset(index), chunk_len(self.file.size, index));
        if partial.fresh || fs::is_hole(&partial.file, at, len.into()) {
            self.space.skip(len.into(), &self.context.directory.space);
            return Ok(());
        }
        self.write(at, &mut [IoSlice::new(&ZEROS[..len as usize])])
    }

    /// Copies chunk `index` from the existing file to the partial, if it still has `digest`.
    pub fn copy_held(
        &self,
        algorithm: Algorithm,
        index: u64,
        digest: Digest,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Why> {
        if self.read_held(algorithm, index, buffer)? != digest {
            return Err(changed());
        }
        self.write_held(index, buffer)
    }

    /// Copies the first `count` chunks, if the SHA-256 over all their digests is still `digests`.
    /// That is known only after the last chunk: until then nothing counts. Calls `check` before
    /// each.
    pub fn copy_held_run(
        &self,
        algorithm: Algorithm,
        count: u64,
        digests: Digest,
        buffer: &mut Vec<u8>,
        check: impl Fn() -> Result<(), Why>,
    ) -> Result<(), Why> {
        // Chunk 0 is hashed without a prefix, and the hasher takes any number of bytes.
        let mut hasher = ChunkHasher::new(Algorithm::Sha256, 0, 0);
        for index in 0..count {
            check()?;
            hasher.update(&self.read_held(algorithm, index, buffer)?.0);
            self.write_held(index, buffer)?;
        }
        match count == 0 || hasher.finish() == digests {
            true => Ok(()),
            false => Err(changed()),
        }
    }

    fn read_held(
        &self,
        algorithm: Algorithm,
        index: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<Digest, Why> {
        let existing = self.open_existing()?.ok_or(Why::Damaged)?;
        buffer.resize(chunk_len(self.file.size, index) as usize, 0);
        read_at(&existing, buffer, chunk_offset(index)).map_err(|e| self.why(&e))?;
        Ok(chunk_digest(algorithm, self.file.size, index, buffer))
    }

    fn write_held(&self, index: u64, buffer: &[u8]) -> Result<(), Why> {
        if buffer.iter().all(|&byte| byte == 0) {
            return self.write_hole(index);
        }
        self.write(chunk_offset(index), &mut [IoSlice::new(buffer)])
    }

    /// Sets the size of a stream, before [`Self::commit`]: it may end with a hole.
    pub fn end_stream(&self, size: u64) -> Result<(), Why> {
        let partial = self.partial()?;
        fs::set_size(&partial.file, size).map_err(|e| self.why(&e))
    }

    fn publication(&self) -> Publication<'_> {
        Publication {
            context: &self.context,
            folder: &self.folder,
            path: &self.path,
            plan: &self.plan,
            size: self.file.size,
            mtime: self.file.mtime,
            mode: self.file.mode,
        }
    }

    /// Stores a small file at once. Returns `None` if its sync has only begun: then call
    /// [`Self::commit_whole`] to name it. The file that it replaces stays until then.
    pub fn store_whole(&self, data: &mut [IoSlice<'_>]) -> Result<Option<Outcome>, Why> {
        self.ask_for_space()?;
        self.folder.before_change()?;
        if !self.resumes
            && let Some(outcome) = self.publication().whole(data, |e| self.why(e))?
        {
            self.stored(&outcome);
            return Ok(Some(outcome));
        }
        // If a file needs a name from the start, or replaces another, it is a partial like any
        // other.
        let partial = self.partial()?;
        vectored::write_all_at(&partial.file, data, 0).map_err(|e| self.why(&e))?;
        let set = self.publication().set_meta(&partial.file);
        set.map_err(|e| self.why(&e))?;
        let durability = &self.context.durability;
        if self.plan.replaces() && durability.begin_replacing(&partial.file, self.file.size) {
            return Ok(None);
        }
        self.commit_whole().map(Some)
    }

    /// Gives the file its name, once every chunk is written.
    pub fn commit(&self) -> Result<Outcome, Why> {
        let file = &self.partial()?.file;
        let set = self.publication().set_meta(file);
        set.map_err(|e| self.why(&e))?;
        self.commit_whole()
    }

    /// Gives a small file its name, after [`Self::store_whole`].
    pub fn commit_whole(&self) -> Result<Outcome, Why> {
        self.existing.close();
        let partial = self.partial()?;
        let file = &partial.file;
        partial.check_name(&self.folder).map_err(|e| why(&e))?;
        let outcome = self
            .publication()
            .partial(file, &partial.name(), |e| self.why(e));
        let outcome = outcome.inspect_err(|why| match why {
            // Resuming would not help.
            why if why.is_in_the_way() || why.is_name() => self.discard(),
            // The partial stays, and must be writable for another attempt.
            _ => drop(fs::set_mode(file, partial::MODE)),
        })?;
        let outcome = outcome.unwrap_or(Outcome::Kept);
        if matches!(outcome, Outcome::Have(_) | Outcome::Kept) {
            self.remove_partial();
        }
        self.forget();
        self.stored(&outcome);
        Ok(outcome)
    }

    /// Ends a file whose chunks are all in the existing file. Returns `None` if that file is
    /// longer, cannot take the new time and permissions, or may not be on disk.
    pub fn keep_existing(&self) -> Result<Option<Outcome>, Why> {
        let (Some(name), Some(file)) = (self.existing_name(), self.open_existing()?) else {
            return Ok(None);
        };
        let stat = fs::stat(&file).map_err(|e| why(&e))?;
        if stat.size != self.file.size || self.plan.must_rewrite() {
            return Ok(None);
        }
        let touched = match self.plan.replaces() {
            true => {
                self.folder.before_change()?;
                let new = || self.partial().ok().map(|partial| &partial.file);
                self.publication().touch(&file, &stat, new)
            }
            false => Ok(Touched::AsItWas),
        };
        let outcome = match touched.map_err(|e| why(&e))? {
            Touched::TakesItsPlace => return Ok(None),
            Touched::Changed => Outcome::Replaced,
            Touched::AsItWas => Outcome::Have(other_name(&self.path, name)),
        };
        match self.partial.get() {
            // It was created only to see which attributes can be set here.
            Some(_) => self.discard(),
            None => self.end(),
        }
        Ok(Some(outcome))
    }

    /// Deletes what was received, because it is not what was sent.
    pub fn discard(&self) {
        self.remove_partial();
        self.forget();
        self.end();
    }

    /// The file is stored, or found to be here already. If it was stored, the space that it takes
    /// up beyond its bytes counts too.
    fn stored(&self, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Have(_) | Outcome::Kept) {
            self.space.keep(&self.context.directory.space);
        }
        self.end();
    }

    fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn remove_partial(&self) {
        if let Some(partial) = self.partial.get() {
            let name = partial.name();
            // A partial that stays takes up space until its record leads to it again.
            let _ = self.folder.with(|dir| dir.remove_file(name.as_bytes()));
        }
    }

    /// Deletes the partial's record. A record that stays has no partial, and is deleted later.
    fn forget(&self) {
        if let Some(partial) = self.partial.get() {
            let remove = |records: &Dir| partial::remove_record(records, &partial.id);
            let _ = self.context.directory.with_records(remove);
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.give_back_space();
        if !self.over.load(Ordering::Acquire) {
            self.folder.lacks();
            if self.is_stream() && self.partial.get().is_some() {
                // No session can resume a stream.
                self.discard();
            }
        }
        if self.is_large
            && let Some(key) = self.folder.in_use_key(&self.path)
        {
            self.context.directory.in_use.files.remove(&key);
        }
        if self.partial.take().is_some() {
            self.context.partial_closed();
        }
    }
}

//! Compresses chunks before they are sent, where that saves time.
//!
//! Must not slow down a link that is faster than packing, or what does not become smaller.

use std::time::Duration;

use zstd::bulk::Compressor;

use super::super::options::Compress;

/// How hard is tried: so that a core keeps up with what a few links of 1 Gbit/s take.
const LEVEL: i32 = 1;
/// Below this size, in bytes, there is nothing to win.
const LEAST_BYTES: usize = 256;
/// How many hundredths of its size data has packed, at most: less is not worth the unpacking.
const MOST_PERCENT: usize = 95;
/// How many bytes are sent in one way before that is judged: more than the system takes into its
/// buffers before it has sent any.
const WINDOW_BYTES: u64 = 4 << 20;
/// A lane that sends a byte in less time than this, in nanoseconds, is faster than packing.
const FAST: f64 = 1.0;
/// Packing has to take less than so much of the time that sending as it is takes.
const BETTER: f64 = 0.9;
/// After how many windows packing is tried again, at most.
const MOST_PATIENCE: u32 = 32;
/// After how many packed windows one is sent as it is, to see what the link does now.
const LOOK: u32 = 64;

/// What a lane packs with.
pub(super) struct Packer {
    compress: Compress,
    trial: Trial,
    zstd: Option<Compressor<'static>>,
    /// What is packed, where it did not lie in one piece.
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl Packer {
    pub(super) fn new(compress: Compress) -> Self {
        Self {
            compress,
            trial: Trial::default(),
            zstd: None,
            plain: Vec::new(),
            packed: Vec::new(),
        }
    }

    /// Packs the `len` bytes that are in `pieces`; none where they are to be sent as they are.
    pub(super) fn pack<'a>(
        &mut self,
        len: usize,
        pieces: impl Iterator<Item = &'a mut [u8]>,
    ) -> Option<&[u8]> {
        let wanted = match self.compress {
            Compress::Auto => self.trial.packs,
            Compress::Zstd => true,
            Compress::Never => false,
        };
        if !wanted || len < LEAST_BYTES {
            return None;
        }
        self.plain.clear();
        pieces.for_each(|piece| self.plain.extend_from_slice(piece));
        // More room is never used: what does not fit is not worth it.
        self.packed.resize(len * MOST_PERCENT / 100, 0);
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            empty => empty.insert(Compressor::new(LEVEL).ok()?),
        };
        let size = zstd
            .compress_to_buffer(&self.plain, &mut self.packed[..])
            .ok();
        self.trial.shrank |= size.is_some();
        self.packed.get(..size?)
    }

    /// Takes note that packing and sending so many bytes of a file took so long.
    pub(super) fn sent(&mut self, bytes: usize, time: Duration) {
        self.trial.sent(bytes as u64, time);
    }
}

/// Finds out by trial whether packing is worth it: one way for some megabytes, then the other.
#[derive(Debug, Default)]
struct Trial {
    packs: bool,
    /// Of the window that goes on: how many bytes, how long they took, whether any shrank.
    bytes: u64,
    time: Duration,
    shrank: bool,
    /// What a byte took that was sent as it is, in nanoseconds.
    plain: f64,
    /// How many windows have been sent in this way.
    windows: u32,
    /// How many windows to wait before packing is tried again.
    patience: u32,
}

impl Trial {
    fn sent(&mut self, bytes: u64, time: Duration) {
        self.bytes += bytes;
        self.time += time;
        // What does not shrink at all is known by its first chunk.
        let hopeless = self.packs && !self.shrank;
        if self.bytes < WINDOW_BYTES && !hopeless {
            return;
        }
        #[allow(clippy::cast_precision_loss)]
        let cost = self.time.as_nanos() as f64 / self.bytes.max(1) as f64;
        self.windows += 1;
        let packs = if !self.packs {
            self.plain = cost;
            self.windows > self.patience && cost > FAST
        } else if hopeless || cost > self.plain * BETTER {
            self.patience = (self.patience * 2 + 1).min(MOST_PATIENCE);
            false
        } else {
            self.patience = 0;
            self.windows < LOOK
        };
        if packs != self.packs {
            self.packs = packs;
            self.windows = 0;
        }
        (self.bytes, self.time, self.shrank) = (0, Duration::ZERO, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `windows` windows over a link where a byte takes `plain` nanoseconds as it is and
    /// `packed` with its packing; says how many were packed.
    fn run(trial: &mut Trial, windows: u32, plain: u64, packed: u64, shrinks: bool) -> u32 {
        let mut count = 0;
        for _ in 0..windows {
            count += u32::from(trial.packs);
            trial.shrank |= trial.packs && shrinks;
            let cost = if trial.packs { packed } else { plain };
            trial.sent(WINDOW_BYTES, Duration::from_nanos(cost * WINDOW_BYTES));
        }
        count
    }

    #[test]
    fn a_slow_link_gets_packed_data_and_a_fast_one_does_not() {
        let mut trial = Trial::default();
        assert!(run(&mut trial, 1000, 16, 6, true) > 950);
        // The link becomes a fast one.
        assert!(run(&mut trial, 1000, 2, 3, true) < 80);
        assert!(run(&mut trial, 1000, 16, 6, true) > 900);
        assert_eq!(run(&mut Trial::default(), 1000, 0, 0, true), 0);
    }

    #[test]
    fn what_does_not_shrink_is_rarely_tried() {
        let mut trial = Trial::default();
        assert!(run(&mut trial, 1000, 16, 18, false) < 40);
    }

    #[test]
    fn only_what_becomes_smaller_is_packed() {
        let text = b"the same words again and again ".repeat(1000);
        let mut pieces: Vec<Vec<u8>> = text.chunks(1000).map(<[u8]>::to_vec).collect();
        let mut packer = Packer::new(Compress::Zstd);
        let packed = packer.pack(text.len(), pieces.iter_mut().map(|p| &mut p[..]));
        let packed = packed.unwrap().to_vec();
        assert_eq!(zstd::bulk::decompress(&packed, text.len()).unwrap(), text);

        let mut noise: Vec<u8> = packed.iter().cycle().take(300).copied().collect();
        noise.truncate(packed.len().min(300));
        assert!(
            packer
                .pack(noise.len(), [&mut noise[..]].into_iter())
                .is_none()
        );
        let mut never = Packer::new(Compress::Never);
        assert!(
            never
                .pack(text.len(), pieces.iter_mut().map(|p| &mut p[..]))
                .is_none()
        );
    }
}

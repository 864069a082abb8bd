//! Unpacking of chunks that were packed to be sent.
//!
//! Must not believe a peer: what comes out is as long as the chunk's header says, or refused.

use zstd::bulk::Decompressor;

use crate::model::outcome::Why;

/// What a lane unpacks with.
#[derive(Default)]
pub(super) struct Unpacker {
    zstd: Option<Decompressor<'static>>,
    packed: Vec<u8>,
    plain: Vec<u8>,
}

impl Unpacker {
    /// Unpacks `pieces` to `len` bytes.
    pub(super) fn unpack<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]>,
        len: usize,
    ) -> Result<&[u8], Why> {
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            empty => {
                let made = Decompressor::new();
                empty.insert(made.map_err(|e| Why::system(&e))?)
            }
        };
        self.packed.clear();
        pieces.for_each(|piece| self.packed.extend_from_slice(piece));
        self.plain.resize(len, 0);
        // It never writes behind the end of what it is given.
        match zstd.decompress_to_buffer(&self.packed, &mut self.plain[..]) {
            Ok(size) if size == len => Ok(&self.plain),
            _ => Err(Why::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_long_as_it_should_be_is_refused() {
        let zeros = vec![0; 100_000];
        let packed = zstd::bulk::compress(&zeros, 1).unwrap();
        let mut unpacker = Unpacker::default();
        let mut unpack = |len| {
            let (head, tail) = packed.split_at(7);
            unpacker
                .unpack([head, tail].into_iter(), len)
                .map(<[u8]>::to_vec)
        };
        assert_eq!(unpack(zeros.len()).unwrap(), zeros);
        for len in [0, 1, zeros.len() - 1, zeros.len() + 1] {
            assert_eq!(unpack(len), Err(Why::Damaged));
        }
        let cut = &packed[..packed.len() - 1];
        assert_eq!(
            unpacker.unpack([cut].into_iter(), zeros.len()),
            Err(Why::Damaged)
        );
    }
}

//! Values to bytes and back. The only file that names bincode.
//!
//! Must not know frames or messages. The encoding is bincode 2's with fixed-width little-endian
//! integers: numbers as they are, one byte for a bool or an option's tag, u32 for a variant's
//! index, u64 for a length, nothing around structures.

use std::fmt;

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::limits::MAX_MESSAGE_BYTES;

const CONFIG: Configuration<LittleEndian, Fixint, Limit<MAX_MESSAGE_BYTES>> =
    bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit::<MAX_MESSAGE_BYTES>();

/// Bytes that do not decode to the wanted type, or a value too large to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecError(String);

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CodecError {}

/// Appends the encoded `value`, at most [`MAX_MESSAGE_BYTES`] long.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    bincode::serde::encode_into_std_write(value, out, CONFIG)
        .map_err(|e| CodecError(e.to_string()))?;
    if out.len() - start > MAX_MESSAGE_BYTES {
        out.truncate(start);
        return Err(CodecError("too large to send".to_owned()));
    }
    Ok(())
}

/// Decodes a value, which must take up all of `bytes`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|e| CodecError(e.to_string()))?;
    if used != bytes.len() {
        return Err(CodecError(format!(
            "{} bytes are left over",
            bytes.len() - used
        )));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_over_and_missing_bytes_are_errors() {
        let mut bytes = Vec::new();
        encode(&(7u32, "ab"), &mut bytes).unwrap();
        assert_eq!(bytes, b"\x07\0\0\0\x02\0\0\0\0\0\0\0ab");
        assert_eq!(decode::<(u32, String)>(&bytes).unwrap(), (7, "ab".into()));
        for cut in 0..bytes.len() {
            assert!(decode::<(u32, String)>(&bytes[..cut]).is_err(), "{cut}");
        }
        bytes.push(0);
        assert!(decode::<(u32, String)>(&bytes).is_err());
    }

    #[test]
    fn a_length_that_lies_takes_no_memory() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend([0; 64]);
        assert!(decode::<String>(&bytes).is_err());
        assert!(decode::<Vec<u64>>(&bytes).is_err());
    }
}

//! Ranges: which part of a file is asked for (RFC 9110, section 14).
//!
//! Must not know the file.

use std::ops::Range;

/// What of a file is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AskedRange {
    /// All of it: nothing else was asked for, or what was asked for makes no sense, or is several
    /// parts. Whoever asks for several has to take the whole as well.
    Whole,
    /// These bytes, of which there is one at least.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Beyond,
}

/// What the value of a `Range` header means for a file of this size.
pub(super) fn asked(value: &str, size: u64) -> AskedRange {
    read(value, size).unwrap_or(AskedRange::Whole)
}

fn read(value: &str, size: u64) -> Option<AskedRange> {
    let (unit, ranges) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") || ranges.contains(',') {
        return None;
    }
    let (first, last) = ranges.trim().split_once('-')?;
    let range = if first.is_empty() {
        // The last so many.
        let count = number(last)?;
        size.saturating_sub(count)..size
    } else {
        let first = number(first)?;
        let end = match last {
            "" => size,
            last => {
                let last = number(last)?;
                if last < first {
                    return None;
                }
                last.saturating_add(1).min(size)
            }
        };
        first..end
    };
    Some(match range.is_empty() {
        true => AskedRange::Beyond,
        false => AskedRange::Part(range),
    })
}

/// A number of digits alone. One that is too large is beyond all files.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_a_part_and_what_is_odd_is_the_whole() {
        use AskedRange::{Beyond, Part, Whole};
        for (value, size, means) in [
            ("bytes=0-0", 10, Part(0..1)),
            ("bytes=0-", 10, Part(0..10)),
            ("bytes=9-9", 10, Part(9..10)),
            ("bytes=9-99999999999999999999999", 10, Part(9..10)),
            ("Bytes=3-5", 10, Part(3..6)),
            ("bytes=-3", 10, Part(7..10)),
            ("bytes=-30", 10, Part(0..10)),
            ("bytes=10-", 10, Beyond),
            ("bytes=10-20", 10, Beyond),
            ("bytes=99999999999999999999999-", 10, Beyond),
            ("bytes=-0", 10, Beyond),
            ("bytes=0-", 0, Beyond),
            ("bytes=-1", 0, Beyond),
            ("bytes=5-4", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=1--2", 10, Whole),
            ("lines=0-1", 10, Whole),
            ("", 10, Whole),
        ] {
            assert_eq!(asked(value, size), means, "{value} of {size}");
        }
    }
}

//! `ZipWriter`: the bytes of a zip archive, one entry after the other.
//!
//! Must not read files, nor keep more of an entry than its line of the directory at the end.
//!
//! Ours because none of the crates at hand takes names of any bytes and entries in steps. Nothing is
//! compressed: most of what is large is already. Names that are UTF-8 say so (bit 11); others
//! stand there as they are, as Unix programs write and read them.

use crate::model::entry::{Mode, Time};

/// Sizes and offsets from here on take fields of 64 bits.
const MAX_32: u64 = u32::MAX as u64;
/// As do so many entries.
const MAX_16: u64 = u16::MAX as u64;
/// The version of the format that has 64 bits.
const VERSION: u16 = 45;
/// Made on Unix: permissions and kinds are as there.
const MADE_BY: u16 = 3 << 8 | VERSION;
/// The sizes follow the content.
const SIZES_FOLLOW: u16 = 1 << 3;
/// The name is UTF-8.
const UTF_8: u16 = 1 << 11;
/// Where each kind of record begins.
const LOCAL: u32 = 0x0403_4b50;
const SIZES: u32 = 0x0807_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const FIND_END_64: u32 = 0x0706_4b50;
/// Extra fields: sizes of 64 bits, and a time in seconds since 1970.
const EXTRA_64: u16 = 1;
const EXTRA_TIME: u16 = 0x5455;
/// The bit of a folder on DOS.
const DOS_FOLDER: u32 = 0x10;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ZipKind {
    File,
    Folder,
    Link,
}

/// What is said of an entry before its content.
#[derive(Debug, Clone)]
pub(super) struct ZipEntry {
    /// Its path, with a slash at the end where it is a folder.
    pub(super) name: Vec<u8>,
    pub(super) kind: ZipKind,
    pub(super) mtime: Time,
    pub(super) mode: Mode,
    pub(super) size: u64,
    /// What its content comes to (CRC-32), where that is known before it is written.
    pub(super) sum: Option<u32>,
}

impl ZipEntry {
    fn flags(&self) -> u16 {
        let follow = if self.sum.is_none() { SIZES_FOLLOW } else { 0 };
        let is_text = !self.name.is_ascii() && std::str::from_utf8(&self.name).is_ok();
        follow | if is_text { UTF_8 } else { 0 }
    }

    fn is_large(&self) -> bool {
        self.size >= MAX_32
    }

    /// The time as DOS has it, in the time zone of this machine: for programs that know no other.
    fn dos_time(&self) -> (u16, u16) {
        let number = |n: i64| u16::try_from(n).unwrap_or_default();
        let moment = jiff::Timestamp::from_second(self.mtime.seconds()).unwrap_or_default();
        let here = moment.to_zoned(jiff::tz::TimeZone::system());
        let years = i64::from(here.year()) - 1980;
        if !(0..128).contains(&years) {
            // The first day that there is.
            return (0, (1 << 5) | 1);
        }
        let [month, day] = [here.month(), here.day()].map(i64::from);
        let [hour, minute, second] = [here.hour(), here.minute(), here.second()].map(i64::from);
        (
            number((hour << 11) | (minute << 5) | (second / 2)),
            number((years << 9) | (month << 5) | day),
        )
    }

    /// The extra field with the time; none where it is beyond what that can say.
    fn time(&self, out: &mut Vec<u8>) {
        if let Ok(seconds) = i32::try_from(self.mtime.seconds()) {
            out.extend_from_slice(&EXTRA_TIME.to_le_bytes());
            out.extend_from_slice(&5_u16.to_le_bytes());
            // Of the last change.
            out.push(1);
            out.extend_from_slice(&seconds.to_le_bytes());
        }
    }
}

/// Writes an archive.
#[derive(Debug, Default)]
pub(super) struct ZipWriter {
    /// How many bytes were written.
    written: u64,
    entries: u64,
    /// The directory at the end, as far as it is known.
    directory: Vec<u8>,
    /// Where the entry begins that is being written.
    begins: u64,
}

impl ZipWriter {
    /// Begins an entry. Its content has to follow.
    pub(super) fn begin(&mut self, entry: &ZipEntry, out: &mut Vec<u8>) {
        let start = out.len();
        self.begins = self.written;
        let (sum, size) = match entry.sum {
            Some(sum) => (sum, entry.size),
            None => (0, 0),
        };
        let mut extra = Vec::new();
        if entry.is_large() {
            put(
                &mut extra,
                &[&EXTRA_64.to_le_bytes(), &16_u16.to_le_bytes()],
            );
            put(&mut extra, &[&size.to_le_bytes(), &size.to_le_bytes()]);
        }
        entry.time(&mut extra);
        let size = match entry.is_large() {
            true => u32::MAX,
            false => low_32(size),
        };
        put(out, &[&LOCAL.to_le_bytes(), &VERSION.to_le_bytes()]);
        Self::common(entry, (sum, size, size), &extra, out);
        put(out, &[&entry.name, &extra]);
        self.written += (out.len() - start) as u64;
    }

    /// Takes note of content that was written.
    pub(super) fn content(&mut self, bytes: u64) {
        self.written += bytes;
    }

    /// Ends an entry whose content came to `sum`.
    pub(super) fn end(&mut self, entry: &ZipEntry, sum: u32, out: &mut Vec<u8>) {
        if entry.sum.is_none() {
            let start = out.len();
            put(out, &[&SIZES.to_le_bytes(), &sum.to_le_bytes()]);
            match entry.is_large() {
                true => put(out, &[&entry.size.to_le_bytes(), &entry.size.to_le_bytes()]),
                false => {
                    let size = low_32(entry.size).to_le_bytes();
                    put(out, &[&size, &size]);
                }
            }
            self.written += (out.len() - start) as u64;
        }
        self.entries += 1;
        let begins_late = self.begins >= MAX_32;
        let mut extra = Vec::new();
        if entry.is_large() || begins_late {
            let mut fields = Vec::new();
            if entry.is_large() {
                put(
                    &mut fields,
                    &[&entry.size.to_le_bytes(), &entry.size.to_le_bytes()],
                );
            }
            if begins_late {
                put(&mut fields, &[&self.begins.to_le_bytes()]);
            }
            let len = low_16(fields.len() as u64);
            put(
                &mut extra,
                &[&EXTRA_64.to_le_bytes(), &len.to_le_bytes(), &fields],
            );
        }
        entry.time(&mut extra);
        let size = low_32(entry.size);
        let (kind, dos) = match entry.kind {
            ZipKind::File => (0o100_000, 0),
            ZipKind::Folder => (0o040_000, DOS_FOLDER),
            ZipKind::Link => (0o120_000, 0),
        };
        let attributes = (kind | entry.mode.bits() & 0o7777) << 16 | dos;
        let all = &mut self.directory;
        put(
            all,
            &[
                &CENTRAL.to_le_bytes(),
                &MADE_BY.to_le_bytes(),
                &VERSION.to_le_bytes(),
            ],
        );
        Self::common(entry, (sum, size, size), &extra, all);
        // No comment, on the first disk, nothing known of the content.
        put(all, &[&[0; 6], &attributes.to_le_bytes()]);
        put(
            all,
            &[&low_32(self.begins).to_le_bytes(), &entry.name, &extra],
        );
    }

    /// Ends the archive: what is to be written last.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.directory);
        let (begins, len) = (self.written, out.len() as u64);
        let needs_64 = self.entries >= MAX_16 || begins >= MAX_32 || len >= MAX_32;
        if needs_64 {
            put(&mut out, &[&END_64.to_le_bytes(), &44_u64.to_le_bytes()]);
            put(
                &mut out,
                &[&MADE_BY.to_le_bytes(), &VERSION.to_le_bytes(), &[0; 8]],
            );
            for number in [self.entries, self.entries, len, begins] {
                put(&mut out, &[&number.to_le_bytes()]);
            }
            let at = begins + len;
            put(&mut out, &[&FIND_END_64.to_le_bytes(), &[0; 4]]);
            put(&mut out, &[&at.to_le_bytes(), &1_u32.to_le_bytes()]);
        }
        let entries = low_16(self.entries).to_le_bytes();
        put(&mut out, &[&END.to_le_bytes(), &[0; 4], &entries, &entries]);
        put(
            &mut out,
            &[
                &low_32(len).to_le_bytes(),
                &low_32(begins).to_le_bytes(),
                &[0; 2],
            ],
        );
        out
    }

    /// What the two headers of an entry have in common.
    fn common(entry: &ZipEntry, numbers: (u32, u32, u32), extra: &[u8], out: &mut Vec<u8>) {
        let (time, date) = entry.dos_time();
        let (sum, packed, size) = numbers;
        let stored = 0_u16;
        for field in [entry.flags(), stored, time, date] {
            put(out, &[&field.to_le_bytes()]);
        }
        for field in [sum, packed, size] {
            put(out, &[&field.to_le_bytes()]);
        }
        for len in [entry.name.len(), extra.len()] {
            put(out, &[&low_16(len as u64).to_le_bytes()]);
        }
    }
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// A number, or what says that it stands elsewhere.
fn low_32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn low_16(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(size: u64, sum: Option<u32>) -> ZipEntry {
        ZipEntry {
            name: b"a".to_vec(),
            kind: ZipKind::File,
            mtime: Time::from_seconds(1_000_000_000),
            mode: Mode::from_stat(0o644),
            size,
            sum,
        }
    }

    #[test]
    fn what_is_large_has_fields_of_64_bits() {
        for (size, large) in [(MAX_32 - 1, false), (MAX_32, true), (5 << 30, true)] {
            let mut zip = ZipWriter::default();
            let (mut out, entry) = (Vec::new(), entry(size, None));
            zip.begin(&entry, &mut out);
            assert_eq!(out[18..22] == [0xff; 4], large, "{size}");
            zip.content(size);
            out.clear();
            zip.end(&entry, 7, &mut out);
            assert_eq!(out.len(), if large { 24 } else { 16 });
            let end = zip.finish();
            let has_end_64 = end.windows(4).any(|w| w == END_64.to_le_bytes());
            // The directory lies beyond.
            assert_eq!(has_end_64, size + 64 > MAX_32, "{size}");
        }
    }

    #[test]
    fn only_names_in_utf_8_say_so() {
        for (name, says) in [(&b"a"[..], false), ("ä".as_bytes(), true), (b"\xff", false)] {
            let entry = ZipEntry {
                name: name.to_vec(),
                ..entry(0, Some(0))
            };
            assert_eq!(entry.flags() == UTF_8, says);
        }
    }
}

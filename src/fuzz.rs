//! What a fuzzer calls: each function takes any bytes to one place where bytes come in, and
//! asserts what is promised there.
//!
//! Must not be used by the program, which is built without it. A promise that is not kept is a
//! panic, because that is what a fuzzer looks for. `fuzz/` and `tests/fuzzed.rs` call the same
//! functions.

#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use crate::model::entry::Time;
use crate::model::outcome::OnConflict;
use crate::model::relpath::{MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES, RelPath};
use crate::model::text::{Text, is_ignorable};
use crate::net::{device_name, format, parse};
use crate::store::{Access, Store};
use crate::sys::fs::Dir;
use crate::sys::own::OwnFolders;
use crate::wire::{
    FRAME_HEADER_BYTES, Frame, Message, PREAMBLE_BYTES, Preamble, decode, encode, limits,
    read_first_message, read_frame, write_chunk_header, write_message,
};

/// A preamble: nobody is waited for whose bytes cannot become one, everybody else is.
pub fn preamble(bytes: &[u8]) {
    let hopeful = (0..=bytes.len()).all(|n| Preamble::may_begin_with(&bytes[..n]));
    assert_eq!(hopeful, Preamble::may_begin_with(bytes));
    let Some(whole) = bytes.first_chunk::<PREAMBLE_BYTES>() else {
        return;
    };
    let Some(preamble) = Preamble::decode(whole) else {
        assert!(!hopeful);
        return;
    };
    assert!(hopeful);
    let mut again = preamble.encode();
    again[10..12].copy_from_slice(&whole[10..12]);
    assert_eq!(again, *whole);
}

/// Gives the bytes in pieces of different lengths.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.0.len() % 7 + 1;
        let n = buffer.len().min(most);
        self.0.read(&mut buffer[..n])
    }
}

/// A stream of frames: each is what its bytes say, however they come in pieces, and whatever it
/// says, only so much memory is taken for it.
pub fn frame(bytes: &[u8]) {
    // What may be said first may be said later too.
    if let Ok(first) = read_first_message(&mut &*bytes) {
        let read = read_frame(&mut &*bytes, &mut Vec::new());
        assert_eq!(read.unwrap(), Frame::Message(first));
    }
    let (mut stream, mut pieces) = (bytes, Pieces(bytes));
    let (mut buffer, mut piecemeal) = (Vec::new(), Vec::new());
    loop {
        let before = stream;
        let read = read_frame(&mut stream, &mut buffer);
        let same = read_frame(&mut pieces, &mut piecemeal);
        assert!(buffer.capacity() <= 2 * limits::MAX_CHUNK_FRAME_BYTES);
        let Ok(frame) = read else {
            assert_eq!(read.unwrap_err().to_string(), same.unwrap_err().to_string());
            return;
        };
        assert_eq!(frame, same.unwrap());
        assert_eq!(stream.len(), pieces.0.len());
        let mut again = Vec::new();
        match frame {
            Frame::Message(message) => write_message(&message, &mut again).unwrap(),
            Frame::Chunk(header) => {
                assert_eq!(buffer, piecemeal);
                write_chunk_header(&header, &mut again).unwrap();
                again.extend_from_slice(&buffer);
            }
        }
        // Frames that were skipped come before it.
        let used = &before[..before.len() - stream.len()];
        let (head, payload) = used[used.len() - again.len()..].split_at(FRAME_HEADER_BYTES);
        assert_eq!(again[..2], head[..2]);
        assert_eq!(again[4..8], head[4..8]);
        assert_eq!(again[FRAME_HEADER_BYTES..], *payload);
    }
}

/// A message, its type in the first two bytes: each has one encoding.
pub fn message(bytes: &[u8]) {
    let Some((code, payload)) = bytes.split_first_chunk() else {
        return;
    };
    let code = u16::from_le_bytes(*code);
    if let Ok(Some(message)) = Message::decode_payload(code, payload) {
        assert_eq!(message.code(), code);
        let mut again = Vec::new();
        message.encode_payload(&mut again).unwrap();
        assert_eq!(again, payload);
    }
}

/// A path: it is one exactly if it is safe, wherever it comes from, and stays so.
pub fn relpath(bytes: &[u8]) {
    let path = RelPath::new(bytes).ok();
    assert_eq!(path.is_some(), is_safe(bytes));
    let mut encoded = (bytes.len() as u64).to_le_bytes().to_vec();
    encoded.extend_from_slice(bytes);
    assert_eq!(path, decode(&encoded).ok());
    let Some(path) = path else {
        return;
    };
    let mut again = Vec::new();
    encode(&path, &mut again).unwrap();
    assert_eq!(again, encoded);

    let root = Path::new("/a/b");
    let joined = root.join(path.as_path());
    assert_eq!(joined.strip_prefix(root).unwrap(), path.as_path());
    assert!(path.below(root).starts_with(root));
    assert_eq!(path.components().count(), path.depth());
    assert_eq!(path.components().next_back(), Some(path.file_name()));
    assert_eq!(path.with_file_name(path.file_name()), Ok(path.clone()));
    if let Some(parent) = path.parent_bytes() {
        let parent = RelPath::new(parent).unwrap();
        assert_eq!(parent.join(path.file_name()), Ok(path.clone()));
        assert!(parent < path);
    }
    // Nothing gets past the checks as a part of a path that was checked.
    for name in [&b".."[..], b"", b"a/../..", b".xfer", b".xfer-7", bytes] {
        assert_eq!(
            path.join(name).is_ok(),
            is_safe(&[bytes, b"/", name].concat())
        );
    }
    // Any two of its tails compare as their components do.
    let names: Vec<_> = path.components().collect();
    let tails = (0..names.len().min(8)).map(|n| names[n..].join(&b'/'));
    let tails: Vec<_> = tails.map(|tail| RelPath::new(tail).unwrap()).collect();
    for pair in tails.windows(2) {
        let by_component = pair[0].components().cmp(pair[1].components());
        assert_eq!(pair[0].cmp(&pair[1]), by_component);
    }
}

/// The rules of assets/protocol.md, written a second time.
fn is_safe(path: &[u8]) -> bool {
    let names: Vec<_> = path.split(|&b| b == b'/').collect();
    let plain = |name: &&[u8]| {
        let text = String::from_utf8_lossy(name).replace(is_ignorable, "");
        let text = text.to_ascii_lowercase();
        let partial = text.strip_prefix(".xfer-");
        let digits = partial.and_then(|text| text.strip_suffix(".partial"));
        let is_id = |d: &str| d.len() == 32 && d.bytes().all(|b| b.is_ascii_hexdigit());
        let is_user = |d: &str| d.parse::<u64>().is_ok() && d.len() <= 10 && !d.starts_with('+');
        !name.is_empty()
            && !matches!(&*text, "." | "..")
            && name.len() <= MAX_NAME_BYTES
            && !name.contains(&0)
            && text != ".xfer"
            && !digits.is_some_and(is_id)
            && !partial.is_some_and(is_user)
    };
    path.len() <= MAX_PATH_BYTES && names.len() <= MAX_DEPTH && names.iter().all(plain)
}

/// What a receive directory keeps of partials and sessions: `bytes` are the record of a partial
/// and the mark of a session, behind a first byte that says how old they are and what is done.
/// Whatever they say, the directory can be received into, and nothing else than that partial, its
/// record and the mark is removed.
///
/// `scratch` is a folder for this, not used by others.
pub fn partials(scratch: &Path, bytes: &[u8]) {
    const ID: &str = "00112233445566778899aabbccddeeff";
    let Some((flags, bytes)) = bytes.split_first() else {
        return;
    };
    let [old, existing, sync] = [1, 2, 4].map(|flag| flags & flag != 0);
    let (outside, dir) = (scratch.join("outside"), scratch.join("in"));
    let (records, marks) = (dir.join(".xfer/partials"), dir.join(".xfer/unsynced"));
    for folder in [&outside, &dir.join("sub"), &records, &marks] {
        fs::create_dir_all(folder).unwrap();
    }
    // One that an earlier input has left is as good.
    let _ = Dir::open(&dir).and_then(|dir| dir.make_link(b"../outside", b"link"));
    let put = |path: &Path, content: &[u8]| {
        let mut file = File::create(path).unwrap();
        file.write_all(content).unwrap();
        if old {
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
    };
    let mark = marks.join("mark");
    put(&records.join(ID), bytes);
    put(&mark, bytes);
    let name = format!(".xfer-{ID}.partial");
    let partials = [&dir, &dir.join("sub"), &outside, scratch].map(|at| at.join(&name));
    partials.iter().for_each(|path| put(path, b"data"));

    let access = Access {
        owner: [7; 32],
        existing,
        conflict: OnConflict::Beside,
        checksum: false,
        mirror: false,
        dry_run: false,
        links_outside: false,
        rename_unsafe: false,
    };
    let store = Store::open(&dir, OwnFolders::default()).unwrap();
    store.session(access, sync).unwrap().begin().unwrap();

    let named = match decode::<(u32, [u8; 32], RelPath, u64, Time)>(bytes) {
        Ok((1, _, path, ..)) if old => dir.join(path.as_path()).with_file_name(&name),
        _ => scratch.join("nothing"),
    };
    for path in &partials {
        assert_eq!(path.exists(), *path != named, "{}", path.display());
    }
    // That of a session of another start of this machine is needed until it is that old, and by
    // who syncs nothing any that says something.
    let (is_mark, other_start) = match decode::<(u32, [u8; 32], String)>(bytes) {
        Ok((1, _, boot)) if bytes.len() <= 4096 => (true, boot.len() != 36),
        _ => (false, false),
    };
    // What begins as one of this version does may be that of any start.
    if bytes.get(2..10) != Some(&[0, 0, 0, 0, 2, 0, 0, 0]) {
        assert_eq!(mark.exists(), if sync { other_start } else { is_mark });
    }
}

/// The list of paired machines: what is read can be written, and is read again as the same, and
/// no two machines could be taken for each other.
pub fn peers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(all) = parse(&text) else {
        return;
    };
    let again = format(&all).unwrap();
    assert_eq!(parse(&again).unwrap(), all);
    for (n, known) in all.iter().enumerate() {
        assert_eq!(device_name(&Text::new(known.name.as_str())), known.name);
        for other in &all[..n] {
            assert_ne!(known.name, other.name);
            assert_ne!(known.fingerprint, other.fingerprint);
        }
    }
}

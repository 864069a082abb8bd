//! What the processes say to each other, and the descriptors that go with it.
//!
//! Must not take more than a bounded length for anything.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How many descriptors go with one message at most.
const MAX_DESCRIPTORS: usize = 4;
/// The longest message, in bytes: the list of commands, or arguments as numbers in words.
const MAX_BYTES: usize = 4 << 20;

/// Says something, with these descriptors.
pub(super) fn send(
    mut to: &UnixStream,
    what: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(what)?;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if length as usize > MAX_BYTES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let length = length.to_le_bytes();
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut room);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = loop {
        match sendmsg(
            to,
            &[IoSlice::new(&length)],
            &mut ancillary,
            SendFlags::empty(),
        ) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    to.write_all(&length[sent..])?;
    to.write_all(&bytes)
}

/// Hears what is said next, and the descriptors that come with it; none at the end.
pub(super) fn receive<T: DeserializeOwned>(
    mut from: &UnixStream,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut room);
    let got = loop {
        let mut parts = [IoSliceMut::new(&mut length)];
        match recvmsg(from, &mut parts, &mut ancillary, RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            other => break other?.bytes,
        }
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(all) = message {
            descriptors.extend(all);
        }
    }
    if got == 0 {
        return Ok(None);
    }
    for descriptor in &descriptors {
        fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    }
    from.read_exact(&mut length[got..])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Some((serde_json::from_slice(&bytes)?, descriptors)))
}

//! Time on a socket: `Timed`, one deadline for the whole handshake, and `Pace`, a rate that several
//! writers share.
//!
//! Must not be used after the handshake (`Timed`): a channel's halves have timeouts of their own.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How much may be written at once, as the time that it takes at this pace. Unused time beyond this
/// is lost: no burst is larger than two pieces.
const PIECE: Duration = Duration::from_millis(40);

/// A pace that writers share.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: u64,
    /// When the time for everything written so far is over.
    free: Mutex<Instant>,
}

impl Pace {
    /// A limit in bytes per second, at least 1.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            free: Mutex::new(Instant::now()),
        }
    }

    /// Waits, then returns how many of `wanted` bytes may be written.
    pub(super) fn wait(&self, wanted: usize) -> usize {
        let (bytes, wait) = self.take(wanted, Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        bytes
    }

    /// How many of `wanted` bytes may be written, and how long to wait before that.
    fn take(&self, wanted: usize, now: Instant) -> (usize, Duration) {
        let most = u128::from(self.bytes_per_second) * PIECE.as_millis() / 1000;
        let bytes = wanted.min(usize::try_from(most).unwrap_or(usize::MAX).max(1));
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earliest) = now.checked_sub(PIECE) {
            *free = earliest.max(*free);
        }
        let wait = free.saturating_duration_since(now);
        *free += time;
        (bytes, wait)
    }
}

/// A socket with a deadline. A peer that sends a byte now and then does not extend it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timed<'a> {
    stream: &'a TcpStream,
    end: Instant,
}

impl<'a> Timed<'a> {
    pub(super) fn new(stream: &'a TcpStream, end: Instant) -> Self {
        Self { stream, end }
    }

    /// The same socket with an earlier deadline, or the same one.
    pub(super) fn within(self, time: Duration) -> Self {
        let end = self.end.min(Instant::now() + time);
        Self { end, ..self }
    }

    fn left(&self) -> io::Result<Duration> {
        match self.end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buf).map_err(timed_out)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buf).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Systems report a timeout as different errors; this makes it `TimedOut`.
pub(super) fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes two writers may write within `time`, if one sleeps longer than necessary.
    fn run(pace: &Pace, start: Instant, time: Duration) -> u64 {
        let mut at = [start, start];
        let mut total = 0;
        loop {
            let which = usize::from(at[1] < at[0]);
            if at[which] >= start + time {
                return total;
            }
            let (bytes, wait) = pace.take(200_000, at[which]);
            at[which] += wait + Duration::from_millis(10 * which as u64);
            total += bytes as u64;
        }
    }

    #[test]
    fn it_is_kept_to_by_all_together() {
        for rate in [1000, 123_456, 20_000_000] {
            let pace = Pace::new(rate);
            let start = Instant::now();
            let total = run(&pace, start, Duration::from_secs(3));
            assert!(total.abs_diff(3 * rate) <= rate / 8, "{total} at {rate}");
        }
    }

    #[test]
    fn what_was_not_used_is_lost() {
        let pace = Pace::new(1_000_000);
        let later = Instant::now() + Duration::from_secs(3600);
        let mut at_once = 0;
        loop {
            let (bytes, wait) = pace.take(usize::MAX, later);
            if !wait.is_zero() {
                break;
            }
            at_once += bytes;
        }
        assert!(at_once <= 100_000, "{at_once}");
    }
}

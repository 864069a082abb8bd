//! The thread that speaks multicast DNS, and what bounds it.
//!
//! Must not let it grow with the network's traffic. It keeps every record until it expires, so its
//! size is watched, and it is replaced when it has become too large.

use std::io;
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, ServiceDaemon};

use crate::model::error::{Error, Result};
use crate::sys::{host, socket};

/// How many records it may have heard and kept. A network of some hundred machines has fewer.
const MAX_RECORDS: i64 = 8192;
/// By how many bytes this process may grow while one runs: what it keeps of a hostile network is not
/// all among the records that it counts.
const MAX_GROWTH: u64 = 64 << 20;
/// How often in a row it may fail to say how much it keeps: it does not while it reads a flood.
const MAX_UNANSWERED: u32 = 3;
/// How long the network is left alone before a daemon is replaced, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(20));
/// How long a daemon lasts on a network that does it no harm.
const LASTING: Duration = Duration::from_secs(60);
/// How many times it may have noted at which it is to look at a record again.
const MAX_TIMERS: i64 = 400_000;
/// How often it looks whether this machine's addresses have changed, in seconds.
const LOOK_AT_ADDRESSES: u32 = 2;
/// How long it may take to answer, or to say goodbye.
const ANSWER: Duration = Duration::from_secs(1);

/// What the records and the times are counted as.
const RECORDS: [&str; 6] = [
    "cached-ptr",
    "cached-srv",
    "cached-addr",
    "cached-txt",
    "cached-nsec",
    "cached-subtype",
];
const TIMERS: &str = "timer";

/// Starts one, on every interface that leads to other machines.
pub(super) fn start() -> Result<ServiceDaemon> {
    // It does not say itself where it cannot have its port.
    socket::try_port_of_many(mdns_sd::MDNS_PORT).map_err(|source| Error::Discovery { source })?;
    let daemon = ServiceDaemon::new().map_err(failed)?;
    // It leaves out point-to-point interfaces by itself.
    let set = daemon
        .disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])
        .and_then(|()| daemon.set_ip_check_interval(LOOK_AT_ADDRESSES));
    match set {
        Ok(()) => Ok(daemon),
        Err(error) => {
            stop(&daemon);
            Err(failed(error))
        }
    }
}

/// What is seen of a daemon and of those that it has replaced: whether it has become too large, and
/// how long to wait before the next one.
#[derive(Debug)]
pub(super) struct DaemonWatch {
    every: Duration,
    looked: Instant,
    began: Instant,
    memory: Option<u64>,
    unanswered: u32,
    pause: Duration,
}

impl DaemonWatch {
    /// Of one that begins now, and is looked at so often.
    pub(super) fn new(every: Duration) -> Self {
        let now = Instant::now();
        Self {
            every,
            looked: now,
            began: now,
            memory: host::memory(),
            unanswered: 0,
            pause: PAUSE.0,
        }
    }

    /// Whether it has to be replaced, because it keeps more than it may. However much is heard in
    /// between, it is looked at when its time has come.
    pub(super) fn is_too_large(&mut self, daemon: &ServiceDaemon) -> bool {
        if self.looked.elapsed() < self.every {
            return false;
        }
        let is_too_large = self.look(daemon);
        self.looked = Instant::now();
        is_too_large
    }

    fn look(&mut self, daemon: &ServiceDaemon) -> bool {
        let grown = host::memory().zip(self.memory);
        if grown.is_some_and(|(now, before)| now.saturating_sub(before) > MAX_GROWTH) {
            return true;
        }
        let answer = daemon.get_metrics().ok();
        let Some(metrics) = answer.and_then(|answer| answer.recv_timeout(ANSWER).ok()) else {
            self.unanswered += 1;
            return self.unanswered >= MAX_UNANSWERED;
        };
        self.unanswered = 0;
        let count = |name: &str| metrics.get(name).copied().unwrap_or_default();
        let records: i64 = RECORDS.iter().map(|name| count(name)).sum();
        records > MAX_RECORDS || count(TIMERS) > MAX_TIMERS
    }

    /// How long to wait before it is replaced: longer each time, where none lasts.
    pub(super) fn pause(&mut self) -> Duration {
        if self.began.elapsed() >= LASTING {
            self.pause = PAUSE.0;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        pause
    }

    /// Another one begins.
    pub(super) fn begin(&mut self) {
        let pause = self.pause;
        *self = Self {
            pause,
            ..Self::new(self.every)
        };
    }
}

/// Has it withdraw what it announces, and end. Waits for that, but not for long.
pub(super) fn stop(daemon: &ServiceDaemon) {
    if let Ok(stopped) = daemon.shutdown() {
        let _ = stopped.recv_timeout(ANSWER);
    }
}

/// What it says of a failure, which is in words only.
pub(super) fn failed(error: mdns_sd::Error) -> Error {
    Error::Discovery {
        source: io::Error::other(error),
    }
}

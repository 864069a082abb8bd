//! The thread that speaks multicast DNS, and what bounds it.
//!
//! Must not let its memory grow with the network's traffic. It keeps every record until that
//! expires, so its size is watched, and it is replaced when it has become too large.

use std::io;
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, ServiceDaemon};

use crate::model::error::{Error, Result};
use crate::sys::{host, socket};

/// How many records it may keep. A network of some hundred machines has fewer.
const MAX_RECORDS: i64 = 8192;
/// By how many bytes this process may grow while a daemon runs: not everything that it keeps of a
/// hostile network is among the records that it counts.
const MAX_GROWTH: u64 = 64 << 20;
/// How often in a row it may fail to report how much it keeps: it does not while it reads a flood.
const MAX_UNANSWERED: u32 = 3;
/// How long to pause before a daemon is replaced, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(20));
/// How long a daemon lasts at least on a harmless network.
const LASTING: Duration = Duration::from_secs(60);
/// How many timers it may have for records to refresh or expire.
const MAX_TIMERS: i64 = 400_000;
/// How often it checks whether this machine's addresses have changed, in seconds.
const LOOK_AT_ADDRESSES: u32 = 2;
/// How long it may take to answer, or to say goodbye.
const ANSWER: Duration = Duration::from_secs(1);

/// The names of its counters of records and timers.
const RECORDS: [&str; 6] = [
    "cached-ptr",
    "cached-srv",
    "cached-addr",
    "cached-txt",
    "cached-nsec",
    "cached-subtype",
];
const TIMERS: &str = "timer";

/// Starts a daemon on every interface that leads to other machines.
pub(super) fn start() -> Result<ServiceDaemon> {
    // The daemon itself does not report that it cannot have its port.
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

/// Watches a daemon and its replacements: whether it has become too large, and how long to wait
/// before the next one.
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
    /// Watches a daemon that starts now, checking it at the interval `every`.
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

    /// Whether it must be replaced because it keeps too much. It is checked whenever the interval
    /// has passed, however many events arrive.
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

    /// How long to wait before it is replaced: longer each time, as long as none lasts.
    pub(super) fn pause(&mut self) -> Duration {
        if self.began.elapsed() >= LASTING {
            self.pause = PAUSE.0;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        pause
    }

    /// Notes that another daemon starts.
    pub(super) fn begin(&mut self) {
        let pause = self.pause;
        *self = Self {
            pause,
            ..Self::new(self.every)
        };
    }
}

/// Makes it withdraw what it announces and stop. Waits for that, up to [`ANSWER`].
pub(super) fn stop(daemon: &ServiceDaemon) {
    if let Ok(stopped) = daemon.shutdown() {
        let _ = stopped.recv_timeout(ANSWER);
    }
}

/// The error for a failure that the daemon describes in words.
pub(super) fn failed(error: mdns_sd::Error) -> Error {
    Error::Discovery {
        source: io::Error::other(error),
    }
}

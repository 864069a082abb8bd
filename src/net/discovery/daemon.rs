//! The thread that speaks multicast DNS, with what keeps it in bounds.
//!
//! Must not let it grow with what a network says: it keeps all records that it hears until they
//! expire, so it is looked after, and replaced where it has become too large.

use std::io;
use std::time::Duration;

use mdns_sd::{IfKind, ServiceDaemon};

use crate::model::error::{Error, Result};
use crate::sys::socket;

/// How many records it may have heard and kept. A network of some hundred machines has fewer.
const MAX_RECORDS: i64 = 8192;
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

/// Whether it has to be replaced, because it keeps more than it may.
pub(super) fn is_too_large(daemon: &ServiceDaemon) -> bool {
    let Ok(answer) = daemon.get_metrics() else {
        return false;
    };
    let Ok(metrics) = answer.recv_timeout(ANSWER) else {
        return false;
    };
    let count = |name: &str| metrics.get(name).copied().unwrap_or_default();
    RECORDS.iter().map(|name| count(name)).sum::<i64>() > MAX_RECORDS || count(TIMERS) > MAX_TIMERS
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

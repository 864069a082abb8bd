//! This machine, and the limits of this process.
//!
//! Must not keep anything open.

use std::io;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many descriptors are counted on where there is no limit, or none that would be of use.
const MANY: u64 = 65_536;

/// The limit on what is open that this process began with, where that was raised.
static RAISED_FROM: OnceLock<Rlimit> = OnceLock::new();

/// Whether a firewall asks the user when a program listens for the first time.
pub const FIREWALL_ASKS: bool = false;

/// The host name; empty where there is none.
#[must_use]
pub fn name() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

/// What the interface of this number is called; none where there is none.
#[must_use]
#[allow(unsafe_code)]
pub fn interface_name(number: u32) -> Option<String> {
    let mut name = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: the system writes a name of at most so many bytes, with the one that ends it.
    let found = unsafe { libc::if_indextoname(number, name.as_mut_ptr().cast()) };
    if found.is_null() {
        return None;
    }
    let name = std::ffi::CStr::from_bytes_until_nul(&name).ok()?;
    name.to_str().ok().map(str::to_owned)
}

/// How many bytes of memory this process has; none where the system does not say.
#[must_use]
pub fn memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let sizes = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = sizes.split(' ').nth(1)?.parse().ok()?;
        Some(pages.saturating_mul(rustix::param::page_size() as u64))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Something that is another after each start of this machine; none where there is no such thing.
#[must_use]
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// When this machine was started, in seconds since 1970; the end of time where that is not known.
#[must_use]
pub fn boot_time() -> i64 {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        let up = clock_gettime(ClockId::Boottime).tv_sec;
        clock_gettime(ClockId::Realtime).tv_sec.saturating_sub(up)
    }
    #[cfg(not(target_os = "linux"))]
    i64::MAX
}

/// Has the limit on open files and connections raised as far as the user may. What is open is
/// kept few in any case; but many systems begin with a limit that is lower than a few busy
/// sessions need.
pub fn raise_limit_of_open() {
    let limit = getrlimit(Resource::Nofile);
    // Some systems have a lower limit of their own than the one they tell.
    for wanted in [MANY, 10_240] {
        let wanted = limit.maximum.map_or(wanted, |most| most.min(wanted));
        let raised = Rlimit {
            current: Some(wanted),
            ..limit
        };
        let enough = limit.current.is_none_or(|now| now >= wanted);
        if enough {
            return;
        }
        if setrlimit(Resource::Nofile, raised).is_ok() {
            let _ = RAISED_FROM.set(limit);
            return;
        }
    }
}

/// What sets the limit back as it was, in a process that is none of this program's any more.
pub(super) fn lower_limit_of_open() -> impl Fn() -> io::Result<()> + Send + Sync + 'static {
    let before = RAISED_FROM.get().copied();
    move || match before {
        Some(before) => Ok(setrlimit(Resource::Nofile, before)?),
        None => Ok(()),
    }
}

/// How many files, folders and connections this process may have open at once.
#[must_use]
pub fn limit_of_open() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(MANY);
    usize::try_from(limit.min(MANY)).unwrap_or(usize::MAX)
}

/// Whether something failed because this process, or this machine, has too much open.
#[must_use]
pub(crate) fn has_too_much_open(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

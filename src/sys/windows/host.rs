//! This machine, and what this process may have of it.
//!
//! Must not keep anything open.

use std::io;

use windows_sys::Wdk::System::SystemInformation::{
    NtQuerySystemInformation, SystemTimeOfDayInformation,
};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    ConvertInterfaceIndexToLuid, ConvertInterfaceLuidToAlias,
};
use windows_sys::Win32::NetworkManagement::Ndis::NET_LUID_LH;
use windows_sys::Win32::Networking::WinSock::{WSAEMFILE, WSAENOBUFS};
use windows_sys::Win32::System::ProcessStatus::{GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::SystemInformation::{
    ComputerNameDnsHostname, GetComputerNameExW, GetTickCount64,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use crate::sys::fs::Timestamp;

/// How many files and connections are counted on: there is no limit that a process runs into.
const MANY: usize = 65_536;
/// `ERROR_TOO_MANY_OPEN_FILES`, and that there is no memory for one more.
const TOO_MANY: [i32; 3] = [4, 8, 1450];

/// Whether a firewall asks the user when a program listens for the first time.
pub const FIREWALL_ASKS: bool = true;

/// The host name; empty where there is none.
#[must_use]
pub fn name() -> String {
    let mut units = [0; 256];
    let mut len = 256;
    // SAFETY: the system writes no more than `len` units.
    #[allow(unsafe_code)]
    let found =
        unsafe { GetComputerNameExW(ComputerNameDnsHostname, units.as_mut_ptr(), &raw mut len) };
    let units = units.get(..len as usize).filter(|_| found != 0);
    String::from_utf16_lossy(units.unwrap_or_default())
}

/// What the interface of this number is called; none where there is none.
#[must_use]
pub fn interface_name(number: u32) -> Option<String> {
    let mut id = NET_LUID_LH::default();
    let mut units = [0; 257];
    // SAFETY: the system writes a number, and no more units than there is room for.
    #[allow(unsafe_code)]
    let found = unsafe {
        ConvertInterfaceIndexToLuid(number, &raw mut id) == 0
            && ConvertInterfaceLuidToAlias(&raw const id, units.as_mut_ptr(), units.len()) == 0
    };
    let end = units.iter().position(|unit| *unit == 0)?;
    found.then(|| String::from_utf16_lossy(&units[..end]))
}

/// How many bytes of memory this process has; none where the system does not say.
#[must_use]
pub fn memory() -> Option<u64> {
    let mut counters = PROCESS_MEMORY_COUNTERS::default();
    let bytes = u32::try_from(size_of::<PROCESS_MEMORY_COUNTERS>()).ok()?;
    // SAFETY: the system writes no more than `bytes`.
    #[allow(unsafe_code)]
    let found = unsafe { GetProcessMemoryInfo(GetCurrentProcess(), &raw mut counters, bytes) };
    (found != 0).then_some(counters.WorkingSetSize as u64)
}

/// Something that is another after each start of this machine; none where there is no such thing.
///
/// It is when the machine was started, by the clock as it was then: setting that later changes both
/// numbers alike. Only Wine was asked so far, whose bias is none.
#[must_use]
pub fn boot_id() -> Option<String> {
    /// `SYSTEM_TIMEOFDAY_INFORMATION`.
    #[repr(C)]
    #[derive(Default)]
    struct TimeOfDay {
        boot: i64,
        now: i64,
        zone_bias: i64,
        zone: u32,
        reserved: u32,
        boot_bias: u64,
        sleep_bias: u64,
    }
    let mut found = TimeOfDay::default();
    let bytes = u32::try_from(size_of::<TimeOfDay>()).ok()?;
    let mut written = 0;
    // SAFETY: the system writes no more than `bytes`, and how many.
    #[allow(unsafe_code)]
    let status = unsafe {
        NtQuerySystemInformation(
            SystemTimeOfDayInformation,
            (&raw mut found).cast(),
            bytes,
            &raw mut written,
        )
    };
    let boot = found.boot.wrapping_sub(found.boot_bias.cast_signed());
    (status >= 0 && written == bytes && boot > 0).then(|| boot.to_string())
}

/// When this machine was started, in seconds since 1970.
#[must_use]
pub fn boot_time() -> i64 {
    // SAFETY: it takes nothing and gives a number.
    #[allow(unsafe_code)]
    let up = unsafe { GetTickCount64() } / 1000;
    let up = i64::try_from(up).unwrap_or(0);
    Timestamp::now().seconds.saturating_sub(up)
}

/// There is no limit to raise.
pub fn raise_limit_of_open() {}

/// How many files, folders and connections this process may have open at once.
#[must_use]
pub fn limit_of_open() -> usize {
    MANY
}

/// Whether something failed because this process, or this machine, has too much open.
#[must_use]
pub(crate) fn has_too_much_open(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| TOO_MANY.contains(&code) || code == WSAEMFILE || code == WSAENOBUFS)
}

//! The time of day, for lines that are read later or elsewhere.
//!
//! Must not know time zones: all of it is UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY_SECONDS: u64 = 24 * 3600;
/// How many days an era has: 400 years, after which the calendar repeats.
const ERA_DAYS: u64 = 146_097;
/// How many days lie between the first of March of the year 0 and the beginning of 1970.
const DAYS_BEFORE: u64 = 719_468;

/// The time of day now, as RFC 3339 has it: `2026-11-21T08:22:40.123Z`.
pub(crate) fn now() -> String {
    // A clock that is set to before 1970 says nothing worth showing.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    utc(since.unwrap_or_default())
}

/// A time since the beginning of 1970.
fn utc(since: Duration) -> String {
    let (year, month, day) = date(since.as_secs() / DAY_SECONDS);
    let seconds = since.as_secs() % DAY_SECONDS;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

/// The year, month and day of a day since the beginning of 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that the day that some of them lack is the last.
    let days = days + DAYS_BEFORE;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1460 + day / 36_524 - day / (ERA_DAYS - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let next_year = u64::from(month >= 10);
    (era * 400 + year + next_year, (month + 2) % 12 + 1, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (1_735_689_600, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(Duration::from_secs(seconds)), text);
        }
        let later = Duration::from_millis(1_795_249_360_123);
        assert_eq!(utc(later), "2026-11-21T08:22:40.123Z");
        assert!(now().ends_with('Z'));
    }
}

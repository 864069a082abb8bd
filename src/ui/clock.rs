//! The time of day: in UTC for lines that are read later or elsewhere, in local time for a person
//! who reads along.
//!
//! Must not measure how long something takes.

use jiff::{Timestamp, Zoned};

/// The time now, in RFC 3339: `2026-11-21T08:22:40.123Z`.
pub(crate) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// The hour and minute now, in local time: `08:22`.
pub(crate) fn on_the_wall() -> String {
    Zoned::now().strftime("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_no_zone() {
        let at = |millis| format!("{:.3}", Timestamp::from_millisecond(millis).unwrap());
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_249_360_123), "2026-11-21T08:22:40.123Z");
        assert_eq!(now().len(), at(0).len());
        assert_eq!(on_the_wall().len(), "08:22".len());
    }
}

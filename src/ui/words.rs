//! Numbers as people read them: sizes, rates, times, counts.
//!
//! Must not know what is counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// How sizes around some size are written.
#[derive(Debug, Clone, Copy)]
struct Scale {
    divisor: f64,
    unit: &'static str,
    decimals: usize,
}

impl Scale {
    fn of(bytes: u64) -> Self {
        let mut scale = Self {
            divisor: 1.0,
            unit: UNITS[0],
            decimals: 0,
        };
        for unit in UNITS {
            scale.unit = unit;
            // A unit is too small for what would round to 1000 of it.
            if bytes as f64 / scale.divisor < if scale.divisor > 1.0 { 999.5 } else { 1000.0 } {
                break;
            }
            scale.divisor *= 1000.0;
        }
        if scale.divisor > 1.0 {
            scale.decimals = match bytes as f64 / scale.divisor {
                x if x < 9.995 => 2,
                x if x < 99.95 => 1,
                _ => 0,
            };
        }
        scale
    }

    fn number(self, bytes: u64) -> String {
        format!("{:.*}", self.decimals, bytes as f64 / self.divisor)
    }
}

/// A size with three digits: `1.23 GB`.
pub(crate) fn bytes(n: u64) -> String {
    let scale = Scale::of(n);
    format!("{} {}", scale.number(n), scale.unit)
}

/// Part of a size, both in the whole's unit: `0.12/1.23 GB`.
pub(crate) fn part(done: u64, total: u64) -> String {
    let scale = Scale::of(total);
    format!(
        "{}/{} {}",
        scale.number(done.min(total)),
        scale.number(total),
        scale.unit
    )
}

/// A rate: `187 MB/s`.
pub(crate) fn rate(bytes_per_second: u64) -> String {
    format!("{}/s", bytes(bytes_per_second))
}

/// What was moved in a time, as a rate; nothing where that time is too short to tell.
pub(crate) fn rate_over(moved: u64, time: Duration) -> Option<String> {
    let per_second = u128::from(moved) * 1000 / time.as_millis().max(1);
    let long = Duration::from_millis(500);
    let enough = time >= long && (moved >= 1_000_000 || moved > 0 && time >= long * 10);
    enough.then(|| rate(u64::try_from(per_second).unwrap_or(u64::MAX)))
}

/// A time that was measured: `0.3 s`, `12.3 s`, `2 min 5 s`, `1 h 2 min`.
pub(crate) fn duration(time: Duration) -> String {
    let tenths = ((time.as_millis() + 50) / 100).max(1);
    if tenths < 600 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else {
        long(time.as_secs())
    }
}

/// A time to wait, in whole seconds: `52 s`, `2 min 5 s`, `1 h 2 min`, `3 days 4 h`.
pub(crate) fn wait(time: Duration) -> String {
    let up = u64::from(time.subsec_nanos() > 0);
    long(time.as_secs().saturating_add(up))
}

/// How long ago something was.
pub(crate) fn ago(time: Duration) -> String {
    if time < Duration::from_secs(60) {
        return "just now".to_owned();
    }
    format!("{} ago", duration(time))
}

/// How long a time in seconds since 1970 is over. A clock that was set back makes it now.
pub(crate) fn ago_at(seconds: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_secs(seconds);
    ago(SystemTime::now().duration_since(then).unwrap_or_default())
}

fn long(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |first: String, n: u64, unit: &str| match n {
        0 => first,
        n => format!("{first} {n} {unit}"),
    };
    if minutes == 0 {
        format!("{seconds} s")
    } else if hours == 0 {
        two(format!("{minutes} min"), seconds % 60, "s")
    } else if days == 0 {
        two(format!("{hours} h"), minutes % 60, "min")
    } else {
        two(plural(days, "day", "days"), hours % 24, "h")
    }
}

/// A count with its thousands apart: `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count of something: `1 file`, `1,234 files`.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// The share of `done` in `total`, in whole percent, and 100 only for all of it.
pub(crate) fn percent(done: u64, total: u64) -> u64 {
    match (u128::from(done) * 100).checked_div(u128::from(total)) {
        Some(share) => u64::try_from(share.min(100)).unwrap_or(100),
        None => 100,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (n, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (1234, "1.23 kB"),
            (9_994, "9.99 kB"),
            (9_996, "10.0 kB"),
            (99_960, "100 kB"),
            (999_400, "999 kB"),
            (999_600, "1.00 MB"),
            (2_345_000_000, "2.35 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(n), shown);
        }
        assert_eq!(part(120_000_000, 12_400_000_000), "0.1/12.4 GB");
        assert_eq!(part(12, 500), "12/500 B");
        assert_eq!(rate(187_000_000), "187 MB/s");
    }

    #[test]
    fn rates_need_a_time() {
        let seconds = Duration::from_secs;
        assert_eq!(rate_over(10_000_000, seconds(2)), Some("5.00 MB/s".into()));
        assert_eq!(rate_over(10_000_000, Duration::from_millis(300)), None);
        assert_eq!(rate_over(5000, seconds(2)), None);
        assert_eq!(rate_over(5000, seconds(5)), Some("1.00 kB/s".into()));
        assert_eq!(rate_over(0, seconds(60)), None);
        assert!(rate_over(u64::MAX, Duration::from_millis(500)).is_some());
    }

    #[test]
    fn times_have_two_units_at_most() {
        let ms = Duration::from_millis;
        for (time, shown) in [
            (ms(20), "0.1 s"),
            (ms(300), "0.3 s"),
            (ms(12_345), "12.3 s"),
            (ms(59_980), "59 s"),
            (ms(60_000), "1 min"),
            (ms(125_000), "2 min 5 s"),
            (ms(3_720_000), "1 h 2 min"),
            (ms(273_600_000), "3 days 4 h"),
        ] {
            assert_eq!(duration(time), shown);
        }
        assert_eq!(wait(ms(1)), "1 s");
        assert_eq!(wait(ms(52_000)), "52 s");
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(plural(1, "file", "files"), "1 file");
        assert_eq!(plural(1234, "file", "files"), "1,234 files");
    }

    #[test]
    fn only_all_is_all() {
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(1000, 1000), 100);
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }
}

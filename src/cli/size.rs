//! Sizes, rates and percentages as people write them: `500`, `1.5 GiB`, `20MB/s`, `800k`, `25%`.
//!
//! Must not know what they are for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xfer::model::surplus::MaxDelete;

/// The lowest rate. Below it, even keep-alive messages would be late.
const MIN_RATE: u64 = 1000;
/// The longest time, in seconds: a year.
const MAX_SECONDS: u64 = 366 * 24 * 60 * 60;
/// The highest rate.
const MAX_RATE: u64 = 1_000_000_000_000_000_000;

/// Reads a rate in bytes per second. Refuses what may mean bits.
pub(crate) fn rate(text: &str) -> Result<u64> {
    let size = text.strip_suffix("/s").unwrap_or(text).trim_end();
    ensure!(
        !size.ends_with('b') && !size.ends_with("bit"),
        "'{size}' may mean bits; write bytes with a capital B, such as 20MB/s"
    );
    let rate = bytes(size)?;
    ensure!(rate >= MIN_RATE, "must be at least 1kB/s");
    ensure!(rate < MAX_RATE, "too much");
    Ok(rate)
}

/// Reads a number of bytes: K, M, G, T and P are powers of 1000, Ki, Mi, Gi, Ti and Pi of 1024.
/// Rounds down to whole bytes.
pub(crate) fn bytes(text: &str) -> Result<u64> {
    read(text.trim()).context("use a number and a unit, such as 500, 20MB, 1.5G or 800KiB")
}

/// Reads a time, such as 90s, 30m, 1h or 2d.
pub(crate) fn duration(text: &str) -> Result<Duration> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let seconds = match unit.trim() {
        "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(60 * 60),
        "d" => Some(24 * 60 * 60),
        _ => None,
    };
    let time = number.parse::<u64>().ok();
    let time = time.zip(seconds).and_then(|(n, unit)| n.checked_mul(unit));
    let time = time.filter(|time| (1..=MAX_SECONDS).contains(time));
    let time = time.context("use a number and a unit, such as 90s, 30m, 1h or 2d")?;
    Ok(Duration::from_secs(time))
}

/// Reads how much a mirror may delete: a number, or a percentage of what is there.
pub(crate) fn max_delete(text: &str) -> Result<MaxDelete> {
    let read = |text: &str| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    let limit = match text.strip_suffix('%') {
        Some(part) => read(part)
            .and_then(|part| u8::try_from(part).ok())
            .filter(|part| *part <= 100)
            .map(MaxDelete::Percent),
        None => read(text).map(MaxDelete::Count),
    };
    limit.context("use a number such as 500, or a percentage such as 25%")
}

fn read(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim().to_ascii_uppercase();
    let unit = unit.strip_suffix('B').unwrap_or(&unit);
    let (prefix, base) = match unit.strip_suffix('I') {
        Some("") => return None,
        Some(prefix) => (prefix, 1024),
        None => (unit, 1000),
    };
    let power = ["", "K", "M", "G", "T", "P"];
    let power = power.iter().position(|&unit| unit == prefix)?;
    let scale = u128::pow(base, u32::try_from(power).ok()?);
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    // Further digits are less than a byte.
    let digits = part.len().min(18);
    let part = part.get(..digits)?.parse::<u128>().ok()? * scale;
    let part = part / u128::pow(10, u32::try_from(digits).ok()?);
    let whole = u128::from(whole.parse::<u64>().ok()?) * scale;
    u64::try_from(whole + part).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_both_kinds() {
        for (text, size) in [
            ("0", 0),
            ("500", 500),
            ("500B", 500),
            ("500mb", 500_000_000),
            ("20k", 20_000),
            ("1.5 MB", 1_500_000),
            ("0.0015k", 1),
            ("2GiB", 2 << 30),
            ("2gi", 2 << 30),
            ("1P", 1_000_000_000_000_000),
        ] {
            assert_eq!(bytes(text).unwrap(), size, "{text}");
        }
        for text in [
            "",
            "k",
            "-1",
            "1.",
            ".5",
            "1.2.3",
            "5iB",
            "5X",
            "5MM",
            "1e3",
            "inf",
            "nan",
            "99999999P",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_on_removals_is_a_number_or_a_percentage() {
        for (text, limit) in [
            ("0", MaxDelete::Count(0)),
            ("500", MaxDelete::Count(500)),
            ("0%", MaxDelete::Percent(0)),
            ("25%", MaxDelete::Percent(25)),
            ("100%", MaxDelete::Percent(100)),
        ] {
            assert_eq!(max_delete(text).unwrap(), limit, "{text}");
        }
        for text in ["", "%", "-1", "+1", "1.5", "101%", "25 %", "5k", "all"] {
            assert!(max_delete(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_what_people_write() {
        for (text, bytes) in [
            ("20MB/s", 20_000_000),
            ("800KiB/s", 819_200),
            ("800k", 800_000),
            ("2 GB/s", 2_000_000_000),
            ("5000B/s", 5000),
            ("1TB/s", 1_000_000_000_000),
        ] {
            assert_eq!(rate(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "MB/s", "20Mb/s", "20Mbit/s", "999", "0", "9999999TB"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert!(rate("20Mb/s").unwrap_err().to_string().contains("bits"));
    }
}

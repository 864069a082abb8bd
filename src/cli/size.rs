//! Sizes and rates as people write them: `20MB/s`, `1.5 GiB`, `800k`.
//!
//! Must not know bits: what could be meant as them is refused.

use anyhow::{Context, Result, bail, ensure};

/// The lowest rate: below it, even the words that keep a session alive would be late.
const MIN_RATE: u64 = 1000;

/// Reads how many bytes in a second.
pub(crate) fn rate(text: &str) -> Result<u64> {
    let rate = bytes(text.strip_suffix("/s").unwrap_or(text))?;
    ensure!(rate >= MIN_RATE, "it is at least 1kB/s");
    Ok(rate)
}

/// Reads a number of bytes: K, M, G and T are powers of 1000, Ki, Mi, Gi and Ti of 1024.
fn bytes(text: &str) -> Result<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: f64 = number
        .parse()
        .context("it is a number and a unit, such as 20MB, 1.5G or 800KiB")?;
    let unit = unit.trim();
    if unit.ends_with('b') || unit.ends_with("bit") {
        bail!("'{unit}' could be meant as bits: bytes are written as B");
    }
    let prefix = unit.strip_suffix('B').unwrap_or(unit);
    let (letter, base) = match prefix.strip_suffix('i') {
        Some(letter) => (letter, 1024.0_f64),
        None => (prefix, 1000.0),
    };
    let power = match letter {
        "" if letter == prefix => 0,
        "k" | "K" => 1,
        "m" | "M" => 2,
        "g" | "G" => 3,
        "t" | "T" => 4,
        _ => bail!("'{unit}' is no unit: they are B, kB, MB, GB, TB, KiB, MiB, GiB and TiB"),
    };
    let bytes = number * base.powi(power);
    ensure!(bytes < 1e18, "that is too much");
    Ok(whole(bytes))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is neither negative nor too large, and a part of a byte does not count"
)]
fn whole(bytes: f64) -> u64 {
    bytes.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_what_people_write() {
        for (text, bytes) in [
            ("20MB/s", 20_000_000),
            ("1.5M", 1_500_000),
            ("800KiB/s", 819_200),
            ("800k", 800_000),
            ("2 GB/s", 2_000_000_000),
            ("1Gi", 1 << 30),
            ("5000", 5000),
            ("5000B/s", 5000),
            ("1TB/s", 1_000_000_000_000),
        ] {
            assert_eq!(rate(text).unwrap(), bytes, "{text}");
        }
        for text in [
            "",
            "MB/s",
            "-1MB",
            "1e6",
            "1.2.3M",
            "20Mb/s",
            "20Mbit/s",
            "5iB",
            "5XB",
            "5MM",
            "999",
            "0",
            "inf",
            "nan",
            "9999999TB",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert!(rate("20Mb/s").unwrap_err().to_string().contains("bits"));
    }
}

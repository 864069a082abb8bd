//! The order of names for people: numbers in them by what they count.
//!
//! Must not know what has the names.

use std::cmp::Ordering;

/// `file 9` comes before `file 10`. Names that differ are never equal.
pub(super) fn by_number(a: &[u8], b: &[u8]) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (m, n) = match (left.first(), right.first()) {
            (Some(m), Some(n)) => (m, n),
            // The shorter one first; what differs in leading zeros alone, by its bytes.
            (m, n) => return m.is_some().cmp(&n.is_some()).then_with(|| a.cmp(b)),
        };
        if !(m.is_ascii_digit() && n.is_ascii_digit()) {
            if m != n {
                return m.cmp(n);
            }
            (left, right) = (&left[1..], &right[1..]);
            continue;
        }
        let (one, two) = (digits(left), digits(right));
        (left, right) = (&left[one.len()..], &right[two.len()..]);
        let (one, two) = (without_zeros(one), without_zeros(two));
        let order = one.len().cmp(&two.len()).then_with(|| one.cmp(two));
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The digits that a name begins with.
fn digits(name: &[u8]) -> &[u8] {
    let end = name.iter().position(|byte| !byte.is_ascii_digit());
    &name[..end.unwrap_or(name.len())]
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let first = digits.iter().position(|&byte| byte != b'0');
    &digits[first.unwrap_or(digits.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count() {
        let sorted = [
            "",
            "01",
            "1",
            "2",
            "10",
            "18446744073709551616",
            "file",
            "file 9",
            "file 10",
            "file 10b",
            "file 010c",
            "file10",
            "file38",
            "file379",
            "file380",
        ];
        for (m, a) in sorted.iter().enumerate() {
            for (n, b) in sorted.iter().enumerate() {
                let order = by_number(a.as_bytes(), b.as_bytes());
                assert_eq!(order, m.cmp(&n), "{a:?} {b:?}");
            }
        }
    }
}

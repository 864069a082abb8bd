//! The languages of the page: which one a reader wants, and its texts, numbers and sizes.
//!
//! Must not make markup, nor know which page a text is for.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

const TEXTS: &str = include_str!("texts.json");

/// The most entries of a header that are looked at.
const MAX_ACCEPTED: usize = 32;

/// A language that the page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    German,
    French,
    Spanish,
    Chinese,
}

impl Language {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [
        Self::English,
        Self::German,
        Self::French,
        Self::Spanish,
        Self::Chinese,
    ];

    /// The one that the header `Accept-Language` asks for first, of those that the page has.
    pub(crate) fn of(accept_language: Option<&str>) -> Self {
        let mut best = (Self::English, 0);
        for range in accept_language
            .unwrap_or_default()
            .split(',')
            .take(MAX_ACCEPTED)
        {
            let (tag, weight) = match range.split_once(';') {
                Some((tag, weight)) => (tag, thousandths(weight)),
                None => (range, 1000),
            };
            let primary = tag.trim().split('-').next().unwrap_or_default();
            let known = Self::ALL
                .into_iter()
                .find(|language| primary.eq_ignore_ascii_case(language.code()));
            if let Some(language) = known
                && weight > best.1
            {
                best = (language, weight);
            }
        }
        best.0
    }

    /// A number with its thousands apart.
    pub(super) fn number(self, n: u64) -> String {
        let digits = n.to_string();
        let apart = self.text("thousands");
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push_str(apart);
            }
            text.push(digit);
        }
        text
    }

    /// A size in three digits.
    pub(super) fn size(self, bytes: u64) -> String {
        let mut units = self.text("units").split(' ');
        let mut unit = units.next().unwrap_or_default();
        // In thousandths, so that nothing is lost to a fraction.
        let mut n = u128::from(bytes) * 1000;
        for next in units {
            if n < 999_500 {
                break;
            }
            (n, unit) = ((n + 500) / 1000, next);
        }
        let places = match n {
            _ if bytes < 1000 => 0,
            0..9_995 => 2,
            9_995..99_950 => 1,
            _ => 0,
        };
        let step = 10_u128.pow(3 - places);
        let n = (n + step / 2) / step;
        let one = 10_u128.pow(places);
        let mut text = (n / one).to_string();
        if places > 0 {
            let width = places as usize;
            let _ = write!(text, "{}{:0width$}", self.text("decimal"), n % one);
        }
        format!("{text}\u{a0}{unit}")
    }

    /// A text, by its name; nothing where there is none.
    pub(super) fn text(self, key: &str) -> &'static str {
        self.texts().get(key).copied().unwrap_or_default()
    }

    /// All texts, by name.
    pub(super) fn texts(self) -> &'static HashMap<&'static str, &'static str> {
        static ALL: OnceLock<HashMap<&str, HashMap<&str, &str>>> = OnceLock::new();
        static NONE: OnceLock<HashMap<&str, &str>> = OnceLock::new();
        let all = ALL.get_or_init(|| serde_json::from_str(TEXTS).unwrap_or_default());
        let found = all.get(self.code());
        found.unwrap_or_else(|| NONE.get_or_init(HashMap::new))
    }

    /// Its name in the texts.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::Chinese => "zh",
        }
    }

    /// Whether a count takes the singular.
    pub(super) fn is_one(self, n: u64) -> bool {
        n == 1 || (n == 0 && self == Self::French)
    }
}

/// The weight `q=0.8`, in thousandths; what cannot be read weighs nothing.
fn thousandths(weight: &str) -> u32 {
    let Some(number) = weight.trim().strip_prefix("q=") else {
        return 0;
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return 0;
    }
    let part = format!("{part:0<3}").parse().unwrap_or(0);
    let whole: u32 = whole.parse().unwrap_or(0);
    whole.min(1) * 1000 + if whole == 0 { part } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names between braces of a text.
    fn placeholders(text: &str) -> BTreeSet<&str> {
        let behind = text.split('{').skip(1);
        behind.filter_map(|rest| rest.split('}').next()).collect()
    }

    #[test]
    fn every_language_has_the_same_texts_with_the_same_values() {
        let english = Language::English.texts();
        assert!(english.len() > 80, "{}", english.len());
        for language in Language::ALL {
            let other = language.texts();
            let keys = |texts: &HashMap<&str, &str>| -> BTreeSet<String> {
                texts.keys().map(|&key| key.to_owned()).collect()
            };
            assert_eq!(keys(other), keys(english), "{language:?}");
            for (key, text) in other {
                assert!(!text.is_empty(), "{language:?} {key}");
                let (theirs, ours) = (placeholders(text), placeholders(english[key]));
                assert_eq!(theirs, ours, "{language:?} {key}");
            }
        }
    }

    #[test]
    fn the_language_is_the_first_that_the_page_has() {
        for (header, language) in [
            (None, Language::English),
            (Some(""), Language::English),
            (Some("de"), Language::German),
            (Some("de-AT,de;q=0.9,en;q=0.8"), Language::German),
            (Some("pt-BR, es;q=0.5, fr;q=0.7"), Language::French),
            (Some("zh-TW"), Language::Chinese),
            (Some("ZH"), Language::Chinese),
            (Some("de;q=0, es;q=0.001"), Language::Spanish),
            (Some("en;q=0.5,de;q=0.50"), Language::English),
            (Some("en;q=0.5,de;q=0.51"), Language::German),
            (Some("*"), Language::English),
            (Some("ja, ko"), Language::English),
            (Some("de;q=nonsense;;=,,,"), Language::English),
        ] {
            assert_eq!(Language::of(header), language, "{header:?}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_language() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (1234, "1.23 kB"),
            (9_994, "9.99 kB"),
            (9_996, "10.0 kB"),
            (99_960, "100 kB"),
            (999_600, "1.00 MB"),
            (2_345_000_000, "2.35 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(Language::English.size(bytes), text.replace(' ', "\u{a0}"));
        }
        assert_eq!(Language::French.size(1_234_000), "1,23\u{a0}Mo");
        assert_eq!(Language::German.number(1_234), "1.234");
        assert_eq!(Language::English.number(1_234_567), "1,234,567");
        assert!(Language::French.is_one(0) && !Language::English.is_one(0));
    }
}

//! Versions as operating systems and programs write them, compared as versions.
//!
//! | written | compared as |
//! |---|---|
//! | `15.4`, `v15.4.0`, `15.04` | 15, 4: zeros at the end and before a number mean nothing |
//! | `10.0.22631.4890`, `5.15.0-91-generic` | each number in turn, whatever stands between them |
//! | `1.0.2k`, `13.2.1 (c)` | a single letter is a patch: later than without it, earlier than a further number |
//! | `6.1-rc2`, `2.0 beta` | a pre-release: earlier than without the word |
//! | `22.04 LTS`, `4.18.el8` | other words mean nothing |
//!
//! There is no upper bound on a number, because some versions are dates with a time.

use std::{cmp::Ordering, str::FromStr};

/// The longest text of a version, in bytes.
pub const VERSION_BYTES_MAX: usize = 128;

/// The words that stand for a pre-release, from the earliest to the latest.
const PRE_RELEASES: [&[&str]; 5] =
    [&["dev", "nightly", "snapshot"], &["alpha"], &["beta"], &["pre", "preview"], &["rc"]];

/// A version.
///
/// Invariant: neither the last part nor one before a pre-release is zero, so that versions that are equal
/// have equal parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(Vec<Part>);

/// One part of a version. The order is that of the variants, because missing parts count as `Zero`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// The place in [`PRE_RELEASES`].
    PreRelease(usize),
    Zero,
    Letter(char),
    /// The number of digits, and the digits without leading zeros: compared like this, the order is that
    /// of the numbers.
    Number(usize, String),
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a version as text: at most {VERSION_BYTES_MAX} bytes that begin with a number, such as `15.4`"
)]
pub struct InvalidVersion;

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        if VERSION_BYTES_MAX < text.len() {
            return Err(InvalidVersion);
        }
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        if !text.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(InvalidVersion);
        }
        let mut parts: Vec<Part> = Vec::new();
        for word in words(text) {
            let Some(part) = Part::of(word) else { continue };
            if let Part::PreRelease(_) = part {
                drop_zeros(&mut parts);
            }
            parts.push(part);
        }
        drop_zeros(&mut parts);
        Ok(Self(parts))
    }
}

/// Removes the zeros at the end, which mean nothing there.
fn drop_zeros(parts: &mut Vec<Part>) {
    while parts.last() == Some(&Part::Zero) {
        parts.pop();
    }
}

/// Cuts a text into runs of digits and runs of letters.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let kind = |c: char| (c.is_ascii_digit(), c.is_alphabetic());
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c| kind(c) == (false, false));
        let first = kind(rest.chars().next()?);
        let end = rest.find(|c| kind(c) != first).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        Some(word)
    })
}

impl Part {
    /// Returns `None` for a word that means nothing.
    fn of(word: &str) -> Option<Self> {
        if word.starts_with(|first: char| first.is_ascii_digit()) {
            let digits = word.trim_start_matches('0');
            let is_zero = digits.is_empty();
            return Some(if is_zero {
                Self::Zero
            } else {
                Self::Number(digits.len(), digits.to_owned())
            });
        }
        let word = word.to_lowercase();
        let pre_release = PRE_RELEASES.iter().position(|words| words.contains(&word.as_str()));
        let mut letters = word.chars();
        match (pre_release, letters.next(), letters.next()) {
            (Some(place), ..) => Some(Self::PreRelease(place)),
            (None, Some(letter), None) => Some(Self::Letter(letter)),
            (None, ..) => None,
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.0.len().max(other.0.len());
        let part = |version: &'_ Self, at: usize| version.0.get(at).cloned().unwrap_or(Part::Zero);
        (0..length)
            .map(|at| part(self, at).cmp(&part(other, at)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[track_caller]
    fn ascends(versions: &[&str]) {
        for pair in versions.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn versions_are_in_the_order_in_which_they_came_out() {
        ascends(&["9", "10", "10.0.1", "10.1", "11"]);
        ascends(&["15.3", "15.3.9", "15.4", "15.10", "26.0"]);
        ascends(&["10.0.19045.5737", "10.0.22631.3880", "10.0.22631.4890", "10.0.26100"]);
        ascends(&["5.15.0-91-generic", "5.15.0-102-generic", "6.1"]);
        ascends(&["1.0.2", "1.0.2a", "1.0.2k", "1.0.2.1", "1.0.3"]);
        ascends(&["13.2", "13.2.1", "13.2.1 (a)", "13.2.1 (c)", "13.3"]);
        ascends(&["2.0-dev", "2.0.0-alpha1", "2.0 beta", "2.0-beta.2", "2.0rc1", "2.0-RC2", "2.0"]);
        ascends(&["20260401123456", "20260401123457", "99999999999999999999999999"]);
        ascends(&["0", "0.1"]);
    }

    #[test]
    fn versions_that_differ_only_in_form_are_equal() {
        for (one, other) in [
            ("15.4", "15.4.0"),
            ("15.4", "v15.4.0.0"),
            ("15.04", "15.4"),
            (" 15.4\n", "15.4"),
            ("22.04", "22.04 LTS"),
            ("22.04", "22.04-lts"),
            ("1.2_3", "1.2.3"),
            ("2.0.0-rc.1", "2.0 RC 1"),
            ("0", "0.0"),
        ] {
            assert_eq!(version(one), version(other), "{one} {other}");
            assert_eq!(version(one).cmp(&version(other)), Ordering::Equal, "{one} {other}");
        }
    }

    #[test]
    fn a_text_without_a_number_at_its_beginning_is_no_version() {
        let long = "1".repeat(VERSION_BYTES_MAX + 1);
        for text in ["", "v", "current", "-1", ".5", "Windows 11", "ü1", &long] {
            assert_eq!(text.parse::<Version>(), Err(InvalidVersion), "{text:?}");
        }
        assert!("1".repeat(VERSION_BYTES_MAX).parse::<Version>().is_ok());
    }

    fn texts() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            "[0-9]{1,3}",
            "[a-c]",
            prop::sample::select(vec!["rc", "beta", "LTS", "0", "00", "dev"])
                .prop_map(str::to_owned),
        ];
        (0..20_u32, vec(("[.\\- ]", word), 0..4)).prop_map(|(first, rest)| {
            rest.into_iter()
                .fold(first.to_string(), |text, (between, word)| text + &between + &word)
        })
    }

    proptest! {
        #[test]
        fn the_order_is_total(one in texts(), two in texts(), three in texts()) {
            let (a, b, c) = (version(&one), version(&two), version(&three));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }

        #[test]
        fn a_greater_number_is_a_later_version(head in texts(), one: u64, other: u64) {
            let of = |number: u64| version(&format!("{head}.{number}"));
            prop_assert_eq!(of(one).cmp(&of(other)), one.cmp(&other));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            text.parse::<Version>().ok();
        }
    }
}

//! Kubernetes quantities: `10Gi`, `1.5`, `2e9`.

use std::{cmp::Ordering, error::Error, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// A Kubernetes `resource.Quantity`: exact down to a billionth, the least that
/// Kubernetes tells apart. The default is zero, as in Go.
///
/// Source: `ParseQuantity` in `k8s.io/apimachinery/pkg/api/resource`. Beyond
/// 1.7e29, more bytes than there are, all quantities are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nanos: i128,
}

impl Quantity {
    /// A quantity of that many units.
    #[must_use]
    pub const fn new(units: i64) -> Self {
        Self { nanos: units as i128 * NANOS }
    }

    /// The largest binary quantity (`10Gi`): larger ones are cut down to it.
    const LARGEST_BINARY: Self = Self::new(i64::MAX);
}

const NANO_PLACES: i64 = 9;
const NANOS: i128 = 1_000_000_000;

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        if text.is_empty() {
            return Err(NotAQuantity);
        }
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, rest) = split_digits(unsigned);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("", rest),
        };
        let scale = Scale::from_suffix(suffix)?;
        // Go's fast way takes what has no digit at all for zero; its slow way,
        // by which very small and very large scales go, refuses it.
        if whole.is_empty() && fraction.is_empty() && !scale.goes_the_fast_way() {
            return Err(NotAQuantity);
        }
        let places = i64::try_from(fraction.len()).map_err(|_| NotAQuantity)?;
        let digits = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0');
        let magnitude = match scale {
            Scale::Decimal(exponent) => {
                nanos(&digits.collect::<Vec<_>>(), i64::from(exponent) - places)
            }
            Scale::Binary(exponent) => {
                let product = times(&digits.collect::<Vec<_>>(), 1 << exponent);
                nanos(&product, -places).min(Self::LARGEST_BINARY.nanos)
            }
        };
        Ok(Self { nanos: if text.starts_with('-') { -magnitude } else { magnitude } })
    }
}

/// What a suffix multiplies by.
#[derive(Clone, Copy)]
enum Scale {
    /// A power of ten.
    Decimal(i32),
    /// A power of two.
    Binary(u8),
}

impl Scale {
    fn from_suffix(suffix: &str) -> Result<Self, NotAQuantity> {
        Ok(match suffix {
            "n" => Self::Decimal(-9),
            "u" => Self::Decimal(-6),
            "m" => Self::Decimal(-3),
            "" => Self::Decimal(0),
            "k" => Self::Decimal(3),
            "M" => Self::Decimal(6),
            "G" => Self::Decimal(9),
            "T" => Self::Decimal(12),
            "P" => Self::Decimal(15),
            "E" => Self::Decimal(18),
            "Ki" => Self::Binary(10),
            "Mi" => Self::Binary(20),
            "Gi" => Self::Binary(30),
            "Ti" => Self::Binary(40),
            "Pi" => Self::Binary(50),
            "Ei" => Self::Binary(60),
            other => {
                let exponent = other.strip_prefix(['e', 'E']).ok_or(NotAQuantity)?;
                Self::Decimal(exponent.parse().map_err(|_| NotAQuantity)?)
            }
        })
    }

    fn goes_the_fast_way(self) -> bool {
        match self {
            Self::Decimal(exponent) => exponent >= -9,
            Self::Binary(exponent) => exponent <= 40,
        }
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// The product, as decimal digits again: however long the factor, no digit of
/// it is lost.
fn times(digits: &[u8], factor: u64) -> Vec<u8> {
    let mut product = Vec::with_capacity(digits.len() + 20);
    let mut carry = 0_u128;
    let mut push = |sum: u128| {
        product.push(u8::try_from(sum % 10).expect("a digit is less than ten"));
        sum / 10
    };
    for digit in digits.iter().rev() {
        carry = push(u128::from(*digit) * u128::from(factor) + carry);
    }
    while carry > 0 {
        carry = push(carry);
    }
    product.reverse();
    product
}

/// `digits` times ten to the `exponent`, in billionths: what is less than one
/// of them is rounded up to it.
fn nanos(digits: &[u8], exponent: i64) -> i128 {
    let number = |digits: &[u8]| {
        digits.iter().fold(0_i128, |number, digit| {
            number.saturating_mul(10).saturating_add(i128::from(*digit))
        })
    };
    let shift = exponent + NANO_PLACES;
    let places = usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX);
    match shift.cmp(&0) {
        Ordering::Less => {
            let (kept, cut) = digits.split_at(digits.len().saturating_sub(places));
            let round_up = i128::from(cut.iter().any(|digit| *digit > 0));
            number(kept).saturating_add(round_up)
        }
        Ordering::Equal => number(digits),
        Ordering::Greater => {
            let power = u32::try_from(places).ok().and_then(|places| 10_i128.checked_pow(places));
            number(digits).saturating_mul(power.unwrap_or(i128::MAX))
        }
    }
}

/// The text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAQuantity;

impl fmt::Display for NotAQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a quantity: expected a number and a unit, such as 10Gi")
    }
}

impl Error for NotAQuantity {}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer)?.0.map_err(de::Error::custom)
    }
}

/// Reads a quantity, or `None` where the text is none or there is nothing.
pub(crate) fn if_readable<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Quantity>, D::Error> {
    let written: Option<Written> = Option::deserialize(deserializer)?;
    Ok(written.and_then(|written| written.0.ok()))
}

/// What stands where a quantity is expected: as Go has it, a string or a number.
struct Written(Result<Quantity, NotAQuantity>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Written, E> {
                Ok(Written(text.trim().parse()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Written, E> {
                Ok(Written(Ok(Quantity::new(number))))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Written, E> {
                Ok(Written(number.to_string().parse()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Written, E> {
                Ok(Written(number.to_string().parse()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos_of(text: &str) -> Option<i128> {
        text.parse().ok().map(|Quantity { nanos }| nanos)
    }

    #[test]
    fn reads_what_go_reads() {
        const CAP: i128 = i64::MAX as i128 * NANOS;
        for (text, expected) in [
            ("0", 0),
            ("1", NANOS),
            ("+1", NANOS),
            ("-1", -NANOS),
            ("007", 7 * NANOS),
            ("10Gi", (10 << 30) * NANOS),
            ("1.5Gi", (3 << 29) * NANOS),
            ("10G", 10_000_000_000 * NANOS),
            ("1k", 1000 * NANOS),
            ("100m", NANOS / 10),
            ("3u", 3000),
            ("3n", 3),
            ("1e3", 1000 * NANOS),
            ("1E3", 1000 * NANOS),
            ("1e+3", 1000 * NANOS),
            ("1.25e-2", 12_500_000),
            ("2E", 2_000_000_000_000_000_000 * NANOS),
            (".5", NANOS / 2),
            ("5.", 5 * NANOS),
            ("1.Ki", 1024 * NANOS),
            // Less than a billionth is rounded up to one, away from zero.
            ("0.1n", 1),
            ("1.0000000001", NANOS + 1),
            ("-0.1n", -1),
            ("1e-300", 1),
            ("0e-300", 0),
            ("0.0000000001Ki", 103),
            // Binary quantities alone have a largest, the others go on.
            ("7Ei", (7 << 60) * NANOS),
            ("8Ei", CAP),
            ("-9Ei", -CAP),
            ("99999999999999999999999999999999999999999999Mi", CAP),
            ("9223372036854775808", CAP + NANOS),
            ("100E", 100_000_000_000_000_000_000 * NANOS),
            ("1e29", 100_000_000_000_000_000_000_000_000_000 * NANOS),
            ("1e300", i128::MAX),
            ("0e300", 0),
            // A fraction of a binary quantity loses no digit on the way.
            ("0.9999999999999999999999999999999999999999Ei", (1 << 60) * NANOS),
            ("0.999999999999999999999999999Ei", 1_152_921_504_606_846_976_000_000_000 - 1),
            // Go takes what has no digits for zero, up to a size.
            ("+", 0),
            (".", 0),
            ("Ti", 0),
            ("e3", 0),
        ] {
            assert_eq!(nanos_of(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in [
            "", " 1", "1 ", "ten", "1,5", "1.2.3", "--1", "1-", "1e", "1e+", "1ee3", "1Kib", "1ki",
            "1gi", "1K", "1i", "1 Gi", "1Gi3", "0x10", "Pi", "Ei", "e-10", ".e-10", "½", "1e1.5",
        ] {
            assert_eq!(nanos_of(text), None, "{text}");
        }
    }

    #[test]
    fn compares_across_units() {
        let ascending =
            ["-1Gi", "-1n", "0", "1n", "999m", "1", "1000k", "1Mi", "1G", "1Gi", "1e10", "10Gi"];
        let parsed: Vec<Quantity> = ascending.iter().map(|text| text.parse().unwrap()).collect();
        assert!(parsed.is_sorted_by(|a, b| a < b));
        for (one, other) in [("1Gi", "1024Mi"), ("1", "1000m"), ("1e3", "1k"), ("0", "-0")] {
            assert_eq!(nanos_of(one), nanos_of(other), "{one} {other}");
        }
    }

    #[test]
    fn is_read_from_a_string_or_a_number() {
        for (json, expected) in [
            (r#""10Gi""#, Some("10Gi")),
            (r#"" 10Gi ""#, Some("10Gi")),
            ("5", Some("5")),
            ("-5", Some("-5")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("1.5e3", Some("1500")),
            (r#""ten""#, None),
            ("true", None),
            ("{}", None),
        ] {
            let read: Option<Quantity> = serde_json::from_str(json).ok();
            assert_eq!(read, expected.map(|text| text.parse().unwrap()), "{json}");
        }
    }
}

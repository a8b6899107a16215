//! Numbers by value: `2`, `2.0` and `2e0` are the same integer.

use serde_json::{Number, Value};

/// Reads a number literal of JSON. Returns the number, and whether it has the same digits when it is
/// written again.
pub(super) fn parse(literal: &str) -> (Number, bool) {
    let is_float = |byte| matches!(byte, b'.' | b'e' | b'E');
    if !literal.bytes().any(is_float) && literal != "-0" {
        if let Ok(number) = literal.parse::<i64>() {
            return (number.into(), true);
        }
        if let Ok(number) = literal.parse::<u64>() {
            return (number.into(), true);
        }
    }
    let nearest: f64 = literal.parse().expect("a number of JSON is a number of Rust");
    let nearest = Number::from_f64(nearest.clamp(f64::MIN, f64::MAX));
    (nearest.expect("it is finite"), false)
}

/// Returns a whole number of at least 0, however it is written. A number beyond `u64` becomes the
/// largest `u64`.
pub fn whole(value: &Value) -> Option<u64> {
    /// The first number that is too large, 2⁶⁴.
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && 0.0 <= *number)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, not negative, and below the bound"
    )]
    let number = if number < BEYOND { number as u64 } else { u64::MAX };
    Some(number)
}

/// Tells whether two values are equal, with numbers compared by value.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.as_f64() == other.as_f64() && (one.is_f64() || other.is_f64()))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_whole_number_is_read_however_it_is_written() {
        let read = |literal: &str| whole(&Value::Number(parse(literal).0));
        for (literal, number) in
            [("2", 2), ("2.0", 2), ("0.2e1", 2), ("20e-1", 2), ("-0", 0), ("0.0", 0), ("1e3", 1000)]
        {
            assert_eq!(read(literal), Some(number), "{literal}");
        }
        assert_eq!(read("18446744073709551615"), Some(u64::MAX));
        for beyond in ["18446744073709551616", "1e30", "1e999"] {
            assert_eq!(read(beyond), Some(u64::MAX), "{beyond}");
        }
        for not_whole in ["1.5", "-1", "-1.0", "-1e999"] {
            assert_eq!(read(not_whole), None, "{not_whole}");
        }
        assert_eq!(whole(&json!("2")), None);
    }

    #[test]
    fn equal_numbers_are_the_same_wherever_they_are() {
        assert!(same(&json!({"a": [2, {"b": 2.0}]}), &json!({"a": [2.0, {"b": 2}]})));
        assert!(!same(&json!({"a": 2}), &json!({"a": 2, "b": 2})));
        assert!(!same(&json!([2]), &json!([2, 2])));
        assert!(!same(&json!(2), &json!("2")));
        assert!(!same(&json!(u64::MAX), &json!(u64::MAX - 1)));
    }
}

//! Scalars: whole numbers beyond 32 bits, instants, and JSON taken as it is.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, SecondsFormat, Utc};
use common::clock;

/// A whole number between -2^63 and 2^63 - 1, written as a JSON integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BigInt(pub i64);

/// A whole number between -2^63 and 2^63 - 1, written as a JSON integer.
#[Scalar]
impl ScalarType for BigInt {
    fn parse(value: Value) -> InputValueResult<Self> {
        match integer(&value) {
            Some(number) => Ok(Self(number)),
            None => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        integer(value).is_some()
    }

    fn to_value(&self) -> Value {
        Value::from(self.0)
    }
}

fn integer(value: &Value) -> Option<i64> {
    if let Value::Number(number) = value { number.as_i64() } else { None }
}

/// An instant, RFC 3339. Answers are in UTC, for instance `2026-11-23T19:30:00Z`; any offset is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp(pub DateTime<Utc>);

/// An instant, RFC 3339. Answers are in UTC, for instance `2026-11-23T19:30:00Z`; any offset is understood.
#[Scalar(name = "DateTime")]
impl ScalarType for Timestamp {
    fn parse(value: Value) -> InputValueResult<Self> {
        match instant(&value) {
            Some(at) => Ok(Self(at)),
            None => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        instant(value).is_some()
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    let Value::String(text) = value else { return None };
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

impl Timestamp {
    /// Reads a service's form; `None` when absent.
    pub fn of(wire: Option<&prost_types::Timestamp>) -> Option<Self> {
        clock::from_wire(wire?).map(Self)
    }

    /// Reads a service's form that is never absent.
    pub fn required(wire: Option<&prost_types::Timestamp>) -> Self {
        Self::of(wire).unwrap_or(Self(DateTime::UNIX_EPOCH))
    }

    /// The services' form.
    pub fn to_wire(self) -> prost_types::Timestamp {
        clock::to_wire(self.0)
    }
}

/// Any JSON value. Best given as a variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Json(pub Value);

/// Any JSON value. Best given as a variable.
#[Scalar(name = "JSON")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(value))
    }

    fn to_value(&self) -> Value {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_answered_in_utc_with_a_z() {
        let at = Timestamp::parse(Value::from("2026-11-23T20:30:00+01:00")).unwrap();

        assert_eq!(at.to_value(), Value::from("2026-11-23T19:30:00Z"));
        assert!(!Timestamp::is_valid(&Value::from("tomorrow")));
        assert!(!Timestamp::is_valid(&Value::from(5)));
    }

    #[test]
    fn big_integers_are_json_integers_and_nothing_else() {
        assert_eq!(BigInt::parse(Value::from(i64::MAX)).unwrap().to_value(), Value::from(i64::MAX));
        for value in [Value::from("5"), Value::from(1.5), Value::from(u64::MAX), Value::Null] {
            assert!(!BigInt::is_valid(&value), "{value}");
        }
    }
}

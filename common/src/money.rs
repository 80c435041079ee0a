//! Amounts: whole minor units of an ISO 4217 currency, never negative, never a float.

use std::fmt;

use crate::proto::common::v1 as wire;

/// An ISO 4217 currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Reads a three-letter code in capitals.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(code)
            .map(Self)
            .ok_or_else(|| MoneyError::UnknownCurrency(code.chars().take(16).collect()))
    }

    /// The three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Digits after the decimal point: 0 for JPY, 2 for EUR, 3 for KWD.
    pub fn exponent(self) -> u32 {
        u32::from(self.0.exponent().unwrap_or(0))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount of money, 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    amount_minor: i64,
    currency: Currency,
}

/// Why an amount cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// No ISO 4217 code.
    #[error("unknown currency code {0:?}")]
    UnknownCurrency(String),
    /// Below zero.
    #[error("amount {0} is below zero")]
    Negative(i64),
    /// Out of range.
    #[error("amount is out of range")]
    Overflow,
    /// Two currencies in one sum.
    #[error("cannot add {0:?} to {1:?}")]
    CurrencyMismatch(Currency, Currency),
}

impl Money {
    /// An amount in minor units.
    pub fn new(amount_minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        if amount_minor < 0 {
            return Err(MoneyError::Negative(amount_minor));
        }
        Ok(Self { amount_minor, currency })
    }

    /// Nothing, in a currency.
    pub fn zero(currency: Currency) -> Self {
        Self { amount_minor: 0, currency }
    }

    /// Minor units.
    pub fn amount_minor(self) -> i64 {
        self.amount_minor
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Whether there is nothing to pay.
    pub fn is_zero(self) -> bool {
        self.amount_minor == 0
    }

    /// The sum of two amounts of one currency.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let sum = self.amount_minor.checked_add(other.amount_minor);
        Self::new(sum.ok_or(MoneyError::Overflow)?, self.currency)
    }

    /// What is left of this amount after `other`.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        Self::new(self.amount_minor - other.amount_minor, self.currency)
    }

    /// This amount, `count` times.
    pub fn checked_mul(self, count: u32) -> Result<Self, MoneyError> {
        let product = self.amount_minor.checked_mul(i64::from(count));
        Self::new(product.ok_or(MoneyError::Overflow)?, self.currency)
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch(other.currency, self.currency));
        }
        Ok(())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        let unit = 10_i64.pow(exponent);
        write!(f, "{}", self.amount_minor / unit)?;
        if exponent > 0 {
            write!(f, ".{:0width$}", self.amount_minor % unit, width = exponent as usize)?;
        }
        write!(f, " {}", self.currency.code())
    }
}

impl From<Money> for wire::Money {
    fn from(money: Money) -> Self {
        Self { amount_minor: money.amount_minor, currency: money.currency.code().to_owned() }
    }
}

impl TryFrom<wire::Money> for Money {
    type Error = MoneyError;

    fn try_from(money: wire::Money) -> Result<Self, MoneyError> {
        Self::new(money.amount_minor, Currency::parse(&money.currency)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn amounts_print_with_their_currencys_exponent() {
        for (minor, code, text) in
            [(2500, "EUR", "25.00 EUR"), (5, "EUR", "0.05 EUR"), (2500, "JPY", "2500 JPY"), (2500, "KWD", "2.500 KWD")]
        {
            assert_eq!(Money::new(minor, currency(code)).unwrap().to_string(), text);
        }
    }

    #[test]
    fn unknown_codes_and_negative_amounts_are_refused() {
        assert_eq!(Currency::parse("eur"), Err(MoneyError::UnknownCurrency("eur".into())));
        assert_eq!(Money::new(-1, currency("EUR")), Err(MoneyError::Negative(-1)));
    }

    #[test]
    fn currencies_never_mix() {
        let euro = Money::new(1, currency("EUR")).unwrap();
        let yen = Money::new(1, currency("JPY")).unwrap();

        assert!(matches!(euro.checked_add(yen), Err(MoneyError::CurrencyMismatch(..))));
        assert!(matches!(euro.checked_sub(yen), Err(MoneyError::CurrencyMismatch(..))));
    }

    proptest! {
        #[test]
        fn arithmetic_is_exact_or_refused(a in 0..=i64::MAX, b in 0..=i64::MAX, n in 0..=u32::MAX) {
            let (x, y) = (Money::new(a, currency("EUR")).unwrap(), Money::new(b, currency("EUR")).unwrap());

            prop_assert_eq!(x.checked_add(y).ok().map(Money::amount_minor), a.checked_add(b));
            prop_assert_eq!(x.checked_sub(y).ok().map(Money::amount_minor), (a >= b).then(|| a - b));
            prop_assert_eq!(x.checked_mul(n).ok().map(Money::amount_minor), a.checked_mul(i64::from(n)));
        }
    }
}

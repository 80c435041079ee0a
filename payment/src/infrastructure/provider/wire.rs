//! The JSON a provider speaks: amounts are whole minor units, references and refund ids are ours.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST /v1/charges` | `reference`, `amount`, `token` | [`AnswerBody`] |
//! | `POST /v1/charges/{reference}/capture` | `amount` | [`AnswerBody`] |
//! | `POST /v1/charges/{reference}/void` | none | [`AnswerBody`] |
//! | `POST /v1/charges/{reference}/refunds` | `refund_id`, `amount` | [`AnswerBody`] |
//! | `GET /v1/charges/{reference}` | none | [`ChargeBody`], or 404 with [`ErrorBody`] |
//!
//! Every call carries the secret as a bearer token, and every POST an `Idempotency-Key`: the reference, or the refund id for
//! a refund. A refusal is an answer of 200; any other status means that nothing is known.

use chrono::{DateTime, SecondsFormat, Utc};
use common::ids::RefundId;
use common::money::{Currency, Money};
use serde::{Deserialize, Serialize};

use crate::application::ports::{Authorisation, Charge, ProviderEvent, RefundStatus};
use crate::domain::News;

/// Code of an answer of 404 about a reference that was never seen.
pub const NOT_FOUND: &str = "NOT_FOUND";
/// Longest id of an event, characters.
const EVENT_ID_MAX: usize = 255;
/// Longest reference or code, characters.
const WORD_MAX: usize = 255;

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

impl From<Money> for Amount {
    fn from(money: Money) -> Self {
        Self { amount_minor: money.amount_minor(), currency: money.currency().code().to_owned() }
    }
}

impl TryFrom<Amount> for Money {
    type Error = Nonsense;

    fn try_from(amount: Amount) -> Result<Self, Nonsense> {
        let currency = Currency::parse(&amount.currency).map_err(|_| Nonsense("currency"))?;
        Self::new(amount.amount_minor, currency).map_err(|_| Nonsense("amount_minor"))
    }
}

/// A field that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the field {0} is missing or wrong")]
pub struct Nonsense(pub &'static str);

/// Asks to reserve an amount.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuthoriseBody {
    /// Our name for it.
    pub reference: String,
    /// How much.
    pub amount: Amount,
    /// The means of payment.
    pub token: String,
}

/// Asks to take a reserved amount.
#[derive(Debug, Serialize, Deserialize)]
pub struct CaptureBody {
    /// How much.
    pub amount: Amount,
}

/// Asks to give money back.
#[derive(Debug, Serialize, Deserialize)]
pub struct RefundBody {
    /// Key of the refund.
    pub refund_id: RefundId,
    /// How much.
    pub amount: Amount,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// It is done.
    Done,
    /// It is refused.
    Refused,
    /// It is being decided.
    Pending,
}

/// The answer to a call.
#[derive(Debug, Serialize, Deserialize)]
pub struct AnswerBody {
    /// The reference asked about.
    pub reference: String,
    /// The refund asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<RefundId>,
    /// What came of it.
    pub outcome: Word,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How much was authorised, captured or refunded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

/// Why there is no answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Stable code: `NOT_FOUND`, `UNAUTHENTICATED`, `INVALID_INPUT`, `UNAVAILABLE`.
    pub error: String,
    /// The reference asked about, with `NOT_FOUND`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// What is known about a reference.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChargeBody {
    /// Our name for it.
    pub reference: String,
    /// What came of its authorisation.
    pub authorisation: Word,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How much was authorised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorised: Option<Amount>,
    /// How much was captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured: Option<Amount>,
    /// Whether it was voided.
    pub voided: bool,
    /// Its refunds.
    pub refunds: Vec<RefundStatusBody>,
}

/// What is known about a refund.
#[derive(Debug, Serialize, Deserialize)]
pub struct RefundStatusBody {
    /// Its key.
    pub refund_id: RefundId,
    /// Where it stands; `refused` when it was taken in and failed.
    pub state: Word,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How much went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

impl ChargeBody {
    /// What the port says, for the wire.
    pub fn of(reference: &str, charge: Charge) -> Self {
        let (authorisation, code, authorised) = match charge.authorisation {
            Authorisation::Pending => (Word::Pending, None, None),
            Authorisation::Approved { amount } => (Word::Done, None, Some(amount.into())),
            Authorisation::Declined { code } => (Word::Refused, Some(code), None),
        };
        Self {
            reference: reference.to_owned(),
            authorisation,
            code,
            authorised,
            captured: charge.captured.map(Amount::from),
            voided: charge.voided,
            refunds: charge.refunds.into_iter().map(RefundStatusBody::from).collect(),
        }
    }
}

impl From<(RefundId, RefundStatus)> for RefundStatusBody {
    fn from((refund_id, status): (RefundId, RefundStatus)) -> Self {
        let (state, code, amount) = match status {
            RefundStatus::Pending => (Word::Pending, None, None),
            RefundStatus::Done { amount } => (Word::Done, None, Some(amount.into())),
            RefundStatus::Failed { code } => (Word::Refused, Some(code), None),
        };
        Self { refund_id, state, code, amount }
    }
}

impl TryFrom<ChargeBody> for Charge {
    type Error = Nonsense;

    fn try_from(body: ChargeBody) -> Result<Self, Nonsense> {
        let authorisation = match body.authorisation {
            Word::Pending => Authorisation::Pending,
            Word::Done => Authorisation::Approved { amount: money(body.authorised, "authorised")? },
            Word::Refused => Authorisation::Declined { code: word(body.code, "code")? },
        };
        Ok(Self {
            authorisation,
            captured: body.captured.map(Money::try_from).transpose()?,
            voided: body.voided,
            refunds: body.refunds.into_iter().map(refund_status).collect::<Result<_, _>>()?,
        })
    }
}

fn refund_status(body: RefundStatusBody) -> Result<(RefundId, RefundStatus), Nonsense> {
    let status = match body.state {
        Word::Pending => RefundStatus::Pending,
        Word::Done => RefundStatus::Done { amount: money(body.amount, "refunds.amount")? },
        Word::Refused => RefundStatus::Failed { code: word(body.code, "refunds.code")? },
    };
    Ok((body.refund_id, status))
}

/// What a provider tells unasked.
#[derive(Debug, Serialize, Deserialize)]
pub struct CallbackBody {
    /// The event's id, the same each time it is told.
    pub id: String,
    /// `charge.approved`, `charge.declined`, `charge.captured`, `charge.capture_failed`, `charge.voided`, `refund.done` or
    /// `refund.failed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Our name for the charge.
    pub reference: String,
    /// Key of the refund, for a refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<RefundId>,
    /// How much was approved, captured or refunded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Why it was declined or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When it happened, RFC 3339, UTC.
    pub created_at: String,
}

impl CallbackBody {
    /// An event for the wire.
    pub fn of(event: &ProviderEvent, created_at: DateTime<Utc>) -> Self {
        let (kind, refund_id, amount, code) = match event.news.clone() {
            News::Approved { amount } => ("charge.approved", None, Some(amount), None),
            News::Declined { code } => ("charge.declined", None, None, Some(code)),
            News::Captured { amount } => ("charge.captured", None, Some(amount), None),
            News::CaptureFailed { code } => ("charge.capture_failed", None, None, Some(code)),
            News::Voided => ("charge.voided", None, None, None),
            News::Refunded { refund, amount } => ("refund.done", Some(refund), Some(amount), None),
            News::RefundFailed { refund, code } => ("refund.failed", Some(refund), None, Some(code)),
        };
        Self {
            id: event.id.clone(),
            kind: kind.to_owned(),
            reference: event.reference.clone(),
            refund_id,
            amount: amount.map(Amount::from),
            code,
            created_at: created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }

    /// The event; `None` for a kind nobody here has heard of yet.
    ///
    /// # Errors
    /// A field that the kind needs is missing or wrong.
    pub fn event(self) -> Result<Option<ProviderEvent>, Nonsense> {
        if !is_word(&self.id, EVENT_ID_MAX) {
            return Err(Nonsense("id"));
        }
        let reference = word(Some(self.reference), "reference")?;
        let refund = self.refund_id.ok_or(Nonsense("refund_id"));
        let news = match self.kind.as_str() {
            "charge.approved" => News::Approved { amount: money(self.amount, "amount")? },
            "charge.declined" => News::Declined { code: word(self.code, "code")? },
            "charge.captured" => News::Captured { amount: money(self.amount, "amount")? },
            "charge.capture_failed" => News::CaptureFailed { code: word(self.code, "code")? },
            "charge.voided" => News::Voided,
            "refund.done" => News::Refunded { refund: refund?, amount: money(self.amount, "amount")? },
            "refund.failed" => News::RefundFailed { refund: refund?, code: word(self.code, "code")? },
            _ => return Ok(None),
        };
        Ok(Some(ProviderEvent { id: self.id, reference, news }))
    }
}

/// An amount that must be there.
///
/// # Errors
/// It is not, or cannot be.
pub fn money(amount: Option<Amount>, field: &'static str) -> Result<Money, Nonsense> {
    amount.ok_or(Nonsense(field))?.try_into()
}

/// A code that must be there.
///
/// # Errors
/// It is not, or is no printable ASCII of a decent length.
pub fn word(text: Option<String>, field: &'static str) -> Result<String, Nonsense> {
    text.filter(|text| is_word(text, WORD_MAX)).ok_or(Nonsense(field))
}

fn is_word(text: &str, length_max: usize) -> bool {
    (1..=length_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eur(amount_minor: i64) -> Money {
        Money::new(amount_minor, Currency::parse("EUR").unwrap()).unwrap()
    }

    #[test]
    fn every_kind_of_news_survives_the_wire() {
        let (refund, amount, code) = (RefundId::new(), eur(2500), "NO".to_owned());
        for news in [
            News::Approved { amount },
            News::Declined { code: code.clone() },
            News::Captured { amount },
            News::CaptureFailed { code: code.clone() },
            News::Voided,
            News::Refunded { refund, amount },
            News::RefundFailed { refund, code },
        ] {
            let event = ProviderEvent { id: "evt_1".into(), reference: "a-1".into(), news };

            let sent = serde_json::to_vec(&CallbackBody::of(&event, DateTime::UNIX_EPOCH)).unwrap();
            let read: CallbackBody = serde_json::from_slice(&sent).unwrap();

            assert_eq!(read.event(), Ok(Some(event)));
        }
    }

    #[test]
    fn news_without_what_they_need_are_nonsense_and_new_kinds_are_not() {
        let callback = |kind: &str| CallbackBody {
            id: "evt_1".into(),
            kind: kind.into(),
            reference: "a-1".into(),
            refund_id: None,
            amount: None,
            code: None,
            created_at: String::new(),
        };

        for kind in ["charge.approved", "charge.declined", "charge.captured", "refund.done", "refund.failed"] {
            assert!(callback(kind).event().is_err(), "{kind}");
        }
        assert_eq!(callback("charge.disputed").event(), Ok(None));
        assert_eq!(CallbackBody { id: String::new(), ..callback("charge.voided") }.event(), Err(Nonsense("id")));
        let negative = Some(Amount { amount_minor: -1, currency: "EUR".into() });
        assert!(CallbackBody { amount: negative, ..callback("charge.approved") }.event().is_err());
    }

    #[test]
    fn a_charge_survives_the_wire() {
        let refunds = vec![
            (RefundId::new(), RefundStatus::Pending),
            (RefundId::new(), RefundStatus::Done { amount: eur(100) }),
            (RefundId::new(), RefundStatus::Failed { code: "NO".into() }),
        ];
        for authorisation in [
            Authorisation::Pending,
            Authorisation::Approved { amount: eur(2500) },
            Authorisation::Declined { code: "NO".into() },
        ] {
            let charge = Charge { authorisation, captured: Some(eur(2500)), voided: false, refunds: refunds.clone() };

            let sent = serde_json::to_vec(&ChargeBody::of("a-1", charge.clone())).unwrap();
            let read: ChargeBody = serde_json::from_slice(&sent).unwrap();

            assert_eq!(Charge::try_from(read), Ok(charge));
        }
    }
}

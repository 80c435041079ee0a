//! Holding seats: price in memory, then one transaction decides.

use std::collections::HashMap;

use common::error::{ErrorKind, Refusal};
use common::ids::{AreaId, EventId, SeatId};
use common::requests::{RequestIdError, RequestKey};
use sea_orm::DbErr;
use tracing::instrument;

use super::offers::{OfferError, Offers};
use crate::domain::hold::{Order, Wanted, WishError};
use crate::infrastructure::store::{Encode, HoldOrder, HoldOutcome, Store, Stored};

/// Attempts when the offer changes between pricing and holding.
const OFFER_ATTEMPTS: usize = 3;

/// Why nothing was held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The wish itself.
    #[error(transparent)]
    Wish(#[from] WishError),
    /// No such event.
    #[error("no such event")]
    NoEvent,
    /// Cancelled or outside its sale window.
    #[error("{0}")]
    NotOnSale(&'static str),
    /// Too many live places.
    #[error("at most {limit} places per customer; {live} are live already")]
    LimitExceeded {
        /// Live places.
        live: i64,
        /// Most allowed.
        limit: i64,
    },
    /// Somebody else was faster.
    #[error("not free any more: {}", join(.0))]
    SeatsTaken(Vec<SeatId>),
    /// Not enough places left.
    #[error("area {0} has not enough places left")]
    SoldOut(AreaId),
    /// The request id.
    #[error(transparent)]
    RequestId(#[from] RequestIdError),
    /// Catalog, on first touch.
    #[error("the offer cannot be had now")]
    Offer(#[source] anyhow::Error),
    /// The database's fault.
    #[error("the database failed")]
    Db(#[from] DbErr),
}

fn join(seats: &[SeatId]) -> String {
    seats.iter().map(SeatId::to_string).collect::<Vec<_>>().join(",")
}

impl Refusal for HoldError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Wish(WishError::Unknown(_)) | Self::NoEvent => ErrorKind::NotFound,
            Self::Wish(WishError::Closed(_)) | Self::NotOnSale(_) | Self::LimitExceeded { .. } => {
                ErrorKind::FailedPrecondition
            }
            Self::Wish(WishError::Nothing | WishError::TooMany | WishError::Twice(_) | WishError::Quantity(_)) => {
                ErrorKind::InvalidInput
            }
            Self::SeatsTaken(_) | Self::SoldOut(_) => ErrorKind::Conflict,
            Self::RequestId(error) => error.kind(),
            Self::Offer(_) | Self::Db(DbErr::ConnectionAcquire(_)) => ErrorKind::Unavailable,
            Self::Db(_) => ErrorKind::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Wish(WishError::Unknown(_)) | Self::NoEvent => "NOT_FOUND",
            Self::Wish(WishError::Closed(_)) | Self::NotOnSale(_) => "NOT_ON_SALE",
            Self::Wish(WishError::Nothing | WishError::TooMany | WishError::Twice(_) | WishError::Quantity(_)) => {
                "INVALID_INPUT"
            }
            Self::LimitExceeded { .. } => "LIMIT_EXCEEDED",
            Self::SeatsTaken(_) => "SEATS_TAKEN",
            Self::SoldOut(_) => "SOLD_OUT",
            Self::RequestId(error) => error.reason(),
            Self::Offer(_) | Self::Db(DbErr::ConnectionAcquire(_)) => "UNAVAILABLE",
            Self::Db(_) => "INTERNAL",
        }
    }

    fn field(&self) -> Option<String> {
        let field = match self {
            Self::Wish(WishError::Quantity(_)) | Self::SoldOut(_) => "areas",
            Self::Wish(WishError::Unknown(what)) if what.starts_with("area") => "areas",
            Self::Wish(_) | Self::SeatsTaken(_) => "seat_ids",
            Self::NoEvent | Self::NotOnSale(_) => "event_id",
            Self::RequestId(_) => "request_id",
            Self::LimitExceeded { .. } | Self::Offer(_) | Self::Db(_) => return None,
        };
        Some(field.into())
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::SeatsTaken(seats) => HashMap::from([("seat_ids".into(), join(seats))]),
            Self::Wish(WishError::Closed(seat)) => HashMap::from([("seat_ids".into(), seat.to_string())]),
            Self::Wish(_)
            | Self::NoEvent
            | Self::NotOnSale(_)
            | Self::LimitExceeded { .. }
            | Self::SoldOut(_)
            | Self::RequestId(_)
            | Self::Offer(_)
            | Self::Db(_) => HashMap::new(),
        }
    }
}

impl From<OfferError> for HoldError {
    fn from(error: OfferError) -> Self {
        match error {
            OfferError::NotFound => Self::NoEvent,
            OfferError::Catalog(error) => Self::Offer(error),
            OfferError::Db(error) => Self::Db(error),
        }
    }
}

/// A new hold, or the answer given before under the same request id.
pub enum Answer {
    /// Held now.
    Held(Box<Stored>),
    /// The stored answer.
    Replayed(Vec<u8>),
}

/// Holds seats and places of one event for a customer, all or nothing.
#[instrument(name = "booking.hold", skip_all, fields(event.id = %event))]
pub async fn hold(
    store: &Store,
    offers: &Offers,
    customer: &str,
    event: EventId,
    wanted: &Wanted,
    key: RequestKey,
    answer: Encode<'_>,
) -> Result<Answer, HoldError> {
    let mut offer = offers.current(event).await?;
    for _ in 0..OFFER_ATTEMPTS {
        let outcome = match Order::price(customer, wanted, &offer) {
            Ok(order) => store.hold(event, &[HoldOrder { key: key.clone(), order }], answer).await?.pop(),
            // The offer may have changed since this very request was answered: what was done stays done.
            Err(wish) => Some(store.held_before(&key).await?.ok_or(wish)?),
        };
        match outcome.ok_or_else(|| DbErr::Custom("a hold without an outcome".into()))? {
            HoldOutcome::Held(stored) => return Ok(Answer::Held(stored)),
            HoldOutcome::Replayed(answer) => return Ok(Answer::Replayed(answer)),
            HoldOutcome::RequestConflict => return Err(RequestIdError::Conflict.into()),
            HoldOutcome::OtherOffer(version) => offer = offers.at_least(event, version).await?,
            HoldOutcome::NoEvent => return Err(HoldError::NoEvent),
            HoldOutcome::NotOnSale(why) => return Err(HoldError::NotOnSale(why)),
            HoldOutcome::LimitExceeded { live, limit } => return Err(HoldError::LimitExceeded { live, limit }),
            HoldOutcome::SeatsTaken(seats) => return Err(HoldError::SeatsTaken(seats)),
            HoldOutcome::SoldOut(area) => return Err(HoldError::SoldOut(area)),
        }
    }
    Err(HoldError::Offer(anyhow::anyhow!("the offer of event {event} keeps changing")))
}

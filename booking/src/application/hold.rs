//! Holding seats: price in memory, then one transaction decides.

use std::collections::HashMap;

use common::error::{ErrorKind, Refusal};
use common::ids::{AreaId, EventId, SeatId};
use common::requests::{Claim, RequestIdError, RequestKey};
use sea_orm::DbErr;
use tracing::instrument;

use super::offers::{OfferError, Offers};
use super::orphans;
use crate::domain::best_available::PartyError;
use crate::domain::hold::{Order, Wanted, WishError};
use crate::domain::offer::Offer;
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
    /// The event forbids picks that leave these seats alone.
    #[error("these seats would be left alone, and need not be: {}", join(.0))]
    OrphanSeats(Vec<SeatId>),
    /// Nothing is left that seats the party together.
    #[error("{0} cannot be seated together any more")]
    NoSeatsTogether(u32),
    /// A party that makes no sense.
    #[error(transparent)]
    Party(#[from] PartyError),
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
            Self::SeatsTaken(_) | Self::SoldOut(_) | Self::OrphanSeats(_) | Self::NoSeatsTogether(_) => {
                ErrorKind::Conflict
            }
            Self::Party(_) => ErrorKind::InvalidInput,
            Self::RequestId(error) => error.kind(),
            Self::Offer(_) => ErrorKind::Unavailable,
            Self::Db(error) => error.kind(),
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
            Self::SoldOut(_) | Self::NoSeatsTogether(_) => "SOLD_OUT",
            Self::OrphanSeats(_) => "ORPHAN_SEAT",
            Self::Party(_) => "INVALID_INPUT",
            Self::RequestId(error) => error.reason(),
            Self::Offer(_) => "UNAVAILABLE",
            Self::Db(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        let field = match self {
            Self::Wish(WishError::Quantity(_)) | Self::SoldOut(_) => "areas",
            Self::Wish(WishError::Unknown(what)) if what.starts_with("area") => "areas",
            Self::Wish(_) | Self::SeatsTaken(_) | Self::OrphanSeats(_) => "seat_ids",
            Self::NoEvent | Self::NotOnSale(_) | Self::Party(PartyError::NoSeats) => "event_id",
            Self::NoSeatsTogether(_) | Self::Party(PartyError::Quantity(_)) => "quantity",
            Self::Party(PartyError::Category(_)) => "category",
            Self::RequestId(_) => "request_id",
            Self::LimitExceeded { .. } | Self::Offer(_) | Self::Db(_) => return None,
        };
        Some(field.into())
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::SeatsTaken(seats) | Self::OrphanSeats(seats) => HashMap::from([("seat_ids".into(), join(seats))]),
            Self::Wish(WishError::Closed(seat)) => HashMap::from([("seat_ids".into(), seat.to_string())]),
            Self::Wish(_)
            | Self::NoEvent
            | Self::NotOnSale(_)
            | Self::LimitExceeded { .. }
            | Self::SoldOut(_)
            | Self::NoSeatsTogether(_)
            | Self::Party(_)
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

/// What a try to hold led to, unless it was refused.
pub(super) enum Tried {
    /// To its end.
    Answered(Answer),
    /// To an offer that must be at least of this version.
    OtherOffer(i64),
    /// To seats that are another's.
    SeatsTaken(Vec<SeatId>),
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
        let order = match checked(store, customer, wanted, &offer).await {
            Ok(order) => order,
            Err(refusal) => return answered_before(store, &key, refusal).await,
        };
        match attempt(store, event, order, &key, answer).await? {
            Tried::Answered(answer) => return Ok(answer),
            Tried::OtherOffer(version) => offer = offers.at_least(event, version).await?,
            Tried::SeatsTaken(seats) => return Err(HoldError::SeatsTaken(seats)),
        }
    }
    Err(HoldError::Offer(anyhow::anyhow!("the offer of event {event} keeps changing")))
}

/// A priced wish that the event's rules allow.
async fn checked(store: &Store, customer: &str, wanted: &Wanted, offer: &Offer) -> Result<Order, HoldError> {
    let order = Order::price(customer, wanted, offer)?;
    if offer.terms.forbid_orphan_seats {
        let orphans = orphans::of(store, offer, &wanted.seats).await?;
        if !orphans.is_empty() {
            return Err(HoldError::OrphanSeats(orphans));
        }
    }
    Ok(order)
}

/// One try to hold an order.
pub(super) async fn attempt(
    store: &Store,
    event: EventId,
    order: Order,
    key: &RequestKey,
    answer: Encode<'_>,
) -> Result<Tried, HoldError> {
    let held = store.hold(event, &[HoldOrder { key: key.clone(), order }], answer).await?.pop();
    match held.ok_or_else(|| DbErr::Custom("a hold without an outcome".into()))? {
        HoldOutcome::Held(stored) => Ok(Tried::Answered(Answer::Held(stored))),
        HoldOutcome::Replayed(answer) => Ok(Tried::Answered(Answer::Replayed(answer))),
        HoldOutcome::OtherOffer(version) => Ok(Tried::OtherOffer(version)),
        HoldOutcome::SeatsTaken(seats) => Ok(Tried::SeatsTaken(seats)),
        HoldOutcome::RequestConflict => Err(RequestIdError::Conflict.into()),
        HoldOutcome::NoEvent => Err(HoldError::NoEvent),
        HoldOutcome::NotOnSale(why) => Err(HoldError::NotOnSale(why)),
        HoldOutcome::LimitExceeded { live, limit } => Err(HoldError::LimitExceeded { live, limit }),
        HoldOutcome::SoldOut(area) => Err(HoldError::SoldOut(area)),
    }
}

/// The answer given before under this request id, or else the refusal: the offer may have changed since this very request was
/// answered, and what was done stays done.
pub(super) async fn answered_before(store: &Store, key: &RequestKey, refusal: HoldError) -> Result<Answer, HoldError> {
    match store.held_before(key).await? {
        Claim::New => Err(refusal),
        Claim::Answered(answer) => Ok(Answer::Replayed(answer)),
        Claim::Different => Err(RequestIdError::Conflict.into()),
    }
}

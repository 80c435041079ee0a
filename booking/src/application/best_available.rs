//! Holding the best seats: choose from a snapshot, take by the ordinary hold, choose again when somebody was faster.

mod board;

use common::ids::EventId;
use common::requests::RequestKey;
use ring::rand::{SecureRandom, SystemRandom};
use tracing::instrument;

pub use self::board::Boards;
use super::hold::{Answer, HoldError, Tried, answered_before, attempt};
use super::offers::Offers;
use crate::domain::best_available::Party;
use crate::domain::hall::Hall;
use crate::domain::hold::{Order, Wanted};
use crate::domain::offer::Offer;
use crate::infrastructure::store::{Encode, Store};

/// Tries to take what was chosen, by an offer that may change meanwhile.
const ATTEMPTS: u32 = 16;
/// From the second try on up to this many of the best choices, times the tries made, are passed over by chance: replicas that
/// choose alike would otherwise meet at the same seats again and again.
const SPREAD: u32 = 3;

/// What a customer asks for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Seats.
    pub quantity: u32,
    /// Only of this price category; empty: of any.
    pub category: String,
    /// With a seat for a wheelchair user.
    pub accessible: bool,
}

/// What this story works with.
pub struct Seller<'a> {
    /// Takes.
    pub store: &'a Store,
    /// What is sold.
    pub offers: &'a Offers,
    /// What is chosen from.
    pub boards: &'a Boards,
}

/// Holds the best seats of one event that seat a party together.
#[instrument(name = "booking.hold_best", skip_all, fields(event.id = %event))]
pub async fn hold_best(
    seller: &Seller<'_>,
    customer: &str,
    event: EventId,
    wish: &Wish,
    key: RequestKey,
    answer: Encode<'_>,
) -> Result<Answer, HoldError> {
    let store = seller.store;
    let (mut version, mut lost) = (1, Vec::new());
    for attempts in 0..ATTEMPTS {
        let offer = seller.offers.with_hall(event, version).await?;
        let (party, hall) = match party(wish, &offer) {
            Ok(seated) => seated,
            Err(refusal) => return answered_before(store, &key, refusal).await,
        };
        let board = seller.boards.of(&offer).await;
        let Some(pick) = board.pick(store, &offer, hall, &party, chance(attempts * SPREAD)).await? else {
            return answered_before(store, &key, HoldError::NoSeatsTogether(wish.quantity)).await;
        };
        let wanted = Wanted::new(pick.seats(&offer), Vec::new())?;
        let order = Order::price(customer, &wanted, &offer)?;
        match attempt(store, event, order, &key, answer).await? {
            Tried::Answered(Answer::Held(stored)) => {
                pick.keep();
                return Ok(Answer::Held(stored));
            }
            Tried::Answered(replayed) => return Ok(replayed),
            Tried::OtherOffer(newer) => version = newer,
            Tried::SeatsTaken(seats) => lost = seats,
        }
    }
    // Seats may well be left: somebody was faster each time.
    if lost.is_empty() {
        return Err(HoldError::Offer(anyhow::anyhow!("the offer changes faster than seats can be chosen")));
    }
    Err(HoldError::SeatsTaken(lost))
}

/// Who wants to sit where; refused when the event cannot have them at all.
fn party<'a>(wish: &Wish, offer: &'a Offer) -> Result<(Party, &'a Hall), HoldError> {
    let party = Party::new(wish.quantity, &wish.category, wish.accessible, offer)?;
    let limit = offer.terms.per_customer_limit;
    if wish.quantity > limit {
        return Err(HoldError::LimitExceeded { live: 0, limit: limit.into() });
    }
    let hall = offer.hall.as_ref().ok_or_else(|| HoldError::Offer(anyhow::anyhow!("catalog does not tell rows")))?;
    Ok((party, hall))
}

/// A random number from 0 up to this one.
fn chance(most: u32) -> u32 {
    let mut bytes = [0; 4];
    // Without randomness everybody chooses the best, which is slower in a crowd and right all the same.
    let random = SystemRandom::new().fill(&mut bytes).map_or(0, |()| u32::from_le_bytes(bytes));
    random % (most + 1)
}

//! Typed ids: newtypes over UUIDv7, opaque to clients, strings only on the wire.

use sea_orm::DeriveValueType;
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, DeriveValueType, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Makes a new id, later ones sorting after earlier ones.
            #[expect(clippy::new_without_default, reason = "an id is never a default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Reads the wire form, and no other spelling of it; `None` is answered like an unknown id.
            pub fn parse(text: &str) -> Option<Self> {
                let id = Uuid::try_parse(text).ok()?;
                (id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text).then_some(Self(id))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// A venue.
    VenueId,
    /// An immutable seating plan.
    SeatingPlanId,
    /// A seat of one plan.
    SeatId,
    /// A general-admission area of one plan.
    AreaId,
    /// An event.
    EventId,
    /// A booking.
    BookingId,
    /// One seat or place of a booking.
    ItemId,
    /// Admission for one item.
    TicketId,
    /// The payment of a booking.
    PaymentId,
    /// One refund.
    RefundId,
    /// One thing a payment provider must do.
    StepId,
    /// A fact on the log.
    FactId,
}

impl PaymentId {
    /// The one payment of a booking shares its UUID, so that either side can ask for the other's facts without a look-up.
    pub fn of(booking: BookingId) -> Self {
        Self(booking.0)
    }

    /// The booking this payment is for.
    pub fn booking(self) -> BookingId {
        BookingId(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_wire_form() {
        let id = BookingId::new();

        assert_eq!(BookingId::parse(&id.to_string()), Some(id));
        assert_eq!(BookingId::parse("no id"), None);
        assert_eq!(BookingId::parse(&id.to_string().to_uppercase()), None);
        assert_eq!(BookingId::parse(&format!("{{{id}}}")), None);
    }
}

//! What a ticket says, in the bytes that are signed.

use common::ids::{EventId, TicketId};
use uuid::Uuid;

/// Format of the signed bytes; a new format gets a new number.
const FORMAT: u8 = 1;

/// What a gate needs to know, offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketClaims {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The event it admits to.
    pub event_id: EventId,
    /// The seat or area.
    pub place: Uuid,
    /// Grows when a ticket is issued anew for the same item.
    pub version: u32,
    /// Which key signed it.
    pub key_id: u32,
}

impl TicketClaims {
    /// Reads signed bytes back; `None` for another length or format.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 57] = bytes.try_into().ok()?;
        let id = |at: usize| Uuid::from_slice(&bytes[at..at + 16]).ok();
        let number = |at: usize| bytes[at..at + 4].try_into().ok().map(u32::from_be_bytes);
        (bytes[0] == FORMAT).then_some(())?;
        Some(Self {
            ticket_id: TicketId(id(1)?),
            event_id: EventId(id(17)?),
            place: id(33)?,
            version: number(49)?,
            key_id: number(53)?,
        })
    }

    /// 57 bytes: format, ticket, event, place, version and key id, big-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.ticket_id.0.as_bytes());
        bytes.extend(self.event_id.0.as_bytes());
        bytes.extend(self.place.as_bytes());
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(self.key_id.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_have_a_fixed_length_and_start_with_their_format() {
        let claims = TicketClaims {
            ticket_id: TicketId::new(),
            event_id: EventId::new(),
            place: Uuid::nil(),
            version: 1,
            key_id: 7,
        };

        assert_eq!(claims.encode().len(), 57);
        assert_eq!(claims.encode()[0], 1);
    }

    #[test]
    fn claims_round_trip_and_other_bytes_are_none() {
        let (ticket_id, event_id) = (TicketId::new(), EventId::new());
        let claims = TicketClaims { ticket_id, event_id, place: Uuid::from_u128(3), version: 2, key_id: 7 };
        let mut other_format = claims.encode();
        other_format[0] = 2;

        assert_eq!(TicketClaims::decode(&claims.encode()), Some(claims));
        assert_eq!(TicketClaims::decode(&other_format), None);
        assert_eq!(TicketClaims::decode(&claims.encode()[1..]), None);
    }
}

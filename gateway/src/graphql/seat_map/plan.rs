//! Seating plans as seat maps use them: compact, because they are kept between requests.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use async_graphql::Name;
use bytes::Bytes;
use common::grpc::Caller;
use common::proto::catalog::v1 as pb;
use prost::Message;
use tonic::Status;

use crate::cache::Cached;
use crate::clients::Clients;
use crate::error::Fault;

/// Memory of one seat besides its text: the struct and the counters of its two shared strings.
const SEAT_BYTES: usize = size_of::<PlanSeat>() + 32;

/// A plan, compact: seats in plan order, rows and zones as ranges over them.
#[derive(Default)]
pub struct Plan {
    /// In plan order.
    pub zones: Vec<PlanZone>,
    /// In plan order.
    pub rows: Vec<PlanRow>,
    /// In plan order.
    pub seats: Vec<PlanSeat>,
    /// Names that seats refer to by position.
    pub categories: Vec<Name>,
    /// General-admission areas.
    pub areas: Vec<pb::Area>,
}

/// A zone.
pub struct PlanZone {
    /// For people.
    pub name: Name,
    /// Its rows.
    pub rows: Range<usize>,
}

/// A row.
pub struct PlanRow {
    /// A name, not a number.
    pub name: Name,
    /// Its seats.
    pub seats: Range<usize>,
}

/// A seat. Its texts are `Name`s because an answer can share those instead of copying them.
pub struct PlanSeat {
    /// Opaque.
    pub id: Name,
    /// Number within its row.
    pub number: Name,
    /// For people.
    pub label: Name,
    /// Plan units to the right.
    pub x: f64,
    /// Plan units down.
    pub y: f64,
    /// Position among the plan's categories.
    pub category: u16,
    /// For wheelchair users.
    pub accessible: bool,
    /// Companion of an accessible seat.
    pub companion: bool,
}

/// A plan, read from catalog.
///
/// # Errors
/// As catalog answers; INTERNAL when there is no such plan.
pub async fn read(clients: &Clients, caller: &Caller, id: &str) -> Result<Plan, Fault> {
    let mut client = clients.catalog.clone();
    let message = pb::StreamSeatingPlanRequest { seating_plan_id: id.to_owned() };
    let mut stream = client.stream_seating_plan(caller.request(message)).await.map_err(missing)?.into_inner();
    let mut building = Building::default();
    while let Some(part) = stream.message().await.map_err(missing)? {
        building.add(part);
    }
    Ok(building.plan)
}

/// An event's plan that is not there is our fault, not the viewer's.
fn missing(status: Status) -> Fault {
    if crate::error::is_absent(&status) { Fault::internal(status) } else { status.into() }
}

impl Cached for Arc<Plan> {
    fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    fn decode(bytes: Bytes) -> Option<Self> {
        let mut building = Building::default();
        building.add(pb::StreamSeatingPlanResponse::decode(bytes).ok()?);
        Some(Arc::new(building.plan))
    }

    fn weight(&self) -> usize {
        let seats: usize = self.seats.iter().map(|seat| seat.id.len() + seat.label.len() + SEAT_BYTES).sum();
        seats + self.rows.len() * (size_of::<PlanRow>() + 32) + self.zones.len() * (size_of::<PlanZone>() + 64)
    }
}

impl Plan {
    /// Everything of it in one message.
    fn to_wire(&self) -> pb::StreamSeatingPlanResponse {
        let summary = pb::SeatingPlanSummary {
            seat_count: u32::try_from(self.seats.len()).unwrap_or(u32::MAX),
            categories: self.categories.iter().map(Name::to_string).collect(),
            areas: self.areas.clone(),
            ..Default::default()
        };
        let zones = (0..).zip(&self.zones);
        let rows = zones.flat_map(|(at, zone)| self.rows[zone.rows.clone()].iter().map(move |row| (at, zone, row)));
        let rows = rows.map(|(zone_index, zone, row)| pb::PlanRow {
            zone: zone.name.to_string(),
            zone_index,
            name: row.name.to_string(),
            seats: self.seats[row.seats.clone()].iter().map(|seat| self.seat_to_wire(seat)).collect(),
        });
        pb::StreamSeatingPlanResponse { summary: Some(summary), rows: rows.collect() }
    }

    fn seat_to_wire(&self, seat: &PlanSeat) -> pb::PlanSeat {
        pb::PlanSeat {
            id: seat.id.to_string(),
            number: seat.number.to_string(),
            label: seat.label.to_string(),
            x: seat.x,
            y: seat.y,
            category: self.categories.get(usize::from(seat.category)).map(Name::to_string).unwrap_or_default(),
            accessible: seat.accessible,
            companion: seat.companion,
        }
    }
}

/// A plan that is being read.
#[derive(Default)]
struct Building {
    plan: Plan,
    zone: Option<u32>,
    /// Row names and seat numbers repeat all over a plan; each is kept once.
    names: HashMap<String, Name>,
}

impl Building {
    fn add(&mut self, part: pb::StreamSeatingPlanResponse) {
        if let Some(summary) = part.summary {
            self.plan.categories = summary.categories.iter().map(Name::new).collect();
            self.plan.areas = summary.areas;
            self.plan.seats.reserve_exact(summary.seat_count as usize);
        }
        for row in part.rows {
            self.add_row(row);
        }
    }

    fn add_row(&mut self, row: pb::PlanRow) {
        let at = self.plan.rows.len();
        if self.zone != Some(row.zone_index) {
            self.zone = Some(row.zone_index);
            self.plan.zones.push(PlanZone { name: Name::new(&row.zone), rows: at..at });
        }
        if let Some(zone) = self.plan.zones.last_mut() {
            zone.rows.end = at + 1;
        }
        let first = self.plan.seats.len();
        for seat in row.seats {
            let seat = self.seat(seat);
            self.plan.seats.push(seat);
        }
        let name = self.shared(row.name);
        self.plan.rows.push(PlanRow { name, seats: first..self.plan.seats.len() });
    }

    fn seat(&mut self, seat: pb::PlanSeat) -> PlanSeat {
        PlanSeat {
            category: self.category(&seat.category),
            number: self.shared(seat.number),
            id: Name::new(seat.id),
            label: Name::new(seat.label),
            x: seat.x,
            y: seat.y,
            accessible: seat.accessible,
            companion: seat.companion,
        }
    }

    fn category(&mut self, name: &str) -> u16 {
        let known = self.plan.categories.iter().position(|category| category == name);
        let at = known.unwrap_or_else(|| {
            self.plan.categories.push(Name::new(name));
            self.plan.categories.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    fn shared(&mut self, name: String) -> Name {
        self.names.entry(name).or_insert_with_key(|name| Name::new(name)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(zone_index: u32, name: &str, seats: usize) -> pb::PlanRow {
        let seat = |at: usize| pb::PlanSeat { number: at.to_string(), category: "A".into(), ..Default::default() };
        pb::PlanRow { zone: "Stalls".into(), name: name.into(), seats: (1..=seats).map(seat).collect(), zone_index }
    }

    #[test]
    fn zones_of_one_name_stay_apart_and_go_on_over_messages() {
        let mut building = Building::default();
        let summary = pb::SeatingPlanSummary { categories: vec!["B".into()], ..Default::default() };
        building.add(pb::StreamSeatingPlanResponse { summary: Some(summary), rows: vec![row(0, "A", 2)] });
        building.add(pb::StreamSeatingPlanResponse { summary: None, rows: vec![row(0, "B", 1), row(1, "A", 3)] });

        let plan = building.plan;

        assert_eq!(plan.zones.iter().map(|zone| zone.rows.clone()).collect::<Vec<_>>(), [0..2, 2..3]);
        assert_eq!(plan.rows.iter().map(|row| row.seats.clone()).collect::<Vec<_>>(), [0..2, 2..3, 3..6]);
        assert_eq!(plan.categories, [Name::new("B"), Name::new("A")]);
        assert!(plan.seats.iter().all(|seat| seat.category == 1));
    }

    #[test]
    fn a_plan_survives_its_stored_form() {
        let mut building = Building::default();
        let area = pb::Area { id: "a".into(), name: "Floor".into(), capacity: 300 };
        let summary = pb::SeatingPlanSummary { categories: vec!["B".into()], areas: vec![area], ..Default::default() };
        building
            .add(pb::StreamSeatingPlanResponse { summary: Some(summary), rows: vec![row(0, "A", 2), row(1, "B", 3)] });
        let plan = Arc::new(building.plan);

        let read = Arc::<Plan>::decode(plan.encode()).unwrap();

        assert_eq!(read.to_wire(), plan.to_wire());
        assert_eq!((read.seats.len(), read.rows.len(), read.zones.len(), read.areas.len()), (5, 2, 2, 1));
        assert_eq!(Arc::<Plan>::decode(Bytes::from_static(b"no plan")).map(|_| ()), None);
    }
}

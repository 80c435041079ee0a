//! Seating plans, kept between requests: immutable per id, so they are read once and bounded only by memory.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use async_graphql::Name;
use common::grpc::Caller;
use common::proto::catalog::v1 as pb;
use moka::future::Cache;
use tonic::Status;

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

/// The plans read so far, least used forgotten first.
pub struct Plans {
    cache: Cache<String, Arc<Plan>>,
}

impl Plans {
    /// Keeps up to `bytes` of plans.
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &String, plan: &Arc<Plan>| u32::try_from(plan.bytes()).unwrap_or(u32::MAX);
        Self { cache: Cache::builder().max_capacity(bytes).weigher(weigh).build() }
    }

    /// A plan, read from catalog at most once however many ask at the same time.
    ///
    /// # Errors
    /// As catalog answers.
    pub async fn get(&self, clients: &Clients, caller: &Caller, id: &str) -> Result<Arc<Plan>, Fault> {
        let read = async { read(clients, caller, id).await.map(Arc::new) };
        self.cache.try_get_with_by_ref(id, read).await.map_err(|fault: Arc<Fault>| Fault::clone(&fault))
    }
}

async fn read(clients: &Clients, caller: &Caller, id: &str) -> Result<Plan, Fault> {
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

impl Plan {
    fn bytes(&self) -> usize {
        let seats: usize = self.seats.iter().map(|seat| seat.id.len() + seat.label.len() + SEAT_BYTES).sum();
        seats + self.rows.len() * (size_of::<PlanRow>() + 32) + self.zones.len() * (size_of::<PlanZone>() + 64)
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
}

//! The seat map of an event: a static plan, kept between requests, under one byte per seat that booking tells and the
//! event's price list. A stadium is one answer, so nothing here is built per seat that can be built per plan.

pub mod plan;
mod seats;

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Name, Object, SimpleObject};
use bytes::Bytes;
use common::proto::booking::v1 as booking;
use common::proto::catalog::v1 as catalog;

use super::Api;
use super::price::Money;
use super::scalars::BigInt;
use crate::clients::call_retried;
use crate::error::{Fault, optional};
use crate::viewer::Viewer;
use plan::Plan;
pub use seats::{Seat, SeatList};

/// Whether a seat can be had.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatStatus {
    /// Can be held now, if the event is on sale.
    Free,
    /// Held or being paid by somebody.
    Held,
    /// Sold.
    Sold,
}

/// Every seat and area of an event with its price and state, now.
#[derive(Clone)]
pub struct SeatMap(Arc<Seating>);

/// What a seat map shows, once per request.
struct Seating {
    plan: Arc<Plan>,
    /// One byte per seat in plan order; empty when all are free.
    states: Bytes,
    free_in_areas: HashMap<String, u32>,
    currency: Name,
    /// Minor units per category, in the plan's order of categories.
    category_prices: Vec<Option<i64>>,
    /// Minor units per seat id, over its category's.
    seat_prices: HashMap<String, i64>,
    area_prices: HashMap<String, i64>,
}

/// The seat map of an event; nothing without a seating plan.
///
/// # Errors
/// As catalog and booking answer; INTERNAL when they disagree about the plan.
pub async fn of_event(ctx: &Context<'_>, event: &catalog::Event) -> Result<Option<SeatMap>, Fault> {
    if event.seating_plan_id.is_empty() {
        return Ok(None);
    }
    let (api, caller) = (Api::of(ctx), Viewer::of(ctx).service());
    let message = booking::GetSeatStatesRequest { event_id: event.id.clone() };
    let states = async {
        let answer = call_retried!(api.clients.booking, get_seat_states, caller, message);
        Ok::<_, Fault>(optional(answer)?.unwrap_or_default())
    };
    let plan = api.catalog.plan(&event.seating_plan_id);
    let (plan, states) = futures_util::try_join!(plan, states)?;
    Ok(Some(SeatMap(Arc::new(Seating::new(event, plan, states)?))))
}

impl Seating {
    fn new(event: &catalog::Event, plan: Arc<Plan>, states: booking::GetSeatStatesResponse) -> Result<Self, Fault> {
        let known = !states.seats.is_empty();
        if known && (states.seats.len() != plan.seats.len() || states.seating_plan_id != event.seating_plan_id) {
            let (told, id) = (states.seats.len(), &event.id);
            let planned = plan.seats.len();
            return Err(Fault::internal(format!(
                "event {id}: booking told {told} seat states, the plan has {planned}"
            )));
        }
        let mut map = Self {
            category_prices: vec![None; plan.categories.len()],
            plan,
            states: states.seats,
            free_in_areas: states.areas.into_iter().map(|area| (area.area_id, area.free)).collect(),
            currency: Name::new(&event.currency),
            seat_prices: HashMap::new(),
            area_prices: HashMap::new(),
        };
        for price in &event.prices {
            map.add_price(price);
        }
        Ok(map)
    }

    fn add_price(&mut self, price: &catalog::Price) {
        use catalog::price::Target;
        match &price.target {
            Some(Target::Category(name)) => {
                if let Some(at) = self.plan.categories.iter().position(|category| category == name) {
                    self.category_prices[at] = Some(price.amount_minor);
                }
            }
            Some(Target::AreaId(id)) => {
                self.area_prices.insert(id.clone(), price.amount_minor);
            }
            Some(Target::SeatId(id)) => {
                self.seat_prices.insert(id.clone(), price.amount_minor);
            }
            None => {}
        }
    }

    /// Price of the n-th seat of the plan, minor units.
    fn price(&self, at: usize) -> Option<i64> {
        let seat = &self.plan.seats[at];
        if !self.seat_prices.is_empty()
            && let Some(price) = self.seat_prices.get(seat.id.as_str())
        {
            return Some(*price);
        }
        self.category_prices.get(usize::from(seat.category)).copied().flatten()
    }

    /// State of the n-th seat of the plan.
    fn status(&self, at: usize) -> SeatStatus {
        match self.states.get(at) {
            None | Some(0) => SeatStatus::Free,
            Some(1) => SeatStatus::Held,
            Some(_) => SeatStatus::Sold,
        }
    }
}

/// Every seat and area of an event with its price and state, now.
#[Object]
impl SeatMap {
    /// Zones with seats, in the plan's order; empty when there are areas only.
    async fn zones(&self) -> Vec<Zone> {
        (0..self.0.plan.zones.len()).map(|at| Zone { map: self.0.clone(), at }).collect()
    }

    /// General-admission areas, in the plan's order.
    async fn areas(&self) -> Vec<Area> {
        self.0.plan.areas.iter().map(|area| self.0.area(area)).collect()
    }
}

/// A part of the house, for instance the stalls.
pub struct Zone {
    map: Arc<Seating>,
    at: usize,
}

/// A part of the house, for instance the stalls. Two zones may share a name.
#[Object]
impl Zone {
    /// For people.
    async fn name(&self) -> &str {
        &self.map.plan.zones[self.at].name
    }

    /// Its rows, in the plan's order.
    async fn rows(&self) -> Vec<Row> {
        self.map.plan.zones[self.at].rows.clone().map(|at| Row { map: self.map.clone(), at }).collect()
    }
}

/// A row of seats.
pub struct Row {
    map: Arc<Seating>,
    at: usize,
}

/// A row of seats.
#[Object]
impl Row {
    /// A name, not a number.
    async fn name(&self) -> &str {
        &self.map.plan.rows[self.at].name
    }

    /// Its seats, in order.
    async fn seats(&self) -> SeatList {
        SeatList::new(self.map.clone(), self.map.plan.rows[self.at].seats.clone())
    }
}

/// A general-admission area: places without numbers.
#[derive(SimpleObject)]
pub struct Area {
    /// Opaque.
    id: ID,
    /// For people.
    name: String,
    /// Places.
    capacity: i32,
    /// Places that can be held now, if the event is on sale.
    free: i32,
    /// Price of one place; null without a price.
    price: Option<Money>,
}

impl Seating {
    fn area(&self, area: &catalog::Area) -> Area {
        let price = self.area_prices.get(&area.id);
        Area {
            id: ID::from(&area.id),
            name: area.name.clone(),
            capacity: area.capacity.cast_signed(),
            free: self.free_in_areas.get(&area.id).copied().unwrap_or(area.capacity).cast_signed(),
            price: price.map(|minor| Money { amount_minor: BigInt(*minor), currency: self.currency.to_string() }),
        }
    }
}

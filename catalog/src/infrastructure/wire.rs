//! Domain ⇄ protobuf. Texts become ids and instants here; what they mean is checked in the domain.

use chrono::{DateTime, Utc};
use common::clock::{from_wire, to_wire};
use common::ids::{AreaId, VenueId};
use common::money::Currency;
use common::proto::catalog::v1 as proto;
use common::proto::common::v1::Money;
use prost_types::Timestamp;
use proto::price::Target;

use super::rows::EventRow;
use crate::application::create_event::NewEvent;
use crate::domain::event::{Details, LENGTH_DEFAULT, LIMIT_DEFAULT, Status};
use crate::domain::fault::{Fault, quote};
use crate::domain::offer::Offer;
use crate::domain::plan::{Additions, Area};
use crate::domain::policy::{Bracket, Policy};
use crate::domain::prices::{AskedPrice, AskedTarget, PriceList};
use crate::domain::venue::Venue;

/// A venue on its way out.
pub fn venue(venue: Venue) -> proto::Venue {
    proto::Venue {
        id: venue.id.to_string(),
        name: venue.name,
        address: venue.address,
        city: venue.city,
        country: venue.country,
        time_zone: venue.time_zone,
        latitude: venue.latitude,
        longitude: venue.longitude,
    }
}

/// A venue on its way in, under a new id.
pub fn new_venue(venue: proto::Venue) -> Venue {
    Venue {
        id: VenueId::new(),
        name: venue.name,
        address: venue.address,
        city: venue.city,
        country: venue.country,
        time_zone: venue.time_zone,
        latitude: venue.latitude,
        longitude: venue.longitude,
    }
}

/// What an import says beside the file; its areas get their ids.
pub fn additions(name: String, accessible_categories: Vec<String>, areas: Vec<proto::NewArea>) -> Additions {
    let areas = areas.into_iter().map(|area| Area { id: AreaId::new(), name: area.name, capacity: area.capacity });
    Additions { name, accessible_categories, areas: areas.collect() }
}

/// An event on its way in.
pub fn new_event(new: proto::NewEvent) -> Result<NewEvent, Fault> {
    let starts_at = instant("starts_at", new.starts_at.as_ref())?;
    let starts_at = starts_at.ok_or_else(|| Fault::new("starts_at", "is missing"))?;
    let currency = Currency::parse(&new.currency);
    let message = || format!("{} is no ISO 4217 code of three capital letters", quote(&new.currency));
    let details = Details {
        title: new.title,
        description: new.description,
        category: new.category,
        performers: new.performers,
        image_url: new.image_url,
        starts_at,
        ends_at: instant("ends_at", new.ends_at.as_ref())?.unwrap_or(starts_at + LENGTH_DEFAULT),
        doors_at: instant("doors_at", new.doors_at.as_ref())?,
        sale_starts_at: instant("sale_starts_at", new.sale_starts_at.as_ref())?,
        sale_ends_at: instant("sale_ends_at", new.sale_ends_at.as_ref())?,
        per_customer_limit: if new.per_customer_limit == 0 { LIMIT_DEFAULT } else { new.per_customer_limit },
        currency: currency.map_err(|_| Fault::new("currency", message()))?,
        policy: new.cancellation_policy.map(policy_in).unwrap_or_default(),
        forbid_orphan_seats: new.forbid_orphan_seats,
    };
    let (venue_id, seating_plan_id) = (new.venue_id, new.seating_plan_id);
    Ok(NewEvent { venue_id, seating_plan_id, details, prices: prices_in(new.prices) })
}

/// What an update changes.
pub fn edit(request: proto::UpdateEventRequest) -> Result<impl Fn(&mut Details) + Send + Sync, Fault> {
    let starts_at = instant("starts_at", request.starts_at.as_ref())?;
    let ends_at = instant("ends_at", request.ends_at.as_ref())?;
    let doors_at = instant("doors_at", request.doors_at.as_ref())?;
    let sale_starts_at = instant("sale_starts_at", request.sale_starts_at.as_ref())?;
    let sale_ends_at = instant("sale_ends_at", request.sale_ends_at.as_ref())?;
    let policy = request.cancellation_policy.map(policy_in);
    Ok(move |details: &mut Details| {
        set(&mut details.title, &request.title);
        set(&mut details.description, &request.description);
        set(&mut details.category, &request.category);
        set(&mut details.image_url, &request.image_url);
        set(&mut details.starts_at, &starts_at);
        set(&mut details.ends_at, &ends_at);
        details.doors_at = doors_at.or(details.doors_at);
        details.sale_starts_at = sale_starts_at.or(details.sale_starts_at);
        details.sale_ends_at = sale_ends_at.or(details.sale_ends_at);
        set(&mut details.per_customer_limit, &request.per_customer_limit);
        set(&mut details.policy, &policy);
        set(&mut details.forbid_orphan_seats, &request.forbid_orphan_seats);
    })
}

fn set<T: Clone>(field: &mut T, new: &Option<T>) {
    if let Some(new) = new {
        field.clone_from(new);
    }
}

/// Prices on their way in.
pub fn prices_in(prices: Vec<proto::Price>) -> Vec<AskedPrice> {
    prices
        .into_iter()
        .map(|price| {
            let target = match price.target {
                Some(Target::Category(name)) => AskedTarget::Category(name),
                Some(Target::AreaId(id)) => AskedTarget::Area(id),
                Some(Target::SeatId(id)) => AskedTarget::Seat(id),
                None => AskedTarget::Missing,
            };
            AskedPrice { target, amount_minor: price.amount_minor }
        })
        .collect()
}

fn prices_out(prices: &PriceList) -> Vec<proto::Price> {
    let price = |target, amount_minor| proto::Price { target: Some(target), amount_minor };
    let categories = prices.categories().map(|(name, amount)| price(Target::Category(name.to_owned()), amount));
    let areas = prices.areas().map(|(id, amount)| price(Target::AreaId(id.to_string()), amount));
    let seats = prices.seats().map(|(id, amount)| price(Target::SeatId(id.to_string()), amount));
    categories.chain(areas).chain(seats).collect()
}

fn policy_in(policy: proto::CancellationPolicy) -> Policy {
    let bracket = |b: &proto::CancellationBracket| Bracket { hours_before: b.hours_before, percent: b.percent };
    Policy { brackets: policy.brackets.iter().map(bracket).collect(), fee_minor: policy.fee_minor }
}

fn policy_out(policy: &Policy) -> proto::CancellationPolicy {
    let bracket = |b: &Bracket| proto::CancellationBracket { hours_before: b.hours_before, percent: b.percent };
    proto::CancellationPolicy { brackets: policy.brackets.iter().map(bracket).collect(), fee_minor: policy.fee_minor }
}

/// Reads an instant that may be absent.
pub fn instant(field: &str, at: Option<&Timestamp>) -> Result<Option<DateTime<Utc>>, Fault> {
    let read = |at| from_wire(at).ok_or_else(|| Fault::new(field, "is out of range"));
    at.map(read).transpose()
}

/// An event on its way out, as it stands at `now`.
pub fn event(row: EventRow, now: DateTime<Utc>) -> proto::Event {
    let EventRow { event, venue: its_venue, capacity } = row;
    let (status, offer_version) = (status(event.status(now)), event.offer_version().cast_unsigned());
    let details = event.details;
    let money = |amount_minor| Money { amount_minor, currency: details.currency.code().to_owned() };
    proto::Event {
        id: event.id.to_string(),
        venue: Some(venue(its_venue)),
        seating_plan_id: event.plan_id.to_string(),
        starts_at: Some(to_wire(details.starts_at)),
        ends_at: Some(to_wire(details.ends_at)),
        doors_at: details.doors_at.map(to_wire),
        sale_starts_at: details.sale_starts_at.map(to_wire),
        sale_ends_at: Some(to_wire(details.sale_end())),
        per_customer_limit: details.per_customer_limit,
        currency: details.currency.code().to_owned(),
        prices: prices_out(&event.prices),
        cancellation_policy: Some(policy_out(&details.policy)),
        status: status.into(),
        version: event.version.cast_unsigned(),
        offer_version,
        price_min: event.price_range.map(|range| money(range.min)),
        price_max: event.price_range.map(|range| money(range.max)),
        capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
        title: details.title,
        description: details.description,
        category: details.category,
        performers: details.performers,
        image_url: details.image_url,
        forbid_orphan_seats: details.forbid_orphan_seats,
    }
}

fn status(status: Status) -> proto::EventStatus {
    match status {
        Status::Draft => proto::EventStatus::Draft,
        Status::Published => proto::EventStatus::Published,
        Status::Cancelled => proto::EventStatus::Cancelled,
        Status::Completed => proto::EventStatus::Completed,
    }
}

/// The terms of an offer, as they are frozen.
pub fn terms(offer: &Offer) -> proto::OfferTerms {
    let details = &offer.details;
    let area = |(area, price_minor): &(Area, i64)| proto::OfferArea {
        area_id: area.id.to_string(),
        name: area.name.clone(),
        capacity: area.capacity,
        price_minor: *price_minor,
    };
    proto::OfferTerms {
        event_id: offer.event_id.to_string(),
        version: offer.version.cast_unsigned(),
        title: details.title.clone(),
        starts_at: Some(to_wire(details.starts_at)),
        sale_starts_at: Some(to_wire(offer.sale_starts_at)),
        sale_ends_at: Some(to_wire(details.sale_end())),
        per_customer_limit: details.per_customer_limit,
        currency: details.currency.code().to_owned(),
        cancellation_policy: Some(policy_out(&details.policy)),
        areas: offer.areas.iter().map(area).collect(),
        seating_plan_id: offer.plan_id.to_string(),
        cancelled: false,
        forbid_orphan_seats: details.forbid_orphan_seats,
        on_sale_when_published: details.sale_starts_at.is_none(),
    }
}

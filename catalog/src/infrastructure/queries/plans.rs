//! Reads of seating plans.

use std::collections::{BTreeMap, HashMap};

use common::db::{Db, placeholders};
use common::ids::{SeatId, SeatingPlanId, VenueId};
use common::page;
use common::proto::catalog::v1 as proto;
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::{Page, PageAsked, ReadError, any_of};
use crate::domain::plan::{Area, Category, Outline};

/// Most ids of one `IN` list.
const IN_MAX: usize = 500;

/// What of a plan prices depend on, with the categories of those among `seats` that belong to it.
pub async fn outline(db: &Db, plan: SeatingPlanId, seats: &[SeatId]) -> Result<Option<Outline>, DbErr> {
    let sql = "SELECT venue_id FROM seating_plans WHERE id = $1";
    let found = db.query(db.reader(), sql, [plan.into()]).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let venue_id = row.try_get("", "venue_id")?;
    let ids = [plan.into()];
    let categories = categories(db, db.reader(), &ids).await?.remove(&plan).unwrap_or_default();
    let areas = areas(db, db.reader(), &ids).await?.remove(&plan).unwrap_or_default();

    let mut known = BTreeMap::new();
    for some in seats.chunks(IN_MAX) {
        let ids = placeholders(some.len(), 2);
        let sql = format!("SELECT id, category FROM seats WHERE plan_id = $1 AND id IN ({ids})");
        let values = std::iter::once(plan.into()).chain(some.iter().map(|seat| (*seat).into()));
        for row in db.query(db.reader(), sql, values.collect::<Vec<Value>>()).await? {
            let category: i32 = row.try_get("", "category")?;
            known.insert(row.try_get("", "id")?, category_name(&categories, category)?);
        }
    }
    Ok(Some(Outline { plan_id: plan, venue_id, categories, areas, seats: known }))
}

/// The name behind a seat's category number.
pub fn category_name(categories: &[Category], number: i32) -> Result<String, DbErr> {
    let category = usize::try_from(number).ok().and_then(|n| categories.get(n));
    category.map(|c| c.name.clone()).ok_or_else(|| super::super::rows::corrupt("seats", "category", number, &"unknown"))
}

/// One plan, without its seats.
pub async fn get(db: &Db, id: &str) -> Result<(SeatingPlanId, proto::SeatingPlanSummary), ReadError> {
    let Some(plan) = SeatingPlanId::parse(id) else { return Err(ReadError::not_found("seating plan", id)) };
    let found = find(db, db.reader(), plan).await?;
    Ok((plan, found.ok_or_else(|| ReadError::not_found("seating plan", id))?))
}

/// One plan, without its seats, as a connection sees it.
pub async fn find(
    db: &Db,
    connection: &impl ConnectionTrait,
    id: SeatingPlanId,
) -> Result<Option<proto::SeatingPlanSummary>, DbErr> {
    Ok(select(db, connection, "id = $1", vec![id.into()]).await?.pop().map(|(_, plan)| plan))
}

/// The plans of a venue, newest first.
pub async fn list(
    db: &Db,
    venue_id: &str,
    asked: PageAsked<SeatingPlanId>,
) -> Result<Page<proto::SeatingPlanSummary>, ReadError> {
    super::venues::get(db, venue_id).await?;
    let venue = VenueId::parse(venue_id).ok_or_else(|| ReadError::not_found("venue", venue_id))?;
    let limit = asked.size + 1;
    let mut rows = match asked.after {
        Some(after) => {
            let which = format!("venue_id = $1 AND id < $2 ORDER BY id DESC LIMIT {limit}");
            select(db, db.reader(), &which, vec![venue.into(), after.into()]).await?
        }
        None => {
            let which = format!("venue_id = $1 ORDER BY id DESC LIMIT {limit}");
            select(db, db.reader(), &which, vec![venue.into()]).await?
        }
    };
    let has_more = page::cut(&mut rows, asked.size);
    let tokens = rows.iter().map(|(id, _)| page::token(id)).collect();
    Ok(Page { rows: rows.into_iter().map(|(_, plan)| plan).collect(), tokens, has_more })
}

async fn select(
    db: &Db,
    connection: &impl ConnectionTrait,
    which: &str,
    values: Vec<Value>,
) -> Result<Vec<(SeatingPlanId, proto::SeatingPlanSummary)>, DbErr> {
    let sql = format!("SELECT id, venue_id, name, version, seat_count FROM seating_plans WHERE {which}");
    let found = db.query(connection, sql, values).await?;
    let ids: Vec<SeatingPlanId> = found.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?;
    let values: Vec<Value> = ids.iter().map(|id| (*id).into()).collect();
    let mut categories = categories(db, connection, &values).await?;
    let mut areas = areas(db, connection, &values).await?;
    found
        .iter()
        .zip(ids)
        .map(|(row, id)| {
            let categories = categories.remove(&id).unwrap_or_default();
            let areas = areas.remove(&id).unwrap_or_default();
            Ok((id, summary(row, id, categories, areas)?))
        })
        .collect()
}

fn summary(
    row: &QueryResult,
    id: SeatingPlanId,
    categories: Vec<Category>,
    areas: Vec<Area>,
) -> Result<proto::SeatingPlanSummary, DbErr> {
    let venue_id: VenueId = row.try_get("", "venue_id")?;
    let area = |a: Area| proto::Area { id: a.id.to_string(), name: a.name, capacity: a.capacity };
    Ok(proto::SeatingPlanSummary {
        id: id.to_string(),
        venue_id: venue_id.to_string(),
        name: row.try_get("", "name")?,
        version: row.try_get::<i32>("", "version")?.cast_unsigned(),
        seat_count: row.try_get::<i32>("", "seat_count")?.cast_unsigned(),
        categories: categories.into_iter().map(|category| category.name).collect(),
        areas: areas.into_iter().map(area).collect(),
    })
}

/// The categories of some plans, in file order.
pub async fn categories(
    db: &Db,
    connection: &impl ConnectionTrait,
    plans: &[Value],
) -> Result<HashMap<SeatingPlanId, Vec<Category>>, DbErr> {
    let which = any_of("plan_id", plans.len(), 1);
    let sql = format!("SELECT plan_id, name, seat_count FROM plan_categories WHERE {which} ORDER BY plan_id, ordinal");
    let mut categories: HashMap<SeatingPlanId, Vec<Category>> = HashMap::new();
    for row in db.query(connection, sql, plans.to_vec()).await? {
        let seat_count = row.try_get::<i32>("", "seat_count")?.cast_unsigned();
        let category = Category { name: row.try_get("", "name")?, seat_count };
        categories.entry(row.try_get("", "plan_id")?).or_default().push(category);
    }
    Ok(categories)
}

async fn areas(
    db: &Db,
    connection: &impl ConnectionTrait,
    plans: &[Value],
) -> Result<HashMap<SeatingPlanId, Vec<Area>>, DbErr> {
    let which = any_of("plan_id", plans.len(), 1);
    let sql = format!("SELECT plan_id, id, name, capacity FROM areas WHERE {which} ORDER BY plan_id, ordinal");
    let mut areas: HashMap<SeatingPlanId, Vec<Area>> = HashMap::new();
    for row in db.query(connection, sql, plans.to_vec()).await? {
        let capacity = row.try_get::<i32>("", "capacity")?.cast_unsigned();
        let area = Area { id: row.try_get("", "id")?, name: row.try_get("", "name")?, capacity };
        areas.entry(row.try_get("", "plan_id")?).or_default().push(area);
    }
    Ok(areas)
}

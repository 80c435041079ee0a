//! Reads of venues.

use common::db::Db;
use common::ids::VenueId;
use common::page;
use sea_orm::Value;

use super::super::rows::{self, VENUE};
use super::{Page, PageAsked, ReadError, any_of, batch};
use crate::domain::venue::Venue;

/// Keyset of the list: name and id.
type Key = (String, VenueId);

/// One venue.
pub async fn get(db: &Db, id: &str) -> Result<Venue, ReadError> {
    let found = match VenueId::parse(id) {
        Some(id) => select(db, "v.id = $1", vec![id.into()]).await?.pop(),
        None => None,
    };
    found.ok_or_else(|| ReadError::not_found("venue", id))
}

/// Those that exist.
pub async fn get_batch(db: &Db, ids: &[String]) -> Result<Vec<Venue>, ReadError> {
    let ids = batch("venue_ids", ids, VenueId::parse)?;
    select(db, &any_of("v.id", ids.len(), 1), ids).await
}

/// A page by name, then id.
pub async fn list(db: &Db, asked: PageAsked<Key>) -> Result<Page<Venue>, ReadError> {
    let (after, values): (_, Vec<Value>) = match asked.after {
        Some((name, id)) => ("(v.name, v.id) > ($1, $2)", vec![name.into(), id.into()]),
        None => ("1 = 1", vec![]),
    };
    let mut rows = select(db, &format!("{after} ORDER BY v.name, v.id LIMIT {}", asked.size + 1), values).await?;
    let has_more = page::cut(&mut rows, asked.size);
    let tokens = rows.iter().map(|venue| page::token(&(&venue.name, venue.id))).collect();
    Ok(Page { rows, tokens, has_more })
}

async fn select(db: &Db, which: &str, values: Vec<Value>) -> Result<Vec<Venue>, ReadError> {
    let found = db.query(db.reader(), format!("SELECT {VENUE} FROM venues v WHERE {which}"), values).await?;
    Ok(found.iter().map(rows::venue).collect::<Result<_, _>>()?)
}

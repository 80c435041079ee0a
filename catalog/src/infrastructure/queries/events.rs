//! Reads of events: one, a batch, a search.

use chrono::{DateTime, Utc};
use common::auth::{Principal, Role};
use common::db::Db;
use common::ids::EventId;
use common::page;
use common::proto::catalog::v1 as proto;
use prost::Message;
use sea_orm::{ConnectionTrait, DbErr, Value};

use super::super::rows::{self, EVENT, EVENT_TABLES, EventRow, VENUE};
use super::super::{text_search, wire};
use super::{Page, PageAsked, ReadError, any_of, batch};
use crate::domain::fault::Fault;

/// Bytes of one page of a search: a page of long descriptions is cut short, and more follow.
const PAGE_BYTES_MAX: usize = 512 * 1024;
/// Bytes of one batch: just below what a gRPC client accepts in one message.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024 - 16 * 1024;
/// Longest text to search for, characters.
const TEXT_MAX: usize = 200;

/// Most events that a search names one by one.
const FEW_MAX: usize = 500;

/// Keyset of a search: start in microseconds, and id.
type Key = (i64, EventId);

/// One event that `caller` may see.
pub async fn get(db: &Db, caller: &Principal, id: &str, now: DateTime<Utc>) -> Result<proto::Event, ReadError> {
    let found = match EventId::parse(id) {
        Some(id) => find(db, db.reader(), id).await?,
        None => None,
    };
    let visible = found.filter(|row| may_see(caller, row));
    Ok(wire::event(visible.ok_or_else(|| ReadError::not_found("event", id))?, now))
}

/// One event, whoever asks, as a connection sees it.
pub async fn find(db: &Db, connection: &impl ConnectionTrait, id: EventId) -> Result<Option<EventRow>, DbErr> {
    Ok(select(db, connection, "e.id = $1", vec![id.into()]).await?.pop())
}

/// Those of some events that exist and `caller` may see.
pub async fn get_batch(
    db: &Db,
    caller: &Principal,
    ids: &[String],
    now: DateTime<Utc>,
) -> Result<Vec<proto::Event>, ReadError> {
    let ids = batch("event_ids", ids, EventId::parse)?;
    let mut found = select(db, db.reader(), &any_of("e.id", ids.len(), 1), ids).await?;
    found.retain(|row| may_see(caller, row));
    let events: Vec<_> = found.into_iter().map(|row| wire::event(row, now)).collect();
    if events.iter().map(Message::encoded_len).sum::<usize>() > BATCH_BYTES_MAX {
        return Err(Fault::new("event_ids", "these events are too large for one answer: ask for fewer").into());
    }
    Ok(events)
}

/// What was never published is shown to organisers and services only.
fn may_see(caller: &Principal, row: &EventRow) -> bool {
    row.event.was_published() || caller.has(Role::Admin) || caller.has(Role::Service)
}

/// A page of a search, by start then id.
pub async fn search(
    db: &Db,
    caller: &Principal,
    request: &proto::SearchEventsRequest,
    now: DateTime<Utc>,
) -> Result<Page<proto::Event>, ReadError> {
    let asked: PageAsked<Key> = PageAsked::read(request.page_size, &request.page_token)?;
    let mut filter = Filter::default();
    filter.status(caller, request.status, now)?;
    filter.fields(request)?;
    if !request.text.trim().is_empty() && !filter.text(db, &request.text).await? {
        return Ok(Page { rows: vec![], tokens: vec![], has_more: false });
    }
    if let Some((starts_at, id)) = asked.after {
        let (a, b) = (filter.bind(starts_at), filter.bind(id));
        filter.clauses.push(format!("(e.starts_at, e.id) > ({a}, {b})"));
    }
    let limit = asked.size + 1;
    let which = format!("{} ORDER BY e.starts_at, e.id LIMIT {limit}", filter.clauses.join(" AND "));
    let mut found = select(db, db.reader(), &which, filter.values).await?;
    let has_more = page::cut(&mut found, asked.size);
    Ok(short_page(found, has_more, now))
}

/// Cuts a page to its size in bytes.
fn short_page(found: Vec<EventRow>, has_more: bool, now: DateTime<Utc>) -> Page<proto::Event> {
    let mut page = Page { rows: vec![], tokens: vec![], has_more };
    let mut bytes = 0;
    for row in found {
        let token = page::token(&(row.event.details.starts_at.timestamp_micros(), row.event.id));
        let event = wire::event(row, now);
        bytes += event.encoded_len();
        if bytes > PAGE_BYTES_MAX && !page.rows.is_empty() {
            page.has_more = true;
            break;
        }
        page.rows.push(event);
        page.tokens.push(token);
    }
    page
}

async fn select(
    db: &Db,
    connection: &impl ConnectionTrait,
    which: &str,
    values: Vec<Value>,
) -> Result<Vec<EventRow>, DbErr> {
    let sql = format!("SELECT {EVENT}, {VENUE} FROM {EVENT_TABLES} WHERE {which}");
    let found = db.query(connection, sql, values).await?;
    found.iter().map(rows::event).collect()
}

/// Clauses of a search, and the values they bind.
#[derive(Default)]
struct Filter {
    clauses: Vec<String>,
    values: Vec<Value>,
}

impl Filter {
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Organisers see every status, or the one they ask for; everybody else sees published events only.
    fn status(&mut self, caller: &Principal, status: i32, now: DateTime<Utc>) -> Result<(), Fault> {
        let status = proto::EventStatus::try_from(status).map_err(|_| Fault::new("status", "is no status we know"))?;
        let admin = caller.has(Role::Admin);
        let now = now.timestamp_micros();
        let clause = match status {
            proto::EventStatus::Unspecified if admin => "1 = 1".to_owned(),
            proto::EventStatus::Unspecified => "e.status = 'published'".to_owned(),
            proto::EventStatus::Published => format!("e.status = 'published' AND e.ends_at > {}", self.bind(now)),
            proto::EventStatus::Completed => format!("e.status = 'published' AND e.ends_at <= {}", self.bind(now)),
            proto::EventStatus::Draft if admin => "e.status = 'draft'".to_owned(),
            proto::EventStatus::Cancelled if admin => "e.status = 'cancelled'".to_owned(),
            proto::EventStatus::Draft | proto::EventStatus::Cancelled => "1 = 0".to_owned(),
        };
        self.clauses.push(clause);
        Ok(())
    }

    fn fields(&mut self, request: &proto::SearchEventsRequest) -> Result<(), Fault> {
        let names = [("category", "e.category_key", &request.category), ("city", "v.city_key", &request.city)];
        for (field, column, text) in names {
            // PostgreSQL's texts hold no NUL.
            if text.contains('\0') {
                return Err(Fault::new(field, "must not contain the NUL character"));
            }
            if !text.is_empty() {
                let key = self.bind(text.trim().to_lowercase());
                self.clauses.push(format!("{column} = {key}"));
            }
        }
        let times = [("from", ">=", &request.from), ("to", "<", &request.to)];
        for (field, comparison, at) in times {
            if let Some(at) = wire::instant(field, at.as_ref())? {
                let at = self.bind(at.timestamp_micros());
                self.clauses.push(format!("e.starts_at {comparison} {at}"));
            }
        }
        // An event has a price of at least this when its dearest is, and of at most that when its cheapest is.
        for (column, comparison, amount) in
            [("e.price_max", ">=", request.min_price), ("e.price_min", "<=", request.max_price)]
        {
            if let Some(amount) = amount {
                let amount = self.bind(amount);
                self.clauses.push(format!("{column} {comparison} {amount}"));
            }
        }
        Ok(())
    }

    /// `false` when nothing can match. Rare words name their events, which the text index finds; of common ones the next page
    /// is soon met in the list's own order, and asking for all of them would cost more.
    async fn text(&mut self, db: &Db, text: &str) -> Result<bool, ReadError> {
        if text.chars().count() > TEXT_MAX {
            return Err(Fault::new("text", format!("must be at most {TEXT_MAX} characters long")).into());
        }
        let Some(search) = text_search::search(db, text) else { return Ok(false) };
        let few = format!("{} LIMIT {}", text_search::matching_numbers(db, "$1"), FEW_MAX + 1);
        let found = db.query(db.reader(), few, [search.clone().into()]).await?;
        if found.len() > FEW_MAX {
            let search = self.bind(search);
            self.clauses.push(format!("e.number IN ({})", text_search::matching_numbers(db, &search)));
            return Ok(true);
        }
        let first = self.values.len() + 1;
        for row in &found {
            self.values.push(row.try_get::<i64>("", "rowid")?.into());
        }
        self.clauses.push(any_of("e.number", found.len(), first));
        Ok(!found.is_empty())
    }
}

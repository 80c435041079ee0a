//! Long answers: plans, offers and files, read page by page while they are sent, in messages well under 1 MiB.

use std::collections::VecDeque;

use common::db::Db;
use common::ids::{EventId, SeatId, SeatingPlanId};
use common::proto::catalog::v1 as proto;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt, try_unfold};
use prost::Message;
use sea_orm::{DbErr, QueryResult};
use tonic::Status;

use super::grpc::refuse;
use super::queries::{ReadError, plans};
use super::rows::corrupt;
use crate::domain::plan::Category;
use crate::domain::prices::PriceList;

/// Most seats of one message.
const SEATS_MAX: usize = 2_000;
/// Bytes of one message, but for its last seat.
const BYTES_MAX: usize = 512 * 1024;

/// A stream of messages.
pub type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// A long answer that is made message by message.
trait Source: Send + Sized + 'static {
    type Message: Send + 'static;

    /// The next message; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Message>, DbErr>> + Send;

    /// As a stream: nothing is read before somebody takes it.
    fn answers(self) -> Answers<Self::Message> {
        let messages = try_unfold(self, async |mut source| {
            let message = source.next().await?;
            Ok::<_, DbErr>(message.map(|message| (message, source)))
        });
        messages.map_err(|error| refuse(&ReadError::Database(error))).boxed()
    }
}

/// Streams a plan: its summary, then its rows.
pub async fn plan(db: Db, id: &str) -> Result<Answers<proto::StreamSeatingPlanResponse>, ReadError> {
    let (plan, summary) = plans::get(&db, id).await?;
    let sql = "SELECT zone_index, zone, name, seat_count FROM plan_rows WHERE plan_id = $1 ORDER BY ordinal";
    let rows = db.query(db.reader(), sql, [plan.into()]).await?;
    let rows = rows.iter().map(RowHead::read).collect::<Result<_, _>>()?;
    let seats = Seats::new(db, plan).await?;
    Ok(PlanSource { summary: Some(summary), rows, seats, ready: VecDeque::new() }.answers())
}

/// Streams an offer: its terms, then its rows, then its seats. Version 0 is the newest.
pub async fn offer(db: Db, id: &str, version: u64) -> Result<Answers<proto::StreamOfferResponse>, ReadError> {
    let not_found = || ReadError::not_found("offer", &format!("{id}, version {version}"));
    let event = EventId::parse(id).ok_or_else(not_found)?;
    let sql = "SELECT o.plan_id, o.terms, o.prices, e.status FROM events e JOIN offers o ON o.event_id = e.id
        WHERE e.id = $1 AND o.version = CASE WHEN $2 = 0 THEN e.offer_version ELSE $2 END";
    let wanted = i64::try_from(version).map_err(|_| not_found())?;
    let found = db.query(db.reader(), sql, [event.into(), wanted.into()]).await?;
    let row = found.first().ok_or_else(not_found)?;

    let terms: Vec<u8> = row.try_get("", "terms")?;
    let mut terms = proto::OfferTerms::decode(&terms[..]).map_err(|e| corrupt("offers", "terms", event, &e))?;
    let status: String = row.try_get("", "status")?;
    terms.cancelled = status == "cancelled";
    let prices: String = row.try_get("", "prices")?;
    let prices = serde_json::from_str(&prices).map_err(|e| corrupt("offers", "prices", event, &e))?;
    let plan = row.try_get("", "plan_id")?;
    let rows = rows_on_offer(&db, plan).await?;
    let seats = Seats::new(db, plan).await?;
    Ok(OfferSource { terms: Some(terms), rows, prices, seats, ready: VecDeque::new() }.answers())
}

/// The rows of a plan, packed into messages.
async fn rows_on_offer(db: &Db, plan: SeatingPlanId) -> Result<VecDeque<Vec<proto::OfferRow>>, DbErr> {
    let sql = "SELECT zone_index, seat_count FROM plan_rows WHERE plan_id = $1 ORDER BY ordinal";
    let row = |row: &QueryResult| {
        let zone_index = row.try_get::<i32>("", "zone_index")?.cast_unsigned();
        Ok(proto::OfferRow { zone_index, seat_count: row.try_get::<i32>("", "seat_count")?.cast_unsigned() })
    };
    let rows = db.query(db.reader(), sql, [plan.into()]).await?;
    let rows: Vec<_> = rows.iter().map(row).collect::<Result<_, DbErr>>()?;
    Ok(pack(rows, |row| (1, row.encoded_len())).into())
}

/// Streams the file of a plan, exactly as it came in.
pub async fn file(db: Db, id: &str) -> Result<Answers<proto::ExportSeatingPlanResponse>, ReadError> {
    let (plan, _) = plans::get(&db, id).await?;
    Ok(FileSource { db, plan, part: 0 }.answers())
}

struct FileSource {
    db: Db,
    plan: SeatingPlanId,
    part: i32,
}

impl Source for FileSource {
    type Message = proto::ExportSeatingPlanResponse;

    async fn next(&mut self) -> Result<Option<Self::Message>, DbErr> {
        let sql = "SELECT bytes FROM plan_files WHERE plan_id = $1 AND part = $2";
        let found = self.db.query(self.db.reader(), sql, [self.plan.into(), self.part.into()]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        self.part += 1;
        let bytes: Vec<u8> = row.try_get("", "bytes")?;
        Ok(Some(proto::ExportSeatingPlanResponse { chunk: bytes.into() }))
    }
}

struct PlanSource {
    summary: Option<proto::SeatingPlanSummary>,
    rows: VecDeque<RowHead>,
    seats: Seats,
    ready: VecDeque<Vec<proto::PlanRow>>,
}

impl Source for PlanSource {
    type Message = proto::StreamSeatingPlanResponse;

    async fn next(&mut self) -> Result<Option<Self::Message>, DbErr> {
        if let Some(summary) = self.summary.take() {
            return Ok(Some(proto::StreamSeatingPlanResponse { summary: Some(summary), rows: vec![] }));
        }
        if self.ready.is_empty() {
            self.fill().await?;
        }
        let rows = self.ready.pop_front();
        Ok(rows.map(|rows| proto::StreamSeatingPlanResponse { summary: None, rows }))
    }
}

impl PlanSource {
    /// Reads about a message's worth of whole rows; only a giant row is told in several pieces.
    async fn fill(&mut self) -> Result<(), DbErr> {
        let (mut heads, mut count) = (Vec::new(), 0);
        while let Some(head) = self.rows.pop_front() {
            count += head.seat_count;
            heads.push(head);
            if self.rows.front().is_some_and(|next| count + next.seat_count > SEATS_MAX) {
                break;
            }
        }
        let mut seats = self.seats.read(count).await?.into_iter();
        let mut pieces = Vec::new();
        for head in heads {
            let its_seats = seats.by_ref().take(head.seat_count).map(SeatRow::into_plan_seat);
            let mut split = pack(its_seats, |seat| (1, seat.encoded_len()));
            if split.is_empty() {
                split.push(vec![]);
            }
            pieces.extend(split.into_iter().map(|seats| head.row(seats)));
        }
        self.ready = pack(pieces, |row| (row.seats.len(), row.encoded_len())).into();
        Ok(())
    }
}

struct OfferSource {
    terms: Option<proto::OfferTerms>,
    rows: VecDeque<Vec<proto::OfferRow>>,
    prices: PriceList,
    seats: Seats,
    ready: VecDeque<Vec<proto::OfferSeat>>,
}

impl Source for OfferSource {
    type Message = proto::StreamOfferResponse;

    async fn next(&mut self) -> Result<Option<Self::Message>, DbErr> {
        if let Some(terms) = self.terms.take() {
            return Ok(Some(proto::StreamOfferResponse { terms: Some(terms), ..Default::default() }));
        }
        if let Some(rows) = self.rows.pop_front() {
            return Ok(Some(proto::StreamOfferResponse { rows, ..Default::default() }));
        }
        if self.ready.is_empty() {
            let seats = self.seats.read(SEATS_MAX).await?;
            let priced: Vec<_> = seats.into_iter().map(|seat| self.priced(seat)).collect::<Result<_, _>>()?;
            self.ready = pack(priced, |seat| (1, seat.encoded_len())).into();
        }
        let seats = self.ready.pop_front();
        Ok(seats.map(|seats| proto::StreamOfferResponse { seats, ..Default::default() }))
    }
}

impl OfferSource {
    fn priced(&self, seat: SeatRow) -> Result<proto::OfferSeat, DbErr> {
        let price = self.prices.of_seat(seat.id, &seat.category);
        Ok(proto::OfferSeat {
            price_minor: price.ok_or_else(|| corrupt("offers", "prices", seat.id, &"no price for this seat"))?,
            seat_id: seat.id.to_string(),
            label: seat.label,
            category: seat.category,
            closed: false,
            x: seat.x as f32,
            y: seat.y as f32,
            accessible: seat.accessible,
            companion: seat.companion,
        })
    }
}

/// A row without its seats.
struct RowHead {
    zone_index: u32,
    zone: String,
    name: String,
    seat_count: usize,
}

impl RowHead {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            zone_index: row.try_get::<i32>("", "zone_index")?.cast_unsigned(),
            zone: row.try_get("", "zone")?,
            name: row.try_get("", "name")?,
            seat_count: usize::try_from(row.try_get::<i32>("", "seat_count")?).unwrap_or_default(),
        })
    }

    fn row(&self, seats: Vec<proto::PlanSeat>) -> proto::PlanRow {
        proto::PlanRow { zone: self.zone.clone(), name: self.name.clone(), seats, zone_index: self.zone_index }
    }
}

/// Reads the seats of a plan in order.
struct Seats {
    db: Db,
    plan: SeatingPlanId,
    categories: Vec<Category>,
    next: usize,
}

impl Seats {
    async fn new(db: Db, plan: SeatingPlanId) -> Result<Self, DbErr> {
        let categories = plans::categories(&db, db.reader(), &[plan.into()]).await?.remove(&plan).unwrap_or_default();
        Ok(Self { db, plan, categories, next: 0 })
    }

    async fn read(&mut self, count: usize) -> Result<Vec<SeatRow>, DbErr> {
        let sql = "SELECT id, number, label, x, y, category, accessible, companion FROM seats
            WHERE plan_id = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal";
        let ordinal = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let (from, to) = (self.next, self.next + count);
        self.next = to;
        let values = [self.plan.into(), ordinal(from).into(), ordinal(to).into()];
        let found = self.db.query(self.db.reader(), sql, values).await?;
        found.iter().map(|row| SeatRow::read(row, &self.categories)).collect()
    }
}

struct SeatRow {
    id: SeatId,
    number: String,
    label: String,
    x: f64,
    y: f64,
    category: String,
    accessible: bool,
    companion: bool,
}

impl SeatRow {
    fn read(row: &QueryResult, categories: &[Category]) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.try_get("", "id")?,
            number: row.try_get("", "number")?,
            label: row.try_get("", "label")?,
            x: row.try_get("", "x")?,
            y: row.try_get("", "y")?,
            category: plans::category_name(categories, row.try_get("", "category")?)?,
            accessible: row.try_get("", "accessible")?,
            companion: row.try_get("", "companion")?,
        })
    }

    fn into_plan_seat(self) -> proto::PlanSeat {
        proto::PlanSeat {
            id: self.id.to_string(),
            number: self.number,
            label: self.label,
            x: self.x,
            y: self.y,
            category: self.category,
            accessible: self.accessible,
            companion: self.companion,
        }
    }
}

/// Packs items into messages, in order; `weigh` tells an item's seats (or rows) and bytes.
fn pack<T>(items: impl IntoIterator<Item = T>, weigh: impl Fn(&T) -> (usize, usize)) -> Vec<Vec<T>> {
    let mut messages: Vec<Vec<T>> = Vec::new();
    let (mut seats, mut bytes) = (0, 0);
    for item in items {
        let (its_seats, its_bytes) = weigh(&item);
        seats += its_seats;
        bytes += its_bytes;
        match messages.last_mut() {
            Some(message) if seats <= SEATS_MAX && bytes <= BYTES_MAX => message.push(item),
            Some(_) | None => {
                (seats, bytes) = (its_seats, its_bytes);
                messages.push(vec![item]);
            }
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_by_seats_and_by_bytes() {
        let many_light = pack(0..4_500, |_| (1, 10));
        let few_heavy = pack(0..5, |_| (1, 200 * 1024));

        assert_eq!(many_light.iter().map(Vec::len).collect::<Vec<_>>(), [2_000, 2_000, 500]);
        assert_eq!(few_heavy, [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(pack(0..2, |_| (1, usize::MAX / 4)), [[0], [1]]);
    }
}

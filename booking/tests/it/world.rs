//! Booking's store, saga and sweeper over one test database, with time and catalog in the test's hands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use common::auth::{Principal, Role};
use common::clock::from_micros;
use common::db::Db;
use common::fact::Fact;
use common::ids::{BookingId, EventId, FactId, RefundId};
use common::inbox::{FactHandler, HandleError};
use common::money::Money;
use common::outbox::Outbox;
use common::proto::payment::v1::{PaymentAuthorised, PaymentCaptureFailed, PaymentDeclined, PaymentRefunded};
use common::requests::RequestKey;
use common::testing::TestDb;
use prost::{Message, Name};
use sea_orm::Value;

use booking::application::best_available::{self, Boards, Seller, Wish};
use booking::application::check_in::{Scan, check_in};
use booking::application::hold::{self, Answer, HoldError};
use booking::application::offers::Offers;
use booking::application::ports::{FetchedOffer, OfferSource};
use booking::application::saga::{CatalogFacts, PaymentFacts};
use booking::application::{command, sweep};
use booking::domain::booking::{RefundWish, Terms};
use booking::infrastructure::store::{
    Admitted, CheckInError, CheckedIn, HoldOrder, HoldOutcome, Outcome, Store, Stored, TransitionError,
};
use booking::infrastructure::ticket_key::TicketKey;
use booking::infrastructure::wire;

use crate::sale::Sale;

pub const HOLD: Duration = Duration::minutes(10);
pub const GRACE: Duration = Duration::minutes(2);
pub const SECOND: Duration = Duration::seconds(1);
pub const TERMS: Terms = Terms { hold: HOLD, grace: GRACE, test_tokens_only: true };

/// Everything between the database and the outside.
pub struct World {
    pub db: Db,
    pub store: Arc<Store>,
    pub offers: Arc<Offers>,
    pub boards: Boards,
    pub catalog: Arc<FakeCatalog>,
    pub outbox: Outbox,
    pub payments: PaymentFacts,
    keys: AtomicU64,
    /// Gone with the world.
    _test_db: TestDb,
}

impl World {
    pub async fn new(test_db: TestDb) -> Self {
        let db = (*test_db).clone();
        Self::over(test_db, db).await
    }

    /// A world with this many connections instead of a test's few.
    pub async fn crowded(test_db: TestDb, connections: u32) -> Self {
        let db = Db::connect(&test_db.url, connections).await.unwrap();
        Self::over(test_db, db).await
    }

    async fn over(test_db: TestDb, db: Db) -> Self {
        booking::migrate(&db).await.unwrap();
        let outbox = Outbox::new(db.clone(), "booking", booking::TOPIC);
        let key = TicketKey::load(&db).await.unwrap();
        let store = Arc::new(Store::new(db.clone(), outbox.clone(), key, TERMS));
        let catalog = Arc::new(FakeCatalog::default());
        let offers = Arc::new(Offers::new(store.clone(), catalog.clone()));
        let payments = PaymentFacts::new(store.clone());
        let boards = Boards::new();
        Self { db, store, offers, boards, catalog, outbox, payments, keys: AtomicU64::new(0), _test_db: test_db }
    }

    /// The store as another process would have it: the same database, nothing in memory.
    pub async fn another_store(&self) -> Store {
        let key = TicketKey::load(&self.db).await.unwrap();
        Store::new(self.db.clone(), self.outbox.clone(), key, TERMS)
    }

    pub async fn now(&self) -> DateTime<Utc> {
        self.db.now(self.db.reader()).await.unwrap()
    }

    /// Moves the database's time.
    pub fn pass(&self, by: Duration) {
        self.db.shift_time(by);
    }

    /// An event on sale, known here.
    pub async fn sale(&self, seats: usize, capacities: &[u32]) -> Sale {
        let sale = Sale::new(self.now().await, seats, capacities);
        self.put(&sale).await;
        sale
    }

    pub async fn put(&self, sale: &Sale) {
        let FetchedOffer { offer, data, cancelled } = sale.fetched();
        self.store.keep_offer(offer, data, cancelled).await.unwrap();
    }

    /// A request id nobody used, for a customer's operation.
    pub fn key(&self, customer: &str, operation: &str) -> RequestKey {
        let id = format!("key-{}", self.keys.fetch_add(1, Ordering::SeqCst));
        RequestKey::new(customer, operation, &id, b"request").unwrap()
    }

    pub async fn hold(&self, sale: &Sale, customer: &str, seats: &[usize], places: &[u32]) -> HoldOutcome {
        let order = HoldOrder { key: self.key(customer, "hold"), order: sale.order(customer, seats, places) };
        self.store.hold(sale.event, &[order], &encode).await.unwrap().remove(0)
    }

    /// A hold that must succeed.
    pub async fn held(&self, sale: &Sale, customer: &str, seats: &[usize], places: &[u32]) -> BookingId {
        match self.hold(sale, customer, seats, places).await {
            HoldOutcome::Held(stored) => stored.booking.id,
            other => panic!("{customer} cannot hold {seats:?} and {places:?}: {other:?}"),
        }
    }

    /// A hold by hand through the use case, with its checks.
    pub async fn pick(
        &self,
        sale: &Sale,
        customer: &str,
        seats: &[usize],
        key: RequestKey,
    ) -> Result<Answer, HoldError> {
        let wanted = sale.wish(seats, &[]);
        hold::hold(&self.store, &self.offers, customer, sale.event, &wanted, key, &encode).await
    }

    /// The best seats for a party, under a fresh request id.
    pub async fn best(&self, sale: &Sale, customer: &str, wish: &Wish) -> Result<Stored, HoldError> {
        match self.best_under(sale, customer, wish, self.key(customer, "hold-best")).await? {
            Answer::Held(stored) => Ok(*stored),
            Answer::Replayed(_) => panic!("a fresh request id was answered before"),
        }
    }

    pub async fn best_under(
        &self,
        sale: &Sale,
        customer: &str,
        wish: &Wish,
        key: RequestKey,
    ) -> Result<Answer, HoldError> {
        let seller = Seller { store: &self.store, offers: &self.offers, boards: &self.boards };
        best_available::hold_best(&seller, customer, sale.event, wish, key, &encode).await
    }

    pub async fn pay(&self, customer: &str, booking: BookingId) -> Result<Stored, TransitionError> {
        let key = self.key(customer, "pay");
        done(command::pay(&self.store, &customer_of(customer), booking, "tok_approve", &key, &encode).await)
    }

    pub async fn release(&self, customer: &str, booking: BookingId) -> Result<Stored, TransitionError> {
        let key = self.key(customer, "release");
        done(command::release(&self.store, &customer_of(customer), booking, &key, &encode).await)
    }

    pub async fn cancel(&self, customer: &str, booking: BookingId) -> Result<Stored, TransitionError> {
        let key = self.key(customer, "cancel");
        done(command::cancel(&self.store, &customer_of(customer), booking, &key, &encode).await)
    }

    /// A refund by the box office, of items by their place in the booking.
    pub async fn refund(
        &self,
        booking: BookingId,
        items: &[usize],
        amount_minor: Option<i64>,
    ) -> Result<Stored, TransitionError> {
        let stored = self.find(booking).await.booking;
        let wish = RefundWish::new(items.iter().map(|at| stored.items[*at].id).collect(), amount_minor).unwrap();
        let key = self.key("office", "refund");
        done(command::refund(&self.store, &admin("office"), booking, (&wish, "sorry"), &key, &encode).await)
    }

    /// Scans the ticket of one item.
    pub async fn check_in(&self, booking: BookingId, item: usize) -> Result<Admitted, CheckInError> {
        let token = self.find(booking).await.tickets.swap_remove(item).token;
        let answer = |used: &CheckedIn| wire::checked_in(used).encode_to_vec();
        let scan = Scan { token: &token, gate: "North", key: None, answer: &answer };
        check_in(&self.store, &admin("door"), scan).await
    }

    /// Amounts asked back of a booking, in that order.
    pub async fn refunds(&self, booking: BookingId) -> Vec<i64> {
        self.find(booking).await.refunds.iter().map(|refund| refund.amount.amount_minor()).collect()
    }

    /// Holds, pays and has the payment authorised.
    pub async fn confirmed(&self, sale: &Sale, customer: &str, seats: &[usize], places: &[u32]) -> BookingId {
        let booking = self.held(sale, customer, seats, places).await;
        self.pay(customer, booking).await.unwrap();
        self.authorised(booking, 1).await;
        assert_eq!(self.state(booking).await, "CONFIRMED");
        booking
    }

    /// Takes a fact of payment in, as the inbox does: in one transaction.
    pub async fn told<M: Message + Name>(&self, booking: BookingId, payload: &M) -> Result<(), HandleError> {
        take(&self.db, &self.payments, fact(booking.0, payload)).await
    }

    pub async fn authorised(&self, booking: BookingId, attempt: u32) {
        let total = self.find(booking).await.booking.total;
        self.authorised_with(booking, attempt, total).await;
    }

    pub async fn authorised_with(&self, booking: BookingId, attempt: u32, amount: Money) {
        let booking_id = booking.to_string();
        self.told(booking, &PaymentAuthorised { booking_id, attempt, amount: Some(amount.into()) }).await.unwrap();
    }

    pub async fn declined(&self, booking: BookingId, attempt: u32) {
        let (booking_id, decline_code) = (booking.to_string(), "CARD_DECLINED".to_owned());
        self.told(booking, &PaymentDeclined { booking_id, attempt, decline_code }).await.unwrap();
    }

    pub async fn capture_failed(&self, booking: BookingId, attempt: u32) {
        let (booking_id, code) = (booking.to_string(), "EXPIRED_AUTHORISATION".to_owned());
        self.told(booking, &PaymentCaptureFailed { booking_id, attempt, code }).await.unwrap();
    }

    pub async fn refunded(&self, booking: BookingId, refund: RefundId, amount: Money) {
        let (booking_id, refund_id) = (booking.to_string(), refund.to_string());
        self.told(booking, &PaymentRefunded { booking_id, refund_id, amount: Some(amount.into()) }).await.unwrap();
    }

    /// Takes a fact of catalog in.
    pub async fn catalog_told<M: Message + Name>(&self, event: EventId, payload: &M) -> Result<(), HandleError> {
        let handler = CatalogFacts::new(self.store.clone(), self.offers.clone());
        take(&self.db, &handler, fact(event.0, payload)).await
    }

    /// Ends what is over, both kinds.
    pub async fn sweep(&self) -> usize {
        sweep::end_lapsed(&self.store).await.unwrap() + sweep::end_of_cancelled(&self.store).await.unwrap()
    }

    pub async fn find(&self, booking: BookingId) -> Stored {
        self.store.find(booking).await.unwrap().unwrap()
    }

    pub async fn state(&self, booking: BookingId) -> &'static str {
        self.find(booking).await.booking.state.name()
    }

    /// Kinds of the facts a booking has told, in order, without their package.
    pub async fn facts(&self, booking: BookingId) -> Vec<String> {
        let sql = "SELECT kind FROM outbox WHERE aggregate_id = $1 ORDER BY sequence";
        let rows = self.db.query(self.db.reader(), sql, [booking.into()]).await.unwrap();
        rows.iter()
            .map(|row| row.try_get::<String>("", "kind").unwrap().rsplit('.').next().unwrap().to_owned())
            .collect()
    }

    /// One number.
    pub async fn count(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> i64 {
        let rows =
            self.db.query(self.db.reader(), format!("SELECT CAST(({sql}) AS bigint) AS n"), values).await.unwrap();
        rows[0].try_get("", "n").unwrap()
    }

    /// The booking that claims a seat, with the claim's state and expiry.
    pub async fn claim(&self, sale: &Sale, seat: usize) -> Option<(BookingId, String, Option<DateTime<Utc>>)> {
        let sql = "SELECT booking_id, state, expires_at FROM seat_claims WHERE event_id = $1 AND seat_id = $2";
        let values = [sale.event.into(), sale.seats[seat].into()];
        let rows = self.db.query(self.db.reader(), sql, values).await.unwrap();
        let row = rows.first()?;
        let expires_at: Option<i64> = row.try_get("", "expires_at").unwrap();
        let (booking, state) = (row.try_get("", "booking_id").unwrap(), row.try_get("", "state").unwrap());
        Some((booking, state, expires_at.map(from_micros)))
    }

    /// Places counted of an area.
    pub async fn taken(&self, sale: &Sale, area: usize) -> i64 {
        let sql = "SELECT taken FROM area_counters WHERE event_id = $1 AND area_id = $2";
        self.count(sql, [sale.event.into(), sale.areas[area].0.into()]).await
    }
}

/// What answers remember.
pub fn encode(stored: &Stored) -> Vec<u8> {
    wire::booking(stored, stored.booking.created_at).encode_to_vec()
}

pub fn customer_of(name: &str) -> Principal {
    Principal { subject: name.to_owned(), roles: vec![Role::Customer] }
}

pub fn admin(name: &str) -> Principal {
    Principal { subject: name.to_owned(), roles: vec![Role::Admin] }
}

fn done(outcome: Result<Outcome, TransitionError>) -> Result<Stored, TransitionError> {
    match outcome? {
        Outcome::Done(stored) => Ok(*stored),
        Outcome::Replayed(_) => panic!("a fresh request id was answered before"),
    }
}

pub fn fact<M: Message + Name>(aggregate: uuid::Uuid, payload: &M) -> Fact {
    Fact {
        id: FactId::new(),
        kind: M::full_name(),
        aggregate_id: aggregate,
        sequence: 1,
        occurred_at: from_micros(0),
        data: payload.encode_to_vec().into(),
        carrier: Default::default(),
    }
}

async fn take(db: &Db, handler: &dyn FactHandler, fact: Fact) -> Result<(), HandleError> {
    let transaction = db.begin().await?;
    handler.handle(&transaction, &fact).await?;
    transaction.commit().await?;
    handler.committed();
    Ok(())
}

/// Catalog as booking sees it: serves the newest offer put here.
#[derive(Default)]
pub struct FakeCatalog {
    newest: Mutex<HashMap<EventId, Sale>>,
    pub down: AtomicBool,
    pub slow: AtomicBool,
    pub fetches: AtomicUsize,
}

impl FakeCatalog {
    pub fn offer(&self, sale: &Sale) {
        self.newest.lock().unwrap().insert(sale.event, sale.clone());
    }
}

#[async_trait]
impl OfferSource for FakeCatalog {
    async fn fetch(&self, event: EventId, version: i64) -> anyhow::Result<Option<FetchedOffer>> {
        assert_eq!(version, 0, "the newest is wanted");
        self.fetches.fetch_add(1, Ordering::SeqCst);
        anyhow::ensure!(!self.down.load(Ordering::SeqCst), "catalog is down");
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_secs(30)).await;
        }
        Ok(self.newest.lock().unwrap().get(&event).map(Sale::fetched))
    }
}

//! A payment service without broker: facts are applied directly, databases are fresh per test.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use common::clock::{Clock, SystemClock};
use common::db::Db;
use common::fact::{Fact, NewFact};
use common::ids::{BookingId, FactId, PaymentId, RefundId};
use common::inbox::{FactHandler, HandleError};
use common::money::{Currency, Money};
use common::outbox::{Listing, Outbox};
use common::proto::booking::v1 as booking;
use common::runtime::Shutdown;
use payment::application::ports::{PaymentStore, Provider};
use payment::application::saga::Saga;
use payment::application::steps::{StepSettings, StepWorker};
use payment::domain::{Patience, Payment, PaymentState};
use payment::infrastructure::store::SqlStore;
use prost::{Message, Name};
use sea_orm::ConnectionTrait;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(30);
/// The worker's patience with providers that hang, in tests.
pub const PROVIDER_TIMEOUT: Duration = Duration::from_millis(100);

/// After which an unknown authorisation is given up.
pub const GIVE_UP: Duration = Duration::from_secs(24 * 3600);

/// Declares each test twice: on SQLite and on PostgreSQL.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() { crate::support::on_sqlite(super::$test).await; })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() { crate::support::on_postgres(super::$test).await; })+
        }
    };
}
pub(crate) use on_both_databases;

/// Runs a test on a fresh SQLite file.
pub async fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    let folder = tempfile::tempdir().unwrap();
    test(World::at(&sqlite_url(&folder, "payment")).await).await;
}

/// The address of a SQLite file in a folder.
pub fn sqlite_url(folder: &tempfile::TempDir, name: &str) -> String {
    format!("sqlite://{}/{name}.db?mode=rwc", folder.path().display())
}

/// Runs a test on a fresh PostgreSQL database and drops it afterwards, whatever came of the test.
pub async fn on_postgres<F>(test: impl FnOnce(World) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send,
{
    let server = postgres_server();
    let name = format!("payment_test_{}", Uuid::now_v7().simple());
    let admin = Db::connect(&server, 1).await.expect("the PostgreSQL server answers");
    admin.writer().execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();

    let url = with_database(&server, &name);
    let mut task = JoinSet::new();
    task.spawn(async move { test(World::at(&url).await).await });
    let ended = task.join_next().await.unwrap();

    admin.writer().execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    if let Err(failure) = ended {
        std::panic::resume_unwind(failure.into_panic());
    }
}

#[expect(clippy::disallowed_methods, reason = "tests take their server from the environment")]
fn postgres_server() -> String {
    std::env::var("EVENTIX_TEST_POSTGRES").expect(
        "EVENTIX_TEST_POSTGRES must name a PostgreSQL server where databases can be created: use ./tests/run, which starts one",
    )
}

/// The same server, another database.
fn with_database(server: &str, name: &str) -> String {
    let (address, query) = server.split_once('?').map_or((server, String::new()), |(a, q)| (a, format!("?{q}")));
    let host_end = address.find("://").map_or(0, |at| at + 3);
    let base = address[host_end..].find('/').map_or(address, |at| &address[..host_end + at]);
    format!("{base}/{name}{query}")
}

/// A payment database with everything that works on it.
#[derive(Clone)]
pub struct World {
    pub db: Db,
    pub outbox: Outbox,
    pub store: Arc<SqlStore>,
    pub saga: Arc<Saga>,
    wake: Arc<Notify>,
}

impl World {
    /// Migrates the database at an address.
    pub async fn at(url: &str) -> Self {
        let db = Db::connect(url, 12).await.unwrap();
        payment::migrate(&db).await.unwrap();
        Self::of(db, "one")
    }

    /// The same database as another process sees it.
    pub fn another(&self, instance: &str) -> Self {
        Self::of(self.db.clone(), instance)
    }

    fn of(db: Db, instance: &str) -> Self {
        let outbox = Outbox::new(db.clone(), "payment", payment::TOPIC);
        let wake = Arc::new(Notify::new());
        let store = Arc::new(SqlStore::new(db.clone(), outbox.clone(), wake.clone(), instance));
        let saga = Arc::new(Saga::new(store.clone()));
        Self { db, outbox, store, saga, wake }
    }

    /// Applies a fact of booking's, as the inbox would.
    pub async fn tell<M: Message + Name>(&self, id: BookingId, payload: &M) -> Result<(), HandleError> {
        let transaction = self.db.begin().await.unwrap();
        let outcome = self.saga.handle(&transaction, &fact(id, payload)).await;
        if outcome.is_ok() {
            transaction.commit().await.unwrap();
            self.saga.committed();
        }
        outcome
    }

    /// A held booking of 25 euros.
    pub async fn held(&self) -> BookingId {
        let id = BookingId::new();
        self.tell(id, &held(id, "alice")).await.unwrap();
        id
    }

    /// A booking whose customer asked to pay once.
    pub async fn requested(&self, token: &str) -> BookingId {
        let id = self.held().await;
        self.tell(id, &pay(id, 1, token)).await.unwrap();
        id
    }

    /// A booking whose money was captured.
    pub async fn captured(&self, provider: Arc<dyn Provider>) -> BookingId {
        self.captured_with("tok_approve", provider).await
    }

    /// The same, paid with a token.
    pub async fn captured_with(&self, token: &str, provider: Arc<dyn Provider>) -> BookingId {
        let id = self.requested(token).await;
        let running = self.work(provider);
        self.until(id, PaymentState::Authorised).await;
        self.tell(id, &confirmed(id, 1)).await.unwrap();
        self.until(id, PaymentState::Captured).await;
        running.stop().await;
        id
    }

    /// A step worker that is not running yet.
    pub fn worker(&self, provider: Arc<dyn Provider>) -> Arc<StepWorker> {
        StepWorker::new(self.store.clone(), provider, self.wake.clone(), steps())
    }

    /// Starts a step worker.
    pub fn work(&self, provider: Arc<dyn Provider>) -> Running {
        let shutdown = Shutdown::new();
        let mut task = JoinSet::new();
        task.spawn(self.worker(provider).run(shutdown.clone()));
        Running { shutdown, task }
    }

    /// A payment as it stands.
    pub async fn payment(&self, id: BookingId) -> Payment {
        let transaction = self.db.begin().await.unwrap();
        self.store.lock(&transaction, PaymentId::of(id)).await.unwrap().expect("the payment is there")
    }

    /// Waits until a payment is in a state.
    pub async fn until(&self, id: BookingId, state: PaymentState) -> Payment {
        self.until_payment(id, |payment| payment.state == state).await
    }

    /// Waits until a payment is as wanted.
    pub async fn until_payment(&self, id: BookingId, wanted: impl Fn(&Payment) -> bool) -> Payment {
        let started = tokio::time::Instant::now();
        loop {
            let payment = self.payment(id).await;
            if wanted(&payment) {
                return payment;
            }
            assert!(started.elapsed() < DEADLINE, "waited in vain: {payment:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Names of the facts told about a payment, in order; their sequence has no gaps.
    pub async fn told(&self, id: BookingId) -> Vec<String> {
        let listed = self.outbox.list(Listing::Aggregate(id.0, 0), 500).await.unwrap();
        let facts: Vec<Fact> =
            listed.records.iter().map(|r| Fact::decode(&r.value, Default::default()).unwrap()).collect();
        for (at, fact) in (1..).zip(&facts) {
            assert_eq!(fact.sequence, at);
        }
        facts.into_iter().map(|f| f.kind.rsplit('.').next().unwrap().to_owned()).collect()
    }

    /// One number.
    pub async fn number(&self, sql: &str) -> i64 {
        let rows = self.db.query(self.db.reader(), format!("SELECT CAST(({sql}) AS bigint) AS n"), []).await.unwrap();
        rows[0].try_get("", "n").unwrap()
    }

    /// Waits until a number is as wanted.
    pub async fn until_number(&self, sql: &str, wanted: i64) {
        let started = tokio::time::Instant::now();
        loop {
            let found = self.number(sql).await;
            if found == wanted {
                return;
            }
            assert!(started.elapsed() < DEADLINE, "waited in vain: {sql} is {found}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The ledger says what the payments say, and every movement balances.
    pub async fn books_balance(&self) {
        let unbalanced = "SELECT count(*) FROM (SELECT movement FROM ledger_entries GROUP BY movement
            HAVING sum(debit_minor) <> sum(credit_minor) OR count(*) <> 2) AS m";
        assert_eq!(self.number(unbalanced).await, 0);
        for (column, side) in [("captured_minor", "credit_minor"), ("refunded_minor", "debit_minor")] {
            let off = format!(
                "SELECT count(*) FROM payments p WHERE p.{column} <> (SELECT coalesce(sum(l.{side}), 0)
                 FROM ledger_entries l WHERE l.payment_id = p.id AND l.account = 'customer')"
            );
            assert_eq!(self.number(&off).await, 0, "{column} differs from the ledger");
        }
    }
}

/// A step worker at work.
pub struct Running {
    shutdown: Shutdown,
    task: JoinSet<anyhow::Result<()>>,
}

impl Running {
    /// Stops it in order.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        self.task.join_next().await.unwrap().unwrap().unwrap();
    }

    /// Cuts it off, as a crash would.
    pub async fn kill(mut self) {
        self.task.shutdown().await;
    }
}

/// How the provider is asked here: often, and not for long.
pub fn steps() -> StepSettings {
    let patience = Patience { first: Duration::from_millis(5), longest: Duration::from_millis(40), refusals_max: 3 };
    StepSettings { provider_timeout: PROVIDER_TIMEOUT, patience, give_up: GIVE_UP }
}

/// The amount of every booking here.
pub fn price() -> Money {
    eur(2500)
}

/// Euro cents.
pub fn eur(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("EUR").unwrap()).unwrap()
}

/// A fact as it comes from the log.
pub fn fact<M: Message + Name>(id: BookingId, payload: &M) -> Fact {
    let envelope = NewFact::of(id.0, 1, payload).envelope(FactId::new(), SystemClock.now());
    Fact::decode(&envelope, Default::default()).unwrap()
}

pub fn held(id: BookingId, customer: &str) -> booking::BookingHeld {
    booking::BookingHeld {
        booking_id: id.to_string(),
        event_id: Uuid::now_v7().to_string(),
        customer_id: customer.to_owned(),
        total: Some(price().into()),
        expires_at: None,
    }
}

pub fn pay(id: BookingId, attempt: u32, token: &str) -> booking::PaymentRequested {
    let (booking_id, payment_token) = (id.to_string(), token.to_owned());
    booking::PaymentRequested { booking_id, attempt, amount: Some(price().into()), payment_token }
}

pub fn confirmed(id: BookingId, attempt: u32) -> booking::BookingConfirmed {
    booking::BookingConfirmed { booking_id: id.to_string(), attempt, amount: Some(price().into()) }
}

pub fn void(id: BookingId, attempt: u32) -> booking::VoidRequested {
    booking::VoidRequested { booking_id: id.to_string(), attempt, reason: "seats gone".to_owned() }
}

pub fn give_back(id: BookingId, refund: RefundId, amount_minor: i64) -> booking::RefundRequested {
    booking::RefundRequested {
        booking_id: id.to_string(),
        refund_id: refund.to_string(),
        amount: Some(eur(amount_minor).into()),
        reason: "cancelled".to_owned(),
    }
}

pub fn expired(id: BookingId) -> booking::BookingExpired {
    booking::BookingExpired { booking_id: id.to_string() }
}

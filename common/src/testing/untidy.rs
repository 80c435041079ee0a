//! A producer whose facts about one aggregate are told as untidily as a log can tell them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use prost::{Message, Name};
use uuid::Uuid;

use crate::bus::Bus;
use crate::clock::from_micros;
use crate::db::Db;
use crate::fact::NewFact;
use crate::ids::FactId;
use crate::inbox::{Consumer, ConsumerParts, ConsumerSettings, FactHandler, FactSource, HeadsTold};
use crate::lease::Leases;
use crate::proto::common::v1::FactRecord;

/// How often all of it is told before it must have been taken in.
const TELLINGS: usize = 100;

/// How facts come: once and in order; or 1 to 5 times each, in any order, by a seed.
#[derive(Debug, Clone, Copy)]
pub enum Telling {
    /// Once, in order.
    Plain,
    /// Drawn from this seed.
    Noisy(u64),
}

/// Numbers that look random and are the same for a seed.
#[derive(Debug)]
pub struct Draw(u64);

impl Draw {
    /// From a seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    ///
    /// # Panics
    /// When `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        // Knuth's constants; its high bits are random enough to shuffle by.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// 1 to 5 copies of each, shuffled.
    pub fn untidy<T: Clone>(&mut self, told: &[T]) -> Vec<T> {
        let mut copies: Vec<T> = told.iter().flat_map(|one| vec![one.clone(); 1 + self.below(5)]).collect();
        for at in (1..copies.len()).rev() {
            copies.swap(at, self.below(at + 1));
        }
        copies
    }
}

/// What a producer has told about one aggregate so far.
pub struct Producer {
    aggregate: Uuid,
    facts: Mutex<Vec<FactRecord>>,
    draw: Option<Mutex<Draw>>,
}

/// Who takes it in.
pub struct Taker {
    db: Db,
    producer: Arc<Producer>,
    consumer: Arc<Consumer>,
}

impl Producer {
    /// Nothing is told yet.
    pub fn of(aggregate: Uuid, telling: Telling) -> Arc<Self> {
        let draw = match telling {
            Telling::Plain => None,
            Telling::Noisy(seed) => Some(Mutex::new(Draw::of(seed))),
        };
        Arc::new(Self { aggregate, facts: Mutex::default(), draw })
    }

    /// Tells the aggregate's next fact.
    pub fn tells<M: Message + Name>(&self, payload: &M) {
        let mut facts = self.facts.lock().expect("no holder panics");
        let sequence = i64::try_from(facts.len() + 1).unwrap_or(i64::MAX);
        let value = NewFact::of(self.aggregate, sequence, payload).envelope(FactId::new(), from_micros(0)).into();
        facts.push(FactRecord { value, headers: vec![] });
    }

    /// The inbox of `consumer`, as it takes this in.
    pub fn told_to(
        self: &Arc<Self>,
        db: &Db,
        consumer: &'static str,
        (name, topic): (&'static str, &'static str),
        handler: Arc<dyn FactHandler>,
    ) -> Taker {
        let parts = ConsumerParts {
            db: db.clone(),
            bus: Bus::new("127.0.0.1:1"),
            leases: Arc::new(Leases::new(db.clone(), "test".into(), Duration::from_secs(30), vec![])),
            handler,
            source: self.clone(),
            settings: ConsumerSettings::default(),
        };
        Taker { db: db.clone(), producer: self.clone(), consumer: Consumer::new(consumer, name, topic, parts) }
    }
}

impl Taker {
    /// Tells everything, again and again, until all of it was taken in.
    ///
    /// # Panics
    /// When it never is.
    pub async fn takes_all(&self) {
        let sql = "SELECT CAST(coalesce(max(sequence), 0) AS bigint) AS n FROM watermarks WHERE aggregate_id = $1";
        let aggregate = self.producer.aggregate;
        let told = i64::try_from(self.producer.facts.lock().expect("no holder panics").len()).unwrap_or(i64::MAX);
        for _ in 0..TELLINGS {
            self.consumer.ask(aggregate).await.expect("what is told can be taken in");
            let rows = self.db.query(self.db.reader(), sql, [aggregate.into()]).await.expect("watermarks can be read");
            let taken: i64 = rows[0].try_get("", "n").expect("a number");
            if taken == told {
                return;
            }
        }
        panic!("{told} facts of {aggregate} were never all taken in");
    }
}

#[async_trait]
impl FactSource for Producer {
    async fn of_aggregate(&self, _: Uuid, _: i64) -> anyhow::Result<(Vec<FactRecord>, bool)> {
        let facts = self.facts.lock().expect("no holder panics").clone();
        let told = self.draw.as_ref().map(|draw| draw.lock().expect("no holder panics").untidy(&facts));
        // "More" as long as it brings news: the next page is another shuffle.
        Ok((told.unwrap_or(facts), true))
    }

    async fn after_position(&self, _: i64) -> anyhow::Result<(Vec<FactRecord>, i64, bool)> {
        anyhow::bail!("not asked in these tests")
    }

    async fn heads(&self, _: &str, _: Duration) -> anyhow::Result<HeadsTold> {
        anyhow::bail!("not asked in these tests")
    }
}

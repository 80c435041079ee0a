//! Starts everything a service needs to tell its facts and take in others': topics, leases, relay, consumers, housekeeping.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::bus::{Bus, BusError};
use crate::db::Db;
use crate::error::chain;
use crate::inbox::{self, Consumer, ConsumerParts, ConsumerSettings, FactHandler, FactSource};
use crate::lease::{self, Leases};
use crate::outbox::{self, Outbox, Relay};
use crate::runtime::{Shutdown, Tasks};
use crate::tables::PARTITIONS;
use crate::{requests, telemetry};

/// How often old rows are deleted and gauges set.
const HOUSEKEEPING: Duration = Duration::from_secs(15);
/// Pause between attempts to reach the broker at start.
const TOPIC_PAUSE: Duration = Duration::from_millis(500);

/// Where and as whom messages flow.
pub struct Settings {
    /// Where the log is.
    pub bus: Bus,
    /// This process's name in leases.
    pub owner: String,
    /// How long a lease lasts without renewal.
    pub lease: Duration,
    /// How consumers work.
    pub consumer: ConsumerSettings,
}

/// Another service's facts to take in.
pub struct Intake {
    /// Who tells, for instance `payment`.
    pub producer: &'static str,
    /// On which topic.
    pub topic: &'static str,
    /// What to do with them.
    pub handler: Arc<dyn FactHandler>,
    /// Whom to ask for missing ones.
    pub source: Arc<dyn FactSource>,
}

/// Starts the tasks and returns one consumer per intake, in order, for asking.
pub fn start(
    tasks: &mut Tasks,
    db: &Db,
    outbox: &Outbox,
    service: &'static str,
    intakes: Vec<Intake>,
    settings: Settings,
) -> Vec<Arc<Consumer>> {
    let bus = settings.bus;
    let partitions = 0..PARTITIONS;
    let mut names: Vec<String> = partitions.clone().map(outbox::relay_lease_name).collect();
    for intake in &intakes {
        names.extend(partitions.clone().map(|p| inbox::lease_name(intake.topic, p)));
    }
    let leases = Arc::new(Leases::new(db.clone(), settings.owner, settings.lease, names));

    let keeper = leases.clone();
    let shutdown = tasks.shutdown();
    tasks.spawn(format!("{service} leases"), async move { keeper.keep(shutdown).await });

    let relay = Relay::new(outbox.clone(), &bus, leases.clone());
    let (topic, shutdown) = (Topic::new(&bus, outbox.topic()), tasks.shutdown());
    tasks.spawn(format!("{service} relay"), async move {
        topic.ready(&shutdown).await?;
        relay.run(shutdown).await
    });

    let mut consumers = Vec::new();
    for intake in intakes {
        let parts = ConsumerParts {
            db: db.clone(),
            bus: bus.clone(),
            leases: leases.clone(),
            handler: intake.handler,
            source: intake.source,
            settings: settings.consumer.clone(),
        };
        let consumer = Consumer::new(service, intake.producer, intake.topic, parts);
        let topic = Arc::new(Topic::new(&bus, intake.topic));
        for partition in partitions.clone() {
            let (consumer, topic, shutdown) = (consumer.clone(), topic.clone(), tasks.shutdown());
            tasks.spawn(format!("{service} consumer of {} {partition}", intake.topic), async move {
                topic.ready(&shutdown).await?;
                consumer.run_partition(partition, shutdown).await
            });
        }
        tasks.spawn(format!("{service} catch-up with {}", intake.producer), {
            let (consumer, shutdown) = (consumer.clone(), tasks.shutdown());
            consumer.run_catch_up(shutdown)
        });
        tasks.spawn(format!("{service} comparison with {}", intake.producer), {
            let (consumer, shutdown) = (consumer.clone(), tasks.shutdown());
            consumer.run_comparison(shutdown)
        });
        consumers.push(consumer);
    }

    tasks.spawn(format!("{service} housekeeping"), housekeeping(db.clone(), outbox.clone(), service, tasks.shutdown()));
    consumers
}

/// A topic that several tasks wait for, and one of them makes.
struct Topic {
    bus: Bus,
    name: &'static str,
    made: OnceCell<()>,
}

impl Topic {
    fn new(bus: &Bus, name: &'static str) -> Self {
        Self { bus: bus.clone(), name, made: OnceCell::new() }
    }

    /// Waits until the topic is there with the right number of partitions, or for shutdown.
    async fn ready(&self, shutdown: &Shutdown) -> anyhow::Result<()> {
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            made = self.made.get_or_try_init(|| self.make()) => made.map(drop),
        }
    }

    async fn make(&self) -> anyhow::Result<()> {
        loop {
            match self.bus.ensure_topic(self.name, PARTITIONS).await {
                Ok(()) => return Ok(()),
                Err(error @ BusError::Partitions { .. }) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(topic = self.name, error = %chain(&error), "waiting for the broker");
                    tokio::time::sleep(TOPIC_PAUSE).await;
                }
            }
        }
    }
}

async fn housekeeping(db: Db, outbox: Outbox, service: &'static str, shutdown: Shutdown) -> anyhow::Result<()> {
    while !shutdown.is_cancelled() {
        if let Err(error) = tidy(&db, &outbox, service).await {
            tracing::warn!(service, %error, "housekeeping failed");
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(HOUSEKEEPING) => {}
        }
    }
    Ok(())
}

async fn tidy(db: &Db, outbox: &Outbox, service: &'static str) -> Result<(), sea_orm::DbErr> {
    let (waiting, oldest_seconds) = outbox.backlog().await?;
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    telemetry::set_gauge("eventix_outbox_unpublished", service, "facts", waiting as f64);
    telemetry::set_gauge("eventix_outbox_oldest_seconds", service, "facts", oldest_seconds);
    for (gauge, sql) in [
        ("eventix_parked_facts", "SELECT CAST(count(*) AS bigint) AS n FROM parked"),
        ("eventix_open_dead_letters", "SELECT CAST(count(*) AS bigint) AS n FROM dead_letters WHERE status = 'open'"),
    ] {
        let rows = db.query(db.reader(), sql, []).await?;
        let n: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "n"))?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        telemetry::set_gauge(gauge, service, "facts", n as f64);
    }
    requests::forget_old(db).await?;
    outbox.clean().await?;
    inbox::clean(db).await?;
    lease::clean(db).await?;
    Ok(())
}

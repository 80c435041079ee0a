//! A mesh with something to sell: what fault tests run their courses on, one fault after the other.

use std::time::{Duration, Instant};

use common::bus::{Bus, Outgoing};
use common::failpoint::{Point, Strike};

use crate::client::Shop;
use crate::flows::Flow;
use crate::harness::mesh::{Mesh, Plan, Service};
use crate::harness::{eventually, text};
use crate::stage::{Event, Hall};

/// Longest time until a process passes the point at which it is to die.
const STRIKE: Duration = Duration::from_secs(90);

/// What is done to the broker before a course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upset {
    Nothing,
    /// It loses its log.
    Wipe,
    /// A topic gets a record that is no fact.
    Poison(&'static str),
}

/// A running mesh, its shop, and an event.
pub struct Lane {
    /// The processes.
    pub mesh: Mesh,
    /// A frontend's view of them.
    pub shop: Shop,
    /// Where events take place.
    pub hall: Hall,
    /// One that is on sale.
    pub event: Event,
}

/// The mesh's patience is short, so that tests do not wait long for what heals by itself.
pub fn impatient(plan: Plan) -> Plan {
    plan.with("EVENTIX_BOOKING__WAITING", "2s")
        .with("EVENTIX_PAYMENT__WAITING", "2s")
        .with("EVENTIX_CATALOG__LEASE", "2s")
        .with("EVENTIX_BOOKING__LEASE", "2s")
        .with("EVENTIX_PAYMENT__LEASE", "2s")
        .with("EVENTIX_PAYMENT__PROVIDER__TIMEOUT", "1s")
        .with("EVENTIX_PAYMENT__RETRY_LONGEST", "1s")
        .with("EVENTIX_PAYMENT__REFUSALS_MAX", "2")
        .with("EVENTIX_PAYMENT__CALLBACK__LISTEN", "127.0.0.1:0")
}

/// The same with holds that lapse while a test looks on.
pub fn hasty(plan: Plan) -> Plan {
    impatient(plan).with("EVENTIX_BOOKING__HOLD", "3s").with("EVENTIX_BOOKING__GRACE", "2s")
}

impl Lane {
    /// Starts a mesh and puts an event on sale.
    pub async fn open(plan: Plan) -> Self {
        let mut mesh = Mesh::start(plan).await;
        let shop = Shop::at(mesh.http());
        let hall = Hall::build(&shop).await;
        let event = hall.event(&shop).await;
        Self { mesh, shop, hall, event }
    }

    /// Runs a course on the healthy mesh.
    pub async fn run(&self, flow: Flow, user: &str) {
        flow.run(&self.shop, &self.hall, &self.event, user).await;
    }

    /// Runs a course in which a process dies at a point, is started again, and everything comes to its end; returns how
    /// long that took from the death on.
    pub async fn run_killing(
        &mut self,
        flow: Flow,
        upset: Upset,
        service: Service,
        point: &Point,
        user: &str,
    ) -> Duration {
        self.mesh.node(service).failpoints.arm(point, Strike::Kill).unwrap();
        self.upset(upset).await;
        let Self { mesh, shop, hall, event } = self;
        let node = mesh.node(service);
        let death = async {
            let status = node.end().await;
            let died = Instant::now();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{point}: {status}");
            node.start().await;
            died
        };
        let course = Box::pin(flow.run(shop, hall, event, user));
        let (died, ()) = tokio::join!(tokio::time::timeout(STRIKE, death), course);
        let died = died.unwrap_or_else(|_| panic!("{point} of {flow:?} was never passed"));
        assert!(self.mesh.node(service).failpoints.has_struck(point), "{point} did not strike");
        died.elapsed()
    }

    /// Does something to the broker.
    async fn upset(&mut self, upset: Upset) {
        match upset {
            Upset::Nothing => {}
            Upset::Wipe => {
                self.until_read(Service::Booking, "eventix.payment.v1").await;
                self.until_read(Service::Payment, "eventix.booking.v1").await;
                self.mesh.broker.kill().await;
                self.mesh.broker.lose_data();
                self.mesh.broker.resume().await;
            }
            Upset::Poison(topic) => {
                let garbage = Outgoing { key: Vec::new(), value: vec![0xff; 99], headers: Default::default() };
                let bus = Bus::new(&self.mesh.broker.addr.to_string());
                bus.producer(topic).produce(0, vec![garbage]).await.unwrap();
            }
        }
    }

    /// Waits until a consumer has read from a topic's log: who has read nothing cannot know one log from another.
    async fn until_read(&self, service: Service, topic: &str) {
        let sql = format!(
            "SELECT CAST(count(*) AS bigint) AS n FROM consumer_offsets WHERE topic = '{topic}' AND next_offset > 0"
        );
        eventually(&format!("{} has read from {topic}", service.name()), STRIKE, async || {
            (self.mesh.databases.count(service, &sql).await > 0).then_some(())
        })
        .await;
    }

    /// `eventix audit` finds every invariant whole, in all four databases.
    pub async fn assert_clean(&self, after: &str) {
        let output = self.mesh.command(&["audit"]).await;
        let said = text(&output.stdout);
        assert!(output.status.success(), "after {after}: {said}{}", text(&output.stderr));
        assert!(!said.contains("ledger is not here"), "the provider's ledger was not looked at: {said}");
    }
}

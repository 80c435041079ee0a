//! Many clients at once on PostgreSQL, with lapsing holds, late authorisations and sweepers among them: locks are taken in one
//! order everywhere, so nobody deadlocks, and no hold is partial.

use std::sync::Arc;
use std::time::{Duration, Instant};

use booking::application::sweep;
use booking::infrastructure::store::{HoldOutcome, TransitionError};
use common::ids::BookingId;
use common::testing::{TestDb, everything};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::sale::Sale;
use crate::world::{GRACE, HOLD, World};

const CLIENTS: u64 = 500;
/// Visits of each client at least; all of them together go on for as long as [`lasting`] says.
const ROUNDS: u64 = 4;
const SEATS: usize = 120;
const CONNECTIONS: u32 = 24;
/// Clients that are served at once; more would only queue for connections.
const ACTIVE: usize = 64;

/// Small and repeatable: the numbers of a client are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n as u64).unwrap()
    }

    /// Two to eight different seats in random order.
    fn seats(&mut self) -> Vec<usize> {
        let wanted = 2 + self.below(7);
        let mut seats = Vec::new();
        while seats.len() < wanted {
            let seat = self.below(SEATS);
            if !seats.contains(&seat) {
                seats.push(seat);
            }
        }
        seats
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_clients_in_random_order_never_deadlock_on_postgres() {
    let world = Arc::new(World::crowded(TestDb::postgres().await, CONNECTIONS).await);
    let sale = world.sale(SEATS, &[60, 40]).await;
    let active = Arc::new(Semaphore::new(ACTIVE));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (world, sale, active) = (world.clone(), sale.clone(), active.clone());
        clients.spawn(async move {
            let (began, mut held) = (Instant::now(), 0);
            for round in (0..).take_while(|round| *round < ROUNDS || began.elapsed() < lasting()) {
                let _active = active.acquire().await.unwrap();
                held += u32::from(visit(&world, &sale, client, round).await);
            }
            held
        });
    }
    let mut sweepers = JoinSet::new();
    for _ in 0..2 {
        let world = world.clone();
        sweepers.spawn(async move {
            loop {
                sweep::end_lapsed(&world.store).await.unwrap();
                tokio::time::sleep(Duration::from_millis(30)).await;
                world.pass(HOLD / 16);
            }
        });
    }

    // A deadlock (40P01) or any other failure of the database is a panic of its client or sweeper.
    let held: u32 = clients.join_all().await.into_iter().sum();
    if let Some(ended) = sweepers.try_join_next() {
        ended.expect("sweepers only end by failing");
    }
    sweepers.shutdown().await;

    assert!(held > 50, "only {held} holds came about");
    world.pass(HOLD + GRACE);
    world.sweep().await;
    world.audit().await;
    assert_eq!(deadlocks(&world).await, 0);
}

/// A minute in the full run.
fn lasting() -> Duration {
    if everything() { Duration::from_secs(60) } else { Duration::ZERO }
}

/// One hold and what comes of it; true when it came about.
async fn visit(world: &World, sale: &Sale, client: u64, round: u64) -> bool {
    let mut dice = Dice(client * 1000 + round);
    dice.below(2);
    let customer = format!("client {client}");
    let places = [u32::from(dice.below(3) == 0), u32::from(dice.below(3) == 0)];
    let seats = dice.seats();
    let booking = match world.hold(sale, &customer, &seats, &places).await {
        HoldOutcome::Held(stored) => stored.booking.id,
        HoldOutcome::SeatsTaken(lost) => {
            assert!(!lost.is_empty());
            return false;
        }
        HoldOutcome::SoldOut(_) => return false,
        other => panic!("{other:?}"),
    };
    match dice.below(6) {
        0 | 1 => refusable(world.release(&customer, booking).await),
        2 => {
            refusable(world.pay(&customer, booking).await);
            world.declined(booking, 1).await;
        }
        // Authorised at once, or so late that the seats may be gone, in part or as a whole.
        3 | 4 => pay_late(world, &customer, booking, dice.below(3)).await,
        _ => {}
    }
    true
}

async fn pay_late(world: &World, customer: &str, booking: BookingId, graces: usize) {
    refusable(world.pay(customer, booking).await);
    for _ in 0..graces * 20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.authorised(booking, 1).await;
    if graces == 1 {
        refusable(world.cancel(customer, booking).await);
    }
}

/// Time moves while clients act: a refusal is fine, a failure is not.
fn refusable<T: std::fmt::Debug>(answer: Result<T, TransitionError>) {
    if let Err(error) = answer {
        assert!(matches!(error, TransitionError::Refused(_)), "{error:?}");
    }
}

async fn deadlocks(world: &World) -> i64 {
    world.count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()", []).await
}

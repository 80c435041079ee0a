//! Best available against real databases: what is held is what was chosen, also in a crowd.

use std::sync::Arc;

use booking::application::best_available::{self, Boards, Seller, Wish};
use booking::application::hold::{Answer, HoldError};
use booking::application::offers::Offers;
use booking::domain::best_available::{Party, choose};
use booking::domain::hall::Snapshot;
use booking::infrastructure::store::Stored;
use common::error::Refusal;
use common::proto::booking::v1 as proto;
use common::testing::TestDb;
use prost::Message;
use tokio::task::JoinSet;

use crate::sale::Sale;
use crate::world::{HOLD, World, encode};

common::on_both_databases!(
    a_party_gets_the_best_seats_and_the_next_one_the_next_best,
    the_same_request_gives_the_same_seats_whatever_has_happened_since,
    what_cannot_be_had_is_refused_with_its_reason,
    seats_for_wheelchair_users_are_given_to_those_who_ask,
    lapsed_and_released_seats_are_chosen_again,
    an_offer_kept_since_before_rows_were_told_is_fetched_again,
    a_crowd_sells_a_hall_until_nobody_can_be_seated,
);

fn party(quantity: u32) -> Wish {
    Wish { quantity, category: String::new(), accessible: false }
}

async fn in_rows(world: &World, rows: &[u32]) -> Sale {
    let seats: u32 = rows.iter().sum();
    let sale = Sale::new(world.now().await, seats as usize, &[]).in_rows(rows);
    world.put(&sale).await;
    sale
}

/// Where a booking's seats are in the plan.
fn seats(sale: &Sale, stored: &Stored) -> Vec<usize> {
    let at = |seat| sale.seats.iter().position(|known| Some(*known) == seat).unwrap();
    stored.booking.items.iter().map(|item| at(item.seat_id)).collect()
}

async fn a_party_gets_the_best_seats_and_the_next_one_the_next_best(db: TestDb) {
    let world = World::new(db).await;
    let sale = in_rows(&world, &[8, 8]).await;

    let alice = world.best(&sale, "alice", &party(2)).await.unwrap();
    let bob = world.best(&sale, "bob", &party(3)).await.unwrap();

    assert_eq!(seats(&sale, &alice), [3, 4]);
    assert_eq!(seats(&sale, &bob), [10, 11, 12]);
    assert_eq!(alice.booking.total.amount_minor(), 2 * sale.seat_price);
    world.audit().await;
}

async fn the_same_request_gives_the_same_seats_whatever_has_happened_since(db: TestDb) {
    let world = World::new(db).await;
    let sale = in_rows(&world, &[4]).await;
    let key = world.key("alice", "hold-best");
    let first = world.best_under(&sale, "alice", &party(2), key.clone()).await.unwrap();
    let Answer::Held(first) = first else { panic!("answered before") };

    for sold_out in [false, true] {
        if sold_out {
            world.best(&sale, "bob", &party(2)).await.unwrap();
        }
        let again = world.best_under(&sale, "alice", &party(2), key.clone()).await.unwrap();
        let Answer::Replayed(again) = again else { panic!("held twice") };
        let again = proto::Booking::decode(&again[..]).unwrap();
        assert_eq!(again.id, first.booking.id.to_string());
    }
    let other = common::requests::RequestKey { fingerprint: "another request".into(), ..key };
    let refusal = world.best_under(&sale, "alice", &party(1), other).await.err().unwrap();
    assert_eq!(refusal.reason(), "IDEMPOTENCY_CONFLICT");
    world.audit().await;
}

async fn what_cannot_be_had_is_refused_with_its_reason(db: TestDb) {
    let world = World::new(db).await;
    let now = world.now().await;
    let seated = Sale { limit: 4, ..Sale::new(now, 10, &[]) };
    let standing = Sale::new(now, 0, &[10]);
    let over = Sale { sale_ends_at: now, ..Sale::new(now, 5, &[]) };
    for sale in [&seated, &standing, &over] {
        world.put(sale).await;
    }
    let unknown = Sale::new(now, 1, &[]);
    let in_category = |category: &str| Wish { category: category.into(), ..party(1) };

    for (sale, wish, reason, field) in [
        (&seated, party(0), "INVALID_INPUT", Some("quantity")),
        (&seated, party(101), "INVALID_INPUT", Some("quantity")),
        (&seated, in_category("Stalls"), "INVALID_INPUT", Some("category")),
        (&standing, party(1), "INVALID_INPUT", Some("event_id")),
        (&seated, party(5), "LIMIT_EXCEEDED", None),
        (&seated, Wish { accessible: true, ..party(1) }, "SOLD_OUT", Some("quantity")),
        (&over, party(2), "NOT_ON_SALE", Some("event_id")),
        (&unknown, party(1), "NOT_FOUND", Some("event_id")),
    ] {
        let refusal = world.best(sale, "alice", &wish).await.unwrap_err();
        assert_eq!((refusal.reason(), refusal.field().as_deref()), (reason, field), "{wish:?}");
    }
    world.best(&seated, "alice", &in_category("stalls")).await.unwrap();
    let refusal = world.best(&seated, "alice", &party(4)).await.unwrap_err();
    assert!(matches!(refusal, HoldError::LimitExceeded { live: 1, limit: 4 }), "{refusal:?}");
    for customer in ["bob", "carol"] {
        world.best(&seated, customer, &party(4)).await.unwrap();
    }
    assert_eq!(world.best(&seated, "dave", &party(2)).await.unwrap_err().reason(), "SOLD_OUT");
    world.audit().await;
}

async fn seats_for_wheelchair_users_are_given_to_those_who_ask(db: TestDb) {
    let world = World::new(db).await;
    let mut sale = Sale::new(world.now().await, 9, &[]).in_rows(&[6, 3]);
    sale.accessible = sale.seats[6..].to_vec();
    world.put(&sale).await;
    let accessible = Wish { accessible: true, ..party(1) };

    let alice = world.best(&sale, "alice", &accessible).await.unwrap();
    let bob = world.best(&sale, "bob", &party(6)).await.unwrap();

    assert_eq!(seats(&sale, &alice), [8]);
    assert_eq!(seats(&sale, &bob), [0, 1, 2, 3, 4, 5]);
    assert_eq!(world.best(&sale, "carol", &party(1)).await.unwrap_err().reason(), "SOLD_OUT");
}

async fn lapsed_and_released_seats_are_chosen_again(db: TestDb) {
    let world = World::new(db).await;
    let sale = in_rows(&world, &[2]).await;

    let first = world.best(&sale, "alice", &party(2)).await.unwrap();
    world.release("alice", first.booking.id).await.unwrap();
    world.best(&sale, "bob", &party(2)).await.unwrap();
    world.pass(HOLD);
    let third = world.best(&sale, "carol", &party(2)).await.unwrap();

    assert_eq!(seats(&sale, &third), [0, 1]);
    world.sweep().await;
    world.audit().await;
}

async fn an_offer_kept_since_before_rows_were_told_is_fetched_again(db: TestDb) {
    let world = World::new(db).await;
    let told = Sale::new(world.now().await, 6, &[]).in_rows(&[3, 3]);
    let before = Sale { rows: Vec::new(), ..told.clone() };
    world.put(&before).await;
    world.catalog.offer(&before);

    let refusal = world.best(&told, "alice", &party(1)).await.unwrap_err();
    assert_eq!(refusal.reason(), "UNAVAILABLE", "catalog of the version before does not tell rows");
    world.held(&told, "alice", &[0], &[]).await;
    world.catalog.offer(&told);
    let held = world.best(&told, "alice", &party(3)).await.unwrap();

    assert_eq!(seats(&told, &held), [3, 4, 5]);
    let fetches = world.catalog.fetches.load(std::sync::atomic::Ordering::SeqCst);
    world.best(&told, "alice", &party(1)).await.unwrap();
    assert_eq!(world.catalog.fetches.load(std::sync::atomic::Ordering::SeqCst), fetches);
    let stored = world.another_store().await.offer(told.event, 1).await.unwrap().unwrap();
    assert!(stored.hall.is_some(), "kept for other processes, too");
}

const CROWD: u32 = 200;

async fn a_crowd_sells_a_hall_until_nobody_can_be_seated(db: TestDb) {
    let world = Arc::new(World::new(db).await);
    let sale = in_rows(&world, &[30; 12]).await;

    let held = crowd(&world, &sale, &[(world.store.clone(), world.offers.clone())]).await;

    assert!(held > 300, "{held} of 360 seats were held");
    nobody_can_be_seated(&world, &sale).await;
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_choose_alike_and_sell_a_hall_all_the_same() {
    let world = Arc::new(World::crowded(TestDb::postgres().await, 12).await);
    let sale = in_rows(&world, &[30; 12]).await;
    let other = Arc::new(world.another_store().await);
    let processes = [
        (world.store.clone(), world.offers.clone()),
        (other.clone(), Arc::new(Offers::new(other, world.catalog.clone()))),
    ];

    let held = crowd(&world, &sale, &processes).await;

    assert!(held > 300, "{held} of 360 seats were held");
    nobody_can_be_seated(&world, &sale).await;
    world.audit().await;
}

type Process = (Arc<booking::infrastructure::store::Store>, Arc<Offers>);

/// Parties of two to four in all processes at once, as many as there are; returns the seats held. Any refusal but SOLD_OUT
/// fails its caller.
async fn crowd(world: &Arc<World>, sale: &Sale, processes: &[Process]) -> u32 {
    let mut callers = JoinSet::new();
    let boards: Vec<Arc<Boards>> = processes.iter().map(|_| Arc::new(Boards::new())).collect();
    for n in 0..CROWD {
        let process = n as usize % processes.len();
        let ((store, offers), boards) = (processes[process].clone(), boards[process].clone());
        let (sale, world) = (sale.clone(), world.clone());
        callers.spawn(async move {
            let (customer, wish) = (format!("customer {n}"), party(2 + n % 3));
            let seller = Seller { store: &store, offers: &offers, boards: &boards };
            let key = world.key(&customer, "hold-best");
            match best_available::hold_best(&seller, &customer, sale.event, &wish, key, &encode).await {
                Ok(_) => wish.quantity,
                Err(refusal) => {
                    assert_eq!(refusal.reason(), "SOLD_OUT", "{refusal}");
                    0
                }
            }
        });
    }
    callers.join_all().await.into_iter().sum()
}

/// Whoever was told that nothing is left, was told the truth: two cannot be seated together.
async fn nobody_can_be_seated(world: &World, sale: &Sale) {
    let offer = sale.fetched().offer;
    let taken = world.store.taken(&offer).await.unwrap();
    let snapshot = Snapshot { hall: offer.hall.as_ref().unwrap(), taken: &taken };
    let two = Party::new(2, "", false, &offer).unwrap();
    assert_eq!(choose(&snapshot, &two), None);
}

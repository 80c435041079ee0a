//! Histories of bookings and seats, on both databases.

use booking::infrastructure::store::{HistoryPage, HistoryRow};
use common::ids::{EventId, SeatId};
use common::testing::TestDb;

use crate::world::{HOLD, World};

common::on_both_databases!(
    a_bookings_history_says_what_happened_why_and_by_whom,
    a_seats_history_goes_through_all_bookings_that_had_it,
);

const ALL: HistoryPage = HistoryPage { after: 0, limit: 100 };

fn steps(rows: &[HistoryRow]) -> Vec<(&str, &str)> {
    rows.iter().map(|row| (row.from.as_str(), row.to.as_str())).collect()
}

async fn a_bookings_history_says_what_happened_why_and_by_whom(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0], &[]).await;
    world.held(&sale, "bob", &[1], &[]).await;
    world.cancel("alice", booking).await.unwrap();

    let rows = world.store.booking_history(booking, ALL).await.unwrap();
    let rest = HistoryPage { after: rows[1].position, limit: 1 };
    let rest = world.store.booking_history(booking, rest).await.unwrap();

    let expected = [("", "HELD"), ("HELD", "PAYING"), ("PAYING", "CONFIRMED"), ("CONFIRMED", "CANCELLED")];
    assert_eq!(steps(&rows), expected);
    let why: Vec<_> = rows.iter().map(|row| (row.cause.as_str(), row.actor.as_str())).collect();
    assert_eq!(why, [("hold", "alice"), ("pay", "alice"), ("PaymentAuthorised", "saga"), ("cancel", "alice")]);
    assert!(rows.iter().all(|row| row.booking_id == booking));
    assert!(rows.is_sorted_by_key(|row| row.at));
    assert_eq!(rest, rows[2..3]);
}

async fn a_seats_history_goes_through_all_bookings_that_had_it(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let first = world.held(&sale, "alice", &[0, 1], &[]).await;
    world.pass(HOLD);
    world.sweep().await;
    let second = world.confirmed(&sale, "bob", &[0], &[]).await;
    world.held(&sale, "carol", &[1], &[]).await;

    let rows = world.store.seat_history(sale.event, sale.seats[0], ALL).await.unwrap();
    let elsewhere = world.store.seat_history(EventId::new(), sale.seats[0], ALL).await.unwrap();

    let expected = [("", "HELD"), ("HELD", "EXPIRED"), ("", "HELD"), ("HELD", "PAYING"), ("PAYING", "CONFIRMED")];
    assert_eq!(steps(&rows), expected);
    let bookings: Vec<_> = rows.iter().map(|row| row.booking_id).collect();
    assert_eq!(bookings, [first, first, second, second, second]);
    assert!(elsewhere.is_empty());
    assert!(world.store.knows_seat(sale.event, sale.seats[0]).await.unwrap());
    assert!(!world.store.knows_seat(sale.event, SeatId::new()).await.unwrap());
}

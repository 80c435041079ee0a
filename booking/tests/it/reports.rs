//! Sales reports equal a recount: of claims and tickets for places, of bookings and of what payment moved for money.

use std::collections::BTreeMap;

use booking::infrastructure::store::{HoldOutcome, Listing, RefundState, Sales, SalesReport, TransitionError};
use common::ids::{BookingId, EventId};
use common::proto::payment::v1::{PaymentCaptured, PaymentStuck};
use common::testing::{TestDb, everything};

use crate::crowd::Dice;
use crate::sale::{PLACE_PRICE, SEAT_PRICE, Sale};
use crate::world::{GRACE, HOLD, World};

common::on_both_databases!(
    a_report_tells_places_and_money_of_each_category_and_area,
    a_refund_that_is_stuck_stays_counted,
    a_report_equals_a_recount_after_any_history,
    what_is_not_on_offer_has_no_report,
);

/// Stalls of four seats, a balcony of three, and two areas of five and four places.
async fn house(world: &World) -> Sale {
    let mut sale = Sale::new(world.now().await, 7, &[5, 4]);
    sale.categories = vec![("stalls", 4), ("balcony", 3)];
    world.put(&sale).await;
    sale
}

async fn report(world: &World, sale: &Sale) -> SalesReport {
    world.store.sales_report(sale.event).await.unwrap().unwrap()
}

async fn captured(world: &World, booking: BookingId) {
    let amount = Some(world.find(booking).await.booking.total.into());
    world.told(booking, &PaymentCaptured { booking_id: booking.to_string(), attempt: 1, amount }).await.unwrap();
}

async fn a_report_tells_places_and_money_of_each_category_and_area(db: TestDb) {
    let world = World::new(db).await;
    let sale = house(&world).await;
    let mixed = world.confirmed(&sale, "alice", &[0, 1, 4], &[2, 0]).await;
    captured(&world, mixed).await;
    world.refund(mixed, &[1], Some(1000)).await.unwrap();
    let failed = world.confirmed(&sale, "bob", &[2], &[]).await;
    world.capture_failed(failed, 1).await;
    world.held(&sale, "carol", &[2, 5], &[1, 3]).await;

    let told = report(&world, &sale).await;

    let line =
        |sold, held, total, gross_minor, refunded_minor| Sales { sold, held, total, gross_minor, refunded_minor };
    let categories: Vec<_> = told.categories.iter().map(|(name, sales)| (name.as_ref(), *sales)).collect();
    assert_eq!(
        categories,
        [("stalls", line(1, 1, 4, 2 * SEAT_PRICE, 1000)), ("balcony", line(1, 1, 3, SEAT_PRICE, 0)),]
    );
    let areas: Vec<_> = told.areas.iter().map(|(_, _, sales)| *sales).collect();
    assert_eq!(areas, [line(2, 1, 5, 2 * PLACE_PRICE, 0), line(0, 3, 4, 0, 0)]);
    assert_eq!(told.total(), line(4, 6, 16, 3 * SEAT_PRICE + 2 * PLACE_PRICE, 1000));
    assert_eq!((told.total().free(), told.refund_pending_minor, told.currency.as_str()), (6, 1000, "EUR"));
}

async fn a_refund_that_is_stuck_stays_counted(db: TestDb) {
    let world = World::new(db).await;
    let sale = house(&world).await;
    let booking = world.confirmed(&sale, "alice", &[0], &[]).await;
    captured(&world, booking).await;
    world.cancel("alice", booking).await.unwrap();
    let refund = world.find(booking).await.refunds[0].clone();
    let stuck = PaymentStuck {
        booking_id: booking.to_string(),
        step: "refund".into(),
        refund_id: refund.id.to_string(),
        reason: "refused".into(),
    };

    world.told(booking, &stuck).await.unwrap();
    let told = report(&world, &sale).await;
    assert_eq!((told.total().sold, told.total().refunded_minor), (0, SEAT_PRICE));
    assert_eq!((told.refund_pending_minor, told.refund_stuck_minor), (0, SEAT_PRICE));

    world.refunded(booking, refund.id, refund.amount).await;
    let healed = report(&world, &sale).await;
    assert_eq!((healed.total().refunded_minor, healed.refund_stuck_minor), (SEAT_PRICE, 0));
}

async fn what_is_not_on_offer_has_no_report(db: TestDb) {
    let world = World::new(db).await;

    assert_eq!(world.store.sales_report(EventId::new()).await.unwrap(), None);
}

/// Money as payment moved it.
#[derive(Default)]
struct Till {
    taken: BTreeMap<BookingId, i64>,
    given_back_minor: i64,
}

async fn a_report_equals_a_recount_after_any_history(db: TestDb) {
    let world = World::new(db).await;
    for seed in 1..=if everything() { 10 } else { 2 } {
        println!("seed {seed}");
        let (sale, mut dice, mut till) = (house(&world).await, Dice(seed), Till::default());
        for step in 0..40 {
            something_happens(&world, &sale, &mut dice, &mut till, step).await;
        }
        world.audit().await;
        recount(&world, &sale, &till).await;

        world.pass(HOLD + GRACE);
        world.sweep().await;
        settle(&world, &sale, &mut till, |_| RefundState::Done).await;
        world.audit().await;
        recount(&world, &sale, &till).await;
    }
}

async fn something_happens(world: &World, sale: &Sale, dice: &mut Dice, till: &mut Till, step: usize) {
    let customer = format!("customer {step}");
    let seats: Vec<usize> = (0..7).filter(|_| dice.below(4) == 0).collect();
    let places = [u32::from(dice.below(2) == 0), u32::from(dice.below(3) == 0)];
    if (!seats.is_empty() || places != [0, 0])
        && let HoldOutcome::Held(held) = world.hold(sale, &customer, &seats, &places).await
    {
        sell(world, &customer, held.booking.id, dice, till).await;
    }
    let bookings = bookings(world, sale).await;
    if let Some((booking, owner)) = bookings.get(dice.below(bookings.len().max(1))) {
        take_back(world, *booking, owner, dice).await;
    }
    match dice.below(8) {
        0 => settle(world, sale, till, |n| if n % 3 == 0 { RefundState::Stuck } else { RefundState::Done }).await,
        1 => world.pass(HOLD / 3),
        2 => drop(world.sweep().await),
        _ => {}
    }
}

/// Pays a hold, or not, with one of the outcomes there are.
async fn sell(world: &World, customer: &str, booking: BookingId, dice: &mut Dice, till: &mut Till) {
    let outcome = dice.below(6);
    if outcome == 0 {
        return;
    }
    world.pay(customer, booking).await.unwrap();
    if outcome == 1 {
        return world.declined(booking, 1).await;
    }
    world.authorised(booking, 1).await;
    match outcome {
        2 => world.capture_failed(booking, 1).await,
        3 => {}
        _ => {
            captured(world, booking).await;
            till.taken.insert(booking, world.find(booking).await.booking.total.amount_minor());
        }
    }
}

/// Ends a booking or gives some of its money back; whatever its state forbids is refused.
async fn take_back(world: &World, booking: BookingId, owner: &str, dice: &mut Dice) {
    let items = world.find(booking).await.booking.items.len();
    let done = match dice.below(6) {
        0 => world.cancel(owner, booking).await,
        1 => world.release(owner, booking).await,
        2 => world.refund(booking, &[dice.below(items)], None).await,
        3 => world.refund(booking, &[dice.below(items)], Some(300)).await,
        4 => world.refund(booking, &[], Some(700)).await,
        _ => return,
    };
    if let Err(error) = done {
        assert!(matches!(error, TransitionError::Refused(_)), "{error:?}");
    }
}

/// Has payment answer what is asked for: what was never taken is taken first, as payment waits for that.
async fn settle(world: &World, sale: &Sale, till: &mut Till, answer: impl Fn(usize) -> RefundState) {
    for (booking, _) in bookings(world, sale).await {
        let found = world.find(booking).await;
        let sold = found.booking.state.name() == "CONFIRMED" || !found.refunds.is_empty();
        if sold && !till.taken.contains_key(&booking) {
            captured(world, booking).await;
            till.taken.insert(booking, found.booking.total.amount_minor());
        }
        for (n, refund) in found.refunds.iter().enumerate().filter(|(_, refund)| refund.state != RefundState::Done) {
            if answer(n) == RefundState::Done {
                world.refunded(booking, refund.id, refund.amount).await;
                till.given_back_minor += refund.amount.amount_minor();
            } else {
                let (booking_id, refund_id) = (booking.to_string(), refund.id.to_string());
                let stuck = PaymentStuck { booking_id, step: "refund".into(), refund_id, reason: "refused".into() };
                world.told(booking, &stuck).await.unwrap();
            }
        }
    }
}

async fn bookings(world: &World, sale: &Sale) -> Vec<(BookingId, String)> {
    let listing = Listing { customer: None, event: Some(sale.event), state: None, before: None, limit: 1000 };
    let found = world.store.list(&listing).await.unwrap();
    found.into_iter().map(|stored| (stored.booking.id, stored.booking.customer_id)).collect()
}

/// Counts everything again, from other sources than the report.
async fn recount(world: &World, sale: &Sale, till: &Till) {
    let told = report(world, sale).await;
    let states = world.store.seat_states(sale.event).await.unwrap().unwrap();
    let seats = |which: std::ops::Range<usize>, state: u8| {
        u32::try_from(states.seats[which].iter().filter(|seat| **seat == state).count()).unwrap()
    };
    for ((_, line), which) in told.categories.iter().zip([0..4, 4..7]) {
        assert_eq!((line.held, line.sold), (seats(which.clone(), 1), seats(which, 2)));
    }
    for (area, _, line) in &told.areas {
        assert_eq!(line.free(), states.areas[area]);
    }

    let (mut gross, mut refunded, mut tickets) = (0, 0, 0);
    for (id, _) in bookings(world, sale).await {
        let found = world.find(id).await;
        tickets += found.tickets.iter().filter(|ticket| !ticket.void).count();
        let prices: i64 = found.booking.items.iter().map(|item| item.price.amount_minor()).sum();
        let promised = if found.booking.state.name() == "CONFIRMED" { prices } else { 0 };
        let counts = till.taken.get(&id).copied().unwrap_or(promised);
        gross += counts;
        if counts > 0 {
            refunded += found.refunds.iter().map(|refund| refund.amount.amount_minor()).sum::<i64>();
        }
    }
    let total = told.total();
    assert_eq!((total.gross_minor, total.refunded_minor), (gross, refunded));
    assert_eq!(total.refunded_minor - told.refund_pending_minor - told.refund_stuck_minor, till.given_back_minor);
    assert_eq!(total.sold as usize, tickets, "every sold place has a valid ticket");
    let by_category: i64 = told.categories.iter().map(|(_, line)| line.gross_minor).sum();
    let by_area: i64 = told.areas.iter().map(|(_, _, line)| line.gross_minor).sum();
    assert_eq!(by_category % SEAT_PRICE + by_area % PLACE_PRICE, 0, "seats in categories, places in areas");
}

//! Events and offers: newer replaces older, never the reverse; cancelled stays cancelled; fetched on first touch.

use std::sync::atomic::Ordering;

use booking::application::hold::{self, Answer, HoldError};
use booking::application::offers::OfferError;
use booking::domain::hold::WishError;
use booking::infrastructure::store::HoldOutcome;
use booking::infrastructure::wire;
use common::error::Refusal;
use common::ids::EventId;
use common::proto::catalog::v1::{EventCancelled, EventChanged, EventPublished};
use common::runtime::Shutdown;
use common::testing::TestDb;
use tokio::task::JoinSet;

use crate::sale::{SEAT_PRICE, Sale};
use crate::world::{World, encode};

common::on_both_databases!(
    an_older_offer_never_replaces_a_newer_one,
    a_cancelled_mark_survives_every_offer,
    a_cancellation_may_come_before_any_offer,
    a_hold_priced_from_an_old_offer_is_priced_again,
    an_offer_is_fetched_on_first_touch_once_for_a_crowd,
    an_event_that_catalog_does_not_know_is_no_event,
    no_sale_of_a_known_event_needs_catalog,
    facts_make_the_fetcher_fetch_even_beside_an_offer_that_cannot_be_had,
    facts_with_impossible_contents_are_permanent_errors,
);

async fn held(world: &World, sale: &Sale, customer: &str, seat: usize) -> Result<i64, HoldError> {
    let key = world.key(customer, "hold");
    let wish = sale.wish(&[seat], &[]);
    match hold::hold(&world.store, &world.offers, customer, sale.event, &wish, key, &encode).await? {
        Answer::Held(stored) => Ok(stored.booking.total.amount_minor()),
        Answer::Replayed(_) => panic!("a fresh request id was answered before"),
    }
}

fn newer(sale: &Sale) -> Sale {
    Sale { version: sale.version + 1, seat_price: sale.seat_price + 100, limit: 7, ..sale.clone() }
}

async fn an_older_offer_never_replaces_a_newer_one(db: TestDb) {
    let world = World::new(db).await;
    let old = world.sale(2, &[4]).await;
    let new = newer(&old);

    world.put(&new).await;
    world.put(&old).await;

    assert_eq!(world.store.known_event(old.event).await.unwrap().unwrap().offer_version, 2);
    assert_eq!(world.count("SELECT per_customer_limit FROM events", []).await, 7);
    assert!(matches!(world.hold(&old, "alice", &[0], &[]).await, HoldOutcome::OtherOffer(2)));
    assert_eq!(held(&world, &new, "alice", 0).await.unwrap(), SEAT_PRICE + 100);
}

async fn a_cancelled_mark_survives_every_offer(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let event_id = sale.event.to_string();
    world.catalog_told(sale.event, &EventCancelled { event_id, offer_version: 1 }).await.unwrap();
    let marked = world.count("SELECT cancelled_at FROM events", []).await;

    world.put(&newer(&sale)).await;
    world.put(&Sale { cancelled: true, ..newer(&newer(&sale)) }).await;

    assert_eq!(world.count("SELECT cancelled_at FROM events", []).await, marked);
    assert!(matches!(held(&world, &sale, "alice", 0).await, Err(HoldError::NotOnSale("the event is cancelled"))));
}

async fn a_cancellation_may_come_before_any_offer(db: TestDb) {
    let world = World::new(db).await;
    let sale = Sale::new(world.now().await, 1, &[]);
    let event_id = sale.event.to_string();
    world.catalog_told(sale.event, &EventCancelled { event_id, offer_version: 1 }).await.unwrap();
    world.catalog.offer(&sale);

    let refused = held(&world, &sale, "alice", 0).await;

    assert!(matches!(refused, Err(HoldError::NotOnSale("the event is cancelled"))));
    let told_by_catalog = Sale { cancelled: true, ..Sale::new(world.now().await, 1, &[]) };
    world.catalog.offer(&told_by_catalog);
    let refused = held(&world, &told_by_catalog, "alice", 0).await;
    assert!(matches!(refused, Err(HoldError::NotOnSale("the event is cancelled"))));
}

async fn a_hold_priced_from_an_old_offer_is_priced_again(db: TestDb) {
    let world = World::new(db).await;
    let old = world.sale(1, &[]).await;
    let new = newer(&old);
    world.put(&new).await;

    let outcome = world.hold(&old, "alice", &[0], &[]).await;
    let total = held(&world, &old, "alice", 0).await.unwrap();

    assert!(matches!(outcome, HoldOutcome::OtherOffer(2)));
    assert_eq!(total, SEAT_PRICE + 100);
    assert_eq!(world.count("SELECT offer_version FROM bookings", []).await, 2);
}

async fn an_offer_is_fetched_on_first_touch_once_for_a_crowd(db: TestDb) {
    let world = World::new(db).await;
    let sale = Sale::new(world.now().await, 3, &[5]);
    world.catalog.offer(&sale);
    let mut crowd = JoinSet::new();
    for _ in 0..20 {
        let (offers, event) = (world.offers.clone(), sale.event);
        crowd.spawn(async move { offers.current(event).await.unwrap().terms.version });
    }

    assert_eq!(crowd.join_all().await, [1; 20]);

    assert_eq!(world.catalog.fetches.load(Ordering::SeqCst), 1);
    assert_eq!(held(&world, &sale, "alice", 2).await.unwrap(), SEAT_PRICE);
    let areas = world.count("SELECT capacity FROM area_counters WHERE event_id = $1", [sale.event.into()]).await;
    assert_eq!(areas, 5);
    let another_process = world.another_store().await;
    let reread = another_process.offer(sale.event, 1).await.unwrap().unwrap();
    assert_eq!((reread.total(), reread.seats[2].id), (8, sale.seats[2]));
    assert!(another_process.offer(sale.event, 2).await.unwrap().is_none());
}

async fn an_event_that_catalog_does_not_know_is_no_event(db: TestDb) {
    let world = World::new(db).await;
    let stranger = Sale::new(world.now().await, 1, &[]);

    let refused = held(&world, &stranger, "alice", 0).await.unwrap_err();
    let too_new = world.offers.at_least(world.sale(1, &[]).await.event, 9).await;
    world.catalog.down.store(true, Ordering::SeqCst);
    let unavailable = held(&world, &stranger, "alice", 0).await.unwrap_err();

    assert_eq!((refused.reason(), refused.field()), ("NOT_FOUND", Some("event_id".into())));
    assert!(matches!(too_new, Err(OfferError::NotFound)));
    assert_eq!((unavailable.reason(), unavailable.field()), ("UNAVAILABLE", None));
}

async fn no_sale_of_a_known_event_needs_catalog(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    world.catalog.down.store(true, Ordering::SeqCst);

    assert!(held(&world, &sale, "alice", 0).await.is_ok());
    assert_eq!(world.catalog.fetches.load(Ordering::SeqCst), 0);
}

async fn facts_make_the_fetcher_fetch_even_beside_an_offer_that_cannot_be_had(db: TestDb) {
    let world = World::new(db).await;
    let known = world.sale(1, &[]).await;
    let changed = newer(&known);
    world.catalog.offer(&changed);
    for n in 0..3 {
        let unknown = EventId::new();
        let published = EventPublished { event_id: unknown.to_string(), offer_version: n + 1 };
        world.catalog_told(unknown, &published).await.unwrap();
    }
    let told = EventChanged { event_id: known.event.to_string(), offer_version: 2 };
    world.catalog_told(known.event, &told).await.unwrap();
    let shutdown = Shutdown::new();
    let mut fetcher = JoinSet::new();
    fetcher.spawn(world.offers.clone().run(shutdown.clone()));

    let mut version = 1;
    for _ in 0..500 {
        version = world.store.known_event(known.event).await.unwrap().unwrap().offer_version;
        if version == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    assert_eq!(version, 2);
    shutdown.cancel();
    assert!(fetcher.join_next().await.unwrap().unwrap().is_ok());
}

async fn facts_with_impossible_contents_are_permanent_errors(db: TestDb) {
    use common::inbox::HandleError;
    use common::proto::booking::v1::BookingHeld;
    use common::proto::payment::v1::{PaymentAuthorised, PaymentDeclined, PaymentRefunded, PaymentVoided};
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    let stranger = common::ids::BookingId::new();

    let answers = [
        world.told(booking, &PaymentAuthorised::default()).await,
        world.told(stranger, &PaymentDeclined::default()).await,
        world.told(booking, &PaymentRefunded::default()).await,
        world.told(booking, &BookingHeld::default()).await,
        world.catalog_told(sale.event, &BookingHeld::default()).await,
        world.catalog_told(sale.event, &EventChanged { offer_version: u64::MAX, ..EventChanged::default() }).await,
    ];

    for answer in answers {
        assert!(matches!(answer, Err(HandleError::Permanent(_))), "{answer:?}");
    }
    world.told(booking, &PaymentVoided::default()).await.unwrap();
    let seats = hold_refusal(&world, &sale).await;
    assert!(matches!(seats, HoldError::Wish(WishError::Unknown(_))));
    world.audit().await;
}

#[tokio::test]
async fn an_offer_with_a_wrong_field_is_refused_by_its_name() {
    use common::proto::catalog::v1::StreamOfferResponse;
    type Change<'a> = &'a dyn Fn(&mut StreamOfferResponse);
    let world = World::new(TestDb::sqlite().await).await;
    let sound = Sale::new(world.now().await, 1, &[5]).message();
    let refused = |change: Change| {
        let mut message = sound.clone();
        change(&mut message);
        wire::fetched(message).err().map(|error| error.to_string())
    };
    fn terms(message: &mut StreamOfferResponse) -> &mut common::proto::catalog::v1::OfferTerms {
        message.terms.as_mut().unwrap()
    }

    assert_eq!(refused(&|_| {}), None);
    assert!(wire::stored_offer(b"no offer").is_err());
    let changes: &[(&str, Change)] = &[
        ("terms", &|m| m.terms = None),
        ("event_id", &|m| terms(m).event_id.clear()),
        ("version", &|m| terms(m).version = 0),
        ("starts_at", &|m| terms(m).starts_at = None),
        ("sale_starts_at", &|m| terms(m).sale_starts_at = None),
        ("sale_ends_at", &|m| terms(m).sale_ends_at = None),
        ("per_customer_limit", &|m| terms(m).per_customer_limit = u32::MAX),
        ("currency", &|m| terms(m).currency = "eur".into()),
        ("seating_plan_id", &|m| terms(m).seating_plan_id = "plan".into()),
        ("seat_id", &|m| m.seats[0].seat_id.clear()),
        ("price_minor", &|m| m.seats[0].price_minor = -1),
        ("area_id", &|m| terms(m).areas[0].area_id.clear()),
        ("capacity", &|m| terms(m).areas[0].capacity = u32::MAX),
        ("price_minor", &|m| terms(m).areas[0].price_minor = -1),
    ];
    for (field, change) in changes {
        assert_eq!(refused(*change), Some(format!("the offer's {field} is missing or wrong")));
    }
}

async fn hold_refusal(world: &World, sale: &Sale) -> HoldError {
    let stranger = Sale { event: sale.event, ..Sale::new(world.now().await, 1, &[]) };
    held(world, &stranger, "bob", 0).await.unwrap_err()
}

//! What is promised to be served by an index is: searches as they are made, over 20,000 published events.

use catalog::infrastructure::queries::events::search;
use common::auth::{Principal, Role};
use common::clock::Clock;
use common::proto::catalog::v1 as proto;
use common::testing::statements::Statements;
use sea_orm::{ConnectionTrait, DbBackend};

use crate::on_both_databases;
use crate::world::World;

on_both_databases!(searches_are_served_by_their_indexes);

/// Published events; each has one word of its own, and one that all have.
const EVENTS: i64 = 20_000;

async fn searches_are_served_by_their_indexes(mut world: World) {
    copy(&world, &world.on_sale().await.id).await;
    let asked = Statements::of(&mut world.db);
    let customer = Principal { subject: "carl".into(), roles: vec![Role::Customer] };
    let find = async |text: &str, status: proto::EventStatus| {
        let request = proto::SearchEventsRequest {
            text: text.into(),
            status: status.into(),
            page_size: 50,
            ..Default::default()
        };
        let page = search(&world.db, &customer, &request, world.clock.now()).await.unwrap();
        page.rows.len()
    };
    // SQLite finds all events of a common word by the text index too; PostgreSQL meets a page of them in the list's order.
    let (words, common) = match world.db.backend() {
        DbBackend::Sqlite => ("VIRTUAL TABLE INDEX", "VIRTUAL TABLE INDEX"),
        DbBackend::Postgres | DbBackend::MySql | _ => ("event_words_found", "events_by"),
    };

    for (text, found) in [("word4321", 1), ("nowhere", 0), ("common nowhere", 0)] {
        assert_eq!(find(text, proto::EventStatus::Unspecified).await, found, "{text}");
        asked.assert_uses(&world.db, "FROM event_words", words).await;
    }
    assert_eq!(find("common", proto::EventStatus::Unspecified).await, 50);
    asked.assert_uses(&world.db, "FROM events e", common).await;
    assert_eq!(find("", proto::EventStatus::Published).await, 50);
    asked.assert_uses(&world.db, "FROM events e", "events_by").await;
}

/// Copies an event and its words, each copy an hour later than the one before.
async fn copy(world: &World, id: &str) {
    let (numbers, new_id, words) = match world.db.backend() {
        DbBackend::Sqlite => (
            format!(
                "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {EVENTS}) SELECT n FROM c)"
            ),
            "randomblob(16)",
            "'common word' || e.number",
        ),
        DbBackend::Postgres | DbBackend::MySql | _ => (
            format!("(SELECT n FROM generate_series(1, {EVENTS}) n)"),
            "gen_random_uuid()",
            "array_to_tsvector(ARRAY['common', 'word' || e.number])",
        ),
    };
    let same = "venue_id, plan_id, title, description, category, category_key, performers, image_url, doors_at, \
        sale_starts_at, sale_ends_at, per_customer_limit, currency, policy, prices, price_min, price_max, status, version, \
        published_at, offer_version, facts, created_at, updated_at, forbid_orphan_seats";
    let hour = "3600000000 * s.n";
    let event = common::ids::EventId::parse(id).unwrap();
    let sql = format!(
        "INSERT INTO events (id, starts_at, ends_at, {same})
         SELECT {new_id}, starts_at + {hour}, ends_at + {hour}, {same} FROM events, {numbers} s WHERE id = $1"
    );
    let copied = world.db.execute(world.db.writer(), sql, [event.into()]).await.unwrap();
    assert_eq!(i64::try_from(copied).unwrap(), EVENTS);
    let sql = format!("INSERT INTO event_words (rowid, words) SELECT e.number, {words} FROM events e WHERE e.id <> $1");
    world.db.execute(world.db.writer(), sql, [event.into()]).await.unwrap();
    let tidy = match world.db.backend() {
        DbBackend::Sqlite => "ANALYZE",
        DbBackend::Postgres | DbBackend::MySql | _ => "VACUUM ANALYZE",
    };
    world.db.writer().execute_unprepared(tidy).await.unwrap();
}

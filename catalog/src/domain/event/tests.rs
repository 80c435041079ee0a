//! States × commands, and every field of an event.

use std::collections::BTreeMap;

use chrono::Duration;
use common::ids::AreaId;
use common::money::Currency;

use super::super::plan::{Area, Category};
use super::super::policy::Policy;
use super::super::prices::{AskedPrice, AskedTarget};
use super::*;

fn at(hours: i64) -> DateTime<Utc> {
    "2027-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + Duration::hours(hours)
}

const NOW: i64 = 0;
const START: i64 = 100;
const END: i64 = 103;

fn details() -> Details {
    Details {
        title: "Hamlet".into(),
        description: "A play.\nFive acts.".into(),
        category: "theatre".into(),
        performers: vec!["The Company".into()],
        image_url: "https://example.com/hamlet.jpg".into(),
        starts_at: at(START),
        ends_at: at(END),
        doors_at: Some(at(START - 1)),
        sale_starts_at: None,
        sale_ends_at: None,
        per_customer_limit: 6,
        currency: Currency::parse("EUR").unwrap(),
        policy: Policy::default(),
        forbid_orphan_seats: false,
    }
}

fn outline() -> Outline {
    Outline {
        plan_id: SeatingPlanId::new(),
        venue_id: VenueId::new(),
        categories: vec![Category { name: "A".into(), seat_count: 2 }],
        areas: vec![Area { id: AreaId::new(), name: "Floor".into(), capacity: 10 }],
        seats: BTreeMap::new(),
    }
}

fn prices(outline: &Outline, seat: i64) -> PriceList {
    let asked = [
        AskedPrice { target: AskedTarget::Category("A".into()), amount_minor: seat },
        AskedPrice { target: AskedTarget::Area(outline.areas[0].id.to_string()), amount_minor: 900 },
    ];
    PriceList::new(&asked, outline).unwrap()
}

fn draft(outline: &Outline) -> Event {
    Event::draft(EventId::new(), details(), prices(outline, 500), outline).next
}

fn published(outline: &Outline) -> Event {
    draft(outline).publish(outline, at(NOW)).unwrap().unwrap().next
}

#[test]
fn publishing_freezes_the_first_offer_and_tells_it() {
    let outline = outline();

    let decision = draft(&outline).publish(&outline, at(NOW)).unwrap().unwrap();

    let offer = decision.offer.unwrap();
    assert_eq!((offer.version, offer.sale_starts_at, offer.areas[0].1), (1, at(NOW), 900));
    assert_eq!(decision.fact, Some(Told::Published));
    assert_eq!(decision.next.state, State::Published(Publication { at: at(NOW), offer_version: 1, facts: 1 }));
    assert_eq!(decision.next.version, 2);
    assert_eq!(decision.next.price_range, Some(PriceRange { min: 500, max: 900 }));
}

#[test]
fn nothing_incomplete_or_over_is_published() {
    let outline = outline();
    let mut unpriced = draft(&outline);
    unpriced.prices = PriceList::default();

    let Err(Refused::Invalid(fault)) = unpriced.publish(&outline, at(NOW)) else { panic!("published without prices") };
    assert_eq!(fault.field, "prices");
    let Err(Refused::Invalid(fault)) = draft(&outline).publish(&outline, at(END)) else {
        panic!("published though over")
    };
    assert_eq!(fault.field, "ends_at");
}

#[test]
fn a_change_of_a_published_event_makes_the_next_offer() {
    let outline = outline();
    let event = published(&outline);
    let dearer = prices(&outline, 700);

    let decision = event.clone().change(details(), dearer.clone(), &outline, at(NOW + 5)).unwrap().unwrap();

    assert_eq!((decision.next.offer_version(), decision.next.version), (2, 3));
    assert_eq!(decision.fact, Some(Told::Changed));
    let offer = decision.offer.unwrap();
    assert_eq!((offer.version, offer.prices, offer.sale_starts_at), (2, dearer, at(NOW)));
}

#[test]
fn a_change_of_a_draft_is_told_to_nobody() {
    let outline = outline();

    let decision = draft(&outline).change(details(), prices(&outline, 1), &outline, at(NOW)).unwrap().unwrap();

    assert_eq!((decision.offer, decision.fact, decision.next.version), (None, None, 2));
}

#[test]
fn what_is_already_so_is_no_change() {
    let outline = outline();
    let event = published(&outline);
    let cancelled = event.clone().cancel(at(NOW)).unwrap().unwrap().next;

    assert_eq!(event.clone().publish(&outline, at(NOW)), Ok(None));
    assert_eq!(event.change(details(), prices(&outline, 500), &outline, at(NOW)), Ok(None));
    assert_eq!(cancelled.cancel(at(NOW)), Ok(None));
}

#[test]
fn cancelled_and_completed_events_do_not_change() {
    let outline = outline();
    let event = published(&outline);
    let cancelled = event.clone().cancel(at(NOW)).unwrap().unwrap().next;
    for (event, now, status) in [(cancelled, at(NOW), Status::Cancelled), (event, at(END), Status::Completed)] {
        let refused = Err(Refused::State { id: event.id, status });

        assert_eq!(event.status(now), status);
        assert_eq!(event.clone().publish(&outline, now), refused);
        assert_eq!(event.clone().change(details(), prices(&outline, 1), &outline, now), refused);
        if status == Status::Completed {
            assert_eq!(event.cancel(now), refused);
        }
    }
}

#[test]
fn a_cancelled_draft_was_never_shown() {
    let outline = outline();

    let of_draft = draft(&outline).cancel(at(NOW)).unwrap().unwrap();
    let of_published = published(&outline).cancel(at(NOW)).unwrap().unwrap();

    assert_eq!((of_draft.fact, of_draft.next.was_published()), (None, false));
    assert_eq!((of_published.fact, of_published.next.was_published()), (Some(Told::Cancelled), true));
    assert_eq!(of_published.next.offer_version(), 1);
}

type Spoil = fn(&mut Details);

#[test]
fn each_bad_field_is_named() {
    let cases: [(&str, Spoil); 15] = [
        ("title", |d| d.title = "  ".into()),
        ("title", |d| d.title = "x".repeat(301)),
        ("description", |d| d.description = "x".repeat(10_001)),
        ("category", |d| d.category = "x".repeat(101)),
        ("performers", |d| d.performers = vec!["x".into(); 51]),
        ("performers.1", |d| d.performers.push(String::new())),
        ("image_url", |d| d.image_url = "ftp://example.com".into()),
        ("image_url", |d| d.image_url = "https:///path".into()),
        ("ends_at", |d| d.ends_at = d.starts_at),
        ("ends_at", |d| d.ends_at = "+12000-01-01T00:00:00Z".parse().unwrap()),
        ("doors_at", |d| d.doors_at = Some(at(START + 1))),
        ("sale_ends_at", |d| d.sale_ends_at = Some(at(END + 1))),
        ("sale_starts_at", |d| d.sale_starts_at = Some(at(START))),
        ("per_customer_limit", |d| d.per_customer_limit = 0),
        ("per_customer_limit", |d| d.per_customer_limit = 101),
    ];
    for (field, spoil) in cases {
        let mut details = details();
        spoil(&mut details);

        assert_eq!(details.checked().unwrap_err().field, field);
    }
    assert_eq!(details().checked(), Ok(details()));
}

//! The first lines: what runs where, and commands to paste that work as they stand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use common::auth::Role;
use common::clock::{Clock, SystemClock, from_wire, to_wire};
use common::dev_issuer::DevIssuer;
use common::grpc::{Caller, MeshChannel};
use common::proto::booking::v1::GetSeatStatesRequest;
use common::proto::booking::v1::booking_service_client::BookingServiceClient;
use common::proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use common::proto::catalog::v1::{Event, EventStatus, PlanSeat, SearchEventsRequest, StreamSeatingPlanRequest};

use crate::folder::{Folder, RunFile};

const PATIENCE: Duration = Duration::from_secs(30);
/// Events looked at for two free seats.
const EVENTS_LOOKED_AT: u32 = 20;
/// State of a free seat in booking's compact answer.
const FREE: u8 = 0;

/// Two free seats side by side, to show the commands with.
struct Example {
    event: Event,
    seats: [PlanSeat; 2],
}

/// What a newcomer needs next.
pub(super) async fn text(
    folder: &Folder,
    temporary: bool,
    run: &RunFile,
    issuer: &Arc<DevIssuer>,
) -> anyhow::Result<String> {
    let admin = issuer.mint("admin", Role::Admin)?;
    let alice = issuer.mint("alice", Role::Customer)?;
    let booking = example(run, &admin).await?.map(|example| booking(run, &example)).unwrap_or_default();
    Ok(format!(
        "{places}\n\
         Tokens, good for 24 hours (more: eventix token --user NAME --role Customer|Admin):\n\n\
         \x20 ALICE={alice}\n\x20 ADMIN={admin}\n\n\
         Try, in another terminal, after pasting the tokens:\n\n\
         {listing}\n{booking}\n\
         Ctrl-C stops it; what is under way is finished first.",
        places = places(folder, temporary, run),
        listing = listing(run),
    ))
}

fn places(folder: &Folder, temporary: bool, run: &RunFile) -> String {
    let note = if temporary { "  (removed when stopped)" } else { "" };
    format!(
        "Eventix is running.\n\n\
         \x20 GraphiQL   http://{http}/\n\
         \x20 GraphQL    http://{http}/graphql\n\
         \x20 gRPC       catalog {catalog}, booking {booking}, payment {payment}  (health and reflection on)\n\
         \x20 broker     {broker}  (Kafka protocol, development only)\n\
         \x20 data       {folder}{note}\n",
        http = run.http,
        catalog = run.grpc.catalog,
        booking = run.grpc.booking,
        payment = run.grpc.payment,
        broker = run.broker,
        folder = folder.path().display(),
    )
}

fn listing(run: &RunFile) -> String {
    let query =
        r#"{ events(first: 20) { edges { node { id title startsAt venue { name city } availability { free } } } } }"#;
    format!("  # what is on sale\n{}\n", curl(run, None, query))
}

fn booking(run: &RunFile, example: &Example) -> String {
    let Example { event, seats: [first, second] } = example;
    let event_id = &event.id;
    let map = format!(
        r#"{{ event(id: "{event_id}") {{ title seatMap {{ zones {{ name rows {{ name seats {{ id label status price {{ amountMinor currency }} }} }} }} }} }} }}"#
    );
    let hold = format!(
        r#"mutation {{ holdSeats(input: {{eventId: "{event_id}", seatIds: ["{}", "{}"], idempotencyKey: "'$(date +%s%N)'"}}) {{ booking {{ id state expiresAt total {{ amountMinor currency }} }} userErrors {{ code message }} }} }}"#,
        first.id, second.id
    );
    let pay = r#"mutation { payBooking(input: {bookingId: "'$BOOKING'", paymentToken: "tok_approve", idempotencyKey: "'$(date +%s%N)'"}) { booking { state } userErrors { code message } } }"#;
    let look = r#"{ booking(id: "'$BOOKING'") { state payment { state } tickets { id token seat { label } } } }"#;
    let grpc = format!(
        "  buf curl --protocol grpc --http2-prior-knowledge -H \"Authorization: Bearer $ALICE\" \\\n    -d '{{\"eventIds\":[\"{event_id}\"]}}' \\\n    http://{}/eventix.booking.v1.BookingService/BatchGetAvailability",
        run.grpc.booking
    );
    format!(
        "  # seat map of \"{title}\"\n{map}\n\n\
         \x20 # hold {one} and {two}; keep the booking's id\n  BOOKING=$({hold} | tee /dev/stderr | grep -o '\"id\":\"[^\"]*\"' | head -n 1 | cut -d '\"' -f 4)\n\n\
         \x20 # pay, then look: CONFIRMED with two tickets a moment later\n{pay}\n{look}\n\n\
         \x20 # the same service over gRPC, by reflection\n{grpc}\n",
        title = event.title,
        one = first.label,
        two = second.label,
        map = curl(run, None, &map),
        hold = curl(run, Some("ALICE"), &hold).trim_start(),
        pay = curl(run, Some("ALICE"), pay),
        look = curl(run, Some("ALICE"), look),
    )
}

/// A command that posts a query. Inside the query, `'` ends the shell's quotes, so that variables are filled in.
fn curl(run: &RunFile, token: Option<&str>, query: &str) -> String {
    let bearer = token.map(|name| format!(" -H \"authorization: Bearer ${name}\"")).unwrap_or_default();
    let query = query.replace('"', "\\\"");
    format!(
        "  curl -sw '\\n' http://{}/graphql -H 'content-type: application/json'{bearer} -d '{{\"query\":\"{query}\"}}'",
        run.http
    )
}

async fn example(run: &RunFile, admin: &str) -> anyhow::Result<Option<Example>> {
    let caller = Caller::user(admin, Instant::now() + PATIENCE);
    let at = |address| format!("http://{address}");
    let mut catalog = CatalogServiceClient::new(MeshChannel::new("catalog", [at(run.grpc.catalog)])?);
    let mut booking = BookingServiceClient::new(MeshChannel::new("booking", [at(run.grpc.booking)])?);
    let search = SearchEventsRequest {
        from: Some(to_wire(SystemClock.now())),
        status: EventStatus::Published.into(),
        page_size: EVENTS_LOOKED_AT,
        ..SearchEventsRequest::default()
    };
    let events = catalog.search_events(caller.request(search)).await?.into_inner().events;
    for event in events.into_iter().filter(|event| on_sale(event, SystemClock.now())) {
        let states = GetSeatStatesRequest { event_id: event.id.clone() };
        let states = booking.get_seat_states(caller.request(states)).await?.into_inner().seats;
        let plan = StreamSeatingPlanRequest { seating_plan_id: event.seating_plan_id.clone() };
        let mut messages = catalog.stream_seating_plan(caller.request(plan)).await?.into_inner();
        let mut at = 0;
        while let Some(message) = messages.message().await? {
            for row in message.rows {
                if let Some(seats) = pair(&row.seats, states.get(at..).unwrap_or_default()) {
                    return Ok(Some(Example { event, seats }));
                }
                at += row.seats.len();
            }
        }
    }
    Ok(None)
}

fn on_sale(event: &Event, now: DateTime<Utc>) -> bool {
    let started = event.sale_starts_at.as_ref().and_then(from_wire).is_none_or(|at| at <= now);
    let ended = event.sale_ends_at.as_ref().and_then(from_wire).is_some_and(|at| at <= now);
    started && !ended
}

/// The first two neighbours that are free and for everybody. States not known here yet mean free.
fn pair(seats: &[PlanSeat], states: &[u8]) -> Option<[PlanSeat; 2]> {
    let open = |n: usize| states.get(n).is_none_or(|state| *state == FREE) && !seats[n].accessible;
    let first = (0..seats.len().saturating_sub(1)).find(|n| open(*n) && open(n + 1))?;
    Some([seats[first].clone(), seats[first + 1].clone()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(id: &str, accessible: bool) -> PlanSeat {
        PlanSeat { id: id.into(), accessible, ..PlanSeat::default() }
    }

    #[test]
    fn the_example_is_two_free_neighbours() {
        let seats = ["a", "b", "c", "d"].map(|id| seat(id, id == "a"));

        let found = pair(&seats, &[0, 2, 0, 0]).unwrap();

        assert_eq!(found.map(|seat| seat.id), ["c", "d"]);
        assert!(pair(&seats, &[0, 0, 1, 0]).is_none());
        assert!(pair(&seats, &[]).is_some());
    }
}

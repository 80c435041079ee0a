//! Courses that bookings take, each from its first call to the state in which everything is where it belongs. Every call is
//! tried again with its key until it is answered, so that a course also ends when a process dies on the way.

use std::time::Duration;

use common::auth::Role;
use serde_json::json;

use crate::client::Shop;
use crate::harness::eventually;
use crate::stage::{self, Event, Hall};

/// Longest time until a course has ended, from its last call on; a process may have to be started anew meanwhile.
const END: Duration = Duration::from_secs(120);
/// Given back of a booking, less than it cost.
const PART_MINOR: u32 = 100;

/// A course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// Held, paid, confirmed, captured.
    Paid,
    /// Held, declined, released.
    Declined,
    /// Held, released.
    Released,
    /// Paid, cancelled by its customer, refunded.
    Cancelled,
    /// Confirmed, then the capture fails: cancelled.
    CaptureFails,
    /// Paid, let in.
    CheckedIn,
    /// An event is published and repriced, then sold.
    Published,
    /// Paid, then the event is called off: cancelled, refunded.
    CalledOff,
    /// Paid, a part of it given back by the organiser.
    GivenBack,
    /// The best seat there is, held and paid.
    Best,
    /// Paid, cancelled, and the refund refused until it is stuck and a person has it tried again.
    RefundStuck,
    /// Held and never paid: expired. Needs short holds.
    Lapsed,
    /// Approved after its grace, the seat still free: confirmed. Needs short holds and little patience.
    Late,
    /// Approved after its grace, the seat sold to another: expired, voided. Needs short holds.
    TooLate,
}

impl Flow {
    /// Whether it waits for holds to lapse.
    pub fn needs_short_holds(self) -> bool {
        match self {
            Self::Lapsed | Self::Late | Self::TooLate => true,
            Self::Paid
            | Self::Declined
            | Self::Released
            | Self::Cancelled
            | Self::CaptureFails
            | Self::CheckedIn
            | Self::Published
            | Self::CalledOff
            | Self::GivenBack
            | Self::Best
            | Self::RefundStuck => false,
        }
    }

    /// Runs it for a customer who takes part in nothing else.
    pub async fn run(self, shop: &Shop, hall: &Hall, event: &Event, user: &str) {
        let course = Course { shop, hall, event, user };
        match self {
            Self::Paid => drop(course.paid("tok_approve").await),
            Self::Declined => course.declined().await,
            Self::Released => course.released().await,
            Self::Cancelled => drop(course.cancelled("tok_approve", "REFUNDED").await),
            Self::GivenBack => course.given_back().await,
            Self::Best => course.best().await,
            Self::CaptureFails => course.capture_fails().await,
            Self::CheckedIn => course.checked_in().await,
            Self::Published => course.published().await,
            Self::CalledOff => course.called_off().await,
            Self::RefundStuck => course.refund_stuck().await,
            Self::Lapsed => course.lapsed().await,
            Self::Late => course.late().await,
            Self::TooLate => course.too_late().await,
        }
    }
}

struct Course<'a> {
    shop: &'a Shop,
    hall: &'a Hall,
    event: &'a Event,
    user: &'a str,
}

impl Course<'_> {
    async fn held(&self) -> String {
        stage::hold(self.shop, self.event, self.user, &self.event.seat()).await
    }

    async fn paid(&self, token: &str) -> String {
        let booking = self.held().await;
        stage::pay(self.shop, self.user, &booking, token).await;
        self.until(&booking, "CONFIRMED", "CAPTURED").await;
        booking
    }

    /// Waits until booking and payment are in these states.
    async fn until(&self, booking: &str, state: &str, payment: &str) {
        self.until_of(self.user, booking, state, payment).await;
    }

    async fn until_of(&self, user: &str, booking: &str, state: &str, payment: &str) {
        let query = "query($id: ID!) { booking(id: $id) { state payment { state } } }";
        eventually(&format!("{user}'s booking {booking} {state}, its payment {payment}"), END, async || {
            // Any process may be down at the moment.
            let asked = self.shop.post(Some((user, Role::Customer)), query, json!({"id": booking})).await;
            let found = asked.ok()?.1["data"]["booking"].take();
            (found["state"] == state && found["payment"]["state"] == payment).then_some(())
        })
        .await;
    }

    async fn declined(&self) {
        let booking = self.held().await;
        stage::pay(self.shop, self.user, &booking, "tok_decline").await;
        self.until(&booking, "HELD", "DECLINED").await;
        stage::release(self.shop, self.user, &booking).await;
        self.until(&booking, "RELEASED", "CLOSED").await;
    }

    async fn released(&self) {
        let booking = self.held().await;
        stage::release(self.shop, self.user, &booking).await;
        self.until(&booking, "RELEASED", "CLOSED").await;
    }

    async fn cancelled(&self, token: &str, payment: &str) -> String {
        let booking = self.paid(token).await;
        stage::cancel(self.shop, self.user, &booking).await;
        self.until(&booking, "CANCELLED", payment).await;
        booking
    }

    async fn given_back(&self) {
        let booking = self.paid("tok_approve").await;
        stage::give_back(self.shop, &booking, PART_MINOR).await;
        self.until(&booking, "CONFIRMED", "PARTLY_REFUNDED").await;
    }

    async fn best(&self) {
        let booking = stage::hold_best(self.shop, self.event, self.user).await;
        stage::pay(self.shop, self.user, &booking, "tok_approve").await;
        self.until(&booking, "CONFIRMED", "CAPTURED").await;
    }

    /// As often refused as this mesh has patience for, so that the first try after that is done.
    async fn refund_stuck(&self) {
        let booking = self.cancelled("tok_refund_fails_2", "STUCK").await;
        stage::retry_refund(self.shop, &booking).await;
        self.until(&booking, "CANCELLED", "REFUNDED").await;
    }

    async fn capture_fails(&self) {
        let booking = self.held().await;
        stage::pay(self.shop, self.user, &booking, "tok_capture_fails").await;
        self.until(&booking, "CANCELLED", "CLOSED").await;
    }

    async fn checked_in(&self) {
        let booking = self.paid("tok_approve").await;
        let ticket = self.shop.booking(self.user, &booking).await["tickets"][0]["token"].take();
        let query =
            "mutation($input: CheckInInput!) { checkIn(input: $input) { ticket { usedGate } userErrors { code } } }";
        let input = json!({"input": {"token": ticket, "gate": "A"}});
        stage::insist("checkIn", async || {
            let (_, answer) = self.shop.post(Some(("door", Role::Admin)), query, input.clone()).await?;
            let payload = &answer["data"]["checkIn"];
            // The answer to the first scan may have been lost.
            let again = payload["userErrors"][0]["code"] == "ALREADY_CHECKED_IN";
            anyhow::ensure!(again || payload["ticket"]["usedGate"] == "A", "{answer}");
            Ok(())
        })
        .await;
    }

    async fn published(&self) {
        let event = self.hall.event(self.shop).await;
        self.hall.reprice(self.shop, &event.id).await;
        Course { event: &event, ..*self }.paid("tok_approve").await;
    }

    async fn called_off(&self) {
        let event = self.hall.event(self.shop).await;
        let course = Course { event: &event, ..*self };
        let booking = course.paid("tok_approve").await;
        stage::call_off(self.shop, &event.id).await;
        course.until(&booking, "CANCELLED", "REFUNDED").await;
    }

    async fn lapsed(&self) {
        let booking = self.held().await;
        self.until(&booking, "EXPIRED", "CLOSED").await;
    }

    async fn late(&self) {
        let booking = self.held().await;
        stage::pay(self.shop, self.user, &booking, "tok_approve_after_8").await;
        self.until(&booking, "CONFIRMED", "CAPTURED").await;
    }

    async fn too_late(&self) {
        let seat = self.event.seat();
        let booking = stage::hold(self.shop, self.event, self.user, &seat).await;
        stage::pay(self.shop, self.user, &booking, "tok_approve_after_20").await;
        // Refused until the grace of the first one is over.
        let other = format!("{}-other", self.user);
        let theirs = stage::hold(self.shop, self.event, &other, &seat).await;
        stage::pay(self.shop, &other, &theirs, "tok_approve").await;
        self.until_of(&other, &theirs, "CONFIRMED", "CAPTURED").await;
        self.until(&booking, "EXPIRED", "VOIDED").await;
    }
}

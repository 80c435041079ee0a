//! `kill -9` before and after every step of the saga, in the process that takes it.

use std::collections::BTreeSet;

use common::failpoint::{Moment, Point, Step};
use common::proto::DESCRIPTORS;
use prost::Message;
use prost_types::FileDescriptorSet;

use crate::flows::Flow;
use crate::harness::mesh::{Databases, Plan, Service};
use crate::lane::{Lane, Upset, hasty, impatient};
use crate::{everything, report};

/// Where to strike, and what makes the process pass there.
#[derive(Debug, Clone)]
struct Case {
    service: Service,
    step: Step,
    detail: String,
    flow: Flow,
    upset: Upset,
}

/// Every kind of every step. A new step does not compile until it has a case here, a new fact fails the test below.
fn cases(step: Step) -> Vec<Case> {
    use Flow::*;
    use Service::{Booking, Catalog, Gateway, Payment};
    let at = |service: Service, kinds: &[(&str, Flow)]| -> Vec<Case> {
        let case = |(detail, flow): &(&str, Flow)| Case {
            service,
            step,
            detail: detail.to_string(),
            flow: *flow,
            upset: Upset::Nothing,
        };
        kinds.iter().map(case).collect()
    };
    let upset = |service: Service, detail: &str, upset: Upset| Case {
        service,
        step,
        detail: detail.to_owned(),
        flow: Paid,
        upset,
    };
    let mutations = [
        ("holdSeats", Paid),
        ("payBooking", Paid),
        ("releaseBooking", Released),
        ("cancelBooking", Cancelled),
        ("holdBestAvailable", Best),
        ("refundBooking", GivenBack),
        ("retryRefund", RefundStuck),
        ("checkIn", CheckedIn),
        ("publishEvent", Published),
        ("cancelEvent", CalledOff),
    ];
    let questions = [("authorise", Paid), ("capture", Paid), ("refund", Cancelled), ("void", TooLate)];
    match step {
        Step::Execute => at(Gateway, &mutations),
        Step::ChangeEvent => at(Catalog, &[("publish", Published), ("cancel", CalledOff)]),
        Step::KeepOffer => at(Booking, &[("offer", Published)]),
        Step::StopSelling => at(Booking, &[("stop_selling", CalledOff)]),
        Step::Hold => at(Booking, &[("hold", Paid)]),
        Step::Command => {
            at(Booking, &[("pay", Paid), ("release", Released), ("cancel", Cancelled), ("refund", GivenBack)])
        }
        Step::Sweep => at(Booking, &[("hold lapsed", Lapsed), ("grace over", TooLate), ("event cancelled", CalledOff)]),
        Step::Ask => at(Booking, &[("payment", Late)]),
        Step::CheckIn => at(Booking, &[("check_in", CheckedIn)]),
        Step::ClaimSteps | Step::AskProvider | Step::RecordOutcome => at(Payment, &questions),
        Step::Hear => at(Payment, &[("approved", Paid), ("captured", Paid), ("refunded", Cancelled)]),
        Step::Retry => at(Payment, &[("retry", RefundStuck)]),
        Step::TellAgain => at(Payment, &[("last fact", Late)]),
        Step::Publish | Step::MarkPublished => told(|fact| fact.teller, step),
        Step::TakeIn => told(|fact| fact.taker, step),
        Step::PutAside => vec![
            upset(Payment, "booking", Upset::Poison("eventix.booking.v1")),
            upset(Booking, "payment", Upset::Poison("eventix.payment.v1")),
        ],
        Step::Recover => {
            vec![upset(Payment, "booking", Upset::Wipe), upset(Booking, "payment", Upset::Wipe)]
        }
    }
}

/// A fact, who tells it, who takes it in, and a course in which it is told.
pub struct Told {
    pub kind: &'static str,
    pub teller: Service,
    pub taker: Service,
    pub flow: Flow,
}

const fn fact(kind: &'static str, teller: Service, taker: Service, flow: Flow) -> Told {
    Told { kind, teller, taker, flow }
}

/// Every fact there is.
pub const FACTS: [Told; 18] = [
    fact("eventix.booking.v1.BookingHeld", Service::Booking, Service::Payment, Flow::Paid),
    fact("eventix.payment.v1.PaymentAuthorised", Service::Payment, Service::Booking, Flow::Paid),
    fact("eventix.catalog.v1.EventPublished", Service::Catalog, Service::Booking, Flow::Published),
    fact("eventix.booking.v1.PaymentRequested", Service::Booking, Service::Payment, Flow::Paid),
    fact("eventix.booking.v1.BookingConfirmed", Service::Booking, Service::Payment, Flow::Paid),
    fact("eventix.booking.v1.BookingExpired", Service::Booking, Service::Payment, Flow::Lapsed),
    fact("eventix.booking.v1.BookingReleased", Service::Booking, Service::Payment, Flow::Released),
    fact("eventix.booking.v1.BookingCancelled", Service::Booking, Service::Payment, Flow::Cancelled),
    fact("eventix.booking.v1.VoidRequested", Service::Booking, Service::Payment, Flow::TooLate),
    fact("eventix.booking.v1.RefundRequested", Service::Booking, Service::Payment, Flow::Cancelled),
    fact("eventix.catalog.v1.EventChanged", Service::Catalog, Service::Booking, Flow::Published),
    fact("eventix.catalog.v1.EventCancelled", Service::Catalog, Service::Booking, Flow::CalledOff),
    fact("eventix.payment.v1.PaymentDeclined", Service::Payment, Service::Booking, Flow::Declined),
    fact("eventix.payment.v1.PaymentCaptured", Service::Payment, Service::Booking, Flow::Paid),
    fact("eventix.payment.v1.PaymentCaptureFailed", Service::Payment, Service::Booking, Flow::CaptureFails),
    fact("eventix.payment.v1.PaymentVoided", Service::Payment, Service::Booking, Flow::TooLate),
    fact("eventix.payment.v1.PaymentRefunded", Service::Payment, Service::Booking, Flow::Cancelled),
    fact("eventix.payment.v1.PaymentStuck", Service::Payment, Service::Booking, Flow::RefundStuck),
];

fn told(service: impl Fn(&Told) -> Service, step: Step) -> Vec<Case> {
    let case = |fact: &Told| Case {
        service: service(fact),
        step,
        detail: fact.kind.to_owned(),
        flow: fact.flow,
        upset: Upset::Nothing,
    };
    FACTS.iter().map(case).collect()
}

#[test]
fn no_fact_is_left_out() {
    let contracts = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let files = contracts.file.iter().filter(|file| file.name().ends_with("/v1/facts.proto"));
    let told: BTreeSet<String> = files
        .flat_map(|file| file.message_type.iter().map(|message| format!("{}.{}", file.package(), message.name())))
        .collect();

    assert_eq!(told, FACTS.iter().map(|fact| fact.kind.to_owned()).collect());
}

/// All cases, or the first one of each step in each service.
fn chosen() -> Vec<Case> {
    let mut seen = BTreeSet::new();
    let all = Step::ALL.iter().flat_map(|step| cases(*step));
    all.filter(|case| everything() || seen.insert((case.step, case.service))).collect()
}

#[test]
fn every_step_has_a_case() {
    assert!(Step::ALL.iter().all(|step| !cases(*step).is_empty()));
}

/// Runs cases one after the other on a mesh of their own.
async fn work_off(name: &str, plan: Plan, cases: Vec<Case>) {
    let mut lane = Lane::open(plan).await;
    lane.run(Flow::Paid, &format!("{name}-first")).await;
    for (n, case) in cases.iter().enumerate() {
        for moment in [Moment::Before, Moment::After] {
            let point = Point::new(case.step, moment, &case.detail);
            let user = format!("{name}-{n}-{moment:?}");
            let converged = lane.run_killing(case.flow, case.upset, case.service, &point, &user).await;
            let struck = format!("{} killed {point}", case.service.name());
            lane.assert_clean(&struck).await;
            report(&struck, 1, converged);
        }
    }
}

/// Works all cases off, on three meshes at once.
async fn work_off_all(databases: impl AsyncFn() -> Databases) {
    let (short, long): (Vec<_>, Vec<_>) = chosen().into_iter().partition(|case| case.flow.needs_short_holds());
    let (odd, even): (Vec<_>, Vec<_>) = long.into_iter().enumerate().partition(|(n, _)| n % 2 == 1);
    let cases = |numbered: Vec<(usize, Case)>| numbered.into_iter().map(|(_, case)| case).collect();

    let hurried = async { work_off("short", hasty(Plan::on(databases().await)), short).await };
    let first = async { work_off("odd", impatient(Plan::on(databases().await)), cases(odd)).await };
    let second = async { work_off("even", impatient(Plan::on(databases().await)), cases(even)).await };

    tokio::join!(Box::pin(hurried), Box::pin(first), Box::pin(second));
}

#[tokio::test]
async fn killed_before_and_after_every_step_everything_comes_to_its_end() {
    work_off_all(Databases::postgres).await;
    if everything() {
        work_off_all(async || Databases::sqlite()).await;
    }
}

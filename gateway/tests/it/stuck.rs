//! What is stuck, and retries, at the edge.

use common::error::ErrorKind;
use common::proto::common::v1::Money;
use common::proto::payment::v1::{Payment, PaymentState, StuckPayment, StuckStep};
use serde_json::json;

use crate::world::{World, code, id, refusal};

fn list(arguments: &str) -> String {
    format!(
        "{{ stuckPayments({arguments}) {{ edges {{ node {{ bookingId paymentId payment {{ state declineCode }} step
            refundId attempt amount {{ amountMinor currency }} reason since tries }} }}
            pageInfo {{ hasNextPage endCursor }} }} }}"
    )
}

fn payment(number: u32) -> Payment {
    let mut payment = Payment { id: id(number), booking_id: id(number), ..Payment::default() };
    payment.set_state(PaymentState::Stuck);
    payment
}

fn stuck(number: u32, step: StuckStep, refund_id: &str) -> StuckPayment {
    StuckPayment {
        payment: Some(payment(number)),
        step: step.into(),
        refund_id: refund_id.to_owned(),
        attempt: 1,
        amount: Some(Money { amount_minor: 2500, currency: "EUR".into() }),
        reason: "REFUND_REFUSED".into(),
        since: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        tries: 8,
    }
}

#[tokio::test]
async fn what_is_stuck_is_a_page_for_admins() {
    let world = World::start().await;
    world.script.stuck.lock().unwrap().extend([stuck(1, StuckStep::Refund, &id(9)), stuck(2, StuckStep::Void, "")]);

    let first = world.ask(&world.admin(), &list("first: 1")).await;
    let cursor = first["data"]["stuckPayments"]["pageInfo"]["endCursor"].as_str().unwrap();
    let second = world.ask(&world.admin(), &list(&format!("first: 1, after: \"{cursor}\""))).await;
    let customer = world.ask(&world.alice(), &list("first: 1")).await;

    let node = json!({"bookingId": id(1), "paymentId": id(1), "payment": {"state": "STUCK", "declineCode": null},
        "step": "REFUND", "refundId": id(9), "attempt": 1, "amount": {"amountMinor": 2500, "currency": "EUR"},
        "reason": "REFUND_REFUSED", "since": "2027-01-15T08:00:00Z", "tries": 8});
    assert_eq!(first["data"]["stuckPayments"]["edges"], json!([{"node": node}]));
    assert_eq!(first["data"]["stuckPayments"]["pageInfo"]["hasNextPage"], true);
    let node = &second["data"]["stuckPayments"]["edges"][0]["node"];
    assert_eq!((&node["step"], &node["refundId"]), (&json!("VOID"), &json!(null)));
    assert_eq!(code(&customer), Some("FORBIDDEN"));
}

#[tokio::test]
async fn retries_are_for_admins_and_carry_their_key() {
    let world = World::start().await;
    world.script.payments.lock().unwrap().push(payment(1));
    let refund = format!(
        r#"mutation {{ retryRefund(input: {{refundId: "{}", bookingId: "{}", idempotencyKey: "again"}}) {{
            payment {{ state }} userErrors {{ field code message }} }} }}"#,
        id(9),
        id(1)
    );
    let void = format!(
        r#"mutation {{ retryVoid(input: {{bookingId: "{}", attempt: 2, idempotencyKey: "again"}}) {{
            payment {{ state }} userErrors {{ field code message }} }} }}"#,
        id(1)
    );

    for (mutation, name, method) in [(&refund, "retryRefund", "retry_refund"), (&void, "retryVoid", "retry_void")] {
        let again = world.ask(&world.admin(), mutation).await;
        let customer = world.ask(&world.alice(), mutation).await;

        assert_eq!(again["data"][name], json!({"payment": {"state": "STUCK"}, "userErrors": []}));
        assert_eq!(code(&customer), Some("FORBIDDEN"));
        let calls = world.script.calls(method);
        assert_eq!(calls.len(), 1);
        assert!(calls[0].message.contains(r#"request_id: "again""#), "{}", calls[0].message);
    }
}

#[tokio::test]
async fn a_refund_that_is_not_stuck_is_a_user_error() {
    let world = World::start().await;
    let mutation = r#"mutation { retryRefund(input: {refundId: "x", idempotencyKey: "again"}) {
        payment { state } userErrors { code } } }"#;
    for (kind, reason) in [(ErrorKind::NotFound, "NOT_FOUND"), (ErrorKind::FailedPrecondition, "INVALID_STATE")] {
        world.script.refuse("retry_refund", refusal(kind, reason, None, &[]));

        let refused = world.ask(&world.admin(), mutation).await;

        assert_eq!(refused["data"]["retryRefund"], json!({"payment": null, "userErrors": [{"code": reason}]}));
    }
    let bad_key = world.ask(&world.admin(), &mutation.replace("again", "")).await;
    assert_eq!(bad_key["data"]["retryRefund"]["userErrors"][0]["code"], "INVALID_INPUT");
}

//! A provider behind HTTP that lies, breaks off or hangs: never read as a failure, and nobody is charged twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::ids::{PaymentId, RefundId};
use payment::application::ports::ProviderError;
use payment::domain::{PaymentState, Reference, StepState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::contract::{SECRET, client, over_http};
use crate::support::{World, eur, on_both_databases, price};

on_both_databases!(whatever_a_provider_says_wrongly_is_asked_again_and_charged_once);

/// Answers every request with the same bytes, then closes; `None` never answers.
async fn liar(answer: Option<String>, tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tasks.spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            match &answer {
                Some(answer) => {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
                None => open.push(stream),
            }
        }
    });
    address
}

async fn read_request(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
        seen.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&seen).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
            return;
        }
    }
}

fn http(status: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

/// Answers that say nothing about a reference, and least of all that it was refused.
fn lies() -> Vec<Option<String>> {
    let other = format!("{}-1", PaymentId::new());
    let amount = r#""amount":{"amount_minor":2500,"currency":"EUR"}"#;
    vec![
        http("200 OK", "<html>welcome</html>"),
        http("200 OK", "{}"),
        http("200 OK", r#"{"reference":"x","outcome":"maybe"}"#),
        http("200 OK", &format!(r#"{{"reference":"{other}","outcome":"done",{amount}}}"#)),
        http("200 OK", &format!(r#"{{"reference":"{other}","outcome":"refused","code":"CARD_DECLINED"}}"#)),
        http("400 Bad Request", r#"{"error":"INVALID_INPUT"}"#),
        http("402 Payment Required", r#"{"error":"CARD_DECLINED"}"#),
        http("404 Not Found", "not found"),
        http("404 Not Found", &format!(r#"{{"error":"NOT_FOUND","reference":"{other}"}}"#)),
        http("500 Internal Server Error", "oops"),
        http("503 Service Unavailable", ""),
        http("302 Found", ""),
        Some(String::new()),
        Some("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"reference\":".to_owned()),
        Some("no http at all".to_owned()),
        http("200 OK", &format!("\"{}\"", "x".repeat(100_000))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_is_never_an_answer() {
    let (reference, refund) = (Reference::of(PaymentId::new(), 1), RefundId::new());
    let mut tasks = JoinSet::new();
    for lie in lies() {
        let provider = client(&liar(lie.clone(), &mut tasks).await, SECRET);

        assert_nothing_is_known(provider.authorise(&reference, price(), "tok_approve").await, &lie);
        assert_nothing_is_known(provider.capture(&reference, price()).await, &lie);
        assert_nothing_is_known(provider.void(&reference).await, &lie);
        assert_nothing_is_known(provider.refund(&reference, refund, price()).await, &lie);
        assert_nothing_is_known(provider.status(&reference).await, &lie);
    }
}

#[track_caller]
fn assert_nothing_is_known<T: std::fmt::Debug>(answer: Result<T, ProviderError>, lie: &Option<String>) {
    assert!(matches!(answer, Err(ProviderError::Unreachable(_))), "{lie:?} was read as {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_amount_or_refund_is_never_done() {
    let (reference, refund) = (Reference::of(PaymentId::new(), 1), RefundId::new());
    let mut tasks = JoinSet::new();
    let said = r#""amount":{"amount_minor":2400,"currency":"EUR"}"#;
    let wrong_amount = http("200 OK", &format!(r#"{{"reference":"{reference}","outcome":"done",{said}}}"#));
    let provider = client(&liar(wrong_amount.clone(), &mut tasks).await, SECRET);

    let mismatch = Err(ProviderError::Mismatch { said: eur(2400) });
    assert_eq!(provider.authorise(&reference, price(), "tok_approve").await, mismatch);
    assert_eq!(provider.capture(&reference, price()).await, mismatch);
    assert_nothing_is_known(provider.refund(&reference, refund, price()).await, &wrong_amount);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_the_secret_is_served() {
    let stand = over_http().await;
    let reference = Reference::of(PaymentId::new(), 1);
    let url = stand.url.clone();

    for secret in ["", "guessed", "only for test"] {
        let answer = client(&url, secret).authorise(&reference, price(), "tok_approve").await;
        assert!(matches!(answer, Err(ProviderError::Unreachable(_))), "{answer:?}");
    }
    assert_eq!(client(&url, "old").status(&reference).await, Ok(None), "both secrets of a rotation are known");
}

/// Passes requests on to a real provider; every second answer is swallowed after its effect.
async fn swallower(target: String, tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (target, count) = (target.trim_start_matches("http://").to_owned(), Arc::new(AtomicUsize::new(0)));
    tasks.spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (target, count) = (target.clone(), count.clone());
            tokio::task::yield_now().await;
            let Ok(mut far) = TcpStream::connect(&target).await else { continue };
            let mut buffer = vec![0; 64 * 1024];
            // One exchange per connection is enough: the client opens another when this one ends.
            let Ok(read @ 1..) = near.read(&mut buffer).await else { continue };
            if far.write_all(&buffer[..read]).await.is_err() {
                continue;
            }
            let Ok(read) = far.read(&mut buffer).await else { continue };
            if count.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
                let _ = near.write_all(&buffer[..read]).await;
            }
        }
    });
    address
}

async fn whatever_a_provider_says_wrongly_is_asked_again_and_charged_once(world: World) {
    let (stand, mut tasks) = (over_http().await, JoinSet::new());
    let id = world.requested("tok_approve").await;
    for lie in lies().into_iter().chain([None]) {
        let tries = world.payment(id).await.steps[0].tries;
        let running = world.work(client(&liar(lie.clone(), &mut tasks).await, SECRET));
        world.until_payment(id, |payment| payment.steps[0].tries > tries + 1).await;
        running.stop().await;

        let payment = world.payment(id).await;
        assert_eq!(payment.state, PaymentState::Authorising, "{lie:?}");
        assert_eq!(payment.steps[0].state, StepState::Unknown, "{lie:?}");
    }

    let running = world.work(client(&swallower(stand.url.clone(), &mut tasks).await, SECRET));
    world.until(id, PaymentState::Authorised).await;
    world.tell(id, &crate::support::confirmed(id, 1)).await.unwrap();
    world.until(id, PaymentState::Captured).await;
    world.tell(id, &crate::support::give_back(id, RefundId::new(), 2500)).await.unwrap();
    world.until(id, PaymentState::Refunded).await;
    running.stop().await;

    assert_eq!(world.told(id).await, ["PaymentAuthorised", "PaymentCaptured", "PaymentRefunded"]);
    assert_eq!(stand.effects().await, ["authorise", "capture", "refund"]);
    world.books_balance().await;
    tokio::time::timeout(Duration::from_secs(5), tasks.shutdown()).await.unwrap();
}

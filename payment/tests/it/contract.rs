//! What every provider behind the port must do, asked of the simulated one in this process and of the one behind HTTP.

use std::sync::Arc;

use common::db::Db;
use common::ids::{PaymentId, RefundId};
use common::runtime::Shutdown;
use common::tls;
use payment::application::ports::{Answer, Authorisation, Provider, ProviderError, RefundStatus};
use payment::domain::Reference;
use payment::infrastructure::provider::http::HttpProvider;
use payment::infrastructure::provider::server;
use payment::infrastructure::provider::simulated::SimulatedProvider;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{eur, price, sqlite_url};

/// A provider, and what keeps it alive.
pub struct Stand {
    pub provider: Arc<dyn Provider>,
    /// Its address; empty in this process.
    pub url: String,
    folder: TempDir,
    _server: JoinSet<anyhow::Result<()>>,
}

impl Stand {
    /// What its ledger says happened, in order.
    pub async fn effects(&self) -> Vec<String> {
        let db = Db::connect(&sqlite_url(&self.folder, "provider"), 1).await.unwrap();
        let rows = db.query(db.reader(), "SELECT kind FROM provider_entries ORDER BY position", []).await.unwrap();
        rows.iter().map(|row| row.try_get("", "kind").unwrap()).collect()
    }
}

/// The secret of providers here.
pub const SECRET: &str = "only for tests";

/// The simulated provider in this process.
async fn in_process() -> Stand {
    let folder = tempfile::tempdir().unwrap();
    let provider = SimulatedProvider::open(&sqlite_url(&folder, "provider")).await.unwrap();
    Stand { provider: Arc::new(provider), url: String::new(), folder, _server: JoinSet::new() }
}

/// The same behind HTTP.
pub async fn over_http() -> Stand {
    let folder = tempfile::tempdir().unwrap();
    let provider = Arc::new(SimulatedProvider::open(&sqlite_url(&folder, "provider")).await.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut task = JoinSet::new();
    task.spawn(server::serve(listener, provider, vec!["old".to_owned(), SECRET.to_owned()], Shutdown::new()));
    Stand { provider: client(&url, SECRET), url, folder, _server: task }
}

/// The adapter to a provider at an address.
pub fn client(url: &str, secret: &str) -> Arc<dyn Provider> {
    Arc::new(HttpProvider::new(url, secret, tls::client_config(None).unwrap()).unwrap())
}

/// Declares each test twice: in this process and over HTTP.
macro_rules! of_both_providers {
    ($($test:ident),+ $(,)?) => {
        mod of_the_simulated_one {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() { super::$test(super::in_process().await).await; })+
        }
        mod of_the_one_behind_http {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() { super::$test(super::over_http().await).await; })+
        }
    };
}

of_both_providers!(
    every_call_is_done_once_and_answered_alike,
    a_reference_never_seen_is_not_found_and_its_void_is_remembered,
    declines_are_final_and_named,
    a_pending_authorisation_says_so,
    another_amount_under_a_known_name_is_said_and_never_a_refusal,
    no_more_goes_back_than_was_taken,
    a_pending_refund_fails_and_is_done_when_sent_again,
    parallel_calls_have_one_effect,
);

fn reference() -> Reference {
    Reference::of(PaymentId::new(), 1)
}

fn refused(code: &str) -> Result<Answer, ProviderError> {
    Ok(Answer::Refused { code: code.to_owned() })
}

async fn every_call_is_done_once_and_answered_alike(Stand { provider, .. }: Stand) {
    let (reference, refund) = (reference(), RefundId::new());
    for _ in 0..3 {
        assert_eq!(provider.authorise(&reference, price(), "tok_approve").await, Ok(Answer::Done));
    }
    for _ in 0..3 {
        assert_eq!(provider.capture(&reference, price()).await, Ok(Answer::Done));
    }
    for _ in 0..3 {
        assert_eq!(provider.refund(&reference, refund, eur(2000)).await, Ok(Answer::Done));
    }

    let charge = provider.status(&reference).await.unwrap().unwrap();
    assert_eq!(charge.authorisation, Authorisation::Approved { amount: price() });
    assert_eq!((charge.captured, charge.voided), (Some(price()), false));
    assert_eq!(charge.refunds, [(refund, RefundStatus::Done { amount: eur(2000) })]);
}

async fn a_reference_never_seen_is_not_found_and_its_void_is_remembered(Stand { provider, .. }: Stand) {
    let reference = reference();
    assert_eq!(provider.status(&reference).await, Ok(None));
    for _ in 0..2 {
        assert_eq!(provider.void(&reference).await, Ok(Answer::Done));
    }

    assert_eq!(provider.authorise(&reference, price(), "tok_approve").await, refused("VOIDED"));
    assert!(provider.status(&reference).await.unwrap().unwrap().voided);
}

async fn declines_are_final_and_named(Stand { provider, .. }: Stand) {
    for (token, code) in [("tok_decline", "CARD_DECLINED"), ("tok_insufficient_funds", "INSUFFICIENT_FUNDS")] {
        let reference = reference();
        for token in [token, "tok_approve"] {
            assert_eq!(provider.authorise(&reference, price(), token).await, refused(code));
        }
        let charge = provider.status(&reference).await.unwrap().unwrap();
        assert_eq!(charge.authorisation, Authorisation::Declined { code: code.to_owned() });
        assert_eq!(provider.capture(&reference, price()).await, refused("NOT_AUTHORISED"));
    }
}

async fn a_pending_authorisation_says_so(Stand { provider, .. }: Stand) {
    let reference = reference();
    for _ in 0..2 {
        let answer = provider.authorise(&reference, price(), "tok_approve_after_3600").await;
        assert_eq!(answer, Ok(Answer::Pending));
    }

    assert_eq!(provider.status(&reference).await.unwrap().unwrap().authorisation, Authorisation::Pending);
}

async fn another_amount_under_a_known_name_is_said_and_never_a_refusal(Stand { provider, .. }: Stand) {
    let (reference, refund) = (reference(), RefundId::new());
    let said = |said| Err(ProviderError::Mismatch { said });
    provider.authorise(&reference, price(), "tok_approve").await.unwrap();
    assert_eq!(provider.authorise(&reference, eur(1), "tok_approve").await, said(price()));
    assert_eq!(provider.capture(&reference, eur(2501)).await, said(price()));
    provider.capture(&reference, price()).await.unwrap();
    assert_eq!(provider.capture(&reference, eur(1)).await, said(price()));
    provider.refund(&reference, refund, eur(100)).await.unwrap();

    assert_eq!(provider.refund(&reference, refund, eur(200)).await, said(eur(100)));
}

async fn no_more_goes_back_than_was_taken(Stand { provider, .. }: Stand) {
    let reference = reference();
    provider.authorise(&reference, price(), "tok_approve").await.unwrap();
    assert_eq!(provider.refund(&reference, RefundId::new(), eur(1)).await, refused("NOT_CAPTURED"));
    provider.capture(&reference, price()).await.unwrap();
    provider.refund(&reference, RefundId::new(), eur(2000)).await.unwrap();

    assert_eq!(provider.refund(&reference, RefundId::new(), eur(501)).await, refused("REFUND_EXCEEDS"));
    assert_eq!(provider.void(&reference).await, refused("ALREADY_CAPTURED"));
}

async fn a_pending_refund_fails_and_is_done_when_sent_again(Stand { provider, .. }: Stand) {
    let (reference, refund) = (reference(), RefundId::new());
    provider.authorise(&reference, price(), "tok_refund_pending_then_failed").await.unwrap();
    provider.capture(&reference, price()).await.unwrap();
    assert_eq!(provider.refund(&reference, refund, price()).await, Ok(Answer::Pending));

    let failed = RefundStatus::Failed { code: "REFUND_FAILED".to_owned() };
    let started = tokio::time::Instant::now();
    while provider.status(&reference).await.unwrap().unwrap().refunds != [(refund, failed.clone())] {
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "the refund never failed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    assert_eq!(provider.refund(&reference, refund, price()).await, Ok(Answer::Done));
}

async fn parallel_calls_have_one_effect(stand: Stand) {
    let reference = reference();
    let mut calls = JoinSet::new();
    for token in ["tok_approve", "tok_decline"].repeat(5) {
        let (provider, reference) = (stand.provider.clone(), reference.clone());
        calls.spawn(async move { provider.authorise(&reference, price(), token).await.unwrap() });
    }

    let mut answers = calls.join_all().await;

    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(stand.effects().await.len(), 1);
}

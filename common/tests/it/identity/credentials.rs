//! The process's own tokens: one for everybody, renewed in time, and the secret nowhere but at the token endpoint.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::auth::{Principal, Role};
use common::oidc::AuthSettings;
use common::testing::issuer::{Behaviour, CLIENT_SECRET, TestIssuer};
use futures_util::future::join_all;

use super::{Process, lazy};
use crate::world::eventually;

#[tokio::test]
async fn fifty_that_ask_at_once_share_one_token_that_says_service() {
    let issuer = TestIssuer::start().await;
    let process = Process::ready(&lazy(&issuer)).await;

    let tokens = join_all((0..50).map(|_| process.identity.tokens.token())).await;

    let token = tokens[0].as_ref().unwrap();
    assert!(tokens.iter().all(|other| other.as_ref().unwrap() == token));
    assert_eq!(issuer.tokens_asked(), 1);
    let mesh = Principal { subject: "eventix-mesh@clients".into(), roles: vec![Role::Service] };
    assert_eq!(process.verify(token).await, Ok(mesh));
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_without_anybody_waiting() {
    let issuer = TestIssuer::start().await;
    issuer.set_token_life(Duration::from_secs(3));
    let process = Process::ready(&lazy(&issuer)).await;
    let first = process.identity.tokens.token().await.unwrap();

    let second = eventually("another token", async || {
        let token = tokio::time::timeout(Duration::from_millis(100), process.identity.tokens.token());
        let token = token.await.expect("nobody waits").unwrap();
        (token != first).then_some(token)
    })
    .await;

    assert!(process.verify(&second).await.is_ok());
    assert!(issuer.tokens_asked() <= 4, "{} requests", issuer.tokens_asked());
}

#[tokio::test]
async fn the_last_token_serves_to_its_end_while_the_endpoint_is_down_and_then_a_call_is_told() {
    let issuer = TestIssuer::start().await;
    issuer.set_token_life(Duration::from_secs(4));
    let process = Process::ready(&lazy(&issuer)).await;
    let first = process.identity.tokens.token().await.unwrap();

    issuer.set_tokens(Behaviour::Fails);
    let asked = issuer.tokens_asked();
    eventually("renewing failed", async || (issuer.tokens_asked() > asked).then_some(())).await;
    assert_eq!(process.identity.tokens.token().await.unwrap(), first);

    eventually("no token is left", async || process.identity.tokens.token().await.err()).await;
    issuer.set_tokens(Behaviour::Answers);
    eventually("a new token", async || process.identity.tokens.token().await.ok()).await;
}

#[tokio::test]
async fn nothing_but_a_bearer_token_is_taken_for_one() {
    let behaviours = [Behaviour::TalksNonsense, Behaviour::Floods, Behaviour::Redirects, Behaviour::Fails];
    join_all(behaviours.map(|behaviour| async move {
        let issuer = TestIssuer::start().await;
        issuer.set_tokens(behaviour);
        let process = Process::ready(&lazy(&issuer)).await;

        let refused = process.identity.tokens.token().await;

        assert!(refused.is_err(), "{behaviour:?}");
        assert!((1..10).contains(&issuer.tokens_asked()), "{behaviour:?}: {}", issuer.tokens_asked());
    }))
    .await;
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_secret_is_in_no_error_and_no_log_though_the_endpoint_repeats_it() {
    let said = Said::default();
    let writer = said.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let escaped: String = form_urlencoded::byte_serialize(CLIENT_SECRET.as_bytes()).collect();
    let issuer = TestIssuer::start().await;

    for (secret, behaviour) in [(CLIENT_SECRET, Behaviour::Fails), ("not-the-secret", Behaviour::Answers)] {
        issuer.set_tokens(behaviour);
        let settings = AuthSettings { client_secret: secret.into(), ..lazy(&issuer) };
        let process = Process::ready(&settings).await;
        let asked = issuer.tokens_asked();
        eventually("it was refused", async || (issuer.tokens_asked() > asked + 1).then_some(())).await;
        let refused = format!("{:#} {settings:?}", process.identity.tokens.token().await.unwrap_err());
        for hidden in [secret, &escaped] {
            assert!(!refused.contains(hidden), "{refused}");
        }
    }

    let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("401 Unauthorized: access_denied"), "{said}");
    for hidden in [CLIENT_SECRET, &escaped, "not-the-secret"] {
        assert!(!said.contains(hidden), "{said}");
    }
}

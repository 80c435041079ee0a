//! An issuer that is down, hangs, floods or lies: closed, but never wrong, and open again by itself.

use common::auth::{Role, TokenError};
use common::error::ErrorKind;
use common::oidc::AuthSettings;
use common::testing::authority::{THIS_MACHINE, TestAuthority};
use common::testing::issuer::{Behaviour, TestIssuer};
use futures_util::future::join_all;
use tokio::net::TcpListener;

use super::{Process, hasty, lazy};
use crate::world::eventually;

#[tokio::test]
async fn without_a_first_key_set_tokens_are_neither_good_nor_bad_until_the_issuer_is_well() {
    let behaviours = [
        Behaviour::Hangs,
        Behaviour::Fails,
        Behaviour::TalksNonsense,
        Behaviour::Floods,
        Behaviour::Drips,
        Behaviour::Redirects,
    ];
    join_all(behaviours.map(|behaviour| async move {
        let issuer = TestIssuer::start().await;
        issuer.set_keys(behaviour);
        let process = Process::start(&lazy(&issuer));
        let token = issuer.token("alice", Role::Customer);

        // Asked a second time, the first answer was of no use.
        eventually("it is asked again", async || (issuer.keys_asked() >= 2).then_some(())).await;
        assert!(!process.identity.verifier.ready(), "{behaviour:?}");
        assert_eq!(process.verify(&token).await, Err(TokenError::KeysMissing), "{behaviour:?}");

        issuer.set_keys(Behaviour::Answers);
        process.until_ready().await;
        assert!(process.verify(&token).await.is_ok(), "{behaviour:?}");
    }))
    .await;
}

#[tokio::test]
async fn an_issuer_that_comes_up_later_is_found() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = reserved.local_addr().unwrap();
    let issuer = TestIssuer::on(reserved).await;
    let (settings, token) = (lazy(&issuer), issuer.token("alice", Role::Customer));
    issuer.stop().await;
    let process = Process::start(&settings);
    assert_eq!(process.verify(&token).await, Err(TokenError::KeysMissing));

    let _issuer = TestIssuer::on(TcpListener::bind(addr).await.unwrap()).await;

    process.until_ready().await;
    assert!(process.verify(&token).await.is_ok());
}

#[tokio::test]
async fn keys_are_believed_while_the_issuer_is_down_but_not_beyond_their_age() {
    let issuer = TestIssuer::start().await;
    let process = Process::ready(&hasty(&issuer)).await;
    let token = issuer.token("alice", Role::Customer);

    issuer.set_keys(Behaviour::Fails);
    let asked = issuer.keys_asked();
    eventually("a refresh failed", async || (issuer.keys_asked() > asked + 1).then_some(())).await;
    assert!(process.verify(&token).await.is_ok());

    eventually("the keys are too old", async || {
        (process.verify(&token).await == Err(TokenError::KeysTooOld)).then_some(())
    })
    .await;
    assert!(!process.identity.verifier.ready());
    assert_eq!(TokenError::KeysTooOld.refusal(), (ErrorKind::Unavailable, "AUTH_KEYS_TOO_OLD"));

    issuer.set_keys(Behaviour::Answers);
    process.until_ready().await;
    assert!(process.verify(&token).await.is_ok());
}

#[tokio::test]
async fn an_issuer_behind_tls_is_believed_only_when_its_authority_is_trusted() {
    let (ours, theirs) = (TestAuthority::new(), TestAuthority::new());
    let issuer = TestIssuer::start_with_tls(&ours, THIS_MACHINE).await;
    let trusting = |ca_file| AuthSettings { ca_file, ..hasty(&issuer) };

    let right = Process::ready(&trusting(Some(ours.ca_file()))).await;
    let wrong = Process::start(&trusting(Some(theirs.ca_file())));
    let public = Process::start(&trusting(None));
    let token = issuer.token("alice", Role::Customer);
    // Each of the two asks for keys and for a token.
    eventually("strangers are let go", async || (issuer.let_go() >= 6).then_some(())).await;

    assert!(right.verify(&token).await.is_ok());
    assert!(right.identity.tokens.token().await.is_ok(), "the token endpoint likewise");
    assert_eq!(wrong.verify(&token).await, Err(TokenError::KeysMissing));
    assert_eq!(public.verify(&token).await, Err(TokenError::KeysMissing));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = TestAuthority::new();
    let issuer = TestIssuer::start_with_tls(&authority, &["issuer.example.com", "127.0.0.1"]).await;

    let process = Process::start(&AuthSettings { ca_file: Some(authority.ca_file()), ..hasty(&issuer) });
    eventually("the name is not believed", async || (issuer.let_go() >= 4).then_some(())).await;

    assert!(!process.identity.verifier.ready());
}

#[test]
fn settings_with_faults_make_no_identity() {
    let refused = common::oidc::identity(&AuthSettings::default()).err().unwrap().to_string();

    assert!(refused.contains("auth.issuer is missing") && refused.contains("auth.client_secret is missing"));
}

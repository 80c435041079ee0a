//! Which tokens are good.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::auth::{Principal, Role, TokenError};
use common::clock::{Clock, SystemClock};
use common::dev_issuer::DevIssuer;
use common::testing::issuer::{AUDIENCE, ROLES_CLAIM, TestIssuer, TestKey, sign};
use ring::hmac;
use serde_json::{Value, json};

use super::{Process, lazy};

/// The claims of a good token with one of them changed.
fn with(issuer: &TestIssuer, claim: &str, value: Value) -> Value {
    let mut claims = issuer.claims("auth0|alice", Role::Customer);
    claims[claim] = value;
    claims
}

fn without(issuer: &TestIssuer, claim: &str) -> Value {
    let mut claims = issuer.claims("auth0|alice", Role::Customer);
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

#[tokio::test]
async fn a_token_of_the_issuer_is_good_in_every_shape_that_issuers_give_it() {
    let issuer = TestIssuer::start().await;
    let process = Process::ready(&lazy(&issuer)).await;
    let alice = |roles: &[Role]| Principal { subject: "auth0|alice".into(), roles: roles.to_vec() };

    let audiences = process.verify(&issuer.token("auth0|alice", Role::Customer)).await;
    let audience = process.verify(&sign(TestKey::First, &with(&issuer, "aud", json!(AUDIENCE)))).await;
    let role = process.verify(&sign(TestKey::First, &with(&issuer, ROLES_CLAIM, json!("Admin")))).await;
    let roles = json!(["Admin", "admin", "Customer", "Admin", 7]);
    let roles = process.verify(&sign(TestKey::First, &with(&issuer, ROLES_CLAIM, roles))).await;

    assert_eq!(audiences, Ok(alice(&[Role::Customer])));
    assert_eq!(audience, Ok(alice(&[Role::Customer])));
    assert_eq!(role, Ok(alice(&[Role::Admin])));
    assert_eq!(roles, Ok(alice(&[Role::Admin, Role::Customer])));
}

#[tokio::test]
async fn every_claim_is_checked() {
    let issuer = TestIssuer::start().await;
    let process = Process::ready(&lazy(&issuer)).await;
    let now = SystemClock.now().timestamp();
    let slashless = issuer.settings().issuer.trim_end_matches('/').to_owned();

    for (claims, refusal) in [
        (with(&issuer, "iss", json!(slashless)), "InvalidIssuer"),
        (with(&issuer, "iss", json!("https://other.example.com/")), "InvalidIssuer"),
        (without(&issuer, "iss"), "iss"),
        (with(&issuer, "aud", json!(["https://other.example.com"])), "InvalidAudience"),
        (without(&issuer, "aud"), "aud"),
        (with(&issuer, "exp", json!(now - 60)), "ExpiredSignature"),
        (without(&issuer, "exp"), "exp"),
        (with(&issuer, "nbf", json!(now + 300)), "ImmatureSignature"),
        (without(&issuer, "sub"), "sub"),
        (with(&issuer, "sub", json!("")), "sub"),
    ] {
        let refused = process.verify(&sign(TestKey::First, &claims)).await.unwrap_err();
        assert!(matches!(&refused, TokenError::Invalid(why) if why.contains(refusal)), "{claims}: {refused:?}");
    }
}

#[tokio::test]
async fn only_exact_roles_in_the_configured_claim_count() {
    let issuer = TestIssuer::start().await;
    let process = Process::ready(&lazy(&issuer)).await;
    let mut elsewhere = without(&issuer, ROLES_CLAIM);
    elsewhere["roles"] = json!(["Admin"]);

    for claims in [
        elsewhere,
        with(&issuer, ROLES_CLAIM, json!(["admin", "ADMIN", " Admin", "Admin,Service"])),
        with(&issuer, ROLES_CLAIM, json!({"Admin": true})),
        with(&issuer, ROLES_CLAIM, json!([])),
    ] {
        let refused = process.verify(&sign(TestKey::First, &claims)).await;
        assert_eq!(refused, Err(TokenError::NoRole), "{claims}");
    }
}

#[tokio::test]
async fn no_other_algorithm_is_believed_whatever_it_was_keyed_with() {
    let issuer = TestIssuer::start().await;
    let process = Process::ready(&lazy(&issuer)).await;
    let (modulus, _) = TestKey::First.public();
    let unsigned = |header: Value| {
        let claims = issuer.claims("mallory", Role::Admin);
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
    };
    let keyed = |secret: &[u8]| {
        let text = unsigned(json!({"alg": "HS256", "typ": "JWT", "kid": TestKey::First.id()}));
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    };

    for token in [
        format!("{}.", unsigned(json!({"alg": "none", "kid": TestKey::First.id()}))),
        format!("{}.c2ln", unsigned(json!({"alg": "none", "kid": TestKey::First.id()}))),
        keyed(modulus.as_bytes()),
        keyed(&URL_SAFE_NO_PAD.decode(&modulus).unwrap()),
        format!("{}.c2ln", unsigned(json!({"alg": "RS512", "kid": TestKey::First.id()}))),
    ] {
        let refused = process.verify(&token).await.unwrap_err();
        assert!(matches!(refused, TokenError::Invalid(_)), "{token}: {refused:?}");
    }
}

#[tokio::test]
async fn a_key_that_travels_in_the_token_is_not_looked_at() {
    let issuer = TestIssuer::start().await;
    let process = Process::ready(&lazy(&issuer)).await;
    let (n, e) = TestKey::Second.public();
    let header = json!({"alg": "RS256", "kid": TestKey::First.id(), "jku": "https://mallory.example.com/jwks.json",
        "jwk": {"kty": "RSA", "n": n, "e": e}});
    let theirs = sign(TestKey::Second, &issuer.claims("mallory", Role::Admin));
    let mixed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), theirs.split_once('.').unwrap().1);

    assert!(process.verify(&mixed).await.is_err());
}

#[tokio::test]
async fn development_tokens_and_the_development_key_are_refused() {
    let issuer = TestIssuer::start().await;
    let development = DevIssuer::new(std::sync::Arc::new(SystemClock)).unwrap();
    let mut renamed = development.jwks().clone();
    renamed.keys[0].kid = "renamed".into();
    issuer.publish_others(&[json!(development.jwks().keys[0]), json!(renamed.keys[0])]);
    let process = Process::ready(&lazy(&issuer)).await;
    let token = development.mint("mallory", Role::Admin).unwrap();
    let (_, signed) = token.split_once('.').unwrap();

    for kid in [common::dev_issuer::KEY_ID, "renamed"] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "RS256", "kid": kid}).to_string());
        let refused = process.verify(&format!("{header}.{signed}")).await;
        assert_eq!(refused, Err(TokenError::UnknownKey), "{kid}");
    }
}

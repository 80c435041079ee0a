//! Keys come and go, and nobody can make us ask for them all the time.

use std::time::{Duration, Instant};

use common::auth::{Role, TokenError};
use common::oidc::AuthSettings;
use common::testing::issuer::{Behaviour, TestIssuer, TestKey, sign, sign_with};
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, Header};

use super::{Process, hasty, lazy};
use crate::world::eventually;

fn named(issuer: &TestIssuer, kid: String) -> String {
    let header = Header { kid: Some(kid), ..Header::new(Algorithm::RS256) };
    sign_with(&header, TestKey::Second, &issuer.claims("mallory", Role::Admin))
}

#[tokio::test]
async fn a_token_signed_by_a_key_published_meanwhile_is_good_at_once() {
    let issuer = TestIssuer::start().await;
    let settings = AuthSettings { key_cooldown: Duration::ZERO, ..lazy(&issuer) };
    let process = Process::ready(&settings).await;
    let token = sign(TestKey::Second, &issuer.claims("alice", Role::Customer));
    assert_eq!(process.verify(&token).await, Err(TokenError::UnknownKey));

    issuer.publish(&[TestKey::First, TestKey::Second]);
    let asked_before = issuer.keys_asked();
    let found = join_all((0..50).map(|_| process.verify(&token))).await;

    assert!(found.iter().all(Result::is_ok), "{found:?}");
    assert!(issuer.keys_asked() - asked_before <= 2, "{} fetches", issuer.keys_asked() - asked_before);
    assert!(process.verify(&issuer.token("bob", Role::Customer)).await.is_ok(), "the old key is still good");
}

#[tokio::test]
async fn a_storm_of_unknown_keys_costs_one_fetch_per_cool_down() {
    let issuer = TestIssuer::start().await;
    let cooldown = Duration::from_millis(400);
    let process = Process::ready(&AuthSettings { key_cooldown: cooldown, ..lazy(&issuer) }).await;
    let began = Instant::now();

    let mut refused = 0;
    while began.elapsed() < cooldown * 5 {
        let tokens: Vec<String> = (0..40).map(|n| named(&issuer, format!("{refused}-{n}"))).collect();
        let outcomes = join_all(tokens.iter().map(|token| process.verify(token))).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Err(TokenError::UnknownKey)), "{outcomes:?}");
        refused += outcomes.len();
    }

    let most = 2 + usize::try_from(began.elapsed().as_millis() / cooldown.as_millis()).unwrap();
    let asked = issuer.keys_asked();
    assert!((3..=most).contains(&asked), "{refused} tokens, {asked} fetches, at most {most}");
}

#[tokio::test]
async fn a_storm_cannot_use_up_the_fetch_that_brings_a_new_key() {
    let issuer = TestIssuer::start().await;
    let process = Process::ready(&AuthSettings { key_cooldown: Duration::from_millis(300), ..lazy(&issuer) }).await;
    issuer.publish(&[TestKey::Second]);
    let token = sign(TestKey::Second, &issuer.claims("alice", Role::Customer));

    // Who gives up at once takes nothing with him: the fetch is not his.
    eventually("the new key is found through the storm", async || {
        let nonsense = named(&issuer, "nonsense".into());
        let _ = tokio::time::timeout(Duration::from_millis(1), process.verify(&nonsense)).await;
        process.verify(&token).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_removed_key_is_good_until_the_next_refresh_only() {
    let issuer = TestIssuer::start().await;
    let process = Process::ready(&hasty(&issuer)).await;
    let old = issuer.token("alice", Role::Customer);
    assert!(process.verify(&old).await.is_ok());

    issuer.publish(&[TestKey::Second]);

    eventually("the removed key is refused", async || {
        (process.verify(&old).await == Err(TokenError::UnknownKey)).then_some(())
    })
    .await;
    let new = sign(TestKey::Second, &issuer.claims("alice", Role::Customer));
    assert!(process.verify(&new).await.is_ok());
}

#[tokio::test]
async fn a_set_without_keys_takes_none_away() {
    let issuer = TestIssuer::start().await;
    let process = Process::ready(&hasty(&issuer)).await;
    let token = issuer.token("alice", Role::Customer);

    issuer.publish(&[]);
    let asked = issuer.keys_asked();
    eventually("two more fetches", async || (issuer.keys_asked() >= asked + 2).then_some(())).await;

    assert!(process.verify(&token).await.is_ok());
}

#[tokio::test]
async fn a_token_with_an_unknown_key_does_not_wait_for_ever_for_an_issuer_that_hangs() {
    let issuer = TestIssuer::start().await;
    let process = Process::ready(&AuthSettings { key_cooldown: Duration::ZERO, ..lazy(&issuer) }).await;
    issuer.set_keys(Behaviour::Hangs);
    let asked = issuer.keys_asked();
    let began = Instant::now();

    let tokens: Vec<String> = (0..20).map(|n| named(&issuer, n.to_string())).collect();
    let unknown = join_all(tokens.iter().map(|token| process.verify(token)));
    let known = async {
        eventually("the fetch is under way", async || (issuer.keys_asked() > asked).then_some(())).await;
        let began = Instant::now();
        let outcome = process.verify(&issuer.token("alice", Role::Customer)).await;
        (outcome, began.elapsed())
    };
    let (unknown, (known, took)) = tokio::join!(unknown, known);

    assert!(unknown.iter().all(|outcome| *outcome == Err(TokenError::UnknownKey)), "{unknown:?}");
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    assert!(known.is_ok() && took < Duration::from_secs(1), "others are not held up: {known:?} after {took:?}");
}

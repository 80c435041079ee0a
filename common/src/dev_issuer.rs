//! The development issuer of the embedded run: signs with a public, checked-in key, so its tokens outlive restarts
//! and prove nothing. Never trusted outside the embedded run.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rsa::PublicKeyComponents;
use ring::signature::RsaKeyPair;

use crate::auth::{Identity, Issuer, Jwk, Jwks, Role, ServiceTokens, Verifier, install_crypto};
use crate::clock::Clock;

/// Key id of the public development key; production refuses it.
pub const KEY_ID: &str = "eventix-development";
/// `iss` of development tokens; production refuses it.
pub const ISSUER: &str = "https://development.eventix.invalid/";
/// `aud` of development tokens.
pub const AUDIENCE: &str = "eventix";
/// Where development tokens list their roles.
pub const ROLES_CLAIM: &str = "https://eventix.invalid/roles";

/// How long a token lives.
const TOKEN_LIFE_SECONDS: i64 = 24 * 60 * 60;
/// How much earlier than now a token holds: each process mints by its own clock, and another's may be behind.
const NOT_BEFORE_SLACK_SECONDS: i64 = 3600;
/// How long a service token is used before the next one is minted.
const SERVICE_TOKEN_REUSE: Duration = Duration::from_secs(300);
const KEY_PEM: &str = include_str!("../../gateway/dev-issuer.pem");

/// Mints development tokens.
pub struct DevIssuer {
    key: EncodingKey,
    jwks: Jwks,
    clock: Arc<dyn Clock>,
    service_token: Mutex<Option<(Instant, String)>>,
}

impl DevIssuer {
    /// Reads the checked-in key.
    pub fn new(clock: Arc<dyn Clock>) -> anyhow::Result<Arc<Self>> {
        install_crypto();
        let der = pkcs8_der(KEY_PEM)?;
        let pair = RsaKeyPair::from_pkcs8(&der).map_err(|e| anyhow::anyhow!("development key: {e}"))?;
        let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let jwk = Jwk {
            kty: "RSA".into(),
            kid: KEY_ID.into(),
            n: URL_SAFE_NO_PAD.encode(public.n),
            e: URL_SAFE_NO_PAD.encode(public.e),
            alg: Some("RS256".into()),
            r#use: Some("sig".into()),
        };
        Ok(Arc::new(Self {
            key: EncodingKey::from_rsa_der(pkcs1_inside(&der)?),
            jwks: Jwks { keys: vec![jwk] },
            clock,
            service_token: Mutex::new(None),
        }))
    }

    /// The public half, as a key set.
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }

    /// What to check its tokens against.
    pub fn issuer() -> Issuer {
        Issuer { issuer: ISSUER.into(), audience: AUDIENCE.into(), roles_claim: ROLES_CLAIM.into() }
    }

    /// A verifier that trusts this issuer alone.
    pub fn verifier(&self) -> anyhow::Result<Arc<Verifier>> {
        Ok(Verifier::new(&Self::issuer(), &self.jwks)?)
    }

    /// The whole identity of an embedded run.
    pub fn identity(self: &Arc<Self>) -> anyhow::Result<Identity> {
        Ok(Identity { verifier: self.verifier()?, tokens: self.clone() })
    }

    /// Mints a token that lives 24 hours.
    pub fn mint(&self, subject: &str, role: Role) -> anyhow::Result<String> {
        anyhow::ensure!(!subject.is_empty() && subject.len() <= 255, "the user's name must be 1 to 255 bytes long");
        let now = self.clock.now().timestamp();
        let claims = serde_json::json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now,
            "nbf": now - NOT_BEFORE_SLACK_SECONDS,
            "exp": now + TOKEN_LIFE_SECONDS,
            ROLES_CLAIM: [role],
        });
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(KEY_ID.into());
        jsonwebtoken::encode(&header, &claims, &self.key).context("signing a development token")
    }
}

#[async_trait::async_trait]
impl ServiceTokens for DevIssuer {
    async fn token(&self) -> anyhow::Result<String> {
        let mut cached = self.service_token.lock().expect("no holder of this lock panics");
        if let Some((minted, token)) = cached.as_ref()
            && minted.elapsed() < SERVICE_TOKEN_REUSE
        {
            return Ok(token.clone());
        }
        let token = self.mint("eventix-service", Role::Service)?;
        *cached = Some((Instant::now(), token.clone()));
        Ok(token)
    }
}

fn pkcs8_der(pem: &str) -> anyhow::Result<Vec<u8>> {
    let body: String = pem
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .collect();
    STANDARD.decode(body).context("development key is not base64")
}

/// jsonwebtoken signs with PKCS#1; inside an RSA PKCS#8 document that is the last octet string.
fn pkcs1_inside(pkcs8: &[u8]) -> anyhow::Result<&[u8]> {
    let start = pkcs8
        .windows(4)
        .skip(4)
        .position(|w| w[0] == 0x04 && w[1] == 0x82)
        .map(|at| at + 4 + 4)
        .context("development key is not PKCS#8")?;
    pkcs8.get(start..).context("development key is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Principal, TokenError};
    use crate::clock::{ManualClock, SystemClock};

    #[tokio::test]
    async fn its_tokens_verify() {
        let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
        let token = issuer.mint("alice", Role::Customer).unwrap();

        let principal = issuer.verifier().unwrap().verify(&token).await.unwrap();

        assert_eq!(principal, Principal { subject: "alice".into(), roles: vec![Role::Customer] });
    }

    #[tokio::test]
    async fn a_changed_token_is_refused() {
        let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
        let token = issuer.mint("alice", Role::Customer).unwrap();
        let other = issuer.mint("mallory", Role::Admin).unwrap();
        let mixed = format!("{}.{}", other.rsplit_once('.').unwrap().0, token.rsplit_once('.').unwrap().1);

        let refusal = issuer.verifier().unwrap().verify(&mixed).await.unwrap_err();

        assert_eq!(refusal, TokenError::Invalid("InvalidSignature".into()));
    }

    #[tokio::test]
    async fn an_expired_token_is_refused() {
        let clock = ManualClock::at("2020-01-01T00:00:00Z".parse().unwrap());
        let issuer = DevIssuer::new(Arc::new(clock)).unwrap();
        let token = issuer.mint("alice", Role::Customer).unwrap();

        let refusal = issuer.verifier().unwrap().verify(&token).await.unwrap_err();

        assert_eq!(refusal, TokenError::Invalid("ExpiredSignature".into()));
    }

    #[tokio::test]
    async fn other_algorithms_and_unknown_keys_are_refused() {
        let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
        let verifier = issuer.verifier().unwrap();
        let claims = issuer.mint("alice", Role::Admin).unwrap();
        let claims = claims.split('.').nth(1).unwrap();
        let with_header = |header: &str| format!("{}.{claims}.c2ln", URL_SAFE_NO_PAD.encode(header));

        for header in [
            r#"{"alg":"none","kid":"eventix-development"}"#,
            r#"{"alg":"HS256","kid":"eventix-development"}"#,
            r#"{"alg":"RS256","kid":"other"}"#,
            r#"{"alg":"RS256"}"#,
        ] {
            assert!(verifier.verify(&with_header(header)).await.is_err(), "{header}");
        }
    }
}

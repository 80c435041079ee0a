//! Which keys may verify: a fixed set, or one that its keeper fetches again and again and that must not grow too old.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::TokenError;

/// Shortest modulus believed, bytes: 2048 bits.
const MODULUS_BYTES_MIN: usize = 256;
/// Longest wait of one token for the end of a fetch; longer than any fetch takes.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
/// Some issuers pad, most do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A public RSA key of an issuer (RFC 7517); what else stands in it is of no use here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Jwk {
    /// `RSA`.
    pub kty: String,
    /// Key id.
    pub kid: String,
    /// Modulus, base64url.
    pub n: String,
    /// Exponent, base64url.
    pub e: String,
    /// `RS256`, or nothing said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig`, or nothing said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#use: Option<String>,
}

/// A key set, as served at a JWKS address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// Why a key set is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// It is no JSON object with a list of keys.
    #[error("this is no key set")]
    Unreadable(#[source] serde_json::Error),
    /// Not one key in it can verify RS256.
    #[error("the key set has no key for RS256")]
    Empty,
}

impl Jwks {
    /// Reads the RSA keys of a key set; keys of other kinds are skipped, whatever they look like.
    ///
    /// # Errors
    /// [`KeySetError::Unreadable`].
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Mixed {
            keys: Vec<serde_json::Value>,
        }
        let mixed: Mixed = serde_json::from_slice(text).map_err(KeySetError::Unreadable)?;
        Ok(Self { keys: mixed.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect() })
    }
}

impl Jwk {
    /// The modulus without leading zeros, when this key can verify RS256.
    pub(crate) fn modulus(&self) -> Option<Vec<u8>> {
        let signs = self.r#use.as_deref().is_none_or(|purpose| purpose == "sig");
        let rs256 = self.kty == "RSA" && self.alg.as_deref().is_none_or(|algorithm| algorithm == "RS256");
        let modulus = number(&self.n).filter(|_| signs && rs256 && !self.kid.is_empty())?;
        (modulus.len() >= MODULUS_BYTES_MIN).then_some(modulus)
    }

    fn decoding(&self) -> Option<DecodingKey> {
        let (modulus, exponent) = (self.modulus()?, number(&self.e)?);
        Some(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
    }
}

fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text).ok()?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[first..].to_vec())
}

/// Keys by their ids.
pub(crate) struct KeySet(HashMap<String, DecodingKey>);

impl KeySet {
    /// The keys that can verify RS256; of two with one id, the first.
    pub(crate) fn of(jwks: &Jwks) -> Result<Self, KeySetError> {
        let mut keys = HashMap::new();
        for jwk in &jwks.keys {
            if let Some(key) = jwk.decoding() {
                keys.entry(jwk.kid.clone()).or_insert(key);
            }
        }
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self(keys)) }
    }

    pub(crate) fn get(&self, kid: &str) -> Option<&DecodingKey> {
        self.0.get(kid)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Where a verifier gets its keys.
pub(crate) enum KeySource {
    /// Known for good.
    Fixed(Arc<KeySet>),
    /// As the issuer tells them.
    Fetched(FetchedKeys),
}

impl KeySource {
    pub(crate) fn ready(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Fetched(keys) => keys.usable().is_ok(),
        }
    }

    /// The keys among which to look for an id.
    pub(crate) async fn keys_for(&self, kid: &str) -> Result<Arc<KeySet>, TokenError> {
        match self {
            Self::Fixed(keys) => Ok(keys.clone()),
            Self::Fetched(keys) => keys.keys_for(kid).await,
        }
    }
}

/// What the last fetches brought.
#[derive(Clone, Default)]
pub(crate) struct Fetched {
    /// The newest key set, and when it was asked for.
    pub(crate) keys: Option<(Arc<KeySet>, Instant)>,
    /// When the last fetch began, successful or not.
    pub(crate) attempted_at: Option<Instant>,
}

/// The reading side of a key set that is fetched.
pub(crate) struct FetchedKeys {
    pub(crate) news: watch::Receiver<Fetched>,
    /// Tells the keeper that a key is wanted which is not there.
    pub(crate) wanted: Arc<Notify>,
    /// Shortest time between two fetches that tokens ask for.
    pub(crate) cooldown: Duration,
    /// The age at which keys are no longer believed.
    pub(crate) age_max: Duration,
}

impl FetchedKeys {
    fn usable(&self) -> Result<Arc<KeySet>, TokenError> {
        let fetched = self.news.borrow();
        let (keys, fetched_at) = fetched.keys.as_ref().ok_or(TokenError::KeysMissing)?;
        if fetched_at.elapsed() > self.age_max {
            return Err(TokenError::KeysTooOld);
        }
        Ok(keys.clone())
    }

    async fn keys_for(&self, kid: &str) -> Result<Arc<KeySet>, TokenError> {
        let keys = self.usable()?;
        if keys.get(kid).is_some() {
            return Ok(keys);
        }
        self.look_again().await;
        self.usable()
    }

    /// Waits for one more fetch, unless the last one is too recent for that. However many tokens ask, the keeper fetches
    /// once, and not again before the cool-down is over.
    async fn look_again(&self) {
        let mut news = self.news.clone();
        let attempted_at = news.borrow_and_update().attempted_at;
        if attempted_at.is_some_and(|at| at.elapsed() < self.cooldown) {
            return;
        }
        self.wanted.notify_one();
        // When the time is over, or the keeper is gone, what is there has to do.
        let _ = timeout(LOOK_PATIENCE, news.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::dev_issuer::DevIssuer;

    fn modulus() -> String {
        DevIssuer::new(Arc::new(SystemClock)).unwrap().jwks().keys[0].n.clone()
    }

    #[test]
    fn what_cannot_verify_rs256_is_skipped_and_what_else_stands_in_a_key_is_ignored() {
        let n = modulus();
        let text = serde_json::json!({"keys": [
            {"kty": "EC", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA", "use": "sig"},
            {"kty": "OKP", "kid": "okp", "crv": "Ed25519", "x": "AA"},
            {"kty": "oct", "kid": "oct", "k": "c2VjcmV0"},
            {"kty": "RSA", "kid": "enc", "use": "enc", "alg": "RSA-OAEP", "n": n, "e": "AQAB"},
            {"kty": "RSA", "kid": "rs512", "use": "sig", "alg": "RS512", "n": n, "e": "AQAB"},
            {"kty": "RSA", "kid": "short", "use": "sig", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "not base64", "use": "sig", "n": "?", "e": "AQAB"},
            {"kty": "RSA", "use": "sig", "n": n, "e": "AQAB"},
            "no key at all",
            {"kty": "RSA", "kid": "auth0", "use": "sig", "alg": "RS256", "n": n, "e": "AQAB",
             "x5t": "c2hhMQ", "x5c": ["MIIC"], "x5u": null},
            {"kty": "RSA", "kid": "plain", "n": format!("{n}=="), "e": "AQAB"},
        ], "extra": 1});

        let keys = KeySet::of(&Jwks::parse(text.to_string().as_bytes()).unwrap()).unwrap();

        let mut ids: Vec<_> = keys.0.keys().map(String::as_str).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["auth0", "plain"]);
    }

    #[test]
    fn a_leading_zero_of_the_modulus_makes_no_other_key() {
        let bytes = BASE64.decode(modulus()).unwrap();
        let padded = BASE64.encode([&[0], bytes.as_slice()].concat());

        assert_eq!(number(&padded), Some(bytes));
    }

    #[test]
    fn a_set_without_a_usable_key_is_refused() {
        assert!(matches!(Jwks::parse(b"<html>"), Err(KeySetError::Unreadable(_))));
        assert!(matches!(Jwks::parse(b"{}"), Err(KeySetError::Unreadable(_))));
        assert!(matches!(KeySet::of(&Jwks::parse(br#"{"keys":[]}"#).unwrap()), Err(KeySetError::Empty)));
    }
}

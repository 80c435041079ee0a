//! Bearer tokens to principals: RS256 only, every registered claim checked, keys only from the known key set.
//!
//! - `keys`: which keys may verify, fixed or fetched again and again
//! - `rs256`: the one algorithm, on ring

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};

use crate::error::ErrorKind;

pub(crate) mod keys;
mod rs256;

pub use keys::{Jwk, Jwks, KeySetError};
pub use rs256::install_crypto;

use keys::{KeySet, KeySource};

/// Clock difference forgiven between issuer and us, seconds.
const LEEWAY_SECONDS: u64 = 30;
/// Longest token looked at, bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest key id looked for, bytes.
const KEY_ID_BYTES_MAX: usize = 255;

/// What a caller may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Organisers and box offices.
    Admin,
    /// People who buy.
    Customer,
    /// Other services.
    Service,
}

impl Role {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "Admin" => Some(Self::Admin),
            "Customer" => Some(Self::Customer),
            "Service" => Some(Self::Service),
            _ => None,
        }
    }
}

/// Who calls, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Subject of the token: unique per issuer.
    pub subject: String,
    /// Known roles of the token, without repeats.
    pub roles: Vec<Role>,
}

impl Principal {
    /// Whether the caller has a role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether the caller may see what belongs to `owner`.
    pub fn may_see(&self, owner: &str) -> bool {
        self.subject == owner || self.has(Role::Admin) || self.has(Role::Service)
    }
}

/// Why a token is refused. The text names the check, never the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No token at all.
    #[error("a bearer token is required")]
    Missing,
    /// Not `Bearer <token>`, or too long.
    #[error("the authorization header is not a bearer token")]
    Malformed,
    /// Signed by a key we do not know.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// A check failed.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// Valid, but without any role we know.
    #[error("the token carries no known role")]
    NoRole,
    /// The issuer's keys have not been had yet: nothing is known about the token.
    #[error("the issuer's keys are not there yet")]
    KeysMissing,
    /// The issuer's keys are too old to be believed: nothing is known about the token.
    #[error("the issuer's keys are too old")]
    KeysTooOld,
}

impl TokenError {
    /// What the caller can do about it, and its stable code: show another token, or try again.
    pub fn refusal(&self) -> (ErrorKind, &'static str) {
        match self {
            Self::Missing | Self::Malformed | Self::UnknownKey | Self::Invalid(_) | Self::NoRole => {
                (ErrorKind::Unauthenticated, "UNAUTHENTICATED")
            }
            Self::KeysMissing => (ErrorKind::Unavailable, "AUTH_KEYS_MISSING"),
            Self::KeysTooOld => (ErrorKind::Unavailable, "AUTH_KEYS_TOO_OLD"),
        }
    }
}

/// Where tokens come from and for whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Exact `iss`.
    pub issuer: String,
    /// Required in `aud`.
    pub audience: String,
    /// Name of the namespaced claim that lists roles.
    pub roles_claim: String,
}

/// Verifies tokens of one issuer; every process has its own.
pub struct Verifier {
    keys: KeySource,
    validation: Validation,
    roles_claim: String,
}

impl Verifier {
    /// Trusts exactly these keys.
    ///
    /// # Errors
    /// None of them can verify RS256.
    pub fn new(issuer: &Issuer, jwks: &Jwks) -> Result<Arc<Self>, KeySetError> {
        Ok(Self::over(issuer, KeySource::Fixed(Arc::new(KeySet::of(jwks)?))))
    }

    pub(crate) fn over(issuer: &Issuer, keys: KeySource) -> Arc<Self> {
        install_crypto();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&issuer.issuer]);
        validation.set_audience(&[&issuer.audience]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS;
        Arc::new(Self { keys, validation, roles_claim: issuer.roles_claim.clone() })
    }

    /// Whether tokens can be verified now: the keys are there and not too old.
    pub fn ready(&self) -> bool {
        self.keys.ready()
    }

    /// Verifies an `Authorization` header.
    pub async fn verify_header(&self, header: Option<&http::HeaderValue>) -> Result<Principal, TokenError> {
        let header = header.ok_or(TokenError::Missing)?;
        let text = header.to_str().map_err(|_| TokenError::Malformed)?;
        let (scheme, token) = text.split_once(' ').ok_or(TokenError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::Malformed);
        }
        self.verify(token.trim()).await
    }

    /// Verifies a token. One signed by a key that is not known may have to wait until the keys were looked at again.
    pub async fn verify(&self, token: &str) -> Result<Principal, TokenError> {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(invalid)?;
        if header.alg != Algorithm::RS256 {
            return Err(TokenError::Invalid("only RS256 is accepted".into()));
        }
        let kid = header.kid.filter(|kid| kid.len() <= KEY_ID_BYTES_MAX).ok_or(TokenError::UnknownKey)?;
        let keys = self.keys.keys_for(&kid).await?;
        let key = keys.get(&kid).ok_or(TokenError::UnknownKey)?;
        let claims: serde_json::Map<String, serde_json::Value> =
            jsonwebtoken::decode(token, key, &self.validation).map_err(invalid)?.claims;
        self.principal(&claims)
    }

    fn principal(&self, claims: &serde_json::Map<String, serde_json::Value>) -> Result<Principal, TokenError> {
        let subject = claims.get("sub").and_then(|s| s.as_str()).unwrap_or_default();
        if subject.is_empty() || subject.len() > 255 {
            return Err(TokenError::Invalid("sub must be 1 to 255 bytes".into()));
        }
        let listed: Vec<Role> = match claims.get(&self.roles_claim) {
            Some(serde_json::Value::String(role)) => Role::parse(role).into_iter().collect(),
            Some(serde_json::Value::Array(list)) => {
                list.iter().filter_map(|r| r.as_str()).filter_map(Role::parse).collect()
            }
            Some(_) | None => Vec::new(),
        };
        let mut roles = Vec::new();
        for role in listed {
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        if roles.is_empty() {
            return Err(TokenError::NoRole);
        }
        Ok(Principal { subject: subject.to_owned(), roles })
    }
}

fn invalid(error: jsonwebtoken::errors::Error) -> TokenError {
    TokenError::Invalid(error.to_string())
}

/// Mints tokens for calls that no user stands behind.
#[async_trait::async_trait]
pub trait ServiceTokens: Send + Sync {
    /// A fresh `Service` token.
    async fn token(&self) -> anyhow::Result<String>;
}

/// How one process knows others and is known: shared by every service it runs.
#[derive(Clone)]
pub struct Identity {
    /// Checks the tokens of callers.
    pub verifier: Arc<Verifier>,
    /// Mints tokens for calls that no user stands behind.
    pub tokens: Arc<dyn ServiceTokens>,
}

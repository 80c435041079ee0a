//! Bearer tokens to principals: RS256 only, every registered claim checked, keys only from the known key set.

use std::collections::HashMap;
use std::sync::{Arc, Once};

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind as JwtErrorKind, Result as JwtResult, new_error};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier as SignatureVerifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, Validation};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde::{Deserialize, Serialize};

/// Clock difference forgiven between issuer and us, seconds.
const LEEWAY_SECONDS: u64 = 30;
/// Longest token looked at, bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

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

/// A public RSA key of the issuer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Jwk {
    /// Always `RSA`.
    pub kty: String,
    /// Key id.
    pub kid: String,
    /// Modulus, base64url.
    pub n: String,
    /// Exponent, base64url.
    pub e: String,
    /// `RS256`.
    pub alg: String,
    /// `sig`.
    pub r#use: String,
}

/// A key set, as served at a JWKS address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// Verifies tokens of one issuer; every process has its own.
pub struct Verifier {
    keys: HashMap<String, DecodingKey>,
    validation: Validation,
    roles_claim: String,
}

impl Verifier {
    /// Trusts exactly these keys.
    ///
    /// # Errors
    /// A key that is not base64url RSA.
    pub fn new(issuer: &Issuer, jwks: &Jwks) -> anyhow::Result<Arc<Self>> {
        install_crypto();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&issuer.issuer]);
        validation.set_audience(&[&issuer.audience]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS;
        let mut keys = HashMap::new();
        for key in &jwks.keys {
            keys.insert(key.kid.clone(), DecodingKey::from_rsa_components(&key.n, &key.e)?);
        }
        Ok(Arc::new(Self { keys, validation, roles_claim: issuer.roles_claim.clone() }))
    }

    /// Verifies an `Authorization` header.
    pub fn verify_header(&self, header: Option<&http::HeaderValue>) -> Result<Principal, TokenError> {
        let header = header.ok_or(TokenError::Missing)?;
        let text = header.to_str().map_err(|_| TokenError::Malformed)?;
        let (scheme, token) = text.split_once(' ').ok_or(TokenError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::Malformed);
        }
        self.verify(token.trim())
    }

    /// Verifies a token.
    pub fn verify(&self, token: &str) -> Result<Principal, TokenError> {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(invalid)?;
        if header.alg != Algorithm::RS256 {
            return Err(TokenError::Invalid("only RS256 is accepted".into()));
        }
        let key = header.kid.as_deref().and_then(|kid| self.keys.get(kid)).ok_or(TokenError::UnknownKey)?;
        let claims: serde_json::Map<String, serde_json::Value> =
            jsonwebtoken::decode(token, key, &self.validation).map_err(invalid)?.claims;
        self.principal(&claims)
    }

    fn principal(&self, claims: &serde_json::Map<String, serde_json::Value>) -> Result<Principal, TokenError> {
        let subject = claims.get("sub").and_then(|s| s.as_str()).unwrap_or_default();
        if subject.is_empty() || subject.len() > 255 {
            return Err(TokenError::Invalid("sub must be 1 to 255 bytes".into()));
        }
        let mut roles: Vec<Role> = match claims.get(&self.roles_claim) {
            Some(serde_json::Value::String(role)) => Role::parse(role).into_iter().collect(),
            Some(serde_json::Value::Array(list)) => {
                list.iter().filter_map(|r| r.as_str()).filter_map(Role::parse).collect()
            }
            Some(_) | None => Vec::new(),
        };
        roles.dedup();
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

/// Installs the ring provider for jsonwebtoken, once per process; it panics without one.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| {
            if *algorithm != Algorithm::RS256 {
                return Err(new_error(JwtErrorKind::InvalidAlgorithm));
            }
            Ok(Box::new(Rs256Signer(key.clone())) as Box<dyn JwtSigner>)
        },
        verifier_factory: rs256_verifier,
        key_utils: KeyUtils::new_unimplemented(),
    };
    ONCE.call_once(|| {
        // A second installation can only come from a test binary's own provider.
        let _ = PROVIDER.install_default();
    });
}

fn rs256_verifier(algorithm: &Algorithm, key: &DecodingKey) -> JwtResult<Box<dyn JwtVerifier>> {
    match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            Ok(Box::new(Rs256Verifier { n: n.clone(), e: e.clone() }))
        }
        _ => Err(new_error(JwtErrorKind::InvalidAlgorithm)),
    }
}

struct Rs256Signer(EncodingKey);

impl Signer<Vec<u8>> for Rs256Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let key = RsaKeyPair::from_der(self.0.as_bytes()).map_err(|_| SignatureError::new())?;
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &ring::rand::SystemRandom::new(), message, &mut signature)
            .map_err(|_| SignatureError::new())?;
        Ok(signature)
    }
}

impl JwtSigner for Rs256Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

struct Rs256Verifier {
    n: Vec<u8>,
    e: Vec<u8>,
}

impl SignatureVerifier<Vec<u8>> for Rs256Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        RsaPublicKeyComponents { n: &self.n, e: &self.e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Rs256Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

/// How one process knows others and is known: shared by every service it runs.
#[derive(Clone)]
pub struct Identity {
    /// Checks the tokens of callers.
    pub verifier: Arc<Verifier>,
    /// Mints tokens for calls that no user stands behind.
    pub tokens: Arc<dyn ServiceTokens>,
}

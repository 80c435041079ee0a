//! An OIDC issuer of a test's own: a key set and a token endpoint over HTTP or HTTPS, which count who asks and do what
//! the test wants: rotate, hang, fail, lie.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{StatusCode, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rsa::PublicKeyComponents;
use ring::signature::RsaKeyPair;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;

use super::authority::{TestAuthority, TlsListener};
use crate::auth::{Role, install_crypto};
use crate::clock::{Clock, SystemClock};
use crate::oidc::AuthSettings;

/// What its tokens are for.
pub const AUDIENCE: &str = "https://api.eventix.test";
/// Where its tokens list their roles.
pub const ROLES_CLAIM: &str = "https://eventix.test/roles";
/// Who asks the token endpoint.
pub const CLIENT_ID: &str = "eventix-mesh";
/// The secret of [`CLIENT_ID`]: long, and with characters that a form must escape.
pub const CLIENT_SECRET: &str = "s3cret&of=the+mesh%20";

/// A key pair of the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestKey {
    /// The first one.
    First,
    /// The one after a rotation.
    Second,
}

/// What an address of the issuer does when asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers as it should.
    Answers,
    /// Takes the request and says nothing.
    Hangs,
    /// Answers 500, and repeats what it was sent.
    Fails,
    /// Answers 200 with a page for people.
    TalksNonsense,
    /// Answers 200 without an end.
    Floods,
    /// Answers 200, a byte now and then.
    Drips,
    /// Sends elsewhere, where the answer would be the right one.
    Redirects,
}

/// One address: how often it was asked, and what it does.
struct Door {
    asked: AtomicUsize,
    behaviour: Mutex<Behaviour>,
}

impl Door {
    fn new() -> Self {
        Self { asked: AtomicUsize::new(0), behaviour: Mutex::new(Behaviour::Answers) }
    }

    /// Counts, and answers unless it should answer well.
    async fn enter(&self, elsewhere: &str, sent: Bytes) -> Option<Response> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let behaviour = *self.behaviour.lock().expect("no holder of this lock panics");
        match behaviour {
            Behaviour::Answers => None,
            Behaviour::Hangs => std::future::pending().await,
            Behaviour::Fails => Some((StatusCode::INTERNAL_SERVER_ERROR, sent).into_response()),
            Behaviour::TalksNonsense => Some("<html>It works!</html>".into_response()),
            Behaviour::Floods => Some(flood(Duration::ZERO, "[".repeat(64 * 1024))),
            Behaviour::Drips => Some(flood(Duration::from_millis(100), " ".to_owned())),
            Behaviour::Redirects => {
                Some((StatusCode::FOUND, [(header::LOCATION, elsewhere.to_owned())]).into_response())
            }
        }
    }
}

fn flood(pause: Duration, chunk: String) -> Response {
    let chunks =
        tokio_stream::iter(std::iter::repeat(Ok::<_, std::convert::Infallible>(chunk))).then(move |chunk| async move {
            tokio::time::sleep(pause).await;
            chunk
        });
    Body::from_stream(chunks).into_response()
}

struct Shared {
    base: String,
    published: Mutex<Vec<TestKey>>,
    others: Mutex<Vec<Value>>,
    token_life: Mutex<Duration>,
    keys: Door,
    tokens: Door,
}

/// A running issuer; gone when dropped.
pub struct TestIssuer {
    shared: Arc<Shared>,
    let_go: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl TestIssuer {
    /// Over HTTP, with the first key published.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a free port")).await
    }

    /// Over HTTP on a listener of the test's.
    ///
    /// # Panics
    /// When the listener has no address.
    pub async fn on(listener: TcpListener) -> Self {
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let (shared, app) = Self::app(base);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { shared, let_go: Arc::default(), tasks }
    }

    /// Over HTTPS on `localhost`, with a certificate for these names.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start_with_tls(authority: &TestAuthority, names: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
        let (shared, app) = Self::app(base);
        let let_go = Arc::default();
        let listener = TlsListener { listener, acceptor: authority.acceptor(names), let_go: Arc::clone(&let_go) };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { shared, let_go, tasks }
    }

    fn app(base: String) -> (Arc<Shared>, Router) {
        install_crypto();
        let shared = Arc::new(Shared {
            base,
            published: Mutex::new(vec![TestKey::First]),
            others: Mutex::new(Vec::new()),
            token_life: Mutex::new(Duration::from_secs(3600)),
            keys: Door::new(),
            tokens: Door::new(),
        });
        let app = Router::new()
            .route("/.well-known/jwks.json", get(key_set))
            .route("/elsewhere/jwks.json", get(async |State(shared): State<Arc<Shared>>| Json(shared.key_set())))
            .route("/oauth/token", post(grant))
            .with_state(shared.clone());
        (shared, app)
    }

    /// Stops answering; the port is free afterwards.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    /// Everything a process needs to trust it and to have tokens from it.
    pub fn settings(&self) -> AuthSettings {
        AuthSettings {
            issuer: self.shared.issuer(),
            audience: AUDIENCE.into(),
            jwks_url: format!("{}/.well-known/jwks.json", self.shared.base),
            roles_claim: ROLES_CLAIM.into(),
            token_url: format!("{}/oauth/token", self.shared.base),
            client_id: CLIENT_ID.into(),
            client_secret: CLIENT_SECRET.into(),
            ..AuthSettings::default()
        }
    }

    /// Publishes exactly these keys from now on.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    pub fn publish(&self, keys: &[TestKey]) {
        *self.shared.published.lock().expect("no holder of this lock panics") = keys.to_vec();
    }

    /// Publishes further keys, whatever they are.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    pub fn publish_others(&self, keys: &[Value]) {
        *self.shared.others.lock().expect("no holder of this lock panics") = keys.to_vec();
    }

    /// How long tokens from its token endpoint live.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    pub fn set_token_life(&self, life: Duration) {
        *self.shared.token_life.lock().expect("no holder of this lock panics") = life;
    }

    /// What the key set's address does from now on.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    pub fn set_keys(&self, behaviour: Behaviour) {
        *self.shared.keys.behaviour.lock().expect("no holder of this lock panics") = behaviour;
    }

    /// What the token endpoint does from now on.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    pub fn set_tokens(&self, behaviour: Behaviour) {
        *self.shared.tokens.behaviour.lock().expect("no holder of this lock panics") = behaviour;
    }

    /// How often its key set was asked for.
    pub fn keys_asked(&self) -> usize {
        self.shared.keys.asked.load(Ordering::SeqCst)
    }

    /// How often its token endpoint was asked.
    pub fn tokens_asked(&self) -> usize {
        self.shared.tokens.asked.load(Ordering::SeqCst)
    }

    /// How many connections did not get beyond TLS.
    pub fn let_go(&self) -> usize {
        self.let_go.load(Ordering::SeqCst)
    }

    /// What a token of this issuer says.
    pub fn claims(&self, subject: &str, role: Role) -> Value {
        self.shared.claims(subject, role, Duration::from_secs(3600))
    }

    /// A good token.
    pub fn token(&self, subject: &str, role: Role) -> String {
        sign(TestKey::First, &self.claims(subject, role))
    }
}

impl Shared {
    /// With a slash at the end, as Auth0 has it.
    fn issuer(&self) -> String {
        format!("{}/", self.base)
    }

    fn claims(&self, subject: &str, role: Role, life: Duration) -> Value {
        let now = SystemClock.now().timestamp();
        json!({
            "iss": self.issuer(),
            "aud": [AUDIENCE, format!("{}/userinfo", self.base)],
            "sub": subject,
            "iat": now,
            "exp": now + i64::try_from(life.as_secs()).unwrap_or(i64::MAX),
            "azp": CLIENT_ID,
            ROLES_CLAIM: [role],
        })
    }

    /// As Auth0 tells it, with keys beside that sign nothing for us.
    fn key_set(&self) -> Value {
        let published = self.published.lock().expect("no holder of this lock panics");
        let mut keys: Vec<Value> = published.iter().map(|key| jwk(*key)).collect();
        keys.push(
            json!({"kty": "EC", "use": "sig", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA", "alg": "ES256"}),
        );
        keys.extend_from_slice(&self.others.lock().expect("no holder of this lock panics"));
        json!({ "keys": keys })
    }
}

async fn key_set(State(shared): State<Arc<Shared>>) -> Response {
    let elsewhere = format!("{}/elsewhere/jwks.json", shared.base);
    match shared.keys.enter(&elsewhere, Bytes::new()).await {
        Some(response) => response,
        None => Json(shared.key_set()).into_response(),
    }
}

/// Grants a token as RFC 6749 says; one that is no `Service` for who asks as another client.
async fn grant(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    if let Some(response) = shared.tokens.enter("/oauth/token", body.clone()).await {
        return response;
    }
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("audience", AUDIENCE),
    ];
    if form != expected.map(|(name, value)| (name.to_owned(), value.to_owned())) {
        let said = json!({"error": "access_denied", "error_description": format!("not granted: {form:?}")});
        return (StatusCode::UNAUTHORIZED, Json(said)).into_response();
    }
    let life = *shared.token_life.lock().expect("no holder of this lock panics");
    let claims = shared.claims(&format!("{CLIENT_ID}@clients"), Role::Service, life);
    let token = sign(TestKey::First, &claims);
    Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": life.as_secs()})).into_response()
}

/// Signs claims.
///
/// # Panics
/// Never, unless the key that is checked in breaks.
pub fn sign(key: TestKey, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(key.id().to_owned());
    sign_with(&header, key, claims)
}

/// Signs claims under a header of the test's choice.
///
/// # Panics
/// When the header asks for another algorithm than RS256.
pub fn sign_with(header: &Header, key: TestKey, claims: &Value) -> String {
    install_crypto();
    jsonwebtoken::encode(header, claims, &EncodingKey::from_rsa_der(&key.der())).expect("it signs")
}

/// The public half, as Auth0 shows one.
fn jwk(key: TestKey) -> Value {
    let (n, e) = key.public();
    json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key.id(), "n": n, "e": e, "x5t": "dGh1bWI", "x5c": ["MIIC"]})
}

impl TestKey {
    /// Its key id.
    pub fn id(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }

    /// Modulus and exponent, base64url.
    ///
    /// # Panics
    /// Never, unless the key that is checked in breaks.
    pub fn public(self) -> (String, String) {
        let pair = RsaKeyPair::from_der(&self.der()).expect("the key is checked in");
        let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
        (URL_SAFE_NO_PAD.encode(public.n), URL_SAFE_NO_PAD.encode(public.e))
    }

    fn der(self) -> Vec<u8> {
        let pem = match self {
            Self::First => include_str!("../../tests/keys/first.pem"),
            Self::Second => include_str!("../../tests/keys/second.pem"),
        };
        let body = pem.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1);
        let body: String = body.take_while(|line| !line.starts_with("-----END")).collect();
        STANDARD.decode(body).expect("the key is checked in")
    }
}

//! Identity as production has it: keys and tokens of an issuer in the test's hands.

mod credentials;
mod failing;
mod rotating;
mod serving;
mod verifying;

use std::time::Duration;

use common::auth::{Identity, Principal, TokenError};
use common::oidc::{self, AuthSettings};
use common::runtime::Shutdown;
use common::testing::issuer::TestIssuer;
use tokio::task::JoinSet;

use crate::world::eventually;

/// One process's identity, kept up to date until it is dropped.
struct Process {
    identity: Identity,
    _keeping: JoinSet<anyhow::Result<()>>,
}

impl Process {
    /// Not ready yet.
    fn start(settings: &AuthSettings) -> Self {
        let (identity, keeper) = oidc::identity(settings).unwrap();
        let mut keeping = JoinSet::new();
        keeping.spawn(keeper.run(Shutdown::new()));
        Self { identity, _keeping: keeping }
    }

    async fn ready(settings: &AuthSettings) -> Self {
        let process = Self::start(settings);
        process.until_ready().await;
        process
    }

    async fn until_ready(&self) {
        eventually("keys are there", async || self.identity.verifier.ready().then_some(())).await;
    }

    async fn verify(&self, token: &str) -> Result<Principal, TokenError> {
        self.identity.verifier.verify(token).await
    }
}

/// Quick enough for a test to see keys come and go.
fn hasty(issuer: &TestIssuer) -> AuthSettings {
    AuthSettings {
        key_refresh: Duration::from_millis(200),
        key_cooldown: Duration::from_millis(100),
        key_age_max: Duration::from_secs(2),
        ..issuer.settings()
    }
}

/// So slow that within a test only tokens cause fetches, and only one.
fn lazy(issuer: &TestIssuer) -> AuthSettings {
    AuthSettings { key_refresh: Duration::from_secs(600), key_cooldown: Duration::from_secs(300), ..issuer.settings() }
}

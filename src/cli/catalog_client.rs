//! A client of a running product's catalog, as an Admin of this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::auth::Role;
use common::clock::SystemClock;
use common::dev_issuer::DevIssuer;
use common::error::Refused;
use common::grpc::{Caller, MeshChannel};
use common::proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use tonic::Status;

/// Catalog's client.
pub(super) type CatalogClient = CatalogServiceClient<MeshChannel>;

/// Connects at the first call; calls end after `patience`.
pub(super) fn connect(catalog: SocketAddr, patience: Duration) -> anyhow::Result<(CatalogClient, Caller)> {
    let channel = MeshChannel::new("catalog", [format!("http://{catalog}")])?;
    let token = DevIssuer::new(Arc::new(SystemClock))?.mint("eventix-cli", Role::Admin)?;
    Ok((CatalogServiceClient::new(channel), Caller::user(&token, Instant::now() + patience)))
}

/// What catalog said, for people.
pub(super) fn in_words(status: &Status) -> anyhow::Error {
    let refused = Refused::of(status);
    match (refused.reason.as_str(), &refused.field) {
        ("", _) => anyhow::anyhow!("catalog did not answer: {}", refused.message),
        (reason, Some(field)) => anyhow::anyhow!("refused ({reason}): {field}: {}", refused.message),
        (reason, None) => anyhow::anyhow!("refused ({reason}): {}", refused.message),
    }
}

#[cfg(test)]
mod tests {
    use common::error::{ErrorKind, status};

    use super::*;

    #[test]
    fn a_refusal_names_its_field() {
        let said = |field| {
            let refusal =
                status(ErrorKind::InvalidInput, "INVALID_INPUT", "must be 1 to 100", field, Default::default());
            in_words(&refusal).to_string()
        };

        assert_eq!(
            said(Some("areas.0.capacity".into())),
            "refused (INVALID_INPUT): areas.0.capacity: must be 1 to 100"
        );
        assert_eq!(said(None), "refused (INVALID_INPUT): must be 1 to 100");
    }
}

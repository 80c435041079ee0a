//! TLS of outgoing connections: rustls on ring, trusting the public roots or, when a file is named, only what is in it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// How a client meets servers: TLS 1.2 or 1.3, the server's name checked against its certificate.
///
/// Trusts the public certification authorities of the web, or with `ca_file` only the certificates in that PEM file.
///
/// # Errors
/// The file cannot be read, or holds no certificate that could sign others.
pub fn client_config(ca_file: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let roots = match ca_file {
        Some(file) => roots_in(file).with_context(|| format!("certificates in {}", file.display()))?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS versions")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots_in(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    ensure!(!roots.is_empty(), "there are none");
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_with_its_name() {
        let folder = tempfile::TempDir::new().unwrap();
        let (absent, empty) = (folder.path().join("absent.pem"), folder.path().join("empty.pem"));
        std::fs::write(&empty, "no certificate").unwrap();

        for file in [absent, empty] {
            let refusal = client_config(Some(&file)).unwrap_err();
            assert!(format!("{refusal:#}").contains(file.to_str().unwrap()), "{refusal:#}");
        }
        assert!(client_config(None).is_ok());
    }
}

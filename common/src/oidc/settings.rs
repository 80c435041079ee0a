//! What is configured about the issuer.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::http::Uri;
use serde::{Deserialize, Serialize};

use crate::dev_issuer;
use crate::settings::{Fault, Secret, empty_is_none};

/// Whose tokens are good, and how this process gets its own: `EVENTIX_<SERVICE>__AUTH__…`. Nothing set means the
/// development issuer, which production refuses.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthSettings {
    /// Exact `iss` of tokens, with its trailing slash where the issuer has one: `https://example.eu.auth0.com/`.
    pub issuer: String,
    /// Required in `aud` of tokens, and asked for in this process's own.
    pub audience: String,
    /// Where the issuer's keys stand: `https://example.eu.auth0.com/.well-known/jwks.json`.
    pub jwks_url: String,
    /// Name of the claim that lists roles, exactly `Admin`, `Customer` or `Service`: `https://example.com/roles`.
    pub roles_claim: String,
    /// Where this process gets tokens for calls without a user: `https://example.eu.auth0.com/oauth/token`.
    pub token_url: String,
    /// Who this process is there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// PEM file with the certification authorities trusted for both addresses; default: the public ones.
    #[serde(deserialize_with = "empty_is_none")]
    pub ca_file: Option<PathBuf>,
    /// How often keys are fetched; a key that the issuer removed is good for so long at most. Default 10 minutes.
    #[serde(with = "humantime_serde")]
    pub key_refresh: Duration,
    /// How soon after a fetch a token with an unknown key may cause another. Default 30 seconds.
    #[serde(with = "humantime_serde")]
    pub key_cooldown: Duration,
    /// How old keys may grow while the issuer cannot be reached; then every token is refused. Default 24 hours.
    #[serde(with = "humantime_serde")]
    pub key_age_max: Duration,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            jwks_url: String::new(),
            roles_claim: String::new(),
            token_url: String::new(),
            client_id: String::new(),
            client_secret: Secret::default(),
            ca_file: None,
            key_refresh: Duration::from_secs(600),
            key_cooldown: Duration::from_secs(30),
            key_age_max: Duration::from_secs(24 * 3600),
        }
    }
}

impl AuthSettings {
    /// Whether anything about an issuer was set; if not, only the development issuer is left.
    pub fn is_set(&self) -> bool {
        self.texts().iter().any(|(_, text)| !text.is_empty()) || self.ca_file.is_some()
    }

    /// Every fault, by the name of its setting.
    pub fn faults(&self) -> Vec<Fault> {
        let empty = self.texts().into_iter().filter(|(_, text)| text.is_empty());
        let mut faults: Vec<Fault> = empty.map(|(name, _)| Fault::new(name, "is missing")).collect();
        if self.issuer == dev_issuer::ISSUER {
            faults.push(Fault::new("issuer", "is the development issuer, whose key is public"));
        }
        for (name, text) in self.addresses().into_iter().filter(|(_, text)| !text.is_empty()) {
            if let Err(error) = address(text) {
                faults.push(Fault::new(name, format!("{text:?} {error}")));
            }
        }
        if self.key_refresh.is_zero() || self.key_cooldown > self.key_refresh || self.key_age_max <= self.key_refresh {
            let ages = (self.key_cooldown, self.key_refresh, self.key_age_max);
            let order = format!("{ages:?}: key_cooldown, key_refresh and key_age_max must grow in this order");
            faults.push(Fault::new("key_age_max", order));
        }
        faults
    }

    /// The addresses that would be asked without TLS, loopback aside: there anybody on the way could sign for the
    /// issuer and read the client's secret.
    pub fn plaintext(&self) -> Vec<Fault> {
        let plain = |text: &str| address(text).is_ok_and(|uri| uri.scheme_str() == Some("http") && !is_loopback(&uri));
        let plain = self.addresses().into_iter().filter(|(_, text)| plain(text));
        plain.map(|(name, text)| Fault::new(name, format!("{text:?} is not https"))).collect()
    }

    fn addresses(&self) -> [(&'static str, &str); 2] {
        [("jwks_url", &self.jwks_url), ("token_url", &self.token_url)]
    }

    fn texts(&self) -> [(&'static str, &str); 7] {
        [
            ("issuer", &self.issuer),
            ("audience", &self.audience),
            ("jwks_url", &self.jwks_url),
            ("roles_claim", &self.roles_claim),
            ("token_url", &self.token_url),
            ("client_id", &self.client_id),
            ("client_secret", self.client_secret.expose()),
        ]
    }
}

/// An address that can be asked.
pub(super) fn address(text: &str) -> anyhow::Result<Uri> {
    let uri: Uri = text.parse().map_err(|_| anyhow::anyhow!("is no address"))?;
    let known = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    anyhow::ensure!(known, "is no http or https address");
    Ok(uri)
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> AuthSettings {
        AuthSettings {
            issuer: "https://example.eu.auth0.com/".into(),
            audience: "https://api.example.com".into(),
            jwks_url: "https://example.eu.auth0.com/.well-known/jwks.json".into(),
            roles_claim: "https://example.com/roles".into(),
            token_url: "https://example.eu.auth0.com/oauth/token".into(),
            client_id: "booking".into(),
            client_secret: "top-secret".into(),
            ..AuthSettings::default()
        }
    }

    #[test]
    fn nothing_set_is_told_apart_from_something_missing() {
        assert!(!AuthSettings::default().is_set());
        assert!(sound().is_set());
        assert!(sound().faults().is_empty());

        let partly = AuthSettings { audience: String::new(), client_secret: Secret::default(), ..sound() };

        let missing = ["audience", "client_secret"].map(|name| Fault::new(name, "is missing"));
        assert_eq!(partly.faults(), missing);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let settings = AuthSettings {
            issuer: dev_issuer::ISSUER.into(),
            jwks_url: "example.com/jwks".into(),
            token_url: "ftp://example.com/token".into(),
            key_age_max: Duration::from_secs(60),
            ..sound()
        };

        let faults = format!("{:?}", settings.faults());

        for part in ["development issuer", "jwks_url", "token_url", "key_age_max"] {
            assert!(faults.contains(part), "{part}: {faults}");
        }
    }

    #[test]
    fn plain_text_is_named_unless_it_stays_on_this_machine() {
        let settings =
            |jwks: &str, token: &str| AuthSettings { jwks_url: jwks.into(), token_url: token.into(), ..sound() };

        assert!(settings("http://127.0.0.1:1/k", "http://[::1]:1/t").plaintext().is_empty());
        let named = settings("http://keys.example.com/k", "http://localhost:1/t").plaintext();
        assert_eq!(named, [Fault::new("jwks_url", r#""http://keys.example.com/k" is not https"#)]);
    }

    #[test]
    fn the_secret_is_neither_shown_nor_written() {
        let shown = format!("{:?}", sound());
        let written = serde_json::to_string(&sound()).unwrap();

        assert!(!shown.contains("top-secret") && !written.contains("top-secret"));
    }
}

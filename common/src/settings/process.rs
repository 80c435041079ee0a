//! What every service is told about its process: for whom it runs, where it listens, whom it trusts.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::Fault;
use crate::dev_issuer;
use crate::oidc::AuthSettings;

/// For whom a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// For whoever sits at this machine: convenient, and reachable from nowhere else.
    #[default]
    Development,
    /// For everybody: nothing that is public knowledge is trusted, and nothing goes to databases, brokers, Redis or the issuer
    /// in plain text. Calls among the services are not encrypted: that is for their network to do.
    Production,
}

/// Settings of a process, whichever service it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Process {
    /// `development` or `production`. Default `development`.
    pub mode: Mode,
    /// Whether production may reach databases, brokers and issuer without encryption. Default false.
    pub allow_plaintext: bool,
    /// Where the service answers: gRPC, of the gateway HTTP. Default: a port of its own on loopback.
    pub listen: SocketAddr,
    /// Where health, metrics and reflection are. Default: ten ports above `listen`'s default, of the gateway 8081.
    pub admin_listen: SocketAddr,
    /// Whose tokens are trusted. Default: the development issuer's.
    pub auth: AuthSettings,
}

impl Process {
    /// The defaults, on these ports of this machine.
    pub fn on_loopback(port: u16, admin_port: u16) -> Self {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            mode: Mode::Development,
            allow_plaintext: false,
            listen: at(port),
            admin_listen: at(admin_port),
            auth: AuthSettings::default(),
        }
    }

    /// Whether this is production.
    pub fn is_production(&self) -> bool {
        self.mode == Mode::Production
    }

    /// Whether everything that crosses a network must be encrypted.
    pub fn sealed(&self) -> bool {
        self.is_production() && !self.allow_plaintext
    }

    /// Checks what types cannot.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = self.auth_faults().into_iter().map(|fault| fault.inside("auth")).collect();
        if self.listen == self.admin_listen && self.listen.port() != 0 {
            faults.push(Fault::new("admin_listen", "must be another address than listen"));
        }
        if !self.is_production() && !self.auth.is_set() {
            let open = [("listen", self.listen), ("admin_listen", self.admin_listen)];
            faults.extend(open.into_iter().filter(|(_, address)| !address.ip().is_loopback()).map(|(key, address)| {
                let why =
                    "the development issuer gives Admin tokens to anybody, so only loopback addresses are allowed";
                Fault::new(key, format!("is {address}: {why}"))
            }));
        }
        faults
    }

    fn auth_faults(&self) -> Vec<Fault> {
        if !self.auth.is_set() {
            let missing = "is missing: production trusts no development issuer";
            return if self.is_production() { vec![Fault::new("issuer", missing)] } else { Vec::new() };
        }
        let mut faults = self.auth.faults();
        if self.sealed() {
            faults.extend(self.auth.plaintext());
        }
        if self.is_production() && self.auth.roles_claim == dev_issuer::ROLES_CLAIM {
            faults.push(Fault::new("roles_claim", "is the development issuer's"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(process: &Process) -> Vec<String> {
        process.faults().into_iter().map(|fault| fault.key).collect()
    }

    #[test]
    fn development_stays_on_this_machine() {
        let process = Process { listen: "0.0.0.0:50052".parse().unwrap(), ..Process::on_loopback(50052, 50062) };

        assert_eq!(keys(&process), ["listen"]);
        assert!(keys(&Process::on_loopback(50052, 50062)).is_empty());
    }

    #[test]
    fn production_needs_an_issuer() {
        let process = Process { mode: Mode::Production, ..Process::on_loopback(50052, 50062) };

        assert_eq!(keys(&process), ["auth.issuer"]);
        assert!(process.sealed());
        assert!(!Process { allow_plaintext: true, ..process }.sealed());
    }

    #[test]
    fn production_asks_its_issuer_over_tls_unless_allowed_otherwise() {
        let auth = AuthSettings {
            issuer: "https://tenant.example.com/".into(),
            audience: "eventix".into(),
            jwks_url: "http://tenant.example.com/keys".into(),
            roles_claim: dev_issuer::ROLES_CLAIM.into(),
            token_url: "http://tenant.example.com/token".into(),
            client_id: "booking".into(),
            client_secret: "hunter2".into(),
            ..AuthSettings::default()
        };
        let open = Process { auth, listen: "0.0.0.0:50052".parse().unwrap(), ..Process::on_loopback(50052, 50062) };
        let sealed = Process { mode: Mode::Production, ..open.clone() };

        assert!(keys(&open).is_empty(), "development may use another issuer, and may then be reached");
        assert_eq!(keys(&sealed), ["auth.jwks_url", "auth.token_url", "auth.roles_claim"]);
        assert_eq!(keys(&Process { allow_plaintext: true, ..sealed }), ["auth.roles_claim"]);
    }

    #[test]
    fn one_address_cannot_serve_two_purposes() {
        assert_eq!(keys(&Process::on_loopback(50052, 50052)), ["admin_listen"]);
        assert!(keys(&Process::on_loopback(0, 0)).is_empty());
    }
}

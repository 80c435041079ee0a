//! Where a service keeps its rows, and how it may use the database.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use url::Url;

use super::Fault;
use super::process::{Mode, Process};
use super::secret::{MASK, text};

/// A database and how it is used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct DatabaseSettings {
    /// `sqlite://FILE?mode=rwc` or `postgres://user:password@host:port/database?sslmode=require`. Default: a file in the data folder.
    pub url: DatabaseUrl,
    /// The same database as a user who may change the schema; empty: `url`. Only migrations use it.
    pub migration_url: DatabaseUrl,
    /// Most connections to PostgreSQL; SQLite has its own. Default 16.
    pub connections: u32,
    /// Longest time PostgreSQL works on one statement, or waits inside one transaction for the next. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// Longest wait for a free connection. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
    /// Whether the service migrates by itself when it starts. Default: in development only.
    pub migrate: Option<bool>,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::default(),
            migration_url: DatabaseUrl::default(),
            connections: 16,
            statement_timeout: Duration::from_secs(30),
            acquire_timeout: Duration::from_secs(10),
            migrate: None,
        }
    }
}

impl DatabaseSettings {
    /// The defaults, at an address.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: DatabaseUrl::from(url.into()), ..Self::default() }
    }

    /// The same settings as the user who may change the schema.
    #[must_use]
    pub fn for_migration(&self) -> Self {
        let url = if self.migration_url.is_empty() { &self.url } else { &self.migration_url };
        Self { url: url.clone(), connections: 2, ..self.clone() }
    }

    /// Whether a service in this mode migrates by itself.
    pub fn migrates(&self, mode: Mode) -> bool {
        self.migrate.unwrap_or(mode == Mode::Development)
    }

    /// Checks what types cannot; named as settings of this section.
    pub fn faults_inside(&self, section: &str, process: &Process) -> Vec<Fault> {
        let mut faults = self.url.faults("url", process);
        if !self.migration_url.is_empty() {
            faults.extend(self.migration_url.faults("migration_url", process));
        }
        faults.extend(Fault::found([
            (self.connections == 0, "connections", "must be at least 1"),
            (self.statement_timeout.is_zero(), "statement_timeout", "must be longer than nothing"),
            (self.acquire_timeout.is_zero(), "acquire_timeout", "must be longer than nothing"),
        ]));
        faults.into_iter().map(|fault| fault.inside(section)).collect()
    }
}

/// Address of a database. Its password is never shown.
#[derive(Clone, Default, Deserialize)]
#[serde(try_from = "Value")]
pub struct DatabaseUrl(SecretString);

impl DatabaseUrl {
    /// The whole address, for the driver.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// Whether it is a SQLite file.
    pub fn is_sqlite(&self) -> bool {
        self.expose().starts_with("sqlite:")
    }

    /// The same database for a command that looks or decides: a SQLite file is never made, and only read if `reading`.
    #[must_use]
    pub fn as_it_is(&self, reading: bool) -> Self {
        if !self.is_sqlite() {
            return self.clone();
        }
        let file = self.expose().split('?').next().unwrap_or_default();
        Self::from(format!("{file}?mode={}", if reading { "ro" } else { "rw" }))
    }

    fn is_postgres(&self) -> bool {
        self.expose().starts_with("postgres:") || self.expose().starts_with("postgresql:")
    }

    fn faults(&self, key: &str, process: &Process) -> Vec<Fault> {
        let wrong = if !self.is_sqlite() && !self.is_postgres() {
            "must begin with sqlite: or postgres:"
        } else if self.is_postgres() && Url::parse(self.expose()).is_err() {
            "is not an address such as postgres://user:password@host:5432/database"
        } else if self.is_sqlite() && process.is_production() {
            "names a SQLite file: production needs PostgreSQL, which several processes share"
        } else if self.is_postgres() && process.sealed() && !self.is_encrypted() {
            "needs ?sslmode=require, verify-ca or verify-full in production, or ALLOW_PLAINTEXT=true"
        } else {
            return Vec::new();
        };
        vec![Fault::new(key, wrong)]
    }

    fn is_encrypted(&self) -> bool {
        let Ok(url) = Url::parse(self.expose()) else { return false };
        let modes = ["require", "verify-ca", "verify-full"];
        url.query_pairs().any(|(name, value)| matches!(&*name, "sslmode" | "ssl-mode") && modes.contains(&&*value))
    }
}

impl TryFrom<Value> for DatabaseUrl {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        text(value).map(Self)
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url.into())
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() || self.is_sqlite() {
            return f.write_str(self.expose());
        }
        let Ok(mut url) = Url::parse(self.expose()) else { return f.write_str(MASK) };
        if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
            return f.write_str(MASK);
        }
        // The driver takes a password among the parameters too.
        if url.query().is_some() {
            let shown: Vec<(String, String)> = url
                .query_pairs()
                .map(|(name, value)| {
                    let value = if name.contains("password") { MASK.into() } else { value };
                    (name.into_owned(), value.into_owned())
                })
                .collect();
            url.query_pairs_mut().clear().extend_pairs(shown);
        }
        write!(f, "{url}")
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(url: &str, mode: Mode, allow_plaintext: bool) -> Option<String> {
        let process = Process { mode, allow_plaintext, ..Process::on_loopback(0, 0) };
        DatabaseSettings::at(url).faults_inside("database", &process).pop().map(|fault| fault.wrong)
    }

    #[test]
    fn a_password_is_masked_wherever_an_address_is_shown() {
        for url in
            ["postgres://app:hunter2@db:5432/x?sslmode=require", "postgres://app@db/x?password=hunter2", "hunter2"]
        {
            let settings = DatabaseSettings::at(url);

            let shown = format!("{settings:?} {} {}", settings.url, serde_json::to_string(&settings).unwrap());

            assert!(!shown.contains("hunter2"), "{shown}");
            assert_eq!(settings.url.expose(), url);
        }
        let shown = DatabaseSettings::at("postgres://app:hunter2@db:5432/x?sslmode=require").url.to_string();
        assert_eq!(shown, "postgres://app:***@db:5432/x?sslmode=require");
    }

    #[test]
    fn a_command_never_makes_a_file() {
        let url = |text: &str| DatabaseUrl::from(text.to_owned());

        assert_eq!(url("sqlite://x.db?mode=rwc").as_it_is(true).expose(), "sqlite://x.db?mode=ro");
        assert_eq!(url("sqlite://x.db").as_it_is(false).expose(), "sqlite://x.db?mode=rw");
        assert_eq!(url("postgres://h/d?sslmode=require").as_it_is(true).expose(), "postgres://h/d?sslmode=require");
    }

    #[test]
    fn production_wants_an_encrypted_postgresql() {
        let (development, production) = (Mode::Development, Mode::Production);

        assert_eq!(wrong("sqlite://x.db", development, false), None);
        assert_eq!(wrong("postgres://u@h/d", development, false), None);
        assert_eq!(wrong("postgres://u@h/d?sslmode=verify-full", production, false), None);
        assert_eq!(wrong("postgres://u@h/d", production, true), None, "plain text was allowed");
        assert!(wrong("postgres://u@h/d?sslmode=prefer", production, false).unwrap().contains("sslmode=require"));
        assert!(wrong("sqlite://x.db", production, true).unwrap().contains("production needs PostgreSQL"));
        assert!(wrong("mysql://h/d", development, false).unwrap().contains("sqlite: or postgres:"));
        assert!(wrong("postgres://u@h:port/d", development, false).unwrap().contains("not an address"));
    }
}

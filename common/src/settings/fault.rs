//! What is wrong with settings: all of it at once, each fault under the name that its reader wrote.

use std::fmt;

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which one, for instance `database.connections`.
    pub key: String,
    /// What is wrong, as the rest of a sentence that begins with the key. Never holds a secret.
    pub wrong: String,
}

impl Fault {
    /// A fault of a setting.
    pub fn new(key: impl Into<String>, wrong: impl Into<String>) -> Self {
        Self { key: key.into(), wrong: wrong.into() }
    }

    /// Of these checks (whether it is wrong, which setting, in which way) the faults.
    pub fn found<const N: usize>(checks: [(bool, &'static str, &'static str); N]) -> impl Iterator<Item = Self> {
        checks.into_iter().filter(|(wrong, ..)| *wrong).map(|(_, key, text)| Self::new(key, text))
    }

    /// The same fault of a setting inside a section.
    #[must_use]
    pub fn inside(self, section: &str) -> Self {
        Self { key: format!("{section}.{}", self.key), ..self }
    }
}

/// Everything that is wrong with the settings of one service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    service: &'static str,
    lines: Vec<String>,
}

impl Faults {
    /// The faults of a service, one line each; `None` without any.
    pub fn of(service: &'static str, lines: Vec<String>) -> Option<Self> {
        (!lines.is_empty()).then_some(Self { service, lines })
    }

    /// One line each.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "settings of {} cannot be used", self.service)?;
        for line in &self.lines {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// The environment variable of a setting.
pub(super) fn variable(service: &str, key: &str) -> String {
    format!("EVENTIX_{}__{}", service.to_uppercase(), key.replace('.', "__").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_named_by_its_variable() {
        assert_eq!(variable("booking", "database.statement_timeout"), "EVENTIX_BOOKING__DATABASE__STATEMENT_TIMEOUT");
    }
}

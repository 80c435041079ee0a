//! Layered settings: defaults in code, then a TOML file, then `EVENTIX_<SERVICE>__…` from the environment.

use std::path::Path;

use anyhow::Context;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a service's settings over its defaults. Nested keys are joined by two underscores; unknown keys are refused.
///
/// # Errors
/// Names the file or variable and the key at fault.
pub fn load<T: Serialize + DeserializeOwned>(service: &str, defaults: T, file: Option<&Path>) -> anyhow::Result<T> {
    let prefix = format!("EVENTIX_{}__", service.to_uppercase());
    let mut figment = Figment::from(Serialized::defaults(defaults));
    if let Some(file) = file {
        anyhow::ensure!(file.is_file(), "settings file {} does not exist", file.display());
        figment = figment.merge(Toml::file_exact(file));
    }
    figment.merge(Env::prefixed(&prefix).split("__")).extract().with_context(|| format!("settings of {service}"))
}

//! Puts the settings of a service together, and tells everything that is wrong with them at once.
//!
//! Every value is first tried alone over the defaults: a wrong type hides neither a second one nor an unknown name.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::fault::{Fault, Faults, variable};

/// Whose settings there are.
const SERVICES: [&str; 4] = ["catalog", "booking", "payment", "gateway"];
/// How much alike two names must be for one to be proposed instead of the other.
const ALIKE: f64 = 0.7;

/// The settings of a service.
pub trait Settings: Serialize + DeserializeOwned + Default {
    /// Its name, as in `EVENTIX_<SERVICE>__…`.
    const SERVICE: &'static str;

    /// Everything that is wrong and that types cannot rule out.
    fn faults(&self) -> Vec<Fault>;

    /// Refuses settings that cannot be used.
    ///
    /// # Errors
    /// Every fault, under the name of its environment variable.
    fn validate(&self) -> Result<(), Faults> {
        let line = |fault: Fault| format!("{}: {}", variable(Self::SERVICE, &fault.key), fault.wrong);
        Faults::of(Self::SERVICE, self.faults().into_iter().map(line).collect()).map_or(Ok(()), Err)
    }
}

/// Collects values, the weakest first; what comes later wins.
pub struct Loader {
    service: &'static str,
    given: Vec<Given>,
    reserved: Vec<(&'static str, &'static str)>,
    concerning: Option<Vec<&'static str>>,
    faults: Vec<String>,
}

struct Given {
    key: String,
    value: Value,
    origin: Origin,
}

enum Origin {
    Place,
    File(PathBuf),
    Variable(String),
    Flag(&'static str),
}

impl Loader {
    /// Nothing but the defaults yet.
    pub fn new<T: Settings>() -> Self {
        Self { service: T::SERVICE, given: Vec::new(), reserved: Vec::new(), concerning: None, faults: Vec::new() }
    }

    /// What follows from where the process runs, for instance its data folder.
    #[must_use]
    pub fn place(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.given.push(Given { key: key.to_owned(), value: value.into(), origin: Origin::Place });
        self
    }

    /// A TOML file whose names are those of the settings.
    #[must_use]
    pub fn file(mut self, path: Option<&Path>) -> Self {
        let Some(path) = path else { return self };
        match read(path) {
            Ok(table) => {
                let mut leaves = Vec::new();
                flatten("", table, &mut leaves);
                let origin = || Origin::File(path.to_owned());
                self.given.extend(leaves.into_iter().map(|(key, value)| Given { key, value, origin: origin() }));
            }
            Err(wrong) => self.faults.push(format!("{}: {wrong}", path.display())),
        }
        self
    }

    /// The variables `EVENTIX_<SERVICE>__…` among these; nested names are joined by two underscores.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut variables: Vec<(String, OsString)> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with("EVENTIX_") && name.contains("__"))
            .collect();
        variables.sort();
        for (name, value) in variables {
            let (service, key) = name.trim_start_matches("EVENTIX_").split_once("__").unwrap_or_default();
            if !SERVICES.contains(&service.to_lowercase().as_str()) {
                self.faults.push(format!("{name}: there is no service of that name"));
            } else if service.to_lowercase() == self.service {
                // Another spelling is nobody's name.
                let spelled = !key.contains(char::is_lowercase);
                let key = if spelled { key.replace("__", ".").to_lowercase() } else { name.clone() };
                match value.into_string() {
                    Ok(text) => {
                        self.given.push(Given { key, value: Value::String(text), origin: Origin::Variable(name) });
                    }
                    Err(_) => self.faults.push(format!("{name}: is not UTF-8")),
                }
            }
        }
        self
    }

    /// A flag of the command line, if it was given.
    #[must_use]
    pub fn flag(mut self, flag: &'static str, key: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.given.push(Given { key: key.to_owned(), value: value.into(), origin: Origin::Flag(flag) });
        }
        self
    }

    /// Refuses another value than the default for a setting or section, and says why.
    #[must_use]
    pub fn reserve(mut self, keys: &[&'static str], why: &'static str) -> Self {
        self.reserved.extend(keys.iter().map(|key| (*key, why)));
        self
    }

    /// Leaves aside what other sections lack: a command needs less than the service.
    #[must_use]
    pub fn concerning(mut self, sections: impl IntoIterator<Item = &'static str>) -> Self {
        self.concerning = Some(sections.into_iter().collect());
        self
    }

    /// The settings, checked.
    ///
    /// # Errors
    /// Every fault at once: names nobody knows, values that cannot be read, and what they break together.
    pub fn load<T: Settings>(self) -> Result<T, Faults> {
        let defaults = serde_json::to_value(T::default()).expect("settings are a table of plain values");
        let (mut merged, mut names, mut faults) = (defaults.clone(), HashMap::new(), self.faults);
        for given in self.given {
            let name = given.origin.name(self.service, &given.key);
            let reserved = self.reserved.iter().find(|(key, _)| is_inside(&given.key, key));
            match accept::<T>(&defaults, &given, reserved.map(|(_, why)| *why)) {
                Ok(value) => {
                    *at(&mut merged, &given.key).expect("accepted keys exist") = value;
                    names.insert(given.key, name);
                }
                Err(wrong) => faults.push(format!("{name}: {wrong}")),
            }
        }
        let settings = match serde_json::from_value::<T>(merged) {
            Ok(settings) => settings,
            Err(error) => {
                faults.push(error.to_string());
                T::default()
            }
        };
        let concerns =
            |key: &str| self.concerning.as_ref().is_none_or(|some| some.iter().any(|section| is_inside(key, section)));
        for Fault { key, wrong } in settings.faults().into_iter().filter(|fault| concerns(&fault.key)) {
            let name = names.get(&key).cloned().unwrap_or_else(|| variable(self.service, &key));
            let line = format!("{name}: {wrong}");
            // A value that could not be read is not also reported as missing.
            if !faults.iter().any(|fault| fault.starts_with(&format!("{name}:"))) {
                faults.push(line);
            }
        }
        Faults::of(self.service, faults).map_or(Ok(settings), Err)
    }
}

impl Origin {
    /// What its reader calls the setting.
    fn name(&self, service: &str, key: &str) -> String {
        match self {
            Self::Place => variable(service, key),
            Self::File(path) => format!("{key} in {}", path.display()),
            Self::Variable(name) => name.clone(),
            Self::Flag(flag) => (*flag).to_owned(),
        }
    }
}

/// The value as the setting's type reads it, or why it cannot be used.
fn accept<T: Settings>(defaults: &Value, given: &Given, reserved: Option<&str>) -> Result<Value, String> {
    let default = match at(&mut defaults.clone(), &given.key) {
        None => return Err(unknown(T::SERVICE, defaults, given)),
        Some(Value::Object(_)) => return Err("is a section of settings, not a value".to_owned()),
        Some(default) => default.clone(),
    };
    let mut refusal = String::new();
    for value in readings(given) {
        let mut candidate = defaults.clone();
        *at(&mut candidate, &given.key).expect("it was there") = value.clone();
        match serde_json::from_value::<T>(candidate) {
            Ok(_) if value != default && reserved.is_some() => return Err(reserved.unwrap_or_default().to_owned()),
            Ok(_) => return Ok(value),
            Err(error) => refusal = error.to_string(),
        }
    }
    Err(refusal)
}

/// What a value may stand for: the environment has text only.
fn readings(given: &Given) -> Vec<Value> {
    let mut readings = vec![given.value.clone()];
    if let (Origin::Variable(_), Value::String(text)) = (&given.origin, &given.value) {
        let scalar = serde_json::from_str::<Value>(text).ok().filter(|value| value.is_number() || value.is_boolean());
        readings.extend(scalar);
    }
    readings
}

/// A name nobody knows, and the one that may have been meant.
fn unknown(service: &str, defaults: &Value, given: &Given) -> String {
    let mut leaves = Vec::new();
    if let Value::Object(table) = defaults {
        flatten("", table.clone(), &mut leaves);
    }
    let like = |key: &str| strsim::normalized_damerau_levenshtein(key, &given.key.to_lowercase());
    let best = leaves.iter().map(|(key, _)| key).max_by(|a, b| like(a).total_cmp(&like(b)));
    match (best.filter(|key| like(key) >= ALIKE), &given.origin) {
        (Some(key), Origin::Variable(_)) => format!("unknown; did you mean {}?", variable(service, key)),
        (Some(key), _) => format!("unknown; did you mean {key}?"),
        (None, _) => "unknown".to_owned(),
    }
}

fn is_inside(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn at<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    key.split('.').try_fold(value, |value, name| value.get_mut(name))
}

fn flatten(prefix: &str, table: Map<String, Value>, leaves: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        if let Value::Object(inner) = value {
            flatten(&key, inner, leaves);
        } else {
            leaves.push((key, value));
        }
    }
}

/// The lines of a file are not repeated in a refusal: one of them may hold a secret.
fn read(path: &Path) -> Result<Map<String, Value>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        format!("is not TOML: line {line}: {}", error.message())
    })
}

#[cfg(test)]
mod tests;

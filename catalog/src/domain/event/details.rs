//! What people read about an event, and when it takes place and sells.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use common::money::Currency;

use super::super::fault::{Fault, line, prose};
use super::super::policy::Policy;

/// Most live places per customer when nothing else was asked for.
pub const LIMIT_DEFAULT: u32 = 10;
/// How long an event takes when nobody said.
pub const LENGTH_DEFAULT: TimeDelta = TimeDelta::hours(3);
/// Most live places per customer at all.
const LIMIT_MAX: u32 = 100;
/// Longest title, characters.
const TITLE_MAX: usize = 300;
/// Longest description, characters.
const DESCRIPTION_MAX: usize = 10_000;
/// Longest category, characters.
const CATEGORY_MAX: usize = 100;
/// Most performers.
const PERFORMERS_MAX: usize = 50;
/// Longest name of a performer, characters.
const PERFORMER_MAX: usize = 200;
/// Longest image URL, characters.
const URL_MAX: usize = 2_000;

/// Everything about an event but its place, prices and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Title.
    pub title: String,
    /// Free text.
    pub description: String,
    /// For instance `concert`; may be empty.
    pub category: String,
    /// Names.
    pub performers: Vec<String>,
    /// Absolute http(s) URL, or empty.
    pub image_url: String,
    /// Start.
    pub starts_at: DateTime<Utc>,
    /// End.
    pub ends_at: DateTime<Utc>,
    /// Doors.
    pub doors_at: Option<DateTime<Utc>>,
    /// First instant of sale; at publication when absent.
    pub sale_starts_at: Option<DateTime<Utc>>,
    /// End of sale; the start when absent.
    pub sale_ends_at: Option<DateTime<Utc>>,
    /// Most live places per customer.
    pub per_customer_limit: u32,
    /// Of all amounts.
    pub currency: Currency,
    /// What comes back on cancellation.
    pub policy: Policy,
    /// Whether picking seats by hand must not leave a single seat alone.
    pub forbid_orphan_seats: bool,
}

impl Details {
    /// When the sale ends.
    pub fn sale_end(&self) -> DateTime<Utc> {
        self.sale_ends_at.unwrap_or(self.starts_at)
    }

    /// Checks every field; texts of one line lose the spaces around them.
    ///
    /// # Errors
    /// Names the first field at fault.
    pub fn checked(self) -> Result<Self, Fault> {
        self.check_times()?;
        if self.per_customer_limit == 0 || self.per_customer_limit > LIMIT_MAX {
            return Err(Fault::new("per_customer_limit", format!("must be 1 to {LIMIT_MAX}")));
        }
        Ok(Self {
            title: line("title", &self.title, 1, TITLE_MAX)?,
            description: prose("description", self.description, DESCRIPTION_MAX)?,
            category: line("category", &self.category, 0, CATEGORY_MAX)?,
            performers: performers(&self.performers)?,
            image_url: image_url(&self.image_url)?,
            policy: self.policy.checked()?,
            ..self
        })
    }

    fn check_times(&self) -> Result<(), Fault> {
        let fault = |field, message: &str| Err(Fault::new(field, message));
        let times = [
            ("starts_at", Some(self.starts_at)),
            ("ends_at", Some(self.ends_at)),
            ("doors_at", self.doors_at),
            ("sale_starts_at", self.sale_starts_at),
            ("sale_ends_at", self.sale_ends_at),
        ];
        for (field, at) in times {
            if at.is_some_and(|at| !(1970..=9999).contains(&at.year())) {
                return fault(field, "must lie between the years 1970 and 9999");
            }
        }
        if self.ends_at <= self.starts_at {
            return fault("ends_at", "must be after the start");
        }
        if self.doors_at.is_some_and(|doors_at| doors_at > self.starts_at) {
            return fault("doors_at", "must not be after the start");
        }
        if self.sale_end() > self.ends_at {
            return fault("sale_ends_at", "must not be after the end of the event");
        }
        if self.sale_starts_at.is_some_and(|sale_starts_at| sale_starts_at >= self.sale_end()) {
            return fault("sale_starts_at", "must be before the end of sale");
        }
        Ok(())
    }
}

fn performers(names: &[String]) -> Result<Vec<String>, Fault> {
    if names.len() > PERFORMERS_MAX {
        return Err(Fault::new("performers", format!("must be at most {PERFORMERS_MAX}")));
    }
    names.iter().enumerate().map(|(i, name)| line(&format!("performers.{i}"), name, 1, PERFORMER_MAX)).collect()
}

fn image_url(url: &str) -> Result<String, Fault> {
    let url = line("image_url", url, 0, URL_MAX)?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let plain = !url.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | '\\' | '`'));
    if url.is_empty() || (plain && host.is_some_and(|host| !host.is_empty())) {
        return Ok(url);
    }
    Err(Fault::new("image_url", "must be an absolute http or https URL, or empty"))
}

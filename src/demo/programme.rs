//! The demo's twelve events: what is on, where, at which price. Dates are relative to the day they are made.

use anyhow::Context;
use chrono::{DateTime, Days, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use common::clock::to_wire;
use common::proto::catalog::v1::price::Target;
use common::proto::catalog::v1::{NewEvent, Price, SeatingPlanSummary};

/// A venue with a plan, as stored.
pub(super) struct Stage {
    pub(super) venue: &'static str,
    pub(super) time_zone: &'static str,
    pub(super) plan: SeatingPlanSummary,
}

/// One event of the programme; its title is how it is found again.
pub(super) struct Show {
    pub(super) title: &'static str,
    venue: &'static str,
    category: &'static str,
    description: &'static str,
    performers: &'static [&'static str],
    /// Days from today.
    in_days: u64,
    /// Hour and minute at the venue.
    at: (u32, u32),
    minutes: i64,
    limit: u32,
    currency: &'static str,
    /// Category or area, minor units.
    prices: &'static [(&'static str, i64)],
}

const HALL: &str = "Speicher Concert Hall";
const THEATRE: &str = "Mercer Theatre";
const CLUB: &str = "Club Kuroneko";
const PARK: &str = "Bluebird Amphitheater";
/// Doors open this long before the start.
const DOORS_BEFORE: TimeDelta = TimeDelta::minutes(60);

/// The whole programme.
pub(super) fn all() -> &'static [Show] {
    PROGRAMME
}

#[rustfmt::skip]
const PROGRAMME: &[Show] = &[
    Show { title: "Beethoven: the late quartets", venue: HALL, category: "classical", in_days: 6, at: (20, 0), minutes: 130, limit: 8,
        description: "Opus 127, 132 and 135 in one evening, with one interval.", performers: &["Quartett Nordlicht"],
        currency: "EUR", prices: &[("Stalls", 6_500), ("Stalls accessible", 4_500), ("Circle", 4_500)] },
    Show { title: "Neon Tides", venue: CLUB, category: "club", in_days: 9, at: (19, 30), minutes: 240, limit: 6,
        description: "Four hours of synthesizers. Standing only; lockers at the entrance.", performers: &["Neon Tides", "DJ Hoshi"],
        currency: "JPY", prices: &[("Dance floor", 4_800)] },
    Show { title: "The Winter's Tale", venue: THEATRE, category: "theatre", in_days: 13, at: (19, 30), minutes: 165, limit: 8,
        description: "Shakespeare's late romance in a new staging.", performers: &["The Mercer Company"],
        currency: "GBP", prices: &[("Stalls", 5_200), ("Dress circle", 3_900), ("Dress circle accessible", 2_500)] },
    Show { title: "Elbe Philharmonic: Mahler 2", venue: HALL, category: "classical", in_days: 20, at: (19, 0), minutes: 95, limit: 6,
        description: "The Resurrection Symphony, without interval; no late admission.", performers: &["Elbe Philharmonic", "Kammerchor Altona"],
        currency: "EUR", prices: &[("Stalls", 8_900), ("Stalls accessible", 5_900), ("Circle", 5_900)] },
    Show { title: "An Inspector Calls at Midnight", venue: THEATRE, category: "theatre", in_days: 27, at: (19, 30), minutes: 140, limit: 8,
        description: "A thriller in one room and two acts.", performers: &["The Mercer Company"],
        currency: "GBP", prices: &[("Stalls", 4_800), ("Dress circle", 3_600), ("Dress circle accessible", 2_200)] },
    Show { title: "Open Air Jazz", venue: PARK, category: "jazz", in_days: 34, at: (18, 0), minutes: 210, limit: 10,
        description: "Three bands; bring a blanket for the lawn.", performers: &["Prospect Seven", "Ada Quill Trio", "The Long Island Sound"],
        currency: "USD", prices: &[("Terrace", 7_500), ("Terrace accessible", 4_000), ("Lawn", 3_500)] },
    Show { title: "Kuroneko All-Nighter", venue: CLUB, category: "club", in_days: 41, at: (22, 0), minutes: 420, limit: 6,
        description: "From ten in the evening to the first train.", performers: &["DJ Hoshi", "Mika Tanabe"],
        currency: "JPY", prices: &[("Dance floor", 5_500)] },
    Show { title: "Comedy Gala", venue: THEATRE, category: "comedy", in_days: 55, at: (20, 0), minutes: 120, limit: 8,
        description: "Six comedians, ten minutes each, and a referee.", performers: &["Priya Nair", "Tom Okafor", "Six more"],
        currency: "GBP", prices: &[("Stalls", 3_500), ("Dress circle", 2_800), ("Dress circle accessible", 1_800)] },
    Show { title: "Film music live", venue: HALL, category: "concert", in_days: 69, at: (18, 30), minutes: 150, limit: 10,
        description: "An orchestra, a screen and ninety years of film.", performers: &["Elbe Philharmonic"],
        currency: "EUR", prices: &[("Stalls", 7_200), ("Stalls accessible", 4_900), ("Circle", 5_400)] },
    Show { title: "Brass on the Hill", venue: PARK, category: "concert", in_days: 83, at: (19, 0), minutes: 150, limit: 10,
        description: "Two marching bands, one of them from New Orleans.", performers: &["Second Line Society"],
        currency: "USD", prices: &[("Terrace", 6_000), ("Terrace accessible", 3_500), ("Lawn", 2_500)] },
    Show { title: "Piano recital: Inés Aldao", venue: HALL, category: "classical", in_days: 104, at: (20, 0), minutes: 110, limit: 6,
        description: "Scarlatti, Ravel, Granados.", performers: &["Inés Aldao"],
        currency: "EUR", prices: &[("Stalls", 5_800), ("Stalls accessible", 3_900), ("Circle", 4_200)] },
    Show { title: "Shibuya Beat Showcase", venue: CLUB, category: "club", in_days: 125, at: (18, 0), minutes: 300, limit: 6,
        description: "Eight new acts on one floor.", performers: &["Eight new acts"],
        currency: "JPY", prices: &[("Dance floor", 3_900)] },
];

impl Show {
    /// What catalog is asked to store.
    pub(super) fn event(&self, stages: &[Stage], now: DateTime<Utc>) -> anyhow::Result<NewEvent> {
        let stage = stages.iter().find(|stage| stage.venue == self.venue).context("its venue is missing")?;
        let starts_at = self.starts_at(stage.time_zone, now)?;
        let prices: anyhow::Result<Vec<Price>> =
            self.prices.iter().map(|(name, amount_minor)| price(&stage.plan, name, *amount_minor)).collect();
        Ok(NewEvent {
            venue_id: stage.plan.venue_id.clone(),
            seating_plan_id: stage.plan.id.clone(),
            title: self.title.into(),
            description: self.description.into(),
            category: self.category.into(),
            performers: self.performers.iter().map(|name| (*name).into()).collect(),
            starts_at: Some(to_wire(starts_at)),
            ends_at: Some(to_wire(starts_at + TimeDelta::minutes(self.minutes))),
            doors_at: Some(to_wire(starts_at - DOORS_BEFORE)),
            per_customer_limit: self.limit,
            currency: self.currency.into(),
            prices: prices?,
            ..NewEvent::default()
        })
    }

    /// The evening at the venue, in UTC.
    fn starts_at(&self, time_zone: &str, now: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
        let zone: Tz = time_zone.parse().context("time zone")?;
        let day = now.with_timezone(&zone).date_naive().checked_add_days(Days::new(self.in_days)).context("date")?;
        let time = NaiveTime::from_hms_opt(self.at.0, self.at.1, 0).context("time")?;
        let local = zone.from_local_datetime(&day.and_time(time)).earliest().context("no such time on that day")?;
        Ok(local.with_timezone(&Utc))
    }
}

fn price(plan: &SeatingPlanSummary, name: &str, amount_minor: i64) -> anyhow::Result<Price> {
    let target = match plan.areas.iter().find(|area| area.name == name) {
        Some(area) => Target::AreaId(area.id.clone()),
        None => Target::Category(name.to_owned()),
    };
    Ok(Price { target: Some(target), amount_minor })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_twelve_shows_in_several_currencies_and_none_twice() {
        let distinct = |key: fn(&Show) -> &'static str| all().iter().map(key).collect::<HashSet<_>>().len();

        assert_eq!(distinct(|show| show.title), 12);
        assert_eq!(distinct(|show| show.currency), 4);
        assert!(all().iter().all(|show| show.limit >= 6));
    }

    #[test]
    fn an_evening_is_an_evening_at_the_venue() {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();

        let start = all()[1].starts_at("Asia/Tokyo", now).unwrap();

        assert_eq!(start.to_rfc3339(), "2026-12-02T10:30:00+00:00");
    }
}

//! The demo's venues and their plans.

use common::proto::catalog::v1::{ImportSeatingPlanHeader, NewArea, Venue};
use serde_json::Value;

use super::hall::{Block, Hall, lettered};

/// A venue with the plan it is used with.
pub(super) struct DemoVenue {
    pub(super) name: &'static str,
    pub(super) time_zone: &'static str,
    pub(super) plan_name: &'static str,
    address: &'static str,
    city: &'static str,
    country: &'static str,
    latitude: f64,
    longitude: f64,
    accessible: &'static [&'static str],
    areas: &'static [(&'static str, u32)],
    plan: fn(&'static str) -> Hall,
}

/// All of them; their names are how a folder is known to hold a demo.
pub(super) fn all() -> Vec<DemoVenue> {
    vec![
        DemoVenue {
            name: "Speicher Concert Hall",
            address: "Am Sandtorkai 14",
            city: "Hamburg",
            country: "DE",
            time_zone: "Europe/Berlin",
            latitude: 53.5436,
            longitude: 9.9886,
            plan_name: "Concert seating",
            accessible: &["Stalls accessible"],
            areas: &[],
            plan: concert_hall,
        },
        DemoVenue {
            name: "Mercer Theatre",
            address: "21 Lamb's Conduit Row",
            city: "London",
            country: "GB",
            time_zone: "Europe/London",
            latitude: 51.5219,
            longitude: -0.1187,
            plan_name: "Proscenium",
            accessible: &["Dress circle accessible"],
            areas: &[],
            plan: theatre,
        },
        DemoVenue {
            name: "Club Kuroneko",
            address: "2-14-8 Shimokitazawa",
            city: "Tokyo",
            country: "JP",
            time_zone: "Asia/Tokyo",
            latitude: 35.6615,
            longitude: 139.6680,
            plan_name: "Standing",
            accessible: &[],
            areas: &[("Dance floor", 350)],
            plan: |name| Hall::new(name, 400.0),
        },
        DemoVenue {
            name: "Bluebird Amphitheater",
            address: "900 Prospect Avenue",
            city: "New York",
            country: "US",
            time_zone: "America/New_York",
            latitude: 40.6602,
            longitude: -73.9690,
            plan_name: "Summer stage",
            accessible: &["Terrace accessible"],
            areas: &[("Lawn", 400)],
            plan: amphitheater,
        },
    ]
}

impl DemoVenue {
    /// What catalog is asked to store, and the plan's file.
    pub(super) fn into_import(self) -> anyhow::Result<(ImportSeatingPlanHeader, Vec<u8>)> {
        let plan: Value = (self.plan)(self.plan_name).into_json();
        let venue = Venue {
            id: String::new(),
            name: self.name.into(),
            address: self.address.into(),
            city: self.city.into(),
            country: self.country.into(),
            time_zone: self.time_zone.into(),
            latitude: Some(self.latitude),
            longitude: Some(self.longitude),
        };
        let areas = self.areas.iter().map(|(name, capacity)| NewArea { name: (*name).into(), capacity: *capacity });
        let header = ImportSeatingPlanHeader {
            venue: Some(venue),
            accessible_categories: self.accessible.iter().map(|name| (*name).into()).collect(),
            areas: areas.collect(),
            ..ImportSeatingPlanHeader::default()
        };
        Ok((header, serde_json::to_vec(&plan)?))
    }
}

fn concert_hall(name: &'static str) -> Hall {
    let accessible = vec![("W".to_owned(), 10)];
    Hall::new(name, 800.0)
        .block(&Block { name: "Stalls", key: "stalls", color: "#3a6ea5", rows: lettered(14, 22, 1) })
        .block(&Block { name: "Stalls accessible", key: "stalls-w", color: "#5b9bd5", rows: accessible })
        .block(&Block { name: "Circle", key: "circle", color: "#c0504d", rows: lettered(6, 26, 1) })
}

fn theatre(name: &'static str) -> Hall {
    let accessible = vec![("W".to_owned(), 6)];
    Hall::new(name, 520.0)
        .block(&Block { name: "Stalls", key: "stalls", color: "#7a3e3e", rows: lettered(9, 14, 1) })
        .block(&Block { name: "Dress circle", key: "dress", color: "#b08d57", rows: lettered(4, 16, 1) })
        .block(&Block { name: "Dress circle accessible", key: "dress-w", color: "#d6bf95", rows: accessible })
}

fn amphitheater(name: &'static str) -> Hall {
    let accessible = vec![("W".to_owned(), 8)];
    Hall::new(name, 600.0)
        .block(&Block { name: "Terrace", key: "terrace", color: "#4f8a5b", rows: lettered(8, 18, 1) })
        .block(&Block { name: "Terrace accessible", key: "terrace-w", color: "#9bbb59", rows: accessible })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn guids(plan: &Value) -> Vec<String> {
        let list = |value: &Value, key: &str| value[key].as_array().unwrap().clone();
        let rows = list(plan, "zones").into_iter().flat_map(|zone| list(&zone, "rows"));
        rows.flat_map(|row| list(&row, "seats")).map(|seat| seat["seat_guid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn plans_have_the_promised_sizes_and_no_guid_twice() {
        let sizes = all().into_iter().map(|venue| {
            let guids = guids(&(venue.plan)(venue.plan_name).into_json());
            assert_eq!(guids.iter().collect::<HashSet<_>>().len(), guids.len(), "{}", venue.name);
            guids.len()
        });

        assert_eq!(sizes.collect::<Vec<_>>(), [580, 238, 0, 180]);
    }

    #[test]
    fn accessible_categories_exist_in_their_plan() {
        for venue in all() {
            let plan = (venue.plan)(venue.plan_name).into_json();
            for wanted in venue.accessible {
                assert!(plan["categories"].as_array().unwrap().iter().any(|c| c["name"] == *wanted), "{wanted}");
            }
        }
    }
}

//! Venues: where events take place.

use common::ids::VenueId;

use super::fault::{Fault, line, quote};

/// Longest name, characters.
const NAME_MAX: usize = 200;
/// Longest address and city, characters.
const PLACE_MAX: usize = 300;

/// Where events take place. Its name is unique.
#[derive(Debug, Clone, PartialEq)]
pub struct Venue {
    /// Its id.
    pub id: VenueId,
    /// Unique name.
    pub name: String,
    /// Street address; may be empty.
    pub address: String,
    /// City; may be empty.
    pub city: String,
    /// ISO 3166-1 alpha-2 code, or empty.
    pub country: String,
    /// IANA time zone name.
    pub time_zone: String,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
}

impl Venue {
    /// Checks every field; texts lose the spaces around them.
    ///
    /// # Errors
    /// Names the first field at fault.
    pub fn checked(self) -> Result<Self, Fault> {
        let two_capitals = self.country.len() == 2 && self.country.bytes().all(|b| b.is_ascii_uppercase());
        if !self.country.is_empty() && !two_capitals {
            return Err(Fault::new("country", "must be two capital letters (ISO 3166-1), or empty"));
        }
        if self.time_zone.parse::<chrono_tz::Tz>().is_err() {
            let message = format!("{} is no IANA time zone, such as Europe/Kyiv", quote(&self.time_zone));
            return Err(Fault::new("time_zone", message));
        }
        degrees("latitude", self.latitude, 90.0)?;
        degrees("longitude", self.longitude, 180.0)?;
        Ok(Self {
            name: line("name", &self.name, 1, NAME_MAX)?,
            address: line("address", &self.address, 0, PLACE_MAX)?,
            city: line("city", &self.city, 0, PLACE_MAX)?,
            ..self
        })
    }
}

fn degrees(field: &str, value: Option<f64>, max: f64) -> Result<(), Fault> {
    match value {
        Some(degrees) if !(-max..=max).contains(&degrees) => {
            Err(Fault::new(field, format!("must be between -{max} and {max} degrees")))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn venue() -> Venue {
        Venue {
            id: VenueId::new(),
            name: " Metalist ".into(),
            address: String::new(),
            city: "Kharkiv".into(),
            country: "UA".into(),
            time_zone: "Europe/Kyiv".into(),
            latitude: Some(49.98),
            longitude: Some(36.26),
        }
    }

    #[test]
    fn a_good_venue_is_trimmed() {
        assert_eq!(venue().checked().unwrap().name, "Metalist");
    }

    type Spoil = fn(&mut Venue);

    #[test]
    fn each_bad_field_is_named() {
        let cases: [(&str, Spoil); 6] = [
            ("name", |v| v.name = " ".into()),
            ("city", |v| v.city = "x".repeat(301)),
            ("country", |v| v.country = "ua".into()),
            ("time_zone", |v| v.time_zone = "Mars/Base".into()),
            ("latitude", |v| v.latitude = Some(90.5)),
            ("longitude", |v| v.longitude = Some(f64::NAN)),
        ];
        for (field, spoil) in cases {
            let mut venue = venue();
            spoil(&mut venue);

            assert_eq!(venue.checked().unwrap_err().field, field);
        }
    }
}

//! Seating plans: what a file means, once everything its schema cannot see has been checked.

mod duplicates;

use common::ids::{AreaId, SeatId, SeatingPlanId, VenueId};

use super::fault::{Fault, line, quote};
use super::plan_file::{self, PlanFile, Position};

/// Most seats of one plan.
const SEATS_MAX: usize = 200_000;
/// Most rows of one plan, empty ones included.
const ROWS_MAX: usize = 50_000;
/// Most categories of one plan.
const CATEGORIES_MAX: usize = 500;
/// Most general-admission areas of one plan.
const AREAS_MAX: usize = 100;
/// Most places of one area.
const CAPACITY_MAX: u32 = 1_000_000;
/// Longest name of a plan or area, characters.
const NAME_MAX: usize = 200;
/// Longest `seat_guid`, characters.
const GUID_MAX: usize = 255;
/// Longest zone, row, seat and category name of a file, characters.
const TEXT_MAX: usize = 190;

/// A plan ready to be stored.
#[derive(Debug)]
pub struct Plan {
    /// For people.
    pub name: String,
    /// In file order.
    pub categories: Vec<Category>,
    /// In file order, zone by zone.
    pub rows: Vec<Row>,
    /// General-admission areas, in the order asked for.
    pub areas: Vec<Area>,
    /// Number of seats.
    pub seat_count: u32,
}

/// A price category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Unique within the plan.
    pub name: String,
    /// Seats that belong to it.
    pub seat_count: u32,
}

/// A row of seats.
#[derive(Debug)]
pub struct Row {
    /// Position of its zone, from 0: names of zones may repeat.
    pub zone_index: u32,
    /// Name of its zone.
    pub zone: String,
    /// Its name.
    pub name: String,
    /// In file order.
    pub seats: Vec<Seat>,
}

/// A seat. Its id is given when it is stored.
#[derive(Debug)]
pub struct Seat {
    /// Number within its row: a name.
    pub number: String,
    /// For people, for instance `Stalls, Row C, Seat 12`.
    pub label: String,
    /// Plan units to the right.
    pub x: f64,
    /// Plan units down.
    pub y: f64,
    /// Position among the plan's categories.
    pub category: usize,
    /// For wheelchair users.
    pub accessible: bool,
}

/// A general-admission area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// Its id.
    pub id: AreaId,
    /// Unique within the plan.
    pub name: String,
    /// Places.
    pub capacity: u32,
}

/// What of a plan prices depend on.
#[derive(Debug, Clone)]
pub struct Outline {
    /// The plan.
    pub plan_id: SeatingPlanId,
    /// Whose it is.
    pub venue_id: VenueId,
    /// In file order.
    pub categories: Vec<Category>,
    /// In plan order.
    pub areas: Vec<Area>,
    /// The category of every seat that was asked about and belongs to the plan.
    pub seats: std::collections::BTreeMap<SeatId, String>,
}

/// What an import says beside the file.
#[derive(Debug, Default)]
pub struct Additions {
    /// Name of the plan; empty takes the file's.
    pub name: String,
    /// Categories whose seats are accessible.
    pub accessible_categories: Vec<String>,
    /// General-admission areas.
    pub areas: Vec<Area>,
}

impl Plan {
    /// Reads a file and checks all of it.
    ///
    /// # Errors
    /// Names the field of the request, and within the file the zone, the row and the seat.
    pub fn read(bytes: &[u8], additions: Additions) -> Result<Self, Fault> {
        Self::of(&plan_file::read(bytes)?, additions)
    }

    fn of(file: &PlanFile, additions: Additions) -> Result<Self, Fault> {
        duplicates::refuse(file)?;
        let mut categories = declared(file)?;
        let accessible = accessible(&categories, &additions.accessible_categories)?;
        let areas = checked_areas(additions.areas)?;
        let rows = rows(file, &mut categories, &accessible)?;
        let seat_count = rows.iter().map(|row| row.seats.len()).sum::<usize>();
        if seat_count == 0 && areas.is_empty() {
            return Err(Fault::new("plan", "has neither seats nor areas: there is nothing to sell"));
        }
        let name = if additions.name.trim().is_empty() { &file.name } else { &additions.name };
        Ok(Self {
            name: line("name", name, 1, NAME_MAX)?,
            categories,
            rows,
            areas,
            seat_count: u32::try_from(seat_count).expect("bounded by SEATS_MAX"),
        })
    }

    /// What of the plan prices depend on, before it is stored.
    pub fn outline(&self, plan_id: SeatingPlanId, venue_id: VenueId) -> Outline {
        let (categories, areas) = (self.categories.clone(), self.areas.clone());
        Outline { plan_id, venue_id, categories, areas, seats: Default::default() }
    }
}

fn declared(file: &PlanFile) -> Result<Vec<Category>, Fault> {
    let mut categories: Vec<Category> = Vec::new();
    for category in &file.categories {
        text("the name of a category", &category.name)?;
        if categories.iter().all(|known| known.name != category.name) {
            categories.push(Category { name: category.name.clone(), seat_count: 0 });
        }
        if categories.len() > CATEGORIES_MAX {
            return Err(Fault::new("plan", format!("declares more than {CATEGORIES_MAX} categories")));
        }
    }
    Ok(categories)
}

/// Which categories are accessible, by position.
fn accessible(categories: &[Category], names: &[String]) -> Result<Vec<bool>, Fault> {
    for (i, name) in names.iter().enumerate() {
        if categories.iter().all(|category| category.name != *name) {
            let message = format!("category {} is not in the file", quote(name));
            return Err(Fault::new(format!("accessible_categories.{i}"), message));
        }
    }
    Ok(categories.iter().map(|category| names.contains(&category.name)).collect())
}

fn checked_areas(areas: Vec<Area>) -> Result<Vec<Area>, Fault> {
    if areas.len() > AREAS_MAX {
        return Err(Fault::new("areas", format!("must be at most {AREAS_MAX}")));
    }
    let mut checked: Vec<Area> = Vec::with_capacity(areas.len());
    for (i, area) in areas.into_iter().enumerate() {
        let field = |name: &str| format!("areas.{i}.{name}");
        let name = line(&field("name"), &area.name, 1, NAME_MAX)?;
        if checked.iter().any(|other| other.name == name) {
            return Err(Fault::new(field("name"), format!("two areas are named {}", quote(&name))));
        }
        if area.capacity == 0 || area.capacity > CAPACITY_MAX {
            return Err(Fault::new(field("capacity"), format!("must be 1 to {CAPACITY_MAX}")));
        }
        checked.push(Area { name, ..area });
    }
    Ok(checked)
}

fn rows(file: &PlanFile, categories: &mut [Category], accessible: &[bool]) -> Result<Vec<Row>, Fault> {
    let row_count: usize = file.zones.iter().map(|zone| zone.rows.len()).sum();
    let seat_count: usize = file.zones.iter().flat_map(|zone| &zone.rows).map(|row| row.seats.len()).sum();
    if row_count > ROWS_MAX {
        return Err(Fault::new("plan", format!("has {row_count} rows, more than {ROWS_MAX}")));
    }
    if seat_count > SEATS_MAX {
        return Err(Fault::new("plan", format!("has {seat_count} seats, more than {SEATS_MAX}")));
    }
    let mut rows = Vec::with_capacity(row_count);
    for (zone_index, zone) in file.zones.iter().enumerate() {
        let zone_name = zone_name(zone_index, zone);
        text("the name of a zone", &zone_name)?;
        for (row_index, row) in zone.rows.iter().enumerate() {
            let place = Place { zone: &zone_name, row, row_index, origin: origin(zone, row) };
            let mut seats = Vec::with_capacity(row.seats.len());
            for seat in &row.seats {
                seats.push(place.seat(seat, categories, accessible)?);
            }
            let zone_index = u32::try_from(zone_index).expect("bounded by the size of the file");
            rows.push(Row { zone_index, zone: zone_name.clone(), name: row.row_number.clone(), seats });
        }
    }
    Ok(rows)
}

/// A zone's name; older files have only an id, or neither.
fn zone_name(index: usize, zone: &plan_file::Zone) -> String {
    [&zone.name, &zone.zone_id]
        .into_iter()
        .flatten()
        .map(|name| name.trim())
        .find(|name| !name.is_empty())
        .map_or_else(|| format!("Zone {}", index + 1), str::to_owned)
}

fn origin(zone: &plan_file::Zone, row: &plan_file::Row) -> Position {
    let row = row.position.unwrap_or_default();
    Position { x: zone.position.x + row.x, y: zone.position.y + row.y }
}

/// Where in the file a seat stands.
struct Place<'a> {
    zone: &'a str,
    row: &'a plan_file::Row,
    row_index: usize,
    origin: Position,
}

impl Place<'_> {
    fn seat(&self, seat: &plan_file::Seat, categories: &mut [Category], accessible: &[bool]) -> Result<Seat, Fault> {
        self.check(seat)?;
        let Some(category) = categories.iter().position(|category| category.name == seat.category) else {
            return Err(self.fault(seat, &format!("category {} is not declared", quote(&seat.category))));
        };
        let (x, y) = (self.origin.x + seat.position.x, self.origin.y + seat.position.y);
        if !x.is_finite() || !y.is_finite() {
            return Err(self.fault(seat, "its position is out of range"));
        }
        categories[category].seat_count += 1;
        Ok(Seat {
            number: seat.seat_number.clone(),
            label: format!("{}, {}, {}", self.zone, row_label(self.row), seat_label(self.row, seat)),
            x,
            y,
            category,
            accessible: accessible[category],
        })
    }

    fn check(&self, seat: &plan_file::Seat) -> Result<(), Fault> {
        if !(1..=GUID_MAX).contains(&seat.seat_guid.chars().count()) {
            return Err(self.fault(seat, &format!("seat_guid must be 1 to {GUID_MAX} characters long")));
        }
        let row = self.row;
        let labels = [&row.row_label, &row.seat_label].into_iter().flatten();
        for piece in [&seat.seat_number, &row.row_number].into_iter().chain(labels) {
            text("a row or seat name", piece).map_err(|fault| self.fault(seat, &fault.message))?;
        }
        Ok(())
    }

    fn fault(&self, seat: &plan_file::Seat, message: &str) -> Fault {
        let (zone, row, number) = (quote(self.zone), quote(&self.row.row_number), quote(&seat.seat_number));
        let nth = self.row_index + 1;
        Fault::new("plan", format!("zone {zone}, row {row} (the zone's {nth}.), seat {number}: {message}"))
    }
}

fn row_label(row: &plan_file::Row) -> String {
    row.row_label.clone().filter(|label| !label.is_empty()).unwrap_or_else(|| format!("Row {}", row.row_number))
}

fn seat_label(row: &plan_file::Row, seat: &plan_file::Seat) -> String {
    match row.seat_label.as_deref().filter(|label| !label.is_empty()) {
        Some(pattern) => pattern.replace("%s", &seat.seat_number),
        None => format!("Seat {}", seat.seat_number),
    }
}

/// Any text but one that PostgreSQL cannot keep.
fn text(what: &str, text: &str) -> Result<(), Fault> {
    if text.chars().count() > TEXT_MAX {
        return Err(Fault::new("plan", format!("{what} is longer than {TEXT_MAX} characters: {}", quote(text))));
    }
    if text.contains('\0') {
        return Err(Fault::new("plan", format!("{what} contains a NUL character: {}", quote(text))));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

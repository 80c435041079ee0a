//! The seats of a row, answered without a future, a context and a string per field: the selection is read once per row,
//! then each seat is filled in from the plan, whose strings the answer shares.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::enum_value;
use async_graphql::{ContextSelectionSet, ID, Name, OutputType, Positioned, ServerResult, SimpleObject, Value};

use super::{SeatStatus, Seating};
use crate::graphql::price::Money;

// Only the schema's description of a seat: `SeatList` answers these fields itself.
/// A seat with its price and state, now.
#[derive(SimpleObject)]
pub struct Seat {
    /// Opaque; what `holdSeats` takes.
    id: ID,
    /// Number within its row: a name.
    number: String,
    /// For people, for instance `Stalls, row C, seat 12`.
    label: String,
    /// Plan units to the right.
    x: f64,
    /// Plan units down.
    y: f64,
    /// Price category.
    category: String,
    /// For wheelchair users.
    accessible: bool,
    /// Companion of an accessible seat.
    companion: bool,
    /// Whether it can be had.
    status: SeatStatus,
    /// Its price; null without one.
    price: Option<Money>,
}

/// A field of a seat, as selected.
enum SeatField {
    Typename,
    Id,
    Number,
    Label,
    X,
    Y,
    Category,
    Accessible,
    Companion,
    Status,
    Price(Vec<(Name, MoneyField)>),
}

/// A field of a seat's price, as selected.
enum MoneyField {
    Typename,
    AmountMinor,
    Currency,
}

/// The seats of one row.
pub struct SeatList {
    map: Arc<Seating>,
    seats: Range<usize>,
}

impl SeatList {
    pub(super) fn new(map: Arc<Seating>, seats: Range<usize>) -> Self {
        Self { map, seats }
    }
}

impl OutputType for SeatList {
    fn type_name() -> Cow<'static, str> {
        <Vec<Seat> as OutputType>::type_name()
    }

    fn qualified_type_name() -> String {
        <Vec<Seat> as OutputType>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <Vec<Seat> as OutputType>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        let mut fields = Vec::new();
        for (key, field) in selected(ctx, &ctx.item.node) {
            merge(&mut fields, key, seat_field(ctx, field));
        }
        let words = Words::new();
        Ok(Value::List(self.seats.clone().map(|at| self.map.seat(at, &fields, &words)).collect()))
    }
}

/// The fields of a selection set in order, fragments laid open. Validation has seen to it that they fit.
fn selected<'a>(ctx: &ContextSelectionSet<'a>, set: &'a SelectionSet) -> Vec<(Name, &'a Field)> {
    let mut fields = Vec::new();
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => fields.push((field.node.response_key().node.clone(), &field.node)),
            Selection::InlineFragment(inline) => fields.extend(selected(ctx, &inline.node.selection_set.node)),
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = ctx.query_env.fragments.get(&spread.node.fragment_name.node) {
                    fields.extend(selected(ctx, &fragment.node.selection_set.node));
                }
            }
        }
    }
    fields
}

fn seat_field(ctx: &ContextSelectionSet<'_>, field: &Field) -> Option<SeatField> {
    if field.name.node.as_str() == "price" {
        let inner = selected(ctx, &field.selection_set.node).into_iter();
        return Some(SeatField::Price(inner.filter_map(|(key, field)| Some((key, money_field(field)?))).collect()));
    }
    plain_field(field.name.node.as_str())
}

fn plain_field(name: &str) -> Option<SeatField> {
    Some(match name {
        "__typename" => SeatField::Typename,
        "id" => SeatField::Id,
        "number" => SeatField::Number,
        "label" => SeatField::Label,
        "x" => SeatField::X,
        "y" => SeatField::Y,
        "category" => SeatField::Category,
        "accessible" => SeatField::Accessible,
        "companion" => SeatField::Companion,
        "status" => SeatField::Status,
        _ => return None,
    })
}

fn money_field(field: &Field) -> Option<MoneyField> {
    Some(match field.name.node.as_str() {
        "__typename" => MoneyField::Typename,
        "amountMinor" => MoneyField::AmountMinor,
        "currency" => MoneyField::Currency,
        _ => return None,
    })
}

/// Adds a field; the same price selected twice becomes one price with the fields of both.
fn merge(fields: &mut Vec<(Name, SeatField)>, key: Name, field: Option<SeatField>) {
    let Some(field) = field else { return };
    let Some((_, known)) = fields.iter_mut().find(|(name, _)| *name == key) else {
        fields.push((key, field));
        return;
    };
    if let (SeatField::Price(known), SeatField::Price(more)) = (known, field) {
        known.extend(more);
    }
}

/// Texts that every seat of a row may need, made once.
struct Words {
    seat: Value,
    money: Value,
    free: Value,
    held: Value,
    sold: Value,
}

impl Words {
    fn new() -> Self {
        Self {
            seat: shared(&Name::new("Seat")),
            money: shared(&Name::new("Money")),
            free: enum_value(SeatStatus::Free),
            held: enum_value(SeatStatus::Held),
            sold: enum_value(SeatStatus::Sold),
        }
    }

    fn status(&self, status: SeatStatus) -> Value {
        match status {
            SeatStatus::Free => self.free.clone(),
            SeatStatus::Held => self.held.clone(),
            SeatStatus::Sold => self.sold.clone(),
        }
    }
}

impl Seating {
    fn seat(&self, at: usize, fields: &[(Name, SeatField)], words: &Words) -> Value {
        let seat = &self.plan.seats[at];
        let mut object = IndexMap::with_capacity(fields.len());
        for (key, field) in fields {
            let value = match field {
                SeatField::Typename => words.seat.clone(),
                SeatField::Id => shared(&seat.id),
                SeatField::Number => shared(&seat.number),
                SeatField::Label => shared(&seat.label),
                SeatField::X => number(seat.x),
                SeatField::Y => number(seat.y),
                SeatField::Category => self.plan.categories.get(usize::from(seat.category)).map_or(Value::Null, shared),
                SeatField::Accessible => Value::Boolean(seat.accessible),
                SeatField::Companion => Value::Boolean(seat.companion),
                SeatField::Status => words.status(self.status(at)),
                SeatField::Price(fields) => {
                    self.price(at).map_or(Value::Null, |minor| self.money(minor, fields, words))
                }
            };
            object.insert(key.clone(), value);
        }
        Value::Object(object)
    }

    fn money(&self, minor: i64, fields: &[(Name, MoneyField)], words: &Words) -> Value {
        let mut object = IndexMap::with_capacity(fields.len());
        for (key, field) in fields {
            let value = match field {
                MoneyField::Typename => words.money.clone(),
                MoneyField::AmountMinor => Value::from(minor),
                MoneyField::Currency => shared(&self.currency),
            };
            object.insert(key.clone(), value);
        }
        Value::Object(object)
    }
}

/// A text that is kept anyway: an enum value is written like a string, but shared instead of copied.
fn shared(name: &Name) -> Value {
    Value::Enum(name.clone())
}

fn number(number: f64) -> Value {
    async_graphql::Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field added to the schema's description of a seat must also be answered.
    #[test]
    fn every_field_of_the_schemas_seat_is_answered() {
        let sdl = crate::sdl();
        let seat = sdl.split("type Seat {").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
        let names: Vec<&str> = seat
            .lines()
            .map(str::trim)
            .filter(|line| line.contains(": ") && !line.starts_with('"'))
            .filter_map(|line| line.split(':').next())
            .filter(|name| name.chars().all(|letter| letter.is_ascii_alphanumeric()))
            .collect();

        assert!(names.contains(&"id") && names.contains(&"price"), "{names:?}");
        for name in names {
            assert!(name == "price" || plain_field(name).is_some(), "{name} is described but not answered");
        }
    }
}

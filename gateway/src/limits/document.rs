//! Measures a parsed document, fragments counted where they are used. Each fragment is measured once, so that a few
//! hundred bytes of fragments that double one another cost nothing here and are refused before the engine walks them.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Field, OperationDefinition, OperationType, Selection};
use async_graphql::parser::types::{SelectionSet, VariableDefinition};
use async_graphql::{Name, Positioned, Value, Variables};

use super::{Exceeded, within};
use crate::config::Limits;
use crate::graphql::page::PAGE_SIZE_DEFAULT;

/// Rows that an argument can ask for at most; more is refused when the field is answered.
const ROWS_MAX: u64 = common::page::PAGE_SIZE_MAX as u64;
/// What a whole seat map counts for.
const SEAT_MAP: u64 = 500;
/// Lists without an argument: items and tickets of a booking are a handful.
const FEW: u64 = 5;
/// Lists that are paged.
const PAGED: [&str; 5] = ["events", "venues", "seatingPlans", "bookings", "myBookings"];

/// Checks a document against the limits.
///
/// # Errors
/// The first limit that is broken, a fragment cycle, or introspection where it is off.
pub fn check(
    document: &ExecutableDocument,
    variables: &Variables,
    limits: &Limits,
    introspection: bool,
) -> Result<(), Exceeded> {
    let mut measuring = Measuring { document, variables, definitions: &[], fragments: HashMap::new() };
    for (_, operation) in document.operations.iter() {
        let operation = &operation.node;
        measuring.definitions = &operation.variable_definitions;
        measuring.fragments.clear();
        let measured = measuring.set(&operation.selection_set.node)?;
        measured.check(operation, limits, introspection)?;
    }
    // An unused fragment is invalid anyway, but the engine walks it before it says so.
    for name in document.fragments.keys() {
        let measured = measuring.fragment(name)?;
        within("selections", measured.selections, limits.selections)?;
    }
    Ok(())
}

/// What was counted in one selection set.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    selections: u64,
    aliases: u64,
    directives: u64,
    depth: u64,
    introspection_depth: u64,
    /// Fields of this very level, `__typename` aside.
    fields: u64,
    complexity: u64,
}

impl Measured {
    fn add(&mut self, other: Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.fields = self.fields.saturating_add(other.fields);
        self.complexity = self.complexity.saturating_add(other.complexity);
    }

    fn check(&self, operation: &OperationDefinition, limits: &Limits, introspection: bool) -> Result<(), Exceeded> {
        if self.introspection_depth > 0 && !introspection {
            return Err(Exceeded::Introspection);
        }
        within("selections", self.selections, limits.selections)?;
        within("levels", self.depth, limits.depth)?;
        within("levels of introspection", self.introspection_depth, limits.introspection_depth)?;
        within("aliases", self.aliases, limits.aliases)?;
        let directives = self.directives.saturating_add(operation.directives.len() as u64);
        within("directives", directives, limits.directives)?;
        match operation.ty {
            OperationType::Mutation => within("mutation fields", self.fields, 1)?,
            OperationType::Query | OperationType::Subscription => {
                within("root fields", self.fields, limits.root_fields)?;
            }
        }
        within("points of complexity", self.complexity, limits.complexity)
    }
}

struct Measuring<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    definitions: &'a [Positioned<VariableDefinition>],
    /// `None` while a fragment is being measured.
    fragments: HashMap<Name, Option<Measured>>,
}

impl Measuring<'_> {
    fn set(&mut self, set: &SelectionSet) -> Result<Measured, Exceeded> {
        let mut total = Measured::default();
        for selection in &set.items {
            let mut measured = match &selection.node {
                Selection::Field(field) => self.field(&field.node)?,
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node)?,
                Selection::InlineFragment(inline) => self.set(&inline.node.selection_set.node)?,
            };
            measured.selections = measured.selections.saturating_add(1);
            measured.directives = measured.directives.saturating_add(selection.node.directives().len() as u64);
            total.add(measured);
        }
        Ok(total)
    }

    fn fragment(&mut self, name: &Name) -> Result<Measured, Exceeded> {
        match self.fragments.get(name) {
            Some(Some(measured)) => return Ok(*measured),
            Some(None) => return Err(Exceeded::Cycle(name.to_string())),
            None => {}
        }
        // An unknown fragment is for the validation to name.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Measured::default()) };
        self.fragments.insert(name.clone(), None);
        let mut measured = self.set(&fragment.node.selection_set.node)?;
        measured.directives = measured.directives.saturating_add(fragment.node.directives.len() as u64);
        self.fragments.insert(name.clone(), Some(measured));
        Ok(measured)
    }

    fn field(&mut self, field: &Field) -> Result<Measured, Exceeded> {
        let inner = self.set(&field.selection_set.node)?;
        let mut measured = inner;
        measured.aliases = measured.aliases.saturating_add(u64::from(field.alias.is_some()));
        if matches!(field.name.node.as_str(), "__schema" | "__type") {
            measured.fields = 1;
            measured.introspection_depth = inner.depth.saturating_add(1);
            measured.depth = 1;
            measured.complexity = 1;
            return Ok(measured);
        }
        measured.fields = u64::from(!field.name.node.starts_with("__"));
        measured.depth = inner.depth.saturating_add(1);
        measured.complexity = self.complexity(field, inner.complexity);
        Ok(measured)
    }

    /// One point for the field, and its inner fields once per row it can return.
    fn complexity(&self, field: &Field, inner: u64) -> u64 {
        let name = field.name.node.as_str();
        let (own, rows) = match name {
            "seatMap" => (SEAT_MAP, 1),
            "items" | "tickets" => (1, FEW),
            "nodes" => (1, self.list_length(field, "ids")),
            _ if PAGED.contains(&name) => (1, self.number(field, "first").unwrap_or(u64::from(PAGE_SIZE_DEFAULT))),
            _ => (1, 1),
        };
        inner.saturating_mul(rows.clamp(1, ROWS_MAX)).saturating_add(own)
    }

    fn number(&self, field: &Field, argument: &str) -> Option<u64> {
        if let Value::Number(number) = self.argument(field, argument)? { number.as_u64() } else { None }
    }

    fn list_length(&self, field: &Field, argument: &str) -> u64 {
        if let Some(Value::List(list)) = self.argument(field, argument) { list.len() as u64 } else { 1 }
    }

    /// The value of an argument, variables filled in.
    fn argument(&self, field: &Field, name: &str) -> Option<Value> {
        let value = field.get_argument(name)?.node.clone();
        value.into_const_with(|variable| self.variable(&variable).ok_or(())).ok()
    }

    fn variable(&self, name: &Name) -> Option<Value> {
        if let Some(value) = self.variables.get(name) {
            return Some(value.clone());
        }
        let definition = self.definitions.iter().find(|definition| definition.node.name.node == *name)?;
        definition.node.default_value().cloned()
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn refusal(document: &str) -> Option<String> {
        refusal_with(document, "{}")
    }

    fn refusal_with(document: &str, variables: &str) -> Option<String> {
        let variables = serde_json::from_str(variables).unwrap();
        let document = parse_query(document).unwrap();
        check(&document, &variables, &Limits::default(), false).err().map(|e| e.to_string())
    }

    fn over(what: &str, value: u64, limit: u64) -> Option<String> {
        Some(format!("the document has {value} {what}, the limit is {limit}"))
    }

    #[test]
    fn each_limit_holds_exactly() {
        let nested = |levels: usize| format!("{}{}", "{ a ".repeat(levels), "}".repeat(levels));
        let aliases = |n: usize| format!("{{ a {{ {} }} }}", (0..n).map(|i| format!("x{i}: b ")).collect::<String>());
        let roots = |n: usize| format!("{{ {} }}", "a ".repeat(n));
        let directives = |n: usize| format!("{{ a {} }}", "@skip(if: false) ".repeat(n));

        assert_eq!(refusal(&nested(12)), None);
        assert_eq!(refusal(&nested(13)), over("levels", 13, 12));
        assert_eq!(refusal(&aliases(50)), None);
        assert_eq!(refusal(&aliases(51)), over("aliases", 51, 50));
        assert_eq!(refusal(&roots(20)), None);
        assert_eq!(refusal(&roots(21)), over("root fields", 21, 20));
        assert_eq!(refusal(&directives(20)), None);
        assert_eq!(refusal(&directives(21)), over("directives", 21, 20));
        assert_eq!(refusal("mutation { a __typename }"), None);
        assert_eq!(refusal("mutation { a b }"), over("mutation fields", 2, 1));
    }

    #[test]
    fn fragments_count_where_they_are_used() {
        let spread = "fragment F on T { x: a } query { ";
        assert_eq!(refusal(&format!("{spread} {} }}", "c { ...F } ".repeat(20))), None);

        let many = format!("fragment F on T {{ {} }} query {{ p {{ ...F }} q {{ ...F }} }}", "x: a ".repeat(26));
        assert_eq!(refusal(&many), over("aliases", 52, 50));
        assert_eq!(refusal("fragment F on M { b } mutation { a ...F }"), over("mutation fields", 2, 1));
    }

    #[test]
    fn fragments_that_double_one_another_are_refused_at_once() {
        let mut bomb: String =
            (0..60).map(|i| format!("fragment F{i} on T {{ ...F{} ...F{} }} ", i + 1, i + 1)).collect();
        bomb.push_str("fragment F60 on T { a } query { ...F0 }");

        let text = refusal(&bomb).unwrap();

        assert!(text.contains("selections") && text.ends_with("the limit is 2000"), "{text}");
    }

    #[test]
    fn fragment_cycles_are_named_even_when_unused() {
        let text = refusal("fragment A on T { ...B } fragment B on T { ...A } query { a }").unwrap();

        assert!(text.contains("contains itself"), "{text}");
    }

    #[test]
    fn rows_asked_for_multiply_what_is_inside() {
        let maps = "query($n: Int = 3) { events(first: $n) { edges { node { a: seatMap { areas { id } } b: seatMap { areas { id } } c: seatMap { areas { id } } } } } }";
        assert_eq!(refusal(maps), None);
        let refused = refusal_with(maps, r#"{"n": 100}"#).unwrap();
        assert!(refused.contains("points of complexity") && refused.contains("100000"), "{refused}");

        let wide = "{ events(first: 100) { edges { cursor node { id title startsAt venue { name city } availability { free } } } } }";
        assert_eq!(refusal(wide), None);
    }

    #[test]
    fn introspection_is_refused_where_it_is_off() {
        let text = refusal("{ ... { __schema { types { name } } } }").unwrap();

        assert!(text.starts_with("introspection is off"), "{text}");
        assert_eq!(refusal("{ __typename }"), None);
    }
}

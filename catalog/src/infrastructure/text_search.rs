//! Full-text search. Texts and searches are split into plain words here, so that both databases find the same events and no
//! search syntax reaches either of them.

use common::db::Db;
use sea_orm::DbBackend;

use crate::domain::event::Details;
use crate::domain::venue::Venue;

/// Longest word kept, characters.
const WORD_MAX: usize = 60;
/// Most words of one search.
const SEARCH_WORDS_MAX: usize = 16;

/// The words an event is found by, parted by spaces.
pub fn words_of(details: &Details, venue: &Venue) -> String {
    let texts = [&details.title, &details.description, &venue.name, &venue.city];
    let words: Vec<String> = texts.into_iter().chain(&details.performers).flat_map(|text| split(text)).collect();
    words.join(" ")
}

/// SQL for the stored form of words bound to `parameter`.
pub fn stored_words(db: &Db, parameter: &str) -> String {
    match db.backend() {
        DbBackend::Sqlite => parameter.to_owned(),
        DbBackend::Postgres | DbBackend::MySql | _ => format!("array_to_tsvector(string_to_array({parameter}, ' '))"),
    }
}

/// SQL for the numbers of the events that match a search bound to `parameter`.
pub fn matching_numbers(db: &Db, parameter: &str) -> String {
    match db.backend() {
        DbBackend::Sqlite => format!("SELECT rowid FROM event_words WHERE event_words MATCH {parameter}"),
        DbBackend::Postgres | DbBackend::MySql | _ => {
            format!("SELECT rowid FROM event_words WHERE words @@ {parameter}::tsquery")
        }
    }
}

/// A search for events that have every word of `text`, the last as a prefix; `None` when there is no word in it.
pub fn search(db: &Db, text: &str) -> Option<String> {
    let mut words = split(text);
    words.truncate(SEARCH_WORDS_MAX);
    let last = words.pop()?;
    let (quote, and, prefix) = match db.backend() {
        DbBackend::Sqlite => ('"', " AND ", "*"),
        DbBackend::Postgres | DbBackend::MySql | _ => ('\'', " & ", ":*"),
    };
    let mut terms: Vec<String> = words.iter().map(|word| format!("{quote}{word}{quote}")).collect();
    terms.push(format!("{quote}{last}{quote}{prefix}"));
    Some(terms.join(and))
}

/// Runs of letters and digits, in lower case: nothing that either database could take for syntax.
fn split(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.to_lowercase().chars().filter(|c| c.is_alphanumeric()).take(WORD_MAX).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_into_plain_words() {
        assert_eq!(split("O'Neill\" OR 1=1 -- * ÉCOLE"), ["o", "neill", "or", "1", "1", "école"]);
        assert!(split("\"*():^-").is_empty());
    }
}

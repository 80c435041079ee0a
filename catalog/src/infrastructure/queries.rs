//! Reads: one select, one read model. Lists are keyset-paged and bounded.

pub mod events;
pub mod plans;
pub mod venues;

use common::db::placeholders;
use common::error::{ErrorKind, Refusal};
use common::page;
use sea_orm::{DbErr, Value};
use serde::de::DeserializeOwned;

use crate::domain::fault::{Fault, quote};

/// Most ids of one batch.
const BATCH_MAX: usize = 100;

/// Why a read gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there, or not for this caller.
    #[error("{what} {id} does not exist")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// As the caller wrote it.
        id: String,
    },
    /// A field is at fault.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// Infrastructure trouble.
    #[error("reading failed")]
    Database(#[from] DbErr),
}

impl ReadError {
    /// Nothing under this id.
    pub fn not_found(what: &'static str, id: &str) -> Self {
        Self::NotFound { what, id: quote(id) }
    }
}

impl Refusal for ReadError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::Database(error) => error.kind(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "NOT_FOUND",
            Self::Invalid(_) => "INVALID_INPUT",
            Self::Database(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::Invalid(fault) => Some(fault.field.clone()),
            Self::NotFound { .. } | Self::Database(_) => None,
        }
    }
}

/// A page of a list, one token per row.
pub struct Page<T> {
    /// In the list's order.
    pub rows: Vec<T>,
    /// Where the list continues after each row.
    pub tokens: Vec<String>,
    /// Whether more follow.
    pub has_more: bool,
}

/// Where a page starts, and how long it may be.
pub struct PageAsked<K> {
    /// Key of the row before; `None` for the first page.
    pub after: Option<K>,
    /// Most rows.
    pub size: u32,
}

impl<K: DeserializeOwned> PageAsked<K> {
    /// Reads a request's page fields.
    pub fn read(page_size: u32, page_token: &str) -> Result<Self, Fault> {
        let size = page::page_size(page_size);
        let size = size.ok_or_else(|| Fault::new("page_size", format!("must be 1 to {}", page::PAGE_SIZE_MAX)))?;
        let unknown = || Fault::new("page_token", "is none of ours");
        let after = match page_token {
            "" => None,
            token => Some(page::key(token).ok_or_else(unknown)?),
        };
        Ok(Self { after, size })
    }
}

/// Reads a batch of ids: malformed ones are left out, as unknown ones are.
fn batch<I>(field: &str, ids: &[String], parse: impl Fn(&str) -> Option<I>) -> Result<Vec<Value>, Fault>
where
    I: Ord + Into<Value>,
{
    if ids.len() > BATCH_MAX {
        return Err(Fault::new(field, format!("must be at most {BATCH_MAX}")));
    }
    let ids: std::collections::BTreeSet<I> = ids.iter().filter_map(|id| parse(id)).collect();
    Ok(ids.into_iter().map(Into::into).collect())
}

/// `column IN ($1, $2)`; false for an empty list.
fn any_of(column: &str, count: usize, first: usize) -> String {
    if count == 0 { "1 = 0".to_owned() } else { format!("{column} IN ({})", placeholders(count, first)) }
}

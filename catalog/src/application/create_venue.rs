//! An organiser adds a venue.

use common::error::{ErrorKind, Refusal};
use tracing::instrument;

use super::App;
use super::once::once;
use super::ports::{Answer, Asked, Committed, StoreError};
use crate::domain::fault::{Fault, quote};
use crate::domain::venue::Venue;

/// Why a venue is not stored.
#[derive(Debug, thiserror::Error)]
pub enum CreateVenueError {
    /// A field is at fault.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// Infrastructure trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for CreateVenueError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::Store(error) => error.kind(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_INPUT",
            Self::Store(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::Invalid(fault) => Some(fault.field.clone()),
            Self::Store(error) => error.field(),
        }
    }
}

/// Stores a venue under a new name.
#[instrument(name = "catalog.create_venue", skip_all, fields(venue.id = %venue.id))]
pub async fn create_venue(app: &App, asked: &Asked, venue: Venue) -> Result<Answer, CreateVenueError> {
    once(app, asked, async {
        let venue = venue.checked()?;
        match app.store.add_venue(&venue, asked).await? {
            Committed::Done(answer) => Ok(answer),
            Committed::Stale => Err(Fault::new("name", format!("a venue named {} exists", quote(&venue.name))).into()),
        }
    })
    .await
}

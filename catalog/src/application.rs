//! The stories of catalog's writers, one file each. Reads skip this layer: they are single selects.

pub mod change_event;
pub mod create_event;
pub mod create_venue;
pub mod import_plan;
mod once;
pub mod ports;
pub mod publish_event;

use std::sync::Arc;

use common::clock::Clock;
use tokio::sync::Semaphore;

use self::ports::{CatalogStore, OfferHolder};

/// Imports that may run at once: each keeps a whole file in memory.
const IMPORTS_MAX: usize = 2;

/// What every story needs.
pub struct App {
    /// Where decisions are written.
    pub store: Arc<dyn CatalogStore>,
    /// Who sells what is on offer.
    pub offers: Arc<dyn OfferHolder>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Bounds imports under way.
    pub imports: Semaphore,
}

impl App {
    /// Brings the parts together.
    pub fn new(store: Arc<dyn CatalogStore>, offers: Arc<dyn OfferHolder>, clock: Arc<dyn Clock>) -> Self {
        Self { store, offers, clock, imports: Semaphore::new(IMPORTS_MAX) }
    }
}

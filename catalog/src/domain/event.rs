//! Events: draft, published, cancelled; and what may change in each.

mod details;

use chrono::{DateTime, Utc};
use common::ids::{EventId, SeatingPlanId, VenueId};

pub use self::details::{Details, LENGTH_DEFAULT, LIMIT_DEFAULT};
use super::fault::Fault;
use super::offer::Offer;
use super::plan::Outline;
use super::prices::{PriceList, PriceRange};

/// Something to sell, at a venue, on a plan that never changes once published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Where.
    pub venue_id: VenueId,
    /// On which plan.
    pub plan_id: SeatingPlanId,
    /// What people read, and when.
    pub details: Details,
    /// What it costs.
    pub prices: PriceList,
    /// What somebody could really pay.
    pub price_range: Option<PriceRange>,
    /// Where it stands.
    pub state: State,
    /// Grows with every change, from 1.
    pub version: i64,
}

/// Where an event stands, as stored; see [`Event::status`] for what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not shown, may change freely.
    Draft,
    /// On offer.
    Published(Publication),
    /// Called off; with its publication, if it had one.
    Cancelled(Option<Publication>),
}

/// What is true of an event once it was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication {
    /// When.
    pub at: DateTime<Utc>,
    /// The newest offer.
    pub offer_version: i64,
    /// Facts told so far: the sequence number of the last one.
    pub facts: i64,
}

/// Where an event stands for its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not shown.
    Draft,
    /// On offer.
    Published,
    /// Called off.
    Cancelled,
    /// Published, and over.
    Completed,
}

impl Status {
    /// Its stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
        }
    }
}

/// A fact to tell about a published event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// On offer for the first time.
    Published,
    /// A new offer.
    Changed,
    /// Called off.
    Cancelled,
}

/// One step of an event's life, for its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Status before; empty at the beginning.
    pub from: &'static str,
    /// Status after.
    pub to: &'static str,
    /// Why.
    pub cause: &'static str,
}

/// What a change wants written, all or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The event after it; the store refuses it when the stored version is not the one before.
    pub next: Event,
    /// Steps for the history.
    pub steps: Vec<Step>,
    /// A new offer to freeze.
    pub offer: Option<Offer>,
    /// A fact to tell, under the sequence number of `next`.
    pub fact: Option<Told>,
}

/// Why an event does not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A field is at fault.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// It is too late.
    #[error("event {id} is {} and cannot be changed", status.word())]
    State {
        /// Which event.
        id: EventId,
        /// Where it stands.
        status: Status,
    },
}

impl Event {
    /// A new draft.
    pub fn draft(id: EventId, details: Details, prices: PriceList, outline: &Outline) -> Decision {
        let next = Self {
            id,
            venue_id: outline.venue_id,
            plan_id: outline.plan_id,
            details,
            price_range: prices.range(outline),
            prices,
            state: State::Draft,
            version: 1,
        };
        let step = Step { from: "", to: Status::Draft.word(), cause: "create" };
        Decision { next, steps: vec![step], offer: None, fact: None }
    }

    /// Where the event stands for its readers: a published one is completed once it is over.
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        match self.state {
            State::Draft => Status::Draft,
            State::Published(_) if self.details.ends_at <= now => Status::Completed,
            State::Published(_) => Status::Published,
            State::Cancelled(_) => Status::Cancelled,
        }
    }

    /// Whether it was ever shown to anybody.
    pub fn was_published(&self) -> bool {
        match self.state {
            State::Draft | State::Cancelled(None) => false,
            State::Published(_) | State::Cancelled(Some(_)) => true,
        }
    }

    /// The newest offer; 0 before publication.
    pub fn offer_version(&self) -> i64 {
        match self.state {
            State::Draft | State::Cancelled(None) => 0,
            State::Published(publication) | State::Cancelled(Some(publication)) => publication.offer_version,
        }
    }

    /// Puts a draft on offer; `None` when it already is.
    ///
    /// # Errors
    /// It is cancelled or over, or something in its plan has no price.
    pub fn publish(mut self, outline: &Outline, now: DateTime<Utc>) -> Result<Option<Decision>, Refused> {
        match self.status(now) {
            Status::Published => return Ok(None),
            status @ (Status::Cancelled | Status::Completed) => return Err(Refused::State { id: self.id, status }),
            Status::Draft => {}
        }
        let publication = Publication { at: now, offer_version: 1, facts: 1 };
        self.state = State::Published(publication);
        self.version += 1;
        let offer = self.offer(publication, outline, now)?;
        let step = Step { from: Status::Draft.word(), to: Status::Published.word(), cause: "publish" };
        Ok(Some(Decision { next: self, steps: vec![step], offer: Some(offer), fact: Some(Told::Published) }))
    }

    /// Changes what people read, or what it costs; a published event gets its next offer. `None` when nothing changes.
    ///
    /// # Errors
    /// It is cancelled or over, or it could not be sold like this.
    pub fn change(
        mut self,
        details: Details,
        prices: PriceList,
        outline: &Outline,
        now: DateTime<Utc>,
    ) -> Result<Option<Decision>, Refused> {
        let publication = match self.state {
            State::Draft => None,
            State::Published(publication) if self.status(now) == Status::Published => Some(publication),
            State::Published(_) | State::Cancelled(_) => {
                return Err(Refused::State { id: self.id, status: self.status(now) });
            }
        };
        if details == self.details && prices == self.prices {
            return Ok(None);
        }
        self.price_range = prices.range(outline);
        self.details = details;
        self.prices = prices;
        self.version += 1;
        let Some(Publication { at, offer_version, facts }) = publication else {
            return Ok(Some(Decision { next: self, steps: vec![], offer: None, fact: None }));
        };
        let publication = Publication { at, offer_version: offer_version + 1, facts: facts + 1 };
        self.state = State::Published(publication);
        let offer = self.offer(publication, outline, now)?;
        Ok(Some(Decision { next: self, steps: vec![], offer: Some(offer), fact: Some(Told::Changed) }))
    }

    /// Calls it off for ever; `None` when it already is.
    ///
    /// # Errors
    /// It is over.
    pub fn cancel(mut self, now: DateTime<Utc>) -> Result<Option<Decision>, Refused> {
        let status = self.status(now);
        let publication = match self.state {
            State::Cancelled(_) => return Ok(None),
            State::Draft => None,
            State::Published(publication) if status == Status::Published => Some(publication),
            State::Published(_) => return Err(Refused::State { id: self.id, status }),
        };
        let cancelled = publication.map(|p| Publication { facts: p.facts + 1, ..p });
        self.state = State::Cancelled(cancelled);
        self.version += 1;
        let step = Step { from: status.word(), to: Status::Cancelled.word(), cause: "cancel" };
        let fact = cancelled.map(|_| Told::Cancelled);
        Ok(Some(Decision { next: self, steps: vec![step], offer: None, fact }))
    }

    /// Freezes the terms of a published event.
    fn offer(&self, publication: Publication, outline: &Outline, now: DateTime<Utc>) -> Result<Offer, Fault> {
        if self.details.ends_at <= now {
            return Err(Fault::new("ends_at", "is over: nothing can be sold any more"));
        }
        self.prices.check_complete(outline)?;
        let areas = outline.areas.iter().filter_map(|area| Some((area.clone(), self.prices.of_area(area.id)?)));
        Ok(Offer {
            event_id: self.id,
            version: publication.offer_version,
            sale_starts_at: self.details.sale_starts_at.unwrap_or(publication.at),
            details: self.details.clone(),
            areas: areas.collect(),
            prices: self.prices.clone(),
            plan_id: self.plan_id,
        })
    }
}

#[cfg(test)]
mod tests;

//! What one process knows of the free seats of an event, shared by all who choose from it at the same time: one reads the
//! database for everybody who came before, and nobody chooses what another is about to take. Only a help to choose well: the
//! hold decides.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use common::ids::{EventId, SeatId};
use moka::future::Cache;
use sea_orm::DbErr;

use crate::domain::best_available::{Party, choose};
use crate::domain::hall::{Hall, Snapshot};
use crate::domain::offer::Offer;
use crate::infrastructure::store::Store;

/// Seats of all boards kept in memory together: a byte each.
const SEATS_MAX: u64 = 2_000_000;

/// The boards of the events that are asked about.
pub struct Boards {
    boards: Cache<(EventId, i64), Arc<Board>>,
}

/// What is known of one event's seats.
pub(super) struct Board {
    /// One reads, the others wait for what it finds.
    reading: tokio::sync::Mutex<()>,
    reads_begun: AtomicU64,
    seen: Mutex<Seen>,
}

struct Seen {
    /// Number of the read it comes from.
    read: u64,
    /// Held or sold, in plan order.
    taken: Vec<bool>,
    /// Chosen by somebody whose hold is under way.
    picked: Vec<usize>,
}

/// Seats chosen for one party. Unless kept, they are free for others to choose again when it is dropped.
pub(super) struct Pick {
    board: Arc<Board>,
    seats: Vec<usize>,
    /// Whether they are noted as picked; seats of another's pick are not noted twice.
    noted: bool,
}

impl Boards {
    /// No board yet.
    pub fn new() -> Self {
        let weight =
            |_: &(EventId, i64), board: &Arc<Board>| u32::try_from(board.seen().taken.len() + 1).unwrap_or(u32::MAX);
        Self { boards: Cache::builder().max_capacity(SEATS_MAX).weigher(weight).build() }
    }

    /// The board of an offer's seats.
    pub(super) async fn of(&self, offer: &Offer) -> Arc<Board> {
        let key = (offer.terms.event_id, offer.terms.version);
        self.boards.get_with(key, async { Arc::new(Board::new(offer.seats.len())) }).await
    }
}

impl Default for Boards {
    fn default() -> Self {
        Self::new()
    }
}

impl Board {
    fn new(seats: usize) -> Self {
        let seen = Seen { read: 0, taken: vec![false; seats], picked: Vec::new() };
        Self { reading: tokio::sync::Mutex::default(), reads_begun: AtomicU64::new(0), seen: Mutex::new(seen) }
    }

    /// Chooses from what was free after this call began, passing over the `skip` best choices if there are more.
    pub(super) async fn pick(
        self: &Arc<Self>,
        store: &Store,
        offer: &Offer,
        hall: &Hall,
        party: &Party,
        skip: u32,
    ) -> Result<Option<Pick>, DbErr> {
        self.refresh(store, offer).await?;
        let mut seen = self.seen();
        let picked = seen.picked.clone();
        if let Some(seats) = seen.choose(hall, party, &picked, skip) {
            seen.picked.extend_from_slice(&seats);
            return Ok(Some(Pick { board: self.clone(), seats, noted: true }));
        }
        // What others picked may yet be refused to them.
        let seats = seen.choose(hall, party, &[], skip);
        Ok(seats.map(|seats| Pick { board: self.clone(), seats, noted: false }))
    }

    /// Reads what is taken, unless a read that began after this call did so already.
    async fn refresh(&self, store: &Store, offer: &Offer) -> Result<(), DbErr> {
        let next = self.reads_begun.load(Ordering::SeqCst) + 1;
        let _reading = self.reading.lock().await;
        if self.seen().read >= next {
            return Ok(());
        }
        let read = self.reads_begun.fetch_add(1, Ordering::SeqCst) + 1;
        let taken = store.taken(offer).await?;
        let mut seen = self.seen();
        (seen.read, seen.taken) = (read, taken);
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder of this lock panics")
    }
}

impl Seen {
    /// The best choice but `skip`, or the last one there is, without the seats in `hidden`.
    fn choose(&mut self, hall: &Hall, party: &Party, hidden: &[usize], skip: u32) -> Option<Vec<usize>> {
        let mut covered = Vec::new();
        self.cover(hidden, &mut covered);
        let mut chosen = choose(&Snapshot { hall, taken: &self.taken }, party);
        for _ in 0..skip {
            let Some(seats) = &chosen else { break };
            self.cover(seats, &mut covered);
            let Some(other) = choose(&Snapshot { hall, taken: &self.taken }, party) else { break };
            chosen = Some(other);
        }
        for at in covered {
            self.taken[at] = false;
        }
        chosen
    }

    /// Makes free seats look taken, and notes them.
    fn cover(&mut self, seats: &[usize], covered: &mut Vec<usize>) {
        for at in seats {
            if !std::mem::replace(&mut self.taken[*at], true) {
                covered.push(*at);
            }
        }
    }
}

impl Pick {
    /// The chosen seats, in plan order.
    pub(super) fn seats(&self, offer: &Offer) -> Vec<SeatId> {
        self.seats.iter().map(|at| offer.seats[*at].id).collect()
    }

    /// The seats are held now: nobody needs to read that to know it.
    pub(super) fn keep(self) {
        let mut seen = self.board.seen();
        for at in &self.seats {
            seen.taken[*at] = true;
        }
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        if self.noted {
            self.board.seen().picked.retain(|at| !self.seats.contains(at));
        }
    }
}

//! Leases: rows that say who works on what, by the database's clock. A write under a lease names its epoch, so that a
//! paused owner that wakes late touches nothing.
//!
//! Owners share each kind of lease evenly: every owner announces itself, and whoever has more than its share lets its work
//! finish what is in hand and gives the surplus back.
//!
//! - `hold`: one lease and the work under it; `share`: who should have how many; `rows`: the statements

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sea_orm::DbErr;
use tokio::sync::Notify;

use crate::db::Db;
use crate::runtime::Shutdown;

mod hold;
mod rows;
mod share;

use hold::Hold;
pub use hold::Lease;
use rows::Rows;
pub use rows::{clean, held_sql};
use share::share;

/// How often owners look for free leases and for each other: two cheap reads.
const POLL: Duration = Duration::from_millis(500);

/// The leases one process wants and has.
pub struct Leases {
    rows: Rows,
    duration: Duration,
    wanted: BTreeMap<String, Vec<String>>,
    held: Mutex<Held>,
    let_go: Arc<Notify>,
}

struct Held {
    leases: HashMap<String, Arc<Hold>>,
    renewed_at: Instant,
}

impl Leases {
    /// Wants a fair share of `names` for `owner`; [`Leases::keep`] gets and keeps it. Names that are alike up to their last
    /// colon are of one kind, and each kind is shared for itself.
    pub fn new(db: Db, owner: String, duration: Duration, names: Vec<String>) -> Self {
        let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in names {
            let kind = name.rsplit_once(':').map_or(name.as_str(), |(kind, _)| kind).to_owned();
            wanted.entry(kind).or_default().push(name);
        }
        let held = Mutex::new(Held { leases: HashMap::new(), renewed_at: Instant::now() });
        Self { rows: Rows::new(db, owner, duration), duration, wanted, held, let_go: Arc::default() }
    }

    /// A lease to work under, while it is held as far as we know.
    pub fn get(&self, name: &str) -> Option<Lease> {
        let held = self.held();
        // A process that was paused knows before it has asked.
        if held.renewed_at.elapsed() > self.duration {
            return None;
        }
        let hold = held.leases.get(name).filter(|hold| !hold.has_ended())?;
        Some(Lease::new(hold.clone(), self.let_go.clone()))
    }

    /// Forgets a lease under which a guarded write touched nothing.
    pub fn lost(&self, lease: &Lease) {
        lease.hold().lose();
        let mut held = self.held();
        if held.leases.get(lease.name()).is_some_and(|hold| hold.epoch() == lease.epoch()) {
            held.leases.remove(lease.name());
        }
    }

    /// Gets and keeps a fair share until shutdown, then gives everything back.
    pub async fn keep(&self, shutdown: Shutdown) -> anyhow::Result<()> {
        let mut renewed_at: Option<Instant> = None;
        while !shutdown.is_cancelled() {
            let due = renewed_at.is_none_or(|at| at.elapsed() >= self.duration / 4);
            match if due { self.round().await } else { self.even_out().await } {
                Ok(()) if due => renewed_at = Some(Instant::now()),
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "leases could not be looked after");
                    self.forget_expired();
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.let_go.notified() => {}
                () = tokio::time::sleep(POLL.min(self.duration / 4)) => {}
            }
        }
        if let Err(error) = self.leave().await {
            tracing::warn!(%error, "leases could not be given back: they end by themselves");
        }
        Ok(())
    }

    /// Renews what is held, gives back what is too much and takes what is free.
    pub async fn round(&self) -> Result<(), DbErr> {
        self.renew().await?;
        self.even_out().await
    }

    async fn renew(&self) -> Result<(), DbErr> {
        let asked_at = Instant::now();
        self.rows.announce(self.wanted.keys().map(String::as_str)).await?;
        let names: Vec<String> = self.held().leases.keys().cloned().collect();
        let kept = self.rows.renew(&names).await?;

        let mut held = self.held();
        held.renewed_at = asked_at;
        for (_, lost) in held.leases.extract_if(|name, hold| kept.get(name) != Some(&hold.epoch())) {
            lost.lose();
        }
        Ok(())
    }

    /// When the database cannot be asked for as long as leases last, they are others' by now.
    fn forget_expired(&self) {
        let mut held = self.held();
        if held.renewed_at.elapsed() > self.duration {
            held.leases.drain().for_each(|(_, hold)| hold.lose());
        }
    }

    /// Moves towards the fair share of every kind.
    async fn even_out(&self) -> Result<(), DbErr> {
        let owners = self.rows.owners().await?;
        let mut wished = Vec::new();
        for (number, (kind, names)) in self.wanted.iter().enumerate() {
            let owners = owners.get(kind).map_or(&[][..], Vec::as_slice);
            let share = share(names.len(), owners, self.rows.owner(), number);
            let mine = self.ask_back_all_but(share.count, names);
            if mine < share.count {
                let (last, first) = names.split_at(share.first);
                wished.push((share.count - mine, first.iter().chain(last)));
            }
        }
        self.release_what_was_let_go().await?;
        if wished.is_empty() { Ok(()) } else { self.take(wished).await }
    }

    /// Asks work to let go of what is held beyond `count`; returns how many stay.
    fn ask_back_all_but(&self, count: usize, names: &[String]) -> usize {
        let held = self.held();
        let mine = names.iter().filter_map(|name| held.leases.get(name)).filter(|hold| !hold.has_ended());
        let mine: Vec<&Arc<Hold>> = mine.collect();
        mine.iter().skip(count).for_each(|surplus| surplus.ask_back());
        mine.len().min(count)
    }

    async fn release_what_was_let_go(&self) -> Result<(), DbErr> {
        let mut released = BTreeSet::new();
        self.held().leases.retain(|name, hold| {
            let stays = !hold.can_be_released();
            if !stays {
                released.insert((name.clone(), hold.epoch()));
            }
            stays
        });
        if released.is_empty() { Ok(()) } else { self.rows.release(&released).await }
    }

    /// Takes as many as wished, of those that are free, in the order wished.
    async fn take<'a>(&self, wished: Vec<(usize, impl Iterator<Item = &'a String>)>) -> Result<(), DbErr> {
        let others = self.rows.held_by_others().await?;
        let chosen: BTreeSet<String> = {
            let held = self.held();
            let free = |name: &&String| !others.contains(*name) && !held.leases.contains_key(*name);
            wished.into_iter().flat_map(|(count, names)| names.filter(free).take(count).cloned()).collect()
        };
        if chosen.is_empty() {
            return Ok(());
        }
        let taken = self.rows.take(&chosen).await?;
        let holds = taken.into_iter().map(|(name, epoch)| (name.clone(), Hold::new(name, epoch)));
        self.held().leases.extend(holds);
        Ok(())
    }

    /// Wants nothing any more, and gives everything back as soon as the work under it has ended.
    async fn leave(&self) -> Result<(), DbErr> {
        self.held().leases.values().for_each(|hold| hold.ask_back());
        self.rows.retire().await?;
        loop {
            self.release_what_was_let_go().await?;
            if self.held().leases.is_empty() {
                return Ok(());
            }
            tokio::select! {
                () = self.let_go.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no holder of this lock panics")
    }
}

//! The orphan rule for seats picked by hand, checked before a hold. Advice to the hall, no invariant: it looks at a snapshot, so
//! two picks at the same instant may leave a seat alone together.

use common::ids::SeatId;
use sea_orm::DbErr;

use crate::domain::hall::Snapshot;
use crate::domain::offer::Offer;
use crate::domain::orphans;
use crate::infrastructure::store::Store;

/// The seats that a pick would leave alone without need. None when a picked seat is taken: the hold says so better.
pub(super) async fn of(store: &Store, offer: &Offer, picked: &[SeatId]) -> Result<Vec<SeatId>, DbErr> {
    let Some(hall) = &offer.hall else { return Ok(Vec::new()) };
    let mut picked: Vec<usize> = picked.iter().filter_map(|seat| offer.seat(*seat)).map(|(at, _)| at).collect();
    picked.sort_unstable();
    let blocks = picked.chunk_by(|a, b| hall.block(*a).contains(b));
    let around: Vec<usize> = blocks.flat_map(|picked| hall.block(picked[0])).collect();
    let taken = store.taken_among(offer, &around).await?;
    if picked.iter().any(|at| taken[*at]) {
        return Ok(Vec::new());
    }
    let orphans = orphans::avoidable(&Snapshot { hall, taken: &taken }, &picked);
    Ok(orphans.into_iter().map(|at| offer.seats[at].id).collect())
}

//! Who should have how many leases, and which to begin with. Pure, and the same for every owner that sees the same owners.

/// What one owner may have of one kind of lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// How many.
    pub(super) count: usize,
    /// Where to begin taking, so that owners who start together do not all reach for the same ones.
    pub(super) first: usize,
}

/// The share of `me` among `owners`, both by name. What does not divide evenly goes to other owners for each `kind`, so
/// that nobody gets the odd one of everything.
pub(super) fn share(leases: usize, owners: &[String], me: &str, kind: usize) -> Share {
    let mut owners: Vec<&str> = owners.iter().map(String::as_str).chain([me]).collect();
    owners.sort_unstable();
    owners.dedup();
    let rank = owners.iter().position(|owner| *owner == me).unwrap_or_default();
    let turn = (rank + kind) % owners.len();
    let (even, odd) = (leases / owners.len(), leases % owners.len());
    Share { count: even + usize::from(turn < odd), first: turn * even + turn.min(odd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("owner {n}")).collect()
    }

    #[test]
    fn shares_cover_every_lease_once_and_differ_by_one_at_most() {
        for (leases, owners, kind) in (0..=12).flat_map(|l| (1..=14).flat_map(move |o| (0..3).map(move |k| (l, o, k))))
        {
            let names = names(owners);
            let mut shares: Vec<Share> = names.iter().map(|me| share(leases, &names, me, kind)).collect();
            shares.sort_by_key(|share| share.first);

            let mut next = 0;
            for share in &shares {
                assert_eq!(share.first, next, "{leases} leases, {owners} owners, kind {kind}");
                next += share.count;
            }
            assert_eq!(next, leases);
            assert!(shares.iter().all(|share| share.count.abs_diff(leases / owners) <= 1));
        }
    }

    #[test]
    fn the_odd_ones_of_each_kind_go_to_others() {
        let names = names(3);
        let odd = |kind| names.iter().position(|me| share(1, &names, me, kind).count == 1);

        let mut owners = [odd(0), odd(1), odd(2)];
        owners.sort_unstable();

        assert_eq!(owners, [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn who_is_not_seen_yet_counts_all_the_same() {
        assert_eq!(share(12, &names(1), "owner 1", 0).count, 6);
        assert_eq!(share(12, &[], "alone", 0), Share { count: 12, first: 0 });
    }
}

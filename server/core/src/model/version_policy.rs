/// Which of the versions on disk are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionPolicy {
    /// The highest so many.
    Latest(u32),
    /// Every one.
    All,
    /// These, as far as they are there; below zero there is none.
    Specific(Vec<i64>),
}

impl Default for VersionPolicy {
    fn default() -> VersionPolicy {
        VersionPolicy::Latest(1)
    }
}

impl VersionPolicy {
    /// The versions to serve of those available, in rising order.
    pub fn select(&self, available: &[u64]) -> Vec<u64> {
        let mut versions = available.to_vec();
        versions.sort_unstable();
        versions.dedup();
        match self {
            VersionPolicy::Latest(count) => {
                versions.split_off(versions.len().saturating_sub(*count as usize))
            }
            VersionPolicy::All => versions,
            VersionPolicy::Specific(wanted) => {
                versions.retain(|&version| wanted.iter().any(|&wanted| is(wanted, version)));
                versions
            }
        }
    }

    /// The versions that it names and that are not available.
    pub(crate) fn absent(&self, available: &[u64]) -> Vec<i64> {
        match self {
            VersionPolicy::Latest(_) | VersionPolicy::All => Vec::new(),
            VersionPolicy::Specific(wanted) => {
                let is_there = |wanted| available.iter().any(|&version| is(wanted, version));
                wanted.iter().copied().filter(|&version| !is_there(version)).collect()
            }
        }
    }
}

/// Whether this version is the one that is named.
fn is(named: i64, version: u64) -> bool {
    u64::try_from(named) == Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_selects_its_versions_in_rising_order() {
        let available = [3, 1, 20, 2];
        assert_eq!(VersionPolicy::Latest(2).select(&available), [3, 20]);
        assert_eq!(VersionPolicy::Latest(9).select(&available), [1, 2, 3, 20]);
        assert_eq!(VersionPolicy::All.select(&available), [1, 2, 3, 20]);
        assert_eq!(VersionPolicy::Specific(vec![2, 4, 3, -1]).select(&available), [2, 3]);
        assert_eq!(VersionPolicy::default().select(&[]), []);
    }

    #[test]
    fn only_what_is_named_can_be_absent() {
        assert_eq!(VersionPolicy::Specific(vec![2, 4, 3, -1]).absent(&[3, 1]), [2, 4, -1]);
        for policy in [VersionPolicy::All, VersionPolicy::Latest(9)] {
            assert_eq!(policy.absent(&[3]), []);
        }
    }
}

/// Which of the versions on disk are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionPolicy {
    /// The highest so many.
    Latest(u32),
    /// Every one.
    All,
    /// These, as far as they are there.
    Specific(Vec<u64>),
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
                versions.retain(|version| wanted.contains(version));
                versions
            }
        }
    }

    /// The versions that it names and that are not available.
    pub(crate) fn absent(&self, available: &[u64]) -> Vec<u64> {
        match self {
            VersionPolicy::Latest(_) | VersionPolicy::All => Vec::new(),
            VersionPolicy::Specific(wanted) => {
                wanted.iter().copied().filter(|version| !available.contains(version)).collect()
            }
        }
    }
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
        assert_eq!(VersionPolicy::Specific(vec![2, 4, 3]).select(&available), [2, 3]);
        assert_eq!(VersionPolicy::default().select(&[]), []);
    }

    #[test]
    fn only_what_is_named_can_be_absent() {
        assert_eq!(VersionPolicy::Specific(vec![2, 4, 3]).absent(&[3, 1]), [2, 4]);
        for policy in [VersionPolicy::All, VersionPolicy::Latest(9)] {
            assert_eq!(policy.absent(&[3]), []);
        }
    }
}

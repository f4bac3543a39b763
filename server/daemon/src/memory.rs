//! How much memory the process may use, and how much it does.

use std::fs;
use std::path::{Path, PathBuf};

use mimalloc::MiMalloc;

/// In bytes: what its control groups allow, or else all that the machine has; nothing if neither can be read.
pub(crate) fn available() -> Option<u64> {
    under(Path::new("/"))
}

/// The same with another directory for `/`.
fn under(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files).filter_map(|file| {
        // A group without a limit says "max" (version 2) or a number far beyond any memory (version 1).
        fs::read_to_string(root.join(file)).ok()?.trim().parse().ok()
    });
    limits.chain(total(root)).min()
}

/// The files that may hold the limits of a group, as a line of `/proc/self/cgroup` names it: its own and those of the
/// groups around it, each of which counts. In a container some or all of those are not to be seen.
fn limit_files(line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':');
    let (Some(_number), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next())
    else {
        return Vec::new();
    };
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|controller| controller == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let around = Path::new(group.trim_start_matches('/')).ancestors();
    around.map(|group| Path::new(mount).join(group).join(file)).collect()
}

fn total(root: &Path) -> Option<u64> {
    amount(&root.join("proc/meminfo"), "MemTotal:")
}

/// How much of the process is in memory, in bytes; nothing if the system does not say.
pub(crate) fn resident() -> Option<u64> {
    amount(Path::new("/proc/self/status"), "VmRSS:")
}

/// What the daemon's own allocator has from the system, in bytes. (Engines have another.)
pub(crate) fn committed() -> Option<u64> {
    let stats = MiMalloc::stats_json().ok()?;
    let stats: serde_json::Value = serde_json::from_slice(stats.to_bytes()).ok()?;
    stats["committed"]["current"].as_u64()
}

/// The bytes of a line `<key>  <number> kB` of a file of the kernel's.
fn amount(file: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix(key))?;
    kibibytes.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found where there are these files.
    fn found(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        under(root.path())
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:       4 kB\nMemFree:  1 kB\n");
    const VERSION_2: (&str, &str) = ("proc/self/cgroup", "0::/a/b\n");
    const VERSION_1: (&str, &str) = ("proc/self/cgroup", "5:cpu:/x\n4:hugetlb,memory:/a\n0::/\n");

    #[test]
    fn the_tightest_limit_of_a_group_and_those_around_it_counts() {
        let own = ("sys/fs/cgroup/a/b/memory.max", "3000\n");
        assert_eq!(found(&[MACHINE, VERSION_2, own]), Some(3000));
        assert_eq!(found(&[MACHINE, VERSION_2, own, ("sys/fs/cgroup/a/memory.max", "2000\n")]), Some(2000));
        assert_eq!(found(&[MACHINE, VERSION_2, ("sys/fs/cgroup/memory.max", "1000\n")]), Some(1000));
    }

    #[test]
    fn the_older_control_groups_are_read_as_well() {
        let own = ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3000\n");
        assert_eq!(found(&[MACHINE, VERSION_1, own]), Some(3000));
        let of_the_container = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000\n");
        assert_eq!(found(&[MACHINE, VERSION_1, of_the_container]), Some(2000));
    }

    #[test]
    fn without_a_limit_the_machine_has_it_all() {
        assert_eq!(found(&[MACHINE]), Some(4096));
        assert_eq!(found(&[MACHINE, VERSION_2, ("sys/fs/cgroup/a/b/memory.max", "max\n")]), Some(4096));
        let none = ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(found(&[MACHINE, VERSION_1, none]), Some(4096));
        assert_eq!(found(&[]), None);
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn what_is_resident_can_be_read() {
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
    }
}

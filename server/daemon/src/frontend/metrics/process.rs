//! What the system says of this process.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

use crate::memory;

/// This process; what the system does not say is not there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    /// The CPU time of all threads that it has or had, in nanoseconds.
    pub(super) cpu_nanos: u64,
    pub(super) resident: Option<u64>,
    pub(super) virtual_memory: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) most_files: Option<u64>,
    /// Since 1970, in nanoseconds.
    pub(super) started_nanos: Option<u64>,
}

/// The places of fields in `/proc/self/stat` behind the name.
const THREADS: usize = 17;
const STARTED: usize = 19;
const VIRTUAL_MEMORY: usize = 20;

impl Process {
    pub(super) fn read() -> Process {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name may hold anything, brackets too.
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .map(|(_, fields)| {
                fields.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect()
            })
            .unwrap_or_default();
        let field = |place: usize| fields.get(place).copied();
        Process {
            cpu_nanos: (cpu.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(cpu.tv_nsec as u64),
            resident: memory::resident(),
            virtual_memory: field(VIRTUAL_MEMORY),
            threads: field(THREADS),
            open_files: open_files(),
            most_files: rlimit::Resource::NOFILE.get_soft().ok(),
            started_nanos: field(STARTED).and_then(since_1970),
        }
    }
}

/// Linux gives their number as the size of the directory, since 6.2; before, they are to be counted.
fn open_files() -> Option<u64> {
    let size = fs::metadata("/proc/self/fd").ok()?.size();
    match size {
        // The one that reads the directory is among them.
        0 => Some((fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1)),
        size => Some(size),
    }
}

/// A time in ticks since the machine started.
fn since_1970(ticks: u64) -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let machine: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let per_second = clock_ticks_per_second().max(1);
    let nanos = (ticks % per_second) * 1_000_000_000 / per_second;
    Some((machine + ticks / per_second).saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_system_says_everything_of_this_process() {
        let process = Process::read();
        assert!(process.cpu_nanos > 0 && process.cpu_nanos < 1_000_000_000_000);
        let within =
            |value: Option<u64>, least, most| value.is_some_and(|value| (least..most).contains(&value));
        assert!(within(process.resident, 1 << 20, 1 << 36), "{process:?}");
        assert!(within(process.virtual_memory, 1 << 20, 1 << 48), "{process:?}");
        assert!(within(process.threads, 1, 10_000), "{process:?}");
        assert!(within(process.open_files, 3, 10_000), "{process:?}");
        assert!(within(process.most_files, 4, u64::MAX), "{process:?}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        assert!(within(process.started_nanos, now - 3_600_000_000_000, now + 2_000_000_000), "{process:?}");
    }

    #[test]
    fn an_open_file_is_counted() {
        let before = open_files().unwrap();
        let files: Vec<_> = (0..100).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        // Other tests open and close files at the same time.
        assert!(open_files().unwrap().abs_diff(before + 100) < 90);
        drop(files);
    }
}

//! How busy the machine is, as Triton has it: all of it, whatever control groups allow.

use std::fs;

use parking_lot::Mutex;

/// The machine, between two looks.
#[derive(Debug, Default)]
pub(super) struct Machine(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    times: Times,
    utilization: f64,
}

/// What its processors did since it started, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    busy: u64,
    idle: u64,
}

/// Its memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) total: u64,
    /// What is not available for something new.
    pub(super) used: u64,
}

impl Machine {
    /// The machine from now on.
    pub(super) fn new() -> Machine {
        Machine(Mutex::new(Last { times: read_times().unwrap_or_default(), utilization: 0.0 }))
    }

    /// The part of all processors' time that was used since the last look; that of the look before if no time has passed.
    pub(super) fn utilization(&self) -> Option<f64> {
        Some(self.0.lock().next(read_times()?))
    }
}

impl Last {
    fn next(&mut self, times: Times) -> f64 {
        let busy = times.busy.saturating_sub(self.times.busy);
        let all = busy + times.idle.saturating_sub(self.times.idle);
        if all > 0 {
            *self = Last { times, utilization: busy as f64 / all as f64 };
        }
        self.utilization
    }
}

fn read_times() -> Option<Times> {
    times(&fs::read_to_string("/proc/stat").ok()?)
}

/// Of the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, and what is in these already.
fn times(stat: &str) -> Option<Times> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, idle, waiting, irq, soft_irq, stolen] = ticks[..] else { return None };
    Some(Times { busy: user + nice + system + irq + soft_irq + stolen, idle: idle + waiting })
}

/// The machine's memory now.
pub(super) fn memory() -> Option<Memory> {
    memory_of(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn memory_of(meminfo: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let kibibytes = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        kibibytes.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok()?.checked_mul(1024)
    };
    let total = bytes("MemTotal")?;
    Some(Memory { total, used: total.saturating_sub(bytes("MemAvailable")?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utilization_is_what_was_used_since_the_last_look() {
        let before = times("cpu  10 20 30 400 50 6 7 8 9 10\ncpu0 1 2\n").unwrap();
        assert_eq!(before, Times { busy: 81, idle: 450 });
        let mut last = Last { times: before, utilization: 0.0 };
        assert_eq!(last.next(Times { busy: 81 + 30, idle: 450 + 10 }), 0.75);
        assert_eq!(last.next(Times { busy: 81 + 30, idle: 450 + 10 }), 0.75, "no time has passed");
        assert_eq!(last.next(Times { busy: 81 + 30, idle: 450 + 20 }), 0.0);
        for wrong in ["", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3", "cpu a b c d e f g h"] {
            assert_eq!(times(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn memory_that_is_available_is_not_used() {
        let text = "MemTotal:  100 kB\nMemFree:  10 kB\nMemAvailable:  40 kB\n";
        assert_eq!(memory_of(text), Some(Memory { total: 102_400, used: 61_440 }));
        assert_eq!(memory_of("MemTotal:  100 kB\n"), None);
    }

    #[test]
    fn this_machine_says_both() {
        let machine = Machine::new();
        assert!(machine.utilization().is_some_and(|part| (0.0..=1.0).contains(&part)));
        assert!(memory().is_some_and(|memory| memory.used > 0 && memory.used < memory.total));
    }
}

//! Metrics of the GPUs.

use super::exposition::{Exposition, Value, label};
use super::families::{self, Family};
use crate::gpus::Gpu;

/// Writes what each GPU can tell. A family of which none can tell anything is not there.
pub(super) fn write(out: &mut Exposition, gpus: &[Gpu]) {
    let labels: Vec<String> = gpus.iter().map(|gpu| label("gpu_uuid", &gpu.uuid)).collect();
    let mut each = |family: &Family, value: fn(&Gpu) -> Option<Value>| {
        let mut series =
            gpus.iter().zip(&labels).filter_map(|(gpu, label)| Some((label, value(gpu)?))).peekable();
        if series.peek().is_some() {
            out.family(family);
        }
        for (label, value) in series {
            out.series(family.name, &[label], value);
        }
    };
    each(&families::GPU_UTILIZATION, |gpu| gpu.utilization.map(Value::Real));
    each(&families::GPU_MEMORY_TOTAL, |gpu| gpu.memory.map(|memory| Value::Number(memory.total)));
    each(&families::GPU_MEMORY_USED, |gpu| gpu.memory.map(|memory| Value::Number(memory.used)));
    each(&families::GPU_POWER_USAGE, |gpu| gpu.power.map(Value::Real));
    each(&families::GPU_POWER_LIMIT, |gpu| gpu.power_limit.map(Value::Real));
    each(&families::ENERGY, |gpu| gpu.energy.map(|millijoules| Value::Real(millijoules as f64 / 1e3)));
}

#[cfg(test)]
mod tests {
    use nerite_nvml::Memory;

    use super::super::format::Format;
    use super::*;

    fn text(gpus: &[Gpu]) -> String {
        let mut out = Exposition::new(Format::Text, 0);
        write(&mut out, gpus);
        String::from_utf8(out.finish()).unwrap()
    }

    #[test]
    fn each_gpu_has_a_series_of_what_it_can_tell_and_none_of_what_it_cannot() {
        let all = Gpu {
            uuid: "GPU-a".to_owned(),
            utilization: Some(0.37),
            memory: Some(Memory { total: 80_000_000_000, used: 5 }),
            power: Some(123.456),
            power_limit: Some(700.0),
            energy: Some(1_500),
            ..Gpu::default()
        };
        let power = Gpu { uuid: "GPU-b\"".to_owned(), power: Some(1.5), ..Gpu::default() };
        let written = text(&[all, power.clone()]);
        let series: Vec<&str> = written.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "nv_gpu_utilization{gpu_uuid=\"GPU-a\"} 0.37",
            "nv_gpu_memory_total_bytes{gpu_uuid=\"GPU-a\"} 80000000000",
            "nv_gpu_memory_used_bytes{gpu_uuid=\"GPU-a\"} 5",
            "nv_gpu_power_usage{gpu_uuid=\"GPU-a\"} 123.456",
            "nv_gpu_power_usage{gpu_uuid=\"GPU-b\\\"\"} 1.5",
            "nv_gpu_power_limit{gpu_uuid=\"GPU-a\"} 700",
            "nv_energy_consumption{gpu_uuid=\"GPU-a\"} 1.5",
        ];
        assert_eq!(series, expected);
        assert!(written.contains("# TYPE nv_energy_consumption counter\n"), "{written}");
        assert_eq!(text(&[power]).matches("# TYPE").count(), 1, "no family without a series");
        assert_eq!(text(&[]), "");
    }
}

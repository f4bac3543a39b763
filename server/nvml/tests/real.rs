//! NVIDIA's own library, where there is one.
#![allow(clippy::unwrap_used)]

use nerite_nvml::Nvml;

#[test]
fn real_gpus_tell_what_can_be() {
    let nvml = match Nvml::load(None) {
        Ok(nvml) => nvml,
        Err(error) => {
            eprintln!("NVML was not tested: {error}");
            return;
        }
    };
    let count = nvml.count().unwrap();
    assert!(count > 0, "NVML starts only where there is a GPU");
    for index in 0..count {
        // A container may see more than it may open.
        let Ok(device) = nvml.device(index) else { continue };
        let (first, second) = (device.read(), device.read());
        eprintln!("GPU {index}: {} {}: {second:?}", device.uuid(), device.name().unwrap_or_default());
        assert!(device.uuid().starts_with("GPU-"), "{}", device.uuid());
        assert_eq!(second.trouble, None);
        assert!(second.utilization.is_none_or(|part| (0.0..=1.0).contains(&part)));
        let memory = second.memory.unwrap();
        assert!(memory.total > 1 << 30 && memory.used <= memory.total, "{memory:?}");
        for watts in [second.power, second.power_limit].into_iter().flatten() {
            assert!(watts > 1.0 && watts < 5_000.0, "{watts} W");
        }
        assert!(first.energy <= second.energy);
    }
}

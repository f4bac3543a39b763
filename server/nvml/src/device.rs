#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_uint};
use std::ptr::null_mut;

use crate::api::{Api, Handle, Query, Text};
use crate::error::NvmlError;

/// The longest text that NVML gives, with its end.
const LONGEST: usize = 96;

/// A GPU.
#[derive(Debug)]
pub struct Device {
    api: Api,
    handle: Handle,
    uuid: String,
    name: Option<String>,
}

// SAFETY: a handle names a device to any thread, and NVML may be called by several threads at a time.
unsafe impl Send for Device {}

/// What a GPU says of itself at one moment. What it cannot tell is not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The part of the last moments in which it computed, from 0 to 1.
    pub utilization: Option<f64>,
    /// Its memory.
    pub memory: Option<Memory>,
    /// What it draws, in watts.
    pub power: Option<f64>,
    /// What it may draw, in watts.
    pub power_limit: Option<f64>,
    /// What it has used since its driver was loaded, in millijoules.
    pub energy: Option<u64>,
    /// The first error that says more than that it cannot tell.
    pub trouble: Option<NvmlError>,
}

/// A GPU's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What is taken, by whomever.
    pub used: u64,
}

impl Device {
    pub(crate) fn open(api: Api, index: u32) -> Result<Device, NvmlError> {
        let mut handle = null_mut();
        // SAFETY: NVML has started; the result goes to a local.
        api.check("nvmlDeviceGetHandleByIndex_v2", unsafe { (api.handle)(index, &mut handle) })?;
        let mut device = Device { api, handle, uuid: String::new(), name: None };
        device.uuid = device.text("nvmlDeviceGetUUID", api.uuid)?;
        device.name = api.name.and_then(|name| device.text("nvmlDeviceGetName", name).ok());
        Ok(device)
    }

    /// `GPU-` and what tells it from every other.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// What it is called by its makers, if it can tell.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Asks it everything.
    pub fn read(&self) -> Reading {
        let mut trouble = None;
        let api = &self.api;
        let watts = |milliwatts: c_uint| f64::from(milliwatts) / 1e3;
        let utilization = self.ask("nvmlDeviceGetUtilizationRates", api.utilization, &mut trouble);
        let memory = self.ask("nvmlDeviceGetMemoryInfo", api.memory, &mut trouble);
        let power = self.ask("nvmlDeviceGetPowerUsage", api.power, &mut trouble);
        let limit = self.ask("nvmlDeviceGetPowerManagementLimit", api.power_limit, &mut trouble);
        let energy = self.ask("nvmlDeviceGetTotalEnergyConsumption", api.energy, &mut trouble);
        Reading {
            utilization: utilization.map(|rates| f64::from(rates.gpu) / 100.0),
            memory: memory.map(|memory| Memory { total: memory.total, used: memory.used }),
            power: power.map(watts),
            power_limit: limit.map(watts),
            energy,
            trouble,
        }
    }

    fn ask<T: Default>(
        &self,
        call: &'static str,
        query: Option<Query<T>>,
        trouble: &mut Option<NvmlError>,
    ) -> Option<T> {
        let query = query?;
        let mut value = T::default();
        // SAFETY: the handle is of a device of this library, which stays started; the result goes to a local of the
        // type that the function writes.
        let code = unsafe { query(self.handle, &mut value) };
        match self.api.check(call, code) {
            Ok(()) => Some(value),
            Err(error) => {
                if !error.is_refusal() {
                    trouble.get_or_insert(error);
                }
                None
            }
        }
    }

    fn text(&self, call: &'static str, function: Text) -> Result<String, NvmlError> {
        let mut text: [c_char; LONGEST] = [0; LONGEST];
        // SAFETY: the handle is of a device of this library; as many bytes may be written as it is told, one less than
        // there are.
        let code = unsafe { function(self.handle, text.as_mut_ptr(), LONGEST as c_uint - 1) };
        self.api.check(call, code)?;
        // SAFETY: the last byte was left 0.
        Ok(unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned())
    }
}

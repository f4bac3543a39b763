//! ONNX Runtime's reports to its makers.
#![allow(unsafe_code)]

use std::env;
use std::fs;

/// The variable by which a user of the library opts out, from 1.29 on.
const OPT_OUT: &str = "ORT_DISABLE_TELEMETRY";

/// Keeps the library from reporting to its makers, which builds of it from package registries do unless told otherwise:
/// they send the names and shapes of models over the network, and keep an identifier of the machine in the user's cache
/// folder. A process that has the variable `ORT_DISABLE_TELEMETRY` already, whatever its value, is left alone.
///
/// The library reads the variable when its environment is made, and the call that turns reports off comes too late to
/// stop the first. So this is for the first line of `main`: it does nothing, and says `false`, once the process has
/// other threads.
#[must_use = "otherwise nobody knows that reports are sent"]
pub fn opt_out_of_telemetry() -> bool {
    if env::var_os(OPT_OUT).is_some() {
        return true;
    }
    let threads = fs::read_dir("/proc/self/task").map_or(usize::MAX, Iterator::count);
    if threads != 1 {
        return false;
    }
    // SAFETY: no other thread can read the environment meanwhile: this is the only one, as just counted, and it starts
    // none before the call returns.
    unsafe { env::set_var(OPT_OUT, "1") };
    true
}

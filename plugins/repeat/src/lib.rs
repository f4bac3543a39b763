//! A decoupled backend: it answers a request with one response for each element that it is sent, each after a delay of
//! its own.
//!
//! Inputs: `IN`, INT32 of shape `[n]`; `DELAY`, UINT32 of the same shape, in milliseconds; `WAIT`, UINT32 of shape
//! `[1]`, in milliseconds. The i-th response comes `DELAY[i]` after the one before and has the outputs `OUT`, INT32
//! `[1]`, which is `IN[i]`, and `IDX`, UINT32 `[1]`, which is i. Without elements there are no responses, only their
//! end.
//!
//! The execution returns after `WAIT`, perhaps long before the last response, so that the next one can begin meanwhile.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nerite_plugin::{
    Batch, Config, DataType, Error, Instance, InstanceContext, Model, ModelContext, Request, ResponseSender,
    Result, TensorConfig, Threads,
};

/// A model; there is nothing to know of one.
struct Repeat;

impl Model for Repeat {
    type Instance = Repeater;

    fn load(context: &ModelContext<'_>) -> Result<Repeat> {
        check(context.config())?;
        Ok(Repeat)
    }

    fn instance(self: &Arc<Repeat>, _: &InstanceContext<'_>) -> Result<Repeater> {
        Ok(Repeater { threads: Threads::new() })
    }
}

/// Refuses a configuration that this backend does not serve.
fn check(config: &Config) -> Result<()> {
    if config.max_batch_size() != 0 {
        return Err(Error::invalid_argument("the repeat backend does not batch; set max_batch_size to 0"));
    }
    if !config.is_decoupled() {
        return Err(Error::invalid_argument(
            "the repeat backend sends many responses; add model_transaction_policy { decoupled: true }",
        ));
    }
    let (inputs, outputs) = (config.inputs()?, config.outputs()?);
    expect(
        &inputs,
        "input",
        &[("IN", DataType::Int32), ("DELAY", DataType::Uint32), ("WAIT", DataType::Uint32)],
    )?;
    expect(&outputs, "output", &[("OUT", DataType::Int32), ("IDX", DataType::Uint32)])?;
    let dims = |tensors: &[TensorConfig], name| {
        let found = tensors.iter().find(|tensor| tensor.name == name);
        found.map(|tensor| tensor.dims.clone()).unwrap_or_default()
    };
    let values = dims(&inputs, "IN");
    let single = [dims(&inputs, "WAIT"), dims(&outputs, "OUT"), dims(&outputs, "IDX")];
    if values.len() != 1 || values != dims(&inputs, "DELAY") || single.iter().any(|dims| *dims != [1]) {
        return Err(Error::invalid_argument(
            "the repeat backend needs IN and DELAY of one shape with one dimension, and WAIT, OUT and IDX of shape [1]",
        ));
    }
    Ok(())
}

/// Fails where there are other tensors than these.
fn expect(tensors: &[TensorConfig], kind: &str, wanted: &[(&str, DataType)]) -> Result<()> {
    let found = |&(name, data_type): &(&str, DataType)| {
        tensors.iter().any(|tensor| tensor.name == name && tensor.data_type == data_type)
    };
    if tensors.len() == wanted.len() && wanted.iter().all(found) {
        return Ok(());
    }
    let wanted: Vec<String> =
        wanted.iter().map(|(name, data_type)| format!("{name} ({data_type})")).collect();
    Err(Error::invalid_argument(format_args!("the repeat backend needs the {kind}s {}", wanted.join(", "))))
}

/// An instance.
struct Repeater {
    /// One for each request whose responses are not all sent. The server bounds how many requests there are.
    threads: Threads,
}

impl Instance for Repeater {
    fn execute(&mut self, batch: &mut Batch) -> Result<()> {
        let mut wait = Duration::ZERO;
        for request in batch.iter() {
            match self.begin(request) {
                Ok(its_wait) => wait = wait.max(its_wait),
                Err(error) => request.fail(&error),
            }
        }
        thread::sleep(wait);
        Ok(())
    }
}

impl Repeater {
    /// Starts a request's responses; says how long its execution is to last.
    fn begin(&self, request: &Request) -> Result<Duration> {
        let wait = request.input("WAIT")?.values::<u32>()?.first().copied();
        let wait = wait.ok_or_else(|| Error::invalid_argument("WAIT is empty"))?;
        let (values, delays) = (request.input("IN")?, request.input("DELAY")?);
        if values.shape() != delays.shape() {
            let (values, delays) = (values.shape(), delays.shape());
            return Err(Error::invalid_argument(format_args!(
                "IN and DELAY have to be of the same shape, and are {values:?} and {delays:?}"
            )));
        }
        // Copies: the inputs are gone when the request is released.
        let values = values.values::<i32>()?.into_owned();
        let delays = delays.values::<u32>()?.into_owned();
        let sender = request.sender()?;
        self.threads.spawn(move || send_all(sender, &values, &delays))?;
        Ok(Duration::from_millis(wait.into()))
    }
}

/// Sends the responses, each after its delay; stops early where nobody waits for them.
fn send_all(mut sender: ResponseSender, values: &[i32], delays: &[u32]) {
    for (index, (&value, &delay)) in (0..).zip(values.iter().zip(delays)) {
        thread::sleep(Duration::from_millis(delay.into()));
        if sender.is_cancelled().unwrap_or(false) {
            return sender.fail(&Error::cancelled());
        }
        if let Err(error) = send(&mut sender, value, index) {
            return sender.fail(&error);
        }
    }
    // Dropping the sender says that no more will come.
}

fn send(sender: &mut ResponseSender, value: i32, index: u32) -> Result<()> {
    let mut response = sender.response()?;
    response.output_of("OUT", &[1], &[value])?;
    response.output_of("IDX", &[1], &[index])?;
    response.send()
}

nerite_plugin::export!(Repeat);

//! A backend that answers with what it is sent: `OUTPUT0` is `INPUT0`, and so on, of any types and shapes.
//!
//! Parameters of the model, all optional:
//! - `execute_delay_ms`: how long each execution takes at least, in milliseconds.
//! - `instance_wise_delay_multiplier`: where it is above zero, that time is multiplied by the number of the instance's
//!   device, if that is above one.
//! - `creation_delay_sec`: how long loading takes, in seconds.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nerite_plugin::{
    Batch, Config, Error, Instance, InstanceContext, Model, ModelContext, Request, Response, Result,
    TensorConfig,
};

/// A model: which output is which input.
struct Identity {
    pairs: Vec<Pair>,
    delay: Duration,
    by_device: bool,
}

struct Pair {
    input: String,
    output: String,
}

impl Model for Identity {
    type Instance = Copier;

    fn load(context: &ModelContext<'_>) -> Result<Identity> {
        let config = context.config();
        let delay = config.parsed_parameter("execute_delay_ms")?.unwrap_or(0);
        let multiplier = config.parsed_parameter::<u64>("instance_wise_delay_multiplier")?.unwrap_or(0);
        let pairs = pairs(config)?;
        if let Some(seconds) = config.parsed_parameter("creation_delay_sec")? {
            thread::sleep(Duration::from_secs(seconds));
        }
        Ok(Identity { pairs, delay: Duration::from_millis(delay), by_device: multiplier > 0 })
    }

    fn instance(self: &Arc<Identity>, context: &InstanceContext<'_>) -> Result<Copier> {
        let times = if self.by_device { u32::try_from(context.device()).unwrap_or(1).max(1) } else { 1 };
        Ok(Copier { delay: self.delay.saturating_mul(times), model: Arc::clone(self) })
    }
}

/// Each output with the input that it copies. Fails where the configuration does not pair them.
fn pairs(config: &Config) -> Result<Vec<Pair>> {
    let (inputs, outputs) = (config.inputs()?, config.outputs()?);
    if inputs.len() != outputs.len() {
        let (inputs, outputs) = (inputs.len(), outputs.len());
        return Err(Error::invalid_argument(format_args!(
            "the identity backend needs as many outputs as inputs, and the configuration has {inputs} inputs and \
             {outputs} outputs"
        )));
    }
    if let Some(input) = inputs.iter().find(|input| !input.name.starts_with("INPUT")) {
        let name = &input.name;
        return Err(Error::invalid_argument(format_args!(
            "the identity backend needs inputs named INPUT<index>, not {name:?}"
        )));
    }
    outputs.iter().map(|output| pair(output, &inputs)).collect()
}

fn pair(output: &TensorConfig, inputs: &[TensorConfig]) -> Result<Pair> {
    let name = &output.name;
    let index = name.strip_prefix("OUTPUT").ok_or_else(|| {
        Error::invalid_argument(format_args!(
            "the identity backend needs outputs named OUTPUT<index>, not {name:?}"
        ))
    })?;
    let input =
        inputs.iter().find(|input| input.name.strip_prefix("INPUT") == Some(index)).ok_or_else(|| {
            Error::invalid_argument(format_args!("output {name:?} has no input \"INPUT{index}\" to copy"))
        })?;
    if input.data_type != output.data_type {
        let (from, to) = (input.data_type, output.data_type);
        return Err(Error::invalid_argument(format_args!(
            "input {:?} is {from}, and output {name:?}, which copies it, {to}",
            input.name
        )));
    }
    if input.dims != output.dims {
        let (from, to) = (&input.dims, &output.dims);
        return Err(Error::invalid_argument(format_args!(
            "input {:?} is of shape {from:?}, and output {name:?}, which copies it, {to:?}",
            input.name
        )));
    }
    Ok(Pair { input: input.name.clone(), output: name.clone() })
}

/// An instance.
struct Copier {
    model: Arc<Identity>,
    delay: Duration,
}

impl Instance for Copier {
    fn execute(&mut self, batch: &mut Batch) -> Result<()> {
        if !self.delay.is_zero() {
            thread::sleep(self.delay);
        }
        batch.respond_each(|request, response| self.model.copy(request, response));
        Ok(())
    }
}

impl Identity {
    /// Copies what the client wants, straight to where the answer is sent from.
    fn copy(&self, request: &Request, response: &mut Response<'_>) -> Result<()> {
        for wanted in request.requested_outputs() {
            let wanted = wanted?;
            let pair =
                self.pairs.iter().find(|pair| pair.output == wanted).ok_or_else(|| {
                    Error::invalid_argument(format_args!("the model has no output {wanted:?}"))
                })?;
            let input = request.input(&pair.input)?;
            let place = response.output(wanted, input.data_type(), input.shape(), input.byte_size())?;
            input.copy_to(place)?;
        }
        Ok(())
    }
}

nerite_plugin::export!(Identity);

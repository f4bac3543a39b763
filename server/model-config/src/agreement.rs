//! Whether a configuration and the model that it is for agree.

use nerite_backend::{DType, Declaration, Shape, TensorDeclaration};
use nerite_core::model::LoadError;
use nerite_proto::inference::{DataType, ModelConfig, ModelTensorReshape};

use crate::{ragged, sequences};

/// Checks a completed configuration against what the engine says of the model. Every input that the model must have is
/// to be configured; outputs may be left out.
pub(crate) fn check(config: &ModelConfig, declaration: &Declaration) -> Result<(), LoadError> {
    if ragged::is_gathered(declaration) {
        ragged::agree(config, &declaration.inputs)?;
    }
    let agreement = Agreement { model: &config.name, batching: config.max_batch_size > 0 };
    agreement.inputs(config, &declaration.inputs)?;
    agreement.outputs(config, &declaration.outputs)
}

struct Agreement<'a> {
    model: &'a str,
    batching: bool,
}

/// A configured tensor, whether input or output.
struct Configured<'a> {
    /// `input` or `output`.
    what: &'static str,
    name: &'a str,
    data_type: i32,
    dims: &'a [i64],
    reshape: Option<&'a ModelTensorReshape>,
    /// Whether the model has another shape in its place: that of all requests of a ragged batch.
    is_ragged: bool,
}

impl Agreement<'_> {
    fn inputs(&self, config: &ModelConfig, declared: &[TensorDeclaration]) -> Result<(), LoadError> {
        self.required_stay_required(config, declared)?;
        let own = sequences::own_tensors(config).inputs;
        let required =
            || declared.iter().filter(|tensor| !tensor.optional && !own.contains(tensor.name.as_str()));
        let made = required().filter(|tensor| ragged::is_batch_input(config, &tensor.name));
        let expected = config.input.iter().filter(|input| !input.optional).count() + made.count();
        let provided = required().count();
        if expected != provided {
            return Err(self.cannot_load(&format!(
                "configuration expects {expected} inputs, model provides {provided}; those that the model requires \
                 are: {}; \
                 configure each of them, and others as optional",
                names(required())
            )));
        }
        config.input.iter().try_for_each(|input| {
            if input.optional && self.batching {
                let name = &input.name;
                return Err(self.cannot_load(&format!(
                    "optional input '{name}' is not supported for models that support batching; leave it out of the \
                     configuration, or set max_batch_size to 0"
                )));
            }
            let configured = Configured {
                what: "input",
                name: &input.name,
                data_type: input.data_type,
                dims: &input.dims,
                reshape: input.reshape.as_ref(),
                is_ragged: input.allow_ragged_batch,
            };
            // What the model leaves open, the configuration may fix.
            self.tensor(&configured, declared, |model, configured| model == -1 || model == configured)
        })
    }

    /// Comparing counts does not find this where an input that the model can do without is configured as required.
    fn required_stay_required(
        &self,
        config: &ModelConfig,
        declared: &[TensorDeclaration],
    ) -> Result<(), LoadError> {
        let required = |name: &str| declared.iter().any(|tensor| tensor.name == name && !tensor.optional);
        match config.input.iter().find(|input| input.optional && required(&input.name)) {
            None => Ok(()),
            Some(input) => Err(self.cannot_load(&format!(
                "configuration says that input '{}' is optional, but the model requires it; remove its optional",
                input.name
            ))),
        }
    }

    fn outputs(&self, config: &ModelConfig, declared: &[TensorDeclaration]) -> Result<(), LoadError> {
        config.output.iter().try_for_each(|output| {
            let configured = Configured {
                what: "output",
                name: &output.name,
                data_type: output.data_type,
                dims: &output.dims,
                reshape: output.reshape.as_ref(),
                is_ragged: ragged::is_batch_output(config, &output.name),
            };
            self.tensor(&configured, declared, |model, configured| model == configured)
        })
    }

    fn tensor(
        &self,
        configured: &Configured<'_>,
        declared: &[TensorDeclaration],
        fits: fn(i64, i64) -> bool,
    ) -> Result<(), LoadError> {
        let Configured { what, name, .. } = configured;
        let Some(tensor) = declared.iter().find(|tensor| tensor.name == *name) else {
            return Err(LoadError::invalid(format!(
                "unexpected inference {what} '{name}', allowed {what}s are: {}; correct its name in the configuration \
                 of \
                 model '{}', or remove it",
                names(declared.iter()),
                self.model
            )));
        };
        if dtype(configured.data_type) != Some(tensor.dtype) {
            let configured = DataType::try_from(configured.data_type).unwrap_or_default().as_str_name();
            let provided = tensor.dtype.config_name();
            return Err(self.cannot_load(&format!(
                "configuration expects datatype {configured} for {what} '{name}', model provides {provided}; set its \
                 data_type to {provided}",
            )));
        }
        if configured.is_ragged { Ok(()) } else { self.shape(configured, &tensor.shape, fits) }
    }

    fn shape(
        &self,
        configured: &Configured<'_>,
        declared: &Shape,
        fits: fn(i64, i64) -> bool,
    ) -> Result<(), LoadError> {
        let dims = Shape::new(configured.reshape.map_or(configured.dims, |reshape| &reshape.shape));
        if declared.is_empty() && !self.batching {
            return self.scalar(configured.name, &dims);
        }
        let tensor = format!("model '{}', tensor '{}'", self.model, configured.name);
        if self.batching && declared.first() != Some(&-1) {
            return Err(LoadError::invalid(format!(
                "{tensor}: for the model to support batching the shape should have at least 1 dimension and the \
                 first dimension must be -1; but shape expected by the model is {declared}; set max_batch_size \
                 to 0 and give whole shapes in dims, or export the model with a variable first dimension"
            )));
        }
        let full = if self.batching { dims.prepend(-1) } else { dims };
        if declared.len() == full.len()
            && declared.iter().zip(full.iter()).all(|(&model, &dim)| fits(model, dim))
        {
            return Ok(());
        }
        let explanation = if self.batching {
            "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making \
             complete shape"
        } else {
            "shape"
        };
        Err(LoadError::invalid(format!(
            "{tensor}: the model expects {} dimensions (shape {declared}) but the model configuration specifies {} \
             dimensions ({explanation} {full}); {}",
            declared.len(),
            full.len(),
            self.fitting(configured, declared)
        )))
    }

    /// What the configuration should say instead.
    fn fitting(&self, configured: &Configured<'_>, declared: &Shape) -> String {
        let row =
            if self.batching { Shape::new(declared.get(1..).unwrap_or_default()) } else { declared.clone() };
        if row.is_empty() {
            return "set its dims to [1] and give it an empty reshape".to_owned();
        }
        let field = if configured.reshape.is_some() { "the shape of its reshape" } else { "its dims" };
        format!("set {field} to {row}")
    }

    /// A scalar may be configured as one element with any number of dimensions.
    fn scalar(&self, name: &str, dims: &Shape) -> Result<(), LoadError> {
        if dims.iter().all(|&dim| dim == 1) {
            return Ok(());
        }
        Err(self.cannot_load(&format!(
            "scalar tensor '{name}', should only provide 1 in the model configuration when the model doesn't support \
             batching. Model configuration provided: {dims}. Set its dims to [1]."
        )))
    }

    fn cannot_load(&self, why: &str) -> LoadError {
        LoadError::invalid(format!("unable to load model '{}', {why}", self.model))
    }
}

/// The names of tensors, sorted.
fn names<'a>(tensors: impl Iterator<Item = &'a TensorDeclaration>) -> String {
    let mut names: Vec<&str> = tensors.map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    names.join(", ")
}

/// The element type of a configuration's data type.
pub(crate) fn dtype(data_type: i32) -> Option<DType> {
    let name = DataType::try_from(data_type).ok()?.as_str_name();
    DType::ALL.into_iter().find(|dtype| dtype.config_name() == name)
}

/// How a thread came to bring a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bringer {
    /// With what a caller has sent: it may execute a brief model.
    Caller,
    /// With what came of an execution that it is in the midst of, which is not to last for as long as another.
    Engine,
}

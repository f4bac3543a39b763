use std::sync::LazyLock;

use http::Request;
use tonic::body::Body;
use tonic_reflection::server::Builder;
use tower_service::Service;

use super::router::Answered;

type Handler = Box<dyn Fn(Request<Body>) -> Answered + Send + Sync>;

/// Server reflection in both versions that clients speak.
pub(super) struct Handlers {
    pub(super) v1: Handler,
    pub(super) v1alpha: Handler,
}

/// The handlers, made when the first client asks: taking the descriptors apart costs more than all of an empty
/// server's start.
pub(super) fn handlers() -> &'static Handlers {
    static HANDLERS: LazyLock<Handlers> = LazyLock::new(|| {
        let v1 = builder().build_v1().expect("the descriptors are compiled in and a test reads them");
        let v1alpha =
            builder().build_v1alpha().expect("the descriptors are compiled in and a test reads them");
        Handlers {
            v1: Box::new(move |request| v1.clone().call(request)),
            v1alpha: Box::new(move |request| v1alpha.clone().call(request)),
        }
    });
    &HANDLERS
}

fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(nerite_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_descriptors_can_be_served() {
        let _ = handlers();
    }
}

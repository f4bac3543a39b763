//! Plain HTTP, for probes and scrapers.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::metrics::Format;
use crate::serving::{Serving, Stage};

/// Answers on the HTTP port: whether the server lives and whether it is ready, as in KServe's protocol, for probes.
pub(crate) fn health<B>(serving: &Serving, request: &Request<B>) -> Response<Full<Bytes>> {
    let healthy = match request.uri().path() {
        "/v2/health/live" => serving.stage() != Stage::Exiting,
        "/v2/health/ready" => serving.is_ready(),
        _ => {
            return answer(StatusCode::NOT_FOUND, "this port answers /v2/health/live and /v2/health/ready\n");
        }
    };
    if !is_read(request) {
        return answer(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
    }
    answer(if healthy { StatusCode::OK } else { StatusCode::BAD_REQUEST }, "")
}

/// Answers on the metrics port: the metrics in Prometheus' text format, or in OpenMetrics. It takes milliseconds where
/// there are many models.
pub(crate) fn metrics<B>(serving: &Serving, request: &Request<B>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return answer(StatusCode::NOT_FOUND, "this port answers /metrics\n");
    }
    if !is_read(request) {
        return answer(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
    }
    let format = Format::accepted(request.headers());
    let mut response = answer(StatusCode::OK, serving.metrics.render(serving, format));
    let kind = header::HeaderValue::from_static(format.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("Accept"));
    response
}

fn is_read<B>(request: &Request<B>) -> bool {
    *request.method() == Method::GET
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn status(serving: &Serving, method: Method, path: &str) -> StatusCode {
        health(serving, &Request::builder().method(method).uri(path).body(()).unwrap()).status()
    }

    #[test]
    fn a_server_lives_from_the_start_and_is_ready_when_its_models_are() {
        let serving = Serving::new("test".into(), Arc::default(), Arc::default());
        assert_eq!(status(&serving, Method::GET, "/v2/health/live"), StatusCode::OK);
        assert_eq!(status(&serving, Method::GET, "/v2/health/ready"), StatusCode::BAD_REQUEST);
        serving.enter(Stage::Running);
        assert_eq!(status(&serving, Method::GET, "/v2/health/ready"), StatusCode::OK);
        assert_eq!(status(&serving, Method::POST, "/v2/health/ready"), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(status(&serving, Method::GET, "/"), StatusCode::NOT_FOUND);
        serving.enter(Stage::Exiting);
        assert_eq!(status(&serving, Method::GET, "/v2/health/live"), StatusCode::BAD_REQUEST);
    }
}

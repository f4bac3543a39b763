//! Plain HTTP, for probes, scrapers and browsers.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::metrics::Format;
use super::status_page;
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

/// Answers on the metrics port: the metrics in Prometheus' text format or in OpenMetrics, and the status page with its
/// numbers. It takes milliseconds where there are many models.
pub(crate) fn metrics<B>(serving: &Serving, request: &Request<B>) -> Response<Full<Bytes>> {
    let answer_of = match request.uri().path() {
        "/metrics" => scrape,
        "/" => page,
        "/status" => status,
        _ => {
            let known =
                "this port answers /metrics, / (the status page) and /status (its numbers, as JSON)\n";
            return answer(StatusCode::NOT_FOUND, known);
        }
    };
    if !is_read(request) {
        return answer(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
    }
    answer_of(serving, request.headers())
}

fn scrape(serving: &Serving, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let format = Format::accepted(headers);
    let text = serving.metrics.render(serving, format);
    with(
        answer(StatusCode::OK, text),
        [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "Accept")],
    )
}

fn page(_: &Serving, _: &HeaderMap) -> Response<Full<Bytes>> {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, status_page::POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    with(answer(StatusCode::OK, status_page::PAGE), headers)
}

fn status(serving: &Serving, _: &HeaderMap) -> Response<Full<Bytes>> {
    match status_page::numbers(serving) {
        Ok(json) => {
            let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
            with(answer(StatusCode::OK, json), headers)
        }
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn with<const N: usize>(
    mut response: Response<Full<Bytes>>,
    headers: [(HeaderName, &'static str); N],
) -> Response<Full<Bytes>> {
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    response.headers_mut().extend(headers);
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

//! A client's connection.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Code;

/// A connection over which ModelInfer is called. It is closed, whatever is in flight, when this is dropped.
pub struct Connection {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
    uri: Uri,
}

impl Connection {
    /// Connects to that port of the loopback interface.
    pub async fn open(port: u16) -> anyhow::Result<Connection> {
        Connection::over(tcp(port).await?, port).await
    }

    /// The same over something that leads there.
    pub async fn over(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        port: u16,
    ) -> anyhow::Result<Connection> {
        let uri = format!("http://127.0.0.1:{port}/inference.GRPCInferenceService/ModelInfer").parse()?;
        let (requests, connection) = client::Builder::new().handshake(io).await?;
        Ok(Connection { requests, driver: tokio::spawn(connection), uri })
    }

    /// Calls ModelInfer with that body, and a `grpc-timeout` if there is one; gives the status, wherever the server
    /// put it. The call is cancelled if this is dropped.
    pub fn call(
        &self,
        body: Bytes,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<Code, h2::Error>> + Send + 'static {
        let request = self.request(timeout);
        let requests = self.requests.clone();
        async move {
            let (response, mut stream) = requests.ready().await?.send_request(request, false)?;
            stream.send_data(body, true)?;
            let response = response.await?;
            if let Some(code) = status(response.headers()) {
                return Ok(code);
            }
            let mut body = response.into_body();
            while let Some(data) = body.data().await {
                body.flow_control().release_capacity(data?.len())?;
            }
            let trailers = body.trailers().await?;
            Ok(trailers.as_ref().and_then(status).unwrap_or(Code::Unknown))
        }
    }

    fn request(&self, timeout: Option<Duration>) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        if let Some(timeout) = timeout {
            // At most eight digits, which are some 100 s.
            let text = format!("{}u", timeout.as_micros().min(99_999_999));
            headers.insert("grpc-timeout", HeaderValue::from_str(&text).expect("digits and a letter"));
        }
        request
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A socket that sends at once.
pub(super) async fn tcp(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn status(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|status| Code::from_bytes(status.as_bytes()))
}

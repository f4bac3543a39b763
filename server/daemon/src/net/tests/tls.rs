//! TLS and mutual TLS, with certificates made here.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::support::{Client, limits, settings, start, within};
use crate::net::GrpcOptions;
use crate::net::tls::TlsError;
use crate::settings::{Grpc, Tls};

/// An authority, and a directory for what it issues.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

/// What a client shows.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, dir: TempDir::new().unwrap() }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn identity(&self) -> Identity {
        let (certificate, key) = self.issue();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn server(&self, mutual: bool) -> Grpc {
        let (certificate, key) = self.issue();
        let tls = Tls {
            certificate: self.write("server.crt", &certificate.pem()),
            key: self.write("server.key", &key.serialize_pem()),
            client_roots: mutual.then(|| self.write("ca.crt", &self.issuer.pem())),
        };
        Grpc { tls: Some(tls), ..settings() }
    }

    /// A client that trusts this authority.
    fn client(&self, identity: Option<Identity>, alpn: &[u8]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

async fn connect(addr: SocketAddr, tls: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
    let stream = within(TcpStream::connect(addr)).await?;
    within(tls.connect("localhost".try_into().unwrap(), stream)).await
}

/// Whether a client gets as far as a call. In TLS 1.3 a server's refusal comes after the client's handshake.
async fn served(addr: SocketAddr, tls: &TlsConnector) -> bool {
    let Ok(stream) = connect(addr, tls).await else { return false };
    match Client::over(stream).await {
        Ok(client) => client.echoes().await,
        Err(_) => false,
    }
}

#[tokio::test]
async fn tls_serves_those_who_trust_the_certificate_and_speak_http2() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (endpoint, _gate) = start(&authority.server(false));
    let addr = endpoint.local_addr();
    let stream = connect(addr, &authority.client(None, b"h2")).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    assert!(Client::over(stream).await.unwrap().echoes().await);
    assert!(!served(addr, &stranger.client(None, b"h2")).await);
    assert!(!served(addr, &authority.client(None, b"http/1.1")).await);
    match Client::over(TcpStream::connect(addr).await.unwrap()).await {
        Ok(plain) => assert!(!plain.echoes().await),
        Err(_refused) => {}
    }
    assert!(served(addr, &authority.client(None, b"h2")).await);
}

#[tokio::test]
async fn mutual_tls_serves_those_alone_whose_certificate_the_authority_signed() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (endpoint, gate) = start(&authority.server(true));
    let addr = endpoint.local_addr();
    assert!(served(addr, &authority.client(Some(authority.identity()), b"h2")).await);
    assert!(!served(addr, &authority.client(None, b"h2")).await);
    assert!(!served(addr, &authority.client(Some(stranger.identity()), b"h2")).await);
    assert_eq!(gate.count(), 0);
}

#[tokio::test]
async fn clients_that_do_not_shake_hands_hold_up_neither_others_nor_a_drain() {
    let authority = Authority::new();
    let (endpoint, _gate) = start(&authority.server(false));
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(endpoint.local_addr()).await.unwrap());
    }
    assert!(served(endpoint.local_addr(), &authority.client(None, b"h2")).await);
    endpoint.drain();
    within(endpoint.drained()).await;
}

#[test]
fn what_is_wrong_with_the_files_is_said_with_flag_and_file() {
    let authority = Authority::new();
    let good = authority.server(true);
    let refusal = |change: &dyn Fn(&mut Tls)| -> (TlsError, String) {
        let mut settings = good.clone();
        change(settings.tls.as_mut().unwrap());
        let error = GrpcOptions::new(&settings, &limits()).err().expect("this cannot be served");
        let text = error.to_string().replace(&authority.dir.path().display().to_string(), "");
        (error, text)
    };
    let (empty, other) = (authority.write("empty", ""), authority.issue());
    let (_, text) = refusal(&|tls| tls.certificate = authority.dir.path().join("none"));
    assert_eq!(text, "--grpc-server-cert: cannot read /none: No such file or directory (os error 2)");
    let (_, text) = refusal(&|tls| tls.certificate = empty.clone());
    assert_eq!(text, "--grpc-server-cert: /empty holds no certificate in PEM form");
    let (_, text) = refusal(&|tls| tls.key = tls.certificate.clone());
    assert_eq!(text, "--grpc-server-key: /server.crt holds no private key in PEM form");
    let (_, text) = refusal(&|tls| tls.client_roots = Some(tls.key.clone()));
    assert_eq!(text, "--grpc-root-cert: /server.key holds no certificate in PEM form");
    let (error, text) = refusal(&|tls| tls.key = authority.write("other.key", &other.1.serialize_pem()));
    assert!(matches!(error, TlsError::KeyDoesNotFit { .. }));
    assert_eq!(
        text,
        "--grpc-server-key: the private key in /other.key does not fit the certificate in /server.crt \
         (--grpc-server-cert)"
    );
    let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (file, flag) in [("cert", "--grpc-server-cert"), ("root", "--grpc-root-cert")] {
        let path = authority.write(file, rubbish);
        let (_, text) = refusal(&|tls| match file {
            "cert" => tls.certificate = path.clone(),
            _ => tls.client_roots = Some(path.clone()),
        });
        assert!(text.starts_with(&format!("{flag}: /{file} cannot be used: ")), "{text}");
    }
}

//! TLS for the gRPC port, from PEM files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::x509::{NotACertificate, public_key};
use crate::settings::Tls;

const CERTIFICATE: &str = "grpc-server-cert";
const KEY: &str = "grpc-server-key";
const CLIENT_ROOTS: &str = "grpc-root-cert";

/// Why TLS cannot be served. The text is a sentence for the user and names flag and file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file that is not there or may not be read.
    #[error("--{flag}: cannot read {}: {reason}", file.display())]
    Read {
        /// The flag that named it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A file that is not PEM, or holds something else.
    #[error("--{flag}: {} holds no {expected} in PEM form", file.display())]
    NotPem {
        /// The flag that named it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// PEM, but what is in it cannot be used.
    #[error("--{flag}: {} cannot be used: {reason}", file.display())]
    Unusable {
        /// The flag that named it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A private key of another certificate.
    #[error(
        "--{KEY}: the private key in {} does not fit the certificate in {} (--{CERTIFICATE})",
        key.display(),
        certificate.display()
    )]
    KeyDoesNotFit {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
}

/// Reads the files and prepares for handshakes; clients that speak ALPN must speak `h2`.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring speaks the default versions");
    let builder = match &tls.client_roots {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(roots(file)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| unusable(CLIENT_ROOTS, file, e))?)
        }
    };
    let certified = Arc::new(certified(tls, &provider)?);
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The certificates with their key, which must belong together.
///
/// What else there may be to say against a certificate is for clients to judge. rustls judges too, and refuses those of
/// version 1, which `openssl x509 -req` makes by default and gRPC's other servers take.
fn certified(tls: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(CERTIFICATE, &tls.certificate)?;
    let key = provider.key_provider.load_private_key(key(&tls.key)?);
    let key = key.map_err(|error| unusable(KEY, &tls.key, error))?;
    let certificate = chain.first().ok_or(NotACertificate).and_then(|first| public_key(first));
    let in_certificate = certificate.map_err(|error| unusable(CERTIFICATE, &tls.certificate, error))?;
    if key.public_key().is_some_and(|of_key| of_key.as_ref() != in_certificate) {
        return Err(TlsError::KeyDoesNotFit { key: tls.key.clone(), certificate: tls.certificate.clone() });
    }
    Ok(CertifiedKey::new(chain, key))
}

fn roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CLIENT_ROOTS, file)? {
        roots.add(certificate).map_err(|error| unusable(CLIENT_ROOTS, file, error))?;
    }
    Ok(roots)
}

/// All certificates of a file, of which there is at least one.
fn certificates(flag: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|all| if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) });
    found.map_err(|error| unreadable(flag, file, "certificate", error))
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| unreadable(KEY, file, "private key", error))
}

fn unreadable(flag: &'static str, file: &Path, expected: &'static str, error: pem::Error) -> TlsError {
    let file = file.to_owned();
    match error {
        pem::Error::Io(reason) => TlsError::Read { flag, file, reason },
        _ => TlsError::NotPem { flag, file, expected },
    }
}

fn unusable(
    flag: &'static str,
    file: &Path,
    error: impl std::error::Error + Send + Sync + 'static,
) -> TlsError {
    TlsError::Unusable { flag, file: file.to_owned(), reason: Box::new(error) }
}

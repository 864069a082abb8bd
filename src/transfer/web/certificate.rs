//! `WebCertificate`: who this machine is to browsers, by a certificate that its user has.
//!
//! Must not be used for peers: these know each other by their keys.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use webpki::EndEntityCert;

use crate::model::error::{Action, Error, Result};

/// A certificate and its key.
#[derive(Clone)]
pub struct WebCertificate {
    pub(super) config: Arc<ServerConfig>,
    name: Option<String>,
}

impl WebCertificate {
    /// Reads both as PEM: the certificate with those that lead to one that browsers know behind it,
    /// and the key.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self> {
        let failed = |path: &Path, error| Error::file(Action::Read, path, error);
        let of_certificate = |e| failed(certificate, plain(e, "no certificate in it"));
        let chain = CertificateDer::pem_file_iter(certificate).map_err(of_certificate)?;
        let chain: std::result::Result<Vec<_>, _> = chain.collect();
        let chain = chain.map_err(of_certificate)?;
        if chain.is_empty() {
            return Err(of_certificate(pem::Error::NoItemsFound));
        }
        let own = chain.first();
        let own = own.and_then(|own| EndEntityCert::try_from(own).ok());
        let name = own.and_then(|own| {
            let mut names = own.valid_dns_names();
            names.find(|name| !name.contains('*')).map(str::to_owned)
        });
        let secret = PrivateKeyDer::from_pem_file(key);
        let secret = secret.map_err(|e| failed(key, plain(e, "no private key in it")))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, secret))
            .map_err(|e| match e {
                rustls::Error::InconsistentKeys(_) => failed(
                    key,
                    io::Error::other("it is not the key of the certificate"),
                ),
                e => failed(certificate, io::Error::other(e.to_string())),
            })?;
        let mut config = config;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        Ok(Self { config, name })
    }

    /// The name of this machine that it vouches for, if it is for one in the DNS.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl fmt::Debug for WebCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebCertificate(..)")
    }
}

/// What the system said, or why the file is not what it should be.
fn plain(error: pem::Error, missing: &str) -> io::Error {
    match error {
        pem::Error::Io(error) => error,
        pem::Error::NoItemsFound => io::Error::new(ErrorKind::InvalidData, missing.to_owned()),
        _ => io::Error::new(ErrorKind::InvalidData, "it is not valid PEM"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_of_the_file_that_it_is_in() {
        let dir = tempfile::tempdir().unwrap();
        let [certificate, key] = ["c.pem", "k.pem"].map(|name| dir.path().join(name));
        let wrong = || {
            WebCertificate::read(&certificate, &key)
                .unwrap_err()
                .to_string()
        };
        assert!(wrong().contains("c.pem"));
        std::fs::write(&certificate, "text").unwrap();
        assert!(wrong().contains("no certificate in it"), "{}", wrong());
        std::fs::write(&certificate, "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
        assert!(wrong().contains("not valid PEM"), "{}", wrong());
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&certificate, empty).unwrap();
        std::fs::write(&key, "text").unwrap();
        assert!(wrong().contains("k.pem") && wrong().contains("no private key in it"));
    }
}

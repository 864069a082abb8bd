//! `Tls`: how this device speaks TLS, as a dialer and as a listener.
//!
//! Must not decide whom to trust: any peer that proves its key gets a channel.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    AlwaysResolvesClientRawPublicKeys, ClientConfig, Resumption, UnbufferedClientConnection,
};
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, ServerConfig,
    UnbufferedServerConnection,
};
use rustls::version::TLS13;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme,
};

use super::super::{Fingerprint, Identity};
use super::Channel;
use super::handshake::{self, ALPN, Endpoint, HandshakeFailure};
use super::timing::Timed;
use crate::model::error::{CryptoFault, Error, Result};
use crate::sys::socket;
use crate::wire::{PREAMBLE_BYTES, Preamble, Preambles, VERSION};

/// How long a peer may take for its preamble, which it sends without waiting for anything.
const PREAMBLE_TIME: Duration = Duration::from_secs(2);
/// rustls requires a server name. It is neither sent nor checked.
const SERVER_NAME: &str = "xfer";
/// The first bytes of every Ed25519 public key as a SubjectPublicKeyInfo (RFC 8410, section 4); 32
/// bytes follow.
const ED25519_PREFIX: &[u8; 12] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// A device's TLS configuration: made once, used for every connection. Clones are the same.
#[derive(Clone)]
pub struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: ServerName<'static>,
    fingerprint: Fingerprint,
    preamble: Preamble,
}

impl Tls {
    /// For a device with this identity.
    pub fn new(identity: &Identity) -> Result<Self> {
        let failed = |e: rustls::Error| Error::Crypto {
            fault: CryptoFault::Tls(e.to_string()),
        };
        Ok(Self {
            client: Arc::new(client_config(identity, provider()).map_err(failed)?),
            server: Arc::new(server_config(identity, provider()).map_err(failed)?),
            name: ServerName::try_from(SERVER_NAME).map_err(|e| Error::Crypto {
                fault: CryptoFault::Tls(e.to_string()),
            })?,
            fingerprint: identity.fingerprint(),
            preamble: Preamble::OURS,
        })
    }

    /// The same for an xfer with only these features, as an earlier version has.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with_features(mut self, features: crate::wire::Features) -> Self {
        self.preamble.features = features.0;
        self
    }

    /// The fingerprint that peers know this device by.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Makes a channel from a connection that this side opened. All of it must be done by
    /// `deadline`, however slowly the peer answers.
    pub fn connect(
        &self,
        stream: impl Into<Arc<TcpStream>>,
        deadline: Duration,
    ) -> Result<Channel> {
        let end = || UnbufferedClientConnection::new(self.client.clone(), self.name.clone());
        establish(self.preamble, stream.into(), deadline, || {}, end)
    }

    /// Makes a channel from a connection that the peer opened. All of it must be done by
    /// `deadline`, however slowly the peer answers.
    pub fn accept(&self, stream: impl Into<Arc<TcpStream>>, deadline: Duration) -> Result<Channel> {
        self.accept_noting(stream.into(), deadline, || {})
    }

    /// Like [`Self::accept`]; calls `has_greeted` once the peer has shown that it speaks this
    /// protocol.
    pub(crate) fn accept_noting(
        &self,
        stream: Arc<TcpStream>,
        deadline: Duration,
        has_greeted: impl FnOnce(),
    ) -> Result<Channel> {
        let end = || UnbufferedServerConnection::new(self.server.clone());
        establish(self.preamble, stream, deadline, has_greeted, end)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.fingerprint)
    }
}

/// Turns the IPv6 form that a dual-stack socket gives an IPv4 address back into IPv4.
pub(crate) fn plain(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, addr.port()),
        _ => addr,
    }
}

fn establish<E: Endpoint>(
    preamble: Preamble,
    stream: Arc<TcpStream>,
    deadline: Duration,
    has_greeted: impl FnOnce(),
    end: impl FnOnce() -> std::result::Result<E, rustls::Error>,
) -> Result<Channel> {
    let until = Instant::now() + deadline;
    // Without a peer there is no address to report; it was connected a moment ago.
    let peer = stream
        .peer_addr()
        .map(plain)
        .map_err(|source| Error::Lost {
            peer: ([0, 0, 0, 0], 0).into(),
            source,
        })?;
    let failed = |failure| match failure {
        HandshakeFailure::Io(e) if e.kind() == io::ErrorKind::TimedOut => Error::Silent {
            peer,
            seconds: deadline.as_secs(),
        },
        HandshakeFailure::Io(source) => Error::Lost { peer, source },
        HandshakeFailure::Tls(fault) => Error::Handshake { peer, fault },
    };
    let io_failed = |e| failed(HandshakeFailure::Io(e));
    let local = stream.local_addr().map(plain).map_err(io_failed)?;
    // Some systems pass on the settings of the listening socket.
    stream.set_nonblocking(false).map_err(io_failed)?;
    // What is flushed is complete; waiting to fill a packet would only delay it.
    stream.set_nodelay(true).map_err(io_failed)?;
    socket::retry_often(&stream);
    let timed = Timed::new(&stream, until);
    let preambles = exchange_preambles(preamble, timed, peer)?;
    has_greeted();
    let end = end().map_err(|e| failed(e.into()))?;
    handshake::run(end, stream.clone(), timed, preambles, [local, peer]).map_err(failed)
}

/// Sends this side's preamble and reads the peer's. Fails as "not xfer" at the first wrong byte, or
/// if the rest does not come. A peer that sends nothing could be anything.
fn exchange_preambles(ours: Preamble, stream: Timed<'_>, peer: SocketAddr) -> Result<Preambles> {
    let mut stream = stream.within(PREAMBLE_TIME);
    let sent = ours.encode();
    // Not checked yet: what the peer sent before it closed says more.
    let wrote = stream.write_all(&sent);
    let seen = read_preamble(stream, peer)?;
    let theirs = Preamble::decode(&seen).ok_or(Error::NotXfer { peer })?;
    if theirs.version != VERSION {
        return Err(Error::Version {
            peer,
            theirs: theirs.version,
            ours: VERSION,
        });
    }
    wrote.map_err(|source| Error::Lost { peer, source })?;
    Ok(Preambles { sent, seen })
}

fn read_preamble(mut stream: Timed<'_>, peer: SocketAddr) -> Result<[u8; PREAMBLE_BYTES]> {
    let mut seen = [0; PREAMBLE_BYTES];
    let mut len = 0;
    while len < PREAMBLE_BYTES {
        let ended = || match len {
            0 => Error::Mute { peer },
            _ => Error::NotXfer { peer },
        };
        match stream.read(&mut seen[len..]) {
            Ok(0) => return Err(ended()),
            Ok(got) => len += got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::TimedOut => return Err(ended()),
            // A network failure says nothing about the peer.
            Err(source) => return Err(Error::Lost { peer, source }),
        }
        if !Preamble::may_begin_with(&seen[..len]) {
            return Err(Error::NotXfer { peer });
        }
    }
    Ok(seen)
}

pub(super) fn client_config(
    identity: &Identity,
    provider: Arc<CryptoProvider>,
) -> std::result::Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyKey::new()))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
            identity.key(),
        )));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_secret_extraction = true;
    Ok(config)
}

pub(super) fn server_config(
    identity: &Identity,
    provider: Arc<CryptoProvider>,
) -> std::result::Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AnyKey::new()))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
            identity.key(),
        )));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // If the dialer never reads a ticket, its close would reset the connection.
    config.send_tls13_tickets = 0;
    config.ignore_client_order = !has_fast_aes();
    config.enable_secret_extraction = true;
    Ok(config)
}

/// aws-lc-rs, with the ciphers that this record layer supports, the faster one first.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let mut cipher_suites = vec![TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256];
    if !has_fast_aes() {
        cipher_suites.reverse();
    }
    Arc::new(CryptoProvider {
        cipher_suites,
        ..aws_lc_rs::default_provider()
    })
}

/// Whether the processor has AES instructions. Small ARM boards do not, and are several times
/// faster with ChaCha20.
fn has_fast_aes() -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
    return false;
}

/// Accepts any Ed25519 key whose owner proves that it has the secret half.
#[derive(Debug)]
struct AnyKey {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyKey {
    fn new() -> Self {
        Self {
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }

    /// Whether a key is encoded in the one allowed way, so that it has only one fingerprint.
    fn check(
        key: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> std::result::Result<(), rustls::Error> {
        let bytes = key.strip_prefix(ED25519_PREFIX);
        if bytes.is_some_and(|bytes| bytes.len() == 32) && others.is_empty() {
            Ok(())
        } else {
            Err(CertificateError::BadEncoding.into())
        }
    }

    fn verify(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }
}

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Self::check(key, others).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, key, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> std::result::Result<ClientCertVerified, rustls::Error> {
        Self::check(key, others).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, key, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

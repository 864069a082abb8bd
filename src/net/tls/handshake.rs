//! The TLS handshake: rustls decides, this moves its bytes.
//!
//! Must not give rustls a byte beyond the handshake: later records belong to the [`Reader`].

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{CommonState, ConnectionTrafficSecrets, ExtractedSecrets};

use super::super::Fingerprint;
use super::record::{KeySchedule, Keys, MAX_RECORD_BYTES, Rekey, record_len};
use super::timing::Timed;
use super::{Channel, Closer, Reader, Writer};
use crate::model::digest::sha256;
use crate::model::error::HandshakeFault;
use crate::wire::Preambles;

/// The protocol inside TLS.
pub(super) const ALPN: &[u8] = b"xfer/1";
/// How many bytes a peer may send before it has proven its identity. A handshake takes two or three
/// thousand.
const MAX_HANDSHAKE_BYTES: usize = 1 << 15;

/// Why a handshake failed.
#[derive(Debug)]
pub(super) enum HandshakeFailure {
    /// The connection failed.
    Io(io::Error),
    /// The peer's handshake or identity is faulty.
    Tls(HandshakeFault),
}

impl From<io::Error> for HandshakeFailure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Tls(HandshakeFault::Tls(error.to_string())),
            _ => Self::Io(error),
        }
    }
}

impl From<rustls::Error> for HandshakeFailure {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(HandshakeFault::Tls(error.to_string()))
    }
}

/// One end's unbuffered connection.
pub(super) trait Endpoint: Sized {
    /// The data that rustls keeps for that end.
    type Data;
    /// Whether it is the end that opened the connection.
    const DIALS: bool;

    /// Lets rustls process `input`.
    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// The state that both kinds of end have.
    fn common(&self) -> &CommonState;

    /// Takes it apart into its keys, and what derives the next ones.
    fn split(self) -> Result<(ExtractedSecrets, Box<dyn Rekey>), rustls::Error>;
}

impl Endpoint for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    const DIALS: bool = true;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn split(self) -> Result<(ExtractedSecrets, Box<dyn Rekey>), rustls::Error> {
        let (secrets, rekey) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Box::new(rekey)))
    }
}

impl Endpoint for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    const DIALS: bool = false;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn split(self) -> Result<(ExtractedSecrets, Box<dyn Rekey>), rustls::Error> {
        let (secrets, rekey) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Box::new(rekey)))
    }
}

/// Makes a channel from a connection whose preambles are exchanged.
pub(super) fn run<E: Endpoint>(
    mut end: E,
    stream: Arc<TcpStream>,
    deadline: Timed<'_>,
    preambles: Preambles,
    [local, peer]: [SocketAddr; 2],
) -> Result<Channel, HandshakeFailure> {
    let mut input = HandshakeInput::new();
    if let Err(failure) = drive(&mut end, deadline, &mut input) {
        if let HandshakeFailure::Tls(_) = failure {
            send_alert(&mut end, deadline, &mut input);
        }
        return Err(failure);
    }
    if input.start != input.given {
        return Err(HandshakeFailure::Tls(HandshakeFault::LeftOver));
    }
    let common = end.common();
    if common.alpn_protocol() != Some(ALPN) {
        return Err(HandshakeFailure::Tls(HandshakeFault::OtherProtocol));
    }
    let fingerprint = match common.peer_certificates() {
        Some([public_key]) => Fingerprint::of(public_key),
        _ => {
            return Err(HandshakeFailure::Tls(HandshakeFault::NoKey));
        }
    };
    let (secrets, rekey) = end.split()?;
    let binding = binding(&secrets, E::DIALS);

    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    let schedule = Arc::new(KeySchedule::new(rekey));
    let (rx, tx) = (Keys::new(secrets.rx)?, Keys::new(secrets.tx)?);
    Ok(Channel {
        writer: Writer::new(stream.clone(), schedule.clone(), tx),
        reader: Reader::new(
            stream.clone(),
            schedule,
            rx,
            input.buf,
            input.given..input.end,
        ),
        peer,
        local,
        fingerprint,
        preambles,
        binding,
        closer: Closer(stream),
    })
}

/// Identifies this channel alone: a hash of the first keys of both directions, the dialer's first.
/// rustls has no exporter (RFC 8446, section 7.5) for unbuffered connections; these keys derive
/// from the same transcript as an exporter's secret would.
fn binding(secrets: &ExtractedSecrets, dials: bool) -> [u8; 32] {
    let (first, second) = if dials {
        (&secrets.tx, &secrets.rx)
    } else {
        (&secrets.rx, &secrets.tx)
    };
    let [(key1, iv1), (key2, iv2)] = [first, second].map(|(_, secrets)| match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key.as_ref(), iv.as_ref()),
        // No channel has other keys.
        _ => (&[][..], &[][..]),
    });
    sha256(&[b"xfer channel binding 1", key1, iv1, key2, iv2]).0
}

/// The input so far: rustls has seen `start..given` but not finished it, and has not seen
/// `given..end`.
struct HandshakeInput {
    buf: Box<[u8]>,
    start: usize,
    given: usize,
    end: usize,
}

impl HandshakeInput {
    fn new() -> Self {
        Self {
            buf: vec![0; MAX_HANDSHAKE_BYTES + MAX_RECORD_BYTES].into(),
            start: 0,
            given: 0,
            end: 0,
        }
    }

    /// Gives rustls one more record, once it has arrived. There is always room for it after
    /// [`MAX_HANDSHAKE_BYTES`].
    fn give_record(&mut self, stream: &mut Timed<'_>) -> Result<(), HandshakeFailure> {
        let len = loop {
            match record_len(&self.buf[self.given..self.end])? {
                Some(len) if len <= self.end - self.given => break len,
                _ => {}
            }
            match stream.read(&mut self.buf[self.end..]) {
                Ok(0) => return Err(HandshakeFailure::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(got) => self.end += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        };
        self.given += len;
        if self.given > MAX_HANDSHAKE_BYTES {
            return Err(HandshakeFailure::Tls(HandshakeFault::TooLong));
        }
        Ok(())
    }
}

/// What to do next.
enum HandshakeStep {
    Again,
    More,
    Send,
}

/// Runs the handshake to its end.
fn drive<E: Endpoint>(
    end: &mut E,
    mut stream: Timed<'_>,
    input: &mut HandshakeInput,
) -> Result<(), HandshakeFailure> {
    let mut output = Vec::new();
    loop {
        let UnbufferedStatus { discard, state, .. } =
            end.process(&mut input.buf[input.start..input.given]);
        // Even if it failed: rustls relies on it when asked for its alert.
        input.start += discard;
        let step = match state? {
            ConnectionState::EncodeTlsData(data) => {
                encode(data, &mut output)?;
                HandshakeStep::Again
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                HandshakeStep::Send
            }
            ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => {
                HandshakeStep::More
            }
            // There cannot be data: rustls gets no record after the handshake.
            _ => return Err(HandshakeFailure::Tls(HandshakeFault::BrokenOff)),
        };
        match step {
            HandshakeStep::Again => {}
            HandshakeStep::Send => {
                stream.write_all(&output)?;
                output.clear();
            }
            HandshakeStep::More if !end.common().is_handshaking() => return Ok(()),
            HandshakeStep::More => input.give_record(&mut stream)?,
        }
    }
}

/// Appends what rustls has to send to `output`.
fn encode<D>(mut data: EncodeTlsData<'_, D>, output: &mut Vec<u8>) -> Result<(), HandshakeFailure> {
    let start = output.len();
    loop {
        match data.encode(&mut output[start..]) {
            Ok(len) => {
                output.truncate(start + len);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(e)) => output.resize(start + e.required_size, 0),
            Err(e) => return Err(HandshakeFailure::Tls(HandshakeFault::Tls(e.to_string()))),
        }
    }
}

/// Tells the peer what was wrong, if it still listens.
fn send_alert<E: Endpoint>(end: &mut E, mut stream: Timed<'_>, input: &mut HandshakeInput) {
    let status = end.process(&mut input.buf[input.start..input.given]);
    if let Ok(ConnectionState::EncodeTlsData(data)) = status.state {
        let mut output = Vec::new();
        // The channel has failed already; this only informs the peer.
        let _ = encode(data, &mut output).map(|()| stream.write_all(&output));
    }
}

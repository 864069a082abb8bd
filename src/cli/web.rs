//! The options of pages for browsers, and what is said of a page: its address, also as a QR code.
//!
//! Must not serve anything.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueHint};
use qrcode::{Color, EcLevel, QrCode};
use xfer::transfer::{WebCertificate, WebOptions, WebPin};

use super::machine;
use crate::ui::{Line, Picture, Ui};

/// The ports that an address need not name.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
/// What is said where nothing is encrypted.
const PLAIN: &str = "The page is plain HTTP: others on this network can read and change what passes \
                     through it.";

/// How a page is shown.
#[derive(Debug, Default, Args)]
pub(crate) struct PageArgs {
    /// Print the page's address without a QR code
    #[arg(long)]
    no_qr: bool,

    /// Ask browsers for a PIN too, which is printed here
    ///
    /// They ask for a user name as well; any will do. After 10 wrong PINs the page is locked.
    #[arg(long)]
    pin: bool,

    /// Serve the page by HTTPS, with the certificate in FILE (PEM)
    ///
    /// Browsers accept only certificates that someone they trust has signed, and the name in it
    /// has to lead to this machine.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl PageArgs {
    /// What the page is to be, under an address that nobody can guess.
    pub(crate) fn options(&self) -> xfer::Result<WebOptions> {
        let mut options = WebOptions::new()?;
        if self.pin {
            options.pin = Some(WebPin::random()?);
        }
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            options.certificate = Some(WebCertificate::read(certificate, key)?);
        }
        Ok(options)
    }

    /// The lines that tell how to get to the page of a listener.
    pub(crate) fn lines(&self, options: &WebOptions, addr: SocketAddr) -> Vec<Line> {
        let mut urls = urls(options, addr).into_iter();
        let first = urls.next().unwrap_or_default();
        let mut lines = vec!["Or open this page in a browser:".to_owned()];
        lines.push(format!("    {first}"));
        lines.extend(urls.map(|url| format!("or  {url}")));
        let mut lines: Vec<_> = lines.into_iter().map(Line::Result).collect();
        if !self.no_qr {
            lines.extend(picture(&first).map(Line::Picture));
        }
        if let Some(pin) = &options.pin {
            let text = format!("The page asks for this PIN: {}", pin.shown());
            lines.push(Line::Result(text));
        }
        if options.certificate.is_none() && !addr.ip().is_loopback() {
            lines.push(Line::Talk(PLAIN.to_owned()));
        }
        lines
    }

    /// Tells programs the address of the page; and people who want no other words.
    pub(crate) fn tell(ui: &Ui, options: &WebOptions, addr: SocketAddr) {
        let first = urls(options, addr).into_iter().next();
        let url = first.unwrap_or_else(|| url(&host(addr.ip()), addr.port(), options));
        let pin = options.pin.as_ref().map(WebPin::shown);
        ui.page_event(&url, pin.as_deref());
    }
}

/// The addresses of the page of a listener, the best one first.
fn urls(options: &WebOptions, addr: SocketAddr) -> Vec<String> {
    // Browsers warn of a certificate that is not for the name that leads to it.
    let certificate = options.certificate.as_ref();
    let hosts = match certificate.and_then(WebCertificate::name) {
        Some(name) => vec![name.to_owned()],
        None => machine::addresses(addr).into_iter().map(host).collect(),
    };
    let urls = hosts.iter().map(|host| url(host, addr.port(), options));
    urls.collect()
}

fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn url(host: &str, port: u16, options: &WebOptions) -> String {
    let token = options.token.as_str();
    let (scheme, usual) = match options.certificate {
        None => ("http", HTTP_PORT),
        Some(_) => ("https", HTTPS_PORT),
    };
    match port == usual {
        true => format!("{scheme}://{host}/{token}/"),
        false => format!("{scheme}://{host}:{port}/{token}/"),
    }
}

/// A QR code of a text; none where it is too long for one.
fn picture(text: &str) -> Option<Picture> {
    // A screen is read from close by: the least correction makes the smallest code.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let colors = code.to_colors();
    let rows = colors.chunks(code.width());
    Some(Picture::of_code(rows.map(|row| {
        row.iter().map(|color| *color == Color::Dark).collect()
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_browsers_read() {
        let options = WebOptions::new().unwrap();
        let token = options.token.as_str();
        let url = |ip: &str, port| url(&host(ip.parse().unwrap()), port, &options);
        assert_eq!(
            url("10.0.0.1", 9090),
            format!("http://10.0.0.1:9090/{token}/")
        );
        assert_eq!(url("fd77::1", 80), format!("http://[fd77::1]/{token}/"));
        assert!(picture(&url("2001:db8:1111:2222:3333:4444:5555:6666", 65_535)).is_some());
    }
}

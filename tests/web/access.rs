//! Who may see a page beyond the secret in its address: by PIN, by certificate; and when it ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use super::downloads::share;
use super::support::*;

/// A certificate for 127.0.0.1 that nobody has signed, and its key; none where openssl is missing.
fn certificate(sandbox: &Sandbox, name: &str) -> Option<(String, String)> {
    certificate_for(sandbox, name, "IP:127.0.0.1")
}

/// The same for these names.
fn certificate_for(sandbox: &Sandbox, name: &str, of: &str) -> Option<(String, String)> {
    let at = |end: &str| sandbox.path(&format!("{name}.{end}")).display().to_string();
    let (certificate, key) = (at("pem"), at("key"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    openssl.args(["-nodes", "-subj", "/CN=xfer", "-days", "2"]);
    openssl.args(["-addext", &format!("subjectAltName={of}")]);
    openssl.args(["-out", &certificate, "-keyout", &key]);
    match openssl.output() {
        Ok(made) => {
            assert!(
                made.status.success(),
                "{}",
                String::from_utf8_lossy(&made.stderr)
            );
            Some((certificate, key))
        }
        Err(_) => {
            skip("openssl is not installed");
            None
        }
    }
}

#[test]
fn a_pin_is_asked_for_on_top_and_guessed_ten_times_at_most() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 10);
    let (share, page) = share(&sandbox, &["--pin", "src"]);
    let pin = share.process().wait_for("PIN", |said| {
        let text = said.text();
        let (line, _) = text.split_once("this PIN: ")?.1.split_once('\n')?;
        Some(line.replace(' ', ""))
    });
    let into = sandbox.path("got");
    let get = |user: &str| curl_status(&page.at("files/src/file"), &["-u", user], &into);
    assert_eq!(curl_status(&page.at("files/src/file"), &[], &into), 401);
    let asked = curl(&["-i", &page.url]).text().to_ascii_lowercase();
    assert!(
        asked.contains("www-authenticate: basic realm=\"xfer "),
        "{asked}"
    );
    assert_eq!(get(&format!("me:{pin}")), 200);
    assert_eq!(get(&format!(":{}-{}", &pin[..3], &pin[3..])), 200);
    let wrong = if pin == "123456" { "123457" } else { "123456" };
    assert_eq!(get(&format!("me:{wrong}")), 401);
    assert_eq!(get(&format!("me:{pin}")), 200);
    // Many at once are not slower than one; one after the other would take a minute.
    std::thread::scope(|scope| {
        for _ in 1..10 {
            scope.spawn(|| curl(&["-u", &format!("me:{wrong}"), "-o", "/dev/null", &page.url]));
        }
    });
    // Who was let in before is not locked out by whoever guesses.
    let other = ["--interface", "127.0.0.2", "-u", &format!("me:{pin}")];
    assert_eq!(curl_status(&page.url, &other, &into), 403);
    assert_eq!(get(&format!("me:{pin}")), 200);
    share.process().wait_for_text("10 wrong PINs");
}

#[test]
fn with_a_certificate_nothing_is_sent_in_the_clear() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    let Some((certificate, key)) = certificate(&sandbox, "one") else {
        return;
    };
    let file = sandbox.src().join("file");
    make_file(&file, 1, 5_000_000);
    let args = ["--tls-cert", &certificate, "--tls-key", &key, "src"];
    let (share, page) = share(&sandbox, &args);
    assert!(page.url.starts_with("https://"), "{}", page.url);
    let into = sandbox.path("got");
    let url = page.at("files/src/file");
    assert_eq!(curl_status(&url, &["--cacert", &certificate], &into), 200);
    assert_eq!(digest_of(&into), digest_of(&file));
    let head = curl(&["-I", "--cacert", &certificate, &page.url]).text();
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("cross-origin-opener-policy: same-origin"),
        "{head}"
    );
    assert_eq!(curl_status(&url, &[], &into), 0, "nobody trusts it");
    let plain = url.replace("https://", "http://");
    assert_eq!(curl_status(&plain, &[], &into), 400);
    share.process().printed().assert_does_not_say("plain HTTP");

    let (_, other) = super::access::certificate(&sandbox, "other").unwrap();
    let wrong = |certificate: &str, key: &str, why: &str| {
        let args = ["share", "--tls-cert", certificate, "--tls-key", key, "src"];
        let run = sandbox.me().run(&args);
        run.assert_code(1).assert_says(why);
    };
    wrong(&certificate, &other, "it is not the key of the certificate");
    wrong(&certificate, &certificate, "no private key in it");
    wrong(&key, &key, "no certificate in it");
    wrong("nowhere.pem", &key, "cannot read nowhere.pem");
    let alone = sandbox
        .me()
        .run(&["share", "--tls-cert", &certificate, "src"]);
    alone.assert_code(2).assert_says("--tls-key");
}

#[test]
fn a_page_goes_by_the_name_in_its_certificate() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    let of = "DNS:*.example.net,DNS:share.example.net,IP:127.0.0.1";
    let Some((certificate, key)) = certificate_for(&sandbox, "one", of) else {
        return;
    };
    make_file(sandbox.src().join("file"), 1, 10);
    let me = sandbox.me();
    let args = ["share", "--listen", "127.0.0.1:0", "--tls-cert"];
    let args = [&args[..], &[&certificate, "--tls-key", &key, "src"]].concat();
    let share = Recv::start(me.command(&args));
    let url = share.process().wait_for("address", |said| {
        let text = said.text();
        let mut words = text.split_whitespace();
        let url = words.find(|word| word.starts_with("https://") && word.ends_with('/'));
        url.map(str::to_owned)
    });
    assert!(url.starts_with("https://share.example.net:"), "{url}");
    let port = url.split([':', '/']).nth(4).unwrap();
    let leads = format!("share.example.net:{port}:127.0.0.1");
    let args = ["--resolve", &leads, "--cacert", &certificate];
    assert_eq!(curl_status(&url, &args, &sandbox.path("got")), 200);
}

#[test]
fn a_share_for_one_ends_when_a_browser_has_everything() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("one"), 1, 5_000_000);
    make_file(sandbox.src().join("two"), 2, 5_000_000);
    let into = sandbox.path("got");
    for (what, path) in [
        ("src/one", "files/one"),
        ("src", "zip"),
        ("src", "zip/src/"),
    ] {
        let (share, page) = share(&sandbox, &["--once", what]);
        // Neither a look nor a part is everything.
        assert_eq!(curl_status(&page.url, &[], &into), 200);
        assert_eq!(curl_status(&page.at(path), &["-I"], &into), 200);
        assert_eq!(curl_status(&page.at(path), &[], &into), 200);
        assert!(std::fs::metadata(&into).unwrap().len() >= 5_000_000);
        share.wait().assert_code(0);
    }
}

#[test]
fn a_download_that_was_handed_over_but_not_taken_ends_no_share() {
    let sandbox = Sandbox::new();
    // The buffers of the system have room for all of it.
    make_file(sandbox.src().join("one"), 1, 100_000);
    let (share, page) = share(&sandbox, &["--once", "src/one"]);
    let (token, host) = (page.token(), page.addr);
    for _ in 0..3 {
        let mut stream = TcpStream::connect(host).unwrap();
        let get = format!("GET /{token}/files/one HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(get.as_bytes()).unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        drop(stream);
        share.process().wait_for_text("127.0.0.1");
        assert_eq!(page.status_of("GET", "", ""), 200);
    }
    let whole = format!("GET /{token}/files/one HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert!(page.raw(whole.as_bytes()).len() > 100_000);
    share.wait().assert_code(0);
}

#[test]
fn a_download_that_runs_when_the_time_is_over_still_ends() {
    if !has_curl() {
        return;
    }
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("one"), 1, 60 << 20);
    let into = sandbox.path("got");
    let (share, page) = share(&sandbox, &["--for", "2s", "src/one"]);
    let slowly = ["--limit-rate", "15M"];
    assert_eq!(curl_status(&page.at("files/one"), &slowly, &into), 200);
    assert_eq!(std::fs::metadata(&into).unwrap().len(), 60 << 20);
    share.wait().assert_code(0);
}

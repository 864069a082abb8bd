//! Pages in a real browser, against the real program: what a person sees, and that what they
//! choose, drop and paste arrives.
//!
//! It takes chromium and chromedriver. Where they are not installed, the tests say so and pass.

#![cfg(all(feature = "web", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod downloads;
mod uploads;

use std::fs;
use std::path::Path;

use serde_json::json;
use support::browser::Browser;

/// Everything on the page is within the window, and large enough for a finger.
#[track_caller]
fn assert_fits_a_phone(browser: &Browser) {
    let fits = browser.value("document.documentElement.scrollWidth <= innerWidth");
    assert_eq!(fits, json!(true), "it is wider than the window");
    let wide = browser.value(
        "[...document.querySelectorAll('main *')].filter(node => node.offsetParent
         && node.getBoundingClientRect().right > innerWidth).map(node => node.outerHTML)",
    );
    assert_eq!(wide, json!([]), "outside of the window");
    let small = browser.value(
        "[...document.querySelectorAll('button, a, .button')].filter(node => node.offsetParent
         && node.getBoundingClientRect().height < 44).map(node => node.outerHTML)",
    );
    assert_eq!(small, json!([]), "too small for a finger");
}

/// Keeps a picture of the window for people to look at, where they say where.
fn keep(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("XFER_SCREENSHOTS") {
        let path = Path::new(&folder).join(format!("{name}.png"));
        fs::write(path, browser.screenshot()).unwrap();
    }
}

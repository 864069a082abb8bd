//! Pages for browsers, at the listener's port: uploads to a receiver, downloads of what is shared.
//!
//! Must not know the listener: that hands over what is needed. HTTP, its runtime and its types stay
//! in this folder.
//!
//! A `connection` has a thread already, in which it is served: reading and storing files may block
//! there. `guard` refuses what no page of this machine asks for, the `server` has what all
//! connections share, and the `site` is what there is behind the secret address.

mod answers;
mod attempts;
mod batch;
mod batch_bound;
mod batch_end;
mod batch_files;
mod batch_folders;
mod batches;
mod browser;
mod by_number;
mod certificate;
mod codes;
mod connection;
mod downloads;
mod file_body;
mod form;
mod guard;
mod language;
mod last_heard;
mod limits;
mod list_body;
mod markup;
mod means;
mod multipart;
mod options;
mod page;
mod paths;
mod patient;
mod pin;
mod ranges;
mod request;
mod respond;
mod server;
mod site;
mod told;
mod upload;
mod uploads;
mod watch;
mod whole;
mod zip;
mod zip_body;

pub use certificate::WebCertificate;
pub(super) use connection::{FirstByte, first_byte, serve as serve_browser};
pub(super) use downloads::Downloads;
pub(super) use means::{AskedBatch, BatchPlace, BatchSetup, UploadMeans};
pub use options::{WebOptions, WebToken};
pub use pin::WebPin;
pub(super) use server::{WebCaller, WebServer};
pub(super) use site::WebSite;
pub(super) use uploads::Uploads;

//! `Identity`: a device's long-term key, and the file that holds it.
//!
//! Must never replace a key file: peers know the device by this key.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V2Der};
use aws_lc_rs::signature::Ed25519KeyPair;
use rustls::crypto::aws_lc_rs::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::Fingerprint;
use crate::model::error::{Action, CryptoFault, Error, Result, StateFault, StateFile};
use crate::sys::private;

/// The name of the key file in its directory.
const FILE_NAME: &str = "identity";
/// The longest key file, in bytes; a real one has less than 100.
const MAX_FILE_BYTES: u64 = 4096;

/// A device's long-term Ed25519 key, used as a raw public key (RFC 7250).
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
}

impl Identity {
    /// The path of the key file in `dir`.
    #[must_use]
    pub fn file_in(dir: &Path) -> PathBuf {
        dir.join(FILE_NAME)
    }

    /// Loads the key from `dir`, or creates both on first use. If several processes start at once,
    /// one creates the key and all load that one. A key that is damaged, or that others on this
    /// machine could have read, is refused and left as it is.
    pub fn load_or_create(dir: &Path) -> Result<Self> {
        let path = Self::file_in(dir);
        if let Some(identity) = load(&path)? {
            return Ok(identity);
        }
        create(dir, &path)?;
        load(&path)?.ok_or_else(|| Error::file(Action::Open, &path, io::ErrorKind::NotFound.into()))
    }

    /// Creates a key that is not saved.
    pub fn generate() -> Result<Self> {
        usable(&new_key()?)
    }

    /// The fingerprint that peers know this device by.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The key in the form that rustls needs.
    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }

    /// An identity that shows this device's public key, but signs with another key.
    #[cfg(test)]
    pub(super) fn impostor(&self) -> Self {
        let own = Self::generate().unwrap().key;
        Self {
            key: Arc::new(CertifiedKey::new(self.key.cert.clone(), own.key.clone())),
            fingerprint: self.fingerprint,
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, rustls::Error> {
        let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(der))?;
        let public = key
            .public_key()
            .ok_or_else(|| rustls::Error::General("no public key".to_owned()))?;
        let fingerprint = Fingerprint::of(&public);
        let public = CertificateDer::from(public.to_vec());
        Ok(Self {
            key: Arc::new(CertifiedKey::new(vec![public], key)),
            fingerprint,
        })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint)
    }
}

/// The key in the file at `path`; `None` if there is no such file.
fn load(path: &Path) -> Result<Option<Identity>> {
    let failed = |source| Error::file(Action::Read, path, source);
    let refused = |fault| Error::State {
        file: StateFile::Identity,
        path: path.to_path_buf(),
        fault,
    };
    // Examined before opening, because opening a FIFO would block.
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    if !meta.is_file() {
        return Err(refused(StateFault::NotAFile));
    }
    if private::is_exposed(path, &meta) {
        return Err(refused(StateFault::Exposed));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
        .map_err(failed)?;
    Identity::from_pkcs8(&bytes)
        .map(Some)
        .map_err(|_| refused(StateFault::Damaged))
}

/// A new key as PKCS#8 (RFC 5958). That includes the public half, so that damage to either shows.
fn new_key() -> Result<Vec<u8>> {
    let failed = |_| Error::Crypto {
        fault: CryptoFault::NewKey,
    };
    let pair = Ed25519KeyPair::generate().map_err(failed)?;
    let der: Pkcs8V2Der<'_> = pair.as_der().map_err(failed)?;
    Ok(der.as_ref().to_vec())
}

fn usable(new_key: &[u8]) -> Result<Identity> {
    Identity::from_pkcs8(new_key).map_err(|_| Error::Crypto {
        fault: CryptoFault::NewKey,
    })
}

/// Creates a key at `path`, unless there is one already.
fn create(dir: &Path, path: &Path) -> Result<()> {
    private::create_dir_all(dir).map_err(|e| Error::file(Action::Create, dir, e))?;
    let bytes = new_key()?;
    // No other process creates the same key, so none uses this name.
    let temp = dir.join(format!(".{FILE_NAME}.{}", usable(&bytes)?.fingerprint()));
    let made = private::write_new(&temp, &bytes).and_then(|()| publish(&temp, path));
    // If it was renamed, it is gone already.
    let _ = fs::remove_file(&temp);
    made.and_then(|()| private::sync_dir(dir))
        .map_err(|e| Error::file(Action::Create, path, e))
}

/// Renames the finished file to its final name, unless that is taken.
fn publish(temp: &Path, path: &Path) -> io::Result<()> {
    match private::rename_new(temp, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::{mode, set_mode};

    #[test]
    fn it_is_made_once_for_its_owner_alone_and_kept() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b");
        let made = Identity::load_or_create(&dir).unwrap();
        let loaded = Identity::load_or_create(&dir).unwrap();
        assert_eq!(made.fingerprint(), loaded.fingerprint());
        assert_ne!(
            made.fingerprint(),
            Identity::generate().unwrap().fingerprint()
        );
        let modes = [dir.join(FILE_NAME), dir.clone(), root.path().join("a")].map(mode);
        if modes[0].is_some() {
            assert_eq!(modes, [0o600, 0o700, 0o700].map(Some));
        }
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is left");
    }

    #[test]
    fn a_damaged_one_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        Identity::load_or_create(dir.path()).unwrap();
        let path = dir.path().join(FILE_NAME);
        let good = fs::read(&path).unwrap();
        let mut damages = vec![
            Vec::new(),
            good[..good.len() - 1].to_vec(),
            vec![0; good.len()],
        ];
        damages.extend((0..good.len()).map(|at| {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            bad
        }));
        for bad in damages {
            fs::write(&path, &bad).unwrap();
            let e = Identity::load_or_create(dir.path()).unwrap_err();
            let fault = StateFault::Damaged;
            assert!(
                matches!(&e, Error::State { fault: f, .. } if *f == fault),
                "{e}"
            );
            assert_eq!(fs::read(&path).unwrap(), bad);
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let e = Identity::load_or_create(dir.path()).unwrap_err();
        assert!(matches!(e, Error::State { .. }), "{e}");
    }

    #[test]
    fn one_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Identity::load_or_create(dir.path()).unwrap();
        let path = dir.path().join(FILE_NAME);
        for loose in [0o640, 0o604, 0o620] {
            if !set_mode(&path, loose) {
                return;
            }
            let e = Identity::load_or_create(dir.path()).unwrap_err();
            let fault = StateFault::Exposed;
            assert!(
                matches!(&e, Error::State { fault: f, .. } if *f == fault),
                "{e}"
            );
        }
    }

    #[test]
    fn those_who_start_at_once_agree() {
        for _ in 0..20 {
            let root = tempfile::tempdir().unwrap();
            let dir = root.path().join("state");
            let barrier = std::sync::Barrier::new(4);
            let prints: Vec<_> = std::thread::scope(|s| {
                let start = || {
                    barrier.wait();
                    Identity::load_or_create(&dir).unwrap().fingerprint()
                };
                let threads: Vec<_> = (0..4).map(|_| s.spawn(start)).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            assert!(prints.iter().all(|p| *p == prints[0]));
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        }
    }
}

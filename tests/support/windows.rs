//! The program for Windows, run by Wine: machines of their own, each with its own registry, folders
//! and key, on the files of this one.
//!
//! Must not start it in the folders of the real user, nor leave Wine's server behind.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Machine, Person, Sandbox};

/// Where the program is that was built for Windows.
const EXE: &str = "XFER_WINDOWS_EXE";
/// Where Wine's own files are: a folder that `wineboot -i` has filled, with the library that
/// Windows has and Wine does not.
const PREFIX: &str = "XFER_WINE_PREFIX";

/// The folders of a user that programs ask for.
const FOLDERS: [&str; 9] = [
    "AppData/Roaming",
    "AppData/Local/Temp",
    "AppData/LocalLow",
    "Temp",
    "Downloads",
    "Documents",
    "Desktop",
    "Music",
    "Pictures",
];

/// A machine with Windows. Nothing runs there any more when it is dropped.
pub struct Windows {
    prefix: PathBuf,
    profile: PathBuf,
    exe: PathBuf,
    cwd: PathBuf,
}

impl Windows {
    /// One in a sandbox: the same for the same name.
    #[track_caller]
    pub fn new(sandbox: &Sandbox, name: &str) -> Self {
        let of = |name: &str| {
            let path = std::env::var_os(name).map(PathBuf::from);
            path.unwrap_or_else(|| panic!("{name} is not set: .ci/platforms runs this"))
        };
        let (exe, template) = (of(EXE), of(PREFIX));
        let prefix = sandbox.folder(&format!("windows-{name}"));
        let user = Path::new("drive_c/users").join(user_name());
        let profile = prefix.join(user);
        for folder in FOLDERS {
            fs::create_dir_all(profile.join(folder)).unwrap();
        }
        fs::create_dir_all(prefix.join("dosdevices")).unwrap();
        // Half a gigabyte that nobody changes.
        for folder in ["windows", "ProgramData", "Program Files"] {
            let link = prefix.join("drive_c").join(folder);
            symlink(template.join("drive_c").join(folder), link).unwrap();
        }
        symlink("../drive_c", prefix.join("dosdevices/c:")).unwrap();
        symlink("/", prefix.join("dosdevices/z:")).unwrap();
        for file in ["system.reg", "user.reg", "userdef.reg", ".update-timestamp"] {
            fs::copy(template.join(file), prefix.join(file)).unwrap();
        }
        let this = Self {
            prefix,
            profile,
            exe,
            cwd: sandbox.path(""),
        };
        // What stays behind it must not hold on to what a test reads to its end: it is started
        // here, and stays until it is ended.
        for (program, args) in [
            ("wineserver", &["-p"][..]),
            ("wine", &["cmd", "/c", "exit"]),
        ] {
            let mut command = this.in_prefix(program);
            command
                .args(args)
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            assert!(command.status().unwrap().success(), "{program}");
        }
        this
    }

    /// What the program is called there.
    pub fn exe(&self) -> String {
        self.path(&self.exe)
    }

    /// A program of Wine's.
    fn in_prefix(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.cwd)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("HOME", &self.profile)
            .env("WINEPREFIX", &self.prefix)
            .env("WINEDEBUG", "-all")
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null());
        command
    }
}

impl Machine for Windows {
    fn program(&self, args: &[&str]) -> Command {
        let mut command = self.in_prefix("wine");
        command.arg(&self.exe).args(args);
        command
    }

    fn path(&self, path: &Path) -> String {
        format!("Z:{}", path.to_str().unwrap().replace('/', "\\"))
    }
}

impl Person for Windows {
    fn config_dir(&self) -> PathBuf {
        self.profile.join("AppData/Roaming/xfer/config")
    }

    fn data_dir(&self) -> PathBuf {
        self.profile.join("AppData/Local/xfer/data")
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        // It ends all that runs there, and waits for its own end; where nothing does, it fails.
        for option in ["-k", "-w"] {
            let mut server = self.in_prefix("wineserver");
            server.arg(option).stderr(Stdio::null());
            let _ = server.status();
        }
    }
}

fn user_name() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

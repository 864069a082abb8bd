//! What package managers read: each is parsed by its own language, and says what Cargo.toml says.
//!
//! xfer has no public home yet: addresses are of a host that cannot exist, and of one place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::*;
use super::{ROOT, VERSION, copy_of_source, has, printed};

const NAME: &str = env!("CARGO_PKG_NAME");
const LICENCE: &str = env!("CARGO_PKG_LICENSE");
const DESCRIPTION: &str = env!("CARGO_PKG_DESCRIPTION");
/// What stands where a sum will be.
const NO_SUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Where xfer is at home. `.invalid` is nobody's, and never will be.
fn home() -> &'static str {
    match env!("CARGO_PKG_REPOSITORY") {
        "" => "https://xfer.invalid",
        repository => repository,
    }
}

/// Where a file of this release will be.
fn address(file: &str) -> String {
    format!("{}/releases/{VERSION}/{file}", home())
}

fn recipe(name: &str) -> PathBuf {
    Path::new(ROOT).join("dist/recipes").join(name)
}

/// Stands in for Homebrew: takes down what a formula says, and what its `install` does.
const BREW: &str = r#"
require "json"
require "pathname"
class Formula
  SAID = Hash.new { |said, name| said[name] = [] }
  def self.method_missing(name, *args) = SAID[name] << args
  def self.respond_to_missing?(*) = true
  def self.test(&block) = SAID[:test] << [!block.nil?]
  def method_missing(name, *args, **more) = SAID[:done] << [name, *args.map(&:to_s), *more.keys]
  def respond_to_missing?(*) = true
  # Ruby has one of its own.
  def system(*args) = method_missing(:system, *args)
  def std_cargo_args = ["--locked", "--root=prefix", "--path=."]
  def bin = Pathname.new("bin")
  def man1 = Pathname.new("man1")
end
load ARGV[0]
Xfer.new.install
puts JSON.generate(Formula::SAID)
"#;

#[test]
fn homebrews_formula_says_what_cargo_does() {
    if !has("ruby") {
        return;
    }
    let sandbox = Sandbox::new();
    let mut command = Command::new("ruby");
    command.arg("-e").arg(BREW).arg(recipe("xfer.rb"));
    let said: Value = serde_json::from_str(&printed(command.current_dir(sandbox.src()))).unwrap();
    let one = |name: &str| said[name][0][0].as_str().unwrap().to_owned();
    assert_eq!(one("license"), LICENCE);
    assert_eq!(one("homepage"), home());
    assert_eq!(one("url"), address(&format!("{NAME}-{VERSION}.tar.gz")));
    assert_eq!(one("sha256"), NO_SUM);
    assert!(DESCRIPTION.starts_with(&one("desc")), "{}", one("desc"));
    // What `brew audit` asks of a description.
    assert!(one("desc").len() < 80 && !one("desc").ends_with('.'));
    assert_eq!(said["depends_on"][0][0]["rust"], "build");
    assert_eq!(said["test"][0][0], true);
    let done = said["done"].to_string();
    assert!(
        done.contains(r#"["system","cargo","install","--locked""#),
        "{done}"
    );
    assert!(
        done.contains(r#"["system","bin/xfer","man","man1"]"#),
        "{done}"
    );
    assert!(done.contains(r#"["generate_completions_from_executable","bin/xfer","completions""#));
}

/// Runs bash after PKGBUILD was read, as makepkg does.
fn with_pkgbuild(folder: &Path, script: &str) -> String {
    let script = format!("set -e; . \"$1\"; {script}");
    let mut command = Command::new("bash");
    command
        .args(["-c", &script, "makepkg"])
        .arg(recipe("PKGBUILD"));
    command
        .env("pkgdir", folder.join("pkg"))
        .current_dir(folder);
    printed(&mut command)
}

#[test]
fn archs_recipe_says_what_cargo_does() {
    let sandbox = Sandbox::new();
    let said = with_pkgbuild(
        &sandbox.src(),
        r#"printf '%s\n' "$pkgname" "$pkgver" "$pkgdesc" "$url" "${license[@]}" \
            "${source[@]}" "${sha256sums[@]}" "${arch[*]}" "${makedepends[*]}""#,
    );
    let said: Vec<_> = said.lines().collect();
    let source = address(&format!("{NAME}-{VERSION}.tar.gz"));
    let source: &str = &source;
    let machines = "x86_64 aarch64";
    let expected = [
        NAME,
        VERSION,
        DESCRIPTION,
        home(),
        LICENCE,
        source,
        NO_SUM,
        machines,
        "cargo",
    ];
    assert_eq!(said, expected);
}

#[test]
fn archs_recipe_installs_what_a_package_has() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("build");
    let source = folder.join(format!("{NAME}-{VERSION}"));
    copy_of_source(&source);
    let program = sandbox.me().command::<&str>(&[]).get_program().to_owned();
    fs::create_dir_all(source.join("target/release")).unwrap();
    fs::copy(program, source.join("target/release/xfer")).unwrap();
    with_pkgbuild(&folder, "package");
    for file in [
        "usr/bin/xfer",
        "usr/lib/systemd/user/xfer.service",
        "usr/share/licenses/xfer/LICENSE",
        "usr/share/doc/xfer/README.md",
        "usr/share/man/man1/xfer.1",
        "usr/share/man/man1/xfer-recv.1",
        "usr/share/bash-completion/completions/xfer",
        "usr/share/zsh/site-functions/_xfer",
        "usr/share/fish/vendor_completions.d/xfer.fish",
    ] {
        let meta = fs::metadata(folder.join("pkg").join(file));
        assert!(meta.unwrap().len() > 0, "{file}");
    }
    let unit = folder.join("pkg/usr/lib/systemd/user/xfer.service");
    let unit = fs::read_to_string(unit).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/xfer recv\n"), "{unit}");
}

fn manifest(name: &str) -> BTreeMap<String, Value> {
    let script = "puts JSON.generate(YAML.safe_load(File.read(ARGV[0])))";
    let mut command = Command::new("ruby");
    command.args(["-ryaml", "-rjson", "-e", script]);
    let json = printed(command.arg(recipe(&format!("winget/Xfer.Xfer{name}.yaml"))));
    serde_json::from_str(&json).unwrap()
}

#[test]
fn wingets_manifest_says_what_cargo_does() {
    if !has("ruby") {
        return;
    }
    for (name, kind) in [
        ("", "version"),
        (".installer", "installer"),
        (".locale.en-US", "defaultLocale"),
    ] {
        let manifest = manifest(name);
        assert_eq!(manifest["PackageIdentifier"], "Xfer.Xfer");
        assert_eq!(manifest["PackageVersion"], VERSION);
        assert_eq!(manifest["ManifestType"], kind);
        assert_eq!(manifest["ManifestVersion"], "1.6.0");
    }
    let folder = format!("{NAME}-{VERSION}-x86_64-windows");
    let installer = manifest(".installer");
    // As it lies in the archive: tests/packaging/archives.rs.
    let nested = &installer["NestedInstallerFiles"][0];
    assert_eq!(nested["RelativeFilePath"], format!("{folder}\\xfer.exe"));
    assert_eq!(nested["PortableCommandAlias"], NAME);
    let archive = &installer["Installers"][0];
    assert_eq!(archive["InstallerUrl"], address(&format!("{folder}.zip")));
    assert_eq!(archive["Architecture"], "x64");
    // YAML takes digits alone for a number.
    assert_eq!(
        archive["InstallerSha256"]
            .to_string()
            .trim_matches('"')
            .trim_matches('0'),
        ""
    );
    let locale = manifest(".locale.en-US");
    assert_eq!(manifest("")["DefaultLocale"], locale["PackageLocale"]);
    assert_eq!(locale["License"], LICENCE);
    assert_eq!(locale["ShortDescription"], DESCRIPTION);
    assert_eq!(locale["PackageUrl"], home());
    assert_eq!(locale["PackageName"], NAME);
}

#[test]
fn nixs_flake_says_what_cargo_does() {
    if !has("nix-instantiate") {
        return;
    }
    let sandbox = Sandbox::new();
    // With no more of nixpkgs than it takes, to see what is passed on.
    let script = format!(
        r#"
        let
          pkgs = {{
            installShellFiles = "files";
            mkShell = shell: shell;
            lib.licenses.mit = "MIT";
            rustPlatform.buildRustPackage = package: package;
            system = "x86_64-linux";
          }};
          nixpkgs = {{
            lib.genAttrs = names: make:
              builtins.listToAttrs (map (name: {{ inherit name; value = make name; }}) names);
            legacyPackages.x86_64-linux = pkgs;
          }};
          flake = import {};
          made = flake.outputs {{ self = made; inherit nixpkgs; }};
          package = made.packages.x86_64-linux.default;
        in {{
          inherit (flake) description;
          inherit (package) pname version meta postInstall;
          lock = toString package.cargoLock.lockFile;
          src = toString package.src;
          shell = (builtins.head made.devShells.x86_64-linux.default.inputsFrom).pname;
        }}
        "#,
        recipe("flake.nix").display(),
    );
    let mut command = Command::new("nix-instantiate");
    command.args(["--eval", "--strict", "--json", "--expr", &script]);
    for (variable, folder) in [
        ("NIX_STATE_DIR", "state"),
        ("NIX_STORE_DIR", "store"),
        ("NIX_LOG_DIR", "log"),
        ("NIX_CONF_DIR", "conf"),
        ("HOME", "home"),
    ] {
        command.env(variable, sandbox.folder(folder));
    }
    let said: Value = serde_json::from_str(&printed(&mut command)).unwrap();
    assert_eq!(said["description"], DESCRIPTION);
    assert_eq!(said["meta"]["description"], DESCRIPTION);
    assert_eq!(said["meta"]["homepage"], home());
    assert_eq!(said["meta"]["license"], LICENCE);
    assert_eq!(said["meta"]["mainProgram"], NAME);
    assert_eq!(said["pname"], NAME);
    assert_eq!(said["version"], VERSION);
    assert_eq!(said["shell"], NAME);
    assert_eq!(said["src"], ROOT);
    assert_eq!(said["lock"], format!("{ROOT}/Cargo.lock"));
    let install = said["postInstall"].as_str().unwrap();
    assert!(install.contains("assets/xfer.service") && install.contains("completions fish"));
}

#[test]
fn a_release_has_the_sums_of_its_files_in_them() {
    let sandbox = Sandbox::new();
    let source = sandbox.folder("source");
    copy_of_source(&source);
    printed(
        Command::new("cp")
            .args(["-r", "dist/recipes"])
            .arg(source.join("dist")),
    );
    let out = sandbox.folder("out");
    let sum = "ab".repeat(32);
    let zip = format!("xfer-{VERSION}-x86_64-windows.zip");
    let sums = |names: &[&str]| {
        let lines: Vec<_> = names
            .iter()
            .map(|name| format!("{sum}  {name}\n"))
            .collect();
        fs::write(out.join("SHA256SUMS"), lines.concat()).unwrap();
        let mut command = Command::new(source.join("dist/recipes.sh"));
        printed(command.arg(&out));
    };
    let filled = |name: &str| fs::read_to_string(out.join("recipes").join(name));
    sums(&[&zip]);
    let installer = filled("winget/Xfer.Xfer.installer.yaml").unwrap();
    let line = format!("InstallerSha256: {}", sum.to_uppercase());
    assert!(installer.contains(&line), "{installer}");
    // What it would have the sum of was not made.
    assert!(filled("PKGBUILD").is_err() && filled("xfer.rb").is_err());
    sums(&[&zip, &format!("xfer-{VERSION}.tar.gz")]);
    for name in ["PKGBUILD", "xfer.rb"] {
        let text = filled(name).unwrap();
        assert!(text.contains(&sum) && !text.contains(NO_SUM), "{text}");
    }
    assert!(filled("flake.nix").unwrap().contains(VERSION));
}

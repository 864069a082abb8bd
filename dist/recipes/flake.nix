# A flake for Nix: builds xfer from its source, and has a shell to work on it.
# In the top folder of the source: nix run 'git+file:.?dir=dist/recipes'
{
  description = "Copies files and folders between machines on one network: verified, resumable, encrypted";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";

  outputs =
    { self, nixpkgs }:
    let
      # What is in git, from the top folder on.
      source = ../..;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      each = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = each (pkgs: {
        default = pkgs.rustPlatform.buildRustPackage {
          pname = "xfer";
          version = "0.1.0";
          src = source;
          cargoLock.lockFile = source + "/Cargo.lock";
          # Tests take networks and file systems that the sandbox does not have.
          doCheck = false;
          nativeBuildInputs = [ pkgs.installShellFiles ];
          postInstall = ''
            mkdir man
            $out/bin/xfer man man
            installManPage man/*.1
            installShellCompletion --cmd xfer \
              --bash <($out/bin/xfer completions bash) \
              --zsh <($out/bin/xfer completions zsh) \
              --fish <($out/bin/xfer completions fish)
            install -D -m 644 assets/xfer.service $out/lib/systemd/user/xfer.service
            substituteInPlace $out/lib/systemd/user/xfer.service \
              --replace-fail %h/.local/bin/xfer $out/bin/xfer
          '';
          meta = {
            description = "Copies files and folders between machines on one network: verified, resumable, encrypted";
            homepage = "https://xfer.invalid";
            license = pkgs.lib.licenses.mit;
            mainProgram = "xfer";
          };
        };
      });

      devShells = each (pkgs: {
        default = pkgs.mkShell { inputsFrom = [ self.packages.${pkgs.system}.default ]; };
      });
    };
}

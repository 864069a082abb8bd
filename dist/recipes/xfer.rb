# A formula for Homebrew: builds xfer from its source.
# dist/build.sh writes the sum into a copy of it. The address is to be that of the release.
class Xfer < Formula
  desc "Copies files and folders between machines on one network"
  homepage "https://xfer.invalid"
  url "https://xfer.invalid/releases/0.1.0/xfer-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "MIT"

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args
    generate_completions_from_executable(bin/"xfer", "completions", shells: [:bash, :zsh, :fish])
    man1.mkpath
    system bin/"xfer", "man", man1
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/xfer --version")
    system bin/"xfer", "send", "--help"
  end
end

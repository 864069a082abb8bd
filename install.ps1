# Installs xfer on Windows for this user, from the built archive that is beside this file:
#
#     powershell -ExecutionPolicy Bypass -File install.ps1 [ARCHIVE]
#
# It puts the program into %LOCALAPPDATA%\Programs\xfer and that folder into the user's PATH. To
# uninstall, delete the folder. Must not change anything else, and must not download anything.
#
# NEVER RUN: written from Microsoft's documentation, on a machine without PowerShell.

param([string]$Archive)
$ErrorActionPreference = 'Stop'

function Stop-Here([string]$Why) {
    [Console]::Error.WriteLine("install.ps1: $Why")
    exit 1
}

if (-not $Archive) {
    $found = @(Get-ChildItem -Path (Join-Path $PSScriptRoot 'xfer-*-x86_64-windows.zip'))
    if ($found.Count -eq 0) { Stop-Here "no xfer-*-x86_64-windows.zip is in $PSScriptRoot" }
    if ($found.Count -gt 1) { Stop-Here "several archives are in $PSScriptRoot. Name one of them: install.ps1 ARCHIVE" }
    $Archive = $found[0].FullName
}
if (-not (Test-Path -LiteralPath $Archive -PathType Leaf)) { Stop-Here "cannot find $Archive" }
$Archive = (Resolve-Path -LiteralPath $Archive).Path
$name = Split-Path -Leaf $Archive

$sums = Join-Path (Split-Path -Parent $Archive) 'SHA256SUMS'
if (Test-Path -LiteralPath $sums) {
    $expected = @(Get-Content -LiteralPath $sums | ForEach-Object {
            $sum, $of = $_ -split ' [ *]', 2
            if ($of -eq $name) { $sum }
        })
    if ($expected.Count -ne 1) { Stop-Here "$sums does not list $name once. Nothing is installed." }
    $actual = (Get-FileHash -LiteralPath $Archive -Algorithm SHA256).Hash
    if ($actual -ne $expected[0]) {
        Stop-Here "$Archive is damaged or not the released one: its SHA-256 sum is not the one in SHA256SUMS. Nothing is installed."
    }
    Write-Host "Checked the SHA-256 sum of $name"
} else {
    Write-Host "Note: there is no SHA256SUMS beside $name, so its content is not checked."
}

# What is there stays until the new one is whole and runs.
$folder = Join-Path $env:LOCALAPPDATA 'Programs\xfer'
$new = "$folder.new"
if (Test-Path -LiteralPath $new) { Remove-Item -LiteralPath $new -Recurse -Force }
Expand-Archive -LiteralPath $Archive -DestinationPath $new
$unpacked = @(Get-ChildItem -LiteralPath $new -Directory)[0].FullName
& (Join-Path $unpacked 'xfer.exe') --version | Out-Null
if ($LASTEXITCODE -ne 0) { Stop-Here "xfer.exe of $name does not run on this machine" }
$old = "$folder.old"
if (Test-Path -LiteralPath $old) { Remove-Item -LiteralPath $old -Recurse -Force }
if (Test-Path -LiteralPath $folder) {
    try { Move-Item -LiteralPath $folder -Destination $old }
    catch { Stop-Here "cannot replace $folder. Stop xfer if it is running, and run this again." }
}
Move-Item -LiteralPath $unpacked -Destination $folder
foreach ($rest in $new, $old) {
    if (Test-Path -LiteralPath $rest) { Remove-Item -LiteralPath $rest -Recurse -Force }
}
Write-Host "Installed $(& (Join-Path $folder 'xfer.exe') --version) as $folder\xfer.exe"

# Read as it is stored: values such as %USERPROFILE% in it must stay what they are.
$path = (Get-Item 'HKCU:\Environment').GetValue('Path', '', 'DoNotExpandEnvironmentNames')
if (($path -split ';') -notcontains $folder) {
    $longer = (@($path -split ';' | Where-Object { $_ }) + $folder) -join ';'
    Set-ItemProperty -Path 'HKCU:\Environment' -Name 'Path' -Value $longer -Type ExpandString
    # Changing a variable this way tells running programs to read them all again.
    [Environment]::SetEnvironmentVariable('XFER_INSTALL', $null, 'User')
    Write-Host "Added $folder to your PATH. Open a new terminal to use it."
}
Write-Host ''
Write-Host 'Next, on the machine that receives:  xfer recv'
Write-Host 'and on the other one:                xfer send FILE ADDRESS'

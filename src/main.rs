//! The `xfer` program: parses the command line, runs the command, exits with its code.
//!
//! Must not do anything else: commands are in `cli`, what a person sees is in `ui`, and all that
//! moves files is in the library.

mod cli;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A process that starts commands is this program as well, and nothing else.
    if xfer::sys::commands::serve(std::env::args_os()) {
        return ExitCode::SUCCESS;
    }
    xfer::sys::host::raise_limit_of_open();
    // Without it, such a file ends the program as the system has it, which harms no other.
    let _ = xfer::sys::signals::outlive_large_files();
    xfer::sys::terminal::prepare();
    cli::run()
}

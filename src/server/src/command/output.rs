//! What commands print: to standard output, until nobody reads it any more (`vesta ctl … | head`).

use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Prints a line. When the reader has gone, the command has done its work.
pub fn line(text: impl Display) {
    write(format_args!("{text}\n"));
}

/// Prints text as it is.
pub fn text(text: impl Display) {
    write(format_args!("{text}"));
}

fn write(text: std::fmt::Arguments<'_>) {
    match std::io::stdout().lock().write_fmt(text) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("vesta: standard output can't be written: {error}");
            std::process::exit(1);
        }
    }
}

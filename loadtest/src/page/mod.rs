//! `page`: runs as one self-contained HTML page, or as tables in Markdown.
//!
//! | file | subject |
//! |---|---|
//! | `document` | the page as a whole |
//! | `tables` | what its tables say |
//! | `plots` | what its drawings show |
//! | `chart`, `bars` | drawings as SVG |
//! | `scale` | from values to places |
//! | `latency` | from histograms to curves |
//! | `html` | escaped text, tables |
//! | `markdown` | the tables for a file that is read where it lies |

mod bars;
mod chart;
mod document;
mod html;
mod latency;
mod markdown;
mod plots;
mod scale;
mod tables;

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::error::Error;
use crate::runs::read_all;

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Page {
    /// Runs as lines of JSON.
    #[arg(value_name = "RUNS.jsonl", required = true)]
    runs: Vec<PathBuf>,
    /// The file to write. Default: the standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Tables in Markdown instead of a page.
    #[arg(long)]
    markdown: bool,
    /// What the page is called.
    #[arg(long, default_value = "Load test")]
    title: String,
}

impl Page {
    /// Writes it.
    ///
    /// # Errors
    /// A file can't be read or written, or there are no runs.
    pub fn run(&self) -> Result<(), Error> {
        let runs = read_all(&self.runs)?;
        let text = match self.markdown {
            true => markdown::Markdown::new(&runs).to_string(),
            false => document::Document::new(&self.title, &runs).to_string(),
        };
        match &self.out {
            Some(path) => std::fs::write(path, text).map_err(Error::file(path)),
            None => std::io::stdout().write_all(text.as_bytes()).map_err(Error::system("the standard output")),
        }
    }
}

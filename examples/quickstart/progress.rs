//! How far is it? A bar on standard error, if that is a terminal.

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub fn new(files: usize) -> Progress {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} files, {msg}, {eta} left")
            .expect("the template names only what a bar has");
        Progress {
            bar: ProgressBar::new(files as u64).with_style(style),
        }
    }

    /// No bar.
    pub fn hidden() -> Progress {
        Progress {
            bar: ProgressBar::hidden(),
        }
    }

    /// One more file is done; so many bytes have been read in all.
    pub fn file_done(&self, bytes: u64) {
        self.bar.set_message(HumanBytes(bytes).to_string());
        self.bar.inc(1);
    }

    /// Takes the bar away while something else is printed.
    pub fn pause(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

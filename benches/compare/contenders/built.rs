//! Contenders that are programs of their own, because they want other features of a crate, or
//! other flags, than the rest. They are built when they are first asked for.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A package below `benches/` whose program [serves](crate::child::serve).
pub struct Built {
    name: &'static str,
    /// Flags for the compiler, beside those of the environment.
    flags: &'static str,
    /// Where it is, once it was built, or why it was not.
    program: OnceLock<Result<PathBuf, String>>,
}

static ALL: [Built; 2] = [
    Built::new("inert", ""),
    Built::new("dial9", "--cfg tokio_unstable"),
];

impl Built {
    const fn new(name: &'static str, flags: &'static str) -> Built {
        Built {
            name,
            flags,
            program: OnceLock::new(),
        }
    }

    pub fn named(name: &str) -> Option<&'static Built> {
        ALL.iter().find(|built| built.name == name)
    }

    /// Builds it, if it is not built yet, in a folder below that of this program, and says where
    /// the program is.
    ///
    /// # Errors
    ///
    /// When it does not build.
    pub fn program(&self) -> Result<PathBuf, String> {
        self.program.get_or_init(|| self.build()).clone()
    }

    fn build(&self) -> Result<PathBuf, String> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("benches")
            .join(self.name);
        let target = target_folder()?.join("compare").join(self.name);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--release", "--manifest-path"])
            .arg(package.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .env("RUSTFLAGS", self.flags())
            .status();
        match built {
            Ok(status) if status.success() => Ok(target.join("release").join(self.name)),
            Ok(status) => Err(format!("its build ended with {status}")),
            Err(error) => Err(format!("cargo does not start: {error}")),
        }
    }

    fn flags(&self) -> String {
        let given = std::env::var("RUSTFLAGS").unwrap_or_default();
        format!("{given} {}", self.flags).trim().to_owned()
    }
}

/// The `target` folder: this program is `target/release/deps/compare-…`.
fn target_folder() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = program.ancestors().nth(3);
    let folder = folder.ok_or_else(|| format!("{} has no target folder", program.display()))?;
    Ok(folder.to_owned())
}

//! A disk of the test's own, as small as it wants: what a full one does cannot be shown on the machine's.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system in memory, gone on drop. It takes root, as network namespaces do.
#[derive(Debug)]
pub struct Disk {
    dir: TempDir,
}

impl Disk {
    /// One with room for so many KiB.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn of_kib(kib: u32) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(dir.path())
            .status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "a disk of the test's own takes root"
        );
        Self { dir }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The files in one of its folders.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path().join(folder));
        let entries = entries.into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has a file open keeps what is behind it, not the place.
        drop(
            Command::new("umount")
                .arg("-l")
                .arg(self.dir.path())
                .status(),
        );
    }
}

//! The text files of the project, read once for all rules.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Folders that hold no source of ours.
const SKIPPED: [&str; 5] = ["target", ".git", "corpus", "artifacts", "node_modules"];

/// A file larger than this is data, not text to be read by a person.
const TEXT_LIMIT_BYTES: u64 = 1024 * 1024;

/// One text file.
pub(crate) struct File {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All text files, sorted by path.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    /// Every path, text or not, so that links can be checked.
    pub(crate) paths: Vec<String>,
}

impl Tree {
    /// Reads the project below `root`.
    pub(crate) fn read(root: &Path) -> Result<Self, Error> {
        let mut tree = Self {
            files: Vec::new(),
            paths: Vec::new(),
        };
        tree.walk(root, root)?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        tree.paths.sort();
        Ok(tree)
    }

    fn walk(&mut self, root: &Path, folder: &Path) -> Result<(), Error> {
        for entry in fs::read_dir(folder).map_err(Error::file(folder))? {
            let entry = entry.map_err(Error::file(folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(Error::file(&path))?;
            if kind.is_dir() {
                if !SKIPPED.iter().any(|name| entry.file_name() == *name) {
                    self.walk(root, &path)?;
                }
            } else if kind.is_file() {
                self.add(root, path)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, root: &Path, path: PathBuf) -> Result<(), Error> {
        let name = path
            .strip_prefix(root)
            .expect("the walk starts at the root")
            .to_string_lossy()
            .replace('\\', "/");
        self.paths.push(name.clone());
        let length = fs::metadata(&path).map_err(Error::file(&path))?.len();
        if length > TEXT_LIMIT_BYTES {
            return Ok(());
        }
        let bytes = fs::read(&path).map_err(Error::file(&path))?;
        if let Ok(text) = String::from_utf8(bytes) {
            self.files.push(File { path: name, text });
        }
        Ok(())
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    }

    /// Files below `folder` (with its `/`) whose name ends in `.extension`.
    pub(crate) fn under<'a>(
        &'a self,
        folder: &'a str,
        extension: &'a str,
    ) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| {
            file.path.starts_with(folder)
                && Path::new(&file.path)
                    .extension()
                    .is_some_and(|e| e == extension)
        })
    }

    /// A tree made by hand, for the tests of the rules.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self {
            files: files
                .iter()
                .map(|(path, text)| File {
                    path: (*path).to_owned(),
                    text: (*text).to_owned(),
                })
                .collect(),
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
        }
    }
}

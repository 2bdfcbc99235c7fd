//! The text of a policy file, and places in it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest policy file that is read, in bytes.
pub const MAX_SOURCE_BYTES: u64 = 64 << 20;

/// A policy file: its path and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    text: String,
    /// Byte offset of the first character of every line.
    line_starts: Vec<usize>,
}

/// Bytes `start..end` of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Line and column as an editor counts them, from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
}

/// Why a policy file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such file.
    #[error("policy file {} does not exist", .0.display())]
    Missing(PathBuf),
    /// The path names a directory.
    #[error("{} is a directory, not a policy file", .0.display())]
    Directory(PathBuf),
    /// More than [`MAX_SOURCE_BYTES`].
    #[error("{} is larger than 64 MiB, the limit for a policy file", .0.display())]
    TooLarge(PathBuf),
    /// No bytes at all.
    #[error("{} is empty; a policy starts with `version: 1`", .0.display())]
    Empty(PathBuf),
    /// A NUL byte: not a text file, or UTF-16.
    #[error("{} is not a text file: NUL byte at byte {byte}, line {line}", .path.display())]
    Binary {
        /// The file.
        path: PathBuf,
        /// Offset of the byte, from 0.
        byte: usize,
        /// Line, from 1.
        line: usize,
    },
    /// Bytes that are no UTF-8.
    #[error("{} is not UTF-8: invalid byte at byte {byte}, line {line}", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first invalid byte, from 0.
        byte: usize,
        /// Line, from 1.
        line: usize,
    },
    /// The system refused.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Source {
    /// Reads a policy file; never more than [`MAX_SOURCE_BYTES`] and one byte.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref();
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => SourceError::Missing(path.into()),
            io::ErrorKind::IsADirectory => SourceError::Directory(path.into()),
            _ => SourceError::Read {
                path: path.into(),
                source,
            },
        };
        let file = File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(MAX_SOURCE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        Self::from_bytes(path, bytes)
    }

    /// A source that is already in memory; `name` stands for its path.
    pub fn from_text(name: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let text = text.into();
        let after_breaks = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let line_starts = std::iter::once(0)
            .chain(after_breaks.map(|(at, _)| at + 1))
            .collect();
        Self {
            path: name.into(),
            text,
            line_starts,
        }
    }

    /// The path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset; the end of the text when beyond it.
    pub fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line_starts.partition_point(|&start| start <= offset);
        let column = self.text[self.line_starts[line - 1]..offset]
            .chars()
            .count()
            + 1;
        Position { line, column }
    }

    /// The bytes of lines `first..=last` (from 1), without the last line break.
    pub(super) fn lines(&self, first: usize, last: usize) -> Span {
        let end = self
            .line_starts
            .get(last)
            .map_or(self.text.len(), |next| next - 1);
        let start = self.line_starts[first - 1];
        let end = if self.text[start..end].ends_with('\r') {
            end - 1
        } else {
            end
        };
        Span::new(start, end)
    }

    fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, SourceError> {
        let path = path.to_path_buf();
        if bytes.is_empty() {
            return Err(SourceError::Empty(path));
        }
        if bytes.len() as u64 > MAX_SOURCE_BYTES {
            return Err(SourceError::TooLarge(path));
        }
        let line_of = |at: usize| bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        if let Some(byte) = bytes.iter().position(|&byte| byte == 0) {
            return Err(SourceError::Binary {
                path,
                byte,
                line: line_of(byte),
            });
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::from_text(path, text)),
            Err(error) => {
                let byte = error.utf8_error().valid_up_to();
                let before = &error.as_bytes()[..byte];
                let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
                Err(SourceError::NotUtf8 { path, byte, line })
            }
        }
    }
}

impl Span {
    /// Bytes `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let source = Source::from_text("p", "a\nüb\r\n\nend");
        let cases = [
            (0, 1, 1),
            (1, 1, 2),
            (2, 2, 1),
            (4, 2, 2),
            (7, 3, 1),
            (8, 4, 1),
            (99, 4, 4),
        ];
        for (offset, line, column) in cases {
            assert_eq!(
                source.position(offset),
                Position { line, column },
                "offset {offset}"
            );
        }
    }

    #[test]
    fn reading_says_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let cases: [(&str, &[u8], &str); 4] = [
            ("empty", b"", "is empty; a policy starts with `version: 1`"),
            (
                "latin1",
                b"version: 1\nname: f\xfcr\n",
                "not UTF-8: invalid byte at byte 18, line 2",
            ),
            (
                "utf16",
                b"v\0e\0",
                "not a text file: NUL byte at byte 1, line 1",
            ),
            ("good", b"version: 1\n", ""),
        ];
        for (name, bytes, want) in cases {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let got = Source::read(&path)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(got.ends_with(want), "{name}: {got}");
            assert_eq!(got.is_empty(), want.is_empty(), "{name}: {got}");
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Source::read(dir.path().join("none")).unwrap_err();
        assert!(matches!(missing, SourceError::Missing(_)), "{missing}");
        let directory = Source::read(dir.path()).unwrap_err();
        assert!(
            matches!(directory, SourceError::Directory(_)),
            "{directory}"
        );
        let endless = Source::read("/dev/zero").unwrap_err();
        assert!(matches!(endless, SourceError::TooLarge(_)), "{endless}");
    }
}

//! Names that a policy gives: checked once, here, then trusted everywhere.

use std::fmt;
use std::str::FromStr;

/// The longest zone name, conduit id or service name, in bytes.
pub const MAX_NAME_BYTES: usize = 31;
/// The longest interface name, in bytes (`IFNAMSIZ` less its NUL).
pub const MAX_INTERFACE_BYTES: usize = 15;

/// The name of a zone: `[A-Za-z][A-Za-z0-9_.-]{0,30}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneName(String);

/// The id of a conduit: `[A-Za-z][A-Za-z0-9_.-]{0,30}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConduitId(String);

/// The name of a network interface, as the kernel accepts it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Too many bytes.
    #[error("it has {length} bytes, and at most {limit} are allowed")]
    TooLong {
        /// Bytes it has.
        length: usize,
        /// Bytes it may have.
        limit: usize,
    },
    /// The first character is no letter.
    #[error("it starts with {0:?}, not with a letter")]
    BadStart(char),
    /// A character that no such name may hold.
    #[error("it contains {0:?}")]
    BadCharacter(char),
    /// `.` and `..`, which the kernel refuses for interfaces.
    #[error("it stands for a directory")]
    Dots,
}

impl ZoneName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check_identifier(name)?;
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ConduitId {
    /// Checks an id.
    pub fn new(id: &str) -> Result<Self, NameError> {
        check_identifier(id)?;
        Ok(Self(id.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl InterfaceName {
    /// Checks a name by the kernel's rule (`dev_valid_name`).
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        let refused = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if let Some(c) = name.chars().find(|&c| refused(c)) {
            return Err(NameError::BadCharacter(c));
        }
        if name.len() > MAX_INTERFACE_BYTES {
            return Err(NameError::TooLong {
                length: name.len(),
                limit: MAX_INTERFACE_BYTES,
            });
        }
        if name == "." || name == ".." {
            return Err(NameError::Dots);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `name` is `[A-Za-z][A-Za-z0-9_.-]{0,30}`.
pub(super) fn check_identifier(name: &str) -> Result<(), NameError> {
    let first = name.chars().next().ok_or(NameError::Empty)?;
    if !first.is_ascii_alphabetic() {
        return Err(NameError::BadStart(first));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if let Some(c) = name.chars().find(|&c| !allowed(c)) {
        return Err(NameError::BadCharacter(c));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong {
            length: name.len(),
            limit: MAX_NAME_BYTES,
        });
    }
    Ok(())
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ConduitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ZoneName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl FromStr for ConduitId {
    type Err = NameError;

    fn from_str(id: &str) -> Result<Self, NameError> {
        Self::new(id)
    }
}

impl FromStr for InterfaceName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_checked() {
        let cases = [
            ("plc", Ok(())),
            ("C-010", Ok(())),
            ("a_b.c-d", Ok(())),
            (&"a".repeat(31), Ok(())),
            (
                &"a".repeat(32),
                Err(NameError::TooLong {
                    length: 32,
                    limit: 31,
                }),
            ),
            ("", Err(NameError::Empty)),
            ("10", Err(NameError::BadStart('1'))),
            ("(no-conduit)", Err(NameError::BadStart('('))),
            ("a b", Err(NameError::BadCharacter(' '))),
            ("zürich", Err(NameError::BadCharacter('ü'))),
        ];
        for (name, want) in cases {
            assert_eq!(ZoneName::new(name).map(drop), want, "{name:?}");
            assert_eq!(ConduitId::new(name).map(drop), want, "{name:?}");
        }
    }

    #[test]
    fn interfaces_follow_the_kernel() {
        let cases = [
            ("eth0", Ok(())),
            ("eth1.10", Ok(())),
            ("123456789012345", Ok(())),
            (
                "1234567890123456",
                Err(NameError::TooLong {
                    length: 16,
                    limit: 15,
                }),
            ),
            ("", Err(NameError::Empty)),
            ("..", Err(NameError::Dots)),
            ("eth/0", Err(NameError::BadCharacter('/'))),
            ("eth0:1", Err(NameError::BadCharacter(':'))),
            ("eth 0", Err(NameError::BadCharacter(' '))),
        ];
        for (name, want) in cases {
            assert_eq!(InterfaceName::new(name).map(drop), want, "{name:?}");
        }
    }
}

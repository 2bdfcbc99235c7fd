//! Hardware addresses.

use std::fmt;
use std::str::FromStr;

/// The hardware address of one station.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

/// Why a text is no hardware address of a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    /// Not six pairs of hexadecimal digits.
    #[error("six pairs of hexadecimal digits are expected, as in `02:00:00:00:10:20`")]
    Form,
    /// No station has it.
    #[error("it is the address of a group, or of nobody")]
    NoStation,
}

impl Mac {
    /// Its bytes, as they come on the wire.
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = MacError;

    /// Reads `02:00:00:00:10:20`, also with `-`.
    fn from_str(text: &str) -> Result<Self, MacError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let pair = |pair: &str| {
            let is_hex = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        let bytes: Option<Vec<u8>> = text.split(separator).map(pair).collect();
        let bytes: Option<[u8; 6]> = bytes.and_then(|bytes| bytes.try_into().ok());
        match bytes.ok_or(MacError::Form)? {
            // The lowest bit of the first byte marks groups (IEEE 802).
            bytes if bytes[0] & 1 != 0 || bytes == [0; 6] => Err(MacError::NoStation),
            bytes => Ok(Self(bytes)),
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_strictly() {
        let cases = [
            ("02:00:00:00:10:20", Ok([2, 0, 0, 0, 0x10, 0x20])),
            ("AA-bb-Cc-00-01-fF", Ok([0xaa, 0xbb, 0xcc, 0, 1, 0xff])),
            ("01:00:5e:00:00:01", Err(MacError::NoStation)),
            ("ff:ff:ff:ff:ff:ff", Err(MacError::NoStation)),
            ("00:00:00:00:00:00", Err(MacError::NoStation)),
            ("02:00:00:00:10", Err(MacError::Form)),
            ("02:00:00:00:10:20:30", Err(MacError::Form)),
            ("2:0:0:0:10:20", Err(MacError::Form)),
            ("02:00-00:00:10:20", Err(MacError::Form)),
            ("02:00:00:00:10:+2", Err(MacError::Form)),
            ("020000001020", Err(MacError::Form)),
            ("", Err(MacError::Form)),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse(), want.map(Mac), "{text:?}");
        }
        let mac: Mac = "AA-bb-Cc-00-01-fF".parse().unwrap();
        assert_eq!(mac.to_string(), "aa:bb:cc:00:01:ff");
    }
}

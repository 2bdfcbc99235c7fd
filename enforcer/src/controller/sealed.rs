//! Files that tell whether they are whole.
//!
//! The first line says how many bytes follow, and their checksum: a file that was
//! cut off, written over or changed by a failing disk is never taken for another.

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The system does not give its bytes.
    #[error("it cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// It does not begin as ours do.
    #[error("it does not begin as a state file of enforcer")]
    Foreign,
    /// Bytes are missing, or too many.
    #[error("it has {found} bytes where it should have {expected}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// Bytes have changed.
    #[error("its checksum is wrong")]
    Checksum,
    /// The bytes are whole, and mean nothing to this version.
    #[error("it is from another version of enforcer")]
    Content(#[source] serde_json::Error),
}

const HEAD: &str = "enforcer state 1:";

/// The file that holds `content`.
pub fn seal(content: &[u8]) -> Vec<u8> {
    [head_of(content).as_bytes(), content].concat()
}

fn head_of(content: &[u8]) -> String {
    let checksum = crc32fast::hash(content);
    format!("{HEAD} {} bytes, crc32 {checksum:08x}\n", content.len())
}

/// What a file holds.
pub fn unseal(file: &[u8]) -> Result<&[u8], Damage> {
    if file.is_empty() {
        return Err(Damage::Empty);
    }
    let end = file.iter().position(|byte| *byte == b'\n');
    let (head, content) = file.split_at(end.map_or(0, |end| end + 1));
    let expected = length_in(head).ok_or(Damage::Foreign)?;
    if content.len() != expected {
        return Err(Damage::Length {
            found: content.len(),
            expected,
        });
    }
    match head == head_of(content).as_bytes() {
        true => Ok(content),
        false => Err(Damage::Checksum),
    }
}

/// The bytes that follow a first line.
fn length_in(head: &[u8]) -> Option<usize> {
    let head = str::from_utf8(head).ok()?.strip_prefix(HEAD)?;
    let (length, _) = head.split_once(" bytes")?;
    length.trim_start().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[u8] = b"{\"generation\":7}\n\xff and more";

    #[test]
    fn what_is_sealed_can_be_read() {
        for content in [b"" as &[u8], b"\n", CONTENT] {
            assert_eq!(unseal(&seal(content)).unwrap(), content);
        }
    }

    #[test]
    fn every_cut_and_every_changed_bit_is_found() {
        let whole = seal(CONTENT);
        for length in 0..whole.len() {
            assert!(unseal(&whole[..length]).is_err(), "{length} bytes");
        }
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&changed).is_err(), "bit {bit}");
        }
        assert!(unseal(&[&whole[..], b"x"].concat()).is_err());
        assert!(matches!(unseal(b"garbage"), Err(Damage::Foreign)));
        assert!(matches!(unseal(b""), Err(Damage::Empty)));
    }
}

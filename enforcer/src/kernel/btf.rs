//! Changes the type information (BTF) of an object before it is loaded.
//!
//! Names in maps become readable: Rust describes `[u8; 32]` as 32 numbers, and
//! so `bpftool map dump` prints them. With the encoding CHAR on the one type
//! `u8` it prints text. And the tables get their size: the loader makes an
//! element of a map as large as its type.

use enforcer_common::layout::DECLARED_HALF_WORDS;

/// Why the BTF of an object cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadObject {
    /// Not a 64-bit little-endian ELF file.
    #[error("not a 64-bit little-endian ELF file")]
    NotElf,
    /// No section `.BTF`.
    #[error("no type information (section .BTF)")]
    NoBtf,
    /// A structure reaches beyond the end, or a type is of an unknown kind.
    #[error("damaged type information (section .BTF)")]
    Damaged,
}

/// Gives the integer type called `u8` the encoding CHAR, and the array that the
/// object declares for tables `half_words` elements.
pub fn patch(object: &mut [u8], half_words: u32) -> Result<(), BadObject> {
    let (start, len) = section(object, ".BTF")?;
    let end = start.checked_add(len).ok_or(BadObject::Damaged)?;
    let btf = object.get_mut(start..end).ok_or(BadObject::Damaged)?;
    patch_types(btf, half_words)
}

/// Offset and length of an ELF section.
fn section(object: &[u8], name: &str) -> Result<(usize, usize), BadObject> {
    const MAGIC: &[u8] = b"\x7fELF\x02\x01";
    if !object.starts_with(MAGIC) {
        return Err(BadObject::NotElf);
    }
    let table = word_64(object, 0x28)?;
    let entry_size = usize::from(half_word(object, 0x3a)?);
    let count = usize::from(half_word(object, 0x3c)?);
    let names = usize::from(half_word(object, 0x3e)?);
    let header = |index: usize| table + index * entry_size;
    let names_start = word_64(object, header(names) + 0x18)?;

    for index in 0..count {
        let start = names_start + word(object, header(index))? as usize;
        if text(object, start)? == name.as_bytes() {
            let offset = word_64(object, header(index) + 0x18)?;
            return Ok((offset, word_64(object, header(index) + 0x20)?));
        }
    }
    Err(BadObject::NoBtf)
}

/// Walks the types (Linux, `Documentation/bpf/btf.rst`).
fn patch_types(btf: &mut [u8], half_words: u32) -> Result<(), BadObject> {
    const MAGIC: u16 = 0xeb9f;
    const CHAR: u32 = 2 << 24;
    const KIND_INT: u32 = 1;
    const KIND_ARRAY: u32 = 3;

    if half_word(btf, 0)? != MAGIC {
        return Err(BadObject::Damaged);
    }
    let header = word(btf, 4)? as usize;
    let names = header + word(btf, 16)? as usize;
    let mut at = header + word(btf, 8)? as usize;
    let end = at + word(btf, 12)? as usize;
    while at < end {
        let info = word(btf, at + 4)?;
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let details = at + 12;
        let is_text = kind == KIND_INT && text(btf, names + word(btf, at)? as usize)? == b"u8";
        if is_text {
            let encoding = word(btf, details)? | CHAR;
            btf[details..details + 4].copy_from_slice(&encoding.to_le_bytes());
        }
        // Types of the elements and of the index, then the number of elements.
        let elements = details + 8;
        if kind == KIND_ARRAY && word(btf, elements)? as usize == DECLARED_HALF_WORDS {
            btf[elements..elements + 4].copy_from_slice(&half_words.to_le_bytes());
        }
        at = details + details_len(kind, count)?;
    }
    Ok(())
}

/// Bytes that follow the first twelve of a type.
fn details_len(kind: u32, count: usize) -> Result<usize, BadObject> {
    match kind {
        // Integers, variables, declaration tags.
        1 | 14 | 17 => Ok(4),
        // Pointers, forwards, typedefs, qualifiers, functions, floats, type tags.
        2 | 7..=12 | 16 | 18 => Ok(0),
        // Arrays.
        3 => Ok(12),
        // Structs, unions, data sections, 64-bit enums.
        4 | 5 | 15 | 19 => Ok(12 * count),
        // Enums, function prototypes.
        6 | 13 => Ok(8 * count),
        _ => Err(BadObject::Damaged),
    }
}

fn text(bytes: &[u8], start: usize) -> Result<&[u8], BadObject> {
    let rest = bytes.get(start..).ok_or(BadObject::Damaged)?;
    let len = rest.iter().position(|byte| *byte == 0);
    Ok(&rest[..len.ok_or(BadObject::Damaged)?])
}

fn half_word(bytes: &[u8], at: usize) -> Result<u16, BadObject> {
    read(bytes, at).map(u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> Result<u32, BadObject> {
    read(bytes, at).map(u32::from_le_bytes)
}

fn word_64(bytes: &[u8], at: usize) -> Result<usize, BadObject> {
    let value = read(bytes, at).map(u64::from_le_bytes)?;
    // Offsets are added to each other: keep them far from overflow.
    usize::try_from(value)
        .ok()
        .filter(|value| *value <= bytes.len())
        .ok_or(BadObject::Damaged)
}

fn read<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], BadObject> {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
    bytes.copied().ok_or(BadObject::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A BTF section with an array, `u8`, `u32` and a struct of one member.
    fn btf() -> Vec<u8> {
        let types: &[u32] = &[
            // Array of two of type 2.
            0,
            3 << 24,
            0,
            2,
            3,
            2, // The integers.
            1,
            1 << 24,
            1,
            8,
            4,
            1 << 24,
            4,
            32, // The struct.
            8,
            4 << 24 | 1,
            1,
            8,
            2,
            0,
        ];
        let names = b"\0u8\0u32\0cell\0";
        let len = types.len() as u32 * 4;
        let header = [0x0001_eb9f, 24, 0, len, len, names.len() as u32];
        let words = header.iter().chain(types);
        let mut bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(names);
        bytes
    }

    #[test]
    fn only_u8_becomes_text() {
        let before = btf();
        let mut after = before.clone();
        patch_types(&mut after, 0).unwrap();
        let changed: Vec<usize> = (0..before.len())
            .filter(|at| before[*at] != after[*at])
            .collect();
        // Header 24, array 24, then the high byte of the fourth word of `u8`.
        assert_eq!(changed, [24 + 24 + 15]);
        assert_eq!(after[changed[0]], 2);
    }

    #[test]
    fn the_array_of_tables_gets_its_size() {
        let mut tables = btf();
        let elements = 24 + 12 + 8;
        let declared = DECLARED_HALF_WORDS as u32;
        tables[elements..elements + 4].copy_from_slice(&declared.to_le_bytes());
        patch_types(&mut tables, 4_096).unwrap();
        assert_eq!(word(&tables, elements), Ok(4_096));
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let whole = btf();
        for len in 0..whole.len() - 1 {
            let _ = patch_types(&mut whole[..len].to_vec(), 0);
        }
        let mut unknown_kind = whole.clone();
        unknown_kind[24 + 7] = 31;
        assert_eq!(patch_types(&mut unknown_kind, 0), Err(BadObject::Damaged));
        assert_eq!(patch(&mut [0; 64], 0), Err(BadObject::NotElf));
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0xff);
        assert_eq!(patch(&mut elf, 0), Err(BadObject::Damaged));
    }
}

//! Reads classic captures, as written on a little-endian machine.

use std::fs;
use std::path::Path;

/// The packets of every capture in a folder, with the name of their file.
pub fn folder(path: &Path) -> Vec<(String, Vec<Vec<u8>>)> {
    let mut captures = Vec::new();
    for entry in fs::read_dir(path).expect("the folder of captures can be read") {
        let path = entry.expect("the folder of captures can be read").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "pcap")
        {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let capture = fs::read(&path).expect("a capture can be read");
            captures.push((name, packets(&capture)));
        }
    }
    captures.sort();
    captures
}

/// The captured bytes of each packet.
fn packets(capture: &[u8]) -> Vec<Vec<u8>> {
    assert_eq!(
        &capture[..4],
        &[0xd4, 0xc3, 0xb2, 0xa1],
        "no classic capture"
    );
    let mut rest = &capture[24..];
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let length = rest[8..12].try_into().expect("four bytes are four bytes");
        let length = u32::from_le_bytes(length) as usize;
        packets.push(rest[16..16 + length].to_vec());
        rest = &rest[16 + length..];
    }
    packets
}

//! What the fuzz targets have found worth keeping, as a plain test: nothing
//! panics, and every reading agrees with the other.
//!
//! `docs/fuzzing.md` tells how the corpora came about.

#![expect(dead_code, reason = "modules of the other tests are used in part")]

use std::fs;
use std::path::Path;

#[path = "../verdicts/compare.rs"]
mod compare;
#[path = "../verdicts/compiled.rs"]
mod compiled;
#[path = "../verdicts/crossing.rs"]
mod crossing;
mod frame;
#[path = "../decide/in_process.rs"]
mod in_process;
#[path = "../verdicts/oracle/mod.rs"]
mod oracle;
mod policy;
#[path = "../verdicts/world.rs"]
mod world;

#[test]
fn no_frame_is_read_in_two_ways() {
    each("frame", frame::check);
}

#[test]
fn no_text_is_too_much_for_the_compiler() {
    each("policy", policy::check);
}

/// Does something with every input of a corpus.
fn each(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let entries = fs::read_dir(folder.join(target)).expect("the corpus is there");
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("the corpus can be read").path();
        let input = fs::read(&path).expect("an input can be read");
        // A panic does not say which input it is about.
        let before = format!("{}\n", path.display());
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&input)));
        assert!(checked.is_ok(), "{before}");
        count += 1;
    }
    assert!(count > 50, "{target}: {count} inputs are no corpus");
}
